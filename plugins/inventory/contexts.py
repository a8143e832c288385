# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: contexts
short_description: Contexts from a file that says where commands can run
version_added: 0.1.0
author: manifold.core contributors (@manifold-core)
description:
  - Reads a file that names the places where commands can run, this machine, SSH hosts and Kubernetes pods. Each
    becomes a host with the variables of an ordinary connection plugin, for every playbook and module to use.
  - The file must be called C(contexts.yml) or C(contexts.yaml), or end in C(.contexts.yml) or C(.contexts.yaml).
  - Every context is in the group C(contexts) and in C(type_local), C(type_ssh) or C(type_kubernetes); the default one
    is the only host of C(default_context).
  - An error in the file is an error of the inventory, which Ansible by itself only warns of. The playbook
    C(manifold.core.check_contexts) makes a run fail for it, and so does C(any_unparsed_is_failed) in C(ansible.cfg).
extends_documentation_fragment:
  - ansible.builtin.constructed
  - ansible.builtin.inventory_cache
options:
  plugin:
    description: The name of this plugin.
    type: str
    required: true
    choices: [manifold.core.contexts]
  contexts:
    description:
      - The contexts by name. A name consists of letters, digits, C(_), C(-), C(.) and C(@), and no group may have it.
        The names C(local) and C(localhost) can only be of type V(local).
      - C(type) is V(local), V(ssh) or V(kubernetes). It decides on the connection plugin, which is
        P(ansible.builtin.local#connection), P(ansible.builtin.ssh#connection) or C(manifold.core.kubectl).
      - C(default) marks the one that playbooks use when they are not told another.
      - C(vars) are any further variables of the host, among them every one of its connection plugin.
      - For V(ssh), C(host) is needed, and C(user), C(port) and C(key), the file of the private key, may follow.
        C(forward) is the name of a forward of M(manifold.core.port_forward) that leads there; C(host) and C(port) then
        say whose host key it has to be.
      - For V(kubernetes), C(context) and C(kubeconfig) choose the cluster, C(namespace) and either C(pod) or
        C(selector) the pod, and C(container) the container.
      - In C(key) and C(kubeconfig), C(~) and environment variables are expanded, and a relative path starts in the
        folder of the file. A value that holds a template is left as it is.
    type: dict
    required: true
notes:
  - With O(cache=true) an edited file is not seen before the cache expires or is cleared, and variables are written to
    the cache as they stand in the file.
"""

EXAMPLES = r"""
plugin: manifold.core.contexts
contexts:
  local: {type: local, default: true}
  prod-server: {type: ssh, host: prod.example.com, user: deploy, key: ~/.ssh/id_ed25519}
  backup-server:
    type: ssh
    host: backup.internal
    user: backup
    port: 2222
    vars:
      ansible_become: true
  k8s-prod: {type: kubernetes, context: production, namespace: default, pod: deployment/postgres}
  k8s-staging: {type: kubernetes, context: staging, namespace: apps}
groups:
  production: inventory_hostname in ['prod-server', 'k8s-prod']
"""

import sys
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible.template import trust_as_template

from ..plugin_utils.contexts._definition import (
    PLUGIN,
    ContextDefinition,
    DefinitionError,
    Surroundings,
    check_beside_others,
    parse_contexts,
)
from ..plugin_utils.contexts._document import check_unique_keys, is_contexts_name


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    """Makes hosts of contexts."""

    NAME = PLUGIN

    def verify_file(self, path: str) -> bool:
        return bool(super().verify_file(path)) and is_contexts_name(path)

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        super().parse(inventory, loader, path, cache)
        try:
            check_unique_keys(loader.get_text_file_contents(path), path)
            definitions = self._definitions(path, cache)
        except DefinitionError as exc:
            raise AnsibleParserError(str(exc)) from exc
        for definition in definitions:
            self._add(definition)
        for definition in definitions:
            self._construct(definition.name)

    def _definitions(self, path: str, cache: bool) -> tuple[ContextDefinition, ...]:
        document = self.loader.load_from_file(path, cache="none", trusted_as_template=True)
        composed = document.get("groups") if isinstance(document, Mapping) else None
        names = {self._sanitize_group_name(name) for name in composed} if isinstance(composed, Mapping) else set()
        around = Surroundings(path, python=sys.executable, groups={*self.inventory.groups, *names})
        definitions = parse_contexts(document, around)
        self._read_config_data(path)
        if self.get_option("cache"):
            definitions = parse_contexts({**document, "contexts": self._cached(path, document, cache)}, around)
        homes = {name: host.vars.get("inventory_file") for name, host in self.inventory.hosts.items()}
        groups = {name: [host.name for host in group.hosts] for name, group in self.inventory.groups.items()}
        check_beside_others(definitions, path, homes, groups)
        return definitions

    def _cached(self, path: str, document: Mapping[str, Any], cache: bool) -> Any:
        """Return the contexts in the cache; put those of the file there if it has none, or is not to be read."""
        key = self.get_cache_key(path)
        if not cache or key not in self._cache:
            self._cache[key] = document["contexts"]
        return self._cache[key]

    def _add(self, definition: ContextDefinition) -> None:
        self.inventory.add_host(definition.name)
        for group in definition.groups:
            self.inventory.add_group(group)
            self.inventory.add_child(group, definition.name)
        for name, value in definition.variables.items():
            # what the file says is trusted already; of our own strings ansible-inventory would say that they are not
            trusted = trust_as_template(value) if isinstance(value, str) else value
            self.inventory.set_variable(definition.name, name, trusted)

    def _construct(self, name: str) -> None:
        """Add the variables and groups that the file composes of others."""
        strict = self.get_option("strict")
        variables = self.inventory.get_host(name).get_vars()
        self._set_composite_vars(self.get_option("compose"), variables, name, strict=strict)
        variables = self.inventory.get_host(name).get_vars()
        self._add_host_to_composed_groups(self.get_option("groups"), variables, name, strict=strict)
        self._add_host_to_keyed_groups(self.get_option("keyed_groups"), variables, name, strict=strict)
