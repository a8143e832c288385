# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import ansible_collections.manifold.core.plugins.plugin_utils._signals as signals
import pytest

# A process of its own, because it is to end by the signal.
_PROGRAM = """
import importlib.util, os, signal, sys
spec = importlib.util.spec_from_file_location("signals", sys.argv[1])
signals = importlib.util.module_from_spec(spec)
spec.loader.exec_module(signals)
try:
    with signals.raising():
        try:
            os.kill(os.getpid(), int(sys.argv[2]))
            while True:
                signal.pause()
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
            print("cleaned up", flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def _run(number: int) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", _PROGRAM, str(signals.__file__), str(number)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)


def test_a_terminated_worker_cleans_up_undisturbed_and_then_ends_by_its_signal() -> None:
    done = _run(signal.SIGTERM)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "cleaned up\n")


def test_an_interrupted_worker_cleans_up_undisturbed_and_is_then_interrupted() -> None:
    done = _run(signal.SIGINT)
    assert (done.returncode, done.stdout) == (0, "cleaned up\ninterrupted\n")


def test_a_block_that_is_not_disturbed_leaves_the_handlers_as_they_were() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with signals.raising():
        assert signal.getsignal(signal.SIGTERM) != before[0]
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_other_errors_pass_through_and_leave_the_handlers_as_they_were() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with pytest.raises(ValueError, match="other"), signals.raising():
        raise ValueError("other")
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_a_signal_reaches_whoever_handled_it_before() -> None:
    received = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: received.append(number))
    try:
        with signals.raising():
            os.kill(os.getpid(), signal.SIGTERM)
            pytest.fail("the signal did not raise")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert received == [signal.SIGTERM]


def test_outside_the_main_thread_there_are_no_signals_to_raise() -> None:
    errors: list[BaseException] = []

    def work() -> None:
        try:
            with signals.raising():
                pass
        except BaseException as exc:
            errors.append(exc)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert errors == []
