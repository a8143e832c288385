# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python ``kubernetes`` client: lists, watches, and small execs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from testbed.kube import Kube

kubernetes: Any = pytest.importorskip("kubernetes")


@pytest.fixture
def core(websocket_front: Kube) -> Any:
    """A CoreV1Api of the front."""
    config: Any = pytest.importorskip("kubernetes.config")
    return kubernetes.client.CoreV1Api(config.new_client_from_config_dict(websocket_front.kubeconfig()))


@pytest.fixture
def execute(core: Any) -> Callable[..., Any]:
    """Open an exec by WebSocket."""
    stream: Any = pytest.importorskip("kubernetes.stream").stream

    def open_stream(pod: str, *command: str, **options: Any) -> Any:
        streams = {"stdin": False, "stdout": True, "stderr": True, "tty": False, **options}
        return stream(core.connect_get_namespaced_pod_exec, pod, "default", command=list(command), **streams)

    return open_stream


def test_list_and_read(core: Any, websocket_front: Kube) -> None:
    pod = websocket_front.pod(labels={"for": "list"})
    found = core.list_namespaced_pod("default", label_selector="for=list").items
    assert [item.metadata.name for item in found] == [pod.name]
    assert core.read_namespaced_pod(pod.name, "default").status.phase == "Running"
    with pytest.raises(kubernetes.client.ApiException, match="NotFound"):
        core.read_namespaced_pod("nobody", "default")


def test_watch_sees_an_object_come_change_and_go(core: Any) -> None:
    revision = core.list_namespaced_config_map("default").metadata.resource_version
    labelled = {"metadata": {"name": "watched", "labels": {"for": "watch"}}}
    core.create_namespaced_config_map("default", {**labelled, "data": {"a": "1"}})
    core.patch_namespaced_config_map("watched", "default", {"data": {"a": "2"}})
    core.delete_namespaced_config_map("watched", "default")
    seen = []
    watch = kubernetes.watch.Watch()
    for event in watch.stream(
        core.list_namespaced_config_map, "default", resource_version=revision, label_selector="for=watch"
    ):
        seen.append((event["type"], event["object"].data["a"]))
        if event["type"] == "DELETED":
            watch.stop()
    assert seen == [("ADDED", "1"), ("MODIFIED", "2"), ("DELETED", "2")]


def test_exec_returns_the_output(execute: Callable[..., Any], websocket_front: Kube) -> None:
    assert execute(websocket_front.pod().name, "echo", "hello") == "hello\n"


def test_exec_reports_streams_and_exit_code(execute: Callable[..., Any], websocket_front: Kube) -> None:
    script = "read line; echo got $line; echo problem >&2; exit 5"
    opened = execute(websocket_front.pod().name, "sh", "-c", script, stdin=True, _preload_content=False)
    opened.write_stdin("this\n")
    opened.run_forever(timeout=60)
    assert (opened.read_stdout(), opened.read_stderr(), opened.returncode) == ("got this\n", "problem\n", 5)
    opened.close()
