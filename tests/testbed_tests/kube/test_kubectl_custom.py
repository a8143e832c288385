# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user types at a real kubectl about custom resources: apply, explain, get, diff."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from testbed.kube import Kube, Outcome, StubBackend
from testbed.kube.kubectl import Kubectl
from testbed.kube.tables import find, since
from testbed.run import Run
from testbed_tests.kube.widgets import CRD, widget


@pytest.fixture(scope="module")
def kube(testbed_run: Run) -> Iterator[Kube]:
    """An API that knows widgets."""
    with contextlib.closing(Kube(StubBackend(lambda _: Outcome(3)), workdir=testbed_run.new_directory("kube"))) as made:
        made.create(CRD)
        yield made


@pytest.fixture
def kubectl(kube: Kube, kubectl_for: Callable[[Kube], Kubectl]) -> Kubectl:
    """A kubectl for the API."""
    return kubectl_for(kube)


def apply(kubectl: Kubectl, obj: dict[str, Any], *options: str) -> str:
    return kubectl("apply", *options, "-f", "-", input=json.dumps(obj))


def test_a_custom_resource_is_applied_with_validation(kube: Kube, kubectl: Kubectl) -> None:
    assert apply(kubectl, widget("a")) == "widget.example.org/a created\n"
    assert apply(kubectl, widget("a")) == "widget.example.org/a unchanged\n"
    assert apply(kubectl, widget("a", mode="fast"), "--dry-run=server").startswith("widget.example.org/a configured")
    assert kube.get("Widget", "a")["spec"]["mode"] == "safe"
    assert apply(kubectl, widget("a", mode="fast")) == "widget.example.org/a configured\n"
    done = kubectl.run("diff", "-f", "-", input=json.dumps(widget("a", mode="safe")))
    assert done.returncode == 1
    assert b"-  mode: fast\n+  mode: safe\n" in done.stdout
    kubectl("delete", "widget", "a")


def test_a_slip_is_told_and_nothing_is_stored(kube: Kube, kubectl: Kubectl) -> None:
    done = kubectl.run("apply", "-f", "-", input=json.dumps(widget("b", nodee="x")))
    assert (done.returncode, done.stdout) == (1, b"")
    assert b'strict decoding error: unknown field "spec.nodee"' in done.stderr
    done = kubectl.run("apply", "-f", "-", input=json.dumps(widget("b", mode="slow", ports=[{"id": 0}])))
    assert done.stderr.decode() == (
        'The Widget "b" is invalid: \n'
        '* spec.mode: Unsupported value: "slow": supported values: "fast", "safe"\n'
        "* spec.ports[0].id: Invalid value: 0: spec.ports[0].id in body should be greater than or equal to 1\n"
    )
    assert kubectl("get", "widgets", "-o", "name") == ""
    loose = apply(kubectl, widget("b", nodee="x"), "--validate=false")
    assert loose == "widget.example.org/b created\n"
    assert "nodee" not in kube.get("Widget", "b")["spec"]
    kubectl("delete", "widget", "b")


def test_a_custom_resource_explains_itself(kubectl: Kubectl) -> None:
    assert "A widget is a thing." in kubectl("explain", "widget")
    ports = kubectl("explain", "widget.spec.ports")
    assert "<[]Object>" in ports
    assert "address\t<string>" in ports


def test_columns_are_the_definitions(kube: Kube, kubectl: Kubectl) -> None:
    kube.create(widget("c", ports=[{"id": 1}, {"id": 2, "mac": "02:00:00:00:00:02"}]))
    patch = '{"status": {"state": "Done"}}'
    kubectl("patch", "wdg", "c", "--subresource=status", "--type=merge", "-p", patch)
    head, row = (line.split() for line in kubectl("get", "wdg").splitlines())
    assert head == ["NAME", "NODE", "STATE", "AGE"]
    assert row[:3] == ["c", "n1", "Done"]
    assert kubectl("get", "wdg", "c", "-o", "wide").splitlines()[1].split()[3] == "1,2"
    with kubectl.start("get", "wdg", "-w", "--no-headers") as watching:
        assert watching.stdout is not None
        assert watching.stdout.readline().split()[:3] == [b"c", b"n1", b"Done"]
        kubectl("patch", "wdg", "c", "--subresource=status", "--type=merge", "-p", patch.replace("Done", "Lost"))
        assert watching.stdout.readline().split()[:3] == [b"c", b"n1", b"Lost"]
    kube.delete("Widget", "c")


def test_built_in_kinds_have_columns(kube: Kube, kubectl: Kubectl) -> None:
    kube.node("lost", osImage="Some OS").lose()
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "i"}]}
    spec = {"backoffLimit": 0, "template": {"spec": pod}}
    apply(kubectl, {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "job"}, "spec": spec})
    kubectl("wait", "--for=condition=Failed", "job/job", "--timeout=60s")

    def rows(*arguments: str) -> list[list[str]]:
        return [line.split() for line in kubectl("get", *arguments, "--no-headers").splitlines()]

    assert [row[:2] for row in rows("nodes")] == [["lost", "NotReady"], ["testbed", "Ready"]]
    assert "Some OS" in kubectl("get", "nodes", "-o", "wide")
    assert rows("jobs")[0][:3] == ["job", "Failed", "0/1"]
    assert rows("pods")[0][1:3] == ["0/1", "Error"]
    assert ["default", "Active"] in [row[:2] for row in rows("namespaces")]
    assert rows("serviceaccounts", "-A") == []


def test_paths_of_columns() -> None:
    ready = {"type": "Ready", "status": "True"}
    obj = {"status": {"conditions": [{"type": "Other", "status": "False"}, ready], "n": 0}}
    assert find(obj, '.status.conditions[?(@.type=="Ready")].status') == ["True"]
    assert find(obj, ".status.conditions[*].type") == ["Other", "Ready"]
    assert find(obj, ".status.conditions[0].type") == ["Other"]
    assert find(obj, ".status.n") == [0]
    assert find(obj, ".spec.n") == find(obj, ".status.n|nonsense") == []
    assert since("2000-01-01T00:00:00Z").endswith("d")
