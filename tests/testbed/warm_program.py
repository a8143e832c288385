# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program that has loaded what Ansible imports before it reads its configuration, and forks for each run.

It is started by :class:`testbed.warm.WarmAnsible` with a socket as descriptor 0; each message is a request and holds
the run's stdin, stdout and stderr and a pipe to which first the run's pid and then its end is written. The child
becomes what ``ansible-playbook`` would be: a session of its own, its environment, its arguments (also in ``/proc``,
where the tests look for marks and for secrets), its signals; nothing of Ansible's configuration is read before.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":  # this folder is no place to import from
    del sys.path[0]

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path

EARLY = (
    "ansible.config.manager",
    "ansible.module_utils._internal._datatag",
    "ansible.module_utils._internal._messages",
    "asyncio",
    "cryptography.hazmat.primitives.serialization",
    "http.client",
    "importlib.metadata",
    "importlib.resources",
    "jinja2.nativetypes",
    "jinja2.sandbox",
    "logging.handlers",
    "multiprocessing.connection",
    "multiprocessing.queues",
    "packaging.version",
    "paramiko",
    "unittest.mock",
    "urllib.request",
    "yaml",
)
"""What a run of either core imports and what reads no setting of Ansible's when it is imported."""
CONFIGURED = "ansible.constants"
"""Reads environment and configuration when it is imported: never before the fork."""


@dataclass(frozen=True)
class Request:
    """A run: what is executed, where, in which environment, and its descriptors."""

    argv: list[str]
    cwd: str
    environment: dict[str, str]
    descriptors: list[int]


def load() -> None:
    """Import what may be imported early; what a core does not have is left out."""
    for name in EARLY:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    if CONFIGURED in sys.modules:
        raise RuntimeError(f"{CONFIGURED} was imported before the run that it is to be configured for")
    gc.freeze()


def serve(channel: socket.socket) -> Request | None:
    """Fork for each request; return the request in the child, and None in the server once nobody asks any more."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.signal(signal.SIGCHLD, lambda *_signal: None)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    runs: dict[int, int] = {}
    while True:
        ready, _writable, _exceptional = select.select([channel.fileno(), reading], [], [])
        if reading in ready:
            os.read(reading, 4096)
            _tell_ends(runs)
        if channel.fileno() in ready:
            message, descriptors, _flags, _address = socket.recv_fds(channel, 1 << 20, 4)
            if not message:
                return None
            pid = os.fork()
            if pid == 0:
                return Request(**json.loads(message), descriptors=descriptors)
            for descriptor in descriptors[:3]:
                os.close(descriptor)
            runs[pid] = descriptors[3]


def _tell_ends(runs: dict[int, int]) -> None:
    while runs:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        status_pipe = runs.pop(pid)
        with contextlib.suppress(BrokenPipeError):  # nobody wants to know
            os.write(status_pipe, f"{os.waitstatus_to_exitcode(status)}\n".encode())
        os.close(status_pipe)


def become(request: Request) -> None:
    """Make this forked process the one that was asked for."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    *standard, status = request.descriptors
    for number, descriptor in enumerate(standard):
        os.dup2(descriptor, number)
    os.chdir(request.cwd)
    os.environ.clear()  # before what its C strings are is overwritten
    _show([sys.executable, *request.argv], request.environment)
    os.environ.update(request.environment)
    time.tzset()
    os.write(status, f"{os.getpid()}\n".encode())
    os.closerange(3, 1 + max(map(int, os.listdir("/proc/self/fd"))))  # noqa: PTH208 (names, not paths)


def _show(argv: list[str], environment: dict[str, str]) -> None:
    """Let ``/proc`` show arguments, environment and name of the run; the server started with room for them."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    starts_and_ends = [int(field) for field in fields[45:49]]
    words = argv, [f"{name}={value}" for name, value in environment.items()]
    with Path("/proc/self/mem").open("r+b", buffering=0) as memory:
        for texts, start, end in zip(words, starts_and_ends[::2], starts_and_ends[1::2], strict=True):
            block = b"".join(os.fsencode(text) + b"\0" for text in texts)
            if len(block) > end - start:
                raise RuntimeError("the run needs more room for its arguments or environment than was set aside")
            memory.seek(start)
            memory.write(block.ljust(end - start, b"\0"))
    Path("/proc/self/comm").write_text(Path(argv[1]).name[:15])


def main() -> None:
    """Serve until the socket closes; in a child, run the program and end as it ends."""
    channel = socket.socket(fileno=os.dup(0))
    load()
    request = serve(channel)
    if request is None:
        return
    channel.detach()
    become(request)
    sys.argv = request.argv
    sys.path.insert(0, str(Path(request.argv[0]).parent))
    runpy.run_path(request.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
