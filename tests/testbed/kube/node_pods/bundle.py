# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a ``v1.Pod`` to the OCI configuration of one container that shares its node's network.

Pure: knows no disk. The namespaces that are not named are the node's own: runc is started inside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from testbed.kube.backend import BackendError

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What containerd gives a container that asks for nothing.
_DEFAULT_CAPABILITIES = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
]
_ALL_CAPABILITIES = [
    *_DEFAULT_CAPABILITIES,
    *[
        "DAC_READ_SEARCH",
        "LINUX_IMMUTABLE",
        "NET_BROADCAST",
        "NET_ADMIN",
        "IPC_LOCK",
        "IPC_OWNER",
        "SYS_MODULE",
        "SYS_RAWIO",
        "SYS_PTRACE",
        "SYS_PACCT",
        "SYS_ADMIN",
        "SYS_BOOT",
        "SYS_NICE",
        "SYS_RESOURCE",
        "SYS_TIME",
        "SYS_TTY_CONFIG",
        "LEASE",
        "AUDIT_CONTROL",
        "MAC_OVERRIDE",
        "MAC_ADMIN",
        "SYSLOG",
        "WAKE_ALARM",
        "BLOCK_SUSPEND",
        "AUDIT_READ",
    ],
]
_MASKED = ["/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/sched_debug", "/proc/scsi"]
_READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
_PROPAGATION = {None: "rprivate", "None": "rprivate", "HostToContainer": "rslave", "Bidirectional": "rshared"}


def security_of(pod: dict[str, Any], container: dict[str, Any]) -> dict[str, Any]:
    """Return a container's security context over its pod's."""
    return {**(pod["spec"].get("securityContext") or {}), **(container.get("securityContext") or {})}


def capabilities(context: dict[str, Any]) -> list[str]:
    """Return the capabilities of a container by its security context."""
    if context.get("privileged"):
        return [f"CAP_{name}" for name in _ALL_CAPABILITIES]
    asked = context.get("capabilities") or {}
    drop, add = asked.get("drop") or (), asked.get("add") or ()
    kept = [] if "ALL" in drop else [name for name in _DEFAULT_CAPABILITIES if name not in drop]
    wanted = _ALL_CAPABILITIES if "ALL" in add else [name.removeprefix("CAP_") for name in add]
    return [f"CAP_{name}" for name in dict.fromkeys([*kept, *wanted])]


def mount(volume_mount: dict[str, Any], source: str) -> dict[str, Any]:
    """Return the bind mount of one ``volumeMounts`` entry."""
    options = ["rbind", _PROPAGATION[volume_mount.get("mountPropagation")]]
    options.append("ro" if volume_mount.get("readOnly") else "rw")
    return {"destination": volume_mount["mountPath"], "type": "bind", "source": source, "options": options}


def configuration(
    pod: dict[str, Any],
    container: dict[str, Any],
    *,
    rootfs: str,
    mounts: Sequence[dict[str, Any]],
    environment: Mapping[str, str],
    cgroup: str,
) -> dict[str, Any]:
    """Return the ``config.json`` of a container.

    :param environment: of this machine's making; the container's own comes over it.
    """
    context, spec = security_of(pod, container), pod["spec"]
    privileged = bool(context.get("privileged"))
    granted = capabilities(context)
    user = {"uid": context.get("runAsUser", 0), "gid": context.get("runAsGroup", 0)}
    # A user other than root keeps none of them, as after execve(2).
    held = granted if user["uid"] == 0 else []
    argv = [*(container.get("command") or ()), *(container.get("args") or ())] or ["/bin/sleep", "infinity"]
    namespaces = [{"type": "mount"}, *({"type": kind} for kind in _namespaces(spec))]
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": user,
            "args": argv,
            "env": [f"{key}={value}" for key, value in _environment(pod, container, environment).items()],
            "cwd": container.get("workingDir") or "/",
            "capabilities": {"bounding": granted, "effective": held, "permitted": held},
            "noNewPrivileges": context.get("allowPrivilegeEscalation") is False,
        },
        "root": {"path": rootfs, "readonly": bool(context.get("readOnlyRootFilesystem"))},
        "mounts": [*_standard_mounts(privileged=privileged), *mounts],
        "linux": {
            "namespaces": namespaces,
            "cgroupsPath": cgroup,
            "resources": {"devices": _devices(privileged=privileged)},
            "maskedPaths": [] if privileged else _MASKED,
            "readonlyPaths": [] if privileged else _READ_ONLY,
        },
    }


def _namespaces(spec: dict[str, Any]) -> list[str]:
    return [*([] if spec.get("hostPID") else ["pid"]), *([] if spec.get("hostIPC") else ["ipc"])]


def _devices(*, privileged: bool) -> list[dict[str, Any]]:
    if privileged:
        return [{"allow": True, "access": "rwm"}]
    return [{"allow": False, "access": "rwm"}]  # to which runc adds /dev/null and its like


def _standard_mounts(*, privileged: bool) -> list[dict[str, Any]]:
    tight = ["nosuid", "noexec", "nodev"]
    return [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": tight},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755"]},
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance"],
        },
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": [*tight, "mode=1777", "size=65536k"]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": tight},
        {
            "destination": "/sys",
            "type": "sysfs",
            "source": "sysfs",
            "options": tight if privileged else [*tight, "ro"],
        },
    ]


def _environment(pod: dict[str, Any], container: dict[str, Any], own: Mapping[str, str]) -> dict[str, str]:
    metadata = pod["metadata"]
    fields = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata.get("namespace", "default"),
        "metadata.uid": metadata["uid"],
        "spec.nodeName": pod["spec"].get("nodeName", ""),
    }
    made = {"PATH": _PATH, "HOME": "/root"}
    for entry in container.get("env") or ():
        if "valueFrom" not in entry:
            made[entry["name"]] = str(entry.get("value", ""))
            continue
        field = entry["valueFrom"].get("fieldRef", {}).get("fieldPath")
        if field not in fields:
            source = entry["valueFrom"]
            raise BackendError(f"container {container['name']}: env {entry['name']}: {source} is not supported")
        made[entry["name"]] = fields[field]
    return {**made, **own}
