# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place where the node is touched: its commands and its files."""

from __future__ import annotations

import os
import shutil
import subprocess
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping, Sequence
from urllib.parse import quote

from ansible_collections.manifold.core.plugins.module_utils.multinic._errors import NodeError

_FOLDERS = ("/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin")


@dataclass(frozen=True)
class Ran:
    """What a command gave."""

    rc: int
    stdout: str
    stderr: str


class System(ABC):
    """A node; tests swap this class and nothing else.

    :param root: where the node's file system is seen: ``/``, or where a pod has mounted it.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root

    def path(self, absolute: str) -> Path:
        """Return where a file of the node is seen, as ``/etc/netplan`` under ``/host``."""
        return self.root / absolute.lstrip("/")

    @abstractmethod
    def run(self, argv: Sequence[str], timeout: float = 30) -> Ran:
        """Run a command with the C locale; rc 127 where it is missing. :raises NodeError: it did not end in time."""

    @abstractmethod
    def which(self, command: str) -> str | None:
        """Return where a command is, or None."""

    def checked(self, argv: Sequence[str], timeout: float = 30) -> str:
        """Run a command and return its stdout. :raises NodeError: with its words, if it fails."""
        ran = self.run(argv, timeout)
        if ran.rc != 0:
            raise NodeError(f"{' '.join(argv)}: {ran.stderr.strip() or ran.stdout.strip() or f'exit status {ran.rc}'}")
        return ran.stdout


class LocalSystem(System):
    """The node that this process runs on (its network namespace is the node's)."""

    def run(self, argv: Sequence[str], timeout: float = 30) -> Ran:
        environment = {**os.environ, "LC_ALL": "C", "PATH": _path(), **self._bus()}
        command: list[str] = list(argv)
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=timeout,
                check=False,
                env=environment,
            )
        except FileNotFoundError:
            return Ran(127, "", f"{command[0]}: not found")
        except subprocess.TimeoutExpired as exc:
            raise NodeError(f"{' '.join(command)} did not end within {timeout:g} s") from exc
        return Ran(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))

    def which(self, command: str) -> str | None:
        return shutil.which(command, path=_path())

    def _bus(self) -> Mapping[str, str]:
        """Return how nmcli finds the D-Bus of a node that is mounted here: it would look for one of its container."""
        if self.root == Path("/"):
            return {}
        return {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={quote(str(self.path('/run/dbus/system_bus_socket')))}"}


def installed(system: System, command: str) -> bool:
    """Return whether the node has a command, whether or not this process can run it (it may be in a pod).

    A pod that sees none of the node's programs has its own for them: whether the node uses it, other things tell.
    """
    if any(system.path(f"{folder}/{command}").exists() for folder in _FOLDERS):
        return True
    unseen = not any(system.path(folder).is_dir() for folder in _FOLDERS)
    return (unseen or system.root == Path("/")) and system.which(command) is not None


def _path() -> str:
    """Return where commands are looked for; modules may run without the sbin directories."""
    return os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/local/sbin:/usr/sbin:/sbin"
