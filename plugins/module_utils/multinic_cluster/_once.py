# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One pass over all resources of a cluster: list, decide, act."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Iterable, Mapping, Protocol

from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster import _actions as do
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._act import act
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._errors import ApiError, Conflict
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._index import Index
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._observed import Config
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._reconcile import reconcile
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._settings import Settings

Object = Mapping[str, Any]


class Lister(Protocol):
    """What is listed of a cluster."""

    def configs(self) -> Iterable[Object]:
        """Return all resources."""

    def nodes(self) -> Iterable[Object]:
        """Return all nodes."""

    def jobs(self) -> Iterable[Object]:
        """Return all Jobs of ours."""

    def pods(self) -> Iterable[Object]:
        """Return the pods of these Jobs."""


@dataclass(frozen=True)
class Pass:
    """What a pass found and did.

    :param done: what was done, or would be, in words, with the name of the resource.
    :param errors: what could not be done, in words.
    :param busy: whether there is a Job that has not ended, or something that goes on by itself.
    """

    done: tuple[tuple[str, str], ...]
    errors: tuple[str, ...]
    configs: tuple[Config, ...]
    busy: bool


def observe_all(lister: Lister) -> Index:
    """Return an index of all that is there. :raises ApiError: it cannot be listed."""
    index = Index()
    # pods last: a Job that has ended then has a pod whose last word is known
    for obj in lister.configs():
        index.put_config(obj)
    for obj in lister.nodes():
        index.put_node(obj)
    for obj in lister.jobs():
        index.put_job(obj)
    for obj in lister.pods():
        index.put_pod(obj)
    return index


def reconcile_all(api: Any, settings: Settings, clock: Callable[[], float], check: bool) -> Pass:
    """Go over all resources once, the oldest first; what fails with one does not keep the others from it.

    :param api: lists and writes: an :class:`Api`.
    :param check: whether to only say what would be done.
    :raises ApiError: the cluster cannot be listed.
    """
    index = observe_all(api)
    done: list[tuple[str, str]] = []
    errors: list[str] = []
    busy = False
    for uid in index.configs():
        observed = index.observe(uid, clock(), settings)
        if observed is None:
            continue
        actions = reconcile(observed)
        changes = [(observed.config.key, words(action)) for action in actions if not isinstance(action, do.Requeue)]
        busy = busy or bool(changes) or any(not job.phase.ended for job in observed.jobs)
        try:
            if not check:
                act(api, index, observed.config, actions)
            done.extend(changes)
        except Conflict:
            # it has changed since it was listed: that is for the next pass
            continue
        except ApiError as exc:
            errors.append(str(exc))
    configs = [index.config(uid) for uid in index.configs()]
    return Pass(tuple(done), tuple(errors), tuple(each for each in configs if each is not None), busy)


def words(action: do.Action) -> str:
    """Return an action in words."""
    if isinstance(action, do.CreateJob):
        return f"create Job {action.name}"
    if isinstance(action, do.DeleteJob):
        return f"delete Job {action.name}"
    if isinstance(action, do.WriteStatus):
        return f"write status: {_told(action.patch)}"
    if isinstance(action, do.Event):
        return f"create Event {action.reason}: {action.message}"
    if isinstance(action, do.AddFinalizer):
        return "add the finalizer"
    if isinstance(action, do.RemoveFinalizer):
        return f"remove the finalizer: {action.reason}"
    return f"look again in {action.after:.0f} s"


def _told(patch: Mapping[str, Any]) -> str:
    conditions = patch.get("conditions") or [{}]
    parts = (patch.get("state"), conditions[0].get("reason"), conditions[0].get("message"))
    return ", ".join(str(part) for part in parts if part) or ", ".join(sorted(patch))
