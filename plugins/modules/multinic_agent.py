#!/usr/bin/python
# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is a virtual module that is entirely implemented as an action plugin and runs on the controller.

from __future__ import annotations

DOCUMENTATION = r"""
module: multinic_agent
short_description: Configure the node of the pod that this runs in, as the pod's environment says
version_added: 0.1.0
author: manifold.core contributors (@manifold-core)
description:
  - What the playbook C(manifold.core.multinic_agent) runs in the pods that the controller starts; it is of
    little use anywhere else. It runs M(manifold.core.multinic_config) and leaves a summary for the controller where
    Kubernetes looks for a termination message.
  - All it needs is in the environment. E(AGENT_ACTION) is V(configure) or V(apply), or V(cleanup), by which all that is
    ours is removed. E(AGENT_SPEC) is a JSON object with C(generation), C(interfaces), C(backend), C(host_root),
    C(rollback_timeout) and C(options).
  - Without E(AGENT_SPEC), E(DATA_SOURCE) must be V(nodecr) or V(db); then M(manifold.core.multinic_source) reads the
    interfaces, for which the pod needs the rights. For V(db), E(AGENT_DB) is the option
    O(manifold.core.multinic_source#module:db) as a JSON object. E(AGENT_HOST_ROOT) then says where the node is mounted,
    by default C(/host).
  - The task fails only if there is no summary. That a run failed, and why, is in the summary.
attributes:
  check_mode:
    support: full
    description: Says what would be in the summary, and writes none.
  diff_mode:
    support: full
    description: As M(manifold.core.multinic_config).
  idempotent:
    support: full
    description: A second run changes nothing on the node; the summary is written again.
seealso:
  - module: manifold.core.multinic_config
  - module: manifold.core.multinic_reconcile
"""

EXAMPLES = r"""
- name: Configure the extra NICs, as the Job says
  manifold.core.multinic_agent:
"""

RETURN = r"""
summary:
  description: What was left for the controller, at most 4096 bytes.
  returned: always
  type: str
  sample: '{"v":1,"t":"configure","g":3,"i":[[1,"c","multinic0",null]]}'
interfaces:
  description: As RV(manifold.core.multinic_config#module:interfaces).
  returned: when the node could be looked at
  type: list
  elements: dict
guard:
  description: As RV(manifold.core.multinic_config#module:guard).
  returned: when the node could be looked at
  type: str
  sample: container
rolled_back:
  description: As RV(manifold.core.multinic_config#module:rolled_back).
  returned: when the node could be looked at
  type: bool
msg:
  description: Why the run failed as a whole, if it did.
  returned: always
  type: str
"""
