# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The edge between Ansible and the look at forwards: arguments in, task result out."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ..plugin_utils.forwards._errors import ForwardError
from ..plugin_utils.forwards._state import ForwardFolder, this_directory
from ..plugin_utils.forwards._task import told

ARGUMENTS: dict[str, Any] = {"name": {"type": "str"}}


class ActionModule(ActionBase):
    """Runs on the controller, which the forwards belong to."""

    _supports_check_mode = True
    _supports_async = False  # Ansible would run it in the foreground without saying so
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _spec, arguments = self.validate_argument_spec(ARGUMENTS)
        try:
            forwards = told(ForwardFolder(this_directory()), arguments["name"])
        except ForwardError as exc:
            return {**result, "failed": True, "msg": str(exc)}
        return {**result, "changed": False, "forwards": forwards}
