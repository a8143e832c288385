# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All that is known of a cluster, indexed so that what concerns one resource is found at once.

It holds what it is told, by whoever watches or lists; it asks nobody.
"""

from __future__ import annotations

from typing import Any, Mapping

from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._job import CONTAINER
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._observed import (
    Config,
    Fleet,
    Job,
    Node,
    Observed,
)
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._read import (
    config_of,
    has_ended,
    job_of,
    node_of,
    pod_owner,
)
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._settings import Settings


class Index:
    """Resources, nodes, Jobs and pods of a cluster.

    What is older than what is known already is ignored: after a write, the answer of the API is put in here, and the
    news of what was before may still be on its way.
    """

    def __init__(self) -> None:
        self._configs: dict[str, Config] = {}
        self._of_node: dict[str, set[str]] = {}
        self._nodes: dict[str, Node] = {}
        self._versions: dict[str, str] = {}
        self._jobs: dict[str, Job] = {}
        self._raw_jobs: dict[str, Mapping[str, Any]] = {}
        self._of_config: dict[str, set[str]] = {}
        self._on_node: dict[str, set[str]] = {}
        self._pods: dict[str, dict[str, Mapping[str, Any]]] = {}
        self._job_of_pod: dict[str, str] = {}
        self._in_flight: set[str] = set()
        self._failing: set[str] = set()

    def put_config(self, obj: Mapping[str, Any]) -> str:
        """Note a resource; return its uid."""
        config = config_of(obj)
        if self._is_news(config.uid, obj):
            self.drop_config(config.uid)
            self._versions[config.uid] = config.resource_version
            self._configs[config.uid] = config
            self._of_node.setdefault(config.node_name, set()).add(config.uid)
            if _failing(config):
                self._failing.add(config.uid)
        return config.uid

    def drop_config(self, uid: str) -> None:
        """Forget a resource that is gone."""
        config = self._configs.pop(uid, None)
        self._versions.pop(uid, None)
        self._failing.discard(uid)
        if config is not None:
            _remove(self._of_node, config.node_name, uid)

    def put_node(self, obj: Mapping[str, Any]) -> str:
        """Note a node; return its name."""
        node = node_of(obj)
        if self._is_news(f"node/{node.name}", obj):
            self._versions[f"node/{node.name}"] = obj["metadata"].get("resourceVersion", "")
            self._nodes[node.name] = node
        return node.name

    def drop_node(self, name: str) -> None:
        """Forget a node that is gone."""
        self._nodes.pop(name, None)
        self._versions.pop(f"node/{name}", None)

    def put_job(self, obj: Mapping[str, Any]) -> str | None:
        """Note a Job; return the uid of its resource, None if it is not ours."""
        uid = obj["metadata"].get("uid", "")
        if self._is_news(uid, obj):
            self._versions[uid] = obj["metadata"].get("resourceVersion", "")
            self._raw_jobs[uid] = _slim(obj)
            self._read_job(uid)
        job = self._jobs.get(uid)
        return None if job is None else job.config_uid

    def drop_job(self, uid: str) -> str | None:
        """Forget a Job that is gone; return the uid of its resource."""
        self._raw_jobs.pop(uid, None)
        self._versions.pop(uid, None)
        self._pods.pop(uid, None)
        job = self._jobs.pop(uid, None)
        if job is None:
            return None
        _remove(self._of_config, job.config_uid, uid)
        _remove(self._on_node, job.node_name, uid)
        self._count(job.config_uid)
        return job.config_uid

    def put_pod(self, obj: Mapping[str, Any]) -> str | None:
        """Note a pod; return the uid of the resource that its Job belongs to, None if there is none."""
        owner, uid = pod_owner(obj), obj["metadata"].get("uid", "")
        if owner is None:
            return None
        if self._is_news(uid, obj):
            self._versions[uid] = obj["metadata"].get("resourceVersion", "")
            self._pods.setdefault(owner, {})[uid] = _slim(obj)
            self._job_of_pod[uid] = owner
            self._read_job(owner)
        job = self._jobs.get(owner)
        return None if job is None else job.config_uid

    def drop_pod(self, uid: str) -> str | None:
        """Forget a pod that is gone, but for what it said at its end; return the uid of its resource."""
        self._versions.pop(uid, None)
        owner = self._job_of_pod.pop(uid, "")
        pods = self._pods.get(owner, {})
        if uid in pods and not has_ended(pods[uid]):
            del pods[uid]
            self._read_job(owner)
        if not pods or owner not in self._raw_jobs:
            self._pods.pop(owner, None)
        job = self._jobs.get(owner)
        return None if job is None else job.config_uid

    def configs(self) -> tuple[str, ...]:
        """Return the uids of all resources, the oldest first."""
        return tuple(config.uid for config in sorted(self._configs.values(), key=_age))

    def config(self, uid: str) -> Config | None:
        """Return a resource."""
        return self._configs.get(uid)

    def of_node(self, name: str) -> tuple[str, ...]:
        """Return the uids of the resources for a node; more than one are rivals."""
        return tuple(sorted(self._of_node.get(name, ())))

    def fleet(self) -> Fleet:
        """Return what limits are counted from."""
        return Fleet(len(self._configs), frozenset(self._in_flight), frozenset(self._failing))

    def observe(self, uid: str, now: float, settings: Settings) -> Observed | None:
        """Return all that concerns a resource; None if there is none."""
        config = self._configs.get(uid)
        if config is None:
            return None
        on_node = (self._jobs[job] for job in self._on_node.get(config.node_name, ()))
        return Observed(
            config=config,
            node=self._nodes.get(config.node_name),
            jobs=tuple(sorted((self._jobs[job] for job in self._of_config.get(uid, ())), key=lambda job: job.name)),
            others=tuple(sorted(job.name for job in on_node if job.config_uid != uid and not job.phase.ended)),
            rival=self._rival(config),
            fleet=self.fleet(),
            now=now,
            settings=settings,
        )

    def _rival(self, config: Config) -> str | None:
        rivals = [self._configs[uid] for uid in self._of_node.get(config.node_name, ())]
        oldest = min(rivals, key=_age)
        return None if oldest.uid == config.uid else oldest.key

    def _is_news(self, key: str, obj: Mapping[str, Any]) -> bool:
        """Return whether an object is not older than what is known; versions that are no numbers cannot tell."""
        known, found = self._versions.get(key, ""), obj["metadata"].get("resourceVersion", "")
        return not (known.isdigit() and found.isdigit() and int(found) < int(known))

    def _read_job(self, uid: str) -> None:
        raw = self._raw_jobs.get(uid)
        job = None if raw is None else job_of(raw, self._pods.get(uid, {}).values())
        if job is not None:
            self._jobs[uid] = job
            self._of_config.setdefault(job.config_uid, set()).add(uid)
            self._on_node.setdefault(job.node_name, set()).add(uid)
            self._count(job.config_uid)

    def _count(self, config_uid: str) -> None:
        if any(not self._jobs[job].phase.ended for job in self._of_config.get(config_uid, ())):
            self._in_flight.add(config_uid)
        else:
            self._in_flight.discard(config_uid)


def _age(config: Config) -> tuple[float, str, str]:
    # what was made within the same second is told apart by name
    return config.created, config.namespace, config.name


def _failing(config: Config) -> bool:
    last = config.status.last_job
    return last is not None and last.result != "Succeeded" and last.generation == config.generation


def _remove(index: dict[str, set[str]], key: str, value: str) -> None:
    values = index.get(key, set())
    values.discard(value)
    if not values:
        index.pop(key, None)


def _slim(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what is read of a Job or a pod: with a thousand nodes the rest is what fills the memory."""
    metadata, status = obj["metadata"], obj.get("status") or {}
    kept = ("namespace", "name", "uid", "labels", "annotations", "ownerReferences", "creationTimestamp")
    slim = {key: metadata[key] for key in (*kept, "deletionTimestamp") if key in metadata}
    containers = [each for each in status.get("containerStatuses") or () if each.get("name") == CONTAINER]
    told = {key: status[key] for key in ("conditions", "phase", "reason") if key in status}
    return {"metadata": slim, "status": {**told, "containerStatuses": containers}}
