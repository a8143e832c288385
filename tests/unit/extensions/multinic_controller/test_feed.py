# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is heard: who is to be looked at, what a list shows to be gone, and the places that are taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ansible_collections.manifold.core.extensions.multinic_controller._feed import Feed, Kind

Obj = dict[str, Any]


def config(name: str, node: str = "", version: int = 1, **metadata: Any) -> Obj:
    created = {"creationTimestamp": "2026-01-01T00:00:00Z", "generation": 1}
    named = {"name": name, "namespace": "multinic", "uid": f"uid-{name}", "resourceVersion": str(version)}
    spec = {"nodeName": node or name, "instanceId": "i", "interfaces": []}
    return {"metadata": {**named, **created, **metadata}, "spec": spec}


def node(name: str, ready: bool = True, heartbeat: int = 0) -> Obj:
    condition = {"type": "Ready", "status": str(ready), "lastHeartbeatTime": str(heartbeat)}
    metadata = {"name": name, "uid": f"uid-{name}", "resourceVersion": str(heartbeat + 1)}
    return {"metadata": metadata, "status": {"nodeInfo": {}, "conditions": [condition]}}


class Lists:
    """A cluster's lists; ``during`` happens while the first one is read."""

    def __init__(
        self, configs: Iterable[Obj] = (), nodes: Iterable[Obj] = (), during: Callable[[], None] | None = None
    ) -> None:
        self._configs, self._nodes, self._during = configs, nodes, during

    def configs(self) -> Iterable[Obj]:
        if self._during is not None:
            self._during()
        return self._configs

    def nodes(self) -> Iterable[Obj]:
        return self._nodes

    def jobs(self) -> Iterable[Obj]:
        return ()

    def pods(self) -> Iterable[Obj]:
        return ()


def test_a_heartbeat_of_a_node_is_no_news_but_its_readiness_is() -> None:
    feed = Feed()
    feed.put(Kind.CONFIG, config("a"))
    assert feed.put(Kind.NODE, node("a")) == {"uid-a"}
    assert feed.put(Kind.NODE, node("a", heartbeat=1)) == set()
    assert feed.put(Kind.NODE, node("a", ready=False, heartbeat=2)) == {"uid-a"}
    assert feed.drop(Kind.NODE, node("a")) == {"uid-a"}


def test_those_for_the_same_node_are_looked_at_when_one_comes_or_goes() -> None:
    feed = Feed()
    feed.put(Kind.CONFIG, config("a", node="n"))
    assert feed.put(Kind.CONFIG, config("b", node="n")) == {"uid-a", "uid-b"}
    assert feed.drop(Kind.CONFIG, config("a", node="n")) == {"uid-a", "uid-b"}


def test_a_list_shows_what_is_gone() -> None:
    feed = Feed()
    feed.put(Kind.CONFIG, config("a"))
    feed.put(Kind.CONFIG, config("b"))
    feed.put(Kind.NODE, node("a"))
    assert feed.resync(Lists([config("b", version=2)])) == {"uid-a", "uid-b"}
    assert feed.index.configs() == ("uid-b",)


def test_what_comes_while_a_list_is_made_stays_and_what_goes_does_not_come_back() -> None:
    feed = Feed()
    feed.put(Kind.CONFIG, config("a"))

    def meanwhile() -> None:
        feed.drop(Kind.CONFIG, config("a"))
        feed.put(Kind.CONFIG, config("new"))

    # the list was made before both
    feed.resync(Lists([config("a")], during=meanwhile))
    assert feed.index.configs() == ("uid-new",)


def test_the_answer_to_the_last_write_does_not_bring_a_resource_back() -> None:
    feed = Feed()
    feed.put(Kind.CONFIG, config("a"))
    feed.drop(Kind.CONFIG, config("a"))
    feed.index.put_config(config("a", version=9, deletionTimestamp="2026-01-01T00:00:00Z", finalizers=[]))
    assert feed.index.configs() == ()


def test_a_place_that_is_reserved_is_taken() -> None:
    feed = Feed()
    feed.index.reserve("uid-a")
    assert feed.index.fleet().in_flight == {"uid-a"}
    feed.index.release("uid-a")
    assert feed.index.fleet().in_flight == frozenset()
