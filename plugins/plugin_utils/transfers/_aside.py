# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Does something beside what this thread does."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def aside(work: Callable[[], T]) -> Callable[[], T]:
    """Begin to do something; return what waits for it, and then returns its result or raises what it raised.

    Nobody has to wait: the thread does not keep the process.
    """
    results: queue.SimpleQueue[tuple[list[T], BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            results.put(([work()], None))
        except BaseException as exc:  # handed to who waits
            results.put(([], exc))

    def wait() -> T:
        done, error = results.get()
        if error is not None:
            raise error
        return done[0]

    threading.Thread(target=run, daemon=True).start()
    return wait
