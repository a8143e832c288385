# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils import _owner
from ansible_collections.manifold.core.plugins.plugin_utils.streams._leftovers import abandoned, owner
from hypothesis import given
from hypothesis import strategies as st

from unit.support import Pipelines, command, ends, sink

NOW = datetime.datetime(2026, 1, 14, 17, 2, 34)
WEEK = datetime.timedelta(days=7)
SECOND = datetime.timedelta(seconds=1)
OPERATION = "2026-01-14-170234-0a1b2c3d"
FOREIGN = "00000000-1-1"


def _begun(moment: datetime.datetime, whose: str) -> str:
    return f"{moment:%Y-%m-%d-%H%M%S}-0a1b2c3d.{whose}"


def _owned_by(pid: int) -> str:
    """Return what a process of this machine calls its temporaries."""
    machine = owner().partition("-")[0]
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return f"{OPERATION}.{machine}-{pid}-{fields[19]}"


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """Another process of this machine."""
    with subprocess.Popen(["sleep", "1000"]) as process:
        yield process
        process.kill()


def test_what_a_running_process_writes_is_not_abandoned(other: subprocess.Popen[bytes]) -> None:
    assert abandoned([f"{OPERATION}.{owner()}", _owned_by(other.pid)]) == []


def test_what_an_ended_process_wrote_is_abandoned(other: subprocess.Popen[bytes]) -> None:
    name = _owned_by(other.pid)
    other.kill()
    other.wait()
    assert abandoned([name]) == [name]


def test_what_a_process_wrote_that_was_never_waited_for_is_abandoned(other: subprocess.Popen[bytes]) -> None:
    name = _owned_by(other.pid)
    other.kill()
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
    assert Path(f"/proc/{other.pid}/stat").exists(), "it is a zombie"
    assert abandoned([name]) == [name]


def test_a_number_that_a_new_process_got_does_not_save_what_an_old_one_wrote() -> None:
    machine, pid, start = owner().split("-")
    name = f"{OPERATION}.{machine}-{pid}-{int(start) + 1}"
    assert abandoned([name]) == [name]


def test_a_stopped_process_still_owns_what_it_wrote(other: subprocess.Popen[bytes]) -> None:
    other.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, other.pid, os.WSTOPPED | os.WNOWAIT)
    assert abandoned([_owned_by(other.pid)]) == []


def test_a_process_with_a_strange_name_is_recognised(tmp_path: Path) -> None:
    """A process may hold brackets, blanks and bytes that are no text in its name."""
    program = tmp_path / os.fsdecode(b"a) S 1 (\xff\xc3")
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "1000"]) as process:
        try:
            stat = Path(f"/proc/{process.pid}/stat").read_bytes()
            assert b"(a) S 1 (\xff\xc3)" in stat
            machine = owner().partition("-")[0]
            start = stat.rpartition(b")")[2].split()[19].decode()
            assert abandoned([f"{OPERATION}.{machine}-{process.pid}-{start}"]) == []
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("age", "gone"),
    [(-WEEK, False), (SECOND, False), (WEEK - SECOND, False), (WEEK, False), (WEEK + SECOND, True)],
    ids=["of the future", "young", "almost a week", "a week", "over a week"],
)
def test_what_another_machine_wrote_is_abandoned_after_a_week(age: datetime.timedelta, gone: bool) -> None:
    name = _begun(NOW - age, FOREIGN)
    assert abandoned([name], NOW) == ([name] if gone else [])


def test_what_a_living_owner_wrote_stays_however_old_it_is() -> None:
    name = _begun(NOW - 100 * WEEK, owner())
    assert abandoned([name], NOW) == []


def test_what_this_machine_wrote_before_it_was_restarted_goes_after_a_week(monkeypatch: pytest.MonkeyPatch) -> None:
    young, old = _begun(NOW - SECOND, owner()), _begun(NOW - WEEK - SECOND, owner())
    monkeypatch.setattr(_owner, "_machine", lambda: "11111111")
    assert abandoned([young, old], NOW) == [old]


OLD = _begun(NOW - 2 * WEEK, FOREIGN)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "part",
        f"x.{OLD}",
        f"{OLD}.x",
        f" {OLD}",
        f"{OLD}\n",
        OLD.upper(),
        OLD.replace("00000000", "0000000"),
        OLD.replace("00000000", "0000000g"),
        OLD.replace("2025-12-31", "2025-13-31"),
        OLD.replace("2025-12-31", "2025-02-30"),
        OLD.replace("2025-12-31", "0000-12-31"),
        OLD.replace("170234", "999999"),
        OLD.removesuffix("-1"),
        f"{OLD}1".replace("-11", "-٣"),
    ],
)
def test_a_name_that_is_not_ours_is_left_alone(name: str) -> None:
    assert abandoned([name], NOW) == []


def test_a_name_with_a_number_beyond_all_is_left_alone() -> None:
    assert abandoned([f"{OPERATION}.{owner()}9999999999999999999999"], NOW) == []


def test_only_names_that_are_ours_in_every_part_are_abandoned() -> None:
    strangers = ["", "part", f"x.{OLD}", f"{OLD}.x", f" {OLD}", f"{OLD}\n", OLD.replace("2025-12-31", "2025-13-31")]
    assert abandoned([*strangers, OLD], NOW) == [OLD]


_digits = st.text("0123456789٣", max_size=6)
_nearly = st.builds(
    "{}-{}-{}-{}-{}.{}-{}-{}".format,
    st.one_of(_digits, st.just("2025")),
    st.one_of(_digits, st.integers(0, 99).map("{:02}".format)),
    st.one_of(_digits, st.integers(0, 99).map("{:02}".format)),
    st.one_of(_digits, st.integers(0, 999_999).map("{:06}".format)),
    st.sampled_from(["0a1b2c3d", "0A1B2C3D", "0a1b2c3"]),
    st.sampled_from(["00000000", owner().partition("-")[0]]),
    st.one_of(_digits, st.integers(0, 10**30).map(str)),
    st.one_of(_digits, st.integers(0, 10**30).map(str)),
)


@given(st.lists(st.one_of(st.text(), _nearly, st.just(OLD), st.just(f"{OPERATION}.{owner()}"))))
def test_whatever_names_there_are_only_ours_are_abandoned(names: list[str]) -> None:
    found = abandoned(names, NOW)
    for name in found:
        # the names are words of a line that a shell reads
        assert re.fullmatch(r"[0-9a-f.-]+", name, re.ASCII)
    assert found == [name for name in names if name in found], "in their order, and nothing else"
    assert found.count(OLD) == names.count(OLD)
    assert f"{OPERATION}.{owner()}" not in found


# -- removed by the next run -------------------------------------------------------------------------------------------


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    """A destination beside which others left temporaries."""
    folder = tmp_path / "it's a * folder"
    folder.mkdir()
    return folder / "file $x"


def _leave(dest: Path, suffix: str) -> Path:
    path = dest.with_name(f".{dest.name}.{suffix}.part")
    path.write_text("left")
    return path


def _dead() -> str:
    process = subprocess.Popen(["sleep", "1000"])
    name = _owned_by(process.pid)
    process.kill()
    process.wait()
    return name


def test_the_next_run_removes_what_is_abandoned_and_nothing_else(
    pipelines: Pipelines, dest: Path, other: subprocess.Popen[bytes]
) -> None:
    gone = [_leave(dest, _dead()), _leave(dest, OLD)]
    now = datetime.datetime.now()
    kept = [_leave(dest, _owned_by(other.pid)), _leave(dest, _begun(now, FOREIGN)), _leave(dest, "x")]
    kept += [_leave(dest.with_name(f"{dest.name}.more"), OLD), _leave(dest.with_name("another"), OLD)]
    result = pipelines.run(command("echo new"), sink(dest))
    assert result.msg is None
    assert dest.read_text() == "new\n"
    assert not any(path.exists() for path in gone)
    assert sorted(dest.parent.iterdir()) == sorted([dest, *kept])


def test_check_mode_removes_nothing(pipelines: Pipelines, dest: Path) -> None:
    left = _leave(dest, OLD)
    assert pipelines.run(command("echo new"), sink(dest), check_mode=True).msg is None
    assert list(dest.parent.iterdir()) == [left]


def test_nothing_is_removed_before_every_step_is_ready(pipelines: Pipelines, dest: Path) -> None:
    left = _leave(dest, OLD)
    assert pipelines.run(command("no-such-program"), sink(dest)).failed_step == "step 1"
    assert list(dest.parent.iterdir()) == [left]


def test_a_folder_that_is_called_like_a_temporary_stays(pipelines: Pipelines, dest: Path) -> None:
    folder = dest.with_name(f".{dest.name}.{OLD}.part")
    folder.mkdir()
    assert pipelines.run(command("echo new"), sink(dest)).msg is None
    assert folder.is_dir()


def test_hundreds_of_abandoned_temporaries_are_removed_at_once(pipelines: Pipelines, dest: Path) -> None:
    dead = _dead()
    for number in range(300):
        _leave(dest, dead.replace("0a1b2c3d", f"{number:08x}"))
    assert pipelines.run(command("echo new"), sink(dest)).msg is None
    assert list(dest.parent.iterdir()) == [dest]


def test_a_run_that_is_killed_leaves_what_the_next_one_removes(pipelines: Pipelines, dest: Path) -> None:
    """The controller dies; its sink, on another machine, was left with a temporary."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        os.write(writer, owner().encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        left = _leave(dest, f"{OPERATION}.{stream.read()}")
    assert ends(pid)
    assert pipelines.run(command("echo new"), sink(dest)).msg is None
    os.waitpid(pid, 0)
    assert not left.exists()
