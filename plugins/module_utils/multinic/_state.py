# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder that holds a change in progress, and the one decision how the change ends.

A change ends in one of two ways: it is kept, or the node is restored. Whoever holds the lock on the folder
decides, by one system call: removing ``snapshot.json`` keeps the change, renaming it to ``restoring.json``
means that the node is restored, by whoever finds it, until it is done::

    snapshot.json    a change is in progress; nobody has decided
    restoring.json   the node is being restored, or the process that did it was killed
    restored.json    somebody restored the node while the run was not looking; the next run reports it
    restore.pyz      the program that the guard runs
    guard.sock       of the watchdog, as long as it is armed
    guard.log        what the guard said
"""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Iterator

from ansible_collections.manifold.core.plugins.module_utils.multinic import _files, _snapshot
from ansible_collections.manifold.core.plugins.module_utils.multinic._errors import GuardError
from ansible_collections.manifold.core.plugins.module_utils.multinic._lock import acquire
from ansible_collections.manifold.core.plugins.module_utils.multinic._restore import put_back
from ansible_collections.manifold.core.plugins.module_utils.multinic._snapshot import Snapshot
from ansible_collections.manifold.core.plugins.module_utils.multinic._system import System

FOLDER = "/var/lib/manifold-core/multinic"
PROGRAM = "restore.pyz"
SOCKET = "guard.sock"
PATIENCE = 60
"""Seconds to wait for somebody else's restoring."""


@dataclass(frozen=True)
class Restored:
    """The node was restored.

    :param nonce: of the change that was undone.
    :param by: who did it, in words.
    :param at: when, in seconds since 1970.
    :param problems: what could not be put back.
    """

    nonce: str
    by: str
    at: float
    problems: tuple[str, ...] = ()


class State:
    """The folder on a node."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.folder = system.path(FOLDER)

    def path(self, name: str) -> Path:
        """Return where a file of the folder is."""
        return self.folder / name

    def begin(self, snapshot: Snapshot, program: bytes) -> None:
        """Put a change on record, before anything is changed. :raises GuardError: the folder cannot be written."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _files.write(self.path(PROGRAM), program)
            _files.write(self.path("snapshot.json"), _snapshot.to_json(snapshot))
        except OSError as exc:
            raise GuardError(f"cannot write the snapshot in {FOLDER}: {exc.strerror}; nothing was changed") from exc

    def keep(self, nonce: str, by: str) -> Restored | None:
        """Decide that the change is kept; return how the node was restored if somebody decided that before."""
        with self._locked():
            snapshot = self._pending()
            if snapshot is None or snapshot.nonce != nonce:
                return self._undone(nonce)
            if self.path("restoring.json").exists():
                return self._restore(snapshot, by)
            _files.remove(self.path("snapshot.json"))
            return None

    def restore(self, nonce: str | None, by: str) -> Restored | None:
        """Restore the node from the change with this nonce, or from any; None if there is none.

        Who did not decide it finds how it was done in what is returned.
        """
        if not self.folder.is_dir():
            return None
        with self._locked():
            snapshot = self._pending()
            if snapshot is None or nonce not in (None, snapshot.nonce):
                return None if nonce is None else self._undone(nonce)
            return self._restore(snapshot, by)

    def pending(self) -> Snapshot | None:
        """Return the change on record, if there is one. :raises GuardError: the record cannot be read."""
        return self._pending()

    def decided(self, nonce: str) -> bool:
        """Return whether the change with this nonce was kept or undone, or is being undone."""
        content = _files.read(self.path("snapshot.json"))
        return content is None or _snapshot.from_json(content).nonce != nonce

    def listen(self) -> socket.socket:
        """Return the socket by which the watchdog is told that a change was decided."""
        listener = socket.socket(socket.AF_UNIX)
        with self._open() as folder:
            listener.bind(f"/proc/self/fd/{folder}/{SOCKET}")
        listener.listen()
        return listener

    def stop_listening(self) -> None:
        """Remove the socket."""
        _remove(self.path(SOCKET))

    def tell_watchdog(self, patience: float) -> bool:
        """Tell the watchdog that the change was decided and wait for its end; False if it did not end in time."""
        with socket.socket(socket.AF_UNIX) as asking, self._open() as folder:
            asking.settimeout(patience)
            try:
                asking.connect(f"/proc/self/fd/{folder}/{SOCKET}")
                return asking.recv(1) == b""
            except (FileNotFoundError, ConnectionError):
                return True  # it has ended already, if there ever was one
            except socket.timeout:
                return False

    def take_report(self) -> Restored | None:
        """Return how the node was restored, if nobody was told yet, and forget it."""
        report = self._report()
        _remove(self.path("restored.json"))
        return report

    def left_over(self) -> bool:
        """Return whether there is anything in the folder: a run that has ended leaves nothing."""
        return self.folder.is_dir() and any(self.folder.iterdir())

    def tidy(self) -> None:
        """Remove all but a change in progress and a report that nobody has read."""
        for path in self.folder.glob("*"):
            if path.name not in ("snapshot.json", "restoring.json", "restored.json"):
                _remove(path)
        for path in self.folder.glob(".*.manifold"):
            _remove(path)

    def _restore(self, snapshot: Snapshot, by: str) -> Restored:
        restoring = self.path("restoring.json")
        if not restoring.exists():
            self.path("snapshot.json").rename(restoring)
            _files.flush_folder(self.folder)
        problems = put_back(self.system, snapshot)
        restored = Restored(snapshot.nonce, by, time.time(), problems)
        _files.write(self.path("restored.json"), json.dumps(asdict(restored)).encode())
        _files.remove(restoring)
        return restored

    def _pending(self) -> Snapshot | None:
        for name in ("restoring.json", "snapshot.json"):
            content = _files.read(self.path(name))
            if content is not None:
                try:
                    return _snapshot.from_json(content)
                except ValueError as exc:
                    raise GuardError(
                        f"cannot read {FOLDER}/{name}: {exc}; look at the NICs of the node, then remove that file"
                    ) from exc
        return None

    def _undone(self, nonce: str) -> Restored:
        report = self._report()
        return report if report is not None and report.nonce == nonce else Restored(nonce, "another run", time.time())

    def _report(self) -> Restored | None:
        content = _files.read(self.path("restored.json"))
        try:
            document = json.loads(content or b"null")
            return document and Restored(**{**document, "problems": tuple(document["problems"])})
        except (ValueError, KeyError, TypeError):
            return None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._open() as folder:
            if not acquire(folder, PATIENCE):
                raise GuardError(f"somebody has been restoring this node for more than {PATIENCE} s (lock on {FOLDER})")
            yield

    @contextmanager
    def _open(self) -> Iterator[int]:
        """Open the folder; a socket's path may be short only, so that sockets are reached through this."""
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError):
        path.unlink()
