# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Contexts files of test hosts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from testbed.pods import PodHost
from testbed.ssh.host import SshHost

NAME = "contexts.yml"
_KEYS = {
    "ansible_host": "host",
    "ansible_user": "user",
    "ansible_port": "port",
    "ansible_ssh_private_key_file": "key",
    "ansible_kubectl_kubeconfig": "kubeconfig",
    "ansible_kubectl_namespace": "namespace",
    "ansible_kubectl_pod": "pod",
    "ansible_kubectl_container": "container",
}


def context_of(host: SshHost | PodHost) -> dict[str, Any]:
    """Return a host as it stands in a contexts file: keys where there are any, other variables below ``vars``."""
    variables = host.inventory_vars()
    del variables["ansible_connection"]
    content = {key: variables.pop(variable) for variable, key in _KEYS.items() if variable in variables}
    return {"type": "ssh" if isinstance(host, SshHost) else "kubernetes", **content, "vars": variables}


def contexts_file(contexts: Mapping[str, Mapping[str, Any]], **options: Any) -> str:
    """Return the text of a contexts file."""
    return yaml.safe_dump({"plugin": "manifold.core.contexts", "contexts": dict(contexts), **options}, sort_keys=False)
