# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Events in, lines out. Lines of a table begin with the sign of their style."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.steps._events import (
    DiffShown,
    Event,
    HostSummary,
    ItemEnded,
    PlayStarted,
    Retried,
    RunEnded,
    Said,
    Status,
    TaskEnded,
    TasksFound,
    TaskStarted,
)
from ansible_collections.manifold.core.plugins.plugin_utils.steps._plan import Planned
from ansible_collections.manifold.core.plugins.plugin_utils.steps._text import ASCII, UNICODE
from ansible_collections.manifold.core.plugins.plugin_utils.steps._view import Line, Settings, Style, View

SIGNS = {
    Style.PLAIN: " ",
    Style.PLAY: "#",
    Style.OK: "=",
    Style.CHANGED: "~",
    Style.SKIPPED: "-",
    Style.FAILED: "!",
    Style.UNREACHABLE: "?",
    Style.IGNORED: "i",
    Style.DETAIL: ".",
}
SETTINGS = Settings(symbols=UNICODE, width=lambda: 80, dump=lambda result: json.dumps(dict(result)))
PLAY = PlayStarted("Deploy", tuple(Planned(name) for name in ("a", "b", "c", "d", "e")))
WEB = "web1"


class Run:
    """A view with a clock that is set by hand."""

    def __init__(self, **settings: Any) -> None:
        self.now = 100.0
        self.view = View(replace(SETTINGS, **settings), lambda: self.now)

    def tell(self, *events: Event | float) -> list[str]:
        """Hand events on, let seconds pass where a number stands; return the lines."""
        lines: list[Line] = []
        for event in events:
            if isinstance(event, float):
                self.now += event
            else:
                lines += self.view.handle(event)
        return [SIGNS[line.style] + ("2" if line.error else "") + line.text for line in lines]


def started(
    task: str = "b", host: str = WEB, name: str = "push", what: str = "docker push", **more: Any
) -> TaskStarted:
    return TaskStarted(host, task, name, what, **more)


def ended(status: Status = Status.OK, task: str = "b", host: str = WEB, name: str = "push", **more: Any) -> TaskEnded:
    return TaskEnded(host, task, name, status, **more)


def item(label: str | None, status: Status = Status.OK, **result: Any) -> ItemEnded:
    return ItemEnded(WEB, "b", label, status, result)


FAILURE = {"rc": 3, "msg": "non-zero return code", "stderr": "no space left\n"}

TABLE: list[tuple[str, dict[str, Any], list[Event | float], list[str]]] = [
    (
        "a-step",
        {},
        [started(), 23.0, ended(changed=True)],
        ["~[2/5] push: (web1) docker push ✓ (23s)"],
    ),
    ("nothing-changed", {}, [started(), 0.25, ended()], ["=[2/5] push: (web1) docker push ✓ (0.2s)"]),
    (
        "ascii",
        {"symbols": ASCII},
        [started(), 1.0, ended(Status.FAILED, result=FAILURE)],
        ["![2/5] push: (web1) docker push FAILED (1.0s) exit status 3", "!      | no space left"],
    ),
    ("skipped", {}, [started(), ended(Status.SKIPPED)], ["-[2/5] push: (web1) docker push - skipped"]),
    ("skipped-and-not-wanted", {"show_skipped": False}, [started(), ended(Status.SKIPPED)], []),
    ("ok-and-not-wanted", {"show_ok": False}, [started(), ended()], []),
    (
        "changed-is-always-wanted",
        {"show_ok": False},
        [started(), 1.0, ended(changed=True)],
        ["~[2/5] push: (web1) docker push ✓ (1.0s)"],
    ),
    (
        "failed",
        {},
        [started(), 2.0, ended(Status.FAILED, result=FAILURE)],
        ["![2/5] push: (web1) docker push ✗ (2.0s) exit status 3", "!      | no space left"],
    ),
    (
        "failed-to-stderr",
        {"failures_to_stderr": True},
        [started(), 2.0, ended(Status.FAILED, result=FAILURE)],
        ["!2[2/5] push: (web1) docker push ✗ (2.0s) exit status 3", "!2      | no space left"],
    ),
    (
        "ignored",
        {},
        [started(), 2.0, ended(Status.FAILED, ignored=True, result={"msg": "boom"})],
        ["i[2/5] push: (web1) docker push ✗ ignored (2.0s)", "i      boom"],
    ),
    (
        "rescued",
        {},
        [started(), 2.0, ended(Status.FAILED, rescued=True, result={"msg": "boom"})],
        ["![2/5] push: (web1) docker push ✗ (2.0s), rescue follows", "!      boom"],
    ),
    (
        "unreachable",
        {},
        [started(), 2.0, ended(Status.UNREACHABLE, result={"msg": "Connection refused"})],
        ["?[2/5] push: (web1) docker push ✗ unreachable (2.0s)", "?      Connection refused"],
    ),
    (
        "no_log",
        {"verbosity": 1},
        [
            started(what="command"),
            1.0,
            ended(Status.FAILED, what="command", result={"censored": "hidden", "stderr": "hunter2"}),
        ],
        [
            "![2/5] push: (web1) command ✗ (1.0s)",
            "!      no_log hides the reason",
        ],
    ),
    (
        "where-it-failed",
        {"show_path_on_failure": True},
        [started(), 1.0, ended(Status.FAILED, path="deploy.yml:7", result={"msg": "boom"})],
        ["![2/5] push: (web1) docker push ✗ (1.0s)", "!      at deploy.yml:7", "!      boom"],
    ),
    (
        "verbose",
        {"verbosity": 1},
        [started(), 1.0, ended(result={"stdout": "x"})],
        ["=[2/5] push: (web1) docker push ✓ (1.0s)", '       {"stdout": "x"}'],
    ),
    (
        "loop",
        {},
        [started(), item("a"), item("b"), item("c"), 4.0, ended(changed=True)],
        ["~[2/5] push: (web1) docker push ✓ (4.0s, 3 items)"],
    ),
    (
        "loop-that-failed",
        {},
        [
            started(),
            item("a"),
            item("b", Status.FAILED, **FAILURE),
            item("c", Status.SKIPPED),
            item(None, Status.FAILED, msg="boom"),
            4.0,
            ended(Status.FAILED, result={"msg": "One or more items failed"}),
        ],
        [
            "![2/5] push: (web1) docker push ✗ (4.0s, 2 of 4 items failed, 1 skipped)",
            "!      item b: exit status 3",
            "!        | no space left",
            "!      item 4: failed",
            "!        boom",
        ],
    ),
    (
        "verbose-loop",
        {"verbosity": 1},
        [started(), item("a", rc=0), 1.0, ended()],
        ["=[2/5] push: (web1) docker push ✓ (1.0s, 1 item)", "       item a: ok", '         {"rc": 0}'],
    ),
    (
        "retries",
        {},
        [started(), Retried(WEB, "b", 1, 3), 2.0, ended(result={"attempts": 2})],
        ["=[2/5] push: (web1) docker push ✓ (2.0s, 2 attempts)"],
    ),
    (
        "verbose-retries",
        {"verbosity": 1},
        [started(), Retried(WEB, "b", 1, 3)],
        [".[2/5] push: (web1) attempt 1 of 3 was not enough"],
    ),
    (
        "debug",
        {"verbosity": 1},
        [started(what="debug"), 0.0, ended(debug=True, result={"msg": "one\ntwo"})],
        ["=[2/5] push: (web1) debug ✓ (0.0s)", "       one", "       two"],
    ),
    (
        "debug-in-a-loop",
        {},
        [started(what="debug"), item("a", msg="one"), item("b", msg="two"), ended(debug=True)],
        ["=[2/5] push: (web1) debug ✓ (0.0s, 2 items)", "       one", "       two"],
    ),
    (
        "diff-stands-below-its-line",
        {},
        [started(), DiffShown(WEB, "b", "-a\n+b\n"), 1.0, ended(changed=True)],
        ["~[2/5] push: (web1) docker push ✓ (1.0s)", "       -a", "       +b"],
    ),
    (
        "delegated",
        {},
        [started(), 1.0, ended(place="web1 → local")],
        ["=[2/5] push: (web1 → local) docker push ✓ (1.0s)"],
    ),
    (
        "handler",
        {},
        [started(), 1.0, ended(handler=True)],
        ["=[2/5] handler push: (web1) docker push ✓ (1.0s)"],
    ),
    (
        "the-name-says-it-all",
        {},
        [started(name="ping", what="ping"), 1.0, ended(name="ping")],
        ["=[2/5] ping: (web1) ✓ (1.0s)"],
    ),
    (
        "the-command-gives-way",
        {"width": lambda: 50},
        [started(what="docker push registry.internal/shop:1.4.2"), 23.0, ended()],
        ["=[2/5] push: (web1) docker push … ✓ (23s)"],
    ),
    (
        "the-rest-does-not",
        {"width": lambda: 20},
        [started(name="push the image"), 23.0, ended(name="push the image")],
        ["=[2/5] push the image: (web1) ✓ (23s)"],
    ),
    (
        "starts-are-told-if-asked-for",
        {"show_start": True},
        [started()],
        [".[2/5] push: (web1) docker push started"],
    ),
    (
        "one-task-in-check-mode",
        {},
        [started(), 1.0, ended(check_mode=True)],
        ["=[2/5] push: (web1) docker push ✓ (1.0s, check mode)"],
    ),
    (
        "one-task-out-of-check-mode",
        {},
        [replace(PLAY, check_mode=True), started(), 1.0, ended()],
        [" ", "#Deploy (check mode)", "=[2/5] push: (web1) docker push ✓ (1.0s, not in check mode)"],
    ),
    (
        "check-mode-is-told-once",
        {},
        [replace(PLAY, check_mode=True), started(), 1.0, ended(check_mode=True)],
        [" ", "#Deploy (check mode)", "=[2/5] push: (web1) docker push ✓ (1.0s)"],
    ),
    (
        "check-mode-is-told-on-every-line",
        {"mark_check_mode": True},
        [replace(PLAY, check_mode=True), started(), 1.0, ended(check_mode=True)],
        [" ", "#Deploy (check mode)", "=[2/5] push: (web1) docker push ✓ (1.0s, check mode)"],
    ),
    (
        "a-rescue-counts-when-entered",
        {},
        [
            started(),
            ended(Status.FAILED, rescued=True, result={"rc": 1}),
            TasksFound(WEB, Planned("undo"), (Planned("undo"), Planned("tell")), None),
            started("undo", name="undo", what="rm"),
            1.0,
            ended(task="undo", name="undo"),
        ],
        ["![2/5] push: (web1) docker push ✗ (0.0s) exit status 1, rescue follows", "=[3/7] undo: (web1) rm ✓ (1.0s)"],
    ),
    (
        "include-that-is-loaded-and-then-found-wrong",
        {},
        [
            started(name="more", what="include_tasks"),
            0.5,
            ended(name="more", what="include_tasks more.yml", include=True),
            ended(Status.FAILED, name="more", what="include_tasks more.yml", result={"reason": "no file"}),
        ],
        [
            "=[2/5] more: (web1) include_tasks more.yml ✓ (0.5s)",
            "![2/5] more: (web1) include_tasks more.yml ✗ (0.0s)",
            "!      no file",
        ],
    ),
    ("includes-are-not-wanted", {"show_includes": False}, [started(), ended(include=True)], []),
    ("what-else-is-to-say", {}, [Said("no hosts left", important=True), Said("x")], ["-no hosts left", ".x"]),
]


@pytest.mark.parametrize(("settings", "events", "lines"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_events_become_lines(settings: dict[str, Any], events: list[Event | float], lines: list[str]) -> None:
    run = Run(**settings)
    assert run.tell(PLAY) == ["#Deploy"]
    assert run.tell(*events) == lines


def test_each_host_has_its_line_and_its_time() -> None:
    run = Run()
    run.tell(PLAY, started(), 1.0, started(host="web2"), 1.0)
    assert run.tell(ended(host="web2"), 1.0, ended()) == [
        "=[2/5] push: (web2) docker push ✓ (1.0s)",
        "=[2/5] push: (web1) docker push ✓ (3.0s)",
    ]


def test_the_last_line_says_what_runs_now() -> None:
    run = Run(width=lambda: 60)
    assert run.view.status() == ""
    run.tell(PLAY, started())
    assert run.view.status() == "[2/5] push: (web1) docker push"
    run.tell(item("a"), Retried(WEB, "b", 1, 3))
    assert run.view.status() == "[2/5] push: (web1) docker push (1 item done, attempt 2)"
    run.tell(*(started(host=f"web{number}") for number in range(2, 6)))
    assert run.view.status() == "[2/5] push: (web1, web2, web3, +2) docker push"
    run.tell(*(ended(host=f"web{number}") for number in range(1, 6)))
    assert run.view.status() == ""


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ([started(prompts=True)], ""),
        ([started(reports=True)], "[2/5] push: (web1) docker push"),
        ([started(reports=True), started(host="web2", reports=True)], ""),
    ],
    ids=["a-task-that-asks", "one-that-reports", "several-that-report"],
)
def test_the_last_line_is_left_to_tasks_that_need_it(events: list[Event], status: str) -> None:
    run = Run()
    run.tell(PLAY, *events)
    assert run.view.status() == status


def test_the_last_line_never_wraps() -> None:
    run = Run(width=lambda: 30)
    run.tell(PLAY, started(name="a name that is longer than the line"))
    assert len(run.view.status()) == 29


def test_the_recap_has_a_line_for_each_host_and_names_what_failed() -> None:
    run = Run()
    run.tell(PLAY)
    for name in ("one", "two", "three", "four"):
        run.tell(started(name=name), ended(Status.FAILED, name=name, result={"msg": "boom"}))
    run.tell(started(host="web2"), ended(Status.FAILED, host="web2", rescued=True), 72.0)
    hosts = (
        HostSummary("web1", ok=3, changed=1, failed=4),
        HostSummary("web2", ok=5, changed=2, skipped=1, rescued=1, ignored=1),
        HostSummary("web3", ok=1),
        HostSummary("web4", unreachable=1),
        HostSummary("web5"),
    )
    assert run.tell(RunEnded(hosts, check_mode=True)) == [
        " ",
        "#Recap (1m 12s, check mode)",
        "!✗ web1: 3 ok, 1 changed, 4 failed: one, two, three and 1 more",
        "~✓ web2: 5 ok, 2 changed, 1 skipped, 1 rescued, 1 ignored",
        "=✓ web3: 1 ok",
        "!✗ web4: 1 unreachable",
        "=✓ web5: nothing ran",
    ]


def test_numbers_begin_anew_with_each_play() -> None:
    run = Run()
    run.tell(PLAY, started(), ended())
    lines = run.tell(PlayStarted("Clean up", (Planned("x"),)), started("x"), ended(task="x"))
    assert lines == [" ", "#Clean up", "=[1/1] push: (web1) docker push ✓ (0.0s)"]
