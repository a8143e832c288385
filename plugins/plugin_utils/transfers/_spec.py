# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a transfer is asked to do, and what became of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from ..operations._progress import Meter
from ..streams._result import StepResult
from ._endpoint import Endpoint
from ._filter import Filter

MOST_STREAMS = 32


@dataclass(frozen=True)
class Request:
    """A transfer as it was asked for."""

    src: Endpoint
    dest: Endpoint
    filter: Filter = field(default_factory=Filter)
    checksum: bool = False
    """Whether files are compared by content instead of by size and time."""
    delete: bool = False
    """Whether what the source does not have is removed from the destination."""
    allow_empty: bool = False
    """Whether ``delete`` may empty the destination."""
    create_parents: bool = False
    resume: bool = True
    """Whether what arrived of a large file stays when its transfer is cut, and is gone on with."""
    streams: int = 1
    """How many parts of a large file, or archives of a tree, are sent side by side."""
    compress: str = "auto"
    """What compresses the archives of a tree: ``zstd``, ``gzip``, ``none``, or what suits it."""
    check_mode: bool = False
    diff: bool = False
    connect_timeout: float = 60.0
    """Seconds in which a context has to be ready, each time."""
    timeout: float | None = None
    """Seconds for all of it, with what is tried again; None for no limit."""
    stall_timeout: float | None = None
    """Seconds in which not a byte moves before what sends is ended; None for no limit."""
    rate_limit: int | None = None
    """Bytes a second; None for no limit."""
    retries: int = 0
    """How often a transfer is tried again whose connection was lost, or whose stream was cut or stalled."""
    retry_delay: float = 5.0
    """Seconds before the first time; each further one waits twice as long."""
    meter: Meter | None = None


@dataclass
class Result:
    """A transfer that ended; in check mode: what it would have done."""

    operation_id: str
    src: str
    dest: str
    """The file or directory that was written, with its context."""
    changed: bool = False
    files: int = 0
    bytes: int = 0
    resumed: int = 0
    """Bytes of a large file that an earlier transfer left, and that were proven."""
    streams: int = 1
    """How many parts of a file, or archives of a tree, were sent side by side."""
    compress: str | None = None
    """What compressed the archives of a tree."""
    links: int = 0
    directories: int = 0
    attributes: int = 0
    deleted: int = 0
    unchanged: int = 0
    excluded: int = 0
    special: tuple[str, ...] = ()
    """Special files, at most so many."""
    unstable: tuple[str, ...] = ()
    """What changed in the source while it was read, and was left as it was at the destination."""
    checksum: str | None = None
    """The SHA-256 of the file, where one file was sent."""
    retries: int = 0
    """How often it was tried again."""
    steps: tuple[StepResult, ...] = ()
    """What ran at the ends."""
    duration_ms: int = 0
    failure: str | None = None
    before: str = ""
    after: str = ""
    """What was done, line by line, if that was asked for."""
    warnings: tuple[str, ...] = ()

    def as_task_result(self, diff: bool) -> dict[str, Any]:
        """Return the dictionary that Ansible registers."""
        names = ("operation_id", "duration_ms", "changed", "src", "dest", "files", "bytes", "links", "directories")
        result: dict[str, Any] = {name: getattr(self, name) for name in names}
        result |= {name: getattr(self, name) for name in ("attributes", "deleted", "unchanged", "excluded")}
        result |= {"resumed": self.resumed, "streams": self.streams, "compress": self.compress or "none"}
        result |= {"special": list(self.special), "unstable": list(self.unstable)}
        result |= {"retries": self.retries, "steps": [asdict(step) for step in self.steps]}
        if self.checksum is not None:
            result["checksum"] = self.checksum
        result["rate"] = round(self.bytes * 1000 / self.duration_ms) if self.duration_ms else 0
        result["failed"] = self.failure is not None
        if self.failure is not None:
            result["msg"] = self.failure
        if self.warnings:
            result["warnings"] = list(self.warnings)
        if diff:
            header = {"before_header": self.dest, "after_header": self.dest}
            result["diff"] = {**header, "before": self.before, "after": self.after}
        return result
