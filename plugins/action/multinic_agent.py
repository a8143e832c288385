# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The edge between Ansible and the agent of a node: what its Job says in, a summary for the controller out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase

from ..module_utils.multinic_cluster._agent import (
    Order,
    identity_of,
    last_words,
    leave,
    message_path,
    order_of,
)
from ..module_utils.multinic_cluster._errors import ClusterError

_CONFIG = "manifold.core.multinic_config"
_SOURCE = "manifold.core.multinic_source"


class ActionModule(ActionBase):
    """Runs in the agent's container, as the modules that it calls do."""

    _supports_check_mode = True
    _supports_async = False  # Ansible would run it in the foreground without saying so

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        self.validate_argument_spec({})
        task, generation = identity_of(os.environ)
        try:
            order = order_of(os.environ)
            task, generation = order.task, order.generation
            done = self._carry_out(order, task_vars or {})
            failure = str(done.get("msg", "no reason given")) if done.get("failed") else None
        except Exception as exc:  # whatever it is, the controller is to read why
            done, failure = {}, str(exc) or type(exc).__name__
        text = last_words(task, generation, done, failure)
        result.update({name: done[name] for name in ("interfaces", "guard", "rolled_back", "diff") if name in done})
        result.update(changed=bool(done.get("changed")), summary=text)
        if self._task.check_mode:
            return {**result, "failed": failure is not None, "msg": failure or "nothing was changed"}
        try:
            leave(message_path(os.environ), text)
        except ClusterError as exc:
            return {**result, "failed": True, "msg": str(exc)}
        return {**result, "msg": failure or "the run has ended"}

    def _carry_out(self, order: Order, task_vars: dict[str, Any]) -> Mapping[str, Any]:
        options = dict(order.options)
        if order.source is not None:
            found = self._call(_SOURCE, order.source, task_vars)
            if found.get("failed"):
                return found
            options["interfaces"] = found["interfaces"]
        done = self._call(_CONFIG, options, task_vars)
        if order.source is None or "interfaces" not in done or self._task.check_mode:
            return done
        node = {"state": "reported", "node_name": found["node_name"], "interfaces": done["interfaces"]}
        told = self._call(_SOURCE, {**order.source, **node}, task_vars)
        if told.get("failed") and not done.get("failed"):
            return {**done, "failed": True, "msg": f"configured, but not written back: {told.get('msg')}"}
        return done

    def _call(self, module: str, arguments: Mapping[str, Any], task_vars: dict[str, Any]) -> Mapping[str, Any]:
        done: Mapping[str, Any] = self._execute_module(module, module_args=dict(arguments), task_vars=task_vars)
        if done.get("failed") and not done.get("msg"):
            return {**done, "msg": str(done.get("module_stderr") or "the module gave no reason")}
        return done
