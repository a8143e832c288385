#!/usr/bin/python
# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: multinic_source
short_description: Tell which extra NICs a node is to have, from a file, a database or a custom resource
version_added: 0.1.0
author: manifold.core contributors (@manifold-core)
description:
  - Returns the interfaces of a node in the form that the option O(manifold.core.multinic_config#module:interfaces)
    takes, and writes back to the database what became of them.
  - Whether an interface makes sense is judged by M(manifold.core.multinic_config), one by one. Here only what cannot be
    read at all is an error.
  - Run it on the controller with O(node_name), by C(delegate_to), or on the node itself. The role
    P(manifold.core.multinic_node#role) does either.
requirements:
  - PyMySQL for O(source=db), where the task runs
  - kubernetes for O(source=nodecr), where the task runs
  - PyYAML for O(source=file) with a file that is not JSON, where the task runs
attributes:
  check_mode:
    support: full
    description: Reads, and tells what would be written back.
  diff_mode:
    support: full
    description: Shows what is recorded of each interface before and after.
  idempotent:
    support: full
    description: Only rows that say something else are written.
options:
  state:
    description:
      - With V(present) the interfaces are read.
      - With V(reported) the result of M(manifold.core.multinic_config), in O(interfaces), is written back. To a file or
        a custom resource nothing is written; only the controller of the cluster writes the status of a resource.
    type: str
    choices: [present, reported]
    default: present
  source:
    description:
      - Where the desired state is. Without it, the environment variable E(DATA_SOURCE) tells, else it is V(db).
      - With V(nodecr) or V(file) no database is contacted.
    type: str
    choices: [db, file, nodecr]
  node_name:
    description:
      - What the source calls the node. Without it, the environment variable E(NODE_NAME) tells, else it is the host
        name without its domain.
      - Both are those of the machine that the task runs on. So give it where the task is delegated to the controller.
    type: str
  file:
    description:
      - The file for O(source=file), on the machine that the task runs on. It is a mapping with either C(interfaces), a
        list, and perhaps C(node_name), which then has to fit; or C(nodes), a mapping from names of nodes to such lists.
      - A key that is there twice is an error. MAC addresses in YAML need no quotes.
    type: path
  db:
    description: The database for O(source=db).
    type: dict
    suboptions:
      host:
        description: Where MariaDB or MySQL listens.
        type: str
        default: localhost
      port:
        description: Its port.
        type: int
        default: 3306
      unix_socket:
        description: Its socket on this machine, instead of O(db.host) and O(db.port).
        type: path
      user:
        description:
          - Who logs in. C(SELECT) on both tables is needed, and C(UPDATE (netplan_success, modified_at)) on that of the
            interfaces for O(state=reported).
        type: str
      password:
        description: The password.
        type: str
      database:
        description: The name of the database.
        type: str
      tls:
        description:
          - With V(required) the connection is encrypted, with V(verify_ca) the server's certificate is verified too,
            with V(verify_identity) also that it is one for O(db.host). With V(preferred) it is encrypted if the server
            offers that.
          - The default is V(verify_identity) with O(db.ca_cert), else V(preferred).
        type: str
        choices: [disabled, preferred, required, verify_ca, verify_identity]
      ca_cert:
        description: The file with the certificates that are trusted; without it those of the system are.
        type: path
      client_cert:
        description: The file with the client's certificate.
        type: path
      client_key:
        description: The file with the key of O(db.client_cert).
        type: path
      timeout:
        description: Seconds for the connection, and for each answer.
        type: int
        default: 10
      tables:
        description: What the tables are called.
        type: dict
        suboptions:
          interface: {description: The table of the interfaces., type: str, default: multi_interface}
          subnet: {description: The table of the subnets., type: str, default: multi_subnet}
      columns:
        description: What the columns are called.
        type: dict
        suboptions:
          id: {description: The number of the interface., type: str, default: id}
          subnet_id: {description: The subnet of the interface; in both tables., type: str, default: subnet_id}
          macaddress: {description: The MAC address., type: str, default: macaddress}
          attached_node_name: {description: The name of the node., type: str, default: attached_node_name}
          netplan_success:
            description: 1 if it is configured and 0 if not; written.
            type: str
            default: netplan_success
          address: {description: The IP address., type: str, default: address}
          mtu: {description: The MTU., type: str, default: mtu}
          modified_at: {description: The time of the last change; written., type: str, default: modified_at}
          cidr: {description: The network; in the table of the subnets., type: str, default: cidr}
  nodecr:
    description: The cluster for O(source=nodecr), where the MultiNicNodeConfig of the node is.
    type: dict
    suboptions:
      namespace:
        description:
          - Where the resources are. Without it, the environment variable E(NODE_CR_NAMESPACE) tells, else it is
            C(multinic-system). The verb C(list) is needed there.
        type: str
      kubeconfig:
        description: The kubeconfig. Without it and O(nodecr.context), that of C(kubectl), else the pod's own account.
        type: path
      context:
        description: The context of the kubeconfig; without it the current one.
        type: str
      timeout:
        description: Seconds for the connection, and for the answer.
        type: int
        default: 10
  allow_empty:
    description:
      - Whether it may be that nothing is wanted of the node. If not, the task fails then, since
        M(manifold.core.multinic_config) with O(manifold.core.multinic_config#module:purge=true) would remove all.
    type: bool
    default: false
  interfaces:
    description: RV(manifold.core.multinic_config#module:interfaces), for O(state=reported).
    type: list
    elements: dict
seealso:
  - module: manifold.core.multinic_config
"""

EXAMPLES = r"""
- name: Read what is wanted of the node, on the controller
  manifold.core.multinic_source:
    source: db
    node_name: "{{ inventory_hostname_short }}"
    db:
      host: db.example.com
      user: multinic
      password: "{{ vault_multinic_password }}"
      database: multinic
      ca_cert: /etc/ssl/certs/db-ca.pem
  delegate_to: localhost
  register: wanted

- name: Configure it
  manifold.core.multinic_config:
    interfaces: "{{ wanted.interfaces }}"
  register: configured

- name: Write back what became of it
  manifold.core.multinic_source:
    state: reported
    source: db
    node_name: "{{ wanted.node_name }}"
    interfaces: "{{ configured.interfaces }}"
    db:
      host: db.example.com
      user: multinic
      password: "{{ vault_multinic_password }}"
      database: multinic
      ca_cert: /etc/ssl/certs/db-ca.pem
  delegate_to: localhost

- name: Read it from a file on the node
  manifold.core.multinic_source:
    source: file
    file: /etc/multinic.json

- name: Read it from the cluster
  manifold.core.multinic_source:
    source: nodecr
    node_name: worker-1
    nodecr: {context: production}
  delegate_to: localhost
"""

RETURN = r"""
node_name:
  description: The name of the node, as the source knows it.
  returned: success
  type: str
source:
  description: Where the desired state is.
  returned: success
  type: str
  sample: db
interfaces:
  description: What is wanted of the node, as O(manifold.core.multinic_config#module:interfaces) takes it.
  returned: success and O(state=present)
  type: list
  elements: dict
  contains:
    id: {description: The number of the interface., type: int, returned: always}
    mac_address: {description: In lower case with colons if it is one., type: str, returned: always}
    address: {description: The IP address; null if it has none., type: str, returned: always}
    cidr: {description: The network; null if there is none., type: str, returned: always}
    mtu: {description: The MTU; null leaves what the NIC has., type: int, returned: always}
    name: {description: The name that it is pinned to; null if it is not., type: str, returned: always}
rows:
  description: What is recorded of each interface now.
  returned: success and O(state=reported)
  type: list
  elements: dict
  contains:
    id: {description: The number of the interface., type: int, returned: always}
    netplan_success: {description: 1 if it is configured and 0 if not., type: int, returned: always}
    changed: {description: Whether that was written now., type: bool, returned: always}
message:
  description: What was written back, or why nothing was.
  returned: success and O(state=reported)
  type: str
  sample: 2 of 3 rows of node 'worker-1' were changed
"""

import os
import platform

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.manifold.core.plugins.module_utils.multinic._errors import MultinicError
from ansible_collections.manifold.core.plugins.module_utils.multinic._source_arguments import ARGUMENTS
from ansible_collections.manifold.core.plugins.module_utils.multinic._source_options import Surroundings, run


def main() -> None:
    """Read or write back, and say so to Ansible."""
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        required_if=[("state", "reported", ["interfaces"])],
        supports_check_mode=True,
    )
    try:
        result = run(module.params, Surroundings(dict(os.environ), platform.node()), module.check_mode)
    except MultinicError as exc:
        module.fail_json(msg=str(exc))
    for warning in result.pop("warnings"):
        module.warn(warning)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
