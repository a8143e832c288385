# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.module_utils.multinic._errors import SourceError
from ansible_collections.manifold.core.plugins.module_utils.multinic._source_arguments import ARGUMENTS
from ansible_collections.manifold.core.plugins.module_utils.multinic._source_options import Surroundings, run

OPTIONS: dict[str, Any] = {name: option.get("default") for name, option in ARGUMENTS.items()}
HERE = Surroundings({}, "worker-1.example.com")


@pytest.fixture
def nics(tmp_path: Path) -> Path:
    path = tmp_path / "nics.json"
    each = {name: [{"id": number}] for number, name in enumerate(("worker-1", "given", "from-environment"))}
    path.write_text(json.dumps({"nodes": {**each, "none": []}}))
    return path


@pytest.mark.parametrize(
    ("given", "environment", "node"),
    [
        (None, {}, "worker-1"),
        (None, {"NODE_NAME": "from-environment"}, "from-environment"),
        ("given", {"NODE_NAME": "from-environment"}, "given"),
        (None, {"NODE_NAME": ""}, "worker-1"),
    ],
)
def test_the_node_is_named_by_option_environment_or_host(
    nics: Path, given: str | None, environment: dict[str, str], node: str
) -> None:
    options = {**OPTIONS, "source": "file", "file": str(nics), "node_name": given}
    result = run(options, Surroundings(environment, HERE.hostname), check=False)
    assert (result["node_name"], result["source"]) == (node, "file")
    assert [each["id"] for each in result["interfaces"]] == [["worker-1", "given", "from-environment"].index(node)]


def test_a_node_without_a_name_is_an_error() -> None:
    with pytest.raises(SourceError, match="set node_name"):
        run({**OPTIONS, "source": "file", "file": "/x"}, Surroundings({}, ""), check=False)


@pytest.mark.parametrize(
    ("given", "environment", "said"),
    [
        ({}, {}, "source 'db': db.database and db.user must be given"),
        ({"db": {"user": "u"}}, {}, "source 'db': db.database must be given"),
        ({}, {"DATA_SOURCE": "file"}, "source 'file': the option file is missing"),
        ({"source": "file"}, {"DATA_SOURCE": "nonsense"}, "source 'file': the option file is missing"),
        ({}, {"DATA_SOURCE": "mysql"}, "DATA_SOURCE is 'mysql'; it has to be one of db, file, nodecr"),
        (
            {"nodecr": {"kubeconfig": "/none"}},
            {"DATA_SOURCE": "nodecr"},
            "multinicnodeconfigs.multinic.io in namespace 'multinic-system': finding the way",
        ),
        (
            {"nodecr": {"kubeconfig": "/none"}},
            {"DATA_SOURCE": "nodecr", "NODE_CR_NAMESPACE": "nics"},
            "multinicnodeconfigs.multinic.io in namespace 'nics': finding the way",
        ),
        (
            {"nodecr": {"kubeconfig": "/none", "namespace": "given"}, "source": "nodecr"},
            {"NODE_CR_NAMESPACE": "nics"},
            "multinicnodeconfigs.multinic.io in namespace 'given': finding the way",
        ),
        (
            {"db": {"user": "u", "database": "d", "ca_cert": "/ca", "tls": "required"}},
            {},
            "db.ca_cert verifies the server, which db.tls=required does not",
        ),
        (
            {"db": {"user": "u", "database": "d", "tables": {"interface": "a`; DROP TABLE b; -- "}}},
            {},
            "tables.interface: 'a`; DROP TABLE b; -- ' is not a name",
        ),
        (
            {"db": {"user": "u", "database": "d", "columns": {"cidr": "cidr%s"}}},
            {},
            "columns.cidr: 'cidr%s' is not a name",
        ),
    ],
)
def test_the_source_is_chosen_by_option_or_environment(
    given: dict[str, Any], environment: dict[str, str], said: str
) -> None:
    with pytest.raises(SourceError) as caught:
        run({**OPTIONS, **given}, Surroundings(environment, HERE.hostname), check=False)
    assert said in str(caught.value)


def test_that_nothing_is_wanted_has_to_be_allowed(nics: Path) -> None:
    options = {**OPTIONS, "source": "file", "file": str(nics), "node_name": "none"}
    with pytest.raises(SourceError, match=r"nodes\.none is empty\. To remove every interface .*: true"):
        run(options, HERE, check=False)
    result = run({**options, "allow_empty": True}, HERE, check=False)
    assert result["interfaces"] == []
    assert result["warnings"] == [f"{nics}: nodes.none is empty: nothing is wanted of node 'none'"]
