# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.manifold.core.plugins.plugin_utils.steps._plan import Plan, Planned


def planned(*names: str, within: tuple[str, ...] = (), source: str = "") -> tuple[Planned, ...]:
    return tuple(Planned(name, within, source and f"{source}:{name}") for name in names)


def numbers(plan: Plan, *tasks: str, host: str = "one") -> list[tuple[int, int]]:
    """Start tasks and return the number of each and how many were known then."""
    return [(plan.number(plan.start(host, task)), plan.total) for task in tasks]


def test_tasks_are_numbered_as_they_stand_in_the_play() -> None:
    plan = Plan(planned("a", "b", "c"))
    assert numbers(plan, "a", "b") == [(1, 3), (2, 3)]
    assert numbers(plan, "a", "b", "c", host="two") == [(1, 3), (2, 3), (3, 3)]


def test_a_rescue_counts_when_it_is_entered_and_stands_behind_its_block() -> None:
    plan = Plan((*planned("try", "more", within=("block",)), *planned("last")))
    numbers(plan, "try")
    rescue = planned("undo", "tell", within=("block",))
    assert not plan.knows("undo")
    plan.found("one", rescue[0], rescue, "block")
    assert numbers(plan, "undo", "tell", "last") == [(3, 5), (4, 5), (5, 5)]


def test_what_an_include_loads_stands_behind_it_part_by_part() -> None:
    plan = Plan(planned("include", "last"))
    numbers(plan, "include")
    first = planned("a", "b", within=("include", "part1"))
    plan.found("one", first[0], first, "include")
    assert numbers(plan, "a", "b") == [(2, 4), (3, 4)]
    second = planned("c", within=("include", "part2"))
    plan.found("one", second[0], second, "include")
    assert numbers(plan, "c", "last") == [(4, 5), (5, 5)]


def test_facts_come_first_and_handlers_where_they_run() -> None:
    plan = Plan(planned("a", "b"))
    (facts,), (handler,) = planned("facts"), planned("handler")
    plan.found("one", facts, (facts,), None)
    assert numbers(plan, "facts", "a") == [(1, 3), (2, 3)]
    plan.found("one", handler, (handler,), None)
    assert numbers(plan, "handler", "b") == [(3, 4), (4, 4)]


def test_a_handler_that_runs_again_is_a_step_of_its_own() -> None:
    plan = Plan(planned("a", "b"))
    (handler,) = planned("handler")
    numbers(plan, "a")
    plan.found("one", handler, (handler,), None)
    assert numbers(plan, "handler", "b", "handler") == [(2, 3), (3, 3), (4, 4)]
    assert numbers(plan, "handler", host="two") == [(4, 4)]


def test_hosts_that_load_an_include_each_for_itself_share_its_steps() -> None:
    plan = Plan(planned("include", "last"))
    for host in ("one", "two"):
        numbers(plan, "include", host=host)
        copies = tuple(Planned(f"{name}-{host}", ("root", "include"), name) for name in ("a", "b"))
        for copy in copies:
            if not plan.knows(copy.id):
                plan.found(host, copy, copies, "include")
        assert numbers(plan, *(copy.id for copy in copies), host=host) == [(2, 4), (3, 4)]


def test_an_include_in_a_loop_adds_its_steps_each_time() -> None:
    plan = Plan(planned("include"))
    numbers(plan, "include")
    for turn, expected in ((1, (2, 2)), (2, (3, 3))):
        task = Planned(f"a{turn}", ("root", "include"), "a")
        plan.found("one", task, (task,), "include")
        assert numbers(plan, task.id) == [expected]


def test_a_role_that_is_used_twice_has_its_steps_twice() -> None:
    plan = Plan(planned("first", "second"))
    for host, root in (("one", "first"), ("two", "second")):
        task = Planned(f"rescue-{root}", (root,), "role.yml:7")
        plan.found(host, task, (task,), root)
        numbers(plan, task.id, host=host)
    assert plan.total == 4
