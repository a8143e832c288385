# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The schema of MultiNicNodeConfig, asked as the test bed's API server asks it.

``MANIFOLD_CRD_KUBECONFIG`` names a real cluster that has the definition; then that is asked, in a dry run.
"""

from __future__ import annotations

import copy
import functools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from testbed.kube.crd import check_definition, definitions
from testbed.kube.errors import ApiError

_FILE = Path(__file__).parents[2] / "roles/multinic_cluster/files/multinicnodeconfigs.multinic.io.yml"
CRD: dict[str, Any] = yaml.safe_load(_FILE.read_text())
SCHEMA: dict[str, Any] = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
check_definition(CRD)
_DEFINITION = definitions(CRD)["v1alpha1"]
_KUBECONFIG = os.environ.get("MANIFOLD_CRD_KUBECONFIG")


def violations(obj: Mapping[str, Any], old: Mapping[str, Any] | None = None) -> list[str]:
    """Return why an API server would refuse an object; with ``old`` the transition rules are asked too."""
    if _KUBECONFIG and old is None:
        return _of_cluster(obj)
    given = copy.deepcopy(dict(obj))
    try:
        _DEFINITION.refuse_unknown_fields(given)
        _DEFINITION.prepare(given)
        _DEFINITION.validate(given, None if old is None else dict(old))
    except ApiError as exc:
        return [f"{cause['field']}: {cause['message']}" for cause in (exc.details or {}).get("causes", ())] or [
            str(exc)
        ]
    return []


@functools.cache
def _client() -> Any:
    import kubernetes  # late: it takes its time

    connect: Any = kubernetes.config.new_client_from_config
    return kubernetes.client.CustomObjectsApi(connect(_KUBECONFIG))


def _of_cluster(obj: Mapping[str, Any]) -> list[str]:
    from kubernetes.client import ApiException

    kind = (*obj["apiVersion"].split("/"), "default", "multinicnodeconfigs")
    strictly = {"dry_run": "All", "field_validation": "Strict"}
    try:
        _client().create_namespaced_custom_object(*kind, dict(obj), **strictly)
    except ApiException as exc:
        said = json.loads(exc.body or "{}")
        if exc.status not in (400, 422):
            raise
        causes = (said.get("details") or {}).get("causes") or ()
        return [f"{cause['field']}: {cause['message']}" for cause in causes] or [said["message"]]
    return []
