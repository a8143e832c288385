# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines on the screen, and below them one line that is written over while something runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from ._view import Line

_CLEAR = "\r\x1b[K"


class Writer(Protocol):
    """Puts text on the screen."""

    def line(self, line: Line) -> None:
        """Write a line and its end."""

    def in_place(self, text: str) -> None:
        """Write to the terminal, and only there, without ending the line."""


class Screen:
    """Writes lines. On a terminal each begins on a clean line, whoever wrote there before without ending his own.

    :param live: whether standard output is a terminal.
    """

    def __init__(self, writer: Writer, live: bool) -> None:
        self._writer = writer
        self._live = live
        self._status = ""

    def show(self, lines: Iterable[Line], status: str = "") -> None:
        """Write lines, then what runs now."""
        lines = list(lines)
        if lines:
            self.clear()
        for line in lines:
            self._writer.line(line)
        if self._live and status != self._status:
            self._status = status
            self._writer.in_place(f"\r{status}\x1b[K")

    def clear(self) -> None:
        """Take away what stands in the last line, for somebody else to write."""
        if self._live:
            self._status = ""
            self._writer.in_place(_CLEAR)
