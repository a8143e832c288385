#!/usr/bin/python
# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is a virtual module that is entirely implemented as an action plugin and runs on the controller.

from __future__ import annotations

DOCUMENTATION = r"""
module: port_forward
short_description: Forward ports to a Kubernetes service or through an SSH host, for as long as a play runs
version_added: 0.1.0
author: manifold.core contributors (@manifold-core)
description:
  - Starts a process on the controller that listens on ports and leads them to a target. When the task returns, a
    connection has been made to every port of the target.
  - The process outlives the task. It ends, and its ports close, with the last play that asked for it, however that
    ends; or when its time is up (O(lifetime=persistent)).
  - A connection for which the far end is not there, such as while a pod is being replaced, waits; it is not refused.
    One that fails is reset, and harms no other.
  - A forward is found again by its name, by every play of the same user on the same machine.
attributes:
  check_mode:
    support: full
    description: Looks at what runs, and whether the ports are free; it connects to nothing.
  diff_mode:
    support: full
    description: Shows the forward of that name before and after.
  idempotent:
    support: full
    description:
      - A forward that runs as it is asked for is taken over; then nothing has changed. One of that name that leads
        elsewhere, or listens elsewhere, is replaced.
options:
  name:
    description: What the forward is called, which tells it from every other one of this user on this machine.
    type: str
    required: true
  state:
    description:
      - With V(present) it runs as it is described by the other options.
      - With V(absent) it does not run, for no play at all. Only O(name) matters then.
      - With V(restarted) it is started anew, if it runs already.
    type: str
    choices: [present, absent, restarted]
    default: present
  context:
    description:
      - The context that leads to the target, of type kubernetes or ssh. Needed unless O(state=absent).
      - The name of a host of the inventory, or a mapping as it would stand in a contexts file, such as
        V({type: ssh, host: bastion.example.com}).
    type: raw
  target:
    description:
      - In Kubernetes C(service/NAME), C(deployment/NAME), C(statefulset/NAME) or C(pod/NAME); needed there. The ports
        of a service are its own, as with kubectl, and are led to its target ports.
      - With SSH the host to connect to, as the SSH host sees it; without it that is the SSH host itself (localhost).
        With O(direction=remote) it is the host to connect to as the controller sees it, and without it the controller.
    type: str
  ports:
    description:
      - The ports, 64 at most; needed unless O(state=absent). What listens comes first, then the port of the target.
      - V("8080:80") listens at 8080 and leads to 80; V("80") listens at 80 as well; V(":80") listens at a port that is
        free, which is returned.
      - In Kubernetes the port of the target may be a name, as in V("8080:http").
      - Write them in quotes. YAML takes some pairs of numbers for hours and minutes.
    type: list
    elements: str
  bind:
    description:
      - The IP address to listen at. Any other than one of loopback lets others connect, without a password.
      - With O(direction=remote) an address or a name of the SSH host, whose server has to allow it (GatewayPorts).
    type: str
    default: 127.0.0.1
  direction:
    description:
      - With V(local) the controller listens, and the target is reached by way of the context.
      - With V(remote) the SSH host listens, and the target is reached from the controller.
    type: str
    choices: [local, remote]
    default: local
  lifetime:
    description:
      - With V(play) the forward ends when every C(ansible-playbook) that asked for it has ended, also if it was killed.
      - With V(persistent) it stays until it is made absent, or until O(ttl) is over. One that is persistent stays so
        when another play asks for it.
    type: str
    choices: [play, persistent]
    default: play
  ttl:
    description: Seconds after which a persistent forward ends, counted from the last task that asked for it so.
    type: float
  wait_timeout:
    description: Seconds in which it has to be ready, else the task fails and nothing listens.
    type: float
    default: 60
  connect_timeout:
    description: Seconds that a connection waits for a far end that is not there, before it is reset.
    type: float
    default: 30
seealso:
  - module: manifold.core.port_forward_info
  - plugin: manifold.core.forward
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Use an object store of the cluster
  block:
    - name: Forward a free port to it
      manifold.core.port_forward:
        name: minio
        context: k8s-prod
        target: service/minio
        ports: [":9000"]
      register: minio

    - name: Ask whether it is healthy
      ansible.builtin.uri:
        url: "http://{{ minio.address }}/minio/health/live"
  always:
    - name: End the forward
      manifold.core.port_forward:
        name: minio
        state: absent

- name: Reach a database behind a bastion for two hours, from whatever runs here
  manifold.core.port_forward:
    name: db
    context: bastion
    target: db.internal
    ports: ["15432:5432"]
    lifetime: persistent
    ttl: 7200

- name: Let the server reach the package mirror that runs on the controller
  manifold.core.port_forward:
    name: mirror
    context: prod-server
    direction: remote
    ports: ["3142:3142"]
"""

RETURN = r"""
name: {description: The name of the forward., type: str, returned: success}
state:
  description:
    - V(ready), or V(waiting) if the far end was not there when it was last tried; V(absent) if it does not run.
  type: str
  returned: success
context: {description: The name of its context., type: str, returned: if it runs}
target: {description: The target in its full form., type: str, returned: if it runs, sample: service/minio}
direction: {description: Who listens., type: str, returned: if it runs}
bind: {description: The address that it listens at., type: str, returned: if it runs}
address:
  description: Where to connect to for the first port.
  type: str
  returned: if it runs
  sample: 127.0.0.1:9000
port: {description: The first port that listens., type: int, returned: if it runs}
ports:
  description: The ports, in the order they were asked for.
  returned: if it runs
  type: list
  elements: dict
  contains:
    listen: {description: The port that listens., type: int, returned: always}
    address: {description: Where to connect to for it., type: str, returned: always}
    target: {description: The port of the target., type: raw, returned: always}
pid: {description: The number of its process., type: int, returned: if it runs}
log: {description: The file that it tells its troubles to., type: str, returned: if it runs}
"""
