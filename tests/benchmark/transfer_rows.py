# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of the table of transfers: what is copied from where to where, and what else would do it."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark import peers
from benchmark.contest import OURS, Entrant, NotComplete, Row, Task, Times, Wanted, called, command
from benchmark.diskless import MEGABYTES, run_without_disk
from benchmark.memory import IDLE, measure
from benchmark.places import Place, change_script, here, in_pod, make_file, make_tree
from benchmark.site import Site
from testbed.ssh.host import SshHost
from testbed.ssh.masters import close_masters

DELAY = 0.025
"""Seconds one way to the host that is far."""
_GIB = 1 << 30
_SMALL = 4096
_TAR = "tar, unproven"


class Rows:
    """Makes the rows, and what they copy when a row first asks for it."""

    def __init__(self, site: Site, scale: float, streams: int) -> None:
        self._site = site
        self._streams = streams
        self._task = Task(site)
        self._local = here("local", site.folder)
        self._host = here("host", site.host.data)
        self._pod = in_pod(site)
        self._file = max(1, int(_GIB * scale))
        self._far_file = max(1, int(_GIB / 4 * scale))
        self._files = max(100, int(20_000 * scale))
        self._big = _GIB // 20_000
        self._sums: dict[tuple[str, str], str] = {}

    @staticmethod
    def names() -> list[str]:
        """Return the names of all rows."""
        return list(_ROWS)

    def make(self, name: str) -> Row:
        """Return a row that is ready to be measured."""
        return _ROWS[name](self, name)

    def tidy(self) -> None:
        """Remove the copies that a row made."""
        for place in (self._local, self._host, self._pod):
            place.remove("copy-*")

    # -- what is copied ----------------------------------------------------------------------------------------------

    def _have(self, place: Place, name: str) -> None:
        """Put a file or a tree there, unless it is there already."""
        if (place.context, name) in self._sums:
            return
        if place is self._local:
            path = Path(self._local.path(name))
            if name in ("file", "far"):
                make_file(path, self._file if name == "file" else self._far_file)
            else:
                make_tree(path, self._files, _SMALL if name == "small" else self._big)
        else:
            self._have(self._local, name)
            self._to_pod(name)
        self._sums[place.context, name] = place.digest(name)

    def _to_pod(self, name: str) -> None:
        unpack = self._site.kubectl("exec", "-i", "pod", "--", "tar", "-C", self._pod.folder, "-xf", "-")
        words = " ".join(unpack)
        called(["bash", "-o", "pipefail", "-c", f"tar -C {self._local.folder} -cf - {name} | {words}"])
        assert self._pod.digest(name) == self._sums["local", name]

    # -- who copies --------------------------------------------------------------------------------------------------

    def _check(self, what: tuple[str, str], place: Place, name: str) -> Callable[[], None]:
        def check() -> None:
            if place.digest(name) != self._sums[what]:
                raise NotComplete(f"{place.end(name)} is not what {':'.join(what)} is")

        return check

    def _ours(self, src: Place, name: str, dest: Place, *, keep: bool = False, **options: Any) -> Entrant:
        tree = "/" if name in ("small", "big") else ""
        copy = "copy-ours"
        return Entrant(
            OURS,
            lambda: self._task(src.end(name) + tree, dest.end(copy), **options),
            (lambda: None) if keep else (lambda: dest.remove(copy)),
            self._check((src.context, name), dest, copy),
        )

    def _theirs(
        self,
        label: str,
        what: tuple[str, str],
        dest: Place,
        make: Callable[[str], Sequence[Sequence[str]]],
        *,
        keep: bool = False,
    ) -> Entrant:
        """Return the entrant who runs the commands that ``make`` returns for the path of the copy."""
        copy = f"copy-{label.replace(' ', '-')}"
        run: Callable[[], Times] = command(*make(dest.path(copy)))
        return Entrant(
            label, run, (lambda: None) if keep else (lambda: dest.remove(copy)), self._check(what, dest, copy)
        )

    def _kubectl_cp(self, source: str, dest: str) -> list[str]:
        return self._site.kubectl("cp", source, dest)

    # -- rows --------------------------------------------------------------------------------------------------------

    def _size(self, size: int) -> str:
        return f"{size / _GIB:.2f} GiB" if size >= _GIB / 2 else f"{size / (1 << 20):.0f} MiB"

    def file_ssh(self, name: str) -> Row:
        """A large file to an SSH host."""
        self._have(self._local, "file")
        host, source, what = self._site.host, self._local.path("file"), ("local", "file")
        entrants = [
            self._ours(self._local, "file", self._host),
            self._theirs("scp", what, self._host, lambda copy: [peers.scp(host, source, copy)]),
            self._theirs("rsync", what, self._host, lambda copy: [peers.rsync(host, source, copy)]),
        ]
        wanted = {"scp": Wanted(1.0), "rsync": Wanted(1.0)}
        return Row(name, f"a file of {self._size(self._file)} to an SSH host", entrants, wanted)

    def tree_ssh(self, name: str) -> Row:
        """A tree of small files to an SSH host."""
        self._have(self._local, "small")
        host, what = self._site.host, ("local", "small")
        entrants = [
            self._ours(self._local, "small", self._host),
            self._rsync_tree(),
            self._scp_tree(),
            self._tar(what, self._host, ["tar", "-C", self._local.path("small"), "-cf", "-", "."], host.ssh_argv()),
        ]
        wanted = {"rsync -a": Wanted(1.0), "scp -r": Wanted(5.0)}
        return Row(name, f"{self._files} files of 4 KB to an SSH host", entrants, wanted)

    def _rsync_tree(self, *, keep: bool = False) -> Entrant:
        source = self._local.path("small") + "/"

        def make(copy: str) -> Sequence[Sequence[str]]:
            return [peers.rsync(self._site.host, source, copy)]

        return self._theirs("rsync -a", ("local", "small"), self._host, make, keep=keep)

    def _scp_tree(self) -> Entrant:
        source = self._local.path("small")

        def make(copy: str) -> Sequence[Sequence[str]]:
            return [peers.scp(self._site.host, source, copy, tree=True)]

        return self._theirs("scp -r", ("local", "small"), self._host, make)

    def tree_again(self, name: str) -> Row:
        """The same once more, when nothing changed."""
        self._have(self._local, "small")
        sent: list[int] = []
        ours = self._ours(self._local, "small", self._host, keep=True)

        def note() -> None:
            ours.check()
            sent.append(self._task.results["files"])

        entrants = [Entrant(ours.name, ours.run, ours.prepare, note), self._rsync_tree(keep=True)]
        row = Row(name, f"{self._files} files of 4 KB to an SSH host again, nothing changed", entrants, {})
        row.wanted = {"rsync -a": Wanted(behind=0.3)}
        row.notes = lambda: [f"files sent: {sent[1:]}, wanted 0: {'NO' if any(sent[1:]) else 'yes'}"]
        return row

    def tree_to_pod(self, name: str) -> Row:
        """A tree of small files to a pod."""
        self._have(self._local, "small")
        source, what = self._local.path("small"), ("local", "small")

        def exec_in(*words: str) -> list[str]:
            return self._site.kubectl("exec", "-i", "pod", "--", *words)

        entrants = [
            self._ours(self._local, "small", self._pod),
            self._theirs("kubectl cp", what, self._pod, lambda copy: [self._kubectl_cp(source, f"pod:{copy}")]),
            self._tar(what, self._pod, ["tar", "-C", source, "-cf", "-", "."], exec_in("sh", "-c")),
        ]
        return Row(name, f"{self._files} files of 4 KB to a pod", entrants, {"kubectl cp": Wanted(1.5)})

    def _tar(self, what: tuple[str, str], dest: Place, sends: Sequence[str], receives: Sequence[str]) -> Entrant:
        """Return the entrant who moves an archive of the tree and proves nothing: nobody who sends one is faster."""

        def make(copy: str) -> Sequence[Sequence[str]]:
            to = f"mkdir {copy} && " if dest is self._local else ""
            got = receives if dest is self._local else [*receives, f"mkdir {copy} && tar -C {copy} -xf -"]
            line = f"{to}{shlex.join(sends)} | {shlex.join([word.format(copy=copy) for word in got])}"
            return [["bash", "-o", "pipefail", "-c", line]]

        return self._theirs(_TAR, what, dest, make)

    def tree_from_pod(self, name: str) -> Row:
        """A tree of small files from a pod."""
        self._have(self._pod, "small")
        source, what = f"pod:{self._pod.path('small')}", ("pod", "small")
        entrants = [
            self._ours(self._pod, "small", self._local),
            self._theirs("kubectl cp", what, self._local, lambda copy: [self._kubectl_cp(source, copy)]),
            self._tar(
                what,
                self._local,
                self._site.kubectl("exec", "pod", "--", "tar", "-C", self._pod.path("small"), "-cf", "-", "."),
                ["tar", "-C", "{copy}", "-xf", "-"],
            ),
        ]
        return Row(name, f"{self._files} files of 4 KB from a pod", entrants, {"kubectl cp": Wanted(1.5)})

    def changed_in_pod(self, name: str) -> Row:
        """One file of a hundred changed in a pod."""
        self._have(self._pod, "big")
        source, what = f"pod:{self._pod.path('big')}", ("pod", "big")
        sent: list[int] = []
        ours = self._ours(self._pod, "big", self._local, keep=True)

        def between(turn: int) -> None:
            self._pod.run(change_script(self._pod.path("big"), self._files, self._big, turn))
            self._sums[what] = self._pod.digest("big")

        def note() -> None:
            ours.check()
            sent.append(self._task.results["files"])

        # kubectl cp puts a tree into a directory that is there
        theirs = self._theirs("kubectl cp", what, self._local, lambda copy: [self._kubectl_cp(source, copy)])
        total = self._size(self._files * self._big)
        row = Row(
            name,
            f"1% of {self._files} files, {total} in all, changed in a pod, to here",
            [Entrant(ours.name, ours.run, ours.prepare, note), theirs],
            {"kubectl cp": Wanted(10.0)},
            between=between,
        )
        row.notes = lambda: [f"files sent: {sent[1:]}"]
        return row

    def file_far(self, name: str) -> Row:
        """A file over a line with a delay."""
        self._have(self._local, "far")
        far = self._site.far
        assert far is not None
        place, source = here("far", far.data), self._local.path("far")
        entrants = [
            self._ours(self._local, "far", place, streams=self._streams),
            self._theirs("scp", ("local", "far"), place, lambda copy: [peers.scp(far, source, copy)]),
        ]
        what = f"{self._size(self._far_file)} at {2000 * DELAY:.0f} ms round trip, streams: {self._streams}"
        row = Row(name, what, entrants, {"scp": Wanted(3.0)})
        row.notes = lambda: [f"streams used: {self._task.results.get('streams', 'not said')}"]
        return row

    def pod_ssh(self, name: str) -> Row:
        """A file from a pod to an SSH host."""
        self._have(self._pod, "file")
        source, what = f"pod:{self._pod.path('file')}", ("pod", "file")
        middle = self._local.path("copy-middle")
        host: SshHost = self._site.host

        def make(copy: str) -> Sequence[Sequence[str]]:
            return [self._kubectl_cp(source, middle), peers.scp(host, middle, copy)]

        theirs = self._theirs("kubectl cp + scp", what, self._host, make)

        def prepare() -> None:
            theirs.prepare()
            Path(middle).unlink(missing_ok=True)

        entrants = [
            self._ours(self._pod, "file", self._host),
            Entrant(theirs.name, theirs.run, prepare, theirs.check),
        ]
        what_it_is = f"a file of {self._size(self._file)} from a pod to an SSH host"
        row = Row(name, what_it_is, entrants, {theirs.name: Wanted(1.5)})
        row.notes = self._without_disk
        return row

    def _without_disk(self) -> list[str]:
        """Copy from the pod to the host once more, by a controller that cannot write to any disk."""
        self._host.remove("copy-ours")
        close_masters(self._site.inventory.directory)
        argv = self._task.argv(self._pod.end("file"), self._host.end("copy-ours"), {})
        output = run_without_disk(self._site.inventory, argv)
        self._check(("pod", "file"), self._host, "copy-ours")()
        used = output.rpartition("kibibytes used:")[2].split()[0]
        return [
            "controller's disk: 0 bytes: one more run was complete where every disk was read-only for the controller, "
            f"which had {MEGABYTES} MiB of memory to write files to, of which {used} KiB are used at its end"
        ]

    def file_local(self, name: str) -> Row:
        """A large file on this machine."""
        return self._local_row(name, "file", f"a file of {self._size(self._file)} on this machine")

    def tree_local(self, name: str) -> Row:
        """A tree of small files on this machine."""
        return self._local_row(name, "small", f"{self._files} files of 4 KB on this machine")

    def _local_row(self, name: str, kind: str, what: str) -> Row:
        self._have(self._local, kind)
        source = self._local.path(kind)
        entrants = [
            self._ours(self._local, kind, self._local),
            self._theirs("cp -a", ("local", kind), self._local, lambda copy: [peers.cp(source, copy)]),
        ]
        return Row(name, what, entrants, {"cp -a": Wanted(1.0)})


_ROWS: Mapping[str, Callable[[Rows, str], Row]] = {
    "file-ssh": Rows.file_ssh,
    "tree-ssh": Rows.tree_ssh,
    "tree-again": Rows.tree_again,
    "tree-to-pod": Rows.tree_to_pod,
    "tree-from-pod": Rows.tree_from_pod,
    "changed-in-pod": Rows.changed_in_pod,
    "file-far": Rows.file_far,
    "pod-ssh": Rows.pod_ssh,
    "file-local": Rows.file_local,
    "tree-local": Rows.tree_local,
}

_TRANSFER = """
- hosts: localhost
  gather_facts: false
  tasks:
    - manifold.core.transfer: {{src: "{src}", dest: "{dest}"}}
"""


def memory_lines(site: Site, size: int, files: int) -> list[str]:
    """Return what a large file and a large tree to an SSH host cost the controller beside an idle task."""
    mib = 1 << 20
    idle = measure(site.inventory, IDLE).ansible
    lines = [f"memory: PSS of the ansible processes; an idle task {idle / mib:.1f} MiB"]
    folder, dest = site.folder / "memory", site.host.data / "memory"
    folder.mkdir()
    try:
        make_file(folder / "file", size)
        make_tree(folder / "tree", files, 64)
        for what, name in ((f"a file of {size / _GIB:.2f} GiB", "file"), (f"{files} files", "tree/")):
            dest.mkdir()
            playbook = _TRANSFER.format(src=f"local:{folder}/{name}", dest=f"host:{dest}/copy")
            peak = measure(site.inventory, playbook)
            more = (peak.ansible - idle) / mib
            tools = ", ".join(f"{tool} {most / mib:.0f}" for tool, most in peak.tools.most_common(4))
            lines.append(
                f"  {what:24} {more:+.1f} MiB   wanted +50 MiB: {'yes' if more <= 50 else 'NO'}   (tools, MiB: {tools})"
            )
            shutil.rmtree(dest)
    finally:
        shutil.rmtree(folder)
        shutil.rmtree(dest, ignore_errors=True)
    return lines
