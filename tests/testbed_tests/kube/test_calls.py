# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls are counted, delayed, refused and lost; watches expire; the API server goes and comes back."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from testbed.kube import CallFault, Kube, Outcome, Reset, StubBackend
from testbed.run import Run

MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture(scope="module")
def kube(testbed_run: Run) -> Iterator[Kube]:
    """An API without pods."""
    with contextlib.closing(Kube(StubBackend(lambda _: Outcome()), workdir=testbed_run.new_directory("kube"))) as made:
        yield made


@pytest.fixture(autouse=True)
def no_faults(kube: Kube) -> Iterator[None]:
    """Count from nothing, and leave no fault."""
    kube.calls.clear()
    yield
    kube.calls.clear()


@contextlib.contextmanager
def connection(kube: Kube) -> Iterator[http.client.HTTPConnection]:
    target = urlsplit(kube.url)
    with contextlib.closing(http.client.HTTPConnection(str(target.hostname), target.port, timeout=30)) as client:
        yield client


def call(kube: Kube, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    with connection(kube) as client:
        client.request(method, path, None if body is None else json.dumps(body), {"User-Agent": "tester/1"})
        answer = client.getresponse()
        return answer.status, json.loads(answer.read())


class Watch:
    """The lines of a watch."""

    def __init__(self, client: http.client.HTTPConnection, query: str = "") -> None:
        client.request("GET", f"{MAPS}?watch=1{query}")
        self._answer = client.getresponse()

    def event(self) -> tuple[str, Any]:
        found = json.loads(self._answer.readline())
        return found["type"], found["object"]

    def ended(self) -> bool:
        return self._answer.readline() == b""


def config(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


def test_calls_are_counted_by_client_verb_and_resource(kube: Kube) -> None:
    kube.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "counted"}})
    for _round in range(3):
        call(kube, "GET", MAPS)
    call(kube, "GET", f"{MAPS}/none")
    call(kube, "PATCH", "/api/v1/nodes/testbed/status", {})
    assert kube.calls.count("list", "configmaps") == 3
    assert kube.calls.counts()[("system:admin", "patch", "nodes/status")] == 1
    assert kube.calls.count(client="system:admin") == 5
    assert (kube.calls.codes()[200], kube.calls.codes()[404]) == (3, 1)


def test_a_call_is_refused_as_often_as_asked(kube: Kube) -> None:
    fault = kube.calls.add(CallFault(verb="get", resource="configmaps", client="tester", code=503, times=2))
    assert [call(kube, "GET", f"{MAPS}/x")[0] for _round in range(3)] == [503, 503, 404]
    assert call(kube, "GET", MAPS)[0] == 200
    assert fault.struck == 2
    kube.calls.add(CallFault(code=429, retry_after=7))
    with connection(kube) as client:
        client.request("GET", MAPS)
        answer = client.getresponse()
        assert (answer.status, answer.headers["Retry-After"]) == (429, "7")
        assert json.loads(answer.read())["reason"] == "TooManyRequests"


def test_a_call_is_delayed(kube: Kube) -> None:
    kube.calls.add(CallFault(verb="list", delay=0.2))
    began = time.monotonic()
    assert call(kube, "GET", MAPS)[0] == 200
    assert time.monotonic() - began >= 0.2


@pytest.mark.parametrize(("reset", "there"), [(Reset.BEFORE, False), (Reset.AFTER, True)])
def test_a_connection_is_reset_before_or_after_the_deed(kube: Kube, reset: Reset, there: bool) -> None:
    kube.calls.add(CallFault(verb="create", resource="configmaps", reset=reset))
    with pytest.raises(ConnectionError):
        call(kube, "POST", MAPS, config(reset.value))
    assert (call(kube, "GET", f"{MAPS}/{reset.value}")[0] == 200) is there


def test_watches_expire_and_old_revisions_are_gone(kube: Kube) -> None:
    _code, listed = call(kube, "GET", MAPS)
    old = listed["metadata"]["resourceVersion"]
    kube.create(config("seen"))
    with connection(kube) as client:
        watch = Watch(client, f"&resourceVersion={old}")
        assert watch.event()[0] == "ADDED"
        kube.expire_watches()
        kind, status = watch.event()
        assert (kind, status["code"], status["reason"]) == ("ERROR", 410, "Expired")
        assert watch.ended()
    with connection(kube) as client:
        assert Watch(client, f"&resourceVersion={old}").event()[1]["code"] == 410
    _code, listed = call(kube, "GET", MAPS)
    with connection(kube) as client:
        watch = Watch(client, f"&resourceVersion={listed['metadata']['resourceVersion']}")
        kube.create(config("later"))
        assert watch.event()[1]["metadata"]["name"] == "later"


def test_a_bookmark_tells_how_far_the_world_has_gone(kube: Kube) -> None:
    _code, listed = call(kube, "GET", MAPS)
    query = f"&resourceVersion={listed['metadata']['resourceVersion']}&timeoutSeconds=1"
    for asked, kinds in (("&allowWatchBookmarks=true", ["BOOKMARK"]), ("", [])):
        with connection(kube) as client:
            watch = Watch(client, query + asked)
            kube.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"generateName": "other-"}})
            assert [watch.event()[0] for _kind in kinds] == kinds
            assert watch.ended()


def test_the_api_server_comes_back_with_all_it_held(kube: Kube) -> None:
    kube.create(config("kept"))
    url = kube.url
    with connection(kube) as client, connection(kube) as idle:
        watch = Watch(client)
        idle.request("GET", MAPS)
        idle.getresponse().read()
        with kube.down():
            with pytest.raises(OSError):
                call(kube, "GET", MAPS)
            kube.create(config("meanwhile"))
        with pytest.raises((OSError, http.client.HTTPException, ValueError)):
            while True:
                watch.event()
    assert kube.url == url
    assert call(kube, "GET", f"{MAPS}/kept")[0] == call(kube, "GET", f"{MAPS}/meanwhile")[0] == 200
