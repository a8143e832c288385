# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the result of every task as one JSON line to the file named by ``TESTBED_RESULTS``."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: testbed_results
type: notification
short_description: Task results as JSON lines, for the tests
description: Each line holds host, task, action, status and result. Without E(TESTBED_RESULTS) nothing is written.
"""


class CallbackModule(CallbackBase):
    """Keeps nothing: a killed play leaves every finished task's line behind."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "testbed_results"
    CALLBACK_NEEDS_ENABLED = True

    def _write(self, outcome: Any, status: str) -> None:
        path = os.environ.get("TESTBED_RESULTS")
        if not path:
            return
        line = {
            "host": outcome.host.get_name(),
            "task": outcome.task.name,
            "action": outcome.task.action,
            "status": status,
            "result": outcome.result,
        }
        with Path(path).open("a") as stream:
            stream.write(json.dumps(line, default=str) + "\n")

    def v2_runner_on_ok(self, result: Any) -> None:
        """A task succeeded on a host."""
        self._write(result, "ok")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:  # noqa: ARG002
        """A task failed on a host, whether or not that is ignored."""
        self._write(result, "failed")

    def v2_runner_on_skipped(self, result: Any) -> None:
        """A task's condition did not hold."""
        self._write(result, "skipped")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """A host could not be reached."""
        self._write(result, "unreachable")
