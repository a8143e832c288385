# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pipeline can do besides arriving whole, as a user asks for it: in playbooks, on real transports."""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from integration.support import (
    PLAYBOOKS,
    SECONDS,
    Hosts,
    Inventories,
    Pods,
    assert_no_traceback,
    folder_in,
    in_pod,
    one_line,
    parts_in,
    pipeline,
    play,
    tail_of,
)
from quickstart import sample
from testbed.fixtures import ON_BOTH_TIERS
from testbed.playbook import PlaybookRun
from testbed.pods import PodHost
from testbed.ssh.host import SshHost

MIB = 1 << 20
OLD = "the old content\n"
PACK, UNPACK = ("zstd -3 -T0", "zstd -dc") if shutil.which("zstd") else ("gzip -1n", "gzip -dc")
both_tiers = pytest.mark.parametrize("tier", ON_BOTH_TIERS)


def old_file(host: SshHost, name: str = "file") -> Path:
    """Make a folder of the host's with an old file in it; return the file."""
    folder = host.data / name
    folder.mkdir()
    (folder / "old").write_text(OLD)
    return folder / "old"


def content(file: Path) -> dict[str, str]:
    """Return everything in the folder of a file."""
    return {path.name: path.read_text() for path in file.parent.iterdir()}


# -- several destinations ------------------------------------------------------------------------------------------


class Gate:
    """A command that prints one half, says so, waits, and prints the other half."""

    def __init__(self, folder: Path) -> None:
        self.reached, self.opened = folder / "reached", folder / "opened"
        for fifo in (self.reached, self.opened):
            os.mkfifo(fifo)

    def command(self, half: int) -> str:
        reached, opened = shlex.quote(str(self.reached)), shlex.quote(str(self.opened))
        data = f"head -c {half} /dev/zero"
        return f"{data}; echo >{reached}; read -r _ <{opened}; {data}"

    @contextmanager
    def between(self, run: PlaybookRun) -> Iterator[None]:
        """Do something while the command waits."""
        come = threading.Event()

        def listen() -> None:
            self.reached.read_bytes()
            come.set()

        threading.Thread(target=listen, daemon=True).start()
        assert come.wait(SECONDS), f"the stream was not half through\n{run.stdout}\n{run.stderr}"
        yield
        threading.Thread(target=lambda: self.opened.write_text("go\n"), daemon=True).start()


@both_tiers
def test_one_of_two_servers_is_lost_on_the_way(ssh_host: Hosts, inventory: Inventories, tmp_path: Path) -> None:
    alpha, beta = ssh_host("alpha"), ssh_host("beta")
    gate = Gate(tmp_path)
    files = {(mode, host.name): old_file(host, mode) for mode in ("abort", "continue") for host in (alpha, beta)}
    tasks = [
        pipeline(
            mode,
            {"name": "source", "context": "local", "command": gate.command(2 * MIB)},
            {"name": "alpha", "context": "alpha", "dest": str(files[mode, "alpha"])},
            {"name": "pass on", "context": "local", "command": "cat", "input": "source"},
            {"name": "beta", "context": "beta", "dest": str(files[mode, "beta"])},
            on_sink_failure=mode,
        )
        for mode in ("abort", "continue")
    ]
    run = inventory(alpha, beta).play_async([play(*tasks)])
    for _mode in range(2):
        with gate.between(run):
            beta.server.kill_sessions()
    result = run.wait().check()
    assert_no_traceback(result)

    for mode in ("abort", "continue"):
        assert result.task(mode).status == "failed"
        assert tail_of(result, mode)["failed_step"] == "beta"
        assert tail_of(result, mode)["msg"].startswith("step 'beta' (beta): ")
        assert content(files[mode, "beta"]) == {"old": OLD}
    assert content(files["abort", "alpha"]) == {"old": OLD}
    assert [each["committed"] for each in tail_of(result, "abort")["sinks"]] in ([], [False])
    assert tail_of(result, "abort")["changed"] is False
    assert files["continue", "alpha"].read_bytes() == bytes(4 * MIB)
    assert parts_in(files["continue", "alpha"].parent) == []
    assert [(each["step"], each["committed"]) for each in tail_of(result, "continue")["sinks"]] == [("alpha", True)]
    assert tail_of(result, "continue")["changed"] is True


# -- there and back ------------------------------------------------------------------------------------------------


def put(folder: Path, pod: PodHost) -> str:
    """Copy a folder into a pod and return its path there."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(folder, ".")
    target = folder_in(pod, "original")
    in_pod(pod, f"tar xf - -C {target}", archive.getvalue())
    return target


@both_tiers
def test_a_backup_is_restored_into_another_pod(
    ssh_host: Hosts, pod: Pods, inventory: Inventories, tmp_path: Path
) -> None:
    server, web, spare = ssh_host("backup-server"), pod("web"), pod("spare")
    (tmp_path / "original").mkdir()
    sample.fill(tmp_path / "original", 4)
    contexts = inventory(server, web, spare)
    backup = {
        "source": "web",
        "source_path": put(tmp_path / "original", web),
        "destination": "backup-server",
        "dest_dir": str(server.data),
        "filename": "data",
        "compress": PACK,
    }
    contexts.run_playbook(PLAYBOOKS / "backup.yml", extra_vars=backup).check()
    target = folder_in(spare, "restored")
    restore = {
        "source": "backup-server",
        "file": str(server.data / "data"),
        "destination": "spare",
        "dest_path": target,
        "uncompress": UNPACK,
    }
    done = contexts.run_playbook(PLAYBOOKS / "restore.yml", extra_vars=restore).check()
    assert_no_traceback(done)
    steps = tail_of(done, "Stream the archive into the folder")["steps"]
    assert [(step["name"], step["proof"]) for step in steps] == [
        (name, "marker") for name in ("read", "uncompress", "extract")
    ]
    assert steps[0]["bytes_out"] == (server.data / "data").stat().st_size
    (tmp_path / "restored").mkdir()
    with tarfile.open(fileobj=io.BytesIO(in_pod(spare, f"tar cf - -C {target} ."))) as tar:
        tar.extractall(tmp_path / "restored", filter="tar")
    assert sample.fingerprint(tmp_path / "restored") == sample.fingerprint(tmp_path / "original")


@pytest.mark.embedded
def test_a_restore_from_a_broken_archive_is_never_green(
    ssh_host: Hosts, inventory: Inventories, tmp_path: Path
) -> None:
    server = ssh_host("backup-server")
    (server.data / "data").write_bytes(b"no archive at all")
    asked = {
        "source": "backup-server",
        "file": str(server.data / "data"),
        "destination": "local",
        "dest_path": str(tmp_path),
        "uncompress": UNPACK,
    }
    result = inventory(server).run_playbook(PLAYBOOKS / "restore.yml", extra_vars=asked)
    assert result.rc != 0
    assert "step 'uncompress' (local): it failed" in one_line(result.stdout)
    missing = inventory(server).run_playbook(PLAYBOOKS / "restore.yml", extra_vars={**asked, "file": "/nowhere"})
    assert missing.rc != 0
    assert "step 'read' (backup-server): the source /nowhere does not exist" in one_line(missing.stdout)


# -- a container without a shell -----------------------------------------------------------------------------------


@pytest.mark.node
def test_a_pod_without_a_shell_is_read_and_written(ssh_host: Hosts, pod: Pods, inventory: Inventories) -> None:
    server, web = ssh_host("server"), pod("web")
    in_pod(web, "head -c 3000000 /dev/zero >/data; rm -f /bin/sh /usr/bin/sh")
    read = {"name": "read", "context": "web", "argv": ["cat", "/data"]}
    save = {"name": "save", "context": "server", "dest": str(server.data / "file")}
    bare = {"proof": "transport"}
    result = inventory(server, web).run_playbook(
        [
            play(
                pipeline("with a shell", read, save),
                pipeline("without", {**read, **bare}, save),
                pipeline(
                    "into it",
                    {"context": "local", "command": "head -c 2000000 /dev/zero"},
                    {"context": "web", "argv": ["tee", "/copy"], **bare},
                    {"context": "local", "command": "wc -c"},
                ),
                pipeline("fails", {"context": "web", "argv": ["cat", "/nowhere"], **bare}, save),
                pipeline("not there", {"context": "web", "argv": ["no-such-program"], **bare}, save),
                pipeline("on a server", {**read, **bare, "context": "server"}, save),
                pipeline("measured", {"context": "web", "argv": ["wc", "-c", "/copy"], **bare}),
            )
        ]
    )
    assert_no_traceback(result.check())
    assert result.task("with a shell").status == "failed"
    assert "proof: transport" in tail_of(result, "with a shell")["msg"]
    without = tail_of(result, "without")
    assert [step["proof"] for step in without["steps"]] == ["transport", "marker"]
    assert (without["changed"], without["bytes"]) == (True, 3_000_000)
    assert tail_of(result, "into it")["stdout"].strip() == "2000000"
    assert tail_of(result, "measured")["stdout"].split()[0] == "2000000"
    for name, step in (("fails", "step 1"), ("not there", "step 1"), ("on a server", "read")):
        assert (result.task(name).status, tail_of(result, name)["failed_step"]) == ("failed", step)
    assert (server.data / "file").read_bytes() == bytes(3_000_000)
    assert parts_in(server.data) == []


# -- check mode and diff -------------------------------------------------------------------------------------------


@pytest.mark.embedded
def test_check_mode_proves_what_it_can_and_moves_nothing(
    ssh_host: Hosts, pod: Pods, inventory: Inventories, tmp_path: Path
) -> None:
    server, web = ssh_host("server"), pod("web")
    file = old_file(server)
    (tmp_path / "source").write_text("new content\n")
    source = {"name": "source", "context": "web", "command": f"touch {shlex.quote(str(tmp_path))}/ran; echo new"}
    save = {"name": "save", "context": "server", "dest": str(file)}
    tasks = [
        pipeline("would replace", source, save),
        pipeline("would make", source, {**save, "dest": str(file.parent / "a" / "b"), "create_parents": True}),
        pipeline("would copy", {"context": "local", "src": str(tmp_path / "source")}, save),
        pipeline("would do nothing", source, save, creates=str(file)),
        pipeline("no program", {**source, "command": "no-such-program"}, save),
        pipeline("no directory", source, {**save, "dest": "/nowhere/file"}),
        pipeline("without a shell", {"context": "web", "argv": ["touch", str(tmp_path / "ran")], "proof": "transport"}),
    ]
    before = file.stat()
    result = inventory(server, web).run_playbook([play(*tasks)], "--check", "--diff").check()
    assert_no_traceback(result)
    for name in ("would replace", "would make", "would copy", "without a shell"):
        assert (result.task(name).status, result.task(name).changed) == ("ok", True), tail_of(result, name)
        assert tail_of(result, name)["sinks"] == []
    assert (result.task("would do nothing").status, result.task("would do nothing").changed) == ("ok", False)
    for name, step in (("no program", "source"), ("no directory", "save")):
        assert (result.task(name).status, tail_of(result, name)["failed_step"]) == ("failed", step)
        assert not result.task(name).changed
    assert content(file) == {"old": OLD}
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert not (tmp_path / "ran").exists()
    assert "-size: 16" in result.stdout and "+what the pipeline prints" in result.stdout


@pytest.mark.embedded
def test_the_difference_is_shown_if_it_was_asked_for(ssh_host: Hosts, inventory: Inventories) -> None:
    server = ssh_host("server")
    file = old_file(server)
    task = pipeline(
        "replace", {"context": "local", "command": "printf newer"}, {"context": "server", "dest": str(file)}
    )
    contexts = inventory(server)
    result = contexts.run_playbook([play(task)], "--diff").check()
    lines = result.stdout.splitlines()
    assert f"--- before: server:{file}" in lines and f"+++ after: server:{file}" in lines
    assert "-size: 16" in lines and "+size: 5" in lines
    assert f"+sha256: {tail_of(result, 'replace')['checksum']}" in lines
    assert file.read_text() == "newer"

    again = contexts.run_playbook([play(task)], "--diff").check()
    assert tail_of(again, "replace")["changed"] is False
    assert "size:" not in again.stdout
    assert "diff" not in tail_of(contexts.run_playbook([play(task)]).check(), "replace")


# -- attempts, limits, stalls --------------------------------------------------------------------------------------


@pytest.mark.embedded
def test_what_may_be_repeated_is_tried_again(ssh_host: Hosts, pod: Pods, inventory: Inventories) -> None:
    server, web = ssh_host("server"), pod("web")
    state = f"{folder_in(web, 'state')}/attempts"
    line = f"echo >>{state}; printf 'all '; [ $(wc -l <{state}) -ge 3 ] || exit 7; printf 'of it'"
    source = {"name": "source", "context": "web", "command": line}
    save = {"name": "save", "context": "server", "dest": str(server.data / "file")}
    result = inventory(server, web).run_playbook(
        [
            play(
                pipeline("not said to be harmless", source, save, retries=2, retry_delay=0.01),
                pipeline("too few", {**source, "repeatable": True}, save, retries=1, retry_delay=0.01),
                pipeline("enough", {**source, "repeatable": True}, save, retries=2, retry_delay=0.01),
            )
        ]
    )
    assert_no_traceback(result.check())
    refused = tail_of(result, "not said to be harmless")
    assert "'retries' would run its command again; say 'repeatable: true'" in refused["msg"]
    assert "steps" not in refused, "nothing was begun"
    assert (tail_of(result, "too few")["attempts"], tail_of(result, "too few")["failed_step"]) == (2, "source")
    assert "attempts" not in tail_of(result, "enough"), "the third time in all, the first of this task"
    assert in_pod(web, f"wc -l <{state}").split() == [b"3"]
    assert (server.data / "file").read_text() == "all of it"
    assert parts_in(server.data) == []


@pytest.mark.embedded
def test_a_limit_slows_the_stream_to_what_was_asked_for(ssh_host: Hosts, inventory: Inventories) -> None:
    server = ssh_host("server")
    size, rate = 768 * 1024, 256 * 1024
    steps = [
        {"context": "local", "command": f"head -c {size} /dev/zero"},
        {"context": "server", "dest": str(server.data / "file")},
    ]
    result = inventory(server).run_playbook(
        [play(*(pipeline(f"limited ({checksum})", *steps, bwlimit="256K", checksum=checksum) for checksum in SUMS))]
    )
    assert_no_traceback(result.check())
    for checksum in SUMS:
        done = tail_of(result, f"limited ({checksum})")
        assert done["bytes"] == size
        # a tenth of a second's worth may go at once
        assert done["duration_ms"] / 1000 >= (size - rate / 10) / rate * 0.95
    assert (server.data / "file").read_bytes() == bytes(size)


SUMS = ("sha256", "none")


@pytest.mark.embedded
def test_a_stall_is_ended_and_the_step_named(ssh_host: Hosts, pod: Pods, inventory: Inventories) -> None:
    server, web = ssh_host("server"), pod("web")
    file = old_file(server)
    save = {"name": "save", "context": "server", "dest": str(file)}
    data = {"name": "data", "context": "local", "command": "head -c 20000000 /dev/zero"}
    streams: dict[str, tuple[str, list[dict[str, Any]]]] = {
        "does not write": ("slow", [{"name": "slow", "context": "web", "command": "echo x; sleep 1000"}, save]),
        "does not read its input": (
            "slow",
            [data, {"name": "slow", "context": "web", "command": "head -c 1000; sleep 1000"}, save],
        ),
        "was given all its input and neither writes nor ends": (
            "slow",
            [
                {**data, "command": "echo x"},
                {"name": "slow", "context": "server", "command": "cat >/dev/null; sleep 1000"},
                save,
            ],
        ),
    }
    tasks = [pipeline(why, *steps, stall_timeout=2) for why, (_step, steps) in streams.items()]
    result = inventory(server, web).run_playbook([play(*tasks)]).check()
    assert_no_traceback(result)
    for why, (step, _steps) in streams.items():
        assert tail_of(result, why)["failed_step"] == step, tail_of(result, why)["msg"]
        assert f"not a byte moved for 2 seconds: this step {why}" in tail_of(result, why)["msg"]
    assert content(file) == {"old": OLD}


# -- secrets -------------------------------------------------------------------------------------------------------


@pytest.mark.embedded
def test_the_environment_of_the_task_reaches_its_own_steps_and_no_log_keeps_it(
    ssh_host: Hosts, inventory: Inventories
) -> None:
    alpha, beta = ssh_host("alpha"), ssh_host("beta")
    say = "cat; printf '%s,' ${SECRET_WORD-nothing}"
    secret = "open-sesame-4711"
    steps: list[dict[str, Any]] = [
        {"command": "printf '%s,' $SECRET_WORD"},
        {"context": "beta", "command": say},
        {"context": "alpha", "command": say},
        {"context": "local", "command": say},
        {"command": say},
        {"command": say, "environment": {"SECRET_WORD": "my-own"}},
        {"dest": str(alpha.data / "said")},
    ]
    fails = [{"command": "echo $SECRET_WORD >&2; exit 3"}]
    keywords = {"environment": {"SECRET_WORD": secret}, "no_log": True}
    result = inventory(alpha, beta).run_playbook(
        [play(pipeline("quiet", *steps, task=keywords), pipeline("fails", *fails, task=keywords), hosts="alpha")],
        "-vvv",
        "--diff",
    )
    assert_no_traceback(result.check())
    assert (alpha.data / "said").read_text() == f"{secret},nothing,nothing,nothing,{secret},my-own,"
    assert [result.task(name).status for name in ("quiet", "fails")] == ["ok", "failed"]
    assert "step 'step 1' failed; no_log hides the reason" in one_line(result.stdout + result.stderr)
    for text in (result.stdout, result.stderr):
        assert secret not in text


# -- what a killed run left ----------------------------------------------------------------------------------------


@both_tiers
def test_the_temporary_of_a_killed_run_is_removed_by_the_next(
    ssh_host: Hosts, inventory: Inventories, tmp_path: Path
) -> None:
    server = ssh_host("server")
    file = old_file(server)
    gate = Gate(tmp_path)
    contexts = inventory(server)
    save = {"context": "server", "dest": str(file)}
    run = contexts.play_async([play(pipeline("killed", {"context": "local", "command": gate.command(MIB)}, save))])
    with gate.between(run):
        run.kill_all()
    (left,) = parts_in(file.parent)
    assert file.read_text() == OLD

    stranger = file.with_name(".old.of somebody else.part")
    stranger.touch()
    result = contexts.run_playbook(
        [play(pipeline("next", {"context": "local", "command": "printf new"}, save))]
    ).check()
    assert_no_traceback(result)
    assert not file.with_name(left).exists()
    assert content(file) == {"old": "new", stranger.name: ""}


# -- size ----------------------------------------------------------------------------------------------------------


@pytest.mark.embedded
def test_a_chain_of_a_hundred_steps(ssh_host: Hosts, pod: Pods, inventory: Inventories) -> None:
    server, web = ssh_host("server"), pod("web")
    size = 3 * MIB
    steps = [
        {"context": "web", "command": f"head -c {size} /dev/zero"},
        *({"context": "local", "command": "cat"} for _each in range(98)),
        {"context": "server", "dest": str(server.data / "file")},
    ]
    result = inventory(server, web).run_playbook([play(pipeline("long", *steps))]).check()
    done = tail_of(result, "long")
    assert [step["proof"] for step in done["steps"]] == ["marker"] * 100
    assert {step["bytes_out"] for step in done["steps"][:-1]} == {size}
    assert (server.data / "file").read_bytes() == bytes(size)


@pytest.mark.node
def test_a_container_whose_tools_do_not_count_is_proven_too(ssh_host: Hosts, pod: Pods, inventory: Inventories) -> None:
    server, web = ssh_host("server"), pod("web")
    assert not re.search(rb"\bbytes\b", in_pod(web, "LC_ALL=C dd if=/dev/null 2>&1")), "its dd counts after all"
    size = 20 * MIB
    target = f"{folder_in(web, 'folder')}/file"
    steps = [
        {"context": "server", "command": f"head -c {size} /dev/zero | tr '\\0' x"},
        {"context": "web", "command": "cat"},
        {"context": "server", "command": "tr x y"},
        {"context": "web", "command": f"tee {target}"},
        {"context": "server", "dest": str(server.data / "file")},
    ]
    early = [
        {"context": "server", "command": "yes"},
        {"context": "web", "command": "head -n 1"},
        {"context": "local", "command": "cat"},
    ]
    result = (
        inventory(server, web).run_playbook([play(pipeline("through", *steps), pipeline("enough", *early))]).check()
    )
    done = tail_of(result, "through")
    assert [(step["bytes_out"], step["proof"]) for step in done["steps"]] == [(size, "marker")] * 4 + [(None, "marker")]
    assert (server.data / "file").read_bytes() == b"y" * size
    assert in_pod(web, f"wc -c <{target}").split() == [str(size).encode()]
    assert tail_of(result, "enough")["stdout"] == "y\n"
    assert [step["proof"] for step in tail_of(result, "enough")["steps"]] == ["unneeded", "marker", "marker"]
