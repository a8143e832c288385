# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of ``multinic_source``, as its documentation has them."""

from __future__ import annotations

from typing import Any

_DATABASE: dict[str, Any] = {
    "host": {"type": "str", "default": "localhost"},
    "port": {"type": "int", "default": 3306},
    "unix_socket": {"type": "path"},
    "user": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "database": {"type": "str"},
    "tls": {"type": "str", "choices": ["disabled", "preferred", "required", "verify_ca", "verify_identity"]},
    "ca_cert": {"type": "path"},
    "client_cert": {"type": "path"},
    "client_key": {"type": "path", "no_log": False},
    "timeout": {"type": "int", "default": 10},
    "tables": {
        "type": "dict",
        "options": {
            "interface": {"type": "str", "default": "multi_interface"},
            "subnet": {"type": "str", "default": "multi_subnet"},
        },
    },
    "columns": {
        "type": "dict",
        "options": {
            name: {"type": "str", "default": name}
            for name in (
                *("id", "subnet_id", "macaddress", "attached_node_name", "netplan_success"),
                *("address", "mtu", "modified_at", "cidr"),
            )
        },
    },
}
ARGUMENTS: dict[str, Any] = {
    "state": {"type": "str", "choices": ["present", "reported"], "default": "present"},
    "source": {"type": "str", "choices": ["db", "file", "nodecr"]},
    "node_name": {"type": "str"},
    "file": {"type": "path"},
    "db": {"type": "dict", "options": _DATABASE},
    "nodecr": {
        "type": "dict",
        "options": {
            "namespace": {"type": "str"},
            "kubeconfig": {"type": "path"},
            "context": {"type": "str"},
            "timeout": {"type": "int", "default": 10},
        },
    },
    "allow_empty": {"type": "bool", "default": False},
    "interfaces": {"type": "list", "elements": "dict"},
}
