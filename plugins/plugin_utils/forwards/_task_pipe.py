# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a supervisor answers the task that started it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Mapping
from typing import Any


class TaskPipe:
    """The pipe by which the task is answered: what was standard output, and is kept from children."""

    def __init__(self) -> None:
        self.fd = fcntl.fcntl(1, fcntl.F_DUPFD_CLOEXEC, 3)
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for standard in (0, 1):
            os.dup2(nothing, standard)
        os.close(nothing)

    def answer(self, values: Mapping[str, Any]) -> None:
        """Say the only thing that the task waits for."""
        with contextlib.suppress(OSError):  # it waits no more; that is an event of the loop as well
            os.write(self.fd, json.dumps(values).encode() + b"\n")
        os.close(self.fd)
