#!/usr/bin/python
# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is a virtual module that is entirely implemented as an action plugin and runs on the controller.

from __future__ import annotations

DOCUMENTATION = r"""
module: operation_info
short_description: List the records of runs
version_added: 0.1.0
author: manifold.core contributors (@manifold-core)
description:
  - Reads the records that the callback P(manifold.core.operation_log#callback) keeps, and returns those that are asked
    for, the newest first.
  - A run that still goes on is listed with the outcome V(running). One whose process is gone without a record is listed
    as V(interrupted); its record is written by the next run with the callback.
  - A file that is broken, or that a later version wrote, is left out with a warning that names it.
  - Always runs on the controller and changes nothing.
attributes:
  check_mode:
    support: full
    description: Reads only.
  diff_mode:
    support: none
    description: Nothing is changed.
  idempotent:
    support: full
    description: Reads only.
options:
  directory:
    description:
      - Where the records are.
      - By default the directory that the callback P(manifold.core.operation_log#callback) is configured to write to.
    type: path
  id:
    description: The id of a run.
    type: str
  playbook:
    description:
      - The path of a playbook as recorded, or its file name with or without extension. V(*), V(?) and V([...]) match
        as in a shell.
    type: str
  outcome:
    description: How the run ended.
    type: str
    choices: [ok, failed, no_hosts, interrupted, running]
  context:
    description: A context that one of its steps was to run in.
    type: str
  since:
    description:
      - Only runs that were started then or later. A date or a time as in ISO 8601, such as V(2026-01-14) or
        V(2026-01-14T17:02:34+01:00); without an offset in the time zone of the controller.
    type: str
  until:
    description: Only runs that were started then or earlier, written as O(since). A date includes its whole day.
    type: str
  limit:
    description: How many to return at most, the newest.
    type: int
seealso:
  - plugin: manifold.core.operation_log
    plugin_type: callback
"""

EXAMPLES = r"""
- name: Find the last backup that succeeded
  manifold.core.operation_info:
    playbook: backup
    outcome: ok
    limit: 1
  register: last

- name: Fail if there was none today
  ansible.builtin.assert:
    that: last.records | length == 1 and last.records[0].started[:10] == now(fmt='%Y-%m-%d')

- name: List the runs of this year that did not end well in a context
  manifold.core.operation_info:
    context: k8s-prod
    outcome: failed
    since: "2026-01-01"
"""

RETURN = r"""
records:
  description: The records, the newest first, as the JSON Schema at RV(schema) describes them.
  returned: success
  type: list
  elements: dict
  contains:
    version: {description: The version of the form of the record., type: int, returned: always}
    id:
      description: Identifies the run; starts with the time at which it was started.
      type: str
      returned: always
      sample: 2026-01-14-170234-1f8a0c3e
    playbook: {description: The path of the playbook; null if that was lost., type: str, returned: always}
    started: {description: When the run was started; null if that was lost., type: str, returned: always}
    finished: {description: When it ended; null if that is not known., type: str, returned: always}
    last_event: {description: When the last was heard of it., type: str, returned: always}
    outcome: {description: How it ended., type: str, returned: always, sample: ok}
    check_mode: {description: Whether it was run with C(--check)., type: bool, returned: always}
    contexts_used:
      description: Every context that a step was to run in.
      type: list
      elements: dict
      returned: always
      contains:
        name: {description: The name of the context., type: str, returned: always}
        type: {description: Its kind., type: str, returned: always, sample: ssh}
        steps: {description: The names of the steps., type: list, elements: str, returned: always}
        connection_time_ms:
          description: The longest time in milliseconds until a step was ready there; null if none was.
          type: int
          returned: always
    transfers:
      description: Every proven destination of a pipeline.
      type: list
      elements: dict
      returned: always
      contains:
        operation_id: {description: The pipeline., type: str, returned: always}
        from: {description: The context of its first step., type: str, returned: always}
        to: {description: Context and path of the destination., type: str, returned: always}
        bytes: {description: The size of the destination., type: int, returned: always}
        duration_ms: {description: The milliseconds that the pipeline took., type: int, returned: always}
        checksum: {description: The SHA-256 of the destination., type: str, returned: always}
        retries: {description: How often the pipeline was begun again., type: int, returned: always}
        committed: {description: Whether the content stands under its name., type: bool, returned: always}
        changed: {description: Whether it differs from what was there before., type: bool, returned: always}
    operations:
      description: Every task of this collection on every host, each item of a loop and each attempt by itself.
      type: list
      elements: dict
      returned: always
      contains:
        operation_id:
          description: Identifies the operation; null if it has none or C(no_log) hides it.
          type: str
          returned: always
        action: {description: The full name of the module., type: str, returned: always}
        task: {description: The name of the task., type: str, returned: always}
        host: {description: The host of the task., type: str, returned: always}
        delegated_to: {description: The host it was delegated to., type: str, returned: always}
        outcome:
          description:
            - V(ok), V(failed), V(skipped) or V(unreachable); V(retried) for an attempt that C(until) repeated;
              V(interrupted) if it had begun and no result is known.
          type: str
          returned: always
        ignored: {description: Whether C(ignore_errors) let the play go on., type: bool, returned: always}
        no_log: {description: Whether C(no_log) hides the result., type: bool, returned: always}
        check_mode: {description: Whether it ran in check mode., type: bool, returned: always}
        started: {description: When the task began on the host., type: str, returned: always}
        finished: {description: When its result was known., type: str, returned: always}
        result:
          description: The fields of its result that the schema names; null if there are none.
          type: dict
          returned: always
    failed_tasks:
      description: Every task of any collection that failed on a host, also if that was ignored or rescued.
      type: list
      elements: dict
      returned: always
      contains:
        task: {description: The name of the task., type: str, returned: always}
        host: {description: The host., type: str, returned: always}
        action: {description: The full name of the module., type: str, returned: always}
        unreachable: {description: Whether the host could not be reached., type: bool, returned: always}
        ignored: {description: Whether the play went on all the same., type: bool, returned: always}
    lost_events:
      description: How many events cannot be read, because the process was killed while it wrote one.
      type: int
      returned: always
directory:
  description: Where the records are.
  returned: success
  type: str
schema:
  description: The path of the JSON Schema of a record.
  returned: success
  type: str
"""
