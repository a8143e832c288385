# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The edge between Ansible and the records of runs: arguments in, records out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..plugin_utils.operations._ansible import configured_directory
from ..plugin_utils.operations._files import RecordFolder, default_directory
from ..plugin_utils.operations._query import QueryError, find, parse_query, schema_path
from ..plugin_utils.operations._record import Outcome

ARGUMENTS: dict[str, Any] = {
    "directory": {"type": "path"},
    "id": {"type": "str"},
    "playbook": {"type": "str"},
    "outcome": {"type": "str", "choices": [outcome.value for outcome in Outcome]},
    "context": {"type": "str"},
    "since": {"type": "str"},
    "until": {"type": "str"},
    "limit": {"type": "int"},
}


class ActionModule(ActionBase):
    """Runs on the controller, where the records are."""

    _supports_check_mode = True
    _supports_async = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _spec, arguments = self.validate_argument_spec(ARGUMENTS)
        directory = Path(arguments["directory"] or configured_directory() or default_directory(os.environ, Path.home()))
        try:
            folder = RecordFolder(directory.absolute(), Display().warning)
            records = find(folder, parse_query(arguments), Display().warning)
        except QueryError as exc:
            return {**result, "failed": True, "msg": str(exc)}
        except FileNotFoundError:
            records = []  # nothing was recorded yet
        except OSError as exc:
            return {**result, "failed": True, "msg": f"{directory}: the records cannot be listed: {exc.strerror}"}
        return {
            **result,
            "changed": False,
            "directory": str(directory),
            "schema": str(schema_path()),
            "records": records,
        }
