# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clean-up that happens even when the process that owed it was killed.

A test process that is SIGKILLed runs no ``finally``. So before it starts anything that would outlive
it, it starts a *reaper*: a small process in a session of its own that watches its owner through a
pidfd and a pipe. Every clean-up is written to a journal in the work directory *before* the thing it
cleans comes to be. When the owner closes or dies, the reaper runs what is left in the journal, last
entry first. Should the reaper be killed too, the next :meth:`Reaper.in_new_workdir` on this machine finds
the journal of the dead owner and runs it.

This file is also the program of the reaper process; it therefore imports the standard library only.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

JOURNAL = "reaper.journal"
LOCK = "reaper.lock"
LOG = "reaper.log"
TERM_GRACE_SECONDS = 2.0
COMMAND_TIMEOUT_SECONDS = 60.0
_CLOSE = b"close\n"
_READY = b"ready\n"


class ReaperError(Exception):
    """A clean-up failed; the work directory, with the journal and the log, was left in place."""


class _Stat(NamedTuple):
    state: str
    session: int
    start_time: int


def _stat(pid: int) -> _Stat | None:
    """Return fields of proc(5) ``/proc/PID/stat``, or None if there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command name may hold blanks and parentheses; what follows the last ")" is plain.
    fields = text[text.rindex(")") + 2 :].split()
    return _Stat(state=fields[0], session=int(fields[3]), start_time=int(fields[19]))


def process_ids() -> list[int]:
    """Return the ids of all processes on this machine."""
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def end_processes(pids: Sequence[int], grace_seconds: float = TERM_GRACE_SECONDS) -> None:
    """Send SIGTERM, then SIGKILL to those still there after the grace; return when all are dead.

    Dead includes zombies: reaping them is their parent's affair.
    """
    fds: dict[int, int] = {}
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            fds[os.pidfd_open(pid)] = pid
    rounds = ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, 10.0))
    for signum, seconds in rounds if grace_seconds > 0 else rounds[1:]:
        for fd in fds:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(fd, signum)
        _wait_dead(fds, seconds)
    remaining = sorted(fds.values())
    for fd in fds:
        os.close(fd)
    if remaining:
        raise ReaperError(f"processes {remaining} survived SIGKILL")


def _wait_dead(fds: dict[int, int], seconds: float) -> None:
    """Wait for pidfds to become readable (the process ended); close and drop each that did."""
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    deadline = time.monotonic() + seconds
    while fds and (left := deadline - time.monotonic()) > 0:
        for fd, _event in poll.poll(left * 1000):
            poll.unregister(fd)
            os.close(fd)
            del fds[fd]


def _end_process(entry: dict[str, Any]) -> None:
    """End the process of a journal entry, or its whole session, unless the pid belongs to another by now."""
    pid, start_time = int(entry["pid"]), int(entry["start"])
    leader = _stat(pid)
    if leader is not None and leader.start_time != start_time:
        return
    pids = [] if leader is None else [pid]
    if entry["session"]:
        # A pid is not given away while it still names a session, so the members are ours even
        # when the leader itself is gone.
        for other in process_ids():
            stat = _stat(other)
            if stat is not None and stat.session == pid and stat.start_time >= start_time and other != pid:
                pids.append(other)
    end_processes(pids)


def _run_command(entry: dict[str, Any]) -> None:
    argv = entry["argv"]
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=COMMAND_TIMEOUT_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise ReaperError(f"{argv} ended with {done.returncode}: {done.stdout.decode(errors='replace').strip()}")


def mount_points(directory: Path) -> list[Path]:
    """Return the mount points below ``directory``, in the order in which they were mounted."""
    points = []
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        # proc(5): blanks, tabs, newlines and backslashes are written as three octal digits
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), line.split(" ")[4])
        if point.startswith(f"{directory}/"):
            points.append(Path(point))
    return points


def _remove_tree(entry: dict[str, Any]) -> None:
    path = Path(entry["path"])
    _refuse_mounts(path)
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)


def _refuse_mounts(directory: Path) -> None:
    """Raise if something is mounted below a directory: its files belong to somebody else."""
    mounted = mount_points(directory)
    if mounted:
        raise ReaperError(f"not removed, because there are mounts in it: {', '.join(map(str, mounted))}")


def _remove_workdir(workdir: Path) -> None:
    """Remove a work directory; the journal and the lock go last, so that a failure can be made good later."""
    _refuse_mounts(workdir)
    for path in workdir.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name not in (JOURNAL, LOCK):
            path.unlink()
    shutil.rmtree(workdir)


_ACTIONS = {"process": _end_process, "command": _run_command, "tree": _remove_tree}


def _pending(journal: Path) -> list[dict[str, Any]]:
    """Return the entries that still stand, last first."""
    entries: dict[int, dict[str, Any]] = {}
    for line in journal.read_text(encoding="utf-8").splitlines(keepends=True):
        if not line.endswith("\n"):
            break  # the owner died while it wrote this line, so before it did what the line announces
        entry = json.loads(line)
        if entry["kind"] == "discard":
            entries.pop(entry["id"], None)
        else:
            entries[entry["id"]] = entry
    return list(reversed(entries.values()))


def _run_journal(workdir: Path) -> bool:
    """Run all pending clean-ups and then remove ``workdir``; return False if it had to be kept.

    After a failure no tree is removed: what is in there explains the failure, and the next start
    tries again.
    """
    failures = 0
    with (workdir / LOG).open("a", encoding="utf-8") as log:
        for entry in _pending(workdir / JOURNAL):
            if failures and entry["kind"] == "tree":
                continue
            try:
                _ACTIONS[entry["kind"]](entry)
            except (OSError, ReaperError, subprocess.SubprocessError, shutil.Error) as exc:
                failures += 1
                log.write(f"{entry}: {exc}\n")
    if not failures:
        try:
            _remove_workdir(workdir)
        except (OSError, ReaperError, shutil.Error) as exc:
            failures += 1
            (workdir / LOG).write_text(f"removing the work directory: {exc}\n", encoding="utf-8")
    return not failures


def base_directory() -> Path:
    """Return the folder of this user's work directories, made if need be.

    ``/var/tmp`` rather than TMPDIR, because unix sockets live in there and their paths are limited to
    107 bytes; on disk rather than tmpfs, because image layers do.
    """
    parent = Path("/var/tmp")
    if not os.access(parent, os.W_OK):
        parent = Path(tempfile.gettempdir())
    base = parent / f"manifold-testbed-{os.getuid()}"
    base.mkdir(mode=0o700, exist_ok=True)
    if base.lstat().st_uid != os.getuid() or base.is_symlink():
        raise ReaperError(f"{base} belongs to someone else; remove it")
    return base


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def recover(base: Path) -> list[Path]:
    """Clean up after owners that died together with their reaper; return the work directories done.

    Owner and reaper share one open lock file; only when both are gone can it be locked here.
    """
    done = []
    for lock in base.glob(f"*/{LOCK}"):
        with contextlib.suppress(FileNotFoundError, BlockingIOError):
            fd = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _run_journal(lock.parent):
                    done.append(lock.parent)
            finally:
                os.close(fd)
    return done


class Reaper:
    """The owner's side: registers clean-ups with a watching process. Thread-safe.

    Register first, then start what the entry is to clean. Forked children may not use it; their calls
    of :meth:`close` do nothing.
    """

    def __init__(self, workdir: Path) -> None:
        """Start the reaper for ``workdir``, which is made if missing and removed after the last clean-up."""
        self.workdir = workdir
        self._owner = os.getpid()
        self._mutex = threading.Lock()
        self._next_id = 0
        workdir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock_fd = os.open(workdir / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._journal = (workdir / JOURNAL).open("a", encoding="utf-8")
        self._process = self._start()

    @classmethod
    def in_new_workdir(cls, kind: str) -> Reaper:
        """Clean up after dead owners, then start a reaper in a fresh directory named after ``kind``."""
        base = base_directory()
        # The lock keeps a parallel start from mistaking our half-made directory for a dead one.
        with _locked(base / ".lock"):
            recover(base)
            return cls(base / f"{kind}-{secrets.token_hex(4)}")

    def _start(self) -> subprocess.Popen[bytes]:
        """Start the reaper process; return when it watches, so that no signal can come too early for it."""
        with (self.workdir / LOG).open("ab") as log:
            process = subprocess.Popen(
                # -I -S: neither the owner's environment nor its site packages may break the reaper.
                [sys.executable, "-I", "-S", __file__, str(self.workdir), str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                pass_fds=(self._lock_fd,),
                start_new_session=True,
                cwd="/",
            )
        assert process.stdout is not None
        with process.stdout as ready:
            if ready.read() != _READY:
                raise ReaperError(f"the reaper ended with {process.wait()}:\n{self._log()}")
        return process

    @property
    def pid(self) -> int:
        """The reaper process; its end, which a pidfd shows, means that all clean-ups were run."""
        return self._process.pid

    def _append(self, entry: dict[str, Any]) -> int:
        with self._mutex:
            if self._journal.closed:
                raise ReaperError(f"the reaper of {self.workdir} is closed")
            if "id" not in entry:
                self._next_id += 1
                entry = {"id": self._next_id, **entry}
            self._journal.write(json.dumps(entry) + "\n")
            self._journal.flush()
            return int(entry["id"])

    def add_process(self, pid: int, *, session: bool = False) -> int:
        """End process ``pid`` (SIGTERM, then SIGKILL), or all of the session it leads; return a token.

        The entry also holds the start time of the process, so a recycled pid is left alone.
        """
        stat = _stat(pid)
        if stat is None:
            raise ReaperError(f"there is no process {pid} to clean up")
        return self._append({"kind": "process", "pid": pid, "start": stat.start_time, "session": session})

    def add_command(self, argv: Sequence[str]) -> int:
        """Run ``argv``, which must exit with 0 also when there is nothing left to do; return a token."""
        return self._append({"kind": "command", "argv": list(argv)})

    def add_tree(self, path: Path) -> int:
        """Remove a directory and all below it; return a token."""
        return self._append({"kind": "tree", "path": str(path)})

    def discard(self, token: int) -> None:
        """Forget a clean-up, because the owner has done it itself."""
        self._append({"kind": "discard", "id": token})

    def close(self, timeout: float = 120.0) -> None:
        """Run what is still registered, remove the work directory, end the reaper. May be called twice.

        :raises ReaperError: a clean-up failed or took longer than ``timeout`` seconds.
        """
        if os.getpid() != self._owner:
            return
        with self._mutex:
            if self._journal.closed:
                return
            self._journal.close()
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(_CLOSE)
            self._process.stdin.close()
        try:
            status = self._process.wait(timeout)
        except subprocess.TimeoutExpired as exc:
            raise ReaperError(f"the clean-ups of {self.workdir} did not end in {timeout} s") from exc
        finally:
            os.close(self._lock_fd)
        if status != 0:
            raise ReaperError(f"the reaper ended with {status}:\n{self._log()}")

    def _log(self) -> str:
        with contextlib.suppress(FileNotFoundError):
            return (self.workdir / LOG).read_text(encoding="utf-8", errors="replace")
        return "(no log)"


def _watch(workdir: Path, owner: int) -> int:
    """Wait until the owner closes or dies, then clean up; the body of the reaper process."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(signum, signal.SIG_IGN)
    poll = select.poll()
    poll.register(0, select.POLLIN)
    # The pipe alone would not do: a forked child of the owner holds its other end open, too.
    with contextlib.suppress(ProcessLookupError):
        poll.register(os.pidfd_open(owner), select.POLLIN)
    with contextlib.suppress(BrokenPipeError):
        os.write(1, _READY)
    os.dup2(2, 1)  # so the owner reads to the end
    if os.getppid() == owner:  # else it died before the pidfd was opened
        poll.poll()
    return 0 if _run_journal(workdir) else 1


if __name__ == "__main__":
    sys.exit(_watch(Path(sys.argv[1]), int(sys.argv[2])))
