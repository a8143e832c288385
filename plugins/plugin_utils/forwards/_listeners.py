# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sockets that a forward listens with on this machine."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable

from ._errors import ForwardError
from ._holder import who_listens
from ._spec import ForwardSpec, PortPair
from ._status import join_address

_BACKLOG = 1024
"""Connections that the kernel keeps while none can be taken."""


def open_listeners(spec: ForwardSpec, named: Callable[[str], str] = str) -> list[socket.socket]:
    """Return a listening socket for each port, in order; raise ForwardError if one cannot be, and none is left then.

    ``named`` may put more into what is said of who holds a port.
    """
    opened: list[socket.socket] = []
    try:
        for port in spec.ports:
            opened.append(_listen(spec.bind, port, named))
    except BaseException:
        for each in opened:
            each.close()
        raise
    return opened


def _listen(bind: str, port: PortPair, named: Callable[[str], str]) -> socket.socket:
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.setblocking(False)
        listener.bind((bind, port.listen))
        listener.listen(_BACKLOG)
    except OSError as exc:
        listener.close()
        raise _refused(bind, port.listen, exc, named) from exc
    return listener


def _refused(bind: str, port: int, exc: OSError, named: Callable[[str], str]) -> ForwardError:
    where = join_address(bind, port)
    if exc.errno == errno.EADDRINUSE:
        holder = who_listens(bind, port)
        by = f" by {named(holder)}" if holder else ""
        return ForwardError(f"ports: {where} is taken{by}. Choose another port, or none for a free one.")
    if exc.errno == errno.EADDRNOTAVAIL:
        return ForwardError(f"bind: {bind} is no address of this machine. 'ip address' shows those it has.")
    if exc.errno == errno.EACCES:
        return ForwardError(f"ports: only root may listen at {where}. Choose a port above 1023.")
    return ForwardError(f"ports: listening at {where} failed: {os.strerror(exc.errno or 0)}")
