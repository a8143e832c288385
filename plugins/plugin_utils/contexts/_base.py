# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a context is: a place where commands run, reached by a local process with a clean stdin and stdout."""

from __future__ import annotations

import abc
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum


class ContextKind(Enum):
    """The kinds of place a command can run in."""

    LOCAL = "local"
    SSH = "ssh"
    KUBERNETES = "kubernetes"


def sentence(cause: str, remedy: str | None) -> str:
    """Return a cause and what to do about it, as one text."""
    if not remedy:
        return cause
    return f"{cause} {remedy}" if cause.endswith((".", "?", "!")) else f"{cause}. {remedy}"


class ContextError(Exception):
    """A context cannot be used. The text names the context, the operation, the cause and, if known, the remedy."""

    def __init__(self, context: str, operation: str, cause: str, remedy: str | None = None) -> None:
        self.context = context
        self.operation = operation
        self.cause = cause
        self.remedy = remedy
        text = f"context '{context}': {operation}: {cause}"
        super().__init__(sentence(text, remedy))


@dataclass(frozen=True)
class Diagnosis:
    """Why a transport failed, in words a user can act on."""

    cause: str
    remedy: str | None = None


@dataclass(frozen=True)
class BecomeDialog:
    """How to talk to the program that changes the user (sudo, su, doas) when a command starts through it."""

    user: str
    method: str
    success: bytes
    """What the command's own shell prints on stderr once it runs as the other user."""
    password: bytes | None
    asks: Callable[[bytes], bool]
    """Whether the output so far holds the password prompt."""
    refused: Callable[[bytes], bool]
    """Whether the output so far says that the password is wrong or missing."""


@dataclass(frozen=True)
class Launch:
    """A local process that runs a shell command in a context."""

    argv: tuple[bytes, ...]
    env: Mapping[str, str] | None = None
    """The whole environment; None for that of this process."""
    pass_fds: tuple[int, ...] = ()
    dialog: BecomeDialog | None = None
    spawn: Callable[[int, int, int], subprocess.Popen[bytes]] | None = None
    """Starts it, if that is not by its argv, with these descriptors as standard input, output and error."""
    started: Callable[[], None] = field(default=lambda: None)
    """To be called once after the process was started: hands over a password and closes what was passed."""

    def start(self, stdin: int, stdout: int, stderr: int) -> subprocess.Popen[bytes]:
        """Start it with these descriptors, in a session of its own; raise OSError if its program is not there."""
        if self.spawn is not None:
            return self.spawn(stdin, stdout, stderr)
        return subprocess.Popen(
            self.argv,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=self.env,
            pass_fds=self.pass_fds,
            start_new_session=True,
        )


class Context(abc.ABC):
    """A place where commands run."""

    kind: ContextKind

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def counts_input(self) -> bool:
        """Whether a command there has to count its input itself.

        True for every transport; a pipe to a process on this machine cannot lose its end.
        """
        return True

    @property
    def outlives_connection(self) -> bool:
        """Whether a command there goes on when its connection is lost, and is not told so."""
        return False

    def open(self, seconds: float = 60.0) -> None:  # noqa: B027 -- most kinds have nothing to prepare
        """Make whatever the launches share (an SSH master).

        Raises ContextError if the context is out of reach, or not reached in that many seconds.
        """

    def prepare(self) -> None:  # noqa: B027 -- most kinds have nothing that takes time and cannot fail
        """Begin what the next launch will need, without waiting for it; what fails is told when it is needed.

        Who gives credentials may be asked.
        """

    @property
    def unnamed_pod(self) -> str | None:
        """What its pod would be called where nobody named one: there may be such a pod, or only a cluster."""
        return None

    @property
    def server(self) -> str | None:
        """Tells contexts apart that a server may turn away if too many log in at once; None where none does."""
        return None

    def open_once(self, seconds: float = 60.0) -> None:
        """Make what a single launch of a command without secrets needs, instead of what many share.

        Raises as ``open`` does.
        """
        self.open(seconds)

    @abc.abstractmethod
    def launch(self, command: str) -> Launch:
        """Return the process that runs ``command``, a line for a POSIX shell, in this context."""

    def launch_argv(self, argv: Sequence[str]) -> Launch:
        """Return the process that runs a program in this context without a shell; raise ContextError if it cannot."""
        raise ContextError(
            self.name,
            f"running {argv[0]} without a shell",
            f"a context of kind {self.kind.value} always has a shell",
            "Leave 'proof' out: the proof by marker is the stronger one.",
        )

    def in_pod(self, pod: str | None, container: str | None) -> Context:
        """Return this context with another pod or container; raise ContextError where there are none."""
        raise ContextError(
            self.name,
            f"choosing the pod {pod}" if pod else f"choosing the container {container}",
            f"a context of kind {self.kind.value} has no pods",
            "Leave 'pod' and 'container' out, or name a context of kind kubernetes.",
        )

    def for_kubectl(self) -> Context:
        """Return this machine as the place of kubectl commands against the context's cluster.

        Raises ContextError where there is no cluster.
        """
        raise ContextError(
            self.name,
            "running kubectl",
            f"a context of kind {self.kind.value} has no cluster",
            "Name a context of kind kubernetes, or write the whole line as 'command'.",
        )

    @property
    def program(self) -> tuple[str, ...]:
        """The words that stand before those of a step, where a context runs one program only."""
        return ()

    def diagnose(self, output: str, status: int | None) -> Diagnosis:
        """Explain a transport that ended with ``status`` before the command ran, from what it printed."""
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        return Diagnosis(lines[-1] if lines else f"the connection ended with status {status} and no message")

    def command_stderr(self, text: str) -> str:
        """Return what the command printed on stderr, without the transport's own remarks."""
        return text

    def suspect(self) -> None:  # noqa: B027 -- most kinds look for nothing
        """Forget what was found out about the place: something failed there, and it may be another one by now."""

    def close(self) -> None:  # noqa: B027 -- most kinds hold nothing
        """Free what launches left on this machine; further launches are not allowed."""
