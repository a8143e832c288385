#!/usr/bin/python
# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is a virtual module that is entirely implemented as an action plugin and runs on the controller.

from __future__ import annotations

DOCUMENTATION = r"""
module: pipeline
short_description: Stream data between commands that run in different places
version_added: 0.1.0
author: manifold.core contributors (@manifold-core)
description:
  - Connects commands that run on this machine, on SSH hosts and in Kubernetes pods, stdout to stdin, without a
    temporary file on the way.
  - The task succeeds only if every step proved that it finished and that it was given all its input. A step's exit
    status comes from a marker that the step itself sends after its last byte, not from its transport.
  - A destination appears whole or not at all. It is written to a temporary file beside it and renamed once every step
    is proven; a run that fails or is interrupted leaves an older file as it was.
  - Needs only a POSIX C(sh) with the usual tools (coreutils or busybox) in the contexts, no Python.
requirements:
  - C(ssh) on the controller, for steps on SSH hosts.
  - C(kubectl) on the controller and the collection C(kubernetes.core), for steps in pods.
attributes:
  check_mode:
    support: full
    description: Connects to every context and looks for commands, directories and permissions there; moves nothing.
  diff_mode:
    support: full
    description: Shows size, checksum and time of each destination before and after.
  idempotent:
    support: partial
    description:
      - The commands run every time. A destination whose content comes out the same is left alone and is not reported as
        changed.
options:
  steps:
    description:
      - The steps, in the order of the stream. Each reads what the one before it prints, or the one it names with
        O(steps[].input). What a step prints goes to every step that reads from it.
      - Exactly one of O(steps[].command), O(steps[].argv), O(steps[].kubectl), O(steps[].src) and O(steps[].dest) is
        needed in each.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: What the step is called in results and messages. Its number if not given.
        type: str
      context:
        description:
          - Where it runs, the name of a host of the inventory, or V(local) for the controller.
          - Without it the step runs on the host of the task. The connection plugins V(ansible.builtin.local),
            V(ansible.builtin.ssh), V(manifold.core.kubectl) and V(kubernetes.core.kubectl) are supported.
        type: str
      pod:
        description:
          - The pod instead of the one of the context, by its name or as V(deployment/NAME), V(statefulset/NAME),
            V(daemonset/NAME) or V(service/NAME); see P(manifold.core.kubectl#connection).
          - A workload is looked up when a run begins, and again for each of the O(retries).
        type: str
      container:
        description: The container instead of the one of the context.
        type: str
      command:
        description: A command line for C(sh -c).
        type: str
      argv:
        description: A command as a list of words, run without a shell of its own.
        type: list
        elements: str
      kubectl:
        description:
          - A command line for C(kubectl), without that word, as a line or as a list of words. It runs on the controller
            as the user who runs Ansible, against the cluster and the namespace of the context, with its credentials.
          - The step is believed by the exit status of kubectl, which for C(kubectl exec) and C(kubectl cp) is less than
            a step in the pod can prove.
        type: raw
      src:
        description: A file to read. Only the first step can have it.
        type: path
      input:
        description:
          - The name of the step to read from. It must stand before this one, and it is the step right before if
            it is not given. Several steps may read from one.
        type: str
      buffer:
        description:
          - How much of its input may wait for the step in memory, such as V(64M), so that a step that is slow at times
            does not stop the one before it.
        type: str
      dest:
        description:
          - A file to write what is read. It keeps the mode, and if possible the owner, of a file it replaces.
          - The directory must exist unless O(steps[].create_parents=true).
          - A relative path starts where commands start there, which over SSH is the home directory of the user, in a
            pod the working directory of the container. A leading V(~/) is the home directory everywhere.
        type: path
      environment:
        description: Environment variables of the command. They never stand in an argument list.
        type: dict
      mode:
        description: The mode of the file at O(steps[].dest), in quotes, such as V('0640') or V('u=rw,g=r').
        type: str
      owner:
        description: The owner of the file at O(steps[].dest).
        type: str
      group:
        description: The group of the file at O(steps[].dest).
        type: str
      create_parents:
        description: Whether to make the directory of O(steps[].dest), and those above it.
        type: bool
        default: false
      chdir:
        description: The directory to run the command in.
        type: path
      ok_codes:
        description: The exit statuses that count as success.
        type: list
        elements: int
        default: [0]
      proof:
        description:
          - What the step is believed by. V(marker), the default, is its own word, sent by the shell that runs it.
          - V(transport) is the exit status that the API server tells, for containers without a shell. It needs
            O(steps[].argv). A stream that was cut can look whole, and on failure the process in the pod may go on.
        type: str
        choices: [marker, transport]
        default: marker
      repeatable:
        description: Whether O(retries) may run the command again.
        type: bool
        default: false
      become:
        description:
          - Whether to run as another user. If not given, the C(ansible_become) of the context decides, and for a
            step without O(steps[].context) the C(become) of the task.
        type: bool
      become_user:
        description: The user to run as; needs O(steps[].become) or its counterpart in the inventory.
        type: str
  checksum:
    description:
      - V(sha256) computes the checksum of what is sent and compares it with that of the file at the destination, read
        back (as a rule from the page cache) before it gets its name.
      - V(none) proves the number of bytes only.
    type: str
    choices: [sha256, none]
    default: sha256
  creates:
    description:
      - A path in the context of the last step. If something is there, nothing is done.
    type: str
  bwlimit:
    description: Bytes a second that the first step may print at most, such as V(10M).
    type: str
  retries:
    description:
      - How often a run that failed is begun again from the start.
      - A first or last command must say O(steps[].repeatable=true) for that.
    type: int
    default: 0
  retry_delay:
    description: Seconds before the first repetition. Each further one waits twice as long.
    type: float
    default: 5
  on_sink_failure:
    description:
      - What to do when one of several destinations fails.
      - V(abort) ends the pipeline, and no destination changes.
      - V(continue) goes on with the others and puts those in place that are proven; the task fails all the same. A
        command that fails ends the whole pipeline all the same.
    type: str
    choices: [abort, continue]
    default: abort
  stall_timeout:
    description:
      - Seconds in which not a byte moves before the pipeline is ended and fails; the message names the step that the
        others wait for. The time in which a destination reads its file back does not count.
      - Without it there is no limit.
    type: float
  timeout:
    description:
      - Seconds after which the pipeline is ended and fails, counted from its start and over all O(retries). Without
        it there is no limit.
    type: float
  connect_timeout:
    description: Seconds in which all steps have to be ready to run.
    type: float
    default: 60
  stdout_limit:
    description: How many bytes to return at most of what a last command prints.
    type: int
    default: 1048576
notes:
  - While data moves, the task says how far it is - bytes, the whole where it is known (a O(steps[].src)), rate and time
    left, for each destination. On a terminal one line is written over while the play has one host; else a line appears
    every five seconds, with the host's name in front.
  - The variable C(manifold_progress), or E(MANIFOLD_PROGRESS) in the environment, is V(auto), V(terminal), V(lines) or
    V(none); C(manifold_progress_interval) and E(MANIFOLD_PROGRESS_INTERVAL) are the seconds between two looks. Tasks
    with C(no_log) show no progress.
"""

EXAMPLES = r"""
- name: Back up a folder of a pod to a server
  manifold.core.pipeline:
    steps:
      - {name: extract, context: k8s-prod, argv: [tar, cf, "-", -C, /data, .]}
      - {name: compress, context: local, command: zstd -3 -T0}
      - {name: save, context: backup-server, dest: /backups/data.tar.zst}
  register: backup

- name: Save to two servers in one pass, and keep the one copy if the other fails
  manifold.core.pipeline:
    steps:
      - {name: dump, context: k8s-prod, command: "pg_dump -U app app"}
      - {name: compress, context: local, command: zstd -3 -T0}
      - {name: save-a, context: backup-server, dest: /backups/app.sql.zst, mode: "0600"}
      - {name: save-b, context: offsite, dest: /backups/app.sql.zst, mode: "0600", input: compress}
    on_sink_failure: continue
    stall_timeout: 300

- name: Keep the log of a deployment
  manifold.core.pipeline:
    steps:
      - {name: log, context: k8s-prod, kubectl: logs deployment/web --since=24h}
      - {name: compress, context: local, command: zstd -3}
      - {name: save, context: backup-server, dest: /backups/web.log.zst}

- name: Dump a database from whichever pod of the stateful set is ready
  manifold.core.pipeline:
    steps:
      - {name: dump, context: k8s-prod, pod: statefulset/postgres, container: postgres, command: pg_dump -U app app}
      - {name: save, context: backup-server, dest: /backups/app.sql}

- name: Run a command in a pod that has no Python
  manifold.core.pipeline:
    steps:
      - {context: k8s-prod, argv: [cat, /etc/os-release]}
  register: release
"""

RETURN = r"""
operation_id:
  description: Identifies this run; part of the name of its temporary files.
  returned: always, once the steps were understood
  type: str
  sample: 2026-01-14-170234-1f8a0c3e
duration_ms:
  description: From reading the contexts to the commit, in milliseconds.
  returned: always, once the steps were understood
  type: int
failed_step:
  description: The name of the step that failed, null if none did.
  returned: always, once the steps were understood
  type: str
bytes:
  description: The size of the destination.
  returned: with one destination that is proven
  type: int
checksum:
  description: The SHA-256 of the destination; null with O(checksum=none).
  returned: with one destination that is proven
  type: str
attempts:
  description: How often the pipeline was begun.
  returned: when it was begun more than once
  type: int
stdout:
  description: What the last command printed, up to O(stdout_limit).
  returned: when the last step is a command
  type: str
stdout_lines:
  description: The same as lines.
  returned: when the last step is a command
  type: list
  elements: str
stdout_cut:
  description: Whether more was printed than is returned.
  returned: when the last step is a command
  type: bool
steps:
  description: What happened to each step.
  returned: always, once the contexts were understood
  type: list
  elements: dict
  contains:
    name: {description: The name of the step., type: str, returned: always}
    context: {description: Where it ran., type: str, returned: always}
    type: {description: The kind of the context., type: str, returned: always, sample: ssh}
    rc: {description: The exit status of the command; null if it is not known., type: int, returned: always}
    stderr: {description: The last 16 KiB the command printed on stderr., type: str, returned: always}
    bytes_in: {description: Bytes passed to it; null for the first step., type: int, returned: always}
    bytes_out: {description: Bytes it printed; null for a destination., type: int, returned: always}
    connection_time_ms:
      description: Milliseconds from starting the transport to the readiness of the command.
      type: int
      returned: always
    proof:
      description:
        - V(marker) if the step proved that it finished, V(transport) if only its transport says so, V(unneeded) if
          its readers had enough on purpose, null if there is no proof.
      type: str
      returned: always
sinks:
  description: The destinations that are proven.
  returned: always, once the contexts were understood
  type: list
  elements: dict
  contains:
    step: {description: The name of the step., type: str, returned: always}
    context: {description: Where it is., type: str, returned: always}
    path: {description: The path as given., type: str, returned: always}
    bytes: {description: Its size., type: int, returned: always}
    checksum: {description: Its SHA-256., type: str, returned: always}
    committed: {description: Whether the proven content stands under its name., type: bool, returned: always}
    changed: {description: Whether the content differs from what was there before., type: bool, returned: always}
"""
