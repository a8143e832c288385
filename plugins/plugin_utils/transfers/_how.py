# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chooses how a tree is sent: compressed and hashed by what, in how many archives side by side."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from ..contexts._base import Context, ContextKind
from ..streams._errand import Errand, run_errands
from ._copy import is_one_place
from ._ends import Ends
from ._errors import TransferError
from ._job import Job
from ._listing import PathKind
from ._plan import Plan
from ._shell import BLAKE, COPIES, OPENSSL, PACKERS

_WORTH_A_LOOK = 8 << 20
"""Bytes from which on it is worth to find out how far away an end is."""
_FAR_SECONDS = 0.04
"""A round trip that is long."""
_LOOK_TRIPS = 2
"""How many of them a command takes that does nothing, over SSH."""
_FAR_SHARDS = 4
_LOOK_SECONDS = 30.0


@dataclass(frozen=True)
class How:
    """How a tree is sent."""

    packer: str | None = None
    """What compresses it; None for nothing."""
    shards: int = 1
    """How many archives are sent side by side."""
    blake: bool = False
    """Whether archives are hashed by BLAKE2b, and not by SHA-256."""
    copies: bool = False
    """Whether all of it is copied by ``cp``."""


def choose(job: Job, plan: Plan) -> How:
    """Return how the tree of a plan is sent; raise TransferError if it cannot be as it was asked for."""
    asked, streams = job.request.compress, job.request.streams
    both = [packer for packer in PACKERS if packer in job.src.tools & job.dest.tools]
    if asked in PACKERS and asked not in both:
        end, listing = (job.ends.src, job.src) if asked not in job.src.tools else (job.ends.dest, job.dest)
        there = ", ".join(sorted(listing.tools.intersection(PACKERS))) or "neither zstd nor gzip"
        raise TransferError(
            f"compress: context '{end.context.name}' has no {asked}, but {there}. Install it there, or set 'auto'."
        )
    if _can_copy(job, plan):
        return How(copies=True)
    far = not is_one_place(job) and plan.size >= _WORTH_A_LOOK and is_far(job.ends)
    shards = min(streams if streams > 1 else _FAR_SHARDS if far else 1, max(1, plan.files + plan.links))
    blake = _suits_blake(job)
    if asked != "auto":
        return How(asked if asked in PACKERS else None, shards, blake)
    # near by, compressing takes about as long as sending does, and nobody could tell how far an archive is
    return How(both[0] if both and far else None, shards, blake)


def _suits_blake(job: Job) -> bool:
    """Return whether both ends can compute BLAKE2b, and one SHA-256 only without the processor's instructions for it.

    Where it is not GNU tar that packs, the same tool says SHA-256 of what is known here (_proof.py).
    """
    if job.src.tar != "gnu" or OPENSSL in job.src.tools & job.dest.tools:
        return False
    return BLAKE in job.src.tools & job.dest.tools


def _can_copy(job: Job, plan: Plan) -> bool:
    """Return whether all of the tree can be copied, as it is, by one program to where nothing is yet."""
    if not is_one_place(job) or COPIES not in job.dest.tools or job.dest.kind is not PathKind.ABSENT:
        return False
    if job.request.rate_limit is not None:
        return False
    # two ends that a workload's name stands for may be two pods
    if job.ends.dest.context.kind is ContextKind.KUBERNETES:
        return False
    return not (job.src.excluded or job.src.matched or plan.specials or plan.joins or plan.locked)


def is_far(ends: Ends) -> bool:
    """Return whether a round trip to one of the ends takes long. Of pods that is not known: kubectl starts slowly."""
    if ends.far is None:
        remote = (end for end in (ends.src, ends.dest) if end.context.kind is ContextKind.SSH)
        ends.far = _take_long([end.context for end in remote if not ends.answers_within(end, _FAR_SECONDS)])
    return ends.far


def _take_long(contexts: Sequence[Context]) -> bool:
    different = {id(context): context for context in contexts}
    if not different:
        return False
    started = time.monotonic()
    results = run_errands([Errand("look", context, ":") for context in different.values()], _LOOK_SECONDS)
    return all(result.done for result in results) and time.monotonic() - started >= _FAR_SECONDS * _LOOK_TRIPS
