# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what a user wrote to what a forward is asked to be. A complaint names the option, the cause and the remedy."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .._nearest import did_you_mean
from ..contexts._base import ContextKind
from ._errors import ForwardError
from ._spec import Direction, ForwardSpec, Lifetime, PortPair

MOST_PORTS = 64
"""How many ports one forward may have."""

LOOPBACK = "127.0.0.1"

WORKLOADS = ("service", "deployment", "statefulset", "pod")
"""What a target on Kubernetes may be; kubectl's short names are understood as well."""

_SHORT = {"svc": "service", "services": "service", "deploy": "deployment", "sts": "statefulset", "po": "pod"}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,62}", re.ASCII)
_OBJECT = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9_])?", re.ASCII)
# RFC 6335, 5.1: a letter at least, no hyphen at an end, no two in a row
_PORT_NAME = re.compile(r"(?=.{1,15}\Z)(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*", re.ASCII)


def check_name(name: str) -> str:
    """Return a name that a forward can have; raise ForwardError for any other."""
    if not _NAME.fullmatch(name):
        raise ForwardError(
            f"name: '{name}' cannot be the name of a forward. "
            "Use up to 63 letters, digits, '_', '-', '.' and '@', the first one a letter, a digit or '_'."
        )
    return name


def parse_spec(arguments: Mapping[str, Any], kind: ContextKind, context: str) -> ForwardSpec:
    """Return the forward that the options of a task ask for; raise ForwardError at the first that is wrong."""
    direction = Direction(arguments["direction"])
    if kind is ContextKind.KUBERNETES and direction is Direction.REMOTE:
        raise ForwardError(
            f"direction: in context '{context}' nothing can listen for this machine: Kubernetes forwards only one way. "
            "Use a context of type ssh, or direction: local."
        )
    lifetime = Lifetime(arguments["lifetime"])
    ttl = _seconds(arguments, "ttl")
    if ttl is not None and lifetime is Lifetime.PLAY:
        raise ForwardError(
            "ttl: a forward that ends with its play needs none. Leave it out, or add lifetime: persistent."
        )
    return ForwardSpec(
        name=check_name(arguments["name"]),
        context=context,
        target=parse_target(arguments["target"], kind),
        ports=parse_ports(arguments["ports"] or (), names=kind is ContextKind.KUBERNETES),
        bind=parse_bind(arguments["bind"], direction),
        direction=direction,
        lifetime=lifetime,
        ttl=ttl,
        wait_timeout=_seconds(arguments, "wait_timeout") or 0.0,
        connect_timeout=_seconds(arguments, "connect_timeout") or 0.0,
    )


def _seconds(arguments: Mapping[str, Any], option: str) -> float | None:
    value = arguments.get(option)
    if value is None:
        return None
    if not 0 < value < float("inf"):
        raise ForwardError(f"{option}: it must be more than 0 seconds, and {value:g} is not")
    return float(value)


def parse_target(text: str | None, kind: ContextKind) -> str:
    """Return the target in its full form; raise ForwardError for what cannot be one in a context of that kind."""
    return _host(text) if kind is ContextKind.SSH else _workload(text)


def _workload(text: str | None) -> str:
    example = "Write kind/name, such as service/minio."
    if not text:
        raise ForwardError(f"target: it is missing. {example}")
    kind, slash, name = text.partition("/")
    if not slash:
        raise ForwardError(f"target: '{text}' does not say what it is. Write service/{text}, or pod/{text}.")
    full = _SHORT.get(kind.lower(), kind.lower())
    if full not in WORKLOADS:
        remedy = did_you_mean(full, WORKLOADS) or f"Known are {', '.join(WORKLOADS)}."
        raise ForwardError(f"target: '{kind}' cannot be forwarded to. {remedy}")
    if not _OBJECT.fullmatch(name):
        raise ForwardError(f"target: '{name}' cannot be the name of a {full}. {example}")
    return f"{full}/{name}"


def _host(text: str | None) -> str:
    if not text:
        return "localhost"
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if _is_address(bare) or _HOST.fullmatch(bare):
        return bare
    host, colon, port = bare.rpartition(":")
    if colon and port.isdecimal() and _HOST.fullmatch(host):
        raise ForwardError(f"target: '{text}' holds a port. Write target: {host} and ports: [\":{port}\"].")
    raise ForwardError(
        f"target: '{text}' cannot be a host. Write its name or address as the far end of the connection sees it, "
        "such as db.internal; ports stand in 'ports'."
    )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def parse_bind(text: str | None, direction: Direction) -> str:
    """Return the address to listen at, loopback unless another one is asked for; raise ForwardError for no address."""
    if not text or text == "localhost":
        return LOOPBACK
    if _is_address(text):
        return text
    if direction is Direction.REMOTE and (text == "*" or _HOST.fullmatch(text)):
        return text  # the SSH server's own names
    raise ForwardError(
        f"bind: '{text}' is no address of this machine. Write an IP address; 0.0.0.0 listens at every one of IPv4."
    )


def parse_ports(values: Sequence[Any], *, names: bool) -> tuple[PortPair, ...]:
    """Return the ports of a forward; ``names`` tells whether the target's may have names.

    Raises ForwardError for what is none, for too many, and for two that would listen at the same.
    """
    if not values:
        raise ForwardError(
            'ports: there are none. Write one at least, such as "9000:9000", or ":9000" for a free one here.'
        )
    if len(values) > MOST_PORTS:
        raise ForwardError(f"ports: {len(values)} are too many for one forward; {MOST_PORTS} may be.")
    pairs = tuple(_pair(value, names) for value in values)
    seen: set[int] = set()
    for pair in pairs:
        if pair.listen and pair.listen in seen:
            raise ForwardError(f"ports: two would listen at {pair.listen}. Give one of them another number, or none.")
        seen.add(pair.listen)
    return pairs


def _pair(value: Any, names: bool) -> PortPair:
    text = str(value).strip()
    listen, colon, target = text.rpartition(":")
    if ":" in listen:
        raise ForwardError(
            f"ports: '{text}' has more than one ':'. Write \"LISTEN:TARGET\"; addresses go to 'bind' and 'target'."
        )
    port = _target_port(text, target, names)
    if not colon:
        if isinstance(port, str):
            raise ForwardError(
                f'ports: \'{text}\' does not say where to listen. Write ":{text}" for a free port, or "8080:{text}".'
            )
        return PortPair(port, port)
    if not listen:
        return PortPair(0, port)
    if not (listen.isascii() and listen.isdecimal()):
        raise ForwardError(
            f"ports: '{listen}' in '{text}' is no number. Only the target's port, behind ':', may have a name."
        )
    return PortPair(_number(text, listen, least=0), port)


def _target_port(text: str, target: str, names: bool) -> int | str:
    if target.isascii() and target.isdecimal():
        return _number(text, target, least=1)
    if not target:
        raise ForwardError(f"ports: '{text}' does not say which port of the target. Write it behind ':'.")
    if not _PORT_NAME.fullmatch(target):
        raise ForwardError(f"ports: '{target}' in '{text}' is no port. Write a number from 1 to 65535.")
    if not names:
        raise ForwardError(
            f"ports: '{target}' in '{text}' is a name, and only ports on Kubernetes have names. Write its number."
        )
    return target


def _number(text: str, digits: str, least: int) -> int:
    number = int(digits) if len(digits) < 10 else 10**9
    if least <= number <= 65535:
        return number
    raise ForwardError(f"ports: {digits[:12]} in '{text[:24]}' is no port. {_meant(number)}")


def _meant(number: int) -> str:
    """Return the remedy for a number that is too large; YAML takes 8022:22 without quotes for hours and minutes."""
    high, low = divmod(number, 60)
    if number > 65535 and 0 < high < 65536 and low:
        return f'Pairs need quotes, for YAML reads {high}:{low} as {number}: write "{high}:{low}", if that is meant.'
    return "Write a number from 1 to 65535."
