# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The edge between Ansible and the look at contexts: arguments in, task result out."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase

from ..plugin_utils._signals import raising
from ..plugin_utils.contexts._ansible import ContextResolver
from ..plugin_utils.contexts._base import ContextError
from ..plugin_utils.contexts._definition import DEFAULT_GROUP
from ..plugin_utils.contexts._sources import check_sources
from ..plugin_utils.contexts._status import Known, table
from ..plugin_utils.streams._probe import survey

ARGUMENTS: dict[str, Any] = {
    "contexts": {"type": "list", "elements": "str"},
    "probe": {"type": "bool", "default": True},
    "timeout": {"type": "float", "default": 10},
}


class ActionModule(ActionBase):
    """Runs on the controller; contexts are reached from there."""

    _supports_check_mode = True
    _supports_async = False  # Ansible would run it in the foreground without saying so

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _spec, arguments = self.validate_argument_spec(ARGUMENTS)
        variables = task_vars or {}
        groups = variables.get("groups", {})
        try:
            check_sources(variables.get("ansible_inventory_sources", ()), self._loader)
            names = Known(list(variables["hostvars"]), groups).select(arguments["contexts"])
        except ContextError as exc:
            return {**result, "failed": True, "msg": str(exc)}
        seconds = arguments["timeout"] if arguments["probe"] else None
        if seconds is not None and seconds <= 0:
            return {**result, "failed": True, "msg": "timeout: it must be more than 0 seconds"}
        started = time.monotonic()
        with raising():
            resolve = ContextResolver(self, variables).resolve
            statuses = survey(names, groups.get(DEFAULT_GROUP, ()), resolve, seconds)
            elapsed = round((time.monotonic() - started) * 1000)
            result.update(
                duration_ms=elapsed, contexts=[status.as_result() for status in statuses], table=table(statuses)
            )
        return {**result, "changed": False}
