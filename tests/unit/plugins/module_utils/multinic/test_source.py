# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.module_utils.multinic._source import (
    Outcome,
    mac,
    number,
    outcomes_of,
    text,
)


@pytest.mark.parametrize(
    "spelling",
    [
        "fa:16:3e:1c:1a:6e",
        "FA:16:3E:1C:1A:6E",
        "fa-16-3e-1c-1a-6e",
        "fa16.3e1c.1a6e",
        "FA163E1C1A6E",
        " fa:16:3e:1c:1a:6e\n",
    ],
)
def test_a_mac_address_is_known_in_every_usual_spelling(spelling: str) -> None:
    assert mac(spelling) == "fa:16:3e:1c:1a:6e"


@pytest.mark.parametrize("spelling", ["fa:16:3e:1c:1a", "fa:16:3e:1c:1a:6e:00", "none", "fa:16:3e:1c:1a:6g"])
def test_what_is_no_mac_address_stays_as_it_is(spelling: str) -> None:
    assert mac(spelling) == spelling


def test_blank_is_nothing() -> None:
    assert (mac(None), mac(" "), text(""), text(" a "), number(None), number("")) == (None, None, None, "a", None, None)


@pytest.mark.parametrize(
    ("found", "told"), [("1450", 1450), (1450, 1450), ("-1", "-1"), ("1e3", "1e3"), ("x", "x"), ("9" * 20, "9" * 20)]
)
def test_only_a_decimal_number_is_one(found: object, told: object) -> None:
    assert number(found) == told


def test_only_what_the_source_wanted_has_an_outcome() -> None:
    results: list[dict[str, Any]] = [
        {"id": 1, "mac": "FA:16:3E:00:00:01", "state": "configured", "changed": True},
        {"id": 2, "mac": None, "state": "refused", "reason": "no MAC"},
        {"id": 3, "mac": "fa:16:3e:00:00:03", "state": "failed"},
        {"id": 4, "mac": "fa:16:3e:00:00:04", "state": "removed"},
        {"id": None, "mac": None, "state": "refused"},
        {"id": 5, "state": "invented later"},
        {},
    ]
    assert outcomes_of(results) == (
        Outcome(1, "fa:16:3e:00:00:01", True),
        Outcome(2, None, False),
        Outcome(3, "fa:16:3e:00:00:03", False),
    )
