# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks between processes that the kernel lets go when their holder dies."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import Iterator

from ansible_collections.manifold.core.plugins.module_utils.multinic._errors import NodeError
from ansible_collections.manifold.core.plugins.module_utils.multinic._system import System

RUN_LOCK = "/run/manifold-core/multinic.lock"
"""Held by a run from its first look at the node to its report. Only root may write to its folder."""

_LOOK_AGAIN = 0.05


@contextmanager
def one_run(system: System, wait: float = 30) -> Iterator[None]:
    """Keep other runs from this node. :raises NodeError: another one is at it for longer than ``wait`` seconds."""
    path = system.path(RUN_LOCK)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as exc:
        raise NodeError(f"cannot open the lock {RUN_LOCK}: {exc.strerror}") from exc
    try:
        if not acquire(descriptor, wait):
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "not known"
            raise NodeError(
                f"another run is at the NICs of this node (pid {holder}, which holds {RUN_LOCK}); waited {wait:g} s"
            )
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        try:
            yield
        finally:
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def acquire(descriptor: int, wait: float) -> bool:
    """Take the lock on an open file or folder; return False if somebody else holds it for ``wait`` seconds."""
    until = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(_LOOK_AGAIN)
        else:
            return True
