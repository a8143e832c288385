# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands in a container by way of runc, with plain pipes (or a terminal) as their streams."""

from __future__ import annotations

import os
import subprocess
from io import FileIO
from pathlib import Path

from testbed.kube.backend import ExecRequest
from testbed.kube.cri.containerd import NAMESPACE
from testbed.kube.cri.layout import find_tool


class _Terminal(FileIO):
    """The master side of a pseudo-terminal; reads end with b"" once the other side is closed."""

    def read(self, size: int | None = -1) -> bytes:
        try:
            # One read(2): a terminal has no length, so waiting for ``size`` bytes could last forever.
            return os.read(self.fileno(), 65536 if size is None or size < 0 else size)
        except OSError:  # EIO is how Linux says that no slave is open any more
            return b""


def start(runc_root: Path, container: str, request: ExecRequest) -> subprocess.Popen[bytes]:
    """Run a command in a running container; the process returned is runc, which passes on the exit code."""
    argv = [str(find_tool("runc")), "--root", str(runc_root / NAMESPACE), "exec"]
    if request.tty:
        return _start_with_terminal([*argv, "--tty", container, *request.argv])

    def stream(wanted: bool) -> int:
        return subprocess.PIPE if wanted else subprocess.DEVNULL

    return subprocess.Popen(
        [*argv, container, *request.argv],
        stdin=stream(request.stdin),
        stdout=stream(request.stdout),
        stderr=stream(request.stderr),
        start_new_session=True,
    )


def _start_with_terminal(argv: list[str]) -> subprocess.Popen[bytes]:
    """Start runc on a pseudo-terminal of its own; it follows SIGWINCH, after TIOCSWINSZ on ``stdin``."""
    master, slave = os.openpty()
    try:
        process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    except BaseException:
        os.close(master)
        raise
    finally:
        os.close(slave)
    process.stdin = _Terminal(os.dup(master), "wb")
    process.stdout = _Terminal(master, "rb")
    return process
