# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module calls: options of a task in, its result out, and no exception."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Mapping

from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._api import Api, connect
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._errors import ClusterError, SettingsError
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._limits import Limits, limit
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._observed import Config, State
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._once import Pass, reconcile_all
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._rate import TokenBucket
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._settings import Agent, Settings

_PAUSE = 1.0
"""Seconds between two passes."""


@dataclass(frozen=True)
class Done:
    """The end of a task.

    :param failure: why it failed, or None.
    """

    result: Mapping[str, Any] = field(default_factory=dict)
    failure: str | None = None


def reconcile_task(options: Mapping[str, Any], *, check: bool) -> Done:
    """Go over the cluster, once or until it is at rest."""
    try:
        settings = settings_of(options)
        bucket = _bucket(options["writes_per_second"])
        client = connect(options["kubeconfig"], options["context"])
        api = Api(client, bucket, _bucket(options["writes_per_second"]), time.time, options["namespace"])
        return _passes(api, settings, 0 if check else options["wait"], check)
    except ClusterError as exc:
        return Done(failure=str(exc))


def settings_of(options: Mapping[str, Any]) -> Settings:
    """Read the options of a task. :raises SettingsError: the text names the option."""
    if options["deadline"] <= options["rollback_timeout"]:
        raise SettingsError(
            f"deadline ({options['deadline']} s) must be more than rollback_timeout ({options['rollback_timeout']} s): "
            "the guard has to have its say before the Job is stopped"
        )
    if options["resync"] < 0:
        raise SettingsError(f"resync is {options['resync']:g}; it must be seconds, or 0 for never")
    agent = Agent(
        image=options["image"],
        command=tuple(options["command"]),
        image_pull_policy=options["image_pull_policy"],
        image_pull_secrets=tuple(options["image_pull_secrets"]),
        deadline=options["deadline"],
        rollback_timeout=options["rollback_timeout"],
        options=options["agent_options"],
    )
    limits = Limits(limit(options["max_in_flight"], "max_in_flight"), limit(options["max_failing"], "max_failing"))
    return Settings(agent, limits, resync=options["resync"])


def _bucket(per_second: float) -> TokenBucket:
    if per_second <= 0:
        raise SettingsError(f"writes_per_second is {per_second:g}; it must be more than 0")
    return TokenBucket(per_second, max(1, round(per_second)))


def _passes(api: Api, settings: Settings, seconds: float, check: bool) -> Done:
    end = time.monotonic() + seconds
    done: list[tuple[str, str]] = []
    while True:
        found = reconcile_all(api, settings, time.time, check)
        done.extend(found.done)
        if not found.busy or found.errors or time.monotonic() + _PAUSE > end:
            return Done(_result(found, done), "; ".join(found.errors) or None)
        time.sleep(_PAUSE)


def _result(found: Pass, done: list[tuple[str, str]]) -> Mapping[str, Any]:
    return {
        "changed": bool(done),
        "actions": [{"config": config, "action": action} for config, action in done],
        "configs": [_told(config) for config in found.configs],
        "busy": found.busy,
    }


def _told(config: Config) -> Mapping[str, Any]:
    status = config.status
    conditions = status.raw.get("conditions") or ()
    ready: Mapping[str, Any] = next((each for each in conditions if each.get("type") == "Ready"), {})
    current = status.observed_generation == config.generation and not config.deleting
    return {
        "namespace": config.namespace,
        "name": config.name,
        "node": config.node_name,
        "state": None if status.state is None else status.state.value,
        "ready": current and status.state is State.CONFIGURED,
        "reason": ready.get("reason"),
        "message": ready.get("message"),
    }
