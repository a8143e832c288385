# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.module_utils.multinic._errors import SourceError
from ansible_collections.manifold.core.plugins.module_utils.multinic._source import Entry, Outcome
from ansible_collections.manifold.core.plugins.module_utils.multinic._source_file import FileSource

ENTRY = {"id": 1, "mac_address": "52:54:00:12:34:56", "address": "192.0.2.7", "cidr": "192.0.2.0/24", "mtu": 1450}
READ = Entry(1, "52:54:00:12:34:56", "192.0.2.7", "192.0.2.0/24", 1450)


def wanted(path: Path, content: str, node: str = "worker-1") -> tuple[Entry, ...]:
    path.write_text(content)
    return FileSource(str(path)).read(node).entries


@pytest.mark.parametrize("document", [{"interfaces": [ENTRY]}, {"nodes": {"worker-1": [ENTRY], "worker-2": []}}])
@pytest.mark.parametrize("name", ["nics.json", "nics.yml"])
def test_json_is_read_whatever_the_file_is_called(tmp_path: Path, document: dict[str, Any], name: str) -> None:
    assert wanted(tmp_path / name, json.dumps(document)) == (READ,)


def test_yaml_means_what_it_looks_like(tmp_path: Path) -> None:
    content = """
        node_name: worker-1
        interfaces:
          - &first {id: 1, mac_address: 52:54:00:12:34:56, address: 192.0.2.7, cidr: 192.0.2.0/24, mtu: 1450}
          - {<<: *first, id: 010, mac_address: FA-16-3E-00-00-02, address: ~, mtu: null, name: multinic3}
          - {id: 3, macAddress: fa163e000003, mtu: 9k}
    """
    assert wanted(tmp_path / "nics.yml", content) == (
        READ,
        Entry(10, "fa:16:3e:00:00:02", None, "192.0.2.0/24", None, "multinic3"),
        Entry(3, "fa:16:3e:00:00:03", mtu="9k"),
    )


def test_an_empty_list_says_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "nics.yml"
    path.write_text("nodes: {worker-1: []}")
    assert FileSource(str(path)).read("worker-1").nothing == f"{path}: nodes.worker-1 is empty"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "a mapping with either 'nodes' or 'interfaces' is expected"),
        ("[]", "a mapping with either 'nodes' or 'interfaces' is expected"),
        ("{interfaces: [], nodes: {}}", "a mapping with either 'nodes' or 'interfaces' is expected"),
        ("interfaces: [", "it is not valid YAML: while parsing"),
        ("a: 1\n--- \nb: 2", "it is not valid YAML: expected a single document"),
        ("interfaces: &a [*a]", "it is not valid YAML: found unconstructable recursive node"),
        ("interfaces: !!python/object:os.system {}", "it is not valid YAML: could not determine a constructor"),
        ("[" * 5000, "it is not valid YAML: "),
        ("interfaces: {id: 1}", "interfaces: a list of interfaces is expected, not a mapping"),
        ("interfaces:", "interfaces: a list of interfaces is expected, not nothing"),
        ("interfaces: [multinic0]", "interfaces[0]: an interface is a mapping of id,"),
        ("interfaces: [{id: 1, mac_adress: x}]", "interfaces[0]: the key 'mac_adress' is not known. Did you mean"),
        (
            "interfaces: [{id: 1, mac: x, macAddress: y}]",
            "interfaces[0]: the MAC address is there twice, as 'macAddress'",
        ),
        ("interfaces: [{id: 1, address: [192.0.2.7]}]", "interfaces[0]: 'address' is to be one value, not a list"),
        ("interfaces: [{id: 1, id: 2}]", "the key 'id' is there twice"),
        ("nodes: {worker-1: [], worker-1: []}", "the key 'worker-1' is there twice"),
        ('{"nodes": {"worker-1": [], "worker-1": []}}', "the key 'worker-1' is there twice"),
        ("nodes: [worker-1]", "nodes: a mapping from names of nodes to lists of interfaces is expected"),
        ("nodes: {worker-11: []}", "nodes: there is no node 'worker-1'. Did you mean 'worker-11'?"),
        ("{nodes: {}, node: x}", "the key 'node' is not known. Did you mean 'nodes'?"),
        ("{interfaces: [], node_name: db-1}", "it is for node 'db-1', and this is node 'worker-1'"),
    ],
)
def test_a_malformed_file_is_explained(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "nics.yml"
    with pytest.raises(SourceError) as caught:
        wanted(path, content)
    assert str(caught.value).startswith(f"{path}: ")
    assert said in str(caught.value)


def test_a_file_that_claims_to_be_json_has_to_be(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"it is not valid JSON: Expecting .*: line 1 column 2"):
        wanted(tmp_path / "nics.json", "{interfaces: []}")


def test_without_pyyaml_json_is_read_and_yaml_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    assert wanted(tmp_path / "nics.yml", json.dumps({"interfaces": [ENTRY]})) == (READ,)
    with pytest.raises(SourceError, match=r"it is not JSON .* PyYAML is missing here"):
        wanted(tmp_path / "nics.yml", "interfaces: []")


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_explained(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "nics.yml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceError, match=f"{path}: it cannot be read: (No such file|'utf-8' codec)"):
        FileSource(str(path)).read("worker-1")


def test_nothing_is_written_back(tmp_path: Path) -> None:
    report = FileSource(str(tmp_path / "none")).report("worker-1", [Outcome(1, None, True)], check=False)
    assert (report.rows, report.message) == ((), "nothing is written back to a file")
