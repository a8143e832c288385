# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the unit tests share: shells to run scripts in, transports that lie, and a look at what is left running."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.manifold.core.plugins.plugin_utils.contexts._base import Context, ContextKind, Launch
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._local import LocalContext
from ansible_collections.manifold.core.plugins.plugin_utils.streams import _shell
from ansible_collections.manifold.core.plugins.plugin_utils.streams._marker import (
    MARK_LENGTH,
    Mark,
    new_nonce,
    parse_mark,
)
from ansible_collections.manifold.core.plugins.plugin_utils.streams._pipeline import Options, run_pipeline
from ansible_collections.manifold.core.plugins.plugin_utils.streams._result import PipelineResult
from ansible_collections.manifold.core.plugins.plugin_utils.streams._spec import parse_steps

PATIENCE = 20.0
"""Seconds after which a test that waits for something fails; never how long it takes."""

NONCE = new_nonce()
"""Of this process only: what ends a stage finds it by its number, wherever it runs."""
EVERY_BYTE = bytes(range(256))


def encode_mark(nonce: str, rc: int, count: str) -> bytes:
    """Return a mark as a stage writes it."""
    return f"\x1emanifold {nonce} {rc:03d} {count:>20}\n".encode()


# -- processes ---------------------------------------------------------------------------------------------------------


def processes_with(text: str) -> list[int]:
    """Return the processes whose environment or arguments hold ``text``, without this one."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        for name in ("environ", "cmdline"):
            with contextlib.suppress(OSError):
                if text.encode() in (folder / name).read_bytes():
                    found.append(int(folder.name))
                    break
    return found


def ends(pid: int, seconds: float = PATIENCE) -> bool:
    """Wait until a process ends and return whether it did."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], seconds)[0])
    finally:
        os.close(fd)


def leftovers(text: str, seconds: float = PATIENCE) -> list[str]:
    """Return the command lines of the processes that hold ``text`` and do not end; they are killed."""
    deadline = time.monotonic() + seconds
    left = []
    for pid in processes_with(text):
        if not ends(pid, max(0.0, deadline - time.monotonic())):
            with contextlib.suppress(OSError):
                left.append(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    return left


def temporaries(folder: Path) -> list[Path]:
    """Return what uncommitted sinks left in a folder."""
    return list(folder.rglob("*.part"))


# -- shells ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shell:
    """A shell with the tools on its PATH."""

    name: str
    path: str
    search: str
    """Its PATH."""

    def start(self, nonce: str, script: str, env: Mapping[str, str] | None = None) -> ScriptRun:
        """Start a stage's script the way a context does, up to its readiness."""
        return ScriptRun(self, nonce, script, env or {})

    def run(self, line: str, *args: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run a line to its end."""
        return subprocess.run(
            [self.path, "-c", line, self.name, *args],
            input=data,
            capture_output=True,
            env=self.environment(),
            check=False,
        )

    def environment(self) -> dict[str, str]:
        """Return the environment of its processes."""
        return {**os.environ, "PATH": self.search}


@dataclass(frozen=True)
class Finished:
    """What a stage's script did."""

    data: bytes
    mark: Mark | None
    status: int
    stderr: str


class ScriptRun:
    """A stage's script that runs for a test, which plays the controller."""

    def __init__(self, shell: Shell, nonce: str, script: str, env: Mapping[str, str]) -> None:
        self.nonce = nonce
        line = _shell.bootstrap(nonce).replace("/bin/sh", shell.path)
        self.process = subprocess.Popen(
            [shell.path, "-c", line],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**shell.environment(), **env},
            start_new_session=True,
        )
        assert self.process.stdin and self.process.stdout and self.process.stderr
        self.stdin, self.stdout, self.stderr = self.process.stdin, self.process.stdout, self.process.stderr
        self.stdin.write(_shell.preamble(script, nonce))
        self.refusal: str | None = None
        self.leader = self.group = 0
        self._negotiate()

    def _negotiate(self) -> None:
        said, match = "", None
        while match is None:
            more = os.read(self.stderr.fileno(), 1).decode()
            assert more, f"the script neither was ready nor refused: {said!r}"
            said += more
            match = re.search(rf"{self.nonce} (?:ready (\d+) (\d+)|refuse (.*))\n", said)
        self.notes = re.findall(rf"{self.nonce} note (\S+) (.*)\n", said)
        if match[3] is None:
            self.leader, self.group = int(match[1]), int(match[2])
        else:
            self.refusal = match[3]

    def go(self) -> None:
        """Let the command run."""
        self.stdin.write(_shell.go())

    def read_line(self) -> bytes:
        """Return the next line of its output."""
        line = b""
        while not line.endswith(b"\n"):
            more = os.read(self.stdout.fileno(), 1)
            assert more, f"the output ended within a line: {line!r}"
            line += more
        return line

    def finish(self, data: bytes = b"") -> Finished:
        """Give it ``data`` and the end of its input, and return what it wrote from here on."""
        out, err = self.process.communicate(data, timeout=PATIENCE)
        return self._finished(out, err)

    def finish_source(self) -> Finished:
        """Return what it writes to its end while its input stays open, as a source's does."""
        out = b"".join(iter(lambda: os.read(self.stdout.fileno(), 65536), b""))
        err = self.stderr.read()
        self.process.wait(PATIENCE)
        self.close()
        return self._finished(out, err)

    def _finished(self, out: bytes, err: bytes) -> Finished:
        mark = parse_mark(out[-MARK_LENGTH:], self.nonce)
        data = out[:-MARK_LENGTH] if mark else out
        return Finished(data, mark, self.process.returncode, err.decode(errors="replace"))

    def close(self) -> None:
        """End what still runs and close the descriptors."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for stream in (self.stdin, self.stdout, self.stderr):
            stream.close()


# -- contexts ----------------------------------------------------------------------------------------------------------

HONEST = 'exec /bin/sh -c "$1"'
"""A transport as a line for ``sh -c``: ``$1`` is the command it carries."""

_CUT_INPUT = r"""
import os, re, subprocess, sys
count, then, command = int(sys.argv[1]), sys.argv[2], sys.argv[3]
nonce = re.search("[0-9a-f]{32}", command)[0].encode()
child = subprocess.Popen(["/bin/sh", "-c", command], stdin=subprocess.PIPE, bufsize=0)
start = b""
while not start.endswith(nonce + b"\ngo\n"):
    byte = os.read(0, 1)
    if not byte:
        break
    start += byte
    child.stdin.write(byte)
while count and (data := os.read(0, min(count, 65536))):
    child.stdin.write(data)
    count -= len(data)
if then == "hole":
    os.read(0, 1)
    while data := os.read(0, 65536):
        child.stdin.write(data)
child.stdin.close()
if then == "close":
    os.close(0)
while then == "drain" and os.read(0, 65536):
    pass
child.wait()
"""


def cuts_input(count: int, then: str) -> Sequence[str]:
    """A transport that loses its input after ``count`` bytes of data and exits 0.

    Then it closes its own input ("close"), goes on reading without passing on ("drain"), or has lost one byte only
    ("hole").
    """
    return (sys.executable, "-S", "-E", "-c", _CUT_INPUT, str(count), then)


def cuts_output(count: int, then: str) -> Sequence[str]:
    """A transport that loses its output after ``count`` bytes and exits 0; ``then`` is "close" or "drain"."""
    rest = "; cat >/dev/null" if then == "drain" else ""
    return ("/bin/sh", "-c", f'/bin/sh -c "$1" | {{ head -c {count}{rest}; }}; exit 0', "transport")


class FakeContext(Context):
    """This machine by way of a transport that a test controls; what is not said otherwise is honest.

    Commands count their input, as they do on every transport that may lose the end of it.
    """

    kind = ContextKind.SSH

    def __init__(self, name: str, *transports: Sequence[str], counts_input: bool = True) -> None:
        super().__init__(name)
        self._transports = list(transports)
        self._counts_input = counts_input
        self.closed = 0
        self.launched: list[str] = []

    @property
    def counts_input(self) -> bool:
        return self._counts_input

    def launch(self, command: str) -> Launch:
        self.launched.append(command)
        # The stage is launched first; what ends or commits it comes after.
        transport = self._transports.pop(0) if self._transports else ("/bin/sh", "-c", HONEST, "transport")
        return Launch(argv=(*(word.encode() for word in transport), command.encode()))

    def close(self) -> None:
        self.closed += 1


@dataclass
class Pipelines:
    """Runs pipelines for a test and sees that nothing of them is left on this machine."""

    contexts: dict[str | None, Context] = field(default_factory=lambda: {None: LocalContext("local")})

    def add(self, context: Context) -> Context:
        """Make a context known by its name."""
        self.contexts[context.name] = context
        return context

    def resolve(self, name: str | None, _become: bool | None, _become_user: str | None) -> Context:
        """Return a context that was added."""
        return self.contexts[name]

    def run(self, *steps: Mapping[str, Any], **options: Any) -> PipelineResult:
        """Run a pipeline; every descriptor it opened must be closed again."""
        before = _descriptors()
        result = run_pipeline(parse_steps(steps), self.resolve, Options(**options))
        assert not _descriptors() - before, "descriptors were left open"
        return result


def _descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def command(line: str, context: str | None = None, **more: Any) -> dict[str, Any]:
    """Return a step that runs a line."""
    return {"command": line, "context": context, **more}


def sink(dest: Path, context: str | None = None, **more: Any) -> dict[str, Any]:
    """Return a step that writes a file; its name is ``sink``."""
    return {"name": "sink", "dest": str(dest), "context": context, **more}


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that has no event of its own; fail if it does not come true."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"this did not happen: {what}"
        time.sleep(0.01)
