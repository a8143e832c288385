# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The edge between Ansible and a forward: arguments in, task result out."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ..plugin_utils._signals import raising
from ..plugin_utils.contexts._ansible import ContextResolver
from ..plugin_utils.contexts._base import ContextError
from ..plugin_utils.forwards._errors import ForwardError
from ..plugin_utils.forwards._state import ForwardFolder, this_directory
from ..plugin_utils.forwards._task import apply

ARGUMENTS: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent", "restarted"], "default": "present"},
    "context": {"type": "raw"},
    "target": {"type": "str"},
    "ports": {"type": "list", "elements": "str"},
    "bind": {"type": "str", "default": "127.0.0.1"},
    "direction": {"type": "str", "choices": ["local", "remote"], "default": "local"},
    "lifetime": {"type": "str", "choices": ["play", "persistent"], "default": "play"},
    "ttl": {"type": "float"},
    "wait_timeout": {"type": "float", "default": 60},
    "connect_timeout": {"type": "float", "default": 30},
}


class ActionModule(ActionBase):
    """Runs on the controller, which the forward belongs to."""

    _supports_check_mode = True
    _supports_async = False  # Ansible would run it in the foreground without saying so

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _spec, arguments = self.validate_argument_spec(ARGUMENTS)
        resolver = ContextResolver(self, task_vars or {})
        folder = ForwardFolder(this_directory())
        try:
            with raising():
                done = apply(
                    arguments,
                    lambda: resolver.resolve_or_define(arguments["context"], arguments["name"]),
                    folder,
                    check_mode=bool(self._task.check_mode),
                )
        except (ForwardError, ContextError) as exc:
            return {**result, "failed": True, "msg": str(exc)}
        if not self._task.diff:
            del done["diff"]
        return {**result, **done}
