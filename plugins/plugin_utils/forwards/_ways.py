# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which way leads to the target of a context: that of its kind."""

from __future__ import annotations

from ..contexts._base import Context
from ..contexts._kubernetes import KubernetesContext
from ..contexts._ssh import SshContext
from ._errors import ForwardError
from ._kube_way import kubernetes_way
from ._spec import ForwardSpec
from ._ssh_way import ssh_way
from ._transport import Way


def check_kind(context: Context) -> None:
    """Raise ForwardError for a context that nothing can be forwarded to or from."""
    if not isinstance(context, KubernetesContext | SshContext):
        raise ForwardError(
            f"context: '{context.name}' is of type {context.kind.value}, whose ports can be used as they are. "
            "Name a context of type kubernetes or ssh."
        )


def way_to(context: Context, spec: ForwardSpec) -> Way:
    """Return what the supervisor needs to reach the target; raise ForwardError or ContextError if it cannot be had."""
    if isinstance(context, KubernetesContext):
        return kubernetes_way(context.access, spec)
    return ssh_way(context, spec)
