# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils._nearest import did_you_mean, nearest

KNOWN = ["host", "port", "user"]


@pytest.mark.parametrize(("word", "meant"), [("hots", "host"), ("porrt", "port"), (1, None), ("namespace", None)])
def test_the_word_that_was_meant_is_found(word: object, meant: str | None) -> None:
    assert nearest(word, KNOWN) == meant
    assert did_you_mean(word, KNOWN) == (meant and f"Did you mean '{meant}'?")


def test_how_alike_words_have_to_be_can_be_said() -> None:
    assert nearest("usr_name", KNOWN) is None
    assert nearest("usr_name", KNOWN, 0.5) == "user"
