#!/usr/bin/python
# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: multinic_reconcile
short_description: Bring the extra NICs of a cluster's nodes to what their MultiNicNodeConfigs say
version_added: 0.1.0
author: manifold.core contributors (@manifold-core)
description:
  - Looks at all MultiNicNodeConfigs, their nodes and their Jobs once, and does what is to be done next - create the Job
    of a node whose turn it is, read what a Job that has ended says of it, write the status, remove what is of no use
    any more.
  - This is what the controller does all the time; use it by cron where no controller runs. Do not run both, nor two of
    it at once.
  - One pass does not wait for the Jobs that it creates; the next one sees how they ended. See O(wait).
requirements:
  - kubernetes >= 31.0.0 on the host that executes this module
  - Kubernetes 1.31 or newer
attributes:
  check_mode:
    support: full
    description: Says what one pass would do.
  diff_mode:
    support: none
    description: The actions say what is changed.
  idempotent:
    support: full
    description: With all nodes as they are wanted a pass does nothing.
options:
  image:
    description: The image of the agent; it has this collection.
    type: str
    required: true
  command:
    description: What the agent's container runs instead of what its image says.
    type: list
    elements: str
    default: []
  image_pull_policy:
    description: When the image is pulled.
    type: str
    choices: [Always, IfNotPresent, Never]
    default: IfNotPresent
  image_pull_secrets:
    description: Names of secrets for the registry.
    type: list
    elements: str
    default: []
  namespace:
    description: The namespace whose MultiNicNodeConfigs are looked after; all without it.
    type: str
  kubeconfig:
    description: Path of the kubeconfig; without it the usual one, or in a pod its service account.
    type: path
  context:
    description: The context of the kubeconfig; without it the current one.
    type: str
  max_in_flight:
    description: How many nodes have a Job at once, as a number or as a share such as V(10%).
    type: str
    default: "10"
  max_failing:
    description:
      - While more nodes than this have a run that failed, as a number or a share, no node that is well is changed.
      - Those that failed are tried again all the same.
    type: str
    default: "25%"
  resync:
    description: Seconds after which a node is gone over again, to mend what has drifted; V(0) for never.
    type: float
    default: 3600
  deadline:
    description: Seconds after which a Job is stopped; more than O(rollback_timeout).
    type: int
    default: 300
  rollback_timeout:
    description: Seconds after which the guard of an agent that died restores its node.
    type: int
    default: 60
  agent_options:
    description: More options of M(manifold.core.multinic_config) for the agents, as C(allow_up) and C(verify).
    type: dict
    default: {}
  writes_per_second:
    description: How often the API is written to.
    type: float
    default: 20
  wait:
    description:
      - Seconds for which to go on with passes until no Job runs and nothing is left to do; V(0) for one pass.
      - What waits for a node or for its next try is not waited for.
    type: float
    default: 0
seealso:
  - module: manifold.core.multinic_config
"""

EXAMPLES = r"""
- name: One pass, from a timer
  manifold.core.multinic_reconcile:
    image: registry.example.com/multinic-agent:0.1.0

- name: See what would be done
  manifold.core.multinic_reconcile:
    image: registry.example.com/multinic-agent:0.1.0
  check_mode: true
  register: planned

- name: Until the nodes are as they are wanted, for ten minutes at most
  manifold.core.multinic_reconcile:
    image: registry.example.com/multinic-agent:0.1.0
    namespace: multinic
    max_in_flight: 10%
    wait: 600
"""

RETURN = r"""
actions:
  description: What was done, or would be, in order.
  returned: always
  type: list
  elements: dict
  contains:
    config: {description: The resource with its namespace., type: str, returned: always, sample: multinic/node-1}
    action: {description: What was done for it., type: str, returned: always}
configs:
  description: How the resources are after the last pass, the oldest first; in check mode as they are.
  returned: always
  type: list
  elements: dict
  contains:
    namespace: {description: Its namespace., type: str, returned: always}
    name: {description: Its name., type: str, returned: always}
    node: {description: The node that it is for., type: str, returned: always}
    state: {description: Its status.state; null if it has none., type: str, returned: always}
    ready: {description: Whether it is configured as it is wanted now., type: bool, returned: always}
    reason: {description: The reason of its condition Ready., type: str, returned: always}
    message: {description: The message of its condition Ready., type: str, returned: always}
busy:
  description: Whether a Job runs, or another pass has something to do at once.
  returned: always
  type: bool
"""

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._api import KUBERNETES_ERROR
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._task import reconcile_task

_OPTIONS = {
    "image": {"type": "str", "required": True},
    "command": {"type": "list", "elements": "str", "default": []},
    "image_pull_policy": {"type": "str", "choices": ["Always", "IfNotPresent", "Never"], "default": "IfNotPresent"},
    # their names are no secret
    "image_pull_secrets": {"type": "list", "elements": "str", "default": [], "no_log": False},
    "namespace": {"type": "str"},
    "kubeconfig": {"type": "path"},
    "context": {"type": "str"},
    "max_in_flight": {"type": "str", "default": "10"},
    "max_failing": {"type": "str", "default": "25%"},
    "resync": {"type": "float", "default": 3600},
    "deadline": {"type": "int", "default": 300},
    "rollback_timeout": {"type": "int", "default": 60},
    "agent_options": {"type": "dict", "default": {}},
    "writes_per_second": {"type": "float", "default": 20},
    "wait": {"type": "float", "default": 0},
}


def main() -> None:
    """Go over the cluster."""
    module = AnsibleModule(argument_spec=_OPTIONS, supports_check_mode=True)
    if KUBERNETES_ERROR is not None:
        module.fail_json(msg=missing_required_lib("kubernetes"), exception=KUBERNETES_ERROR)
    done = reconcile_task(module.params, check=module.check_mode)
    if done.failure is not None:
        module.fail_json(msg=done.failure, **done.result)
    module.exit_json(**done.result)


if __name__ == "__main__":
    main()
