# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs parts of the multinic domain on a test node, and kills them at any of their effects.

This file is the test's side and the node's side. On the node it reads requests, one a line, and forks for
each of them, so that Python and its modules start only once. With ``kill_at`` the fork kills itself just
before the n-th thing that it would have changed (a file, a link, a process), as told by Python's audit events.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ansible_collections.manifold.core.plugins.module_utils.multinic import (
    _configure,
    _guarded,
    _guards,
    _inspect,
    _state,
    _verify,
)
from ansible_collections.manifold.core.plugins.module_utils.multinic._configure import Request
from ansible_collections.manifold.core.plugins.module_utils.multinic._errors import MultinicError
from ansible_collections.manifold.core.plugins.module_utils.multinic._files import remove, write
from ansible_collections.manifold.core.plugins.module_utils.multinic._lock import one_run
from ansible_collections.manifold.core.plugins.module_utils.multinic._plan import Policy
from ansible_collections.manifold.core.plugins.module_utils.multinic._report import FailOn
from ansible_collections.manifold.core.plugins.module_utils.multinic._restore import put_back
from ansible_collections.manifold.core.plugins.module_utils.multinic._snapshot import from_json, take, to_json
from ansible_collections.manifold.core.plugins.module_utils.multinic._system import LocalSystem

from testbed.net.node import Node
from testbed.net.systemd import Systemd

KILLED = -signal.SIGKILL
_COLLECTIONS = str(Path(_guarded.__file__).parents[6])


class Remote:
    """The node's side, seen from the test."""

    def __init__(self, node: Node | Systemd) -> None:
        self._process = subprocess.Popen(
            node.argv([sys.executable, "-m", "integration.on_node"]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**node.environment(), "PYTHONPATH": os.pathsep.join([_COLLECTIONS, *sys.path])},
        )

    def call(self, name: str, kill_at: int | None = None, **arguments: Any) -> Any:
        """Run a scenario and return what it returned; KILLED if it was killed."""
        assert self._process.stdin is not None and self._process.stdout is not None
        request = {"scenario": name, "kill_at": kill_at, "arguments": arguments}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert answer["status"] in (0, KILLED), answer
        return KILLED if answer["status"] == KILLED else answer["result"]

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


SYSTEM = LocalSystem()


def change(
    guard: str,
    seconds: float,
    indexes: list[int],
    files: dict[str, str | None],
    commands: list[list[str]],
    end: str = "disarm",
    until: float = 0,
) -> dict[str, Any]:
    """Make a change as a run does.

    :param files: new content by path; None removes.
    :param end: ``disarm``, ``restore``, ``die``, ``late``: go on with the commands after the guard has gone off,
        or ``half``: confirm after a guard has begun to restore and was killed.
    :param until: seconds before the deadline at which to end it.
    """
    recovered = _guarded.recover(SYSTEM)
    snapshot = take(SYSTEM, indexes, files, ())
    armed = _guarded.arm(snapshot, _guards.choose(SYSTEM, guard), seconds)
    result: dict[str, Any] = {"nonce": snapshot.nonce, "kind": armed.kind, "recovered": recovered and recovered.by}
    if end == "late":
        while not _fenced(armed):
            time.sleep(0.01)
    for path, content in files.items():
        if content is None:
            remove(Path(path))
        else:
            write(Path(path), content.encode())
    for command in commands:
        SYSTEM.run(command)
    if until:
        time.sleep(max(0.0, armed.remaining() - until))
    try:
        if end == "restore":
            restored = armed.restore()
            return {**result, "outcome": "restored", "problems": restored.problems}
        if end == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if end == "half":
            folder = SYSTEM.path(_state.FOLDER)
            (folder / "snapshot.json").rename(folder / "restoring.json")
        armed.disarm()
    except MultinicError as exc:
        return {**result, "outcome": "restored", "error": str(exc)}
    return {**result, "outcome": "kept"}


def _fenced(armed: _guarded.Armed) -> bool:
    try:
        armed.fence()
    except MultinicError:
        return True
    return False


def remember(path: str, indexes: list[int], files: list[str]) -> None:
    """Keep what the node is like."""
    Path(path).write_bytes(to_json(take(SYSTEM, indexes, files, ())))


def reset(path: str) -> tuple[str, ...]:
    """Make the node what it was like."""
    return put_back(SYSTEM, from_json(Path(path).read_bytes()))


def recover() -> dict[str, Any] | None:
    """What the next run does first."""
    restored = _guarded.recover(SYSTEM)
    return None if restored is None else {"by": restored.by, "problems": restored.problems}


def verify(before: dict[str, Any], commands: list[list[str]], seconds: float) -> dict[str, Any]:
    """Look what works, run commands, look again."""
    working = _verify.working(_verify.checks(SYSTEM, _verify.Verify(**before)), seconds)
    for command in commands:
        SYSTEM.checked(command)
    began = time.monotonic()
    failed = _verify.failed(working, seconds)
    return {"working": [check.name for check in working], "failed": failed, "took": time.monotonic() - began}


def locked(wait: float) -> str | None:
    """Take the lock of a run; return the error if it is held."""
    try:
        with one_run(SYSTEM, wait):
            return None
    except MultinicError as exc:
        return str(exc)


def locked_and_killed() -> None:
    """Die with the lock of a run."""
    with one_run(SYSTEM):
        os.kill(os.getpid(), signal.SIGKILL)


def count(scenario: str, **arguments: Any) -> int:
    """Return how many things a scenario changes outside of it, until it dies or ends."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        sys.addaudithook(lambda event, values: _is_effect(event, values) and os.write(writing, b".") and None)
        SCENARIOS[scenario](**arguments)
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as stream:
        return len(stream.read())


def configure(interfaces: list[object], **options: Any) -> dict[str, Any]:
    """Configure the node, as the module does.

    :param options: of ``Request``, ``Policy`` and ``Verify``, and ``fail_on``.
    """
    policy = Policy(options.pop("allow_up", False), options.pop("purge", True))
    verify = _verify.Verify(**options.pop("verify", {}))
    fail_on = FailOn(options.pop("fail_on", "any"))
    options["connected"] = tuple(options.pop("connected", ()))
    request = Request(interfaces, policy=policy, verify=verify, **options)
    try:
        report = _configure.configure(SYSTEM, request)
    except MultinicError as exc:
        return {"error": str(exc)}
    warnings, failure = list(report.warnings), report.failure(fail_on)
    return {**report.as_result(), "diff": list(report.diff), "warnings": warnings, "failure": failure}


def inspect() -> dict[str, Any]:
    """Look at the node, as the module does."""
    return _inspect.inspect(SYSTEM).as_result()


_SCENARIOS = (change, configure, inspect, remember, reset, recover, verify, locked, locked_and_killed, count)
SCENARIOS: dict[str, Callable[..., Any]] = {function.__name__: function for function in _SCENARIOS}


def die_at(number: int) -> None:
    """Kill this process just before the n-th change that it makes to anything outside of it."""
    left = number

    def watch(event: str, values: tuple[Any, ...]) -> None:
        nonlocal left
        if _is_effect(event, values):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


def _is_effect(event: str, values: tuple[Any, ...]) -> bool:
    if event == "open":
        return isinstance(values[2], int) and bool(values[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    if event == "subprocess.Popen":
        return "-json" not in values[1]  # which only looks
    return event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.fork")


def _serve() -> Iterator[dict[str, Any]]:
    for line in sys.stdin:
        request = json.loads(line)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BrokenPipeError):
                os.close(reading)
                if request["kill_at"] is not None:
                    die_at(request["kill_at"])
                result = _run(request["scenario"], request["arguments"])
                os.write(writing, json.dumps(result).encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as stream:
            result = stream.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        yield {"status": status, "result": json.loads(result or b"null")}


def _run(scenario: str, arguments: dict[str, Any]) -> Any:
    try:
        return SCENARIOS[scenario](**arguments)
    except MultinicError as exc:
        return {"error": str(exc)}


if __name__ == "__main__":
    for answer in _serve():
        print(json.dumps(answer), flush=True)
