# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands in a container by way of runc, with plain pipes (or a terminal) as their streams."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import tempfile
import tty
from io import FileIO
from pathlib import Path

from testbed.kube.backend import BackendError, ExecRequest
from testbed.kube.cri.containerd import NAMESPACE
from testbed.kube.cri.layout import find_tool

_START_SECONDS = 30.0


class _Terminal(FileIO):
    """The master side of a pseudo-terminal; reads end with b"" once the other side is closed."""

    def read(self, size: int | None = -1) -> bytes:
        try:
            # One read(2): a terminal has no length, so waiting for ``size`` bytes could last forever.
            return os.read(self.fileno(), 65536 if size is None or size < 0 else size)
        except OSError:  # EIO is how Linux says that no slave is open any more
            return b""


def start(runc_root: Path, container: str, request: ExecRequest) -> subprocess.Popen[bytes]:
    """Run a command in a running container; the process returned is runc, which passes on the exit code.

    :raises BackendError: the command cannot be started; runc's own exit code of 255 would look like the command's.
    """
    with tempfile.TemporaryDirectory(dir=runc_root, prefix="exec-") as directory:
        pid_file, log = Path(directory) / "pid", Path(directory) / "log"
        argv = [str(find_tool("runc")), "--root", str(runc_root / NAMESPACE), "--log", str(log)]
        argv += ["--log-format", "json", "exec", "--pid-file", str(pid_file)]
        if request.tty:
            process = _start_with_terminal([*argv, "--tty", container, *request.argv])
        else:
            process = _start_with_pipes([*argv, container, *request.argv], request)
        if not _wait_started(process, pid_file):
            _close_streams(process)
            raise BackendError(_failure(log) or f"runc exec ended with {process.returncode}")
        return process


def kill(runc_root: Path, container: str) -> None:
    """Send SIGKILL to the first process of a container; one that has ended is let be."""
    argv = [str(find_tool("runc")), "--root", str(runc_root / NAMESPACE), "kill", container, "KILL"]
    subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)


def _start_with_pipes(argv: list[str], request: ExecRequest) -> subprocess.Popen[bytes]:
    def stream(wanted: bool) -> int:
        return subprocess.PIPE if wanted else subprocess.DEVNULL

    return subprocess.Popen(
        argv,
        bufsize=0,
        stdin=stream(request.stdin),
        stdout=stream(request.stdout),
        stderr=stream(request.stderr),
        start_new_session=True,
    )


def _start_with_terminal(argv: list[str]) -> subprocess.Popen[bytes]:
    """Start runc on a pseudo-terminal of its own; it follows SIGWINCH, after TIOCSWINSZ on ``stdin``."""
    master, slave = os.openpty()
    # The terminal inside does the line editing and the echo. runc would set the outer one to raw, but late.
    tty.setraw(slave)
    try:
        process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    except BaseException:
        os.close(master)
        raise
    finally:
        os.close(slave)
    process.stdin = _Terminal(os.dup(master), "wb")
    process.stdout = _Terminal(master, "rb")
    return process


def _wait_started(process: subprocess.Popen[bytes], pid_file: Path) -> bool:
    """Wait until runc has started the command (it then writes the pid file) or has ended without."""
    poll = select.poll()
    pidfd = os.pidfd_open(process.pid)
    poll.register(pidfd, select.POLLIN)
    try:
        for _tick in range(int(_START_SECONDS * 500)):
            if pid_file.exists():
                return True
            if poll.poll(2):
                process.wait()
                return pid_file.exists()
    finally:
        os.close(pidfd)
    process.kill()
    process.wait()
    return False


def _close_streams(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def _failure(log: Path) -> str:
    """Return the last error in runc's log, in the words that containerd uses for it."""
    with contextlib.suppress(OSError, ValueError):
        entries = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        errors = [entry["msg"] for entry in entries if entry.get("level") == "error"]
        if errors:
            return f"OCI runtime exec failed: {errors[-1]}"
    return ""
