# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reaching the target of a forward for the first time."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable

from ._connection import Line, open_channel
from ._errors import ForwardError, Unavailable
from ._spec import Direction, ForwardSpec
from ._transport import Transport, Way


def make_transport(way: Way, spec: ForwardSpec, log: Callable[[str], None]) -> Transport:
    """Return the transport of a way."""
    module, _colon, name = way.factory.partition(":")
    transport: Transport = getattr(importlib.import_module(module), name)(spec, way.parameters, log)
    return transport


def prove(line: Line, spec: ForwardSpec, deadline: float, pause: Callable[[float], bool]) -> str | None:
    """Find the target and connect to each of its ports once; return why that cannot be, None if it was done.

    What may pass is tried until ``deadline`` (time.monotonic); ``pause`` waits some seconds, and says whether to go on.
    """
    try:
        _check(line.transport, deadline, pause)
        if spec.direction is Direction.LOCAL:
            for port in spec.ports:
                open_channel(line, port, deadline, pause).close()
    except ForwardError as exc:
        return str(exc)
    except Unavailable as exc:
        return f"it was not ready within {spec.wait_timeout:g} seconds (wait_timeout): {exc}"
    except Exception as exc:  # told to the user, whatever a transport raises
        return f"{type(exc).__name__}: {exc}"
    return None


def _check(transport: Transport, deadline: float, pause: Callable[[float], bool]) -> None:
    seconds = 0.1
    while True:
        try:
            return transport.check(deadline)
        except Unavailable:
            left = deadline - time.monotonic()
            if left <= 0 or not pause(min(seconds, left)):
                raise
            seconds = min(seconds * 2, 1.0)
