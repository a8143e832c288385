# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a forward has to know of a cluster: plain values, which a supervisor is given as JSON by its standard input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ..contexts._kubectl import Access


@dataclass(frozen=True)
class Source:
    """Where the credentials of a context come from: how kubectl would be called for it."""

    argv: tuple[str, ...]
    """kubectl and its global options."""
    files: tuple[str, ...] = ()
    """Paths of kubeconfigs, the first one wins; none for kubectl's own choice."""
    document: str | None = field(default=None, repr=False)
    """A whole kubeconfig (JSON) that comes before the files; it may hold secrets."""
    env: Mapping[str, str] | None = field(default=None, repr=False)
    """The whole environment; None for that of this process."""
    required: str | None = None
    """The path that the user named and that must be there."""


@dataclass(frozen=True)
class Login:
    """How an API server is reached, and as whom."""

    server: str
    namespace: str = "default"
    verify: bool = True
    ca: str | None = None
    """Certificates (PEM) of who vouches for the server; None for those that this machine trusts."""
    server_name: str | None = None
    """The name that the server's certificate is for, if not that in its URL (tls-server-name)."""
    certificate: str | None = field(default=None, repr=False)
    """The client's own certificate (PEM)."""
    key: str | None = field(default=None, repr=False)
    """The key of the certificate (PEM)."""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Authorization and impersonation."""


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


def source_of(access: Access) -> Source:
    """Return where the credentials of a kubectl connection come from."""
    documents = [each.decode() for each in access.kubeconfigs if isinstance(each, bytes)]
    return Source(
        argv=access.argv,
        files=tuple(each for each in access.kubeconfigs if isinstance(each, str)),
        document=documents[0] if documents else None,  # there is never a second one
        env=None if access.env is None else dict(access.env),
        required=access.required,
    )
