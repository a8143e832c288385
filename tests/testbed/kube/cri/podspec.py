# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a ``v1.Pod`` to the messages of the CRI: what a kubelet does with a pod's spec, in so far as tests need it.

Pure: knows no daemon and no disk. What is not understood is refused by name, so that no test passes
because a field was silently ignored.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from cri_api.v1 import api_pb2 as cri

from testbed.kube.backend import BackendError
from testbed.kube.cri.layout import RunLayout

_QUANTITY = re.compile(r"(?P<number>\d+(\.\d*)?|\.\d+)(?P<suffix>[a-zA-Z]*)")
_SUFFIXES = {"": Decimal(1), "m": Decimal("0.001")} | {
    unit: Decimal(factor**power)
    for units, factor in ((("k", "M", "G", "T", "P", "E"), 1000), (("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1024))
    for power, unit in enumerate(units, 1)
}
_CPU_PERIOD_MICROSECONDS = 100_000
_PROPAGATION = {
    None: cri.PROPAGATION_PRIVATE,
    "None": cri.PROPAGATION_PRIVATE,
    "HostToContainer": cri.PROPAGATION_HOST_TO_CONTAINER,
    "Bidirectional": cri.PROPAGATION_BIDIRECTIONAL,
}


@dataclass(frozen=True)
class PodIdentity:
    """How a pod is named."""

    uid: str
    name: str
    namespace: str

    @classmethod
    def of(cls, pod: dict[str, Any]) -> PodIdentity:
        """Read the identity of a ``v1.Pod``."""
        metadata = pod["metadata"]
        return cls(metadata["uid"], metadata["name"], metadata.get("namespace", "default"))


def parse_quantity(text: str | int | float) -> Decimal:
    """Return the value of a Kubernetes quantity such as ``64Mi``, ``1.5G`` or ``250m``."""
    match = _QUANTITY.fullmatch(str(text))
    if match is None or match["suffix"] not in _SUFFIXES:
        raise BackendError(f'"{text}" is not a quantity')
    return Decimal(match["number"]) * _SUFFIXES[match["suffix"]]


def sandbox_config(pod: dict[str, Any], layout: RunLayout) -> cri.PodSandboxConfig:
    """Return the sandbox of a pod: its namespaces, host name, log folder and control group."""
    spec, identity = pod["spec"], PodIdentity.of(pod)
    host_network = bool(spec.get("hostNetwork"))
    return cri.PodSandboxConfig(
        metadata=cri.PodSandboxMetadata(name=identity.name, namespace=identity.namespace, uid=identity.uid),
        # runc sets the host name only in a UTS namespace of the pod's own, and refuses it elsewhere.
        hostname="" if host_network else spec.get("hostname") or identity.name[:63],
        log_directory=str(layout.logs(identity.uid)),
        linux=cri.LinuxPodSandboxConfig(
            cgroup_parent=f"/{layout.name}/{identity.uid}",
            security_context=cri.LinuxSandboxSecurityContext(
                namespace_options=_namespaces(spec),
                privileged=any(_security(spec, container).get("privileged") for container in spec["containers"]),
            ),
        ),
    )


def container_config(
    pod: dict[str, Any], container: dict[str, Any], image: str, mounts: Sequence[cri.Mount]
) -> cri.ContainerConfig:
    """Return one container of a pod; ``image`` is the id of an image that the runtime has."""
    name = container["name"]
    return cri.ContainerConfig(
        metadata=cri.ContainerMetadata(name=name),
        image=cri.ImageSpec(image=image),
        command=container.get("command", ()),
        args=container.get("args", ()),
        working_dir=container.get("workingDir", ""),
        envs=[_environment(pod, container, entry) for entry in container.get("env", ())],
        mounts=mounts,
        log_path=f"{name}.log",
        stdin=bool(container.get("stdin")),
        tty=bool(container.get("tty")),
        linux=cri.LinuxContainerConfig(
            resources=_resources(container.get("resources", {}).get("limits", {})),
            security_context=_container_security(pod["spec"], container),
        ),
    )


def mount(volume_mount: dict[str, Any], host_path: str) -> cri.Mount:
    """Return the bind mount of one ``volumeMounts`` entry."""
    return cri.Mount(
        container_path=volume_mount["mountPath"],
        host_path=host_path,
        readonly=bool(volume_mount.get("readOnly")),
        propagation=_PROPAGATION[volume_mount.get("mountPropagation")],
    )


def _namespaces(spec: dict[str, Any]) -> cri.NamespaceOption:
    pid = cri.CONTAINER
    if spec.get("hostPID"):
        pid = cri.NODE
    elif spec.get("shareProcessNamespace"):
        pid = cri.POD
    return cri.NamespaceOption(
        network=cri.NODE if spec.get("hostNetwork") else cri.POD,
        ipc=cri.NODE if spec.get("hostIPC") else cri.POD,
        pid=pid,
    )


def _security(spec: dict[str, Any], container: dict[str, Any]) -> dict[str, Any]:
    """Return a container's security context over its pod's."""
    return {**(spec.get("securityContext") or {}), **(container.get("securityContext") or {})}


def _container_security(spec: dict[str, Any], container: dict[str, Any]) -> cri.LinuxContainerSecurityContext:
    context = _security(spec, container)
    capabilities = context.get("capabilities") or {}
    security = cri.LinuxContainerSecurityContext(
        namespace_options=_namespaces(spec),
        privileged=bool(context.get("privileged")),
        readonly_rootfs=bool(context.get("readOnlyRootFilesystem")),
        no_new_privs=context.get("allowPrivilegeEscalation") is False,
        supplemental_groups=context.get("supplementalGroups", ()),
        capabilities=cri.Capability(
            add_capabilities=capabilities.get("add", ()), drop_capabilities=capabilities.get("drop", ())
        ),
    )
    if "runAsUser" in context:
        security.run_as_user.value = context["runAsUser"]
    if "runAsGroup" in context:
        security.run_as_group.value = context["runAsGroup"]
    return security


def _resources(limits: dict[str, Any]) -> cri.LinuxContainerResources:
    resources = cri.LinuxContainerResources()
    if "memory" in limits:
        resources.memory_limit_in_bytes = int(parse_quantity(limits["memory"]))
    if "cpu" in limits:
        resources.cpu_period = _CPU_PERIOD_MICROSECONDS
        resources.cpu_quota = int(parse_quantity(limits["cpu"]) * _CPU_PERIOD_MICROSECONDS)
    return resources


def _environment(pod: dict[str, Any], container: dict[str, Any], entry: dict[str, Any]) -> cri.KeyValue:
    source = entry.get("valueFrom")
    if source is None:
        return cri.KeyValue(key=entry["name"], value=entry.get("value", ""))
    identity = PodIdentity.of(pod)
    fields = {
        "metadata.name": identity.name,
        "metadata.namespace": identity.namespace,
        "metadata.uid": identity.uid,
        "spec.nodeName": pod["spec"].get("nodeName", ""),
        "spec.serviceAccountName": pod["spec"].get("serviceAccountName", "default"),
    }
    field = source.get("fieldRef", {}).get("fieldPath")
    if field not in fields:
        raise BackendError(f"container {container['name']}: env {entry['name']}: valueFrom {source} is not supported")
    return cri.KeyValue(key=entry["name"], value=fields[field])
