# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A port of this machine's loopback, seen at the same port of a node's own: so a node reaches a server of a test."""

from __future__ import annotations

import socket
from pathlib import Path

from testbed.kube.cri.network import socket_in
from testbed.net.node import Node
from testbed.ssh.relay import Relay


def relay_on(node: Node, port: int) -> Relay:
    """Return a relay to a port here that listens on the node; close it before the node."""
    namespace = Path(f"{node.root.parent}/ns/net")
    return Relay(port, listener=socket_in(namespace, lambda: socket.create_server(("127.0.0.1", port))))
