# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The API's rules for objects, without a server."""

from __future__ import annotations

from typing import Any

import pytest

from testbed.kube.errors import ApiError
from testbed.kube.objects import Objects, owner_reference
from testbed.kube.resources import Registry
from testbed.kube.selector import field_selector, label_selector
from testbed.kube.store import Ref, Store


@pytest.fixture
def objects() -> Objects:
    """An API with the namespace ``default`` and nothing else."""
    made = Objects(Store(history=10), Registry())
    made.create(made.registry.of_kind("Namespace"), None, {"metadata": {"name": "default"}})
    return made


def config(name: str, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **metadata}, "data": {"a": "1"}}


def test_what_the_server_owns_cannot_be_written(objects: Objects) -> None:
    kind = objects.registry.of_kind("ConfigMap")
    created = objects.create(kind, "default", config("c", uid="mine", generation=7))
    assert created["metadata"]["uid"] != "mine"
    changed = objects.change(kind, "default", "c", lambda obj: obj["metadata"].update(uid="mine", generation=9))
    assert changed["metadata"] == created["metadata"]


def test_generation_counts_changes_of_the_specification_only(objects: Objects) -> None:
    kind = objects.registry.of_kind("Deployment")
    objects.create(kind, "default", {"metadata": {"name": "d"}, "spec": {}})
    labelled = objects.change(kind, "default", "d", lambda obj: obj["metadata"].update(labels={"a": "b"}))
    reported = objects.change(kind, "default", "d", lambda obj: obj.update(status={"replicas": 1}), "status")
    scaled = objects.change(kind, "default", "d", lambda obj: obj["spec"].update(replicas=5))
    assert [obj["metadata"]["generation"] for obj in (labelled, reported, scaled)] == [1, 1, 2]
    revisions = [int(obj["metadata"]["resourceVersion"]) for obj in (labelled, reported, scaled)]
    assert revisions == sorted(set(revisions))


def test_status_and_the_rest_are_written_apart(objects: Objects) -> None:
    kind = objects.registry.of_kind("Deployment")
    objects.create(kind, "default", {"metadata": {"name": "d"}, "spec": {}, "status": {"replicas": 9}})
    both = {"metadata": {"name": "d"}, "spec": {"replicas": 3}, "status": {"replicas": 4}}
    assert objects.replace(kind, "default", "d", both)["status"] == {}
    replaced = objects.replace(kind, "default", "d", {**both, "spec": {"replicas": 8}}, "status")
    assert (replaced["spec"]["replicas"], replaced["status"]) == (3, {"replicas": 4})


def test_a_change_that_changes_nothing_makes_no_event(objects: Objects) -> None:
    kind = objects.registry.of_kind("ConfigMap")
    objects.create(kind, "default", config("c"))
    revision = objects.store.revision
    objects.change(kind, "default", "c", lambda _: None)
    assert objects.store.revision == revision


def test_owned_objects_go_with_their_owner_and_only_with_the_last(objects: Objects) -> None:
    kind = objects.registry.of_kind("ConfigMap")
    owners = [objects.create(kind, "default", config(f"owner{n}")) for n in (1, 2)]
    references = [owner_reference(owner) for owner in owners]
    objects.create(kind, "default", config("one", ownerReferences=references[:1]))
    objects.create(kind, "default", config("both", ownerReferences=references))
    objects.create(kind, "default", config("orphan", ownerReferences=references[1:]))

    def left() -> list[str]:
        return [obj["metadata"]["name"] for obj in objects.store.items("", "configmaps")[0]]

    objects.delete(kind, "default", "owner1")
    assert left() == ["both", "orphan", "owner2"]
    objects.delete(kind, "default", "owner2", orphan=True)
    assert left() == ["both", "orphan"]


@pytest.mark.parametrize(
    ("action", "code"),
    [
        (lambda objects, kind: objects.create(kind, "default", config("c")), 409),
        (lambda objects, kind: objects.create(kind, "nowhere", config("d")), 404),
        (lambda objects, kind: objects.create(kind, "default", config("d", namespace="other")), 400),
        (lambda objects, kind: objects.create(kind, "default", {"metadata": {}}), 422),
        (lambda objects, kind: objects.get(kind, "default", "d"), 404),
        (lambda objects, kind: objects.delete(kind, "default", "c", uid="another"), 409),
        (lambda objects, kind: objects.change(kind, "default", "c", lambda o: o["metadata"].update(name="d")), 422),
        (lambda objects, kind: objects.replace(kind, "default", "c", config("c", resourceVersion="1")), 409),
    ],
)
def test_refusals(objects: Objects, action: Any, code: int) -> None:
    kind = objects.registry.of_kind("ConfigMap")
    objects.create(kind, "default", config("c"))
    with pytest.raises(ApiError) as caught:
        action(objects, kind)
    assert caught.value.code == code


def test_a_history_that_is_too_short_is_gone() -> None:
    store = Store(history=2)
    for number in range(4):
        store.write(Ref("", "things", "", "x"), {"metadata": {}, "n": number})
    assert [event.obj["n"] for event in store.events_after(2, 0)] == [2, 3]
    with pytest.raises(ApiError) as caught:
        store.events_after(1, 0)
    assert caught.value.code == 410


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("", True),
        ("a=1", True),
        ("a==1,b=2", True),
        ("a=1,b=3", False),
        ("a!=1", False),
        ("c!=1", True),
        ("a", True),
        ("!a", False),
        ("!c", True),
        ("a in (1, 2),b notin (3)", True),
        ("a notin (1,2)", False),
        ("c in (1)", False),
    ],
)
def test_label_selectors(selector: str, matches: bool) -> None:
    assert label_selector(selector)({"metadata": {"labels": {"a": "1", "b": "2"}}}) is matches


def test_field_selectors() -> None:
    pod = {"metadata": {"name": "p"}, "status": {"phase": "Running"}}
    assert field_selector("metadata.name=p,status.phase!=Failed")(pod)
    assert not field_selector("spec.nodeName=n")(pod)
    with pytest.raises(ApiError):
        field_selector("nonsense")
