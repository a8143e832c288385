# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stream that did not arrive whole is never green, leaves the old file alone, and nobody running."""

from __future__ import annotations

import os
import shlex
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from integration.support import (
    SECONDS,
    Census,
    Hosts,
    Inventories,
    Pods,
    assert_no_traceback,
    folder_in,
    in_pod,
    pipeline,
    play,
    tail_of,
)
from testbed.bed import Bed
from testbed.fixtures import ON_BOTH_TIERS
from testbed.inventory import Inventory
from testbed.kube.faults import Action, Direction, Fault
from testbed.playbook import PlaybookResult, PlaybookRun
from testbed.pods import Kubes, PodHost
from testbed.run import Run
from testbed.ssh.host import SshHost
from testbed.tier import Tier

pytestmark = pytest.mark.any_core

OLD = "the old content\n"
MIB = 1 << 20
SIZE = 4 * MIB
"""More than every pipe and window on the way holds, so that a stream is cut in its middle."""
CUT = 1 * MIB + 4321
DATA = f"head -c {SIZE} /dev/zero"
both_tiers = pytest.mark.parametrize("tier", ON_BOTH_TIERS)


def old_file(host: SshHost, name: str = "file") -> Path:
    """Make a folder of the host's with an old file in it; return the file."""
    folder = host.data / name
    folder.mkdir()
    (folder / "old").write_text(OLD)
    return folder / "old"


def assert_untouched(file: Path) -> None:
    assert {path.name: path.read_text() for path in file.parent.iterdir()} == {file.name: OLD}


# -- steps that fail -----------------------------------------------------------------------------------------------


def runs_a_step(argv: tuple[str, ...]) -> bool:
    """Tell the exec of a step from the one that only waits for the controller's end."""
    return "manifold keeper" not in " ".join(argv)


@dataclass(frozen=True)
class Failure:
    """What the steps do, which of them is to blame, and what its result says."""

    name: str
    source: str
    consumer: str
    blamed: str
    rc: int | None
    stderr: str = ""


FAILURES = [
    Failure("source-fails-before-data", "echo no luck >&2; exit 1", "cat", "source", 1, "no luck"),
    Failure("source-fails-after-data", f"{DATA}; echo no luck >&2; exit 1", "cat", "source", 1, "no luck"),
    Failure("source-is-killed", f"{DATA}; kill -KILL $$", "cat", "source", 137),
    Failure("consumer-fails-at-once", DATA, "echo no luck >&2; exit 3", "consumer", 3, "no luck"),
    Failure("consumer-fails-half-way", DATA, "head -c 1000000 >&2; exit 3", "consumer", 3),
    Failure("consumer-fails-at-the-end", DATA, "cat; echo no luck >&2; exit 3", "consumer", 3, "no luck"),
    Failure("consumer-is-killed", DATA, "head -c 1000; kill -TERM $$", "consumer", 143),
    # more than fits between them, so that the source cannot get to its own failure first
    Failure("both-fail", "head -c 100000000 /dev/zero; exit 1", "head -c 1000; exit 3", "consumer", 3),
]
PLACES = ["local", "host", "pod"]


@dataclass(frozen=True)
class Failed:
    """A playbook that ran every failure in every place, and what was there before and after."""

    result: PlaybookResult
    files: dict[str, Path]
    newcomers: list[str]


@pytest.fixture(scope="module", params=ON_BOTH_TIERS)
def failed(request: pytest.FixtureRequest, testbed_run: Run, kubes: Kubes) -> Iterator[Failed]:
    """Run every failure in every place, in one playbook."""
    with Bed(testbed_run, request.param, kubes) as bed:
        host, target, web = bed.ssh_host("host"), bed.ssh_host("target"), bed.pod("pod")
        contexts: Inventory = bed.inventory(host, target, web)
        files, tasks = {}, []
        for number, failure in enumerate(FAILURES):
            for place in PLACES:
                name = f"{failure.name} ({place})"
                files[name] = old_file(target, f"{number}-{place}")
                source = {"name": "source", "context": place, "command": failure.source}
                consumer = {"name": "consumer", "context": place, "command": failure.consumer}
                sink = {"name": "sink", "context": "target", "dest": str(files[name])}
                tasks.append(pipeline(name, source, consumer, sink))
        census = Census(testbed_run, contexts, web)
        result = contexts.run_playbook([play(*tasks)])
        yield Failed(result, files, census.newcomers())


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("failure", FAILURES, ids=[failure.name for failure in FAILURES])
def test_a_step_that_fails_is_blamed_and_the_old_file_stays(failed: Failed, failure: Failure, place: str) -> None:
    name = f"{failure.name} ({place})"
    done = failed.result.task(name)
    assert done.status == "failed"
    assert done.result["failed_step"] == failure.blamed, done.result["msg"]
    blamed = next(step for step in done.result["steps"] if step["name"] == failure.blamed)
    assert blamed["rc"] == failure.rc
    assert f"step '{failure.blamed}' ({place})" in done.result["msg"]
    assert failure.stderr in done.result["msg"]
    assert failure.stderr in blamed["stderr"]
    assert [sink for sink in done.result["sinks"] if sink["committed"]] == []
    assert_untouched(failed.files[name])


def test_after_failures_nobody_runs_on_and_nobody_saw_a_traceback(failed: Failed) -> None:
    assert failed.newcomers == []
    assert_no_traceback(failed.result)


@both_tiers
def test_a_consumer_that_has_enough_is_no_failure(
    ssh_host: Hosts, pod: Pods, inventory: Inventories, testbed_run: Run
) -> None:
    """``head`` closes its input on purpose; the endless source before it is ended."""
    host, web = ssh_host("host"), pod("web")
    contexts = inventory(host, web)
    places = ["local", "host", "web"]
    tasks = [
        pipeline(
            f"{source} to {reader}",
            {"context": source, "command": "cat /dev/zero"},
            {"context": reader, "command": "head -c 1000"},
            {"context": "host", "dest": str(host.data / f"{source}-{reader}")},
        )
        for source in places
        for reader in places
    ]
    census = Census(testbed_run, contexts, web)
    result = contexts.run_playbook([play(*tasks)]).check()
    assert {task.task: task.result.get("msg") for task in result.tasks if task.status != "ok"} == {}
    assert {path.name: path.stat().st_size for path in host.data.iterdir()} == {
        f"{source}-{reader}": 1000 for source in places for reader in places
    }
    assert census.newcomers() == []


# -- places that run full ------------------------------------------------------------------------------------------


@pytest.mark.node
def test_a_full_file_system_keeps_the_old_file_and_no_temporary(
    pod: Pods, inventory: Inventories, testbed_run: Run
) -> None:
    source = pod("source")
    kube = source.kube
    volume = {"name": "small", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}
    container = {"name": "main", "image": "testbed", "volumeMounts": [{"name": "small", "mountPath": "/small"}]}
    spec = {"containers": [container], "volumes": [volume], "terminationGracePeriodSeconds": 1}
    kube.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "full"}, "spec": spec})
    try:
        kube.wait_ready("full")
        full = PodHost("full", "default", "main", kube, source.kubeconfig, None)
        in_pod(full, f"printf %s {shlex.quote(OLD)} > /small/old")
        contexts = inventory(source, full)
        census = Census(testbed_run, contexts, full)
        result = contexts.run_playbook(
            [
                play(
                    pipeline(
                        "too much",
                        {"name": "source", "context": "source", "command": DATA},
                        {"name": "sink", "context": "full", "dest": "/small/old"},
                    ),
                    pipeline(
                        "enough",
                        {"name": "source", "context": "source", "command": "echo new"},
                        {"name": "sink", "context": "full", "dest": "/small/new"},
                    ),
                )
            ]
        ).check()
        failed = tail_of(result, "too much")
        assert result.task("too much").status == "failed"
        assert failed["failed_step"] == "sink"
        assert "step 'sink' (full)" in failed["msg"]
        assert "No space left on device" in failed["msg"]
        assert in_pod(full, "cat /small/old").decode() == OLD
        assert result.task("enough").status == "ok", "a temporary still filled the place"
        assert in_pod(full, "ls -A /small").decode().split() == ["new", "old"]
        assert census.newcomers() == []
    finally:
        kube.delete("Pod", "full", grace_seconds=0)


# -- streams that are cut ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Break:
    """Where the exec stream of a pod breaks, and how."""

    role: str
    direction: Direction
    action: Action

    @property
    def pod(self) -> str:
        """The name of the pod that it happens to."""
        return f"{self.role}-{self.direction.value}-{self.action.value}"


BREAKS = [
    *[
        Break("source", Direction.STDOUT, action)
        for action in (Action.END_WITH_SUCCESS, Action.END_WITHOUT_STATUS, Action.RESET)
    ],
    *[
        Break(role, Direction.STDIN, action)
        for role in ("consumer", "sink", "discard")
        for action in (Action.END_WITH_SUCCESS, Action.END_WITHOUT_STATUS, Action.RESET, Action.EARLY_EOF)
    ],
    Break("consumer", Direction.STDOUT, Action.END_WITH_SUCCESS),
    Break("consumer", Direction.STDOUT, Action.RESET),
]


@dataclass(frozen=True)
class Cut:
    """A playbook in which every stream broke."""

    result: PlaybookResult
    files: dict[str, Path]
    pods: dict[str, PodHost]
    sinks: dict[str, str]
    fired: dict[str, bool]
    newcomers: list[str]


def steps_of(broken: Break, file: Path, in_the_pod: str) -> list[dict[str, Any]]:
    """Return a stream in which the pod has its role; the step that has it is called by it."""
    source = {"name": "data", "context": "local", "command": DATA}
    sink = {"name": "save", "context": "target", "dest": str(file)}
    ours: dict[str, Any] = {"name": broken.role, "context": broken.pod}
    if broken.role == "source":
        return [{**ours, "command": DATA}, sink]
    if broken.role == "consumer":
        return [source, {**ours, "command": "cat"}, sink]
    if broken.role == "discard":
        return [source, {**ours, "command": "cat >/dev/null"}]
    return [source, {**ours, "dest": in_the_pod}]


@pytest.fixture(scope="module", params=ON_BOTH_TIERS)
def cut(request: pytest.FixtureRequest, testbed_run: Run, kubes: Kubes) -> Iterator[Cut]:
    """Break each stream once, each in a pod of its own, in one playbook."""
    with Bed(testbed_run, request.param, kubes) as bed:
        target = bed.ssh_host("target")
        pods = {broken.pod: bed.pod(broken.pod) for broken in BREAKS}
        contexts: Inventory = bed.inventory(target, *pods.values())
        files, tasks, faults, sinks = {}, [], {}, {}
        for broken in BREAKS:
            web = pods[broken.pod]
            files[broken.pod] = old_file(target, broken.pod)
            if broken.role == "sink":
                sinks[broken.pod] = f"{folder_in(web, 'folder')}/old"
                in_pod(web, f"printf %s {shlex.quote(OLD)} > {sinks[broken.pod]}")
            tasks.append(pipeline(broken.pod, *steps_of(broken, files[broken.pod], sinks.get(broken.pod, ""))))
            faults[broken.pod] = Fault(broken.direction, broken.action, CUT, pod=broken.pod, command=runs_a_step)
        census = Census(testbed_run, contexts, *pods.values())
        for fault in faults.values():
            pods[BREAKS[0].pod].kube.faults.add(fault)
        result = contexts.run_playbook([play(*tasks)])
        fired = {name: fault.fired.is_set() for name, fault in faults.items()}
        yield Cut(result, files, pods, sinks, fired, census.newcomers())


@pytest.mark.parametrize("broken", BREAKS, ids=[broken.pod for broken in BREAKS])
def test_a_cut_stream_is_never_green(cut: Cut, broken: Break) -> None:
    assert cut.fired[broken.pod], "the fault never struck, so this proves nothing"
    done = cut.result.task(broken.pod)
    assert done.status == "failed"
    assert done.result["failed_step"] == broken.role, done.result["msg"]
    assert f"step '{broken.role}' ({broken.pod})" in done.result["msg"]
    assert [sink for sink in done.result["sinks"] if sink["committed"]] == []
    assert_untouched(cut.files[broken.pod])
    if broken.pod in cut.sinks:
        folder = cut.sinks[broken.pod].rpartition("/")[0]
        assert in_pod(cut.pods[broken.pod], f"ls -A {folder}; cat {folder}/old").decode() == f"old\n{OLD}"


def test_after_cuts_nobody_runs_on_and_nobody_saw_a_traceback(cut: Cut) -> None:
    assert cut.newcomers == [], "\n".join(cut.newcomers)
    assert_no_traceback(cut.result)


@both_tiers
def test_an_ssh_connection_that_is_lost_in_mid_stream(
    ssh_host: Hosts, inventory: Inventories, testbed_run: Run, tmp_path: Path
) -> None:
    """Each role in turn; the connection is dropped once data flows."""
    host, target = ssh_host("host"), ssh_host("target")
    file = old_file(target)
    contexts = inventory(host, target)
    endless, hold = "cat /dev/zero", Flow(tmp_path)
    streams: dict[str, tuple[SshHost, list[dict[str, Any]]]] = {
        "source": (
            host,
            [
                {"name": "source", "context": "host", "command": endless},
                {"context": "local", "command": hold.command()},
                {"context": "target", "dest": str(file)},
            ],
        ),
        "consumer": (
            host,
            [
                {"context": "local", "command": hold.command()},
                {"name": "consumer", "context": "host", "command": "cat"},
                {"context": "target", "dest": str(file)},
            ],
        ),
        "sink": (
            target,
            [
                {"context": "local", "command": hold.command()},
                {"name": "sink", "context": "target", "dest": str(file)},
            ],
        ),
    }
    # the first of a stream needs something to pass on
    streams["consumer"][1].insert(0, {"context": "local", "command": endless})
    streams["sink"][1].insert(0, {"context": "local", "command": endless})
    census = Census(testbed_run, contexts)
    run = contexts.play_async([play(*(pipeline(role, *steps) for role, (_lost, steps) in streams.items()))])
    for lost, _steps in streams.values():
        hold.await_flowing(run)
        lost.server.kill_sessions()
    result = run.wait().check()
    for role in streams:
        done = result.task(role)
        assert done.status == "failed"
        assert done.result["failed_step"] == role, done.result["msg"]
    assert_untouched(file)
    assert census.newcomers() == []
    assert_no_traceback(result)


# -- plays that are ended ------------------------------------------------------------------------------------------


class Flow:
    """Tells that data flows: a step that passes its input on writes to a fifo after the first MiB."""

    def __init__(self, folder: Path) -> None:
        self._fifo = folder / "flowing"
        os.mkfifo(self._fifo)

    def command(self) -> str:
        """Return the command of the step, which runs on this machine."""
        return f"head -c {MIB}; echo > {shlex.quote(str(self._fifo))}; exec cat"

    def await_flowing(self, run: PlaybookRun, timeout: float = SECONDS) -> None:
        """Wait until data flows; raise AssertionError with the play's output if it never does."""
        reached = threading.Event()

        def read() -> None:
            self._fifo.read_bytes()
            reached.set()

        threading.Thread(target=read, daemon=True).start()
        if not reached.wait(timeout):
            raise AssertionError(f"no data flowed\n{run.stdout}\n{run.stderr}")


@dataclass(frozen=True)
class Endless:
    """A play that streams without end from a pod to an SSH host, with an old file at its destination."""

    run: PlaybookRun
    file: Path
    census: Census


Start = Callable[..., Endless]


@pytest.fixture
def endless(
    ssh_host: Hosts, pod: Pods, inventory: Inventories, testbed_run: Run, tmp_path: Path
) -> Callable[..., Endless]:
    """Start such a play and return once data flows."""

    def start(task: dict[str, Any] | None = None, **options: Any) -> Endless:
        target, web = ssh_host("target"), pod("web")
        file = old_file(target)
        contexts, flow = inventory(target, web), Flow(tmp_path)
        census = Census(testbed_run, contexts, web)
        steps = [
            {"name": "source", "context": "web", "command": "cat /dev/zero"},
            {"name": "pass", "context": "local", "command": flow.command()},
            # slow, or the disk would fill: what counts is that the stream does not end
            {"name": "slow", "context": "target", "command": "while head -c 65536 && sleep 0.2; do :; done"},
            {"name": "sink", "context": "target", "dest": str(file)},
        ]
        run = contexts.play_async([play(pipeline("endless", *steps, task=task, **options))])
        flow.await_flowing(run)
        return Endless(run, file, census)

    return start


@both_tiers
def test_ctrl_c_ends_everybody_and_keeps_the_old_file(endless: Start) -> None:
    going = endless()
    going.run.interrupt()
    result = going.run.wait(60)
    assert result.rc in (99, -signal.SIGINT), result.describe()
    assert going.census.newcomers() == []
    assert_untouched(going.file)


@both_tiers
def test_a_terminated_play_ends_everybody_and_keeps_the_old_file(endless: Start) -> None:
    going = endless()
    going.run.send_signal(signal.SIGTERM)
    result = going.run.wait(60)
    assert result.rc != 0, result.describe()
    assert going.census.newcomers() == []
    assert_untouched(going.file)


KILLED = [
    pytest.param(Tier.EMBEDDED, False, id="embedded-ansible-playbook", marks=pytest.mark.embedded),
    pytest.param(Tier.EMBEDDED, True, id="embedded-everything-here", marks=pytest.mark.embedded),
    pytest.param(Tier.NODE, False, id="node-ansible-playbook", marks=pytest.mark.node),
    pytest.param(Tier.NODE, True, id="node-everything-here", marks=pytest.mark.node),
]


@pytest.mark.parametrize(("tier", "everything"), KILLED)
def test_a_killed_play_leaves_nobody_and_keeps_the_old_file(endless: Start, everything: bool) -> None:
    going = endless()
    if everything:
        going.run.kill_all()
    else:
        going.run.kill()
        going.run.process.wait(SECONDS)
    assert going.census.newcomers() == []
    assert going.file.read_text() == OLD


@pytest.mark.parametrize(
    "tier",
    [
        pytest.param(Tier.EMBEDDED, id="embedded", marks=pytest.mark.embedded),
        pytest.param(Tier.NODE, id="node", marks=pytest.mark.node),
    ],
)
def test_a_killed_worker_fails_the_task_and_keeps_the_old_file(endless: Start) -> None:
    going = endless()
    (worker,) = workers_of(going.run)
    os.kill(worker, signal.SIGKILL)
    result = going.run.wait(60)
    assert result.rc != 0, result.describe()
    assert going.census.newcomers() == []
    assert going.file.read_text() == OLD


def workers_of(run: PlaybookRun) -> list[int]:
    """Return the workers of ansible-playbook that run a task."""
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    lines = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children}
    return [pid for pid, line in lines.items() if b"ansible-playbook" in line]


@both_tiers
def test_a_time_limit_of_ours(endless: Start) -> None:
    ours = endless(timeout=3)
    result = ours.run.wait(60).check()
    failed = tail_of(result, "endless")
    assert result.task("endless").status == "failed"
    assert "did not finish within 3 seconds" in failed["msg"]
    assert failed["failed_step"] is not None
    assert ours.census.newcomers() == []
    assert_untouched(ours.file)
    assert_no_traceback(result)


@both_tiers
def test_a_time_limit_of_ansibles(endless: Start) -> None:
    theirs = endless(task={"timeout": 6})
    result = theirs.run.wait(60).check()
    assert result.task("endless").status == "failed"
    assert "timeout" in str(tail_of(result, "endless")["msg"]).lower() + result.stdout.lower()
    assert theirs.census.newcomers() == []
    assert_untouched(theirs.file)
    assert_no_traceback(result)
