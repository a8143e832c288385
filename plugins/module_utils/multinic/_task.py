# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules call: options of a task in, its result out, and no exception."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Mapping

from ansible_collections.manifold.core.plugins.module_utils.multinic._configure import Request, configure
from ansible_collections.manifold.core.plugins.module_utils.multinic._errors import ConfigError, MultinicError
from ansible_collections.manifold.core.plugins.module_utils.multinic._inspect import inspect
from ansible_collections.manifold.core.plugins.module_utils.multinic._plan import Policy
from ansible_collections.manifold.core.plugins.module_utils.multinic._report import FailOn
from ansible_collections.manifold.core.plugins.module_utils.multinic._session import connected_addresses
from ansible_collections.manifold.core.plugins.module_utils.multinic._system import LocalSystem
from ansible_collections.manifold.core.plugins.module_utils.multinic._verify import Verify


@dataclass(frozen=True)
class Done:
    """The end of a task.

    :param failure: why it failed, or None.
    """

    result: Mapping[str, Any] = field(default_factory=dict)
    failure: str | None = None
    warnings: tuple[str, ...] = ()


def configure_task(options: Mapping[str, Any], *, check: bool, diff: bool) -> Done:
    """Configure the node."""
    try:
        report = configure(LocalSystem(Path(options["host_root"])), _request(options, check))
    except MultinicError as exc:
        return Done(failure=str(exc))
    result = report.as_result()
    if diff:
        result["diff"] = list(report.diff)
    return Done(result, report.failure(FailOn(options["fail_on"])), report.warnings)


def inspect_task(options: Mapping[str, Any]) -> Done:
    """Look at the node."""
    try:
        found = inspect(LocalSystem(Path(options["host_root"])), connected_addresses())
    except MultinicError as exc:
        return Done(failure=str(exc))
    return Done({"changed": False, **found.as_result()})


def _request(options: Mapping[str, Any], check: bool) -> Request:
    if options["state"] == "absent" and options["interfaces"]:
        raise ConfigError(
            "state: absent removes all that was configured, so interfaces must not be given; to remove some of them, "
            "leave them out of the list with state: present"
        )
    # without the option Ansible leaves its defaults out
    verify = options["verify"] or {}
    return Request(
        interfaces=options["interfaces"],
        backend=options["backend"],
        policy=Policy(options["allow_up"], options["purge"] or options["state"] == "absent"),
        verify=Verify(
            verify.get("gateway", True), tuple(verify.get("tcp", ())), verify.get("command"), verify.get("timeout", 10)
        ),
        guard=options["guard"],
        rollback_timeout=options["rollback_timeout"],
        connected=connected_addresses(),
        check=check,
    )
