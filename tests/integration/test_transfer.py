# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Transfers between this machine, SSH hosts and pods: what arrives, what is sent again, and what is refused."""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from integration.support import (
    PLAYBOOKS,
    Hosts,
    Inventories,
    Pods,
    assert_no_traceback,
    folder_in,
    in_pod,
    one_line,
    play,
    tail_of,
)
from testbed.fixtures import ON_BOTH_TIERS
from testbed.pods import PodHost

both_tiers = pytest.mark.parametrize("tier", ON_BOTH_TIERS)
NOW = 1_700_000_000


def transfer(name: str, src: Any, dest: Any, task: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    """Return a task that may fail without ending the play."""
    arguments = {"src": src, "dest": dest, **options}
    return {"name": name, "manifold.core.transfer": arguments, "ignore_errors": True, **(task or {})}


def make_nasty(root: Path) -> None:
    """Make a tree of everything that a careless copy loses."""
    (root / "a dir" / "deep").mkdir(parents=True)
    (root / "empty").mkdir()
    names = [b" sp ", b"-rf", b"new\nline", b"\xff\xfe", b"'quo\"te", b"back\\slash", b"$HOME", b"*", b"ends\n"]
    for number, name in enumerate(names):
        for folder in (root, root / "a dir"):
            path = os.path.join(os.fsencode(folder), name)  # noqa: PTH118 -- names that are no text
            Path(os.fsdecode(path)).write_bytes(name * number)
            os.utime(path, (NOW, NOW - number))
    (root / "a dir" / "deep" / "big").write_bytes(os.urandom(300_000))
    (root / "script").write_text("#!/bin/sh\n")
    (root / "script").chmod(0o4751)
    os.link(root / "script", root / "a dir" / "same script")
    (root / "link").symlink_to("a dir/new\nline")
    (root / "dangling").symlink_to("it's -> 'gone'")
    (root / "a dir" / "deep").chmod(0o550)
    for folder in (root / "a dir" / "deep", root / "a dir", root / "empty", root):
        os.utime(folder, (NOW, NOW - 100))


def described(root: Path) -> list[tuple[Any, ...]]:
    """Return what a tree is, for comparison: everything that is promised to be kept."""
    found = []
    for folder, directories, files in os.walk(os.fsencode(root)):
        for name in [b".", *directories, *files]:
            path = os.path.join(folder, name)  # noqa: PTH118 -- names that are no text
            status = os.lstat(path)
            link = os.readlink(path) if stat.S_ISLNK(status.st_mode) else b""  # noqa: PTH115
            content = Path(os.fsdecode(path)).read_bytes() if stat.S_ISREG(status.st_mode) else b""
            time = 0 if link else int(status.st_mtime)
            links = status.st_nlink if content else 1
            found.append((os.path.relpath(path, os.fsencode(root)), status.st_mode, time, link, content, links))
    return sorted(found)


def fetched(pod: PodHost, path: str, to: Path) -> Path:
    """Return a folder with what is in a folder of a pod, brought there by tar."""
    to.mkdir()
    archive = in_pod(pod, f"cd {shlex.quote(path)} && tar cf - .")
    subprocess.run(["tar", "xpf", "-", "-C", str(to)], input=archive, check=True)
    return to


@both_tiers
def test_a_nasty_tree_comes_out_identical_between_all_kinds_of_contexts(
    ssh_host: Hosts, pod: Pods, inventory: Inventories, tmp_path: Path
) -> None:
    alpha, beta, web = ssh_host("alpha"), ssh_host("beta"), pod("web")
    here, back = tmp_path / "here", tmp_path / "back"
    here.mkdir()
    make_nasty(here)
    there = folder_in(web, "tree")
    again = {"register": "again"}
    tasks = [
        transfer("local to ssh", f"local:{here}/", "alpha:~/tree"),
        transfer("ssh to ssh", "alpha:~/tree/", "beta:~/tree/"),
        transfer("ssh to pod", "beta:~/tree/", f"web:{there}"),
        transfer("pod to pod", f"web:{there}/", f"web:{there}2"),
        transfer("pod to ssh", f"web:{there}2/", "alpha:~/tree2"),
        transfer("pod to local", f"web:{there}2/", f"local:{back}"),
        transfer("local to local", f"local:{back}/", f"local:{back}2"),
        transfer("again to ssh", f"local:{here}/", "alpha:~/tree", again),
        transfer("again to pod", "beta:~/tree/", f"web:{there}", checksum=True),
        transfer("again from pod", f"web:{there}2/", f"local:{back}"),
    ]
    result = inventory(alpha, beta, web).run_playbook([play(*tasks)])
    assert_no_traceback(result)
    for task in tasks:
        outcome = tail_of(result, task["name"])
        assert result.task(task["name"]).status == "ok", outcome
        assert outcome["changed"] is not task["name"].startswith("again"), outcome
        assert not outcome.get("warnings"), outcome
    wanted = described(here)
    assert described(alpha.data / "tree") == wanted
    assert described(beta.data / "tree") == wanted
    assert described(alpha.data / "tree2") == wanted
    assert described(back) == wanted
    assert described(tmp_path / "back2") == wanted
    assert described(fetched(web, there, tmp_path / "fetched")) == wanted
    sent = tail_of(result, "pod to ssh")
    assert (sent["files"], sent["links"], sent["directories"]) == (20, 3, 4), sent
    assert tail_of(result, "again from pod")["files"] == 0


@both_tiers
def test_only_what_differs_is_sent_and_a_mirror_removes_the_rest(
    ssh_host: Hosts, pod: Pods, inventory: Inventories, tmp_path: Path
) -> None:
    alpha, web = ssh_host("alpha"), pod("web")
    here = tmp_path / "here"
    (here / "sub").mkdir(parents=True)
    for name in ("same", "sub/changed", "sub/mode", "cache.tmp"):
        (here / name).write_text(name)
        os.utime(here / name, (NOW, NOW))
    there = folder_in(web, "mirror")
    places = (("alpha", "~/mirror"), ("web", there))
    first = [transfer(f"first to {place}", f"local:{here}/", f"{place}:{path}") for place, path in places]
    hosts = inventory(alpha, web)
    hosts.run_playbook([play(*first)]).check()
    (here / "sub" / "changed").write_text("something else")
    (here / "sub" / "mode").chmod(0o600)
    (alpha.data / "mirror" / "extra" / "in").mkdir(parents=True)
    (alpha.data / "mirror" / "extra" / "in" / "file").write_text("x")
    (alpha.data / "mirror" / "kept.tmp").write_text("kept")
    in_pod(web, f"cd {there} && mkdir -p extra/in && echo x >extra/in/file && echo kept >kept.tmp")
    tasks = []
    for place, path in places:
        options: dict[str, Any] = {"delete": True, "exclude": ["*.tmp"]}
        arguments = (f"local:{here}/", f"{place}:{path}")
        tasks.append(transfer(f"check {place}", *arguments, {"check_mode": True, "diff": True}, **options))
        tasks.append(transfer(f"real {place}", *arguments, {"diff": True}, **options))
        tasks.append(transfer(f"again {place}", *arguments, **options))
    result = hosts.run_playbook([play(*tasks)]).check()
    counts = ("files", "bytes", "links", "directories", "attributes", "deleted", "changed", "diff")
    for place in ("alpha", "web"):
        real, check = tail_of(result, f"real {place}"), tail_of(result, f"check {place}")
        assert {name: real[name] for name in counts} == {name: check[name] for name in counts}
        assert (real["files"], real["bytes"], real["attributes"], real["deleted"]) == (1, 14, 2, 3), (place, real)
        assert "send sub/changed (14 bytes)\n" in real["diff"]["after"]
        assert "delete extra/in/file\ndelete extra/in\ndelete extra\n" in real["diff"]["after"]
        assert not tail_of(result, f"again {place}")["changed"]
    held = {path.name for path in (alpha.data / "mirror").iterdir()}
    assert held == {"same", "sub", "cache.tmp", "kept.tmp"}
    assert sorted(in_pod(web, f"ls -A {there}").decode().split()) == sorted(held)
    assert stat.S_IMODE((alpha.data / "mirror" / "sub" / "mode").stat().st_mode) == 0o600


@pytest.mark.embedded
def test_a_file_goes_to_a_path_or_into_a_directory(
    ssh_host: Hosts, pod: Pods, inventory: Inventories, tmp_path: Path
) -> None:
    alpha, web = ssh_host("alpha"), pod("web")
    file = tmp_path / "a file"
    file.write_bytes(os.urandom(100_000))
    file.chmod(0o640)
    os.utime(file, (NOW, NOW))
    (alpha.data / "dir").mkdir()
    there = folder_in(web, "x")
    tasks = [
        transfer("into", f"local:{file}", "alpha:~/dir"),
        transfer("to a name", "alpha:~/dir/a file", f"web:{there}/b"),
        transfer("again", "alpha:~/dir/a file", f"web:{there}/b"),
        transfer("new directory", f"web:{there}/b", "alpha:~/new/", create_parents=True),
    ]
    result = inventory(alpha, web).run_playbook([play(*tasks)]).check()
    assert [tail_of(result, task["name"])["changed"] for task in tasks] == [True, True, False, True]
    for arrived in (alpha.data / "dir" / "a file", alpha.data / "new" / "b"):
        assert arrived.read_bytes() == file.read_bytes()
        assert (stat.S_IMODE(arrived.stat().st_mode), arrived.stat().st_mtime) == (0o640, NOW)
    assert tail_of(result, "into")["dest"] == "alpha:~/dir/a file"


@pytest.mark.embedded
def test_what_cannot_be_done_is_said_and_changes_nothing(
    ssh_host: Hosts, inventory: Inventories, tmp_path: Path
) -> None:
    alpha = ssh_host("alpha")
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    (alpha.data / "there" / "x").mkdir(parents=True)
    cases = {
        "no context": (f"{tmp_path}/full", "alpha:~/x", "names no context; write 'context:path'"),
        "wrong context": ("alpa:x", "alpha:~/x", "Did you mean 'alpha'?"),
        "no source": ("local:/nowhere/at/all", "alpha:~/x", "src: local:/nowhere/at/all does not exist"),
        "no parent": (f"local:{tmp_path}/full", "alpha:~/no/such", "set 'create_parents'"),
        "conflict": (f"local:{tmp_path}/full/", "alpha:~/there", "set 'delete' for directories"),
        "a pod of ssh": ("alpha:web:/x", "local:/tmp/x", "a context of kind ssh has no pods"),
        "itself": (f"local:{tmp_path}/full/", f"local:{tmp_path}/full/sub", "itself, or in it"),
    }
    tasks = [transfer(name, src, dest) for name, (src, dest, _said) in cases.items()]
    tasks.append(transfer("emptied", f"local:{tmp_path}/empty/", "alpha:~/there/", delete=True))
    tasks.append(transfer("through a link", f"local:{tmp_path}/full", f"alpha:{alpha.data}/link"))
    (alpha.data / "link").mkdir()
    (alpha.data / "link" / "full").symlink_to(tmp_path)
    result = inventory(alpha).run_playbook([play(*tasks)])
    assert_no_traceback(result)
    said = {**{name: text for name, (_src, _dest, text) in cases.items()}}
    said |= {"emptied": "set 'allow_empty'", "through a link": "is a symbolic link"}
    for name, text in said.items():
        task, outcome = result.task(name), tail_of(result, name)
        assert (task.status, task.changed) == ("failed", False), (name, outcome)
        assert text in one_line(outcome["msg"]), (name, outcome["msg"])
    assert {path.name for path in alpha.data.iterdir() if not path.name.startswith(".")} == {"link", "there"}
    assert (alpha.data / "there" / "x").is_dir()


@pytest.mark.embedded
def test_the_playbook_copies_what_it_is_asked_to(ssh_host: Hosts, inventory: Inventories, tmp_path: Path) -> None:
    alpha = ssh_host("alpha")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.log").write_text("a")
    hosts, ends = inventory(alpha), {"src": f"local:{tmp_path}/logs/", "dest": "alpha:~/logs"}
    result = hosts.run_playbook(PLAYBOOKS / "transfer.yml", extra_vars=ends).check()
    assert "sent 1 files (1.00 Bytes), removed 0, left 0 as they were: alpha:~/logs, operation" in one_line(
        result.stdout
    )
    assert (alpha.data / "logs" / "a.log").read_text() == "a"
    missing = hosts.run_playbook(PLAYBOOKS / "transfer.yml", extra_vars={"src": "local:x"})
    assert missing.rc != 0 and "dest is not set; add -e dest=..." in one_line(missing.stdout)
