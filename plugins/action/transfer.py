# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The edge between Ansible and a transfer: arguments in, task result out."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ..plugin_utils._display import make_meter
from ..plugin_utils._signals import raising
from ..plugin_utils.contexts._ansible import ContextResolver
from ..plugin_utils.contexts._base import Context
from ..plugin_utils.streams._spec import parse_size
from ..plugin_utils.transfers._endpoint import Endpoint, parse_endpoint
from ..plugin_utils.transfers._errors import SpecError
from ..plugin_utils.transfers._filter import make_filter
from ..plugin_utils.transfers._run import run_transfer
from ..plugin_utils.transfers._spec import Request

ARGUMENTS: dict[str, Any] = {
    "src": {"type": "raw", "required": True},
    "dest": {"type": "raw", "required": True},
    "checksum": {"type": "bool", "default": False},
    "delete": {"type": "bool", "default": False},
    "allow_empty": {"type": "bool", "default": False},
    "include": {"type": "list", "elements": "str", "default": []},
    "exclude": {"type": "list", "elements": "str", "default": []},
    "create_parents": {"type": "bool", "default": False},
    "resume": {"type": "bool", "default": True},
    "streams": {"type": "int", "default": 1},
    "compress": {"type": "str", "choices": ["auto", "zstd", "gzip", "none"], "default": "auto"},
    "connect_timeout": {"type": "float", "default": 60},
    "timeout": {"type": "float"},
    "stall_timeout": {"type": "float"},
    "bwlimit": {"type": "str"},
    "retries": {"type": "int", "default": 0},
    "retry_delay": {"type": "float", "default": 5},
}


class ActionModule(ActionBase):
    """Runs on the controller; both ends are reached from there."""

    _supports_check_mode = True
    _supports_async = False  # Ansible would run it in the foreground without saying so

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _spec, arguments = self.validate_argument_spec(ARGUMENTS)
        try:
            request = self._request(arguments, task_vars or {})
        except SpecError as exc:
            return {**result, "failed": True, "msg": str(exc)}
        except ValueError as exc:
            return {**result, "failed": True, "msg": f"bwlimit: {exc}"}
        resolver = ContextResolver(self, task_vars or {})

        def place(end: Endpoint) -> Context:
            context = resolver.resolve(end.context, end.become, end.become_user)
            return context.in_pod(end.pod, end.container) if end.pod or end.container else context

        with raising():
            outcome = run_transfer(request, place)
        result.update(outcome.as_task_result(request.diff))
        if self._task.no_log and outcome.failure:
            # ansible-core 2.19 and later shows the message of a failed task all the same, and ours quotes stderr
            result["msg"] = "the transfer failed; no_log hides the reason"
        return result

    def _request(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> Request:
        known = list(task_vars.get("hostvars", {}))
        return Request(
            src=parse_endpoint(arguments["src"], "src", known),
            dest=parse_endpoint(arguments["dest"], "dest", known),
            filter=make_filter(arguments["include"], arguments["exclude"]),
            checksum=arguments["checksum"],
            delete=arguments["delete"],
            allow_empty=arguments["allow_empty"],
            create_parents=arguments["create_parents"],
            resume=arguments["resume"],
            streams=arguments["streams"],
            compress=arguments["compress"],
            check_mode=bool(self._task.check_mode),
            diff=bool(self._task.diff),
            connect_timeout=arguments["connect_timeout"],
            timeout=arguments["timeout"],
            stall_timeout=arguments["stall_timeout"],
            rate_limit=parse_size(arguments["bwlimit"]) if arguments["bwlimit"] else None,
            retries=arguments["retries"],
            retry_delay=arguments["retry_delay"],
            meter=make_meter(self, task_vars),
        )
