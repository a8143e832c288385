# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import _thread
import threading
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._base import ContextError, Launch
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._local import LocalContext
from ansible_collections.manifold.core.plugins.plugin_utils.streams._exchange import ExchangeFailed, run_command

from unit.support import EVERY_BYTE, PATIENCE, FakeContext, cuts_input, cuts_output

POD = FakeContext("shop")


def _sh(line: str, data: bytes | None = None, context: Any = POD) -> tuple[int, bytes, bytes]:
    return run_command(context, ("sh", "-c", line), data, PATIENCE)


def test_a_command_answers_with_status_and_both_outputs() -> None:
    assert _sh("printf out; printf 'err\\377' >&2; exit 3") == (3, b"out", b"err\xff")


@pytest.mark.parametrize("size", [0, 1, 5_000_000])
def test_input_and_output_are_whole_whatever_their_size(size: int) -> None:
    data = (EVERY_BYTE * (size // len(EVERY_BYTE) + 1))[:size]
    assert _sh("cat", data) == (0, data, b"")


def test_without_input_a_command_reads_its_end_at_once() -> None:
    assert _sh("cat; echo end") == (0, b"end\n", b"")


def test_errors_are_kept_whole_however_long() -> None:
    rc, out, err = _sh("i=0; while [ $i -lt 20000 ]; do echo line $i >&2; i=$((i+1)); done")
    assert (rc, out, err.count(b"\n")) == (0, b"", 20_000)


def test_a_command_may_leave_input_unread_on_purpose() -> None:
    assert _sh("read line; echo $line", b"first\n" + EVERY_BYTE * 10_000)[:2] == (0, b"first\n")


def test_what_a_command_leaves_running_is_not_waited_for_and_not_heard() -> None:
    rc, out, _err = _sh("( sleep 0.3; echo late; sleep 1000 ) & echo now")
    assert (rc, out) == (0, b"now\n")


@pytest.mark.parametrize("then", ["close", "drain"])
@pytest.mark.parametrize("count", [0, 10, 999])
def test_an_output_that_was_cut_is_no_answer(count: int, then: str) -> None:
    context = FakeContext("shop", cuts_output(count, then))
    with pytest.raises(ExchangeFailed, match="its output was cut"):
        _sh("head -c 1000 /dev/zero", context=context)


@pytest.mark.parametrize("then", ["close", "drain", "hole"])
def test_an_input_that_was_cut_is_no_success(then: str) -> None:
    context = FakeContext("shop", cuts_input(1000, then))
    with pytest.raises(ExchangeFailed, match=r"its input was cut: it was given \d+ of 5000 bytes"):
        _sh("cat >/dev/null", bytes(5000), context)


def test_a_transport_that_fails_is_explained() -> None:
    context = FakeContext("shop", ("/bin/sh", "-c", "echo 'no such pod' >&2; exit 1", "transport"))
    with pytest.raises(ExchangeFailed, match="no such pod"):
        _sh("true", context=context)


def test_a_context_that_cannot_be_used_says_what_to_do() -> None:
    class Gone(LocalContext):
        def open(self, seconds: float = 60.0) -> None:
            raise ContextError("db", "finding its pod", f"there was none in {seconds:g} s", "Start one.")

    with pytest.raises(ExchangeFailed) as failed:
        run_command(Gone("db"), ("true",), seconds=3)
    assert str(failed.value) == "finding its pod: there was none in 3 s. Start one."


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(ExchangeFailed, match="the command 'no-such-shell' was not found"):
        run_command(POD, ("no-such-shell", "-c", "true"))


def test_a_connection_that_is_never_ready_is_not_waited_for() -> None:
    context = FakeContext("shop", ("/bin/sh", "-c", "exec sleep 1000", "transport"))
    with pytest.raises(ExchangeFailed, match=r"not ready within 0.1 seconds"):
        run_command(context, ("true",), seconds=0.1)


def test_an_interruption_ends_the_command_where_it_runs() -> None:
    class Interrupting(FakeContext):
        def launch(self, command: str) -> Launch:
            if len(self.launched) == 0:
                timer.start()
            return super().launch(command)

    timer = threading.Timer(0.5, _thread.interrupt_main)
    with pytest.raises(KeyboardInterrupt):
        _sh("sleep 1000", context=Interrupting("shop"))


@pytest.mark.parametrize("data", [None, b"input"])
def test_a_command_that_outlives_its_connection_is_ended_where_it_runs(data: bytes | None, tmp_path: Path) -> None:
    """The check that nothing of a test goes on running is the assertion here."""
    leave = f'exec 3<&0; setsid /bin/sh -c "$1" <&3 & until [ -e {tmp_path}/runs ]; do sleep 0.02; done; exit 0'
    context = FakeContext("shop", ("/bin/sh", "-c", leave, "transport"))
    with pytest.raises(ExchangeFailed, match="its output was cut"):
        _sh(f"touch {tmp_path}/runs; exec sleep 1000", data, context)
