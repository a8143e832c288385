#!/usr/bin/python
# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: multinic_info
short_description: Tell which NICs of a node are configured by multinic_config, and how they are
version_added: 0.1.0
author: manifold.core contributors (@manifold-core)
description:
  - Compares what M(manifold.core.multinic_config) wrote on a node with what its files and its links are now. Every file
    says what it was written for, so that nothing but the node is needed.
  - To compare a node with a list of interfaces, run M(manifold.core.multinic_config) with that list in check mode.
requirements:
  - on the node Linux, Python 3.8 or newer and C(ip) of iproute2 4.13 or newer; root
attributes:
  check_mode:
    support: full
    description: Does the same; it changes nothing.
  diff_mode:
    support: N/A
    description: Changes nothing.
  idempotent:
    support: full
    description: Changes nothing.
options:
  host_root:
    description: Where the file system of the node is seen, for a module that runs in a pod.
    type: path
    default: /
seealso:
  - module: manifold.core.multinic_config
"""

EXAMPLES = r"""
- name: Look at the NICs
  manifold.core.multinic_info:
  become: true
  register: nics

- name: Say what was changed by hand
  ansible.builtin.debug:
    msg: "{{ item.name }}: {{ item.drift | join(', ') }}"
  loop: "{{ nics.interfaces | selectattr('drift') }}"
"""

RETURN = r"""
interfaces:
  description: What is of M(manifold.core.multinic_config) on this node, by name.
  returned: success
  type: list
  elements: dict
  contains:
    id: {description: Its id; null if no file of it says one., type: int, returned: always}
    mac: {description: The MAC address of its NIC., type: str, returned: always}
    name: {description: What it is called., type: str, returned: always}
    address: {description: The address that it shall have; null without one., type: str, returned: always}
    mtu: {description: The MTU that it shall have; null if that was left open., type: int, returned: always}
    link: {description: What its NIC is called now; null if there is none., type: str, returned: always}
    files: {description: Its files., type: list, elements: str, returned: always}
    drift:
      description: What would make it again what it was made; empty if it still is.
      type: list
      elements: str
      returned: always
    reason: {description: Why it cannot be made so again; null if nothing is in the way., type: str, returned: always}
drift:
  description: Whether any of them is not what it was made.
  returned: success
  type: bool
nics:
  description: All NICs of the node.
  returned: success
  type: list
  elements: dict
  contains:
    name: {description: What it is called., type: str, returned: always}
    mac: {description: Its permanent MAC address., type: str, returned: always}
    up: {description: Whether it is set up., type: bool, returned: always}
    mtu: {description: Its MTU in bytes., type: int, returned: always}
    addresses: {description: Its addresses other than link-local., type: list, elements: str, returned: always}
    ours: {description: Whether M(manifold.core.multinic_config) configured it., type: bool, returned: always}
    reason: {description: Why it would be refused; null if it would not be., type: str, returned: always}
claims:
  description: Files of others that name a NIC of this node, or use one of the names V(multinic0) to V(multinic9).
  returned: success
  type: list
  elements: dict
  contains:
    path: {description: The file., type: str, returned: always}
    mac: {description: The MAC address in it; else null., type: str, returned: always}
    name: {description: The name in it; else null., type: str, returned: always}
backend:
  description: What files would be written for; null if that cannot be told.
  returned: success
  type: str
  sample: netplan
backend_reason:
  description: Why it cannot be told; else null.
  returned: success
  type: str
unfinished:
  description: Whether a run was cut short; the next one first puts the node back as it was before it.
  returned: success
  type: bool
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.manifold.core.plugins.module_utils.multinic._task import inspect_task


def main() -> None:
    """Look at the node that this runs on."""
    module = AnsibleModule(
        argument_spec={"host_root": {"type": "path", "default": "/"}},
        supports_check_mode=True,
    )
    done = inspect_task(module.params)
    if done.failure is not None:
        module.fail_json(msg=done.failure, **done.result)
    module.exit_json(**done.result)


if __name__ == "__main__":
    main()
