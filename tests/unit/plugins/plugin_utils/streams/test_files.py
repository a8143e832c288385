# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.streams._files import Copied, CopyFailed, fetch, put

from unit.support import EVERY_BYTE, FakeContext, cuts_input, cuts_output, temporaries

BULK = EVERY_BYTE * 5000


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file with an awkward name."""
    path = tmp_path / "it's a file"
    path.write_bytes(BULK)
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A file that is there already."""
    (tmp_path / "there").mkdir()
    path = tmp_path / "there" / "old"
    path.write_bytes(b"old")
    return path


@pytest.fixture
def without_hashes(tmp_path: Path) -> tuple[str, ...]:
    """A transport to a place that has busybox's tools without sha256sum."""
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("there is no busybox on this machine")
    tools = tmp_path / "tools"
    tools.mkdir()
    for applet in subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split():
        if applet != "sha256sum":
            (tools / applet).symlink_to(busybox)
    return ("/bin/sh", "-c", f'PATH={tools}; export PATH; exec sh -c "$1"', "transport")


def test_a_file_is_put_and_fetched_whole(source: Path, target: Path) -> None:
    pod = FakeContext("shop")
    assert put(source, pod, str(target)) == Copied(len(BULK), hashed=True)
    assert target.read_bytes() == BULK
    assert fetch(pod, str(target), source.with_name("back")) == Copied(len(BULK), hashed=True)
    assert source.with_name("back").read_bytes() == BULK
    assert temporaries(source.parent) == []


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65])
def test_a_small_file_is_not_taken_for_its_proof(size: int, tmp_path: Path) -> None:
    small, back = tmp_path / "small", tmp_path / "back"
    small.write_bytes(b"a" * size)
    assert fetch(FakeContext("shop"), str(small), back).bytes == size
    assert back.read_bytes() == b"a" * size


@pytest.mark.parametrize("tool", ["sha256sum", "openssl"])
def test_either_tool_does(tool: str, source: Path, tmp_path: Path) -> None:
    other = {"sha256sum": "openssl", "openssl": "sha256sum"}[tool]
    tools = tmp_path / "tools"
    tools.mkdir()
    for folder in os.environ["PATH"].split(":"):
        for program in Path(folder).glob("*") if Path(folder).is_dir() else ():
            if program.name != other and not (tools / program.name).is_symlink():
                (tools / program.name).symlink_to(program)
    transport = ("/bin/sh", "-c", f'PATH={tools}; export PATH; exec sh -c "$1"', "transport")
    assert fetch(FakeContext("shop", transport), str(source), tmp_path / "back").hashed


def test_without_a_tool_for_checksums_the_sizes_are_compared(
    source: Path, target: Path, without_hashes: tuple[str, ...]
) -> None:
    assert fetch(FakeContext("shop", without_hashes), str(source), target) == Copied(len(BULK), hashed=False)
    pod = FakeContext("shop", *[without_hashes] * 9)
    assert put(source, pod, str(target.with_name("new"))) == Copied(len(BULK), hashed=False)
    assert target.read_bytes() == target.with_name("new").read_bytes() == BULK


@pytest.mark.parametrize("then", ["close", "drain"])
@pytest.mark.parametrize("count", [0, 1000, len(BULK), len(BULK) + 64])
def test_a_fetch_that_was_cut_leaves_the_old_file(source: Path, target: Path, count: int, then: str) -> None:
    with pytest.raises(CopyFailed, match="its output was cut"):
        fetch(FakeContext("shop", cuts_output(count, then)), str(source), target)
    assert target.read_bytes() == b"old"
    assert temporaries(target.parent) == []


@pytest.mark.parametrize("then", ["close", "hole"])
def test_a_put_that_was_cut_leaves_the_old_file(source: Path, target: Path, then: str) -> None:
    with pytest.raises(CopyFailed, match="step 'write' \\(shop\\)"):
        put(source, FakeContext("shop", cuts_input(1000, then)), str(target))
    assert target.read_bytes() == b"old"
    assert temporaries(target.parent) == []


def test_a_byte_that_changed_on_its_way_is_noticed(source: Path, target: Path) -> None:
    forging = ("/bin/sh", "-c", 'sh -c "$1" | LC_ALL=C tr A B', "transport")
    with pytest.raises(CopyFailed, match="what arrived has the SHA-256"):
        fetch(FakeContext("shop", forging), str(source), target)
    assert target.read_bytes() == b"old"


@pytest.mark.parametrize(
    ("name", "text"), [("none", "none does not exist"), (".", "is a directory"), ("old/x", "does not exist")]
)
def test_what_cannot_be_fetched_is_said(target: Path, tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(CopyFailed, match=text):
        fetch(FakeContext("shop"), str(target.parent / name), tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_target_that_cannot_be_written_is_said(source: Path, tmp_path: Path) -> None:
    with pytest.raises(CopyFailed, match="No such file or directory"):
        fetch(FakeContext("shop"), str(source), tmp_path / "none" / "back")
    with pytest.raises(CopyFailed, match="does not exist"):
        put(source, FakeContext("shop"), str(tmp_path / "none" / "file"))
