# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs cells of different sites side by side, those of one site one after another."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable

from faults.cells import Runner
from faults.model import Cell, Finding
from faults.sites import Site


def _say_nothing(finding: Finding) -> None:
    del finding


class Crew:
    """One thread for each site that the cells need; a context manager that ends them early if it is left early.

    :param run: what runs a cell.
    :param tell: is given each finding as it comes, one at a time.
    """

    def __init__(
        self,
        runner: Runner,
        cells: Iterable[Cell],
        run: Callable[[Cell], Finding],
        tell: Callable[[Finding], None] = _say_nothing,
    ) -> None:
        self._run = run
        self._tell = tell
        self._changed = threading.Condition()
        self._found: dict[Cell, Finding] = {}
        self._stopped = threading.Event()
        self._cells = list(cells)
        queues: dict[Site, list[Cell]] = defaultdict(list)
        for cell in self._cells:
            queues[runner.site(cell)].append(cell)
        self._threads = [threading.Thread(target=self._serve, args=(queue,)) for queue in queues.values()]
        for thread in self._threads:
            thread.start()

    def _serve(self, cells: list[Cell]) -> None:
        for cell in cells:
            if self._stopped.is_set():
                return
            try:
                finding = self._run(cell)
            except Exception as exc:
                finding = Finding(cell, (f"the harness failed: {exc!r}",), 0.0)
            with self._changed:
                self._found[cell] = finding
                self._tell(finding)
                self._changed.notify_all()

    def of(self, cell: Cell, seconds: float | None = None) -> Finding:
        """Return what came of a cell, when that is known; raise TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: cell in self._found, seconds):
                raise TimeoutError(f"no end in sight: {cell.name}")
            return self._found[cell]

    def all(self) -> list[Finding]:
        """Return what came of every cell, in order."""
        return [self.of(cell) for cell in self._cells]

    def close(self) -> None:
        """Let each site finish the cell that it is at."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
