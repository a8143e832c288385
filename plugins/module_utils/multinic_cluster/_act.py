# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carrying out what :func:`reconcile` wants, in its order, up to the first thing that cannot be."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Iterable, Mapping

from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._actions import (
    Action,
    AddFinalizer,
    CreateJob,
    DeleteJob,
    Event,
    RemoveFinalizer,
    Requeue,
    WriteStatus,
)
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._errors import Conflict
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._index import Index
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._observed import FINALIZER, Config


class Writer(ABC):
    """What may be changed in a cluster. Each raises Conflict if the object is not what it was, ApiError otherwise."""

    @abstractmethod
    def get_config(self, namespace: str, name: str) -> Mapping[str, Any]:
        """Return a resource as it is now. :raises Conflict: it is gone."""

    @abstractmethod
    def patch_config(self, namespace: str, name: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Merge into a resource, but not its status; return what it is now."""

    @abstractmethod
    def patch_status(self, namespace: str, name: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Merge into the status of a resource; return what it is now."""

    @abstractmethod
    def create_job(self, namespace: str, manifest: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Create a Job and return it; None if there is one of its name."""

    @abstractmethod
    def delete_job(self, namespace: str, name: str, uid: str) -> None:
        """Delete this very Job, after its pod; it need not be there any more."""

    @abstractmethod
    def create_event(self, config: Config, event: Event) -> None:
        """Tell those who look at the resource; never raises, an Event that is lost is no harm."""


def act(writer: Writer, index: Index, config: Config, actions: Iterable[Action]) -> float | None:
    """Carry out what is to be done for a resource, and note in the index what it is then.

    :returns: the seconds after which to look again, None for not before there is news.
    :raises Conflict: something was not as observed; observe again.
    :raises ApiError: the API refused or did not answer; try again later.
    """
    return _Acting(writer, index, config).all(actions)


class _Acting:
    """One resource, while it is acted on.

    :ivar sure: whether a write of ours has shown that the resource is what was observed.
    """

    def __init__(self, writer: Writer, index: Index, config: Config) -> None:
        self.writer = writer
        self.index = index
        self.config = config
        self.version = config.resource_version
        self.sure = False

    def all(self, actions: Iterable[Action]) -> float | None:
        again: float | None = None
        for action in actions:
            if isinstance(action, Requeue):
                again = action.after if again is None else min(again, action.after)
            else:
                self.one(action)
        return again

    def one(self, action: Action) -> None:
        config = self.config
        if isinstance(action, AddFinalizer):
            self.patch({"metadata": {"finalizers": [*config.finalizers, FINALIZER]}})
        elif isinstance(action, RemoveFinalizer):
            self.patch({"metadata": {"finalizers": [each for each in config.finalizers if each != FINALIZER]}})
        elif isinstance(action, WriteStatus):
            self.patch({"status": action.patch})
        elif isinstance(action, CreateJob):
            self.create(action)
        elif isinstance(action, DeleteJob):
            self.writer.delete_job(action.namespace, action.name, action.uid)
        elif isinstance(action, Event):
            self.writer.create_event(config, action)

    def patch(self, body: Mapping[str, Any]) -> None:
        """Write, if the resource still has the version that was observed."""
        metadata = {**body.get("metadata", {}), "resourceVersion": self.version}
        write = self.writer.patch_status if "status" in body else self.writer.patch_config
        found = write(self.config.namespace, self.config.name, {**body, "metadata": metadata})
        self.version = found["metadata"].get("resourceVersion", "")
        self.sure = True
        self.index.put_config(found)

    def create(self, action: CreateJob) -> None:
        """Create a Job, but not for a resource that is known from old news: its run may have ended long ago."""
        if not self.sure:
            found = self.writer.get_config(self.config.namespace, self.config.name)
            if found["metadata"].get("resourceVersion") != self.version:
                raise Conflict(f"{self.config.key} has changed since it was observed")
        job = self.writer.create_job(self.config.namespace, action.manifest)
        if job is None:
            raise Conflict(f"Job {action.name} is there already")
        self.index.put_job(job)
