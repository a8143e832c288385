# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is heard of the cluster: it goes into the index, and says which resources are to be looked at again."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._index import Index
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._job import CONFIG_LABEL, NODE_ANNOTATION
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._observed import Config, Fleet, Node
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._once import Lister
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._read import node_of

Object = Mapping[str, Any]


class Kind(Enum):
    """What is watched."""

    CONFIG = "config"
    NODE = "node"
    JOB = "job"
    POD = "pod"


class SharedIndex(Index):
    """An index that several threads use, and that counts the Jobs that are about to be created.

    :ivar lock: held while a decision is taken, so that two workers never take the last place both.
    :ivar there: what is known, with what is needed to forget it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.RLock()
        self.there: dict[Kind, dict[str, Object]] = {kind: {} for kind in Kind}
        self._reserved: set[str] = set()

    def put_config(self, obj: Object) -> str:
        """See :class:`Index`; called while acting."""
        metadata = obj["metadata"]
        with self.lock:
            if "deletionTimestamp" in metadata and not metadata.get("finalizers"):
                # the answer to the removal of the last finalizer: its watch may have told of the end already
                super().drop_config(metadata["uid"])
                return str(metadata["uid"])
            self.there[Kind.CONFIG][metadata["uid"]] = _name(obj)
            return super().put_config(obj)

    def put_job(self, obj: Object) -> str | None:
        """See :class:`Index`; called while acting."""
        with self.lock:
            self.there[Kind.JOB][obj["metadata"]["uid"]] = _name(obj)
            return super().put_job(obj)

    def configs(self) -> tuple[str, ...]:
        """See :class:`Index`; called by who asks for metrics."""
        with self.lock:
            return super().configs()

    def config(self, uid: str) -> Config | None:
        """See :class:`Index`."""
        with self.lock:
            return super().config(uid)

    def fleet(self) -> Fleet:
        """See :class:`Index`; places that are reserved are taken."""
        with self.lock:
            fleet = super().fleet()
            return Fleet(fleet.size, fleet.in_flight | self._reserved, fleet.failing) if self._reserved else fleet

    def reserve(self, uid: str) -> None:
        """Take a place for a resource whose Job is about to be created."""
        self._reserved.add(uid)

    def release(self, uid: str) -> None:
        """Give the place back: the Job is in the index by now, or is known not to be there."""
        with self.lock:
            self._reserved.discard(uid)


class Feed:
    """News from watches and lists. Thread-safe.

    A watch that has expired does not tell what vanished meanwhile (kopf lists again and reports what is there), so
    :meth:`resync` compares with a list.
    """

    def __init__(self) -> None:
        self.index = SharedIndex()
        self._nodes: dict[str, Node] = {}
        self._vanished: set[str] | None = None

    def put(self, kind: Kind, obj: Object) -> set[str]:
        """Note an object; return the uids of the resources to look at."""
        with self.index.lock:
            uid = obj["metadata"]["uid"]
            known = uid in self.index.there[kind]
            self.index.there[kind][uid] = _name(obj)
            if kind is Kind.CONFIG:
                before = self.index.config(uid)
                self.index.put_config(obj)
                after = self.index.config(uid)
                return {uid} if known and before == after else {uid, *self._same_node(uid)}
            if kind is Kind.NODE:
                return self._put_node(obj)
            (self.index.put_job if kind is Kind.JOB else self.index.put_pod)(obj)
            return self._touched(obj)

    def drop(self, kind: Kind, obj: Object) -> set[str]:
        """Forget an object; return the uids of the resources to look at."""
        with self.index.lock:
            uid = obj["metadata"]["uid"]
            self.index.there[kind].pop(uid, None)
            if self._vanished is not None:
                self._vanished.add(uid)
            if kind is Kind.CONFIG:
                rivals = self._same_node(uid)
                self.index.drop_config(uid)
                self.index.release(uid)
                return {uid, *rivals}
            if kind is Kind.NODE:
                name = obj["metadata"]["name"]
                self._nodes.pop(name, None)
                self.index.drop_node(name)
                return set(self.index.of_node(name))
            (self.index.drop_job if kind is Kind.JOB else self.index.drop_pod)(uid)
            return self._touched(obj)

    def resync(self, lister: Lister) -> set[str]:
        """List everything, forget what is gone; return the uids of all resources. :raises ApiError: it cannot be."""
        with self.index.lock:
            self._vanished = set()
        found: set[str] = set()
        try:
            # pods last: a Job that has ended then has a pod whose last word is known
            for kind, listed in (
                (Kind.CONFIG, lister.configs),
                (Kind.NODE, lister.nodes),
                (Kind.JOB, lister.jobs),
                (Kind.POD, lister.pods),
            ):
                with self.index.lock:
                    before = dict(self.index.there[kind])
                found |= self._listed(kind, listed(), before)
        finally:
            with self.index.lock:
                self._vanished = None
        return found | set(self.index.configs())

    def _listed(self, kind: Kind, objects: Iterable[Object], before: dict[str, Object]) -> set[str]:
        found: set[str] = set()
        for obj in objects:
            with self.index.lock:
                before.pop(obj["metadata"]["uid"], None)
                # it may have been deleted after the list was made
                if obj["metadata"]["uid"] not in (self._vanished or ()):
                    found |= self.put(kind, obj)
        for obj in before.values():
            found |= self.drop(kind, obj)
        return found

    def _put_node(self, obj: Object) -> set[str]:
        self.index.put_node(obj)
        node = node_of(obj)
        if self._nodes.get(node.name) == node:
            return set()  # a heartbeat
        self._nodes[node.name] = node
        return set(self.index.of_node(node.name))

    def _same_node(self, uid: str) -> set[str]:
        config = self.index.config(uid)
        return set() if config is None else set(self.index.of_node(config.node_name))

    def _touched(self, obj: Object) -> set[str]:
        """Return whom a Job or a pod concerns: its resource, and those that wait for the node."""
        metadata = obj["metadata"]
        uid = (metadata.get("labels") or {}).get(CONFIG_LABEL, "")
        node = (metadata.get("annotations") or {}).get(NODE_ANNOTATION, "")
        return {*({uid} if uid else ()), *self.index.of_node(node)}


def _name(obj: Object) -> Object:
    """Return what is needed to forget an object."""
    metadata = obj["metadata"]
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key == CONFIG_LABEL}
    annotations = {key: value for key, value in (metadata.get("annotations") or {}).items() if key == NODE_ANNOTATION}
    return {
        "metadata": {"uid": metadata["uid"], "name": metadata["name"], "labels": labels, "annotations": annotations}
    }
