# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Transfers of single files: what a cut leaves and who goes on with it, ranges, holes, copies in one place."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from integration.support import (
    SECONDS,
    Hosts,
    Inventories,
    Pods,
    assert_no_traceback,
    folder_in,
    in_pod,
    one_line,
    parts_in,
    play,
    tail_of,
)
from testbed.fixtures import ON_BOTH_TIERS
from testbed.kube.faults import Action, Direction, Fault
from testbed.ssh.host import write_known_hosts

pytestmark = pytest.mark.any_core

both_tiers = pytest.mark.parametrize("tier", ON_BOTH_TIERS)
MIB = 1 << 20
SIZE = 96 * MIB + 4321
CUT = 70 * MIB
"""Behind some segments of 16 MiB, so that there is something to go on with."""
OLD = "the old content\n"
NOW = 1_700_000_000


def transfer(name: str, src: str, dest: str, **options: Any) -> dict[str, Any]:
    """Return a task that may fail without ending the play."""
    return {"name": name, "manifold.core.transfer": {"src": src, "dest": dest, **options}, "ignore_errors": True}


def make_file(path: Path, size: int = SIZE) -> Path:
    """Write a file whose parts all differ."""
    with path.open("wb") as file:
        while file.tell() < size:
            file.write(os.urandom(min(MIB, size - file.tell())))
    os.utime(path, (NOW, NOW))
    return path


def writes(argv: tuple[str, ...]) -> bool:
    """Tell the exec that writes from those that look and tidy up."""
    return "manifold step write" in " ".join(argv)


def await_growth(folder: Path, size: int) -> None:
    """Wait until a partial file in the folder is so long."""
    deadline = time.monotonic() + SECONDS
    while not any((folder / name).stat().st_size >= size for name in parts_in(folder)):
        assert time.monotonic() < deadline, "the partial file does not grow"
        time.sleep(0.01)


@both_tiers
def test_what_arrived_before_a_cut_is_proven_and_only_the_rest_is_sent(
    ssh_host: Hosts, pod: Pods, inventory: Inventories, tmp_path: Path
) -> None:
    alpha, web = ssh_host("alpha", relay=True), pod("web")
    source = make_file(tmp_path / "source")
    there = folder_in(web, "to")
    (alpha.data / "x").write_text(OLD)
    in_pod(web, f"printf %s '{OLD}' >{there}/x")
    dests = {"alpha": "alpha:~/x", "web": f"web:{there}/x"}
    hosts = inventory(alpha, web)
    assert alpha.relay is not None
    alpha.relay.up.cut_after(CUT)
    fault = web.kube.faults.add(Fault(Direction.STDIN, Action.RESET, CUT, pod="web", command=writes))
    cut = hosts.run_playbook([play(*(transfer(f"cut {name}", f"local:{source}", to) for name, to in dests.items()))])
    assert_no_traceback(cut)
    assert fault.fired.is_set()
    for name in dests:
        task, outcome = cut.task(f"cut {name}"), tail_of(cut, f"cut {name}")
        assert (task.status, outcome["changed"]) == ("failed", False), outcome
        said = one_line(outcome["msg"])
        assert "bytes are kept as" in said and "running it again goes on from there" in said, said
    assert (alpha.data / "x").read_text() == OLD
    assert in_pod(web, f"cat {there}/x").decode() == OLD
    (part,) = [alpha.data / name for name in parts_in(alpha.data)]
    assert part.stat().st_mode & 0o777 == 0o600
    with part.open("r+b") as file:  # the fourth byte of the second segment
        file.seek((16 << 20) + 3)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    tasks = [transfer(f"again {name}", f"local:{source}", to, streams=3) for name, to in dests.items()]
    tasks += [transfer(f"same {name}", f"local:{source}", to) for name, to in dests.items()]
    again = hosts.run_playbook([play(*tasks)]).check()
    for name in dests:
        outcome = tail_of(again, f"again {name}")
        assert outcome["changed"] and outcome["streams"] == 3, outcome
        assert outcome["resumed"] >= 16 * MIB and outcome["resumed"] % MIB == 0, outcome
        assert outcome["bytes"] + outcome["resumed"] == SIZE, outcome
        assert not tail_of(again, f"same {name}")["changed"]
    assert tail_of(again, "again alpha")["resumed"] <= CUT - (16 << 20)
    assert (alpha.data / "x").read_bytes() == source.read_bytes()
    assert parts_in(alpha.data) == []
    assert in_pod(web, f"sha256sum <{there}/x; ls -A {there}").decode().split() == [
        hashlib.sha256(source.read_bytes()).hexdigest(),
        "-",
        "x",
    ]


@pytest.mark.embedded
def test_a_killed_run_is_gone_on_with_and_one_at_work_is_left_alone(
    ssh_host: Hosts, inventory: Inventories, tmp_path: Path
) -> None:
    alpha = ssh_host("alpha", relay=True)
    assert alpha.relay is not None
    source = make_file(tmp_path / "source")
    # the same host, past what holds the other run up
    direct = replace(alpha, name="direct", port=alpha.server.port, relay=None)
    write_known_hosts(alpha.known_hosts_path, alpha.server.host_key_line, [alpha.port, direct.port])
    hosts, task = inventory(alpha, direct), transfer("t", f"local:{source}", "alpha:~/x")
    alpha.relay.up.stall_after(CUT)
    killed = hosts.play_async([play(task)])
    await_growth(alpha.data, 2 << 24)
    killed.kill_all()
    # what is still under way on the connection of the killed run must not count as the next one's
    alpha.relay.reset_now()
    alpha.relay.up.resume()
    (left,) = parts_in(alpha.data)
    alpha.relay.up.stall_after(16 << 20)
    first = hosts.play_async([play(task)])
    deadline = time.monotonic() + 3 * SECONDS
    while left in parts_in(alpha.data):
        assert time.monotonic() < deadline, f"the partial file is not taken over\n{first.stdout}\n{first.stderr}"
        time.sleep(0.01)
    at_work = parts_in(alpha.data)
    passing = transfer("t", f"local:{source}", "direct:~/x")
    second = tail_of(hosts.run_playbook([play(passing)]).check(), "t")
    assert parts_in(alpha.data) == at_work
    alpha.relay.up.resume()
    outcome = tail_of(first.wait().check(), "t")
    assert outcome["resumed"] >= 16 * MIB and outcome["bytes"] == SIZE - outcome["resumed"], outcome
    assert (second["resumed"], second["bytes"], second["changed"]) == (0, SIZE, True), second
    assert (alpha.data / "x").read_bytes() == source.read_bytes()
    assert parts_in(alpha.data) == []


@pytest.mark.embedded
def test_a_source_that_is_written_to_meanwhile_is_not_put_in_place(
    ssh_host: Hosts, inventory: Inventories, tmp_path: Path
) -> None:
    alpha = ssh_host("alpha", relay=True)
    assert alpha.relay is not None
    source = make_file(tmp_path / "source")
    (alpha.data / "x").write_text(OLD)
    alpha.relay.up.stall_after(CUT)
    run = inventory(alpha).play_async([play(transfer("t", f"local:{source}", "alpha:~/x"))])
    await_growth(alpha.data, 2 << 24)
    with source.open("r+b") as file:
        file.write(b"something else")
    alpha.relay.up.resume()
    outcome = tail_of(run.wait(), "t")
    assert "changed while it was read, so alpha:~/x was left as it was" in one_line(outcome["msg"])
    assert (outcome["changed"], outcome["unstable"]) == (False, [str(source)])
    assert (alpha.data / "x").read_text() == OLD
    assert parts_in(alpha.data) == []


@pytest.mark.node
def test_ranges_holes_and_copies_in_one_place_with_real_servers(
    ssh_host: Hosts, pod: Pods, inventory: Inventories, tmp_path: Path
) -> None:
    alpha, beta, web = ssh_host("alpha"), ssh_host("beta", max_sessions=3), pod("web")
    make_file(alpha.data / "x")
    there = folder_in(web, "to")
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as file:
        file.truncate(10 << 30)
        file.seek(3 << 30)
        file.write(os.urandom(MIB))
    tasks = [
        transfer("many", "alpha:~/x", "beta:~/x", streams=12),  # more than fit into one connection
        transfer("to pod", "alpha:~/x", f"web:{there}/x", streams=4),
        transfer("from pod", f"web:{there}/x", "beta:~/y", streams=4, resume=False),
        transfer("here", "alpha:~/x", "alpha:~/new/y", create_parents=True, checksum=True),
        transfer("in pod", f"web:{there}/x", f"web:{there}/y"),
        transfer("holes", f"local:{sparse}", "alpha:~/sparse", streams=2),
        transfer("holes here", "alpha:~/sparse", "alpha:~/sparse2"),
    ]
    result = inventory(alpha, beta, web).run_playbook([play(*tasks)])
    assert_no_traceback(result)
    for task in tasks:
        outcome = tail_of(result, task["name"])
        assert result.task(task["name"]).status == "ok" and outcome["changed"], outcome
        assert not outcome.get("warnings"), outcome
    assert tail_of(result, "many")["streams"] == 12
    wanted = (alpha.data / "x").read_bytes()
    for arrived in (beta.data / "x", beta.data / "y", alpha.data / "new" / "y"):
        assert arrived.read_bytes() == wanted
        assert arrived.stat().st_mtime == NOW
    digest = hashlib.sha256(wanted).hexdigest()
    assert in_pod(web, f"sha256sum <{there}/y").decode().split()[0] == digest
    for name in ("sparse", "sparse2"):
        copied = alpha.data / name
        assert copied.stat().st_size == 10 << 30
        assert copied.stat().st_blocks * 512 < 4 * MIB
        with copied.open("rb") as one, sparse.open("rb") as other:
            for opened in (one, other):
                opened.seek((3 << 30) - MIB)
            assert one.read(3 * MIB) == other.read(3 * MIB)
    assert parts_in(alpha.data) == parts_in(beta.data) == []
