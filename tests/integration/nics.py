# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of a node's desired NICs share: the options of the source, and the cluster's resource."""

from __future__ import annotations

from typing import Any

from ansible_collections.manifold.core.plugins.module_utils.multinic._source_arguments import ARGUMENTS
from ansible_collections.manifold.core.plugins.module_utils.multinic._source_options import Surroundings, run

from testbed.mariadb import Account, Schema
from testbed.net.node import Node

NODE = "worker-1"
DEFAULTS: dict[str, Any] = {name: option.get("default") for name, option in ARGUMENTS.items()}
CRD: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "multinicnodeconfigs.multinic.io"},
    "spec": {
        "group": "multinic.io",
        "scope": "Namespaced",
        "names": {"plural": "multinicnodeconfigs", "singular": "multinicnodeconfig", "kind": "MultiNicNodeConfig"},
        "versions": [
            {
                "name": "v1alpha1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}
"""As much of it as the test bed reads."""


def mac_of(number: int) -> str:
    """Return a MAC address of a test's NIC."""
    return f"fa:16:3e:00:00:{number:02x}"


def login(schema: Schema, account: Account, **options: Any) -> dict[str, Any]:
    """Return the option ``db`` for somebody."""
    server = schema.server
    reached = {"host": server.host, "port": server.port, "timeout": 10}
    return {**reached, "user": account.user, "password": account.password, "database": schema.name, **options}


def ask(node: str = NODE, *, check: bool = False, environment: dict[str, str] | None = None, **options: Any) -> Any:
    """Return the result of ``multinic_source`` as the module would have it. :raises SourceError: as the task fails."""
    return run({**DEFAULTS, "node_name": node, **options}, Surroundings(environment or {}, "host"), check)


def custom_resource(name: str, node: str, interfaces: Any, namespace: str = "multinic-system") -> dict[str, Any]:
    """Return a MultiNicNodeConfig."""
    return {
        "apiVersion": "multinic.io/v1alpha1",
        "kind": "MultiNicNodeConfig",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"nodeName": node, "instanceId": "i", "interfaces": interfaces},
    }


def nics_of(node: Node) -> dict[str, tuple[int, list[str]]]:
    """Return MTU and addresses of what is called multinicN on a node, without what is link-local."""
    return {
        link["ifname"]: (
            link["mtu"],
            [f"{each['local']}/{each['prefixlen']}" for each in link["addr_info"] if each["scope"] == "global"],
        )
        for link in node.links()
        if link["ifname"].startswith("multinic")
    }
