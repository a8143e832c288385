# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks the program that a kubeconfig names for credentials (the exec plugins of client-go).

Source: kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_GROUP = "client.authentication.k8s.io"
_EXTENSION = f"{_GROUP}/exec"


@dataclass(frozen=True)
class Credentials:
    """What a plugin gave."""

    token: str | None = field(default=None, repr=False)
    certificate: str | None = field(default=None, repr=False)
    key: str | None = field(default=None, repr=False)


def run_plugin(
    plugin: Mapping[str, Any],
    cluster: Mapping[str, Any],
    environ: Mapping[str, str],
    kubeconfigs: Sequence[str],
    seconds: float,
) -> Credentials | str:
    """Return the credentials that a plugin gives, or why it gave none. ``kubeconfigs`` place a relative command."""
    command = _command(str(plugin.get("command") or ""), kubeconfigs)
    extra = {each["name"]: each["value"] for each in plugin.get("env") or ()}
    info = {"KUBERNETES_EXEC_INFO": json.dumps(_request(plugin, cluster))}
    try:
        done = subprocess.run(
            [command, *(plugin.get("args") or ())],
            stdin=subprocess.DEVNULL,  # a task has nobody to ask
            capture_output=True,
            env={**environ, **extra, **info},
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        why = exc.strerror if isinstance(exc, OSError) else f"it gave no answer within {seconds:g} s"
        return f"the credential plugin {command} cannot be run: {why}"
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        return (
            f"the credential plugin {command} ended with status {done.returncode}: {lines[-1] if lines else 'no text'}"
        )
    try:
        status = json.loads(done.stdout)["status"]
        found = Credentials(status.get("token"), status.get("clientCertificateData"), status.get("clientKeyData"))
    except (ValueError, LookupError, TypeError, AttributeError):
        return f"the credential plugin {command} printed no ExecCredential with a status"
    if not (found.token or found.certificate):
        return f"the credential plugin {command} gave neither a token nor a certificate"
    return found


def _command(command: str, kubeconfigs: Sequence[str]) -> str:
    """Return the program: one with a slash lies beside the kubeconfig that names it."""
    if os.sep in command and not Path(command).is_absolute():
        for folder in (Path(each).expanduser().parent for each in kubeconfigs):
            if (folder / command).exists():
                return str(folder / command)
    return command


def _request(plugin: Mapping[str, Any], cluster: Mapping[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = {"interactive": False}
    if plugin.get("provideClusterInfo"):
        names = ("server", "tls-server-name", "insecure-skip-tls-verify", "certificate-authority-data")
        spec["cluster"] = {name: cluster[name] for name in names if cluster.get(name)}
        for extension in cluster.get("extensions") or ():
            if extension.get("name") == _EXTENSION:
                spec["cluster"]["config"] = extension.get("extension")
    version = plugin.get("apiVersion") or f"{_GROUP}/v1"
    return {"apiVersion": version, "kind": "ExecCredential", "spec": spec}
