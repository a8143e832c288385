# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the agent makes of its environment, and what it leaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._agent import (
    OrderError,
    identity_of,
    last_words,
    leave,
    order_of,
)
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._observed import Task
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._summary import read

SPEC = {"generation": 3, "interfaces": [{"id": 1}], "backend": "netplan", "host_root": "/h", "rollback_timeout": 30}


def test_a_spec_becomes_options_of_multinic_config() -> None:
    order = order_of({"AGENT_ACTION": "configure", "AGENT_SPEC": json.dumps({**SPEC, "options": {"allow_up": True}})})
    assert (order.task, order.generation, order.source) == (Task.CONFIGURE, 3, None)
    assert order.options == {
        **{name: SPEC[name] for name in ("interfaces", "backend", "host_root", "rollback_timeout")},
        "allow_up": True,
        "fail_on": "never",
    }


def test_a_clean_up_removes_all_whatever_the_source() -> None:
    order = order_of({"AGENT_ACTION": "cleanup", "DATA_SOURCE": "db"})
    assert (order.task, order.source, order.options["state"]) == (Task.CLEANUP, None, "absent")
    assert "interfaces" not in order.options


def test_without_a_spec_a_source_is_read() -> None:
    assert order_of({"DATA_SOURCE": "nodecr"}).source == {"source": "nodecr"}
    database = {"host": "db", "password": "secret"}
    found = order_of({"DATA_SOURCE": "db", "AGENT_DB": json.dumps(database)})
    assert found.source == {"source": "db", "db": database}
    assert order_of({"DATA_SOURCE": "nodecr", "AGENT_SPEC": "{}"}).source is None


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "neither AGENT_SPEC nor a DATA_SOURCE"),
        ({"DATA_SOURCE": "file"}, "DATA_SOURCE of db or nodecr"),
        ({"DATA_SOURCE": "db"}, "DATA_SOURCE is db, but there is no AGENT_DB"),
        ({"DATA_SOURCE": "db", "AGENT_DB": "secret"}, "^AGENT_DB is not JSON: Expecting value: line 1 column 1"),
        ({"AGENT_ACTION": "clean", "AGENT_SPEC": "{}"}, "AGENT_ACTION is 'clean'"),
        ({"AGENT_SPEC": "{"}, "AGENT_SPEC is not JSON"),
        ({"AGENT_SPEC": "[]"}, "not a JSON object"),
        ({"AGENT_SPEC": '{"interfaces": {}}'}, "interfaces is {}"),
        ({"AGENT_SPEC": '{"generation": true}'}, "generation is True"),
        ({"AGENT_SPEC": '{"options": {"state": "absent"}}'}, "options has state"),
    ],
)
def test_what_says_nothing_clear_is_refused(environment: dict[str, str], said: str) -> None:
    with pytest.raises(OrderError, match=said):
        order_of(environment)


def test_a_refused_order_is_told_by_a_summary_of_its_own_run() -> None:
    task, generation = identity_of({"AGENT_ACTION": "cleanup", "AGENT_SPEC": '{"generation": 4, "options": 1}'})
    summary = read(last_words(task, generation, {}, "bad"))
    assert (summary.task, summary.generation, summary.failure) == (Task.CLEANUP, 4, "bad")
    assert identity_of({"AGENT_SPEC": "{"}) == (Task.CONFIGURE, 0)


def test_the_summary_is_written_into_the_file_that_is_there(tmp_path: Path) -> None:
    path = tmp_path / "termination"
    path.write_text("something longer that was there")
    inode = path.stat().st_ino
    leave(path, "{}")
    assert (path.read_text(), path.stat().st_ino) == ("{}", inode)
    with pytest.raises(OrderError, match="cannot write the summary"):
        leave(tmp_path / "missing" / "file", "{}")
