# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Callable
from urllib.parse import quote

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.operations._scrub import (
    MASK,
    WITHHELD,
    Scrubber,
    Silencer,
)
from hypothesis import given
from hypothesis import strategies as st

SECRET = "p's \"w/ö+rd"
FORMS: list[Callable[[str], str]] = [
    str,
    lambda secret: quote(secret, safe=""),
    lambda secret: json.dumps(secret)[1:-1],
    lambda secret: shlex.quote(secret)[1:-1],
    lambda secret: base64.b64encode(secret.encode()).decode(),
]


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_masked_in_whatever_form_it_is_printed(form: Callable[[str], str]) -> None:
    assert Scrubber([SECRET]).text(f"login <{form(SECRET)}> refused") == f"login <{MASK}> refused"
    assert Scrubber([SECRET]).name(f"/a/{form(SECRET)}/b") == f"/a/{MASK}/b"


_SOME = st.text("abö'\"/ %1\n-", min_size=4).filter(str.strip)


@given(secrets=st.lists(_SOME, min_size=1, max_size=4), text=st.text(), data=st.data())
def test_no_secret_is_left(secrets: list[str], text: str, data: st.DataObject) -> None:
    for secret in secrets:
        at = data.draw(st.integers(0, len(text)))
        text = text[:at] + secret + text[at:]
    clean = Scrubber(secrets).text(text)
    # what is left of a mask's neighbours may form a secret only together with the mask
    assert all(secret not in part for secret in secrets for part in clean.split(MASK))


def test_of_two_secrets_that_begin_alike_nothing_is_left() -> None:
    assert Scrubber(["open", "open-sesame"]).text("open-sesame open") == f"{MASK} {MASK}"


def test_a_short_secret_is_masked_where_it_stands_alone() -> None:
    scrubber = Scrubber(["x1"], ["7"])
    assert scrubber.text("-p x1 max10 x12 7") == f"-p {MASK} max10 x12 7"


def test_an_empty_secret_masks_nothing() -> None:
    assert Scrubber(["", "  "], [""]).text("a b") == "a b"


def test_lines_of_a_key_are_masked_each() -> None:
    key = "-----BEGIN KEY-----\nabcdefghijkl\nmnopqrstuv\n-----END KEY-----\n"
    assert "abcdefgh" not in Scrubber([key]).text("bad line: abcdefghijkl")


def test_a_value_of_the_environment_may_stand_in_a_name() -> None:
    scrubber = Scrubber(values=["/backups"])
    assert scrubber.name("/backups/a") == "/backups/a"
    assert scrubber.text("no /backups/a") == f"no {MASK}/a"


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("psql: postgres://app:hunter2@db:5432/app", f"psql: postgres://app:{MASK}@db:5432/app"),
        ("Authorization: Bearer eyJhbGciOi.abc-def", f"Authorization: Bearer {MASK}"),
        ("authorization: basic dXNlcjpwYXNz", f"authorization: basic {MASK}"),
        ("see http://host:80/basic things", "see http://host:80/basic things"),
    ],
)
def test_what_has_the_form_of_a_secret_is_masked_unknown(said: str, kept: str) -> None:
    assert Scrubber().text(said) == kept


def test_bytes_that_were_no_text_do_not_stop_it() -> None:
    assert Scrubber(["\udcff secret"]).text("a \udcff b") == "a ? b"


def test_without_knowledge_of_the_secrets_a_text_is_withheld() -> None:
    assert Silencer().text("anything") == WITHHELD
    assert Silencer().name("/backups") == "/backups"
