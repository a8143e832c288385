#!/usr/bin/python
# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is a virtual module that is entirely implemented as an action plugin and runs on the controller.

from __future__ import annotations

DOCUMENTATION = r"""
module: context_info
short_description: Tell which contexts there are and whether commands can run in them
version_added: 0.1.0
author: manifold.core contributors (@manifold-core)
description:
  - Tries contexts side by side, by running a command that does nothing in each, and returns how they are. A context
    that cannot be used does not fail the task.
  - A Kubernetes context that names no pod stands for its cluster, unless there is a pod with the name of the context.
    It is ready if the API answers.
  - The task fails if a name is not known, or if a contexts file of the inventory has an error, which Ansible by itself
    only warns of. With O(probe=false) that is all it does.
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
  contexts:
    description:
      - The names of contexts and of groups of contexts; V(local) is the controller.
      - Without it these are the contexts of the group C(contexts), or all hosts of an inventory without that group.
    type: list
    elements: str
  probe:
    description: Whether to try them. If not, RV(contexts[].status) is V(unknown) or V(invalid).
    type: bool
    default: true
  timeout:
    description:
      - Seconds after which a context counts as V(unreachable). Up to 64 contexts are tried at a time.
    type: float
    default: 10
seealso:
  - plugin: manifold.core.contexts
    plugin_type: inventory
"""

EXAMPLES = r"""
- name: Look at every context
  manifold.core.context_info:
  register: info

- name: Show the table
  ansible.builtin.debug:
    msg: "{{ info.table }}"

- name: Look at the two that a backup needs
  manifold.core.context_info:
    contexts: [k8s-prod, backup-server]
    timeout: 5
  register: needed

- name: Stop unless both can be used
  ansible.builtin.assert:
    that: needed.contexts | rejectattr('status', 'eq', 'ready') | length == 0
    fail_msg: "{{ needed.table }}"
"""

RETURN = r"""
contexts:
  description: The contexts in the order they were asked for, or that of the inventory.
  returned: success
  type: list
  elements: dict
  contains:
    name: {description: The name of the context., type: str, returned: always}
    type:
      description: V(local), V(ssh) or V(kubernetes), null if its variables do not make a context.
      type: str
      returned: always
    default: {description: Whether it is the default context., type: bool, returned: always}
    status:
      description:
        - V(ready) if a command ran there, V(unreachable) if none could, V(invalid) if its variables do not make a
          context (nothing was tried), V(unknown) if it was not tried.
      type: str
      returned: always
      sample: ready
    connection_time_ms:
      description:
        - Milliseconds from the first step of the connection to the end of the command; null unless it is ready.
      type: int
      returned: always
    reason:
      description: Why it cannot be used and what to do about it; null if nothing is known to be wrong.
      type: str
      returned: always
duration_ms:
  description: How long reading the variables of the contexts and trying them took, in milliseconds.
  returned: success
  type: int
table:
  description: The same as lines of text for people, its columns NAME, TYPE, DEFAULT and STATUS.
  returned: success
  type: list
  elements: str
"""
