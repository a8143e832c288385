# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the node can still be worked with: what is looked at before and after a change.

What did not work before the change is not demanded after it.
"""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, Sequence

from ansible_collections.manifold.core.plugins.module_utils.multinic._echo import echo
from ansible_collections.manifold.core.plugins.module_utils.multinic._errors import ConfigError, NodeError
from ansible_collections.manifold.core.plugins.module_utils.multinic._system import System

_PAUSE = 0.2
_ATTEMPT = 1.0  # seconds that one attempt may take, unless it is a command
_ENDPOINT = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[^\[\]:/\s]+)):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True)
class Verify:
    """What must work after a change, if it worked before.

    :param gateway: the next hop of every default route answers ICMP or ARP/neighbour discovery.
    :param tcp: these accept connections: ``host:port``, ``192.0.2.1:6443`` or ``[2001:db8::1]:6443``.
    :param command: a shell command that exits with 0.
    :param timeout: seconds in which everything must have worked once.
    """

    gateway: bool = True
    tcp: tuple[str, ...] = ()
    command: str | None = None
    timeout: float = 10


class Check(ABC):
    """One thing that works or does not."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What messages call it."""

    @abstractmethod
    def attempt(self, seconds: float) -> str | None:
        """Try once, for so many seconds; return why it does not work, or None. :raises NodeError: neither."""


@dataclass(frozen=True)
class Gateway(Check):
    """The next hop of a default route."""

    system: System = field(repr=False, compare=False)
    address: str
    device: str

    @property
    def name(self) -> str:
        return f"gateway {self.address} on {self.device}"

    def attempt(self, seconds: float) -> str | None:
        """Send an echo request; a gateway that drops those still answers the neighbour's probe of the kernel.

        What the kernel knows of the neighbour may be from before the change, so it is made to ask again.
        """
        until = time.monotonic() + min(seconds, 4 * _ATTEMPT)  # the kernel asks three times, a second apart
        if echo(self.address, self.device, min(seconds, _ATTEMPT)):
            return None
        neighbour = ["ip", "neighbour", "change", self.address, "dev", self.device, "nud", "probe"]
        if self._neighbour() not in ("", "INCOMPLETE", "FAILED") and self.system.run(neighbour).rc == 0:
            while self._neighbour() == "PROBE" and time.monotonic() < until:
                time.sleep(_PAUSE / 4)
        return None if self._neighbour() == "REACHABLE" else "no answer to ICMP echo nor as a neighbour"

    def _neighbour(self) -> str:
        said = self.system.checked(["ip", "-json", "neighbour", "show", "to", self.address, "dev", self.device])
        return " ".join(state for entry in json.loads(said or "[]") for state in entry.get("state", ()))


@dataclass(frozen=True)
class Endpoint(Check):
    """Something that accepts TCP connections."""

    host: str
    port: int

    @property
    def name(self) -> str:
        return f"tcp {self.host}:{self.port}" if ":" not in self.host else f"tcp [{self.host}]:{self.port}"

    def attempt(self, seconds: float) -> str | None:
        try:
            socket.create_connection((self.host, self.port), timeout=max(0.1, min(seconds, _ATTEMPT))).close()
        except OSError as exc:
            return exc.strerror or str(exc)
        return None


@dataclass(frozen=True)
class Command(Check):
    """A shell command."""

    system: System = field(repr=False, compare=False)
    text: str

    @property
    def name(self) -> str:
        return f"command {self.text!r}"

    def attempt(self, seconds: float) -> str | None:
        ran = self.system.run(["sh", "-c", self.text], timeout=max(0.1, seconds))
        return None if ran.rc == 0 else (ran.stderr.strip() or f"exit status {ran.rc}")


def checks(system: System, verify: Verify) -> tuple[Check, ...]:
    """Return what to look at. :raises ConfigError: an endpoint is none. :raises NodeError: ``ip`` failed."""
    found: list[Check] = []
    if verify.gateway:
        found += _gateways(system)
    found += [_endpoint(text) for text in verify.tcp]
    if verify.command is not None:
        found.append(Command(system, verify.command))
    return tuple(found)


def working(found: Sequence[Check], seconds: float) -> tuple[Check, ...]:
    """Return the checks that work; each is tried again until it does or the time is over."""
    reasons = _reasons(found, seconds)
    return tuple(check for check, reason in zip(found, reasons) if reason is None)


def failed(before: Sequence[Check], seconds: float) -> list[str]:
    """Return why those that worked before do not any more; each is tried again until it does or the time is over."""
    reasons = _reasons(before, seconds)
    return [
        f"{check.name} worked before and does not any more: {reason}"
        for check, reason in zip(before, reasons)
        if reason is not None
    ]


def _reasons(found: Sequence[Check], seconds: float) -> list[str | None]:
    """Try all at the same time. A name server that does not answer must not hold this up: no thread is waited for."""
    until = time.monotonic() + seconds
    reasons: list[str | None] = [f"no answer within {seconds:g} s"] * len(found)

    def repeat(number: int) -> None:
        while True:
            left = until - time.monotonic()
            try:
                reasons[number] = found[number].attempt(left)
            except (NodeError, OSError) as exc:
                reasons[number] = str(exc)
            if reasons[number] is None or until - time.monotonic() < _PAUSE:
                return
            time.sleep(_PAUSE)

    threads = [threading.Thread(target=repeat, args=(number,), daemon=True) for number in range(len(found))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()) + _PAUSE)
    return list(reasons)


def _gateways(system: System) -> list[Check]:
    found: dict[tuple[str, str], Check] = {}
    for family in ("-4", "-6"):
        said = system.checked(["ip", family, "-json", "route", "show", "default"])
        for route in json.loads(said or "[]"):
            for hop in (route, *route.get("nexthops", ())):
                address = hop.get("gateway") or hop.get("via", {}).get("host")
                if address and hop.get("dev"):
                    found[address, hop["dev"]] = Gateway(system, address, hop["dev"])
    return list(found.values())


def _endpoint(text: Any) -> Endpoint:
    found = _ENDPOINT.fullmatch(str(text))
    if found is None or not 0 < int(found.group("port")) < 65536:
        raise ConfigError(f"verify.tcp: {text!r} is not host:port, 192.0.2.1:port or [2001:db8::1]:port")
    return Endpoint(found.group("six") or found.group("host"), int(found.group("port")))
