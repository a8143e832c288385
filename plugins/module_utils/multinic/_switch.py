# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program of the guard: a zip of the modules that restore, for it outlives the one that made the change.

``restore.pyz NONCE ROOT`` restores the change with this nonce if it is still in progress. With ``watch`` at
the end it goes into the background first and does so at the change's deadline.
"""

from __future__ import annotations

import io
import os
import pkgutil
import select
import socket
import sys
import time
import traceback
import zipfile
from pathlib import Path
from typing import NoReturn, Sequence

from ansible_collections.manifold.core.plugins.module_utils.multinic._errors import MultinicError
from ansible_collections.manifold.core.plugins.module_utils.multinic._state import State
from ansible_collections.manifold.core.plugins.module_utils.multinic._system import LocalSystem

_PACKAGE = "ansible_collections.manifold.core.plugins.module_utils.multinic"
_MODULES = ("_errors", "_system", "_files", "_lock", "_observed", "_snapshot", "_restore", "_state", "_switch")
_MAIN = f"import sys\nfrom {_PACKAGE}._switch import main\nsys.exit(main(sys.argv[1:]))\n"


def program() -> bytes:
    """Return the program as one file, which any Python 3.8 or later runs."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        folders = _PACKAGE.split(".")
        for depth in range(len(folders)):
            archive.writestr("/".join(folders[: depth + 1]) + "/__init__.py", "")
        for module in _MODULES:
            source = pkgutil.get_data(_PACKAGE, f"{module}.py")
            archive.writestr(f"{'/'.join(folders)}/{module}.py", source or b"")
        archive.writestr("__main__.py", _MAIN)
    return packed.getvalue()


def main(argv: Sequence[str]) -> int:
    """Run the program; the exit status is 0 unless the node should have been restored and could not be."""
    nonce, root, *mode = argv
    state = State(LocalSystem(Path(root)))
    if mode == ["watch"]:
        return _watch(state, nonce)
    return fire(state, nonce, "the guard (timer)")


def fire(state: State, nonce: str, by: str) -> int:
    """Restore the change with this nonce if it is in progress; 1 if the node could not be restored."""
    snapshot = state.pending()
    if snapshot is None or snapshot.nonce != nonce:
        return 0  # kept, or restored by somebody else
    try:
        restored = state.restore(nonce, by)
    except (MultinicError, OSError) as exc:
        sys.stderr.write(f"not restored: {exc}\n")
        return 1
    for problem in restored.problems if restored else ():
        sys.stderr.write(f"not put back: {problem}\n")
    return 1 if restored and restored.problems else 0


def _watch(state: State, nonce: str) -> int:
    """Listen, then go into the background: when this returns, which is in the parent only, the guard is armed."""
    snapshot = state.pending()
    if snapshot is None or snapshot.nonce != nonce:
        sys.stderr.write("there is no such change\n")
        return 1
    listener = state.listen()
    if not _detach(state.path("guard.log")):
        return 0
    try:
        asking = _await_decision(state, nonce, listener, snapshot.deadline)
        status = fire(state, nonce, "the guard (watchdog)")
        state.stop_listening()
    except BaseException:
        traceback.print_exc()
        status, asking = 1, None
    return _exit(status, asking)


def _exit(status: int, asking: socket.socket | None) -> NoReturn:
    """End at once: whoever asked reads the end of the connection, but not before this process has ended."""
    del asking  # the caller holds it still
    sys.stderr.flush()
    os._exit(status)


def _await_decision(state: State, nonce: str, listener: socket.socket, deadline: float) -> socket.socket | None:
    """Wait until somebody has decided the change, or for its deadline.

    A connection means: look whether it is decided. It is returned, and closes when this process ends.
    """
    while True:
        left = max(0.0, deadline - time.monotonic())
        if not select.select([listener], [], [], left)[0]:
            return None
        asking = listener.accept()[0]
        pending = state.pending()
        if pending is None or pending.nonce != nonce:
            return asking
        asking.close()


def _detach(log: Path) -> bool:
    """Go into the background, without any tie to who started this; return whether this is what stays."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return False
    os.setsid()
    if os.fork():
        os._exit(0)
    os.chdir("/")
    null, said = os.open(os.devnull, os.O_RDWR), os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for descriptor, target in ((null, 0), (null, 1), (said, 2)):
        os.dup2(descriptor, target)
    return True
