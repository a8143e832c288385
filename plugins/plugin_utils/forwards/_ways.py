# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which way leads to the target of a context: that of its kind."""

from __future__ import annotations

import importlib

from ..contexts._base import Context, ContextKind
from ._errors import ForwardError
from ._spec import ForwardSpec
from ._transport import Way

_WAYS = {ContextKind.KUBERNETES: ("._kube_way", "kube_way"), ContextKind.SSH: ("._ssh_way", "ssh_way")}
"""Modules are imported when they are needed: a forward by SSH does not load what Kubernetes takes."""


def check_kind(context: Context) -> None:
    """Raise ForwardError for a context that nothing can be forwarded to or from."""
    if context.kind not in _WAYS:
        raise ForwardError(
            f"context: '{context.name}' is of type {context.kind.value}, whose ports can be used as they are. "
            "Name a context of type kubernetes or ssh."
        )


def way_to(context: Context, spec: ForwardSpec) -> Way:
    """Return what the supervisor needs to reach the target; raise ForwardError or ContextError if it cannot be had."""
    module, function = _WAYS[context.kind]
    way: Way = getattr(importlib.import_module(module, __package__), function)(context, spec)
    return way
