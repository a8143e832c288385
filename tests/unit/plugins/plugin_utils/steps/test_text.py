# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.steps._text import (
    ASCII,
    UNICODE,
    Symbols,
    choose,
    clean_lines,
    columns,
    duration,
    one_line,
    shorten,
)
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.0s"),
        (-0.01, "0.0s"),
        (0.34, "0.3s"),
        (9.94, "9.9s"),
        (9.96, "10s"),
        (23.4, "23s"),
        (59.4, "59s"),
        (59.6, "1m 00s"),
        (65, "1m 05s"),
        (3599.6, "1h 00m"),
        (7380, "2h 03m"),
    ],
)
def test_times_are_said_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("wanted", "encoding", "symbols"),
    [
        ("auto", "utf-8", UNICODE),
        ("auto", "ascii", ASCII),
        ("auto", "iso8859-1", ASCII),
        ("auto", None, ASCII),
        ("auto", "no-such-encoding", ASCII),
        ("ascii", "utf-8", ASCII),
        ("unicode", "ascii", UNICODE),
    ],
)
def test_signs_are_those_that_the_output_can_show(wanted: str, encoding: str | None, symbols: Symbols) -> None:
    assert choose(wanted, encoding) is symbols


@pytest.mark.parametrize(
    ("text", "limit", "short"),
    [
        ("docker push", 11, "docker push"),
        ("docker push registry/app", 16, "docker push …"),
        ("docker push registry/app:1 now", 24, "docker push registry/ap…"),
        ("docker push registry/app:1 now", 29, "docker push registry/app:1 …"),
        ("/a/very/long/path/without/blanks", 12, "/a/very/lon…"),
        ("push shop:{{ version }} to the registry", 20, "push shop:…"),
        ("{{ a_very_long_expression }}", 10, "…"),
        ("echo one", 7, ""),
        ("日本語日本語日本語", 9, "日本語日…"),
    ],
)
def test_what_is_too_long_is_cut_where_it_still_says_most(text: str, limit: int, short: str) -> None:
    assert shorten(text, limit, "…") == short


@given(text=st.text(max_size=40), limit=st.integers(0, 50), sign=st.sampled_from(["…", "..."]))
def test_a_shortened_text_never_takes_more_than_its_room(text: str, limit: int, sign: str) -> None:
    flat = one_line(text)
    assert columns(shorten(flat, limit, sign)) <= max(limit, 0)


def test_nothing_reaches_the_terminal_that_moves_its_cursor() -> None:
    text = "\x1b[31mred\x1b[0m\n10%\r50%\r100%\r\n\x1b]0;title\x07name\tx\x00\x9b2J  \n"
    assert clean_lines(text) == ["red", "100%", "name    x2J", ""]
    assert one_line("  sh -c \\\n  'a\n\tb'  ") == "sh -c 'a b'"


@given(text=st.text(max_size=60))
def test_a_cleaned_text_holds_no_control_character(text: str) -> None:
    assert all(ord(char) >= 32 and not 127 <= ord(char) < 160 for line in clean_lines(text) for char in line)
