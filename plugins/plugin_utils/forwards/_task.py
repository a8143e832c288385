# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tasks about forwards do, and what they return; nothing here knows Ansible."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from typing import Any

from ..contexts._base import Context
from ._errors import ForwardError
from ._job import Job
from ._lease import open_play
from ._listeners import open_listeners
from ._parse import check_name, parse_spec
from ._spec import Direction, ForwardSpec, Lifetime
from ._start import differs, ensure, find, find_all, stop
from ._state import ForwardFolder
from ._status import ForwardStatus, join_address
from ._ways import check_kind, way_to

ABSENT, RESTARTED = "absent", "restarted"

Resolve = Callable[[], Context]


def apply(arguments: Mapping[str, Any], resolve: Resolve, folder: ForwardFolder, *, check_mode: bool) -> dict[str, Any]:
    """Do what the options of a task ask for, and return its result; raise ForwardError or ContextError."""
    check_name(arguments["name"])
    if arguments["state"] == ABSENT:
        return _absent(arguments["name"], folder, check_mode=check_mode)
    if arguments["context"] is None:
        raise ForwardError("context: it is missing. Name the context that leads to the target.")
    context = resolve()
    try:
        check_kind(context)
        spec = parse_spec(arguments, context.kind, context.name)
        job = Job(spec, context.kind.value, way_to(context, spec), str(folder.path))
    finally:
        context.close()
    restart = arguments["state"] == RESTARTED
    return _foreseen(folder, job, restart=restart) if check_mode else _present(folder, job, restart=restart)


def told(folder: ForwardFolder, name: str | None) -> list[dict[str, Any]]:
    """Return how forwards are: one, or all of them."""
    if name is None:
        return [status.as_info() for status in find_all(folder)]
    status = find(folder, check_name(name))
    return [] if status is None else [status.as_info()]


def address_of(folder: ForwardFolder, name: str, port: str | None) -> str:
    """Return where a forward listens, as host:port: its first port, or that which leads to ``port`` of the target.

    Raises ForwardError if there is none.
    """
    status = find(folder, check_name(name))
    if status is None:
        known = folder.names()
        others = f"There are {', '.join(known)}." if known else "There is none."
        raise ForwardError(f"forward '{name}': it does not run. {others} Start it with manifold.core.port_forward.")
    if status.direction == Direction.REMOTE.value:
        raise ForwardError(f"forward '{name}': it listens at the far end ({status.context}), and not on this machine")
    for each in status.ports:
        if port is None or str(each.target) == port:
            return status.address(each.listen)
    if not status.ports:
        raise ForwardError(f"forward '{name}': it is not ready yet")
    targets = ", ".join(str(each.target) for each in status.ports)
    raise ForwardError(f"forward '{name}': it does not lead to port {port} of {status.target}, but to {targets}")


def _absent(name: str, folder: ForwardFolder, *, check_mode: bool) -> dict[str, Any]:
    folder.make()
    before = find(folder, name) if check_mode else stop(folder, name)
    return {
        "name": name,
        "state": ABSENT,
        "changed": before is not None,
        "diff": {"before": _outline(before), "after": ""},
    }


def _present(folder: ForwardFolder, job: Job, *, restart: bool) -> dict[str, Any]:
    folder.make()
    owners = (open_play(),) if job.spec.lifetime is Lifetime.PLAY else ()
    try:
        outcome = ensure(folder, _for(job, owners), restart=restart)
    finally:
        for fd in owners:
            with contextlib.suppress(OSError):
                os.close(fd)
    return {
        **outcome.status.as_result(),
        "changed": outcome.changed,
        "diff": {"before": _outline(outcome.before), "after": _outline(outcome.status)},
    }


def _for(job: Job, owners: tuple[int, ...]) -> Job:
    return Job(job.spec, job.kind, job.way, job.directory, owners)


def _foreseen(folder: ForwardFolder, job: Job, *, restart: bool) -> dict[str, Any]:
    """Return what would become of it; a port that is taken is found here already."""
    found, differing = differs(folder, job)
    if found is None and job.spec.direction is Direction.LOCAL:
        for listener in open_listeners(job.spec):
            listener.close()
    changed = restart or differing
    result = found.as_result() if found is not None and not changed else {"name": job.spec.name, "state": ABSENT}
    after = _asked(job.spec) if changed else _outline(found)
    return {**result, "changed": changed, "diff": {"before": _outline(found), "after": after}}


def _outline(status: ForwardStatus | None) -> str:
    if status is None:
        return ""
    ports = [f"{join_address(status.bind, port.listen)} -> {port.target}" for port in status.ports]
    return _lines(status.name, status.context, status.target, status.direction, ports, status.lifetime)


def _asked(spec: ForwardSpec) -> str:
    ports = [f"{join_address(spec.bind, pair.listen)} -> {pair.target}" for pair in spec.ports]
    return _lines(spec.name, spec.context, spec.target, spec.direction.value, ports, spec.lifetime.value)


def _lines(name: str, context: str, target: str, direction: str, ports: list[str], lifetime: str) -> str:
    head = [f"name: {name}", f"context: {context}", f"target: {target}", f"direction: {direction}"]
    return "\n".join([*head, f"lifetime: {lifetime}", *(f"port: {port}" for port in ports)]) + "\n"
