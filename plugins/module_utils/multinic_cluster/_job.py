# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Job that runs the agent on a node."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._observed import (
    GROUP,
    KIND,
    VERSION,
    Config,
    Node,
    Task,
)
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._settings import Agent
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._systems import Folder, System

CONTAINER = "agent"
HOST_ROOT = "/host"
GUARD = "guard"
GUARD_FOLDER = "/run/multinic-guard"
APP_LABEL = "app.kubernetes.io/name"
APP = "multinic-agent"
SELECTOR = f"{APP_LABEL}={APP}"
"""By which our Jobs and their pods are found."""
CONFIG_LABEL = f"{GROUP}/config-uid"
TASK_LABEL = f"{GROUP}/task"
GENERATION_LABEL = f"{GROUP}/generation"
RUN_LABEL = f"{GROUP}/run"
NODE_ANNOTATION = f"{GROUP}/node"
BOOT_ANNOTATION = f"{GROUP}/boot-id"

_SOCKET = {"name": "MULTINIC_GUARD_SOCKET", "value": f"{GUARD_FOLDER}/socket"}
_LONGEST = 63  # a Job's name is a label of its pods


def job_name(config: Config, task: Task, run: int) -> str:
    """Return the name of a run's Job: the same for the same run, another for any other."""
    digest = hashlib.sha256(config.uid.encode()).hexdigest()[:8]
    which = f"g{config.generation}" if task is Task.CONFIGURE else "cleanup"
    tail = f"-{digest}-{which}-r{run}"
    node = config.node_name.replace(".", "-")
    return f"multinic-{node}"[: _LONGEST - len(tail)].rstrip("-") + tail


def job_manifest(config: Config, node: Node, system: System, task: Task, run: int, agent: Agent) -> dict[str, Any]:
    """Return the Job for a run on a node. It carries all that the agent needs: it has no rights to ask for more."""
    labels = {
        APP_LABEL: APP,
        "app.kubernetes.io/managed-by": "multinic-controller",
        CONFIG_LABEL: config.uid,
        TASK_LABEL: task.value,
        GENERATION_LABEL: str(config.generation),
        RUN_LABEL: str(run),
    }
    annotations = {NODE_ANNOTATION: node.name, BOOT_ANNOTATION: node.boot_id}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(config, task, run),
            "namespace": config.namespace,
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [
                {
                    "apiVersion": f"{GROUP}/{VERSION}",
                    "kind": KIND,
                    "name": config.name,
                    "uid": config.uid,
                    "controller": True,
                    # the clean-up's Job must not keep its owner from going
                    "blockOwnerDeletion": False,
                }
            ],
        },
        "spec": {
            "completions": 1,
            "parallelism": 1,
            "backoffLimit": 0,
            "activeDeadlineSeconds": agent.deadline,
            "ttlSecondsAfterFinished": agent.ttl,
            "template": {
                "metadata": {"labels": dict(labels), "annotations": dict(annotations)},
                "spec": _pod(config, node, system, task, agent),
            },
        },
    }


def _pod(config: Config, node: Node, system: System, task: Task, agent: Agent) -> dict[str, Any]:
    volumes = [
        {"name": f"host-{index}", "hostPath": {"path": folder.path, "type": folder.type}}
        for index, folder in enumerate(system.folders)
    ]
    pod: dict[str, Any] = {
        "nodeName": node.name,
        "hostNetwork": True,
        "dnsPolicy": "Default",
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 30,
        "tolerations": [{"operator": "Exists"}],
        "containers": [_container(config, system, task, agent), _guard(system, agent)],
        "volumes": [*volumes, {"name": GUARD, "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}],
    }
    if agent.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in agent.image_pull_secrets]
    return pod


def _container(config: Config, system: System, task: Task, agent: Agent) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": agent.image,
        "imagePullPolicy": agent.image_pull_policy,
        "env": [
            {"name": "AGENT_ACTION", "value": task.value},
            {"name": "AGENT_SPEC", "value": _spec(config, system, task, agent)},
            _SOCKET,
        ],
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "securityContext": _security("NET_ADMIN", "NET_RAW"),
        "resources": dict(agent.resources),
        "volumeMounts": _mounts(system),
    }
    if agent.command:
        container["command"] = list(agent.command)
    return container


def _guard(system: System, agent: Agent) -> dict[str, Any]:
    """Return the container that outlives the agent's, and undoes a change in the middle of which that one died."""
    container: dict[str, Any] = {
        "name": GUARD,
        "image": agent.image,
        "imagePullPolicy": agent.image_pull_policy,
        "env": [
            {"name": "AGENT_ACTION", "value": GUARD},
            {"name": "AGENT_HOST_ROOT", "value": HOST_ROOT},
            _SOCKET,
        ],
        "securityContext": _security("NET_ADMIN"),
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
        "volumeMounts": _mounts(system),
    }
    if agent.command:
        container["command"] = list(agent.command)
    return container


def _security(*capabilities: str) -> dict[str, Any]:
    return {
        "runAsUser": 0,
        "privileged": False,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"], "add": list(capabilities)},
        # where SELinux is enforcing, no other type but those of whole systems may write to folders of the node
        "seLinuxOptions": {"type": "spc_t"},
    }


def _mounts(system: System) -> list[dict[str, Any]]:
    folders = [_mount(index, folder) for index, folder in enumerate(system.folders)]
    return [*folders, {"name": GUARD, "mountPath": GUARD_FOLDER}]


def _mount(index: int, folder: Folder) -> dict[str, Any]:
    return {"name": f"host-{index}", "mountPath": HOST_ROOT + folder.path, "readOnly": folder.read_only}


def _spec(config: Config, system: System, task: Task, agent: Agent) -> str:
    """Return what the agent reads from its environment."""
    return json.dumps(
        {
            "generation": config.generation,
            "interfaces": [dict(entry) for entry in config.interfaces] if task is Task.CONFIGURE else [],
            "backend": system.backend,
            "host_root": HOST_ROOT,
            "rollback_timeout": agent.rollback_timeout,
            "options": dict(agent.options),
        },
        separators=(",", ":"),
        sort_keys=True,
    )
