# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an API server is, from its URL."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from ._base import ContextError


@dataclass(frozen=True)
class ServerAddress:
    """The parts of the URL of an API server."""

    tls: bool
    host: str
    port: int
    path: str
    """What all its paths begin with; no slash at the end."""

    @property
    def authority(self) -> str:
        """Host and port, as a request names them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address_of(context: str, server: str) -> ServerAddress:
    """Return where a server is; raise ContextError in the name of ``context`` for what is no URL of one."""
    try:
        url = urlsplit(server if "://" in server else f"https://{server}")
        port = url.port
    except ValueError:
        url, port = urlsplit(""), None
    if url.scheme not in ("http", "https") or not url.hostname:
        cause = f"'{server}' is not the URL of an API server"
        raise ContextError(context, "reading its credentials", cause, "It looks like https://host:6443.")
    tls = url.scheme == "https"
    return ServerAddress(tls, url.hostname, port or (443 if tls else 80), url.path.rstrip("/"))
