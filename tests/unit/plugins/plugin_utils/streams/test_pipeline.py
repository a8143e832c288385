# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import os
import signal
import threading
from pathlib import Path

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._base import Context, ContextError, Launch
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._local import LocalContext
from ansible_collections.manifold.core.plugins.plugin_utils.streams._marker import MARK_LENGTH
from hypothesis import given, settings
from hypothesis import strategies as st

from unit.become import FakeBecome
from unit.support import (
    EVERY_BYTE,
    FakeContext,
    Pipelines,
    command,
    cuts_input,
    cuts_output,
    processes_with,
    sink,
    temporaries,
    until,
)

BULK = EVERY_BYTE * 12_000  # 3 MB: more than all pipes between two stages hold


@pytest.fixture
def bulk(tmp_path: Path) -> Path:
    """A file larger than the pipes it goes through."""
    path = tmp_path / "bulk"
    path.write_bytes(BULK)
    return path


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    """A destination with something in it."""
    folder = tmp_path / "backup"
    folder.mkdir()
    path = folder / "file"
    path.write_bytes(b"old")
    return path


def _untouched(dest: Path) -> bool:
    """Whether the old file is still there, alone."""
    return dest.read_bytes() == b"old" and list(dest.parent.iterdir()) == [dest]


# -- whole streams -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("counts_input", [False, True])
@pytest.mark.parametrize("checksum", [False, True])
@pytest.mark.parametrize("data", [b"", b"\0", b"\n", EVERY_BYTE, BULK], ids=["empty", "1", "newline", "every", "bulk"])
def test_every_byte_arrives(
    pipelines: Pipelines, tmp_path: Path, dest: Path, data: bytes, checksum: bool, counts_input: bool
) -> None:
    (tmp_path / "data").write_bytes(data)
    pipelines.add(FakeContext("db", counts_input=counts_input))
    result = pipelines.run(
        command(f"cat {tmp_path}/data", "db"), command("cat", "db"), sink(dest, "db"), checksum=checksum
    )
    assert result.msg is None
    assert dest.read_bytes() == data
    assert result.changed and result.sinks[0].committed
    assert result.sinks[0].bytes == len(data)
    assert result.sinks[0].checksum == (hashlib.sha256(data).hexdigest() if checksum else None)
    assert [step.proof for step in result.steps] == ["marker"] * 3
    assert [step.rc for step in result.steps] == [0, 0, 0]
    assert [(step.bytes_in, step.bytes_out) for step in result.steps[:2]] == [
        (None, len(data)),
        (len(data), len(data)),
    ]
    assert not temporaries(tmp_path)
    assert not result.warnings


def test_a_hundred_steps_pass_on_what_they_are_given(pipelines: Pipelines, bulk: Path, dest: Path) -> None:
    steps = [command(f"cat {bulk}"), *(command("cat") for _each in range(98)), sink(dest)]
    result = pipelines.run(*steps)
    assert result.msg is None
    assert dest.read_bytes() == BULK
    assert {step.bytes_out for step in result.steps[:-1]} == {len(BULK)}


def test_one_step_alone_is_a_pipeline(pipelines: Pipelines) -> None:
    result = pipelines.run(command("echo data; echo said >&2"))
    assert (result.msg, result.stdout, result.stdout_cut) == (None, "data\n", False)
    assert result.steps[0].stderr == "said\n"
    assert result.changed, "what a command does cannot be known"


def test_what_a_last_command_prints_is_kept_to_its_limit(pipelines: Pipelines) -> None:
    result = pipelines.run(command("printf '%s' abcdef"), command("cat"), stdout_limit=4)
    assert (result.stdout, result.stdout_cut) == ("abcd", True)
    assert result.steps[1].bytes_out == 6
    assert result.as_task_result()["stdout_cut"] is True


def test_the_task_result_tells_of_a_single_destination(pipelines: Pipelines, dest: Path) -> None:
    result = pipelines.run(command("printf abc"), sink(dest)).as_task_result()
    assert (result["failed"], result["changed"], result["bytes"]) == (False, True, 3)
    assert result["checksum"] == hashlib.sha256(b"abc").hexdigest()
    assert "msg" not in result and "warnings" not in result


def test_environment_and_directory_reach_the_command(pipelines: Pipelines, tmp_path: Path) -> None:
    step = command('pwd; printf %s "$WORD"', chdir=str(tmp_path), environment={"WORD": "it's\n*"})
    assert pipelines.run(step).stdout == f"{tmp_path}\nit's\n*"


def test_a_secret_is_in_no_argument(pipelines: Pipelines) -> None:
    step = command("tr '\\0' ' ' </proc/$PPID/cmdline; tr '\\0' ' ' </proc/$$/cmdline", environment={"KEY": "secret"})
    result = pipelines.run(step)
    assert result.stdout and "secret" not in result.stdout


def test_words_are_passed_on_as_they_are(pipelines: Pipelines) -> None:
    assert pipelines.run({"argv": ["printf", "%s|", "it's", "", "$HOME", "a\nb"]}).stdout == "it's||$HOME|a\nb|"


def test_contexts_are_closed_once_each(pipelines: Pipelines) -> None:
    db, store = FakeContext("db"), FakeContext("store")
    pipelines.add(db)
    pipelines.add(store)
    pipelines.run(command("echo x", "db"), command("cat", "store"), command("cat", "db"))
    assert (db.closed, store.closed) == (1, 1)


# -- a destination -----------------------------------------------------------------------------------------------------


def test_identical_content_changes_nothing(pipelines: Pipelines, dest: Path) -> None:
    before = dest.stat()
    result = pipelines.run(command("printf old"), sink(dest))
    assert (result.msg, result.changed) == (None, False)
    assert result.sinks[0].committed
    after = dest.stat()
    assert (after.st_ino, after.st_mtime_ns, after.st_mode) == (before.st_ino, before.st_mtime_ns, before.st_mode)
    assert _untouched(dest)


def test_one_stream_goes_to_several_destinations(pipelines: Pipelines, bulk: Path, tmp_path: Path) -> None:
    names = ["one", "two", "three"]
    sinks = [{"name": name, "dest": str(tmp_path / name), "input": "read"} for name in names]
    result = pipelines.run({"name": "read", "src": str(bulk)}, *sinks)
    assert result.msg is None
    assert all((tmp_path / name).read_bytes() == BULK for name in names)
    assert [each.bytes for each in result.sinks] == [len(BULK)] * 3


@pytest.mark.parametrize("go_on", [False, True])
def test_a_destination_that_fails_does_not_spoil_the_others(
    pipelines: Pipelines, bulk: Path, dest: Path, tmp_path: Path, go_on: bool
) -> None:
    pipelines.add(FakeContext("bad", cuts_input(100_000, "close")))
    result = pipelines.run(
        {"name": "read", "src": str(bulk)},
        {"name": "bad", "dest": str(dest), "input": "read", "context": "bad"},
        {"name": "good", "dest": str(tmp_path / "good"), "input": "read"},
        on_sink_failure_continue=go_on,
    )
    assert result.failed_step == "bad"
    assert _untouched(dest)
    assert (tmp_path / "good").exists() is go_on
    if go_on:
        assert (tmp_path / "good").read_bytes() == BULK
        assert [each.step for each in result.sinks if each.committed] == ["good"]
    assert not temporaries(tmp_path)


# -- steps that fail ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "failed"),
    [
        (("head -c {n} {bulk}; echo reason >&2; exit 3", "cat", "cat"), "step 1"),
        (("cat {bulk}", "head -c {n}; cat >/dev/null; echo reason >&2; exit 3", "cat"), "step 2"),
        (("cat {bulk}", "cat", "cat; echo reason >&2; exit 3"), "step 3"),
        (("cat {bulk}", "head -c {n}; echo reason >&2; exit 3", "cat"), "step 2"),
        (("cat {bulk}; echo reason >&2; exit 3", "head -c {n} >/dev/null; sleep 0.1; cat", "cat"), "step 1"),
    ],
    ids=["source", "middle", "last", "middle that stops reading", "source after its last byte"],
)
@pytest.mark.parametrize("count", [0, 1, 70_000])
def test_a_failing_step_is_named_and_nothing_is_replaced(
    pipelines: Pipelines, bulk: Path, dest: Path, lines: tuple[str, ...], failed: str, count: int
) -> None:
    result = pipelines.run(*(command(line.format(bulk=bulk, n=count)) for line in lines), sink(dest))
    assert result.failed_step == failed
    assert result.msg == f"step '{failed}' (local): it failed with exit status 3: reason"
    assert _untouched(dest)
    assert not result.changed and not any(each.committed for each in result.sinks)
    assert result.as_task_result()["failed"]


def test_a_killed_command_is_named_with_its_status(pipelines: Pipelines, dest: Path) -> None:
    result = pipelines.run(command("echo x; kill -KILL $$"), sink(dest))
    assert result.msg is not None
    assert result.msg.startswith("step 'step 1' (local): it failed with exit status 137")
    assert _untouched(dest)


def test_a_status_that_was_allowed_is_no_failure(pipelines: Pipelines, dest: Path) -> None:
    result = pipelines.run(command("echo x; exit 24", ok_codes=[0, 24]), sink(dest))
    assert (result.msg, dest.read_bytes()) == (None, b"x\n")
    assert result.steps[0].rc == 24


@pytest.mark.parametrize("counts_input", [False, True])
def test_a_reader_that_has_enough_is_no_failure(pipelines: Pipelines, dest: Path, counts_input: bool) -> None:
    pipelines.add(FakeContext("db", counts_input=counts_input))
    result = pipelines.run(command("yes", "db"), command("cat", "db"), command("head -n1", "db"), sink(dest, "db"))
    assert result.msg is None
    assert dest.read_bytes() == b"y\n"
    assert [step.proof for step in result.steps] == ["unneeded", "unneeded", "marker", "marker"]
    assert not result.warnings


def test_a_reader_that_has_enough_of_a_silent_source_is_no_failure(pipelines: Pipelines) -> None:
    result = pipelines.run(command("yes | head -n50; sleep 1000"), command("head -n1"))
    assert (result.msg, result.stdout) == (None, "y\n")


def test_what_a_command_leaves_running_does_not_hold_the_pipeline(pipelines: Pipelines, dest: Path) -> None:
    result = pipelines.run(command("sleep 1000 & echo $!"), sink(dest))
    os.kill(int(dest.read_text()), signal.SIGKILL)
    assert result.msg is None


def test_stderr_is_bounded(pipelines: Pipelines) -> None:
    result = pipelines.run(command("head -c 1000000 /dev/zero | tr '\\0' x >&2; echo last >&2"))
    assert len(result.steps[0].stderr) <= 16384
    assert result.steps[0].stderr.endswith("last\n")


def test_a_pipeline_that_takes_too_long_is_ended(pipelines: Pipelines, dest: Path) -> None:
    result = pipelines.run(command("setsid sleep 1000 & echo x; sleep 1000"), command("cat"), sink(dest), timeout=0.5)
    assert result.failed_step == "step 1"
    assert result.msg is not None
    assert result.msg.startswith("step 'step 1' (local): the pipeline did not finish within 0.5 seconds")
    assert _untouched(dest)


def test_a_stream_that_stands_still_is_ended_and_the_step_named(pipelines: Pipelines, dest: Path) -> None:
    result = pipelines.run(
        command("yes"), command("head -c 10; sleep 1000"), command("cat"), sink(dest), stall_timeout=0.5
    )
    assert result.failed_step == "step 2"
    assert result.msg is not None and "not a byte moved for 0.5 seconds" in result.msg
    assert _untouched(dest)


# -- what is found before anything moves -------------------------------------------------------------------------------


def test_a_missing_program_is_found_before_anything_runs(pipelines: Pipelines, tmp_path: Path, dest: Path) -> None:
    result = pipelines.run(command(f"touch {tmp_path}/ran"), command("no-such-program -x"), sink(dest))
    assert (
        result.msg
        == "step 'step 2' (local): the command 'no-such-program' was not found; install it there, or give its path"
    )
    assert not (tmp_path / "ran").exists() and _untouched(dest)


def test_a_destination_that_cannot_be_is_found_before_anything_runs(pipelines: Pipelines, tmp_path: Path) -> None:
    result = pipelines.run(command(f"touch {tmp_path}/ran"), sink(tmp_path))
    assert result.failed_step == "sink"
    assert result.msg is not None and "is a directory" in result.msg
    assert not (tmp_path / "ran").exists()


def test_an_unknown_context_is_told_with_the_step(pipelines: Pipelines) -> None:
    def resolve(name: str | None, _become: bool | None, _user: str | None) -> Context:
        raise ContextError(str(name), "looking it up", "the inventory has no such host", "Did you mean 'db'?")

    pipelines.resolve = resolve  # type: ignore[assignment]
    result = pipelines.run(command("true", "bd"))
    assert result.msg == "step 'step 1' (bd): looking it up: the inventory has no such host. Did you mean 'db'?"
    assert result.as_task_result()["steps"] == []


@pytest.mark.parametrize("others", [0, 1])
def test_a_context_out_of_reach_is_told_with_the_step(pipelines: Pipelines, dest: Path, others: int) -> None:
    class Unreachable(FakeContext):
        def open(self, seconds: float = 0.0) -> None:  # noqa: ARG002
            raise ContextError("db", "connecting by SSH", "Connection refused", "Check ansible_port.")

    pipelines.add(Unreachable("db"))
    result = pipelines.run(*[command("echo x")] * others, command("cat", "db"))
    assert result.failed_step == f"step {others + 1}"
    assert result.msg is not None
    assert result.msg.endswith("(db): connecting by SSH: Connection refused. Check ansible_port.")
    assert _untouched(dest)


def test_a_transport_that_is_not_installed_is_told_with_the_step(pipelines: Pipelines) -> None:
    class Gone(FakeContext):
        def launch(self, command: str) -> Launch:
            return Launch(argv=(b"no-such-kubectl", command.encode()))

    pipelines.add(Gone("shop"))
    result = pipelines.run(command("echo x", "shop"))
    assert result.msg is not None and result.msg.startswith("step 'step 1' (shop): starting no-such-kubectl:")


def test_a_transport_that_refuses_is_told_in_its_own_words(pipelines: Pipelines, dest: Path) -> None:
    pipelines.add(FakeContext("shop", ("/bin/sh", "-c", "echo 'pod not found' >&2; exit 1", "transport")))
    result = pipelines.run(command("echo x"), command("cat", "shop"), sink(dest))
    assert result.msg == "step 'step 2' (shop): pod not found"
    assert _untouched(dest)


def test_a_connection_that_is_never_ready_is_ended(pipelines: Pipelines, dest: Path) -> None:
    pipelines.add(FakeContext("db", ("/bin/sh", "-c", "sleep 1000 & sleep 1000", "transport")))
    result = pipelines.run(command("echo x", "db"), sink(dest), connect_timeout=0.3)
    assert result.msg == "step 'step 1' (db): the connection was not ready in time"
    assert _untouched(dest)


def test_check_mode_checks_and_moves_nothing(pipelines: Pipelines, tmp_path: Path, dest: Path) -> None:
    result = pipelines.run(command(f"touch {tmp_path}/ran"), sink(dest), check_mode=True)
    assert (result.msg, result.changed) == (None, True)
    assert not (tmp_path / "ran").exists() and _untouched(dest)
    refused = pipelines.run(command("no-such-program"), sink(dest), check_mode=True)
    assert refused.failed_step == "step 1"


@pytest.mark.parametrize(("password", "green"), [("secret", True), ("wrong", False), (None, False)])
def test_a_step_runs_as_another_user_with_the_right_password(
    pipelines: Pipelines, dest: Path, password: str | None, green: bool
) -> None:
    pipelines.add(LocalContext("root", become=FakeBecome(password)))
    result = pipelines.run(command("echo data", "root"), command("cat", "root"), sink(dest, "root"))
    assert (result.msg is None) is green
    assert dest.read_bytes() == (b"data\n" if green else b"old")
    if not green:
        assert result.msg is not None and "becoming somebody by fake" in result.msg
        assert "secret" not in str(result.as_task_result())
        assert _untouched(dest)


# -- transports that lie -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("then", ["close", "drain"])
@pytest.mark.parametrize("count", [0, 1, 76, len(BULK) - 1, len(BULK), len(BULK) + MARK_LENGTH - 1])
@pytest.mark.parametrize("position", [0, 1])
def test_output_that_was_cut_is_never_taken_for_whole(
    pipelines: Pipelines, bulk: Path, dest: Path, count: int, then: str, position: int
) -> None:
    pipelines.add(FakeContext("db", cuts_output(count, then)))
    names = [None, None]
    names[position] = "db"  # type: ignore[call-overload]
    result = pipelines.run(command(f"cat {bulk}", names[0]), command("cat", names[1]), sink(dest))
    assert result.failed_step == f"step {position + 1}", result.msg
    assert result.msg is not None and "without proof that it is whole" in result.msg
    assert _untouched(dest)


@pytest.mark.parametrize("then", ["close", "drain", "hole"])
@pytest.mark.parametrize("count", [0, 1, 76, 1_000_000, len(BULK) - 1])
@pytest.mark.parametrize("position", ["middle", "last", "sink"])
def test_input_that_was_cut_is_never_taken_for_whole(
    pipelines: Pipelines, bulk: Path, dest: Path, count: int, then: str, position: str
) -> None:
    pipelines.add(FakeContext("db", cuts_input(count, then)))
    steps = {
        "middle": [command("cat", "db"), sink(dest)],
        "last": [command(f"cat >{dest.parent.parent}/restored", "db")],
        "sink": [sink(dest, "db")],
    }[position]
    result = pipelines.run(command(f"cat {bulk}"), *steps, checksum=False)
    assert result.failed_step == ("sink" if position == "sink" else "step 2"), result.msg
    assert result.msg is not None
    assert "its input was cut" in result.msg or "it wrote" in result.msg
    assert not result.changed
    assert _untouched(dest)


@settings(max_examples=12)
@given(st.integers(0, len(BULK) + MARK_LENGTH - 1), st.sampled_from(["close", "drain"]), st.booleans())
def test_a_cut_anywhere_leaves_the_old_file(
    tmp_path_factory: pytest.TempPathFactory, cut: int, then: str, incoming: bool
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    (folder / "bulk").write_bytes(BULK)
    dest = folder / "backup" / "file"
    dest.parent.mkdir()
    dest.write_bytes(b"old")
    pipelines = Pipelines()
    cut = cut % len(BULK) if incoming else cut
    pipelines.add(FakeContext("db", cuts_input(cut, then) if incoming else cuts_output(cut, then)))
    result = pipelines.run(command(f"cat {folder}/bulk"), command("cat", "db"), sink(dest))
    assert result.failed_step == "step 2", result.msg
    assert _untouched(dest)
    (folder / "bulk").unlink()


def test_a_sinks_report_that_was_cut_is_no_proof(pipelines: Pipelines, bulk: Path, dest: Path) -> None:
    pipelines.add(FakeContext("db", cuts_output(10, "drain")))
    result = pipelines.run(command(f"cat {bulk}"), sink(dest, "db"))
    assert result.failed_step == "sink"
    assert _untouched(dest)


def test_a_commit_without_an_answer_is_a_failure(pipelines: Pipelines, dest: Path) -> None:
    honest = ("/bin/sh", "-c", 'exec /bin/sh -c "$1"', "transport")
    pipelines.add(FakeContext("db", honest, ("/bin/sh", "-c", "echo 'line lost' >&2; exit 0", "transport")))
    result = pipelines.run(command("echo x"), sink(dest, "db"))
    assert result.msg is not None
    assert result.msg.startswith("step 'sink' (db): the file could not be given its final name:")
    assert "line lost" in result.msg
    assert _untouched(dest)


def test_a_connection_that_dies_is_named_with_what_it_said(pipelines: Pipelines, bulk: Path, dest: Path) -> None:
    dying = '/bin/sh -c "$1" | head -c 500000; echo "client_loop: send disconnect" >&2; exit 255'
    pipelines.add(FakeContext("db", ("/bin/sh", "-c", dying, "transport")))
    result = pipelines.run(command(f"cat {bulk}", "db"), command("cat"), sink(dest))
    assert result.failed_step == "step 1"
    assert result.msg is not None
    assert "exit status is 255" in result.msg and "client_loop: send disconnect" in result.msg
    assert _untouched(dest)


def test_a_stage_is_ended_when_its_host_is_back(pipelines: Pipelines, dest: Path) -> None:
    honest = ("/bin/sh", "-c", 'exec /bin/sh -c "$1"', "transport")
    pipelines.add(FakeContext("db", honest, ("/bin/sh", "-c", "echo 'no route' >&2; exit 255", "transport")))
    result = pipelines.run(command("echo x; sleep 1000", "db"), command("exit 3"), sink(dest))
    assert (result.failed_step, result.warnings) == ("step 2", ())


def test_a_stage_that_cannot_be_ended_is_told(pipelines: Pipelines, dest: Path) -> None:
    honest = ("/bin/sh", "-c", 'exec /bin/sh -c "$1"', "transport")
    lost = ("/bin/sh", "-c", "echo 'no route' >&2; exit 255", "transport")
    pipelines.add(FakeContext("db", honest, *[lost] * 100))
    result = pipelines.run(command("echo x; sleep 1000", "db"), command("exit 3"), sink(dest))
    assert result.failed_step == "step 2"
    assert result.warnings == ("step 'step 1' (db): could not confirm that it ended there: no route",)
    assert result.as_task_result()["warnings"]


# -- interruption ------------------------------------------------------------------------------------------------------


def test_an_interrupted_pipeline_leaves_nothing(
    pipelines: Pipelines, dest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MANIFOLD_INTERRUPTED", str(tmp_path))

    def interrupt() -> None:
        until((tmp_path / "runs").exists, "the source runs")
        until(lambda: bool(temporaries(tmp_path)), "the sink writes")
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        pipelines.run(command(f"touch {tmp_path}/runs; setsid sleep 1000 & sleep 1000"), command("cat"), sink(dest))
    thread.join()
    assert not processes_with(f"MANIFOLD_INTERRUPTED={tmp_path}")
    assert _untouched(dest)
