# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Custom resources are pruned, filled in and refused as their definition says, without a server."""

from __future__ import annotations

from typing import Any

import pytest

from testbed.kube.crd.cel import RuleError, expression
from testbed.kube.crd.schema import go_pattern
from testbed.kube.errors import ApiError
from testbed.kube.objects import Objects
from testbed.kube.resources import Registry, Resource
from testbed.kube.store import Store
from testbed_tests.kube.widgets import CRD, crd, widget


@pytest.fixture
def objects() -> Objects:
    """An API that knows widgets."""
    made = Objects(Store(), Registry())
    made.create(made.registry.of_kind("Namespace"), None, {"metadata": {"name": "default"}})
    made.create(made.registry.of_kind("crd"), None, CRD)
    return made


def kind(objects: Objects) -> Resource:
    return objects.registry.of_kind("wdg")


def create(objects: Objects, **spec: Any) -> dict[str, Any]:
    return objects.create(kind(objects), "default", widget(**spec))


def causes(error: ApiError) -> list[tuple[str, str]]:
    assert (error.code, error.reason) == (422, "Invalid")
    assert error.details is not None
    return [(cause["field"], cause["reason"]) for cause in error.details["causes"]]


def test_unknown_fields_are_dropped_and_defaults_filled_in(objects: Objects) -> None:
    made = create(objects, what=1, free={"a": {"b": 1}}, labels={"x": "y"}, ports=[{"id": 1, "what": 2}], note=None)
    assert made["spec"] == {
        "node": "n1",
        "mode": "safe",
        "note": None,
        "free": {"a": {"b": 1}},
        "labels": {"x": "y"},
        "ports": [{"id": 1, "mac": "02:00:00:00:00:01"}],
    }


def test_a_null_stands_only_where_it_may(objects: Objects) -> None:
    made = create(objects, mode=None, labels=None, ports=[{"id": 1, "big": None}])
    assert made["spec"] == {"node": "n1", "mode": "safe", "ports": [{"id": 1, "mac": "02:00:00:00:00:01"}]}
    with pytest.raises(ApiError) as caught:
        create(objects, node=None)
    assert causes(caught.value) == [("spec.node", "FieldValueRequired")]


@pytest.mark.parametrize(
    ("spec", "field", "reason"),
    [
        ({"node": ""}, "spec.node", "FieldValueInvalid"),
        ({"node": "n\n"}, "spec.node", "FieldValueInvalid"),
        ({"node": "x" * 64}, "spec.node", "FieldValueTooLong"),
        ({"node": 5}, "spec.node", "FieldValueTypeInvalid"),
        ({"mode": "slow"}, "spec.mode", "FieldValueNotSupported"),
        ({"share": 1.5}, "spec.share", "FieldValueTypeInvalid"),
        ({"labels": {"a": 1}}, "spec.labels.a", "FieldValueTypeInvalid"),
        ({"ports": [{"id": i, "mac": f"02:00:00:00:00:0{i}"} for i in range(1, 5)]}, "spec.ports", "FieldValueTooMany"),
        ({"ports": [{}]}, "spec.ports[0].id", "FieldValueRequired"),
        ({"ports": [{"id": 0}]}, "spec.ports[0].id", "FieldValueInvalid"),
        ({"ports": [{"id": True}]}, "spec.ports[0].id", "FieldValueTypeInvalid"),
        ({"ports": [{"id": 2**31}]}, "spec.ports[0].id", "FieldValueInvalid"),
        ({"ports": [{"id": 1, "big": 2**63}]}, "spec.ports[0].big", "FieldValueInvalid"),
        ({"ports": [{"id": 1, "mac": "02:00"}]}, "spec.ports[0].mac", "FieldValueInvalid"),
        ({"ports": [{"id": 1, "address": "1.2.3.04"}]}, "spec.ports[0].address", "FieldValueInvalid"),
        ({"ports": [{"id": 1, "cidr": "10.0.0.0/255.0.0.0"}]}, "spec.ports[0].cidr", "FieldValueInvalid"),
        ({"ports": [{"id": 1, "tags": ["a", "a"]}]}, "spec.ports[0].tags[1]", "FieldValueDuplicate"),
        ({"ports": [{"id": 1}, {"id": 1, "mac": "02:00:00:00:00:02"}]}, "spec.ports[1]", "FieldValueDuplicate"),
        # by rules
        ({"ports": [{"id": 1}, {"id": 2}]}, "spec.ports", "FieldValueInvalid"),
        ({"ports": [{"id": 1, "address": "10.1.0.1", "cidr": "10.0.0.0/16"}]}, "spec.ports[0]", "FieldValueInvalid"),
    ],
)
def test_what_breaks_the_schema_is_refused(objects: Objects, spec: Any, field: str, reason: str) -> None:
    with pytest.raises(ApiError) as caught:
        create(objects, **spec)
    # A value that is no good may also break a rule that relies on it.
    assert causes(caught.value)[0] == (field, reason)


def test_what_fits_the_schema_is_taken(objects: Objects) -> None:
    port = {"id": 2**31 - 1, "big": -(2**63), "mac": "02:aB:00:00:00:02", "address": "10.0.0.1", "cidr": "10.0.1.1/16"}
    made = create(objects, share="50%", note="ä" * 20, ports=[port, {"id": 1}])
    assert made["spec"]["ports"][0] == port


def test_a_refusal_reads_like_a_servers(objects: Objects) -> None:
    with pytest.raises(ApiError) as caught:
        create(objects, mode="slow", ports=[{"id": 0}])
    assert str(caught.value) == (
        'Widget.example.org "w" is invalid: [spec.mode: Unsupported value: "slow": supported values: "fast", "safe", '
        "spec.ports[0].id: Invalid value: 0: spec.ports[0].id in body should be greater than or equal to 1]"
    )
    with pytest.raises(ApiError) as caught:
        create(objects, ports=[{"id": 1, "address": "10.1.0.1", "cidr": "10.0.0.0/16"}])
    assert str(caught.value).endswith('spec.ports[0]: Invalid value: "object": 10.1.0.1 is not in 10.0.0.0/16')


def test_rules_of_transition_see_what_was(objects: Objects) -> None:
    create(objects, ports=[{"id": 1, "big": 5}])
    resource = kind(objects)
    with pytest.raises(ApiError) as caught:
        objects.change(resource, "default", "w", lambda obj: obj["spec"].update(node="n2"))
    assert causes(caught.value) == [("spec.node", "FieldValueInvalid")]
    assert "node is immutable" in str(caught.value)

    # Elements are told apart by their key, not by their place.
    def reorder(obj: dict[str, Any]) -> None:
        obj["spec"]["ports"] = [{"id": 2, "big": 1, "mac": "02:00:00:00:00:02"}, {"id": 1, "big": 6}]

    objects.change(resource, "default", "w", reorder)
    with pytest.raises(ApiError) as caught:
        objects.change(resource, "default", "w", lambda obj: obj["spec"]["ports"][1].update(big=4))
    assert causes(caught.value) == [("spec.ports[1]", "FieldValueInvalid")]


def test_generation_and_status_are_apart(objects: Objects) -> None:
    create(objects)
    resource = kind(objects)

    def generation(change: Any, part: str = "") -> int:
        number: int = objects.change(resource, "default", "w", change, part)["metadata"]["generation"]
        return number

    assert generation(lambda obj: obj["metadata"].update(labels={"a": "b"}, annotations={"c": "d"})) == 1
    assert generation(lambda obj: obj.update(status={"state": "Done", "what": 1}), "status") == 1
    assert generation(lambda obj: (obj["spec"].update(node="n9"), obj["status"].update(state="X")), "status") == 1
    assert generation(lambda obj: obj.update(status={"state": "Lost"})) == 1
    assert generation(lambda obj: obj["spec"].update(what=1)) == 1  # it is dropped
    assert generation(lambda obj: obj["spec"].update(mode="fast")) == 2
    found = objects.get(resource, "default", "w")
    assert (found["spec"]["node"], found["status"]) == ("n1", {"state": "X"})
    objects.change(resource, "default", "w", lambda obj: obj.pop("status"), "status")
    assert "status" not in objects.get(resource, "default", "w")


def test_deletion_counts_as_a_generation_and_takes_no_new_finalizer(objects: Objects) -> None:
    objects.create(kind(objects), "default", widget(metadata={"finalizers": ["example.org/mine"]}))
    marked = objects.delete(kind(objects), "default", "w")
    assert marked["metadata"]["generation"] == 2
    with pytest.raises(ApiError, match="no new finalizers"):
        objects.change(kind(objects), "default", "w", lambda obj: obj["metadata"]["finalizers"].append("example.org/b"))


def test_what_a_stricter_definition_refuses_may_stay_where_it_is(objects: Objects) -> None:
    create(objects, mode="fast")

    def stricter(obj: dict[str, Any]) -> None:
        obj["spec"] = crd(mode={"type": "string", "enum": ["safe"]})["spec"]

    objects.change(objects.registry.of_kind("crd"), None, "widgets.example.org", stricter)
    resource = kind(objects)
    objects.change(resource, "default", "w", lambda obj: obj.update(status={"state": "Done"}), "status")
    with pytest.raises(ApiError) as caught:
        objects.change(resource, "default", "w", lambda obj: obj["spec"].update(note="x"))
    assert causes(caught.value) == [("spec.mode", "FieldValueNotSupported")]


BOUNDED = {"type": "string", "maxLength": 5}


@pytest.mark.parametrize(
    ("properties", "field", "text"),
    [
        ({"x": {"description": "no type"}}, "x].type", "must not be empty"),
        ({"x": {"type": "array"}}, "x].items", "Required"),
        ({"x": {"type": "object", "additionalProperties": False}}, "x].additionalProperties", "cannot be set to false"),
        (
            {"x": {"type": "array", "items": BOUNDED, "x-kubernetes-list-type": "map"}},
            "x].x-kubernetes-list-map-keys",
            "must not be empty",
        ),
        ({"x": {**BOUNDED, "x-kubernetes-validations": [{"rule": "self =="}]}}, "[0].rule", "compilation failed"),
        (
            {"x": {"type": "array", "items": BOUNDED, "x-kubernetes-validations": [{"rule": "self.all(a, a != '')"}]}},
            "[0].rule",
            "estimated rule cost exceeds budget",
        ),
        (
            {"x": {"type": "array", "items": {**BOUNDED, "x-kubernetes-validations": [{"rule": "self != ''"}]}}},
            "[0].rule",
            "estimated rule cost exceeds budget",
        ),
    ],
)
def test_a_definition_that_no_server_would_take_is_refused(properties: Any, field: str, text: str) -> None:
    made = Objects(Store(), Registry())
    with pytest.raises(ApiError) as caught:
        made.create(made.registry.of_kind("crd"), None, crd(**properties))
    [(name, _reason)] = causes(caught.value)
    assert name.endswith(field)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("rule", "held"),
    [
        (
            "isIP(self.a) && !isIP('10.0.0') && !isIP('010.0.0.1') && !isIP('::ffff:1.2.3.4') && !isIP('fe80::1%eth0')",
            True,
        ),
        (
            "isCIDR('10.0.0.1/8') && !isCIDR('10.0.0.1') && !isCIDR('10.0.0.1/33') && !isCIDR('10.0.0.0/255.0.0.0')",
            True,
        ),
        ("ip(self.a).family() == 4 && ip('::1').family() == 6 && ip('::1').isLoopback()", True),
        ("cidr('10.0.0.0/8').containsIP(self.a) && !cidr('10.0.0.0/8').containsIP(ip('11.0.0.1'))", True),
        ("cidr('10.0.0.7/8').ip() == ip('10.0.0.7') && cidr('10.0.0.7/8').masked() == cidr('10.0.0.0/8')", True),
        ("cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && cidr('10.0.0.0/8').prefixLength() == 8", True),
        ("string(ip('2001:DB8::0')) == '2001:db8::' && ip(self.a) != ip('10.0.0.2')", True),
        ("self.l.all(x, x > 0) && self.l.exists(x, x == 2) && self.l.exists_one(x, x == 2)", True),
        ("self.l.map(x, x * 2) == [2, 4, 6] && self.l.filter(x, x > 1).size() == 2 && size(self.l) == 3", True),
        ("self.l.isSorted() && self.l.sum() == 6 && self.l.max() == 3 && self.l.indexOf(2) == 1", True),
        ("self.a.matches('^10[.]') && self.a.startsWith('10') && self.a.find('[0-9]+') == '10'", True),
        ("'A-b'.lowerAscii() == 'a-b' && 'a,b'.split(',').size() == 2 && ['a', 'b'].join('-') == 'a-b'", True),
        ("has(self.a) && !has(self.b) && (has(self.b) ? self.b == 1 : true) && 'a' in self", True),
        ("self.a == '10.0.0.2'", False),
    ],
)
def test_expressions(rule: str, held: bool) -> None:
    assert bool(expression(rule)({"a": "10.0.0.1", "l": [1, 2, 3]})) is held


@pytest.mark.parametrize("rule", ["ip(self.a).family() == 4", "self.b == 1", "cidr(self.a).prefixLength() == 8"])
def test_an_expression_that_fails_says_so(rule: str) -> None:
    with pytest.raises(RuleError):
        expression(rule)({"a": "nonsense"})


def test_a_dollar_is_the_end_of_the_text() -> None:
    assert go_pattern(r"^a$").search("a\n") is None
    assert go_pattern(r"^[$]\$$").search("$$")
