# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a supervisor is given: the forward, the way to its target, and for whom it is. Plain values, sent as JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from ._spec import Direction, ForwardSpec, Lifetime, PortPair
from ._transport import Way


@dataclass(frozen=True)
class Job:
    """The work of one supervisor."""

    spec: ForwardSpec
    kind: str
    """That of the context: ssh or kubernetes."""
    way: Way
    directory: str
    """Where its state is kept."""
    owners: tuple[int, ...] = ()
    """Descriptors of the processes with the last of which it ends (pidfd_open(2)); inherited."""

    @property
    def identity(self) -> str:
        """Tells two forwards of one name apart: what is in it cannot be changed while the forward lives."""
        return identity(self.spec, self.kind, self.way)

    def encode(self) -> bytes:
        """Return it as JSON. It may hold secrets."""
        return json.dumps({**asdict(self), "spec": spec_to_json(self.spec)}).encode()

    @classmethod
    def decode(cls, data: bytes) -> Job:
        """Return the job that was encoded."""
        fields = json.loads(data)
        return cls(
            spec=spec_from_json(fields["spec"]),
            kind=fields["kind"],
            way=Way(**fields["way"]),
            directory=fields["directory"],
            owners=tuple(fields["owners"]),
        )


def identity(spec: ForwardSpec, kind: str, way: Way) -> str:
    """Return a digest of what a forward is; how long it lives and waits is not part of that."""
    lasting = replace(spec, lifetime=Lifetime.PLAY, ttl=None, wait_timeout=0.0, connect_timeout=0.0)
    text = json.dumps([spec_to_json(lasting), kind, way.factory, way.place], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def spec_to_json(spec: ForwardSpec) -> dict[str, Any]:
    """Return a specification as values of JSON."""
    return {**asdict(spec), "direction": spec.direction.value, "lifetime": spec.lifetime.value}


def spec_from_json(fields: Mapping[str, Any]) -> ForwardSpec:
    """Return the specification that became ``fields``."""
    return ForwardSpec(
        **{
            **fields,
            "ports": tuple(PortPair(**pair) for pair in fields["ports"]),
            "direction": Direction(fields["direction"]),
            "lifetime": Lifetime(fields["lifetime"]),
        }
    )
