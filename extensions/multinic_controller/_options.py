# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller is told, by arguments or by environment variables."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._errors import SettingsError
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._settings import Settings
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._task import settings_of

PREFIX = "MULTINIC_"


def _words(text: str) -> list[str]:
    return shlex.split(text)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _table(text: str) -> dict[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("it must be a JSON object")
    return found


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError("it must be more than 0")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError("it must be at least 1")
    return value


@dataclass(frozen=True)
class _Option:
    read: Callable[[str], Any]
    default: str | None
    help: str


OPTIONS: Mapping[str, _Option] = {
    "image": _Option(str, None, "the image of the agent; required"),
    "command": _Option(_words, "", "what the agent's container runs instead of what its image says, as shell words"),
    "image_pull_policy": _Option(str, "IfNotPresent", "Always, IfNotPresent or Never"),
    "image_pull_secrets": _Option(_names, "", "names of secrets for the registry, with commas"),
    "namespace": _Option(str, "", "the namespace that is looked after; empty for all"),
    "max_in_flight": _Option(str, "10", "nodes with a Job at once: a number, or a share such as 10%"),
    "max_failing": _Option(str, "25%", "while more nodes have failed, no node that is well is changed"),
    "resync": _Option(float, "3600", "seconds after which a node is gone over again; 0 for never"),
    "deadline": _Option(int, "300", "seconds after which a Job is stopped; more than rollback_timeout"),
    "rollback_timeout": _Option(int, "60", "seconds after which the guard of a dead agent restores its node"),
    "agent_options": _Option(_table, "{}", "more options of multinic_config for the agents, as a JSON object"),
    "writes_per_second": _Option(_positive, "20", "how often the API is written to; Events are counted apart"),
    "workers": _Option(_count, "8", "resources that are worked on at once"),
    "relist": _Option(_positive, "300", "seconds after which everything is listed again, lest news be lost"),
    "request_timeout": _Option(_positive, "30", "seconds in which the API must answer"),
    "lease_name": _Option(str, "multinic-controller", "the Lease that says which controller acts"),
    "lease_namespace": _Option(str, "", "its namespace; that of `namespace` if empty"),
    "lease_seconds": _Option(_count, "15", "seconds that a controller which is silent keeps it"),
    "identity": _Option(str, "", "how this controller signs the Lease; POD_NAME or the host's name if empty"),
    "listen": _Option(str, "0.0.0.0:8080", "address and port of /healthz, /readyz and /metrics"),
    "log_level": _Option(str, "INFO", "DEBUG, INFO, WARNING or ERROR"),
}


@dataclass(frozen=True)
class Options:
    """All that the controller is told.

    :param kubeconfig: the KUBECONFIG of the environment; None for the service account of the pod.
    :param namespace: None for all.
    """

    settings: Settings
    kubeconfig: str | None
    namespace: str | None
    writes_per_second: float
    workers: int
    relist: float
    request_timeout: float
    lease_name: str
    lease_namespace: str
    lease_seconds: int
    identity: str
    listen: tuple[str, int]
    log_level: str


def read(arguments: Sequence[str], environment: Mapping[str, str]) -> Options:
    """Return the options; arguments win over the environment. :raises SettingsError: one is not valid."""
    parser = argparse.ArgumentParser(prog="multinic_controller", description="The controller of MultiNicNodeConfigs.")
    for name, option in OPTIONS.items():
        default = "" if option.default in (None, "") else f" (default: {option.default})"
        told = f"{option.help}{default}; {PREFIX}{name.upper()}".replace("%", "%%")
        parser.add_argument(f"--{name.replace('_', '-')}", help=told)
    given = vars(parser.parse_args(arguments))
    values = {name: _value(name, given[name], environment) for name in OPTIONS}
    namespace = values["namespace"] or None
    host, _colon, port = values["listen"].rpartition(":")
    if not port.isdigit() or int(port) > 65535:
        raise SettingsError(f"listen is {values['listen']!r}; it must be ADDRESS:PORT")
    if values["log_level"] not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise SettingsError(f"log_level is {values['log_level']!r}; it must be DEBUG, INFO, WARNING or ERROR")
    lease_namespace = values["lease_namespace"] or namespace
    if lease_namespace is None:
        raise SettingsError("lease_namespace is needed where all namespaces are looked after")
    return Options(
        settings=settings_of(values),
        kubeconfig=environment.get("KUBECONFIG") or None,
        namespace=namespace,
        writes_per_second=values["writes_per_second"],
        workers=values["workers"],
        relist=values["relist"],
        request_timeout=values["request_timeout"],
        lease_name=values["lease_name"],
        lease_namespace=lease_namespace,
        lease_seconds=values["lease_seconds"],
        identity=values["identity"] or environment.get("POD_NAME") or socket.gethostname(),
        listen=(host or "0.0.0.0", int(port)),
        log_level=values["log_level"],
    )


def _value(name: str, argument: str | None, environment: Mapping[str, str]) -> Any:
    option = OPTIONS[name]
    variable = PREFIX + name.upper()
    text = argument if argument is not None else environment.get(variable, option.default)
    if text is None:
        raise SettingsError(f"{name} is not given; set {variable} or --{name.replace('_', '-')}")
    try:
        return option.read(text)
    except ValueError as exc:
        raise SettingsError(f"{name} is {text!r}: {exc}") from exc


def from_process(arguments: Sequence[str]) -> Options:
    """Return the options of this process."""
    return read(arguments, os.environ)
