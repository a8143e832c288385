# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calls of the Container Runtime Interface (CRI v1) that a kubelet would make, typed."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, Self, TypeVar

import grpc
from cri_api.v1 import api_pb2 as cri
from google.protobuf.message import Message

from testbed.kube.backend import BackendError, ExecRequest

_CALL_SECONDS = 60.0
_IMAGE_SECONDS = 10.0


class _Response(Protocol):
    @classmethod
    def FromString(cls, s: bytes, /) -> Self: ...


R = TypeVar("R", bound=_Response)


class Runtime:
    """A client of the CRI on a unix socket. Thread-safe, as gRPC channels are."""

    def __init__(self, address: Path) -> None:
        # Without the authority containerd refuses the socket's path as a malformed one.
        self._channel = grpc.insecure_channel(f"unix://{address}", options=[("grpc.default_authority", "localhost")])

    def close(self) -> None:
        """Close the connection; calls in flight fail."""
        self._channel.close()

    def _call(self, method: str, request: Message, response: type[R], timeout: float = _CALL_SECONDS) -> R:
        service = "ImageService" if method.startswith("Image") else "RuntimeService"
        call: grpc.UnaryUnaryMultiCallable[Message, R] = self._channel.unary_unary(
            f"/runtime.v1.{service}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response.FromString,
        )
        try:
            return call(request, timeout=timeout)
        except grpc.RpcError as exc:
            raise BackendError(f"{method}: {exc.details() if isinstance(exc, grpc.Call) else exc}") from exc
        except ValueError as exc:  # what gRPC raises when close() has come first
            raise BackendError(f"{method}: the runtime is closed") from exc

    def image_id(self, reference: str) -> str | None:
        """Return the id of an image, or None if the runtime has none of that name."""
        request = cri.ImageStatusRequest(image=cri.ImageSpec(image=reference))
        answer = self._call("ImageStatus", request, cri.ImageStatusResponse)
        return answer.image.id or None

    def wait_image(self, reference: str) -> str:
        """Return the id of an image that was just imported: the CRI learns of it by an event, so a little later."""
        deadline = time.monotonic() + _IMAGE_SECONDS
        while (image := self.image_id(reference)) is None:
            if time.monotonic() > deadline:
                raise BackendError(f"the imported image {reference} never showed up")
            time.sleep(0.01)
        return image

    def run_sandbox(self, config: cri.PodSandboxConfig) -> str:
        """Create and start a pod's sandbox (its namespaces and network); return the sandbox id."""
        request = cri.RunPodSandboxRequest(config=config)
        return self._call("RunPodSandbox", request, cri.RunPodSandboxResponse).pod_sandbox_id

    def sandbox_status(self, sandbox: str) -> cri.PodSandboxStatus:
        """Return the state and the address of a sandbox."""
        request = cri.PodSandboxStatusRequest(pod_sandbox_id=sandbox)
        return self._call("PodSandboxStatus", request, cri.PodSandboxStatusResponse).status

    def network_namespace(self, sandbox: str) -> Path | None:
        """Return the path of a sandbox's network namespace, or None where it is the node's."""
        request = cri.PodSandboxStatusRequest(pod_sandbox_id=sandbox, verbose=True)
        answer = self._call("PodSandboxStatus", request, cri.PodSandboxStatusResponse)
        namespaces = json.loads(answer.info["info"])["runtimeSpec"]["linux"]["namespaces"]
        paths = [entry.get("path") for entry in namespaces if entry["type"] == "network"]
        return Path(paths[0]) if paths and paths[0] else None

    def start_container(self, sandbox: str, config: cri.ContainerConfig, sandbox_config: cri.PodSandboxConfig) -> str:
        """Create and start a container; return its id."""
        request = cri.CreateContainerRequest(pod_sandbox_id=sandbox, config=config, sandbox_config=sandbox_config)
        container = self._call("CreateContainer", request, cri.CreateContainerResponse).container_id
        self._call("StartContainer", cri.StartContainerRequest(container_id=container), cri.StartContainerResponse)
        return container

    def container_status(self, container: str) -> cri.ContainerStatus:
        """Return the state of a container."""
        request = cri.ContainerStatusRequest(container_id=container)
        return self._call("ContainerStatus", request, cri.ContainerStatusResponse).status

    def stop_container(self, container: str, grace_seconds: float) -> None:
        """Send SIGTERM and, after the grace, SIGKILL."""
        request = cri.StopContainerRequest(container_id=container, timeout=round(grace_seconds))
        self._call("StopContainer", request, cri.StopContainerResponse, _CALL_SECONDS + grace_seconds)

    def remove_sandbox(self, sandbox: str) -> None:
        """Kill what still runs in a sandbox and free its containers, network and files."""
        self._call("StopPodSandbox", cri.StopPodSandboxRequest(pod_sandbox_id=sandbox), cri.StopPodSandboxResponse)
        request = cri.RemovePodSandboxRequest(pod_sandbox_id=sandbox)
        self._call("RemovePodSandbox", request, cri.RemovePodSandboxResponse)

    def exec_url(self, container: str, request: ExecRequest) -> str:
        """Return a one-time URL of the runtime's own exec stream (SPDY)."""
        message = cri.ExecRequest(
            container_id=container,
            cmd=request.argv,
            tty=request.tty,
            stdin=request.stdin,
            stdout=request.stdout,
            # The CRI refuses both: a terminal has a single output.
            stderr=request.stderr and not request.tty,
        )
        return self._call("Exec", message, cri.ExecResponse).url

    def port_forward_url(self, sandbox: str, ports: Sequence[int]) -> str:
        """Return a one-time URL of the runtime's own port-forward stream (SPDY)."""
        message = cri.PortForwardRequest(pod_sandbox_id=sandbox, port=ports)
        return self._call("PortForward", message, cri.PortForwardResponse).url
