# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime
import re

from ansible_collections.manifold.core.plugins.plugin_utils.operations._identity import new_operation_id


def test_an_id_says_when_the_operation_started() -> None:
    moment = datetime.datetime(2026, 1, 14, 17, 2, 34)
    assert re.fullmatch(r"2026-01-14-170234-[0-9a-f]{8}", new_operation_id(moment))


def test_ids_of_one_moment_differ() -> None:
    moment = datetime.datetime(2026, 1, 14, 17, 2, 34)
    assert len({new_operation_id(moment), new_operation_id(moment), new_operation_id(moment)}) == 3


def test_ids_of_one_second_sort_by_time() -> None:
    second = datetime.datetime(2026, 1, 14, 17, 2, 34)
    ids = [new_operation_id(second + datetime.timedelta(milliseconds=each)) for each in range(0, 1000, 3)]
    assert ids == sorted(ids)


def test_an_id_is_of_now_unless_said_otherwise() -> None:
    before, made, after = datetime.datetime.now(), new_operation_id(), datetime.datetime.now()
    assert f"{before:%Y-%m-%d-%H%M%S}" <= made[:17] <= f"{after:%Y-%m-%d-%H%M%S}"
