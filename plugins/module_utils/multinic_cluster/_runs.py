# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Job is the run that a resource needs now, and which ones are in its way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Iterable

from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._actions import DeleteJob
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._observed import Config, Job, Phase


@dataclass(frozen=True)
class Runs:
    """The Jobs of a resource.

    :param current: the run whose result is not known yet.
    :param kept: a run that failed and whose result is known; its log may be wanted until the next one begins.
    :param obstacles: Jobs that may still do something to the node: until they are gone, no other may begin.
    :param discard: Jobs that are of no use any more.
    """

    current: Job | None
    kept: tuple[Job, ...]
    obstacles: tuple[Job, ...]
    discard: tuple[Job, ...]

    @property
    def deletions(self) -> tuple[DeleteJob, ...]:
        """The actions that remove what is of no use."""
        return tuple(delete(job) for job in self.discard)


def delete(job: Job) -> DeleteJob:
    """Return the action that deletes a Job."""
    return DeleteJob(job.namespace, job.name, job.uid)


def sort(config: Config, jobs: Iterable[Job], wanted: Callable[[Job], bool]) -> Runs:
    """Sort the Jobs of a resource.

    :param wanted: whether a Job is the run that is needed.
    """
    current: Job | None = None
    kept: list[Job] = []
    obstacles: list[Job] = []
    discard: list[Job] = []
    last = config.status.last_job
    for job in jobs:
        if job.terminating:
            if not job.phase.ended:
                obstacles.append(job)
        elif wanted(job):
            current = job
        elif job.phase is Phase.RUNNING:
            # stopping it in the middle of a change makes its guard undo the change: it soon ends by itself
            obstacles.append(job)
        elif job.phase.ended and last is not None and last.uid == job.uid and last.result != "Succeeded":
            kept.append(job)
        else:
            discard.append(job)
            if not job.phase.ended:
                obstacles.append(job)
    return Runs(current, tuple(kept), tuple(obstacles), tuple(discard))
