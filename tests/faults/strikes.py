# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What befalls a pipeline. Each is called while the source waits at its gate, or before the pipeline starts."""

from __future__ import annotations

import signal
from collections.abc import Callable

from faults.model import SIZE, Leg, Old, Role, Strike
from faults.scene import Scene
from faults.sites import PodSite, RemoteSite, SshSite
from testbed.processes import send_signal
from testbed.ssh.line import Cut

MAIN_LEG = {Role.SOURCE: Leg.OUTPUT, Role.MIDDLE: Leg.OUTPUT, Role.LAST: Leg.INPUT, Role.SINK: Leg.INPUT}
"""The direction that is cut where one connection carries both."""


def cut_by_relay(count: int) -> Strike:
    """Return what cuts the connection after so many more bytes: in order or by a reset, half of the time each."""

    def strike(scene: Scene) -> None:
        how = Cut.FIN if scene.cell.old is Old.PRESENT else Cut.RST
        assert isinstance(scene.site, RemoteSite)
        scene.site.line(MAIN_LEG[scene.cell.role]).cut_after(count, how)
        scene.gate.open()

    return strike


def lie(leg: Leg) -> Strike:
    """Return what lets the transport end a leg in the middle of the data, in order and with success."""

    def prepare(scene: Scene) -> None:
        scene.prefix = scene.site.lie(leg)

    return prepare


def stall_stream(scene: Scene) -> None:
    """Let nothing more through on the stream to a pod, from the middle of the data on; its other streams go on."""
    if isinstance(scene.site, PodSite):
        scene.site.stall(MAIN_LEG[scene.cell.role])


def stall_connection(scene: Scene) -> None:
    """Let nothing more through on the connection to an SSH host, from the middle of the data on."""
    if isinstance(scene.site, SshSite):
        scene.site.line(MAIN_LEG[scene.cell.role]).stall_after(SIZE // 2)
    scene.gate.open()


def stop_command(scene: Scene) -> None:
    """Stop the command of the step; it lives, but neither reads nor writes."""
    send_signal(scene.command(), signal.SIGSTOP)
    scene.gate.open()


def kill_command(scene: Scene) -> None:
    """Kill the command of the step where it runs."""
    send_signal(scene.command(), signal.SIGKILL)
    scene.gate.open()


def kill_client(scene: Scene) -> None:
    """Kill the local process that reaches the step (ssh, kubectl; the step's own shell where it runs here)."""
    send_signal(scene.client(), signal.SIGKILL)


def signal_controller(number: signal.Signals) -> Callable[[Scene], None]:
    """Return what signals the process that runs the pipeline."""

    def strike(scene: Scene) -> None:
        scene.command()  # it runs: only then is there something to leave behind
        scene.controller.signal(number)

    return strike


def delete_pod(scene: Scene) -> None:
    """Delete the pod that the step runs in."""
    assert isinstance(scene.site, PodSite)
    scene.command()
    scene.site.remove()


def restart_sshd(scene: Scene) -> None:
    """Restart the SSH server; its sessions end."""
    assert isinstance(scene.site, SshSite)
    scene.command()
    scene.site.host.server.restart()
