# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import random
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._base import ContextError
from ansible_collections.manifold.core.plugins.plugin_utils.streams._marker import MARK_LENGTH
from ansible_collections.manifold.core.plugins.plugin_utils.streams._stage import Stage
from hypothesis import given, settings
from hypothesis import strategies as st

from unit.support import EVERY_BYTE, FakeContext, Pipelines, command, cuts_input, cuts_output, ends, sink, temporaries

BULK = EVERY_BYTE * 32_000
"""8 MB: more than the buffer and the pipes of a branch hold."""
BRANCHES = ("a", "b", "c")


@pytest.fixture
def bulk(tmp_path: Path) -> Path:
    """A file that does not fit in the buffers."""
    path = tmp_path / "bulk"
    path.write_bytes(BULK)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an old file for each branch."""
    path = tmp_path / "backups"
    path.mkdir()
    for name in BRANCHES:
        (path / name).write_bytes(b"old")
    return path


def _save(folder: Path, name: str, reads: str | None = None, **more: Any) -> dict[str, Any]:
    """Return a sink that is called like its file."""
    return {"name": name, "dest": str(folder / name), "input": reads, **more}


def _untouched(folder: Path) -> bool:
    return {path.name: path.read_bytes() for path in folder.iterdir()} == dict.fromkeys(BRANCHES, b"old")


# -- every branch gets everything --------------------------------------------------------------------------------------


def test_steps_are_a_tree_by_their_inputs(pipelines: Pipelines, tmp_path: Path) -> None:
    result = pipelines.run(
        command("echo data", name="source"),
        command("tr a-z A-Z", name="upper"),
        _save(tmp_path, "shouted"),
        command("rev", name="reverse", input="source"),
        _save(tmp_path, "reversed"),
        _save(tmp_path, "both", "reverse"),
        command("cat", input="upper"),
    )
    assert result.msg is None
    assert (tmp_path / "shouted").read_text() == "DATA\n"
    assert (tmp_path / "reversed").read_text() == (tmp_path / "both").read_text() == "atad\n"
    assert result.stdout == "DATA\n"
    assert [step.bytes_in for step in result.steps] == [None, 5, 5, 5, 5, 5, 5]
    assert [each.step for each in result.sinks] == ["shouted", "reversed", "both"]


@settings(max_examples=12)
@given(
    size=st.one_of(
        st.sampled_from([0, 1, 2, MARK_LENGTH, 65536, (2 << 20) - 1, 2 << 20, (2 << 20) + MARK_LENGTH + 1]),
        st.integers(0, 5_000_000),
    ),
    checksum=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_each_branch_gets_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, size: int, checksum: bool, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("branches")
    data = random.Random(seed).randbytes(size)
    (folder / "data").write_bytes(data)
    pipelines = Pipelines()
    pipelines.add(FakeContext("db"))
    result = pipelines.run(
        {"name": "read", "src": str(folder / "data")},
        _save(folder, "a"),
        _save(folder, "b", "read", context="db"),
        command("cat", "db", name="filter", input="read"),
        _save(folder, "c"),
        command("cat | wc -c", input="read"),
        checksum=checksum,
    )
    assert result.msg is None
    digest = hashlib.sha256(data).hexdigest()
    for name in BRANCHES:
        assert (folder / name).read_bytes() == data
    assert [each.checksum for each in result.sinks] == [digest if checksum else None] * 3
    assert result.stdout is not None and int(result.stdout) == size
    for name in ("data", *BRANCHES):
        (folder / name).unlink()


def test_what_the_branches_do_stays_apart(pipelines: Pipelines, bulk: Path, tmp_path: Path) -> None:
    """Branches that change, drop, repeat and cut what they get do not see each other's bytes."""
    result = pipelines.run(
        {"name": "read", "src": str(bulk)},
        _save(tmp_path, "as it is"),
        command("tr '\\000-\\377' '\\001-\\377\\000'", name="shift", input="read"),
        _save(tmp_path, "shifted"),
        command("tail -c 1000", name="tail", input="read"),
        _save(tmp_path, "end"),
        command("cat; echo more", name="more", input="read"),
        _save(tmp_path, "longer"),
    )
    assert result.msg is None
    assert (tmp_path / "as it is").read_bytes() == BULK
    assert (tmp_path / "shifted").read_bytes() == bytes((byte + 1) % 256 for byte in EVERY_BYTE) * 32_000
    assert (tmp_path / "end").read_bytes() == BULK[-1000:]
    assert (tmp_path / "longer").read_bytes() == BULK + b"more\n"


def test_a_slow_branch_governs_and_loses_nothing(pipelines: Pipelines, bulk: Path, tmp_path: Path) -> None:
    """The slow one reads its second byte only when the other branch waits for it."""
    fast = (
        "import os, sys\nseen = 0\nwhile data := os.read(0, 65536): seen += len(data); os.write(1, b'.')\nprint(seen)"
    )
    slow = f"head -c 1; while [ $(wc -c <{tmp_path}/seen) -lt 20 ]; do sleep 0.01; done; cat"
    result = pipelines.run(
        {"name": "read", "src": str(bulk)},
        command(f"{sys.executable} -S -c {_quoted(fast)} >{tmp_path}/seen", name="fast"),
        command(slow, name="slow", input="read"),
        _save(tmp_path, "a"),
    )
    assert result.msg is None
    assert (tmp_path / "a").read_bytes() == BULK
    assert (tmp_path / "seen").read_text().strip(".\n") == str(len(BULK))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


# -- branches that have enough -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("counts_input", [False, True])
@pytest.mark.parametrize("checksum", [False, True])
def test_a_branch_that_has_enough_does_not_harm_the_others(
    pipelines: Pipelines, bulk: Path, folder: Path, checksum: bool, counts_input: bool
) -> None:
    pipelines.add(FakeContext("db", counts_input=counts_input))
    result = pipelines.run(
        {"name": "read", "src": str(bulk)},
        command("head -c 1 | od -An -tx1", "db", name="first byte"),
        _save(folder, "a"),
        _save(folder, "b", "read", context="db"),
        checksum=checksum,
    )
    assert result.msg is None
    assert (folder / "a").read_bytes() == b" 00\n"
    assert (folder / "b").read_bytes() == BULK
    assert not result.warnings


@pytest.mark.parametrize("checksum", [False, True])
def test_a_branch_whose_end_has_enough_does_not_harm_the_others(
    pipelines: Pipelines, bulk: Path, folder: Path, checksum: bool
) -> None:
    result = pipelines.run(
        {"name": "read", "src": str(bulk)},
        command("cat", name="filter"),
        command("cat", name="another"),
        command("head -c 1", name="first byte"),
        _save(folder, "a"),
        _save(folder, "b", "read"),
        checksum=checksum,
    )
    assert result.msg is None
    assert (folder / "a").read_bytes() == b"\0"
    assert (folder / "b").read_bytes() == BULK
    assert [step.proof for step in result.steps][1:3] == ["unneeded", "unneeded"]


def test_branches_that_all_have_enough_end_the_source(pipelines: Pipelines, folder: Path) -> None:
    result = pipelines.run(
        command("yes", name="source"),
        command("head -n1"),
        _save(folder, "a"),
        command("cat", name="filter", input="source"),
        command("head -n2"),
        _save(folder, "b"),
    )
    assert result.msg is None
    assert (folder / "a").read_bytes() == b"y\n"
    assert (folder / "b").read_bytes() == b"y\ny\n"
    assert result.steps[0].proof == "unneeded"


def test_a_branch_that_leaves_something_running_does_not_harm_the_others(
    pipelines: Pipelines, tmp_path: Path, folder: Path
) -> None:
    """What it leaves holds its connection and its input; it is let go after a while, and the source goes on."""
    transport = ("/bin/sh", "-c", '/bin/sh -c "$1" | cat', "transport")
    pipelines.add(FakeContext("db", transport, counts_input=False))
    # more at first than is kept back for a mark
    source = f"echo {'x' * 200}; i=0; while [ $i -lt 40 ]; do echo $i; i=$((i+1)); sleep 0.1; done"
    result = pipelines.run(
        command(source, name="source"),
        command(f"exec 3<&0; head -c 1; sleep 1000 <&3 & echo $! >{tmp_path}/left", "db", name="lingers"),
        _save(folder, "b", "source"),
    )
    assert result.msg is None
    assert (folder / "b").read_text() == "x" * 200 + "\n" + "".join(f"{number}\n" for number in range(40))
    assert ends(int((tmp_path / "left").read_text()))


def test_a_source_that_lingers_waits_for_its_slowest_reader(
    pipelines: Pipelines, bulk: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its mark is known long before the last byte is passed on."""
    monkeypatch.setattr(f"{Stage.__module__}.MARK_GRACE", 0.0)
    pipelines.add(FakeContext("db", ("/bin/sh", "-c", '/bin/sh -c "$1"; exec sleep 1000', "transport")))
    result = pipelines.run(
        command(f"head -c 2500000 {bulk}", "db", name="source"),
        _save(folder, "a"),
        # waits until the other branch has all that is not for it alone
        command(f"while [ $(wc -c <$(echo {folder}/.a.*.part)) != 2500000 ]; do :; done; wc -c", input="source"),
    )
    assert result.msg is None
    assert (folder / "a").read_bytes() == BULK[:2_500_000]
    assert result.stdout == "2500000\n"


def test_a_source_that_lingers_waits_for_a_reader_behind_a_buffer(
    pipelines: Pipelines, bulk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{Stage.__module__}.MARK_GRACE", 0.0)
    printed = tmp_path / "printed"
    transport = ("/bin/sh", "-c", f'/bin/sh -c "$1"; : >{printed}; exec sleep 1000', "transport")
    pipelines.add(FakeContext("db", transport))
    result = pipelines.run(
        command(f"cat {bulk}", "db"),
        command(f"while [ ! -e {printed} ]; do :; done; sleep 0.5; wc -c", buffer=16 << 20),
    )
    assert result.msg is None
    assert result.stdout == f"{len(BULK)}\n"


# -- destinations that fail --------------------------------------------------------------------------------------------


class _Unreachable(FakeContext):
    def open(self, seconds: float = 60.0) -> None:  # noqa: ARG002
        raise ContextError(self.name, "connecting by SSH", "Connection refused", "Check ansible_port.")


def _dies_at_once() -> tuple[str, ...]:
    return ("/bin/sh", "-c", "echo 'no route' >&2; exit 255", "transport")


def _bad(how: str) -> FakeContext:
    """Return a context in which a sink fails at some time."""
    if how == "out of reach":
        return _Unreachable("bad")
    transports = {
        "refused": _dies_at_once(),
        "cut at once": cuts_input(0, "close"),
        "cut in the middle": cuts_input(3_000_000, "close"),
        "cut and drained": cuts_input(3_000_000, "drain"),
        "one byte lost": cuts_input(3_000_000, "hole"),
        "report cut": cuts_output(10, "drain"),
    }
    return FakeContext("bad", transports[how])


WAYS = ("out of reach", "refused", "cut at once", "cut in the middle", "cut and drained", "one byte lost", "report cut")
failing = pytest.mark.parametrize(("how", "checksum"), [(how, number % 2 == 0) for number, how in enumerate(WAYS)])
"""Every way to fail; whether the data is hashed decides which pump moves it."""


@failing
def test_one_failing_destination_aborts_all(
    pipelines: Pipelines, bulk: Path, folder: Path, how: str, checksum: bool
) -> None:
    pipelines.add(_bad(how))
    result = pipelines.run(
        {"name": "read", "src": str(bulk)},
        _save(folder, "a"),
        _save(folder, "b", "read", context="bad"),
        _save(folder, "c", "read"),
        checksum=checksum,
    )
    assert result.failed_step == "b"
    assert result.msg is not None and result.msg.startswith("step 'b' (bad): ")
    assert not result.changed and not any(each.committed for each in result.sinks)
    assert _untouched(folder)


@failing
def test_the_proven_destinations_are_committed_if_that_was_asked_for(
    pipelines: Pipelines, bulk: Path, folder: Path, how: str, checksum: bool
) -> None:
    pipelines.add(_bad(how))
    result = pipelines.run(
        {"name": "read", "src": str(bulk)},
        _save(folder, "a"),
        _save(folder, "b", "read", context="bad"),
        _save(folder, "c", "read"),
        checksum=checksum,
        on_sink_failure_continue=True,
    )
    assert result.failed_step == "b"
    assert result.msg is not None and result.msg.startswith("step 'b' (bad): ")
    assert result.as_task_result()["failed"] and result.changed
    assert [each.step for each in result.sinks if each.committed] == ["a", "c"]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"a": BULK, "b": b"old", "c": BULK}


@pytest.mark.parametrize("how", ["refused", "cut in the middle", "report cut"])
@pytest.mark.parametrize("checksum", [False, True])
def test_a_failing_destination_behind_a_filter_of_its_own_stops_nobody_else(
    pipelines: Pipelines, bulk: Path, folder: Path, how: str, checksum: bool
) -> None:
    pipelines.add(_bad(how))
    result = pipelines.run(
        {"name": "read", "src": str(bulk)},
        command("cat", name="filter"),
        command("cat", name="another"),
        _save(folder, "b", context="bad"),
        _save(folder, "a", "read"),
        checksum=checksum,
        on_sink_failure_continue=True,
        timeout=30,
    )
    assert result.failed_step == "b", result.msg
    assert result.msg is not None and "did not finish" not in result.msg
    assert [each.step for each in result.sinks if each.committed] == ["a"]
    assert (folder / "a").read_bytes() == BULK
    assert (folder / "b").read_bytes() == b"old"
    assert not temporaries(folder)


def test_all_destinations_that_failed_are_named(pipelines: Pipelines, bulk: Path, folder: Path) -> None:
    pipelines.add(_bad("cut in the middle"))
    pipelines.add(FakeContext("worse", cuts_input(1_000_000, "close")))
    result = pipelines.run(
        {"name": "read", "src": str(bulk)},
        _save(folder, "a"),
        _save(folder, "b", "read", context="bad"),
        _save(folder, "c", "read", context="worse"),
        on_sink_failure_continue=True,
    )
    assert result.msg is not None and "step 'b' (bad)" in result.msg and "step 'c' (worse)" in result.msg
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"a": BULK, "b": b"old", "c": b"old"}


def test_if_all_destinations_fail_nothing_is_committed(pipelines: Pipelines, bulk: Path, folder: Path) -> None:
    pipelines.add(_bad("cut in the middle"))
    pipelines.add(FakeContext("worse", cuts_input(1_000_000, "close")))
    result = pipelines.run(
        {"name": "read", "src": str(bulk)},
        _save(folder, "b", context="bad"),
        _save(folder, "c", "read", context="worse"),
        on_sink_failure_continue=True,
    )
    assert result.failed_step in ("b", "c")
    assert not result.changed and result.sinks == ()
    assert _untouched(folder)


def test_a_failing_source_commits_nothing_even_if_destinations_may_fail(pipelines: Pipelines, folder: Path) -> None:
    result = pipelines.run(
        command("echo data; exit 3", name="source"),
        _save(folder, "a"),
        _save(folder, "b", "source"),
        on_sink_failure_continue=True,
    )
    assert result.failed_step == "source"
    assert _untouched(folder)


def test_a_failing_command_beside_a_destination_commits_nothing(pipelines: Pipelines, folder: Path) -> None:
    result = pipelines.run(
        command("echo data", name="source"),
        _save(folder, "a"),
        command("cat >/dev/null; exit 3", name="check", input="source"),
        on_sink_failure_continue=True,
    )
    assert result.failed_step == "check"
    assert _untouched(folder)


def test_a_destination_that_never_gets_ready_is_given_up_alone(pipelines: Pipelines, bulk: Path, folder: Path) -> None:
    pipelines.add(FakeContext("db", ("/bin/sh", "-c", "sleep 1000", "transport")))
    result = pipelines.run(
        {"name": "read", "src": str(bulk)},
        _save(folder, "a"),
        _save(folder, "b", "read", context="db"),
        on_sink_failure_continue=True,
        connect_timeout=1,
    )
    assert result.msg == "step 'b' (db): the connection was not ready in time"
    assert (folder / "a").read_bytes() == BULK
    assert (folder / "b").read_bytes() == b"old"


def test_a_commit_that_fails_is_told_and_the_others_stand(pipelines: Pipelines, folder: Path) -> None:
    honest = ("/bin/sh", "-c", 'exec /bin/sh -c "$1"', "transport")
    pipelines.add(FakeContext("bad", honest, _dies_at_once()))
    result = pipelines.run(
        command("printf new", name="source"),
        _save(folder, "a"),
        _save(folder, "b", "source", context="bad"),
    )
    assert result.failed_step == "b"
    assert [(each.step, each.committed) for each in result.sinks] == [("a", True), ("b", False)]
    assert result.changed
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"a": b"new", "b": b"old", "c": b"old"}


def test_a_command_that_fails_after_a_destination_did_is_named_too(pipelines: Pipelines, folder: Path) -> None:
    pipelines.add(_bad("refused"))
    result = pipelines.run(
        command("echo data; exit 3", name="source"),
        _save(folder, "a"),
        _save(folder, "b", "source", context="bad"),
        on_sink_failure_continue=True,
    )
    assert result.failed_step == "source"
    assert result.msg == "step 'source' (local): it failed with exit status 3; step 'b' (bad): no route"
    assert _untouched(folder)


def test_an_interruption_leaves_every_destination_as_it_was(
    pipelines: Pipelines, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ansible_collections.manifold.core.plugins.plugin_utils.streams import _pipeline

    def interrupt(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_pipeline._Run, "_commit", interrupt)
    with pytest.raises(KeyboardInterrupt):
        pipelines.run(command("echo data", name="source"), _save(folder, "a"), _save(folder, "b", "source"))
    assert _untouched(folder)


def test_the_result_has_no_single_size_where_there_are_several_destinations(
    pipelines: Pipelines, tmp_path: Path
) -> None:
    result = pipelines.run(
        command("printf abc", name="source"), sink(tmp_path / "a"), _save(tmp_path, "b", "source")
    ).as_task_result()
    assert "bytes" not in result and "checksum" not in result
    assert [each["bytes"] for each in result["sinks"]] == [3, 3]
