# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.steps._screen import Screen
from ansible_collections.manifold.core.plugins.plugin_utils.steps._view import Line


class Paper:
    """Keeps what was written, as a terminal would be sent it."""

    def __init__(self) -> None:
        self.text = ""

    def line(self, line: Line) -> None:
        self.text += line.text + "\n"

    def in_place(self, text: str) -> None:
        self.text += text


def test_lines_begin_clean_on_a_terminal_whoever_wrote_there() -> None:
    paper = Paper()
    screen = Screen(paper, live=True)
    screen.show([], "[1/2] runs")
    paper.text += "\r78% of it"  # a task's own progress
    screen.show([Line("one"), Line("two")], "[2/2] runs")
    screen.show([], "")
    assert paper.text == "\r[1/2] runs\x1b[K\r78% of it\r\x1b[Kone\ntwo\n\r[2/2] runs\x1b[K\r\x1b[K"


def test_the_same_is_not_drawn_twice_but_again_after_a_line() -> None:
    paper = Paper()
    screen = Screen(paper, live=True)
    screen.show([], "runs")
    screen.show([], "runs")
    screen.show([Line("one")], "runs")
    assert paper.text == "\rruns\x1b[K\r\x1b[Kone\n\rruns\x1b[K"


@pytest.mark.parametrize("status", ["", "runs"])
def test_what_is_no_terminal_gets_lines_and_nothing_else(status: str) -> None:
    paper = Paper()
    screen = Screen(paper, live=False)
    screen.show([Line("one")], status)
    screen.clear()
    assert paper.text == "one\n"
