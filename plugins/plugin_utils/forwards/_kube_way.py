# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a Kubernetes context to what a supervisor makes its transport of."""

from __future__ import annotations

import json

from ..contexts._credentials import source_of
from ..contexts._kubectl import Access
from ..contexts._login import log_in
from ._kube_parameters import KubeParameters
from ._kube_target import target_of
from ._spec import ForwardSpec
from ._transport import Way

_FACTORY = f"{__package__}._kube_transport:make_transport"


def kubernetes_way(access: Access, spec: ForwardSpec) -> Way:
    """Return the way to the target of a forward in a cluster that kubectl reaches by ``access``.

    Runs kubectl, and the program that gives credentials if the kubeconfig names one: what is wrong with them shows in
    the task. Raises ForwardError or ContextError.
    """
    target_of(spec.target)
    source = source_of(access)
    login = log_in(source, spec.context)
    ports = tuple(dict.fromkeys(pair.target for pair in spec.ports))
    parameters = KubeParameters(spec.context, spec.target, ports, source, login)
    # no secret is ever in argv; a token may be another one every time, and the place is the same
    place = json.dumps([login.server, login.namespace, source.argv, source.files])
    return Way(_FACTORY, parameters.to_json(), place)
