# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.steps._details import (
    printed_by_debug,
    status_of,
    why_failed,
)


def dump(result: Any) -> str:
    shown = {name: value for name, value in result.items() if not name.startswith("_")}
    return json.dumps(shown, indent=2 if result.get("_ansible_verbose_always") else None)


@pytest.mark.parametrize(
    ("result", "status", "lines"),
    [
        pytest.param(
            {"rc": 2, "msg": "non-zero return code", "stderr": "a\n\nb\n", "stdout": "c"},
            "exit status 2",
            ["| a", "| b"],
            id="command",
        ),
        pytest.param(
            {"rc": 1, "msg": "The command exited with a non-zero return code.", "stderr": "", "stdout": "only here"},
            "exit status 1",
            ["| only here"],
            id="command-on-stdout",
        ),
        pytest.param(
            {"rc": 1, "msg": "non-zero return code", "stderr": "1\n2\n3\n4\n5"},
            "exit status 1",
            ["(2 more lines of stderr above)", "| 3", "| 4", "| 5"],
            id="only-the-last-lines",
        ),
        pytest.param({"rc": 1, "msg": "non-zero return code"}, "exit status 1", [], id="silent-command"),
        pytest.param({"rc": 0, "failed_when_result": True}, "", ["it says nothing about why"], id="failed-when"),
        pytest.param({"msg": "no such\nfile", "stderr": "x"}, "", ["no such", "file"], id="module"),
        pytest.param(
            {"msg": "MODULE FAILURE", "rc": 1, "module_stderr": "Killed"},
            "exit status 1",
            ["MODULE FAILURE", "| Killed"],
            id="module-that-died",
        ),
        pytest.param(
            {"msg": "step 'dump' failed: psql: no", "rc": 1, "stderr": "psql: no"},
            "exit status 1",
            ["step 'dump' failed: psql: no"],
            id="nothing-twice",
        ),
        pytest.param(
            {"msg": "Assertion failed", "assertion": "1 == 2"},
            "",
            ["Assertion failed", "assertion: 1 == 2"],
            id="assert",
        ),
        pytest.param({"reason": "no file"}, "", ["no file"], id="include"),
        pytest.param(
            {"censored": "hidden", "rc": 3, "stderr": "hunter2", "msg": "hunter2"},
            "",
            ["no_log hides the reason"],
            id="no_log",
        ),
        pytest.param(
            {"_ansible_no_log": True, "stdout": "hunter2"}, "", ["no_log hides the reason"], id="no_log-not-censored"
        ),
    ],
)
def test_a_failure_gives_its_reason(result: dict[str, Any], status: str, lines: list[str]) -> None:
    assert (status_of(result), why_failed(result, tail=3)) == (status, lines)


@pytest.mark.parametrize(
    ("result", "lines"),
    [
        ({"msg": "one\ntwo", "changed": False}, ["one", "two"]),
        ({"msg": ["one", "two"]}, ["one", "two"]),
        ({"msg": {"a": 1}}, ['{"msg": {"a": 1}}']),
        ({"msg": 3}, ["3"]),
        ({"version": "1.2", "changed": False, "_ansible_verbose_always": True}, ["version: 1.2"]),
        ({"hosts": ["a", "b"]}, ['{"hosts": ["a", "b"]}']),
        ({"hosts": ["a" * 40, "b" * 40]}, ["{", '  "hosts": [', f'    "{"a" * 40}",', f'    "{"b" * 40}"', "  ]", "}"]),
        ({"censored": "hidden", "msg": "hunter2"}, []),
    ],
)
def test_debug_prints_what_it_was_asked_to(result: dict[str, Any], lines: list[str]) -> None:
    assert printed_by_debug(result, dump) == lines
