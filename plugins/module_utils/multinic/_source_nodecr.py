# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The desired state in the MultiNicNodeConfig of a node, read through the Kubernetes API and never written."""

from __future__ import annotations

import importlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Sequence

from ansible_collections.manifold.core.plugins.module_utils.multinic._errors import SourceError
from ansible_collections.manifold.core.plugins.module_utils.multinic._source import Outcome, Report, Source, Wanted
from ansible_collections.manifold.core.plugins.module_utils.multinic._source_entries import did_you_mean, entries

GROUP, VERSION, PLURAL = "multinic.io", "v1alpha1", "multinicnodeconfigs"
NAMESPACE = "multinic-system"
_IN_CLUSTER = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
_REMEDIES = {
    401: "check the credentials",
    403: f"it needs the verb list on {PLURAL}.{GROUP} in the namespace",
    404: f"the cluster has no {PLURAL}.{GROUP}/{VERSION}",
}


@dataclass(frozen=True)
class Cluster:
    """How to reach the API.

    :param kubeconfig: a file; without it and without a context that of ``kubectl``, else the pod's own account.
    :param timeout: seconds for the connection, and for the answer.
    """

    namespace: str = NAMESPACE
    kubeconfig: str | None = None
    context: str | None = None
    timeout: int = 10


class NodeCrSource(Source):
    """The one MultiNicNodeConfig whose ``spec.nodeName`` is the node's."""

    kind = "nodecr"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._where = f"{PLURAL}.{GROUP} in namespace '{cluster.namespace}'"

    def read(self, node: str) -> Wanted:
        found = self._for(node, self._listed())
        name = found["metadata"]["name"]
        if "deletionTimestamp" in found["metadata"]:
            raise SourceError(f"{self._where}: '{name}' of node '{node}' is being deleted")
        where = f"{self._where}: '{name}': spec.interfaces"
        return Wanted(entries(found["spec"].get("interfaces"), where), nothing=f"{where} is empty")

    def _for(self, node: str, items: list[Any]) -> dict[str, Any]:
        objects: list[dict[str, Any]] = [each for each in items if isinstance(each.get("spec"), dict)]
        found = [each for each in objects if each["spec"].get("nodeName") == node]
        if not found:
            others = [str(each["spec"].get("nodeName")) for each in objects]
            raise SourceError(f"{self._where}: none is for node '{node}'.{did_you_mean(node, others)}")
        if len(found) > 1:
            names = " and ".join(sorted(f"'{each['metadata']['name']}'" for each in found))
            raise SourceError(f"{self._where}: {names} are for node '{node}', and only one may be")
        return found[0]

    def report(self, node: str, outcomes: Sequence[Outcome], check: bool) -> Report:
        del node, outcomes, check
        return Report(message="nothing is written back: the controller of the cluster writes the status of a resource")

    def _listed(self) -> list[Any]:
        """Ask for all of the namespace: two for one node are found in no other way."""
        try:
            kubernetes: Any = importlib.import_module("kubernetes")
            urllib3: Any = importlib.import_module("urllib3")  # it comes with the client, as does PyYAML
            yaml: Any = importlib.import_module("yaml")
        except ImportError as exc:
            raise SourceError(
                f"{self._where}: the Python library kubernetes is missing here; install it with pip"
            ) from exc
        try:
            with self._client(kubernetes) as client:
                answer = kubernetes.client.CustomObjectsApi(client).list_namespaced_custom_object(
                    GROUP, VERSION, self._cluster.namespace, PLURAL, _request_timeout=self._cluster.timeout
                )
            return list(answer["items"])
        except kubernetes.client.ApiException as exc:
            raise SourceError(f"{self._where}: listing them: {_said(exc)}") from exc
        except urllib3.exceptions.HTTPError as exc:
            cause = getattr(exc, "reason", None) or exc
            raise SourceError(f"{self._where}: listing them: the API cannot be reached: {cause}") from exc
        except (kubernetes.config.ConfigException, yaml.YAMLError, OSError, ValueError) as exc:
            raise SourceError(f"{self._where}: finding the way to the cluster: {' '.join(str(exc).split())}") from exc

    def _client(self, kubernetes: Any) -> Any:
        """Return a client of the cluster; it retries nothing, so that the timeout holds."""
        configuration = kubernetes.client.Configuration()
        configuration.retries = False
        if self._is_pod(kubernetes):
            kubernetes.config.load_incluster_config(client_configuration=configuration)
        else:
            kubernetes.config.load_kube_config(
                self._cluster.kubeconfig,
                context=self._cluster.context,
                client_configuration=configuration,
                persist_config=False,
            )
        return kubernetes.client.ApiClient(configuration)

    def _is_pod(self, kubernetes: Any) -> bool:
        if self._cluster.kubeconfig or self._cluster.context or not _IN_CLUSTER.exists():
            return False
        files = kubernetes.config.KUBE_CONFIG_DEFAULT_LOCATION.split(os.pathsep)
        return not any(Path(each).expanduser().exists() for each in files if each)


def _said(exc: Any) -> str:
    """Return what the API answered: the message of its Status, and a remedy."""
    try:
        message = json.loads(exc.body)["message"]
    except (TypeError, ValueError, KeyError):
        message = exc.reason
    remedy = _REMEDIES.get(exc.status, "")
    return f"{message} ({exc.status}){f': {remedy}' if remedy else ''}"
