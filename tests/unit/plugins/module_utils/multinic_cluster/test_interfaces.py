# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The schema of MultiNicNodeConfig and the model of a node say the same of any list of interfaces."""

from __future__ import annotations

import ipaddress
import os
from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.module_utils.multinic._parse import parse
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._interfaces import as_resource, wrong_with
from hypothesis import event, given, settings
from hypothesis import strategies as st

from unit.custom_resource import CRD, SCHEMA, violations

_EXAMPLES = int(os.environ.get("MANIFOLD_CRD_EXAMPLES", "60"))  # CEL in Python is slow
_MACS = ("fa:16:3e:00:00:01", "fa:16:3e:00:00:02", "FA:16:3E:00:00:02", "52:54:00:ab:cd:ef")
_ODD_MACS = ("01:00:5e:00:00:01", "00:00:00:00:00:00", "fa-16-3e-00-00-03", "fa:16:3e:00:00", "", " fa:16:3e:00:00:04")
_NETWORKS = (
    ("10.0.0.0/24", ("10.0.0.1", "10.0.0.2", "10.0.0.0", "10.0.0.255", "10.0.1.1")),
    ("10.0.0.0/30", ("10.0.0.0", "10.0.0.1", "10.0.0.3", "10.0.0.4")),
    ("10.0.0.4/31", ("10.0.0.4", "10.0.0.5")),
    ("10.0.0.9/32", ("10.0.0.9",)),
    ("0.0.0.0/0", ("0.0.0.0", "9.9.9.9", "255.255.255.255", "127.0.0.1", "169.254.1.1", "224.0.0.5", "239.255.0.1")),
    ("128.0.0.0/1", ("128.0.0.0", "128.0.0.1", "255.255.255.255", "255.255.255.254")),
    ("2001:db8::/64", ("2001:db8::1", "2001:db8::", "2001:db8:0:1::1", "10.0.0.1")),
    ("2001:db8::a/127", ("2001:db8::a", "2001:db8::b")),
    ("2001:db8::c/128", ("2001:db8::c",)),
    ("::/0", ("::", "::1", "fe80::1", "ff02::1", "ff00::", "2001:db8::ffff", "::102:304")),
)
_ODD_ADDRESSES = (
    "10.0.0.1/24",
    "2001:DB8::1",
    "2001:db8:0::1",
    "::ffff:10.0.0.1",
    "fe80::1%eth0",
    "10.0.0.01",
    "10.0.0.256",
    "10.0.0",
    "x",
    "",
    " 10.0.0.1",
    "::1.2.3.4",
)
_ODD_CIDRS = (
    "10.0.0.0",
    "10.0.0.0/33",
    "10.0.0.1/24",
    "10.0.0.0/255.255.255.0",
    "10.0.0.0/024",
    "::ffff:10.0.0.0/120",
    "2001:db8::/129",
    "2001:DB8::/64",
    "2001:db8::1/64",
    "/24",
    "10.0.0.0/",
    "10.0.0.0/-1",
    "",
    "fe80::%1/64",
)


@st.composite
def _addresses(draw: st.DrawFn) -> dict[str, Any]:
    """Return an address and a cidr, as the resource spells them, that fit each other or do not."""
    if draw(st.integers(0, 3)) == 0:
        ip = draw(st.ip_addresses())
        prefix = draw(st.integers(0, ip.max_prefixlen))
        network = ipaddress.ip_network(f"{ip}/{prefix}", strict=False)
        edge = draw(st.sampled_from([ip, network.network_address, network.broadcast_address]))
        return {"address": str(edge), "cidr": str(network)}
    cidr, within = draw(st.sampled_from(_NETWORKS))
    return {"address": draw(st.sampled_from(within)), "cidr": cidr}


@st.composite
def _entries(draw: st.DrawFn, odd: bool) -> list[dict[str, Any]]:
    """Return a list of interfaces, often valid; with ``odd`` in spellings that the resource does not have."""
    made = []
    for _number in range(draw(st.integers(0, 3))):
        entry: dict[str, Any] = {
            "id": draw(st.one_of(st.integers(0, 20), st.sampled_from([2**63 - 1, -1]))),
            "macAddress": draw(st.one_of(_fresh_macs, st.sampled_from(_MACS))),
        }
        if draw(st.booleans()):
            entry.update(draw(_addresses()))
        if draw(st.integers(0, 2)) == 0:
            entry["mtu"] = draw(st.sampled_from([67, 68, 1279, 1280, 1500, 65535, 65536]))
        if draw(st.integers(0, 2)) == 0:
            entry["name"] = draw(st.sampled_from(["multinic0", "multinic1", "multinic9", "multinic10", "eth0"]))
        if odd and draw(st.booleans()):
            key, value = draw(_ODDITIES)
            if value is None:
                entry.pop(key, None)
            else:
                entry[key] = value
        made.append(entry)
    return made


_fresh_macs = st.integers(0, 0xFFFF).map(lambda number: f"fa:16:3e:01:{number >> 8:02x}:{number & 255:02x}")
_TEXT = st.text("0123456789abcdef.:/%", max_size=20)
_ODDITIES = st.one_of(
    st.tuples(st.just("macAddress"), st.one_of(st.sampled_from(_ODD_MACS), st.text(max_size=20))),
    st.tuples(st.just("address"), st.one_of(st.sampled_from(_ODD_ADDRESSES), _TEXT)),
    st.tuples(st.just("cidr"), st.one_of(st.sampled_from(_ODD_CIDRS), _TEXT)),
    st.tuples(st.sampled_from(["id", "mtu"]), st.sampled_from([True, "7", "x", 1.5, [], -5, 2**70])),
    st.tuples(st.sampled_from(["id", "macAddress", "address", "cidr", "name"]), st.none()),
)


def _object(interfaces: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "apiVersion": "multinic.io/v1alpha1",
        "kind": "MultiNicNodeConfig",
        "metadata": {"name": "it"},
        "spec": {"nodeName": "node-1", "instanceId": "3d2b6c1e-0000-4000-8000-000000000001", "interfaces": interfaces},
    }


@given(_entries(odd=False))
@settings(max_examples=_EXAMPLES)
def test_schema_and_model_accept_and_refuse_the_same(interfaces: list[dict[str, Any]]) -> None:
    refused = wrong_with(interfaces)
    found = violations(_object(interfaces))
    event("accepted" if refused is None else "refused")
    assert (refused is None) == (found == []), (refused, found)


@given(_entries(odd=True))
@settings(max_examples=_EXAMPLES)
def test_what_the_schema_accepts_the_model_does_whatever_the_spelling(interfaces: list[dict[str, Any]]) -> None:
    refused = wrong_with(interfaces)
    if not violations(_object(interfaces)):
        assert refused is None
    if refused is None:
        parsed = parse(interfaces)
        spelt = [as_resource(interface) for interface in parsed.interfaces]
        assert violations(_object(spelt)) == []
        assert parse(spelt) == parsed


def test_more_interfaces_than_names_are_refused_by_both() -> None:
    interfaces = [{"id": number, "macAddress": f"fa:16:3e:00:00:{number:02x}"} for number in range(11)]
    assert wrong_with(interfaces) == "there are 11 interfaces, at most 10 can be configured"
    assert violations(_object(interfaces))
    assert wrong_with(interfaces[:10]) is None
    assert not violations(_object(interfaces[:10]))


@pytest.mark.parametrize("key", ["nodeName", "instanceId", "interfaces"])
def test_each_part_of_the_spec_is_required(key: str) -> None:
    obj = _object([])
    del obj["spec"][key]
    # a real server adds that it has not asked the rules then
    assert violations(obj)[:1] == [f"spec.{key}: Required value"]


def test_the_node_cannot_be_changed() -> None:
    old, new = _object([]), _object([])
    new["spec"]["nodeName"] = "node-2"
    assert violations(new) == []
    (found,) = violations(new, old)
    assert found.startswith("spec.nodeName: ")
    assert found.endswith("nodeName cannot be changed; delete this object and create another one")


def test_what_kubectl_shows() -> None:
    columns = CRD["spec"]["versions"][0]["additionalPrinterColumns"]
    assert [column["name"] for column in columns if not column.get("priority")] == ["Node", "State", "Ready", "Age"]
    assert CRD["spec"]["names"]["shortNames"] == ["mnnc"]


def _everything(schema: dict[str, Any], path: str = "$") -> list[tuple[str, dict[str, Any]]]:
    found = [(path, schema)]
    for key, sub in schema.get("properties", {}).items():
        found += _everything(sub, f"{path}.{key}")
    if "items" in schema:
        found += _everything(schema["items"], f"{path}[]")
    return found


def test_every_list_and_string_is_bounded_and_every_node_of_the_schema_has_a_type() -> None:
    for path, schema in _everything(SCHEMA):
        assert "type" in schema, path  # structural
        if path.startswith(("$.spec", "$.status")):
            if schema["type"] == "array":
                assert "maxItems" in schema, path
            if schema["type"] == "string" and schema.get("format") != "date-time":
                assert "maxLength" in schema or "enum" in schema, path


def test_rules_compare_strings_never_addresses() -> None:
    """What comparing two ip() or cidr() values, or joining strings, costs is not bounded in Kubernetes 1.30."""
    for path, schema in _everything(SCHEMA):
        for rule in schema.get("x-kubernetes-validations", ()):
            assert "+ '" not in rule["rule"], path
            for part in rule["rule"].replace("!=", "==").split("==")[:-1]:
                assert not part.rstrip().endswith((".masked()", ".ip()")), path
            assert len(rule["message"]) <= 2048
