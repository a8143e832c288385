# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which guard is chosen, what is asked of systemd, and the record that a guard restores from."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from ansible_collections.manifold.core.plugins.module_utils.multinic import _guarded, _guards, _state
from ansible_collections.manifold.core.plugins.module_utils.multinic._errors import GuardError, NodeError
from ansible_collections.manifold.core.plugins.module_utils.multinic._observed import Address, Link, Route
from ansible_collections.manifold.core.plugins.module_utils.multinic._snapshot import (
    File,
    Snapshot,
    boot_id,
    from_json,
    to_json,
)
from ansible_collections.manifold.core.plugins.module_utils.multinic._system import Ran, System

PACKAGE = Path(_guards.__file__).parent
NAME = "ansible_collections.manifold.core.plugins.module_utils.multinic"
ADDRESS = Address(("192.0.2.1/24",), ("scope", "link"), 4, True)
SNAPSHOT = Snapshot(
    nonce="abc",
    boot_id="some boot",
    files=(File("/etc/a", b"\x00\xff", 0o640), File("/etc/b", None)),
    links=(
        Link(
            7,
            "fa:16:3e:00:00:01",
            "eth7",
            True,
            1500,
            ("x",),
            (Address(("192.0.2.1/24",), ("scope", "link"), 4, True),),
        ),
    ),
    routes=(Route(6, ("default", "via", "fe80::1"), 7, "boot", None),),
    commands=(("nmcli", "connection", "load", "/etc/a"),),
    deadline=12.5,
)


class Fake(System):
    """A node whose commands answer from a table; what was run is in ``ran``."""

    def __init__(self, root: Path, answers: dict[str, Ran] | None = None) -> None:
        super().__init__(root)
        self.answers = answers or {}
        self.ran: list[list[str]] = []

    def run(self, argv: Sequence[str], timeout: float = 30) -> Ran:
        del timeout
        self.ran.append(list(argv))
        found = [answer for words, answer in self.answers.items() if " ".join(argv).startswith(words)]
        return found[0] if found else Ran(0, "", "")

    def which(self, command: str) -> str | None:
        return f"/usr/bin/{command}" if any(words.startswith(command) for words in self.answers) else None


@pytest.fixture
def booted(tmp_path: Path) -> Fake:
    """A node that systemd has booted."""
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/python3").touch()
    answers = {"systemctl is-system-running": "degraded\n", "systemctl is-active": "active\n", "systemd-run": ""}
    return Fake(tmp_path, {words: Ran(0, said, "") for words, said in answers.items()})


def test_a_timer_is_chosen_where_systemd_answers(booted: Fake) -> None:
    assert _guards.choose(booted).kind == "timer"


@pytest.mark.parametrize(("state", "said"), [("offline\n", "offline"), ("", "nothing")])
def test_a_timer_is_not_chosen_where_systemd_does_not_answer(booted: Fake, state: str, said: str) -> None:
    booted.answers["systemctl is-system-running"] = Ran(1, state, "")
    with pytest.raises(GuardError, match=rf"timer: systemd does not answer \(systemctl is-system-running: {said}\)"):
        _guards.choose(booted, "timer")


def test_in_a_container_without_systemd_there_is_no_guard_but_none(tmp_path: Path) -> None:
    with pytest.raises(GuardError) as caught:
        _guards.choose(Fake(tmp_path))
    assert str(caught.value) == (
        "this node cannot have a guard (container: this is no pod with a guard container; "
        "timer: systemd is not PID 1; watchdog: the node is mounted at "
        f"{tmp_path}: a process of this container ends with it); nothing was changed. "
        "Choose another one, or guard: none to go without"
    )
    assert _guards.choose(Fake(tmp_path), "none").kind == "none"


def test_a_kind_that_does_not_exist_is_an_error_with_those_that_do(booted: Fake) -> None:
    with pytest.raises(GuardError, match="no guard 'checkpoint'; choose one of auto, container, timer, watchdog, none"):
        _guards.choose(booted, "checkpoint")


def test_the_timer_is_exact_and_runs_the_nodes_python(booted: Fake) -> None:
    _guards.choose(booted, "timer").arm("abc", 60)
    (argv,) = [argv for argv in booted.ran if argv[0] == "systemd-run"]
    assert {"--on-active=60s", "--collect", "--timer-property=AccuracySec=100ms"} <= set(argv)
    assert argv[-5:] == ["/usr/bin/python3", "-I", "/var/lib/manifold-core/multinic/restore.pyz", "abc", "/"]


def test_a_timer_that_systemd_refuses_is_taken_back_with_its_record(booted: Fake) -> None:
    booted.answers["systemd-run"] = Ran(1, "", "Failed to start transient timer unit: no\n")
    booted.answers["systemctl is-active"] = Ran(3, "inactive\n", "")
    with pytest.raises(GuardError, match=r"cannot arm the guard \(timer\): Failed to start transient timer unit: no"):
        _guarded.arm(SNAPSHOT, _guards.choose(booted, "timer"), 60)
    assert list(booted.path(_state.FOLDER).iterdir()) == []


def test_a_timer_that_cannot_be_stopped_does_not_undo_the_decision(booted: Fake) -> None:
    armed = _guarded.arm(SNAPSHOT, _guards.choose(booted, "timer"), 60)
    assert armed.disarm() == ("the guard (timer) is still armed: systemctl cannot stop manifold-multinic-guard.timer",)
    assert not booted.path(f"{_state.FOLDER}/snapshot.json").exists()


def test_a_folder_that_cannot_be_written_is_an_error_before_anything_is_changed(booted: Fake) -> None:
    (booted.root / "var").touch()
    with pytest.raises(
        GuardError, match="cannot write the snapshot in /var/lib/manifold-core/multinic: Not a directory"
    ):
        _guarded.arm(SNAPSHOT, _guards.choose(booted, "timer"), 60)


def test_a_record_is_read_as_it_was_written() -> None:
    assert from_json(to_json(SNAPSHOT)) == SNAPSHOT


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{", b'{"version": 2}', b'{"version": 1}', b'{"version": 1, "nonce": 5}']
)
def test_what_is_no_record_is_an_error(text: bytes) -> None:
    with pytest.raises(ValueError):
        from_json(text)


def test_a_command_that_does_not_end_is_a_problem_and_the_files_are_put_back(tmp_path: Path) -> None:
    class Hangs(Fake):
        def run(self, argv: Sequence[str], timeout: float = 30) -> Ran:
            raise NodeError(f"{argv[0]} did not end within {timeout:g} s")

    system = Hangs(tmp_path)
    state = _state.State(system)
    state.begin(Snapshot("abc", boot_id(), files=SNAPSHOT.files, links=SNAPSHOT.links), b"")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/b").touch()
    (tmp_path / "etc/.a.x.manifold").touch()
    restored = state.restore("abc", "a test")
    assert restored is not None and restored.problems == ("ip did not end within 30 s",)
    assert [path.name for path in (tmp_path / "etc").iterdir()] == ["a"]


def test_the_program_of_the_guard_is_complete_also_when_we_run_from_a_zip(tmp_path: Path) -> None:
    """As modules do on a node; the program has to import nothing that is not in it."""
    packed = tmp_path / "module.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        folder = ""
        for part in ["ansible_collections", "manifold", "core", "plugins", "module_utils", "multinic"]:
            folder += f"{part}/"
            archive.writestr(f"{folder}__init__.py", "")
        for path in PACKAGE.glob("_*.py"):
            if path.name != "__init__.py":
                archive.write(path, folder + path.name)
    built = tmp_path / "restore.pyz"
    code = f"from {NAME}._switch import program; open({str(built)!r}, 'wb').write(program())"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(packed)})
    system = Fake(tmp_path / "node")
    _state.State(system).begin(Snapshot("abc", "another boot", files=(File("/etc/a", b"old\n", 0o600),)), b"")
    for nonce, content in (("other", False), ("abc", True)):
        done = subprocess.run(
            [sys.executable, "-I", str(built), nonce, str(system.root)], capture_output=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, b"")
        assert (system.root / "etc/a").exists() == content
