# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A token may do what the roles bound to its service account allow, and nothing more."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed.kube import Kube, Outcome, StubBackend
from testbed.kube.kubectl import Kubectl
from testbed.run import Run
from testbed_tests.kube.widgets import CRD, widget

RBAC = "rbac.authorization.k8s.io"
VERBS = ["get", "list", "watch", "patch", "create", "delete"]


@pytest.fixture(scope="module")
def kube(testbed_run: Run) -> Iterator[Kube]:
    """An API that knows widgets, with the service account ``robot`` in ``default`` and the namespace ``other``."""
    with contextlib.closing(Kube(StubBackend(lambda _: Outcome(None)), workdir=testbed_run.new_directory("kube"))) as k:
        k.create(CRD)
        k.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other", "labels": {"a": "b"}}})
        k.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}})
        yield k


@pytest.fixture
def robot(kube: Kube, tmp_path: Path) -> Kubectl:
    """A kubectl with the token of the service account."""
    return Kubectl(kube.service_account_kubeconfig(tmp_path / "robot", "robot"), tmp_path / "cache")


@pytest.fixture
def grant(kube: Kube) -> Iterator[Callable[..., None]]:
    """Grant rules to the service account for the time of a test."""
    made: list[tuple[str, str, str]] = []

    def give(*rules: dict[str, Any], cluster: bool = False, namespace: str = "default", role: str = "Role") -> None:
        name = f"grant-{len(made)}"
        role = "ClusterRole" if cluster else role
        binding = "ClusterRoleBinding" if cluster else "RoleBinding"
        reference = {"apiGroup": RBAC, "kind": role, "name": name}
        subjects = [{"kind": "ServiceAccount", "name": "robot", "namespace": "default"}]
        common = {"apiVersion": f"{RBAC}/v1", "metadata": {"name": name, "namespace": namespace}}
        for obj in (
            {**common, "kind": role, "rules": list(rules)},
            {**common, "kind": binding, "roleRef": reference, "subjects": subjects},
        ):
            kube.create(json.loads(json.dumps(obj)))
            made.append((str(obj["kind"]), name, namespace))

    yield give
    for kind, name, namespace in made:
        kube.delete(kind, name, namespace)


def rule(*resources: str, verbs: list[str] = VERBS, groups: tuple[str, ...] = ("example.org",), **more: Any) -> Any:
    return {"apiGroups": list(groups), "resources": list(resources), "verbs": verbs, **more}


def refused(kubectl: Kubectl, *arguments: str, input: Any = None) -> str:
    done = kubectl.run(*arguments, input=None if input is None else json.dumps(input))
    assert done.returncode == 1, done.stdout
    return done.stderr.decode()


def test_nothing_is_allowed_by_default(robot: Kubectl) -> None:
    assert refused(robot, "get", "widgets") == (
        'Error from server (Forbidden): widgets.example.org is forbidden: User "system:serviceaccount:default:robot" '
        'cannot list resource "widgets" in API group "example.org" in the namespace "default"\n'
    )
    assert "cannot get resource" in refused(robot, "get", "widget", "w")
    assert "at the cluster scope" in refused(robot, "get", "nodes")
    assert "pods" in refused(robot, "get", "pods", "-n", "other")


def test_a_role_holds_in_its_namespace_and_for_its_verbs(
    kube: Kube, robot: Kubectl, grant: Callable[..., None]
) -> None:
    grant(rule("widgets", verbs=["get", "list", "create"]))
    robot("create", "-f", "-", input=json.dumps(widget("mine")))
    assert robot("get", "widgets", "-o", "name") == "widget.example.org/mine\n"
    assert "cannot list" in refused(robot, "get", "widgets", "-n", "other")
    assert "cannot list" in refused(robot, "get", "widgets", "-A")
    assert "cannot delete" in refused(robot, "delete", "widget", "mine")
    assert "cannot patch" in refused(robot, "label", "widget", "mine", "a=b")
    kube.delete("Widget", "mine")


def test_a_cluster_role_holds_where_it_is_bound(robot: Kubectl, grant: Callable[..., None]) -> None:
    grant(rule("widgets", verbs=["list"]), role="ClusterRole")
    robot("get", "widgets")
    assert "cannot list" in refused(robot, "get", "widgets", "-A")
    grant(rule("widgets", "nodes", verbs=["list"], groups=("example.org", "")), cluster=True)
    robot("get", "widgets", "-A")
    robot("get", "nodes")


def test_a_subresource_is_a_right_of_its_own(kube: Kube, robot: Kubectl, grant: Callable[..., None]) -> None:
    kube.create(widget("sub"))
    patch = ("patch", "widget", "sub", "--type=merge", "-p")
    grant(rule("widgets", verbs=["get", "patch"]), rule("widgets/status", verbs=["get"]))
    robot(*patch, '{"spec": {"mode": "fast"}}')
    denied = refused(robot, *patch, '{"status": {"state": "x"}}', "--subresource=status")
    assert 'cannot patch resource "widgets/status"' in denied
    grant(rule("widgets/status", verbs=["patch"]))
    robot(*patch, '{"status": {"state": "x"}}', "--subresource=status")
    kube.delete("Widget", "sub")


def test_a_rule_may_be_for_one_name(kube: Kube, robot: Kubectl, grant: Callable[..., None]) -> None:
    for name in ("one", "two"):
        kube.create(widget(name))
    grant(rule("widgets", verbs=["get"], resourceNames=["one"]))
    robot("get", "widget", "one")
    assert "cannot get" in refused(robot, "get", "widget", "two")
    assert "cannot list" in refused(robot, "get", "widgets")
    for name in ("one", "two"):
        kube.delete("Widget", name)


def test_a_token_ends_with_its_service_account_and_a_strange_one_is_nobody(kube: Kube, tmp_path: Path) -> None:
    kube.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "gone"}})
    config = kube.service_account_kubeconfig(tmp_path / "gone", "gone")
    kube.delete("ServiceAccount", "gone")
    kube.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "gone"}})
    strange = tmp_path / "strange"
    strange.write_text(re.sub(r"testbed-\S+", "strange", config.read_text()))
    for wrong in (config, strange):
        kubectl = Kubectl(wrong, tmp_path / "cache")
        assert "Unauthorized" in refused(kubectl, "get", "--raw", "/api/v1/namespaces/default/pods")


def test_one_can_ask_what_one_may(
    kube: Kube, robot: Kubectl, grant: Callable[..., None], kubectl_for: Callable[[Kube], Kubectl]
) -> None:
    grant(rule("widgets", verbs=["get"]))
    assert robot("auth", "can-i", "get", "widgets.example.org") == "yes\n"
    assert robot.run("auth", "can-i", "delete", "widgets.example.org").stdout == b"no\n"
    assert "system:serviceaccount:default:robot" in robot("auth", "whoami")
    admin = kubectl_for(kube)
    assert admin("auth", "can-i", "delete", "nodes").endswith("yes\n")
    as_robot = "--as=system:serviceaccount:default:robot"
    assert admin.run("auth", "can-i", "delete", "nodes", as_robot).stdout == b"no\n"
    token = admin("create", "token", "robot").strip()
    assert kube.front.access.identify(f"Bearer {token}", None).name == "system:serviceaccount:default:robot"
