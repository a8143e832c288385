#!/usr/bin/python
# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is a virtual module that is entirely implemented as an action plugin and runs on the controller.

from __future__ import annotations

DOCUMENTATION = r"""
module: port_forward_info
short_description: Tell which forwards run and how they are
version_added: 0.1.0
author: manifold.core contributors (@manifold-core)
description:
  - Lists the forwards of M(manifold.core.port_forward) that run for this user on the controller.
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
  name:
    description: The name of the only forward to tell about; the list is empty if it does not run.
    type: str
seealso:
  - module: manifold.core.port_forward
"""

EXAMPLES = r"""
- name: Look at every forward
  manifold.core.port_forward_info:
  register: info

- name: Show which of them wait for their target
  ansible.builtin.debug:
    msg: "{{ info.forwards | selectattr('state', 'eq', 'waiting') | map(attribute='name') }}"
"""

RETURN = r"""
forwards:
  description: The forwards that run, by name.
  returned: success
  type: list
  elements: dict
  contains:
    name: {description: The name of the forward., type: str, returned: always}
    state:
      description:
        - V(ready); V(waiting) if the far end was not there when it was last tried; V(starting) or V(stopping).
      type: str
      returned: always
    context: {description: The name of its context., type: str, returned: always}
    type: {description: The type of its context., type: str, returned: always}
    target: {description: Its target., type: str, returned: always}
    leads_to: {description: "What that is just now, such as a pod.", type: str, returned: always}
    direction: {description: Who listens., type: str, returned: always}
    bind: {description: The address that it listens at., type: str, returned: always}
    address: {description: Where to connect to for the first port; null while it starts., type: str, returned: always}
    port: {description: The first port that listens; null while it starts., type: int, returned: always}
    ports:
      description: The ports, in the order they were asked for.
      returned: always
      type: list
      elements: dict
      contains:
        listen: {description: The port that listens., type: int, returned: always}
        address: {description: Where to connect to for it., type: str, returned: always}
        target: {description: The port of the target., type: raw, returned: always}
    lifetime: {description: V(play) or V(persistent)., type: str, returned: always}
    plays: {description: How many plays it lives for., type: int, returned: always}
    since: {description: When it was started (UTC)., type: str, returned: always, sample: "2026-01-14T17:02:34Z"}
    expires: {description: When its time is up (UTC); null if there is no end., type: str, returned: always}
    connections: {description: How many connections it has taken., type: int, returned: always}
    active: {description: How many of them there are now., type: int, returned: always}
    bytes: {description: How many bytes it has moved both ways., type: int, returned: always}
    bytes_up: {description: How many went to the target., type: int, returned: always}
    bytes_down: {description: How many came from it., type: int, returned: always}
    restarts: {description: How often its way to the target was made anew., type: int, returned: always}
    last_error: {description: What went wrong last; null if nothing did., type: str, returned: always}
    pid: {description: The number of its process., type: int, returned: always}
    log: {description: The file that it tells its troubles to., type: str, returned: always}
"""
