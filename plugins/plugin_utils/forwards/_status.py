# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a forward is: what a supervisor tells, and what tasks return."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import Enum
from typing import Any


class State(Enum):
    """What a forward is doing."""

    STARTING = "starting"
    READY = "ready"
    WAITING = "waiting"
    """The far end was not there when it was last tried; connections wait for it."""
    STOPPING = "stopping"


@dataclass(frozen=True)
class BoundPort:
    """A port that listens, and the port that it leads to."""

    listen: int
    target: int | str


@dataclass(frozen=True)
class ForwardStatus:
    """How a forward is at one moment."""

    name: str
    context: str
    kind: str
    target: str
    direction: str
    bind: str
    ports: tuple[BoundPort, ...]
    state: str
    pid: int
    identity: str
    lifetime: str
    since: str
    """When it was started (UTC, ISO 8601)."""
    expires: str | None = None
    """When its time is up (UTC, ISO 8601), if it has one."""
    owners: int = 0
    """How many plays it lives for."""
    leads_to: str = ""
    connections: int = 0
    active: int = 0
    bytes_up: int = 0
    """Bytes that went to the target."""
    bytes_down: int = 0
    restarts: int = 0
    last_error: str | None = None
    log: str = ""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ForwardStatus:
        """Return the status that was sent; what a newer supervisor tells beyond it is left out."""
        known = {field.name for field in fields(cls)}
        ports = tuple(BoundPort(port["listen"], port["target"]) for port in values["ports"])
        return cls(**{key: value for key, value in values.items() if key in known} | {"ports": ports})

    def to_json(self) -> dict[str, Any]:
        """Return it as values of JSON."""
        return asdict(self)

    def address(self, port: int) -> str:
        """Return where to connect to for a port that listens, as host:port."""
        return join_address(reachable(self.bind), port)

    def as_result(self) -> dict[str, Any]:
        """Return what tells a forward apart, as a task returns it."""
        ports = [
            {"listen": port.listen, "address": self.address(port.listen), "target": port.target} for port in self.ports
        ]
        return {
            "name": self.name,
            "context": self.context,
            "target": self.target,
            "direction": self.direction,
            "bind": self.bind,
            "ports": ports,
            "address": ports[0]["address"] if ports else None,
            "port": ports[0]["listen"] if ports else None,
            "pid": self.pid,
            "state": self.state,
            "log": self.log,
        }

    def as_info(self) -> dict[str, Any]:
        """Return all there is to know, as a task returns it."""
        return {
            **self.as_result(),
            "type": self.kind,
            "leads_to": self.leads_to,
            "lifetime": self.lifetime,
            "since": self.since,
            "expires": self.expires,
            "plays": self.owners,
            "connections": self.connections,
            "active": self.active,
            "bytes": self.bytes_up + self.bytes_down,
            "bytes_up": self.bytes_up,
            "bytes_down": self.bytes_down,
            "restarts": self.restarts,
            "last_error": self.last_error,
        }


def reachable(bind: str) -> str:
    """Return the address to connect to for one that is listened at: loopback for every address at once."""
    try:
        address = ipaddress.ip_address(bind)
    except ValueError:
        return "127.0.0.1" if bind == "*" else bind
    if not address.is_unspecified:
        return bind
    return "127.0.0.1" if address.version == 4 else "::1"


def join_address(host: str, port: int) -> str:
    """Return host:port, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
