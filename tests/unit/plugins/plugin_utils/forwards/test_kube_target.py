# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._workload import NoPod, pod_selector
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._errors import ForwardError
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._kube_target import (
    picture_of,
    selector_of,
    target_of,
)

SERVICE = target_of("service/web")


def pod(name: str, *, ready: bool = True, created: str = "1", deleted: bool = False, **ports: int) -> dict[str, Any]:
    """Return a pod whose only container names ``ports``."""
    metadata = {"name": name, "uid": f"uid-{name}", "creationTimestamp": created}
    return {
        "kind": "Pod",
        "metadata": {**metadata, **({"deletionTimestamp": "2"} if deleted else {})},
        "spec": {"containers": [{"name": "c", "ports": [{"name": k, "containerPort": v} for k, v in ports.items()]}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": str(ready)}]},
    }


def service(*ports: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": list(ports), **spec}}


@pytest.mark.parametrize(
    ("asked", "number"),
    [
        (80, 8080),
        ("http", 8080),
        (9000, 7000),  # a named target port, which each pod may have elsewhere
        (81, 81),  # no target port: the same
    ],
)
@pytest.mark.parametrize("cluster_ip", ["10.0.0.1", "None"])
def test_a_port_of_a_service_leads_to_its_target_port(asked: int | str, number: int, cluster_ip: str) -> None:
    ports = (
        {"port": 80, "name": "http", "targetPort": 8080},
        {"port": 9000, "name": "admin", "targetPort": "management"},
        {"port": 81, "name": "plain"},
    )
    picture = picture_of(SERVICE, service(*ports, clusterIP=cluster_ip), [pod("a", management=7000)])
    assert picture.number(asked, picture.pods[0]) == number


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (90, r"service/web: it has no port 90\. It has: 80 \(http\), 53\."),
        ("htp", r"service/web: it has no port 'htp'\. It has: 80 \(http\), 53\."),
        (53, r"service/web: port 53 is for UDP, and only TCP is forwarded"),
        (80, r"no container of pod a names a port 'main'\. It names no ports: give a number\."),
    ],
)
def test_a_port_that_a_service_cannot_give_is_explained(asked: int | str, said: str) -> None:
    found = service({"port": 80, "name": "http", "targetPort": "main"}, {"port": 53, "protocol": "UDP"})
    picture = picture_of(SERVICE, found, [pod("a")])
    with pytest.raises(ForwardError, match=said):
        picture.number(asked, picture.pods[0])


@pytest.mark.parametrize("text", ["deployment/web", "statefulset/web", "pod/a"])
def test_a_port_of_anything_else_is_one_of_its_containers(text: str) -> None:
    picture = picture_of(target_of(text), {}, [pod("a", web=8080)])
    assert [picture.number(port, picture.pods[0]) for port in ("web", 8081)] == [8080, 8081]
    with pytest.raises(ForwardError, match=r"no container of pod a names a port 'wep'\. Did you mean 'web'"):
        picture.number("wep", picture.pods[0])


def test_only_ready_pods_that_stay_are_taken_and_the_newest_first() -> None:
    pods = [pod("old"), pod("new", created="5"), pod("ends", created="9", deleted=True), pod("starts", ready=False)]
    assert [each.name for each in picture_of(SERVICE, service(), pods).pods] == ["new", "old"]


def test_of_a_stateful_set_the_lowest_number_comes_first() -> None:
    pods = [pod("db-10"), pod("db-2", created="9"), pod("db-3")]
    assert [each.name for each in picture_of(target_of("sts/db"), {}, pods).pods] == ["db-2", "db-3", "db-10"]


def test_a_pod_that_is_named_only_has_to_run() -> None:
    assert picture_of(target_of("pod/a"), pod("a", ready=False), [pod("a", ready=False)]).pods[0].name == "a"
    with pytest.raises(NoPod, match="a: Terminating"):
        picture_of(target_of("pod/a"), pod("a", deleted=True), [pod("a", deleted=True)])


def test_pods_that_are_not_ready_are_named_with_the_reason() -> None:
    waiting = pod("b", ready=False)
    waiting["status"] = {
        "phase": "Pending",
        "containerStatuses": [{"name": "c", "state": {"waiting": {"reason": "ImagePullBackOff"}}}],
    }
    with pytest.raises(NoPod, match=r"no pod of service/web is ready: a: Terminating; b: Pending .*ImagePullBackOff"):
        picture_of(SERVICE, service(), [pod("a", deleted=True), waiting])


def test_a_service_may_publish_pods_that_are_not_ready() -> None:
    found = service(publishNotReadyAddresses=True)
    assert picture_of(SERVICE, found, [pod("a", ready=False)]).pods[0].name == "a"


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (service(selector=None), "service/web: it has no selector"),
        (service(type="ExternalName", externalName="db.example"), "only a name for db.example"),
    ],
)
def test_a_service_without_pods_of_its_own_is_refused(found: dict[str, Any], said: str) -> None:
    with pytest.raises(ForwardError, match=said):
        selector_of(SERVICE, found, pod_selector)


@pytest.mark.parametrize("text", ["web", "node/x", "daemonset/x", "service/", "a/b/c", ""])
def test_what_has_no_ports_is_refused_with_what_has(text: str) -> None:
    with pytest.raises(ForwardError, match=r"Write service/, deployment/, statefulset/ or pod/ and a name"):
        target_of(text)
