# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard on test nodes: a change that nobody confirms is undone, whoever dies when."""

from __future__ import annotations

import itertools
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from integration.on_node import KILLED, Remote
from testbed.net.node import Node
from testbed.net.systemd import Systemd
from testbed.processes import HOST_VARIABLE, await_exit, command_of, marked

pytestmark = pytest.mark.node
FOLDER = "var/lib/manifold-core/multinic"
GATEWAY = "192.0.2.254"

OURS = "/etc/netplan/91-multinic1.yaml"
NEW = "/etc/netplan/90-multinic0.yaml"
CHANGED = {"91-multinic1.yaml": ("changed\n", 0o600), "90-multinic0.yaml": ("new\n", 0o600)}
FILES: dict[str, str | None] = {OURS: "changed\n", NEW: "new\n"}
CHANGES = [
    # two links swap names, one of them loses what it had, and the other one takes over the gateway's network
    "ip link set dev eth1 down",
    "ip link set dev multinic1 down",
    "ip link set dev multinic1 name mnic1",
    "ip link set dev eth1 name multinic1",
    "ip link set dev mnic1 name eth1",
    "ip address flush dev eth1 scope global",
    "ip link set dev eth1 mtu 9000",
    "ip link set dev multinic1 up",
    "ip address add 192.0.2.77/24 dev multinic1",
    "ip route add 192.0.2.254/32 dev multinic1",
    "ip address add 2001:db8:9::1/64 dev multinic1 nodad",
    "ip link property add dev multinic1 altname other",
]


class Cut:
    """A node with a NIC of the system and two NICs that a change cuts its gateway off with."""

    def __init__(self, node: Node) -> None:
        self.node = node
        node.add_nic("eth0", "fa:16:3e:00:00:00", "192.0.2.1/24")
        node.add_nic("eth1", "fa:16:3e:00:00:01")
        node.add_nic("multinic1", "fa:16:3e:00:00:02", "198.51.100.1/24")
        for command in (
            "ip link set dev multinic1 mtu 1400",
            "ip address add 198.51.100.2/24 dev multinic1",
            "ip address add 203.0.113.1/24 broadcast 203.0.113.255 dev multinic1 valid_lft 3000 preferred_lft 2000",
            "ip address add 2001:db8::1/64 dev multinic1 nodad",
            "ip route add default via 192.0.2.254",
            "ip route add 10.1.0.0/16 via 198.51.100.9 src 198.51.100.2 mtu 1300 metric 7",
            "ip route add 10.2.0.0/16 via 198.51.100.9 table 77",
            "ip route add 10.3.0.0/16 via 192.0.2.254 src 198.51.100.2",
            "ip -6 route add 2001:db8:7::/48 via 2001:db8::9",
            "ip link property add dev multinic1 altname extra1",
            "mkdir -p /etc/netplan",
            f"cp /etc/hostname {OURS}",
            f"chmod 640 {OURS}",
        ):
            assert node.run(command.split()).returncode == 0, command
        # the gateway answers by the first NIC only
        far = f"ip address add {GATEWAY}/24 dev far1 && echo 1 > /proc/sys/net/ipv4/conf/all/arp_ignore"
        assert node.run_far(["sh", "-c", far]).returncode == 0
        self.indexes = [link["ifindex"] for link in node.links() if link["ifname"] in ("eth1", "multinic1")]
        self.before = self.look()

    @property
    def arguments(self) -> dict[str, Any]:
        """What :func:`on_node.change` needs to make the change."""
        return self.first(len(CHANGES))

    def first(self, count: int) -> dict[str, Any]:
        """The same for the first changes only."""
        commands = [command.split() for command in CHANGES[:count]]
        return {"indexes": self.indexes, "files": FILES, "commands": commands}

    def look(self) -> dict[str, Any]:
        """Return everything that the guard promises to put back, as other tools see it."""
        links = {link["ifindex"]: link for link in self.node.links()}
        routes = [
            route
            for family in ("-4", "-6")
            for route in self._json("ip", family, "-json", "-details", "route", "show", "table", "all")
            if not route["dst"].startswith(("fe80:", "ff00:"))  # these come back by themselves, in their time
        ]
        return {
            "links": {
                index: (link["ifname"], link["mtu"], "UP" in link["flags"], link.get("altnames"), _addresses(link))
                for index, link in links.items()
            },
            "routes": sorted(" ".join(f"{key} {value}" for key, value in route.items()) for route in routes),
            "files": self.files(),
        }

    def files(self) -> dict[str, tuple[str, int]]:
        folder = self.node.root / "etc/netplan"
        return {path.name: (path.read_text(), path.stat().st_mode & 0o777) for path in folder.iterdir()}

    def left(self) -> list[str]:
        """Return the files that are left of the guard."""
        folder = self.node.root / FOLDER
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []

    def armed(self) -> list[str]:
        """Return the guards that run on the node."""
        return [command_of(pid) for pid in self._guards()]

    def kill_guard(self) -> None:
        """Kill the guard, and make sure that it was there."""
        (guard,) = self._guards()
        os.kill(guard, signal.SIGKILL)
        assert await_exit([guard], 10) == []

    def _guards(self) -> list[int]:
        mark = self.node.environment()[HOST_VARIABLE]
        return [pid for pid in marked(HOST_VARIABLE, mark) if "restore.pyz" in command_of(pid)]

    def reaches_gateway(self) -> bool:
        return self.node.run(["ping", "-c1", "-W1", GATEWAY]).returncode == 0

    def await_undone(self, seconds: float) -> float:
        """Wait until the guard has restored the node; return how long it took."""
        began = time.monotonic()
        while "restored.json" not in (left := self.left()) or "restoring.json" in left:
            assert time.monotonic() - began < seconds, f"not undone: {left}"
            time.sleep(0.01)
        return time.monotonic() - began

    def _json(self, *argv: str) -> Any:
        return json.loads(self.node.run(argv).stdout or b"[]")


def _addresses(link: dict[str, Any]) -> list[str]:
    """Return the addresses; those of IPv4 in their order, which tells the primary one."""
    kept = [one for one in link["addr_info"] if one["scope"] != "link"]
    described = [
        f"{one['local']}/{one['prefixlen']} {one.get('broadcast')} {one['valid_life_time'] > 10000}" for one in kept
    ]
    return [text for text, one in zip(described, kept, strict=True) if one["family"] == "inet"] + sorted(
        text for text, one in zip(described, kept, strict=True) if one["family"] == "inet6"
    )


@pytest.fixture
def cut(node: Callable[..., Node]) -> Cut:
    return Cut(node())


@pytest.fixture
def remote(cut: Cut) -> Iterator[Remote]:
    started = Remote(cut.node)
    yield started
    started.close()


def test_a_confirmed_change_stays_and_leaves_nothing(cut: Cut, remote: Remote) -> None:
    done = remote.call("change", guard="auto", seconds=60, **cut.arguments)
    assert (done["outcome"], done["kind"]) == ("kept", "watchdog")
    assert cut.look() != cut.before
    assert cut.files() == CHANGED
    assert cut.left() == []
    assert cut.armed() == []
    assert remote.call("recover") is None


@pytest.mark.parametrize("guard", ["watchdog", "none"])
def test_the_run_undoes_its_change_itself(cut: Cut, remote: Remote, guard: str) -> None:
    done = remote.call("change", guard=guard, seconds=60, end="restore", **cut.arguments)
    assert (done["outcome"], done["problems"]) == ("restored", [])
    assert cut.look() == cut.before
    assert cut.left() == []
    assert cut.armed() == []


def test_the_guard_undoes_what_a_killed_run_cut_off(cut: Cut, remote: Remote) -> None:
    assert cut.reaches_gateway()
    assert remote.call("change", guard="watchdog", seconds=1.5, end="die", **cut.arguments) == KILLED
    assert not cut.reaches_gateway()
    assert cut.await_undone(2.5) < 2
    assert cut.look() == cut.before
    assert cut.reaches_gateway()
    assert remote.call("recover") == {"by": "the guard (watchdog)", "problems": []}
    assert cut.left() == []
    assert remote.call("recover") is None


def test_a_run_killed_at_any_point_is_undone_or_kept_as_a_whole(cut: Cut, remote: Remote) -> None:
    memory = str(cut.node.directory / "memory")
    remote.call("remember", path=memory, indexes=cut.indexes, files=list(FILES))
    outcomes = []
    for number in itertools.count(1):
        if remote.call("change", kill_at=number, guard="watchdog", seconds=60, **cut.first(2)) != KILLED:
            break
        restored = remote.call("recover")
        outcomes.append("undone" if (after := cut.look()) == cut.before else "kept")
        assert (cut.left(), cut.armed()) == ([], []), number
        if outcomes[-1] == "kept":
            assert (after["files"], restored) == (CHANGED, None)
            assert remote.call("reset", path=memory) == []
        elif restored is not None:
            assert restored == {"by": "this run, for an earlier one that was killed", "problems": []}
    assert outcomes == sorted(outcomes, reverse=True), "once kept, it stays so"
    assert outcomes.count("undone") > 20 and outcomes.count("kept") >= 2


def test_a_restore_killed_at_any_point_is_finished_by_the_next_run(cut: Cut, remote: Remote) -> None:
    for number in itertools.count(1):
        assert remote.call("change", guard="none", seconds=60, end="die", **cut.first(3)) == KILLED
        done = remote.call("recover", kill_at=number)
        again = remote.call("recover") if done == KILLED else done
        assert again is None or again["problems"] == []
        assert (cut.look(), cut.left()) == (cut.before, []), number
        if done != KILLED:
            break
    assert number > 20


def test_the_guard_finishes_what_a_run_began_to_restore(cut: Cut, remote: Remote) -> None:
    kept = remote.call("count", scenario="change", guard="none", seconds=60, end="die", **cut.arguments)
    assert remote.call("recover")["problems"] == []
    done = remote.call("change", kill_at=kept + 12, guard="watchdog", seconds=1, end="restore", **cut.arguments)
    assert done == KILLED
    assert cut.look() != cut.before
    assert "restoring.json" in cut.left()
    cut.await_undone(2)
    assert cut.look() == cut.before


def test_a_run_cannot_confirm_what_its_guard_has_begun_to_restore(cut: Cut, remote: Remote) -> None:
    done = remote.call("change", guard="none", seconds=60, end="half", **cut.arguments)
    assert done["outcome"] == "restored"
    assert (cut.look(), cut.left()) == (cut.before, [])


def test_the_first_address_of_a_network_becomes_the_first_again(cut: Cut, remote: Remote) -> None:
    commands = [f"ip address {verb} 198.51.100.1/24 dev multinic1".split() for verb in ("del", "add")]
    arguments: dict[str, Any] = {**cut.arguments, "commands": commands}
    assert remote.call("change", guard="none", seconds=60, end="die", **arguments) == KILLED
    assert cut.look()["links"] != cut.before["links"]
    assert remote.call("recover")["problems"] == []
    assert cut.look() == cut.before


def test_a_guard_that_was_killed_is_replaced_by_the_next_run(cut: Cut, remote: Remote) -> None:
    assert remote.call("change", guard="watchdog", seconds=60, end="die", **cut.arguments) == KILLED
    cut.kill_guard()
    assert remote.call("recover")["problems"] == []
    assert (cut.look(), cut.left()) == (cut.before, [])


def test_after_a_reboot_the_files_are_put_back_and_the_links_left_to_the_run(cut: Cut, remote: Remote) -> None:
    assert remote.call("change", guard="watchdog", seconds=60, end="die", **cut.arguments) == KILLED
    cut.kill_guard()
    links = cut.look()["links"]
    record = cut.node.root / FOLDER / "snapshot.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"boot_id": "another"}))
    assert remote.call("recover")["problems"] == []
    assert (cut.look()["links"], cut.files(), cut.left()) == (links, cut.before["files"], [])


def test_a_run_that_goes_on_after_its_guard_puts_the_node_back_itself(cut: Cut, remote: Remote) -> None:
    done = remote.call("change", guard="watchdog", seconds=0.3, end="late", **cut.arguments)
    assert done["error"] == "the change was not confirmed in time, so the guard (watchdog) has restored the node"
    assert (cut.look(), cut.left(), cut.armed()) == (cut.before, [], [])


def test_confirming_at_the_last_moment_is_decided_one_way_only(cut: Cut, remote: Remote) -> None:
    memory = str(cut.node.directory / "memory")
    remote.call("remember", path=memory, indexes=cut.indexes, files=list(FILES))
    seen = set()
    for margin in (0.06, 0.001, 0.0001, -0.03):
        done = remote.call("change", guard="watchdog", seconds=0.6, until=margin, **cut.first(2))
        seen.add(done["outcome"])
        assert (cut.left(), cut.armed()) == ([], [])
        if done["outcome"] == "kept":
            assert cut.files() == CHANGED
            assert remote.call("reset", path=memory) == []
        assert cut.look() == cut.before
    assert seen == {"kept", "restored"}


def test_a_link_that_is_gone_does_not_keep_the_rest_from_being_put_back(cut: Cut, remote: Remote) -> None:
    assert remote.call("change", guard="none", seconds=60, end="die", **cut.arguments) == KILLED
    cut.node.remove_nic("multinic1")  # the one that was eth1
    restored = remote.call("recover")
    assert restored["problems"] == ["link eth1 (fa:16:3e:00:00:01) is not there any more"]
    (index,) = (index for index in cut.indexes if index in cut.look()["links"])
    assert cut.look()["links"][index] == cut.before["links"][index]
    assert (cut.files(), cut.left()) == (cut.before["files"], [])


def test_a_name_that_a_stranger_has_taken_is_a_problem_and_the_stranger_is_left_alone(cut: Cut, remote: Remote) -> None:
    assert remote.call("change", guard="none", seconds=60, end="die", **cut.arguments) == KILLED
    cut.node.run(["ip", "link", "set", "dev", "eth1", "down"])
    cut.node.run(["ip", "link", "set", "dev", "eth1", "name", "mine"])
    cut.node.run(["ip", "link", "set", "dev", "multinic1", "mtu", "1300"])
    cut.node.add_nic("eth1", "fa:16:3e:00:00:99", "192.0.2.99/32")
    cut.node.run(["ip", "link", "set", "dev", "eth1", "mtu", "1280"])
    stranger = cut.look()["links"]
    restored = remote.call("recover")
    assert any("File exists" in problem for problem in restored["problems"])
    now = cut.look()["links"]
    (index,) = now.keys() - set(cut.before["links"])
    assert now[index] == stranger[index]


def test_a_damaged_record_is_an_error_that_says_what_to_do(cut: Cut, remote: Remote) -> None:
    assert remote.call("change", guard="none", seconds=60, end="die", **cut.arguments) == KILLED
    (cut.node.root / FOLDER / "snapshot.json").write_text("{}")
    assert remote.call("recover") == {
        "error": "cannot read /var/lib/manifold-core/multinic/snapshot.json: it is not a snapshot of version 1; "
        "look at the NICs of the node, then remove that file"
    }


def test_a_guard_that_cannot_be_armed_changes_nothing_and_leaves_nothing(cut: Cut, remote: Remote) -> None:
    done = remote.call("change", guard="timer", seconds=60, **cut.arguments)
    assert done == {
        "error": "this node cannot have a guard (timer: systemd is not PID 1); nothing was changed. "
        "Choose another one, or guard: none to go without"
    }
    assert (cut.look(), cut.left()) == (cut.before, [])


@pytest.fixture
def systemd(cut: Cut) -> Iterator[Systemd]:
    running = Systemd(cut.node)
    yield running
    running.close()


@pytest.fixture
def on_systemd(systemd: Systemd) -> Iterator[Remote]:
    started = Remote(systemd)
    yield started
    started.close()


def test_with_systemd_a_timer_is_the_guard(cut: Cut, systemd: Systemd, on_systemd: Remote) -> None:
    done = on_systemd.call("change", guard="auto", seconds=60, **cut.arguments)
    assert (done["outcome"], done["kind"]) == ("kept", "timer")
    assert (cut.files(), cut.left(), systemd.units("manifold*")) == (CHANGED, [], [])


def test_a_timer_undoes_what_a_killed_run_cut_off(cut: Cut, systemd: Systemd, on_systemd: Remote) -> None:
    assert on_systemd.call("change", guard="timer", seconds=1, end="die", **cut.arguments) == KILLED
    assert "manifold-multinic-guard.timer active" in systemd.units("manifold*")
    cut.await_undone(3)
    assert cut.look() == cut.before
    assert on_systemd.call("recover") == {"by": "the guard (timer)", "problems": []}
    assert (cut.left(), systemd.units("manifold*")) == ([], [])


def test_a_timer_that_is_still_armed_is_taken_away_by_the_next_run(
    cut: Cut, systemd: Systemd, on_systemd: Remote
) -> None:
    assert on_systemd.call("change", guard="timer", seconds=60, end="die", **cut.arguments) == KILLED
    assert on_systemd.call("change", guard="timer", seconds=60, **cut.arguments)["recovered"] is not None
    assert (cut.files(), cut.left(), systemd.units("manifold*")) == (CHANGED, [], [])
