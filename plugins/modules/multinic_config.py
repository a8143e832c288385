#!/usr/bin/python
# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: multinic_config
short_description: Give a node's extra NICs their names and addresses, safely
version_added: 0.1.0
author: manifold.core contributors (@manifold-core)
description:
  - Names the NICs that it is told of V(multinic0) to V(multinic9), gives each its address and MTU at once, and writes
    the files by which the node does the same at its next boot.
  - NICs are found by their MAC address. A NIC keeps its name from run to run, by its RV(interfaces[].id), whatever the
    order of the list.
  - Other NICs, and files that are not of this module, are never changed. A NIC that carries the default route, or the
    address by which SSH reaches the node, is refused, and so is one that another file names.
  - What is to be put back is written down first, and a guard is armed that restores the node if the connection, the
    module or the node's Python dies on the way. What worked before the change (see O(verify)) must work after it, or
    all is put back as it was.
  - One interface that cannot be configured does not keep the others from it; O(fail_on) says what the task makes of it.
requirements:
  - on the node Linux, Python 3.8 or newer and C(ip) of iproute2 4.13 or newer; root
attributes:
  check_mode:
    support: full
    description: Returns what would be done and the difference that it would make.
  diff_mode:
    support: full
    description: Shows the links and the files before and after.
  idempotent:
    support: full
    description: A second run finds nothing to do, writes no file and arms no guard.
options:
  interfaces:
    description:
      - The interfaces that the node shall have, at most ten. An entry that is not valid is reported as V(refused), and
        what the node already has of it stays as it is.
      - Entries with the same id, MAC address, address or name are all refused.
    type: list
    elements: dict
    default: []
    suboptions:
      id:
        description: A whole number of at least 0 that stands for the interface, whatever its NIC or its address is.
        type: raw
      mac_address:
        description: The permanent MAC address of the NIC, with colons or hyphens. Put it in quotes.
        type: raw
        aliases: [mac, macAddress]
      address:
        description:
          - Its IPv4 or IPv6 address, with a prefix length unless O(interfaces[].cidr) is given.
          - Without it the NIC is named and set up, and has no address other than link-local.
        type: raw
      cidr:
        description: The network of the address, as in V(11.11.11.0/24).
        type: raw
      mtu:
        description:
          - Bytes, from 68 to 65535, with an IPv6 address from 1280. Without it the NIC keeps what it has.
        type: raw
      name:
        description: One of V(multinic0) to V(multinic9). Without it the name is chosen once and then kept.
        type: raw
  state:
    description:
      - V(present) makes the node have O(interfaces).
      - V(absent) removes all that is of this module; O(interfaces) must not be given.
      - A NIC that is removed loses its addresses, is set down and is called V(orph0), V(orph1) and so on until the next
        boot gives it its usual name.
    type: str
    choices: [present, absent]
    default: present
  purge:
    description:
      - Whether interfaces of earlier runs that are not in the list any more are removed. If an entry of the list has
        neither a readable id nor MAC address, none is.
    type: bool
    default: true
  backend:
    description: What the files are written for; V(auto) is what manages the links of the node.
    type: str
    choices: [auto, netplan, networkmanager, ifcfg]
    default: auto
  allow_up:
    description:
      - Whether NICs may be taken that look as if somebody used them, because they are up with an address or a route
        other than link-local, are a port of a bridge or a bond, or carry a VLAN.
    type: bool
    default: false
  verify:
    description: What must still work after a change if it worked before.
    type: dict
    default: {}
    suboptions:
      gateway:
        description: Whether the gateways of the default routes must answer.
        type: bool
        default: true
      tcp:
        description: What must accept connections, as in V(192.0.2.1:6443) or V([2001:db8::1]:6443).
        type: list
        elements: str
        default: []
      command:
        description: A shell command of the node that must exit with 0.
        type: str
      timeout:
        description: Seconds in which each of them must have worked once.
        type: float
        default: 10
  guard:
    description:
      - What restores the node when the module cannot.
      - V(container) is another container of the agent's pod, V(timer) a timer of systemd, V(watchdog) a process of its
        own; V(auto) is the first of them that the node can have.
      - With V(none) the module still puts all back when what is verified fails, but nobody does if the module is killed
        before the next run.
    type: str
    choices: [auto, container, timer, watchdog, none]
    default: auto
  rollback_timeout:
    description: Seconds after which the guard restores the node; more than O(verify.timeout).
    type: int
    default: 60
  fail_on:
    description:
      - V(any) fails the task if an interface was refused or could not be configured, V(all) only if that is so of all,
        V(never) not even then.
      - In each case those that could be configured are. A change that had to be put back always fails the task.
    type: str
    choices: [any, all, never]
    default: any
  host_root:
    description: Where the file system of the node is seen, for a module that runs in a pod.
    type: path
    default: /
seealso:
  - module: manifold.core.multinic_info
  - module: manifold.core.multinic_source
"""

EXAMPLES = r"""
- name: Configure the extra NICs
  manifold.core.multinic_config:
    interfaces:
      - {id: 1, mac_address: "fa:16:3e:1c:1a:6e", address: 11.11.11.37, cidr: 11.11.11.0/24, mtu: 1450}
      - {id: 2, mac_address: "fa:16:3e:0d:5b:21", address: "2001:db8:1::37/64"}
  become: true
  register: nics

- name: Configure what can be, and see to it that the API server stays within reach
  manifold.core.multinic_config:
    interfaces: "{{ wanted }}"
    fail_on: all
    verify:
      tcp: ["10.0.0.10:6443"]
  become: true

- name: Remove all that was configured
  manifold.core.multinic_config:
    state: absent
  become: true
"""

RETURN = r"""
interfaces:
  description: What became of each interface, by id; then what was removed.
  returned: when the node could be looked at
  type: list
  elements: dict
  contains:
    id: {description: Its id; null for what no entry and no file names., type: int, returned: always}
    mac: {description: Its MAC address; null if the entry has none that can be read., type: str, returned: always}
    name: {description: What it is called; null if it has none of our names., type: str, returned: always}
    state:
      description:
        - V(configured) if it is as it is wanted, V(failed) if it cannot be or a change of it did not work (and was
          undone), V(refused) if its entry is not valid or it is not safe to change, V(removed) if it is not wanted any
          more.
      type: str
      returned: always
    changed: {description: Whether it is not what it was., type: bool, returned: always}
    reason: {description: Why it is not configured; else null., type: str, returned: always}
backend:
  description: What the files were written for.
  returned: when the node could be looked at
  type: str
  sample: netplan
guard:
  description: The kind of guard that was armed; null if nothing had to be changed.
  returned: when the node could be looked at
  type: str
  sample: timer
rolled_back:
  description: Whether all was put back as it was.
  returned: when the node could be looked at
  type: bool
steps:
  description: What was done, or would be, in order.
  returned: when the node could be looked at
  type: list
  elements: str
  sample: ["write /etc/netplan/90-multinic0.yaml", "ip link set dev eth1 name multinic0"]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.manifold.core.plugins.module_utils.multinic._task import configure_task

_INTERFACE = {
    "id": {"type": "raw"},
    "mac_address": {"type": "raw", "aliases": ["mac", "macAddress"]},
    "address": {"type": "raw"},
    "cidr": {"type": "raw"},
    "mtu": {"type": "raw"},
    "name": {"type": "raw"},
}
_VERIFY = {
    "gateway": {"type": "bool", "default": True},
    "tcp": {"type": "list", "elements": "str", "default": []},
    "command": {"type": "str"},
    "timeout": {"type": "float", "default": 10},
}
_OPTIONS = {
    "interfaces": {"type": "list", "elements": "dict", "default": [], "options": _INTERFACE},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "purge": {"type": "bool", "default": True},
    "backend": {"type": "str", "choices": ["auto", "netplan", "networkmanager", "ifcfg"], "default": "auto"},
    "allow_up": {"type": "bool", "default": False},
    "verify": {"type": "dict", "default": {}, "options": _VERIFY},
    "guard": {"type": "str", "choices": ["auto", "container", "timer", "watchdog", "none"], "default": "auto"},
    "rollback_timeout": {"type": "int", "default": 60},
    "fail_on": {"type": "str", "choices": ["any", "all", "never"], "default": "any"},
    "host_root": {"type": "path", "default": "/"},
}


def main() -> None:
    """Configure the node that this runs on."""
    module = AnsibleModule(argument_spec=_OPTIONS, supports_check_mode=True)
    done = configure_task(module.params, check=module.check_mode, diff=module._diff)
    for warning in done.warnings:
        module.warn(warning)
    if done.failure is not None:
        module.fail_json(msg=done.failure, **done.result)
    module.exit_json(**done.result)


if __name__ == "__main__":
    main()
