# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import os
import shlex
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.streams import _shell
from ansible_collections.manifold.core.plugins.plugin_utils.streams._marker import Mark, new_nonce
from ansible_collections.manifold.core.plugins.plugin_utils.streams._shell import Sink, SinkScript, Surroundings
from hypothesis import given, settings
from hypothesis import strategies as st

from unit.support import EVERY_BYTE, NONCE, ScriptRun, Shell, leftovers, processes_with, until

NOWHERE = Surroundings()
OPERATION = "2026-01-14-170234-1f8a0c3e"
BULK = EVERY_BYTE * 4096
not_root = pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")


def _source(shell: Shell, line: str, surroundings: Surroundings = NOWHERE, nonce: str = NONCE) -> ScriptRun:
    return shell.start(nonce, _shell.source_script(nonce, _shell.shell_command(line), surroundings))


def _consumer(shell: Shell, line: str, *, counted: bool, surroundings: Surroundings = NOWHERE) -> ScriptRun:
    return shell.start(NONCE, _shell.consumer_script(NONCE, _shell.shell_command(line), surroundings, counted))


def _sink(shell: Shell, dest: Path | str, *, checksum: bool = True, env: Mapping[str, str] | None = None) -> ScriptRun:
    script = _shell.sink_script(NONCE, Sink(str(dest), OPERATION), SinkScript(checksum))
    return shell.start(NONCE, script, env)


def _temporary(dest: Path) -> Path:
    return dest.with_name(f".{dest.name}.{OPERATION}.part")


def _commit(shell: Shell, dest: Path, size: int, **attributes: Any) -> subprocess.CompletedProcess[bytes]:
    """Run a commit as an errand does."""
    sink = Sink(str(dest), OPERATION, **attributes)
    run = shell.start(NONCE, _shell.errand_script(NONCE, _shell.commit_script(sink, size)))
    run.go()
    finished = run.finish()
    assert finished.mark is not None
    return subprocess.CompletedProcess([], finished.mark.rc, finished.data, finished.stderr.encode())


counting = pytest.mark.parametrize("counted", [False, True], ids=["uncounted", "counted"])


# -- a source ----------------------------------------------------------------------------------------------------------


def test_a_source_writes_its_data_and_its_mark(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(BULK)
    run = _source(shell, f"cat {tmp_path}/data; echo said >&2; exit 7")
    run.go()
    finished = run.finish_source()
    assert finished.data == BULK
    assert finished.mark == Mark(7, None, False)
    assert finished.status == 7
    assert finished.stderr.startswith("said\n")


def test_a_source_that_writes_nothing_is_whole(shell: Shell) -> None:
    run = _source(shell, "true")
    run.go()
    assert run.finish_source().mark == Mark(0, None, False)


def test_a_source_reads_nothing_of_what_controls_it(shell: Shell) -> None:
    run = _source(shell, "cat; readlink /proc/self/fd/0; ls /proc/self/fd")
    run.go()
    finished = run.finish_source()
    assert finished.data.split()[0] == b"/dev/null"
    assert b"3" not in finished.data.split()[1:3], "the lifeline is not the command's"


def test_a_killed_source_leaves_a_mark_with_its_signal(shell: Shell) -> None:
    run = _source(shell, "kill -KILL $$")
    run.go()
    finished = run.finish_source()
    assert finished.mark == Mark(137, None, False)


# -- a consumer --------------------------------------------------------------------------------------------------------


@counting
@pytest.mark.parametrize("data", [b"", b"\0", BULK], ids=["empty", "one byte", "bulk"])
def test_a_consumer_passes_on_what_it_is_given(shell: Shell, counted: bool, data: bytes) -> None:
    run = _consumer(shell, "cat; echo said >&2; exit 3", counted=counted)
    run.go()
    finished = run.finish(data)
    assert finished.data == data
    assert finished.mark == Mark(3, len(data) if counted else None, False)
    assert finished.stderr == "said\n"


@pytest.mark.parametrize("line", ["head -c 1", "exec <&-; echo x", "true"])
def test_a_consumer_that_stops_early_says_so(shell: Shell, line: str) -> None:
    run = _consumer(shell, line, counted=True)
    run.go()
    process, data = run.process, BULK * 4
    # An input that is larger than all pipes together: the command cannot have been given all of it.
    finished = run.finish(data)
    assert finished.mark == Mark(0, None, True)
    assert process.returncode == 0


def test_a_consumer_that_fails_early_leaves_its_own_status(shell: Shell) -> None:
    run = _consumer(shell, "head -c 1 >/dev/null; exit 9", counted=True)
    run.go()
    finished = run.finish(BULK * 4)
    assert finished.mark == Mark(9, None, True)


@counting
def test_a_consumer_can_be_given_a_line_at_a_time(shell: Shell, counted: bool) -> None:
    run = _consumer(shell, 'while read -r l; do echo "got $l"; done', counted=counted)
    run.go()
    for word in (b"one", b"two"):
        run.stdin.write(word + b"\n")
        assert run.read_line() == b"got " + word + b"\n", "nothing waits for a full block"
    assert run.finish().mark == Mark(0, 8 if counted else None, False)


@counting
def test_a_command_has_no_descriptor_of_the_script(shell: Shell, counted: bool) -> None:
    run = _consumer(shell, "for fd in 3 4 5 6; do [ -e /proc/self/fd/$fd ] && echo $fd; done; :", counted=counted)
    run.go()
    found = run.finish().data.split()
    assert found in ([], [b"4", b"5"][: len(found)], [b"5"]), "only copies of its own stdout and stderr"


# -- what is checked before anything moves -----------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["no-such-program", "./no-such-program", "-n", "it's"])
def test_a_missing_command_is_refused_before_it_runs(shell: Shell, word: str) -> None:
    run = _source(shell, "true", Surroundings(needs=(word,)))
    assert run.refusal == f"the command '{word}' was not found; install it there, or give its path"
    assert run.finish().status == 96


def test_a_missing_directory_is_refused(shell: Shell, tmp_path: Path) -> None:
    run = _source(shell, "true", Surroundings(chdir=f"{tmp_path}/it's not"))
    assert run.refusal == f"cannot change to the directory {tmp_path}/it's not"
    run.finish()


def test_a_command_runs_in_its_directory_with_its_environment(shell: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    run = _source(shell, 'pwd; printf %s "$WORD"', Surroundings(chdir=str(folder), environment={"WORD": 'it\'s\n"$x"'}))
    run.go()
    assert run.finish_source().data == f'{folder}\nit\'s\n"$x"'.encode()


def test_a_program_beside_the_directory_is_found_there(shell: Shell, tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\necho it ran\n")
    tool.chmod(0o755)
    script = _shell.source_script(NONCE, "./tool", Surroundings(chdir=str(tmp_path), needs=("./tool",)))
    run = shell.start(NONCE, script)
    assert run.refusal is None
    run.go()
    assert run.finish_source().data == b"it ran\n"


@pytest.mark.parametrize("answer", [b"", b"gone\n", b"go"])
def test_a_stage_that_is_not_told_to_go_runs_nothing(shell: Shell, answer: bytes, tmp_path: Path) -> None:
    run = _source(shell, f"touch {tmp_path}/ran")
    finished = run.finish(answer)
    assert finished.status == _shell.NOT_STARTED
    assert (finished.data, finished.mark) == (b"", None)
    assert not (tmp_path / "ran").exists()


def test_readiness_names_the_group_of_the_stage(shell: Shell) -> None:
    run = _source(shell, "true")
    assert run.leader > 0
    assert run.group in (0, run.process.pid), "a group that is not the stage's own is never named"
    run.go()
    run.finish_source()


@pytest.mark.parametrize("lost", [1, 2, 30, 34, 200, -1])
def test_a_script_that_was_cut_never_runs(shell: Shell, lost: int, tmp_path: Path) -> None:
    script = _shell.preamble(f"touch {tmp_path}/ran\n" * 20, NONCE)
    given_bytes = script[:-lost] if lost > 0 else b""
    line = _shell.bootstrap(NONCE).replace("/bin/sh", shell.path)
    assert shell.run(line, data=given_bytes).returncode == _shell.NOT_READ
    assert not (tmp_path / "ran").exists()


def test_no_script_and_no_secret_is_an_argument() -> None:
    assert "secret" in _shell.source_script(NONCE, "true", Surroundings(environment={"PASSWORD": "secret"}))
    assert _shell.bootstrap(NONCE).replace(NONCE, "x" * 32) == _shell.bootstrap("x" * 32)
    assert len(_shell.bootstrap(NONCE)) < 250


# -- quoting -----------------------------------------------------------------------------------------------------------

_characters = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
_words = st.one_of(
    st.text(_characters, max_size=20),
    st.text("'\"\\$`\n\t !*?~#&|;<>(){}[]=-%\r", max_size=12),
    st.sampled_from(
        ["-n", "--", "-e", "~", "~/x", "a=b", "\n", "\\", "'", "''", "$(id)", "`id`", "*", NONCE, "\\n", "!"]
    ),
)
_SHOW = "import os, sys; print([os.fsencode(w) for w in sys.argv[1:]], os.environb.get(b'VALUE'))"


@settings(max_examples=12)
@given(words=st.lists(_words, max_size=8), value=_words)
def test_words_and_values_arrive_as_they_were_given(shell: Shell, words: list[str], value: str) -> None:
    argv = [sys.executable, "-S", "-E", "-c", _SHOW, *words]
    script = _shell.source_script(NONCE, _shell.argv_command(argv), Surroundings(environment={"VALUE": value}))
    run = shell.start(NONCE, script)
    run.go()
    said = run.finish_source().data.decode()
    assert said == f"{[word.encode() for word in words]} {value.encode()!r}\n"


@settings(max_examples=12)
@given(st.lists(_words.filter(bool), min_size=1, max_size=30))
def test_a_command_line_arrives_as_it_was_given(shell: Shell, words: list[str]) -> None:
    line = "printf '%s\\0' " + " ".join(shlex.quote(word) for word in words)
    run = _source(shell, line)
    run.go()
    assert run.finish_source().data == b"".join(word.encode() + b"\0" for word in words)


def test_bytes_that_are_no_text_arrive_as_they_were_given(shell: Shell) -> None:
    word = os.fsdecode(b"\xff\xfe'\x80")
    script = _shell.source_script(NONCE, _shell.argv_command(["printf", "%s", word]), NOWHERE)
    run = shell.start(NONCE, script)
    run.go()
    assert run.finish_source().data == b"\xff\xfe'\x80"


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/a b", "'/a b'"),
        ("-rf", "./-rf"),
        ("a", "./a"),
        ("~", '"$HOME"'),
        ("~/a b", "\"$HOME\"'/a b'"),
        ("~other/a", "'./~other/a'"),
    ],
)
def test_a_path_is_never_an_option(path: str, word: str) -> None:
    assert _shell.path_word(path) == word


# -- a sink and its commit ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("checksum", [True, False])
@pytest.mark.parametrize("name", ["file", "-rf", 'it\'s a "file"', "new\nline", "x" * 255])
def test_a_sink_writes_beside_its_destination_and_reports(
    shell: Shell, tmp_path: Path, checksum: bool, name: str
) -> None:
    dest = tmp_path / name
    run = _sink(shell, dest, checksum=checksum)
    run.go()
    finished = run.finish(BULK)
    assert finished.mark == Mark(0, None, False)
    size, _space, digest = finished.data.decode().strip().partition(" ")
    assert int(size) == len(BULK)
    expected = subprocess.run(["sha256sum"], input=BULK, capture_output=True, check=True).stdout.split()[0].decode()
    assert digest == (expected if checksum else "-")
    assert not dest.exists()
    [temporary] = tmp_path.iterdir()
    assert temporary.read_bytes() == BULK
    assert stat.S_IMODE(temporary.stat().st_mode) == 0o600
    assert _commit(shell, dest, len(BULK)).stdout == b"committed\n"
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert dest.read_bytes() == BULK


def test_a_sink_in_the_home_directory(shell: Shell, tmp_path: Path) -> None:
    run = _sink(shell, "~/a file", env={"HOME": str(tmp_path)})
    run.go()
    run.finish(b"data")
    assert _temporary(tmp_path / "a file").read_bytes() == b"data"


def test_a_new_file_has_the_mode_that_the_umask_gives(shell: Shell, tmp_path: Path) -> None:
    dest = tmp_path / "file"
    _temporary(dest).write_bytes(b"data")
    before = os.umask(0o027)
    try:
        assert _commit(shell, dest, 4).stdout == b"committed\n"
    finally:
        os.umask(before)
    assert stat.S_IMODE(dest.stat().st_mode) == 0o640


def test_a_replaced_file_keeps_its_mode(shell: Shell, tmp_path: Path) -> None:
    dest = tmp_path / "file"
    dest.write_bytes(b"old")
    dest.chmod(0o604)
    _temporary(dest).write_bytes(b"data")
    assert _commit(shell, dest, 4).stdout == b"committed\n"
    assert dest.read_bytes() == b"data"
    assert stat.S_IMODE(dest.stat().st_mode) == 0o604


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_replaced_file_keeps_its_owner(shell: Shell, tmp_path: Path) -> None:
    dest = tmp_path / "file"
    dest.write_bytes(b"old")
    os.chown(dest, 12345, 23456)
    _temporary(dest).write_bytes(b"data")
    assert _commit(shell, dest, 4).stdout == b"committed\n"
    assert (dest.stat().st_uid, dest.stat().st_gid) == (12345, 23456)


def test_identical_content_leaves_the_old_file_alone(shell: Shell, tmp_path: Path) -> None:
    dest = tmp_path / "file"
    dest.write_bytes(b"data")
    before = dest.stat()
    _temporary(dest).write_bytes(b"data")
    assert _commit(shell, dest, 4).stdout == b"same\n"
    after = dest.stat()
    # Its time of access may move on, since it is read; any change of the file moves its ctime.
    assert (after.st_ino, after.st_ctime_ns) == (before.st_ino, before.st_ctime_ns)
    assert list(tmp_path.iterdir()) == [dest]


def test_a_temporary_that_changed_after_its_proof_is_not_committed(shell: Shell, tmp_path: Path) -> None:
    dest = tmp_path / "file"
    dest.write_bytes(b"old")
    _temporary(dest).write_bytes(b"dat")
    done = _commit(shell, dest, 4)
    assert (done.returncode, done.stderr) == (1, b"the temporary file has changed since it was proven\n")
    assert dest.read_bytes() == b"old"


def test_a_temporary_that_is_gone_is_not_committed(shell: Shell, tmp_path: Path) -> None:
    dest = tmp_path / "file"
    dest.write_bytes(b"old")
    done = _commit(shell, dest, 4)
    assert done.returncode == 1 and done.stderr
    assert dest.read_bytes() == b"old"


@pytest.mark.parametrize("dangling", [False, True])
def test_a_symbolic_link_is_replaced_and_what_it_names_is_not(shell: Shell, tmp_path: Path, dangling: bool) -> None:
    target, dest = tmp_path / "target", tmp_path / "link"
    if not dangling:
        target.write_bytes(b"data")
    dest.symlink_to(target)
    _temporary(dest).write_bytes(b"data")
    assert _commit(shell, dest, 4).stdout == b"committed\n"
    assert not dest.is_symlink() and dest.read_bytes() == b"data"
    assert target.exists() is not dangling


def test_a_sink_into_a_directory_is_refused(shell: Shell, tmp_path: Path) -> None:
    assert _sink(shell, tmp_path).refusal == f"the destination {tmp_path} is a directory; name a file in it"


def test_a_sink_without_a_directory_is_refused(shell: Shell, tmp_path: Path) -> None:
    run = _sink(shell, tmp_path / "missing" / "file")
    assert run.refusal == f"the directory {tmp_path}/missing does not exist; make it first, or set 'create_parents'"


@not_root
def test_a_sink_where_nothing_can_be_written_is_refused(shell: Shell, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    run = _sink(shell, tmp_path / "file")
    assert run.refusal == f"the directory {tmp_path} is not writable for this user"


def test_a_sink_never_writes_into_a_file_that_is_there(shell: Shell, tmp_path: Path) -> None:
    dest = tmp_path / "file"
    _temporary(dest).write_bytes(b"somebody else's")
    run = _sink(shell, dest)
    run.go()
    finished = run.finish(b"data")
    assert finished.mark is not None and finished.mark.rc != 0
    assert _temporary(dest).read_bytes() == b"somebody else's"


def test_a_sink_that_cannot_write_says_so(shell: Shell, tmp_path: Path) -> None:
    script = _shell.sink_script(NONCE, Sink(str(tmp_path / "file"), OPERATION), SinkScript())
    run = shell.start(NONCE, "ulimit -f 8\ntrap '' XFSZ\n" + script)
    run.go()
    finished = run.finish(BULK)
    assert finished.mark is not None and finished.mark.rc != 0
    assert finished.data.strip() == b"", "it reports no size"


@pytest.mark.parametrize("same", [False, True])
def test_a_mode_that_was_asked_for_is_given(shell: Shell, tmp_path: Path, same: bool) -> None:
    dest = tmp_path / "file"
    dest.write_bytes(b"data" if same else b"old")
    dest.chmod(0o600)
    _temporary(dest).write_bytes(b"data")
    assert _commit(shell, dest, 4, mode="u=rw,g=r,o=").stdout == b"committed\n"
    assert stat.S_IMODE(dest.stat().st_mode) == 0o640
    _temporary(dest).write_bytes(b"data")
    assert _commit(shell, dest, 4, mode="0640").stdout == b"same\n"
    assert list(tmp_path.iterdir()) == [dest]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_an_owner_that_was_asked_for_is_given(shell: Shell, tmp_path: Path) -> None:
    dest = tmp_path / "file"
    _temporary(dest).write_bytes(b"data")
    assert _commit(shell, dest, 4, owner="12345", group="23456").stdout == b"committed\n"
    assert (dest.stat().st_uid, dest.stat().st_gid) == (12345, 23456)


def test_an_owner_that_does_not_exist_commits_nothing(shell: Shell, tmp_path: Path) -> None:
    dest = tmp_path / "file"
    _temporary(dest).write_bytes(b"data")
    done = _commit(shell, dest, 4, owner="no-such-user")
    assert done.returncode == 1 and b"no-such-user" in done.stderr
    assert not dest.exists()


@pytest.mark.parametrize("dry", [False, True])
def test_parents_are_made_when_asked_for_and_not_in_check_mode(shell: Shell, tmp_path: Path, dry: bool) -> None:
    sink = Sink(f"{tmp_path}/a b/c/file", OPERATION, create_parents=True)
    run = shell.start(NONCE, _shell.sink_script(NONCE, sink, SinkScript(dry=dry)))
    assert run.refusal is None
    assert (tmp_path / "a b" / "c").is_dir() is not dry
    run.close()


# -- a file that is read -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["file", "-n", 'it\'s a "file"'])
def test_a_file_is_read(shell: Shell, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(BULK)
    run = shell.start(NONCE, _shell.file_script(NONCE, f"~/{name}"), {"HOME": str(tmp_path)})
    assert run.notes == [("size", str(len(BULK)))]
    run.go()
    finished = run.finish_source()
    assert (finished.data, finished.mark) == (BULK, Mark(0, None, False))


def test_a_file_is_read_with_its_checksum_behind_it(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "it's").write_bytes(BULK)
    run = shell.start(NONCE, _shell.file_script(NONCE, f"{tmp_path}/it's", hashed=True))
    run.go()
    finished = run.finish_source()
    assert finished.data == BULK + hashlib.sha256(BULK).hexdigest().encode()
    assert finished.mark == Mark(0, None, False)


def test_a_file_that_cannot_be_read_is_refused(shell: Shell, tmp_path: Path) -> None:
    missing = shell.start(NONCE, _shell.file_script(NONCE, f"{tmp_path}/it's"))
    assert missing.refusal == f"the source {tmp_path}/it's does not exist"
    folder = shell.start(NONCE, _shell.file_script(NONCE, str(tmp_path)))
    assert folder.refusal == f"the source {tmp_path} is a directory; archive it with tar in a 'command' instead"
    for run in (missing, folder):
        run.close()


# -- ending a stage ----------------------------------------------------------------------------------------------------


def _abort(shell: Shell, nonce: str, sink: Sink | None = None) -> int:
    errand = new_nonce()
    run = shell.start(errand, _shell.errand_script(errand, _shell.abort_script(nonce, sink)))
    run.go()
    finished = run.finish()
    assert finished.mark is not None, finished
    return finished.mark.rc


@pytest.mark.parametrize(
    "line",
    [
        "echo started; sleep 1000",
        "setsid sleep 1000 & echo started; sleep 1000",
        "setsid sh -c 'echo started; sleep 1000 & sleep 1000'",
        "(sleep 1000 & setsid sleep 1000 & echo started) ; sleep 1000 | sleep 1000",
    ],
)
def test_ending_a_stage_ends_every_process_it_started(shell: Shell, line: str) -> None:
    run = _source(shell, line)
    run.go()
    run.read_line()
    assert processes_with(NONCE)
    assert _abort(shell, NONCE) == 0
    assert not leftovers(NONCE, 0.5)
    run.close()


def test_ending_a_stage_ends_what_ignores_a_polite_request(shell: Shell) -> None:
    run = _consumer(shell, "trap '' TERM HUP INT; echo started; while :; do sleep 1000; done", counted=True)
    run.go()
    run.read_line()
    assert _abort(shell, NONCE) == 0
    assert not leftovers(NONCE, 0.5)
    run.close()


def test_ending_a_stage_leaves_others_alone(shell: Shell) -> None:
    stranger = new_nonce()
    ours, other = _source(shell, "sleep 1000"), _source(shell, "sleep 1000", nonce=stranger)
    for run in (ours, other):
        run.go()
    until(lambda: bool(processes_with(f"MANIFOLD_STAGE={stranger}")), "the other stage runs")
    assert _abort(shell, NONCE) == 0
    assert other.process.poll() is None
    assert _abort(shell, stranger) == 0
    for run in (ours, other):
        run.close()


def test_ending_a_sink_removes_its_temporary_only(shell: Shell, tmp_path: Path) -> None:
    dest = tmp_path / "file"
    dest.write_bytes(b"old")
    run = _sink(shell, dest)
    run.go()
    run.stdin.write(b"some data")
    until(_temporary(dest).exists, "the temporary appears")
    assert _abort(shell, NONCE, Sink(str(dest), OPERATION)) == 0
    assert list(tmp_path.iterdir()) == [dest]
    assert dest.read_bytes() == b"old"
    run.close()


def test_ending_a_stage_that_has_ended_is_no_failure(shell: Shell, tmp_path: Path) -> None:
    assert _abort(shell, NONCE, Sink(str(tmp_path / "file"), OPERATION)) == 0


# -- an errand ---------------------------------------------------------------------------------------------------------


def test_an_errand_reads_nothing_and_reports_its_status(shell: Shell) -> None:
    run = shell.start(NONCE, _shell.errand_script(NONCE, "cat; echo done; echo said >&2; exit 4"))
    run.go()
    finished = run.finish(b"not for it")
    assert (finished.data, finished.stderr) == (b"done\n", "said\n")
    assert finished.mark == Mark(4, None, False)
