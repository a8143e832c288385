# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pods' network: one bridge per run, addresses by CNI's host-local plugin, no route to the outside.

The bridge is made here and not by the CNI plugin, since the plugin, asked for a gateway, switches on
IP forwarding for the whole machine.
"""

from __future__ import annotations

import ctypes
import ipaddress
import json
import os
import queue
import random
import secrets
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

from testbed.kube.backend import BackendError
from testbed.kube.cri.layout import RunLayout
from testbed.kube.cri.sweep import interfaces, remove_interfaces

# RFC 2544 sets this block aside for bench tests, so no real network is shadowed by it.
_POOL = ipaddress.IPv4Network("198.18.0.0/15")
_CLONE_NEWNET = 0x40000000  # linux/sched.h
_CONNECT_SECONDS = 10.0


def run_ip(*args: str) -> str:
    """Run ip(8); raise BackendError with what it said if it fails."""
    done = subprocess.run(["ip", *args], capture_output=True, check=False, text=True)
    if done.returncode != 0:
        raise BackendError(f"ip {' '.join(args)}: {done.stderr.strip()}")
    return done.stdout


def _routed(except_for: str = "") -> list[ipaddress.IPv4Network]:
    """Return the networks this machine has routes for, but for default routes and those of one interface."""
    routes = json.loads(run_ip("-4", "-j", "route", "show", "table", "all") or "[]")
    return [
        ipaddress.IPv4Network(route["dst"])
        for route in routes
        if route["dst"] != "default" and route.get("dev") != except_for
    ]


class PodNetwork:
    """The bridge of a run and the CNI configuration that plugs pods into it."""

    def __init__(self, layout: RunLayout) -> None:
        self._layout = layout
        self._bridge = layout.name
        self._nics = 0
        self._mutex = threading.Lock()
        # An address of its own (locally administered): a bridge without one changes it with its ports, and
        # the pods' neighbour entries for the gateway would go stale.
        run_ip("link", "add", self._bridge, "address", f"02:00:{secrets.token_bytes(4).hex(':')}", "type", "bridge")
        self.subnet = self._claim_subnet()
        self.gateway = str(next(self.subnet.hosts()))
        run_ip("link", "set", self._bridge, "up")
        layout.cni_conf.mkdir()
        conflist = json.dumps(self._configuration(), indent=2)
        (layout.cni_conf / "10-pods.conflist").write_text(conflist, encoding="utf-8")

    def _claim_subnet(self) -> ipaddress.IPv4Network:
        """Give the bridge a free /24: take one, then look whether a parallel run took the same."""
        candidates = list(_POOL.subnets(new_prefix=24))
        random.shuffle(candidates)
        for subnet in candidates:
            address = f"{next(subnet.hosts())}/{subnet.prefixlen}"
            if any(subnet.overlaps(taken) for taken in _routed()):
                continue
            run_ip("address", "add", address, "dev", self._bridge)
            if not any(subnet.overlaps(taken) for taken in _routed(except_for=self._bridge)):
                return subnet
            run_ip("address", "delete", address, "dev", self._bridge)
        raise BackendError(f"no free network for pods in {_POOL}")

    def _configuration(self) -> dict[str, object]:
        return {
            "cniVersion": "0.4.0",
            "name": self._layout.name,
            "plugins": [
                {
                    "type": "bridge",
                    "bridge": self._bridge,
                    "ipMasq": False,
                    "ipam": {
                        "type": "host-local",
                        "dataDir": str(self._layout.ipam),
                        "ranges": [[{"subnet": str(self.subnet), "gateway": self.gateway}]],
                        "routes": [{"dst": "0.0.0.0/0"}],
                    },
                }
            ],
        }

    def add_nic(self, namespace: Path, name: str, mac: str) -> str:
        """Put one end of a new veth pair into ``namespace`` as ``name``, down; return the host end's name."""
        with self._mutex:
            self._nics += 1
            host_end = f"{self._bridge}n{self._nics}"
        run_ip(
            *("link", "add", host_end, "type", "veth"),
            *("peer", "name", name, "address", mac, "netns", str(namespace)),
        )
        return host_end

    def remove_nic(self, host_end: str) -> None:
        """Delete a veth pair, if its namespace has not taken it along already."""
        if host_end in interfaces(self._bridge):
            run_ip("link", "delete", "dev", host_end)

    def close(self) -> None:
        """Delete the bridge and every interface of ours."""
        remove_interfaces(self._bridge)


def connect_in(namespace: Path | None, port: int) -> socket.socket:
    """Connect to ``localhost:port`` as seen inside a network namespace (None: our own).

    :raises OSError: nothing listens there.
    """
    return socket_in(namespace, lambda: _connect_localhost(port))


def socket_in(namespace: Path | None, make: Callable[[], socket.socket]) -> socket.socket:
    """Make a socket inside a network namespace (None: our own).

    A socket stays in the namespace it was made in, and a namespace is entered per thread: so a thread
    of its own enters, makes it, and ends.

    :raises OSError: as ``make`` does.
    """
    results: queue.SimpleQueue[socket.socket | OSError] = queue.SimpleQueue()

    def work() -> None:
        try:
            if namespace is not None:
                _enter(namespace)
            results.put(make())
        except OSError as exc:
            results.put(exc)

    threading.Thread(target=work, name="netns-connect", daemon=True).start()
    result = results.get()
    if isinstance(result, OSError):
        raise result
    return result


def _enter(namespace: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(fd, _CLONE_NEWNET) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(namespace))
    finally:
        os.close(fd)


def _connect_localhost(port: int) -> socket.socket:
    """Try IPv4, then IPv6, as a kubelet's port-forward does; the error shown is IPv4's."""
    try:
        return socket.create_connection(("127.0.0.1", port), _CONNECT_SECONDS)
    except OSError as exc:
        try:
            return socket.create_connection(("::1", port), _CONNECT_SECONDS)
        except OSError:
            raise exc from None
