# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A containerd of our own: private configuration, storage, socket and runtime root."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import time
from pathlib import Path

from testbed.kube.backend import BackendError
from testbed.kube.cri.layout import RunLayout, cni_directory, find_tool
from testbed.reaper import Reaper

NAMESPACE = "k8s.io"
_START_SECONDS = 20.0
_STOP_SECONDS = 10.0
_IMPORT_SECONDS = 120.0
# Not needed here, and each of them either scans the machine or writes outside our directory.
_DISABLED_PLUGINS = (
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.zfs",
    "io.containerd.internal.v1.tracing",
    "io.containerd.tracing.processor.v1.otlp",
    "io.containerd.nri.v1.nri",
)


def configuration(layout: RunLayout, sandbox_image: str) -> str:
    """Return containerd's configuration, in version 2 (1.3 to 1.7; 2.x converts it when it loads it)."""

    def quoted(value: object) -> str:
        return json.dumps(str(value))  # a TOML basic string has JSON's escapes

    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""\
version = 2
root = {quoted(layout.root)}
state = {quoted(layout.state)}
disabled_plugins = {json.dumps(_DISABLED_PLUGINS)}
[grpc]
  address = {quoted(layout.socket)}
[plugins."io.containerd.internal.v1.opt"]
  path = {quoted(layout.directory / "opt")}
[{cri}]
  sandbox_image = {quoted(sandbox_image)}
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  disable_apparmor = true
  restrict_oom_score_adj = true
  stats_collect_period = 86400
  netns_mounts_under_state_dir = true
  [{cri}.containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [{cri}.containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [{cri}.containerd.runtimes.runc.options]
        Root = {quoted(layout.runc_root)}
  [{cri}.cni]
    bin_dir = {quoted(cni_directory())}
    conf_dir = {quoted(layout.cni_conf)}
"""


class Containerd:
    """The daemon as a child process in a session of its own (a Ctrl-C is ours to handle, not its)."""

    def __init__(self, layout: RunLayout, reaper: Reaper, log: Path, sandbox_image: str) -> None:
        self._layout = layout
        self._log = log
        layout.config.write_text(configuration(layout, sandbox_image), encoding="utf-8")
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [str(find_tool("containerd")), "--config", str(layout.config)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._token = reaper.add_process(self._process.pid)
        self._reaper = reaper

    def wait_ready(self) -> None:
        """Return once the socket takes connections; raise BackendError with the log's end if it does not."""
        poll = select.poll()
        pidfd = os.pidfd_open(self._process.pid)
        poll.register(pidfd, select.POLLIN)
        deadline = time.monotonic() + _START_SECONDS
        try:
            while not self._listening():
                # Wakes at once if the daemon dies; nothing announces that a socket began to listen.
                if poll.poll(10):
                    raise BackendError(f"containerd ended with {self._process.wait()}:\n{self._log_end()}")
                if time.monotonic() > deadline:
                    raise BackendError(f"containerd did not listen within {_START_SECONDS} s:\n{self._log_end()}")
        finally:
            os.close(pidfd)

    def _listening(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
            probe.connect(str(self._layout.socket))
            return True
        return False

    def _log_end(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")[-2000:]

    def import_image(self, archive: Path) -> None:
        """Load a docker-archive and unpack it."""
        command = [str(find_tool("ctr")), "--address", str(self._layout.socket), "--namespace", NAMESPACE]
        command += ["images", "import", str(archive)]
        done = subprocess.run(command, capture_output=True, timeout=_IMPORT_SECONDS, check=False)
        if done.returncode != 0:
            raise BackendError(f"containerd refused the image {archive}: {done.stderr.decode(errors='replace')}")

    def stop(self) -> None:
        """End the daemon; its shims, and so the containers, live on. May be called twice."""
        if self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reaper.discard(self._token)
