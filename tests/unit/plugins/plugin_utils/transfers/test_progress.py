# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import tarfile

from ansible_collections.manifold.core.plugins.plugin_utils.operations._progress import Flow, Meter
from ansible_collections.manifold.core.plugins.plugin_utils.streams._spec import Step, StepKind
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._progress import Member, Position, Progress
from hypothesis import given
from hypothesis import strategies as st

STEPS = [
    Step("names", StepKind.COMMAND, argv=("cat",)),
    Step("list source", StepKind.COMMAND, command="a", input="names"),
    Step("list destination", StepKind.COMMAND, command="b", input="names"),
]


def _meter(shown: list[str]) -> Meter:
    seconds = iter(range(1000))
    return Meter(shown.append, lambda size: f"{size:.0f} B", 0.5, clock=lambda: float(next(seconds)))


@given(st.lists(st.tuples(st.integers(1, 300), st.integers(0, 3000)), max_size=8))
def test_the_position_is_that_of_a_real_archive(files: list[tuple[int, int]]) -> None:
    archive = io.BytesIO()
    ends = []
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for number, (name, size) in enumerate(files):
            member = tarfile.TarInfo(f"{number}".ljust(name, "x"))
            member.size = size
            tar.addfile(member, io.BytesIO(bytes(size)))
            ends.append(archive.tell())
    members = [Member(max(name, len(str(number))), size, is_file=True) for number, (name, size) in enumerate(files)]
    position, total = Position(members), 0
    for done, (end, (_name, size)) in enumerate(zip(ends, files, strict=True), 1):
        total += size
        before, _bytes = position.at(end - 1)
        assert before == done - 1
        assert position.at(end) == (done, total)
    assert position.at(10**9) == (len(files), total), "what comes behind the members is no content"


def test_a_part_of_a_file_counts_and_what_is_no_file_does_not() -> None:
    position = Position([Member(5, 0, is_file=False), Member(5, 1000, is_file=True)])
    seen = [position.at(moved) for moved in (0, 600, 1024, 1324, 2048)]
    assert seen == [(0, 0), (0, 0), (0, 0), (0, 300), (1, 1000)]


def test_files_and_bytes_are_told_out_of_all() -> None:
    shown: list[str] = []
    progress = Progress(_meter(shown))
    progress.expect(2000, 4000, lambda: [Member(5, 2, is_file=True)] * 2000)
    watcher = progress.of(STEPS, moves=True)
    assert watcher is not None
    watcher.look(lambda: [Flow(1024 * 500, None, "unpack")])
    assert shown == ["25%  1000 B of 4000 B  1000 B/s  0:00:03 left  500 of 2,000 files"]
    watcher.look(lambda: [Flow(1024 * 3000, None, "unpack")])
    assert shown[-1].startswith("100%  4000 B of 4000 B") and shown[-1].endswith("2,000 of 2,000 files")
    watcher = progress.of(STEPS, moves=True)
    assert watcher is not None
    watcher.look(lambda: [Flow(7)])
    assert "files" not in shown[-1], "the next stream is another one"


def test_what_moves_nothing_is_told_by_name_and_time() -> None:
    shown: list[str] = []
    watcher = Progress(_meter(shown)).of(STEPS, moves=False)
    assert watcher is not None
    watcher.look(lambda: [Flow(7)])
    assert shown == ["list source, list destination  0:00:01"]


def test_without_a_meter_nobody_watches() -> None:
    progress = Progress(None)
    assert progress.of(STEPS, moves=True) is None
    progress.finish()
