# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The edge between Ansible and the pipeline: arguments in, task result out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ansible.plugins.action import ActionBase

from ..plugin_utils._display import make_meter
from ..plugin_utils._signals import raising
from ..plugin_utils.contexts._ansible import ContextResolver
from ..plugin_utils.streams._pipeline import Options, run_pipeline
from ..plugin_utils.streams._spec import SpecError, Step, StepKind, check_repeatable, parse_size, parse_steps

ARGUMENTS: dict[str, Any] = {
    "steps": {"type": "list", "elements": "dict", "required": True},
    "checksum": {"type": "str", "choices": ["sha256", "none"], "default": "sha256"},
    "on_sink_failure": {"type": "str", "choices": ["abort", "continue"], "default": "abort"},
    "timeout": {"type": "float"},
    "stall_timeout": {"type": "float"},
    "connect_timeout": {"type": "float", "default": 60},
    "creates": {"type": "str"},
    "bwlimit": {"type": "str"},
    "retries": {"type": "int", "default": 0},
    "retry_delay": {"type": "float", "default": 5},
    "stdout_limit": {"type": "int", "default": 1048576},
}


class ActionModule(ActionBase):
    """Runs on the controller; contexts are reached from there."""

    _supports_check_mode = True
    _supports_async = False  # Ansible would run it in the foreground without saying so

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _spec, arguments = self.validate_argument_spec(ARGUMENTS)
        try:
            steps = self._with_task_environment(parse_steps(arguments["steps"]))
            if arguments["retries"]:
                check_repeatable(steps)
            options = replace(self._options(arguments), meter=make_meter(self, task_vars or {}))
        except SpecError as exc:
            return {**result, "failed": True, "msg": str(exc)}
        except ValueError as exc:
            return {**result, "failed": True, "msg": f"bwlimit: {exc}"}
        with raising():
            outcome = run_pipeline(steps, ContextResolver(self, task_vars or {}).resolve, options)
        result.update(outcome.as_task_result())
        if self._task.no_log and outcome.failed_step:
            # ansible-core 2.19 and later shows the message of a failed task all the same, and ours quotes stderr
            result["msg"] = f"step '{outcome.failed_step}' failed; no_log hides the reason"
        return result

    def _with_task_environment(self, steps: tuple[Step, ...]) -> list[Step]:
        """Give the task's environment to the commands that run on the task's own host, as for any module."""
        environment: dict[str, Any] = {}
        self._compute_environment_string(environment)
        values = {str(name): str(value) for name, value in environment.items()}
        return [
            replace(step, environment={**values, **step.environment})
            if step.context is None and step.kind is StepKind.COMMAND and not step.bare and not step.kubectl
            else step
            for step in steps
        ]

    def _options(self, arguments: dict[str, Any]) -> Options:
        limit = arguments["bwlimit"]
        return Options(
            checksum=arguments["checksum"] != "none",
            check_mode=bool(self._task.check_mode),
            on_sink_failure_continue=arguments["on_sink_failure"] == "continue",
            timeout=arguments["timeout"],
            stall_timeout=arguments["stall_timeout"],
            connect_timeout=arguments["connect_timeout"],
            stdout_limit=arguments["stdout_limit"],
            rate_limit=parse_size(limit) if limit else None,
            diff=bool(self._task.diff),
            creates=arguments["creates"],
            retries=arguments["retries"],
            retry_delay=arguments["retry_delay"],
        )
