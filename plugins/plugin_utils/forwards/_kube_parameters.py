# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a forward has to know of a cluster: plain values, which a supervisor is given as JSON by its standard input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..contexts._credentials import Login, Source


@dataclass(frozen=True)
class KubeParameters:
    """What a Kubernetes transport is made of."""

    context: str
    """What the context is called, for messages."""
    target: str
    """Kind and name."""
    ports: tuple[int | str, ...]
    """The ports of the target that will be asked for."""
    source: Source
    login: Login | None = None
    """Credentials that were found already; without them the source is asked."""
    seconds: float = 10.0
    """How long the API server may take to answer."""

    def to_json(self) -> dict[str, Any]:
        """Return it as values of JSON; they may hold secrets."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> KubeParameters:
        """Return the parameters that became ``values``."""
        source, login = values["source"], values["login"]
        lists = {"argv": tuple(source["argv"]), "files": tuple(source["files"])}
        return cls(
            context=values["context"],
            target=values["target"],
            ports=tuple(values["ports"]),
            source=Source(**{**source, **lists}),
            login=None if login is None else Login(**{**login, "headers": tuple(map(tuple, login["headers"]))}),
            seconds=values["seconds"],
        )
