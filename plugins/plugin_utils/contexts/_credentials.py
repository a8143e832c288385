# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How an API server is reached, and where the credentials for that come from: plain values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from ._kubectl import Access


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


def source_of(access: Access) -> Source:
    """Return where the credentials of a kubectl connection come from."""
    documents = [json.loads(each) for each in access.kubeconfigs if isinstance(each, bytes)]
    users = [user for document in documents for user in document.get("users") or ()]
    # the first one may hold no more than a user
    document = json.dumps({**documents[-1], "users": users}) if documents else None
    return Source(
        argv=access.argv,
        files=tuple(each for each in access.kubeconfigs if isinstance(each, str)),
        document=document,
        env=None if access.env is None else dict(access.env),
        required=access.required,
    )
