# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How trees are sent: compressed or not, in one archive or several, or copied."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._base import Launch
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._local import LocalContext
from ansible_collections.manifold.core.plugins.plugin_utils.transfers import _how
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._endpoint import Endpoint
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._run import run_transfer
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._spec import Request, Result

from unit.tools import without


class _With(LocalContext):
    """This machine with its own programs first."""

    def __init__(self, name: str, programs: Path) -> None:
        super().__init__(name)
        self._programs = programs

    def launch(self, command: str) -> Launch:
        launch = super().launch(command)
        return Launch(argv=(b"env", f"PATH={self._programs}".encode(), *launch.argv))


@pytest.fixture
def src(tmp_path: Path) -> Path:
    """A tree of somewhat more than is worth compressing."""
    root = tmp_path / "src"
    for number in range(6):
        (root / f"d{number % 3}").mkdir(parents=True, exist_ok=True)
        (root / f"d{number % 3}" / f"{number}").write_bytes(b"row %d\n" % number * 40_000)
    (root / "link").symlink_to("d0")
    return root


def _sent(src: Path, dest: Path, programs: Path | None = None, **more: Any) -> Result:
    places = {"one": LocalContext("one"), "two": _With("two", programs) if programs else LocalContext("two")}
    request = Request(Endpoint("one", f"{src}/"), Endpoint("two", str(dest)), **more)
    return run_transfer(request, lambda end: places[end.context])


def _same(one: Path, other: Path) -> bool:
    def held(root: Path) -> dict[str, bytes]:
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    return held(one) == held(other) and (other / "link").readlink() == (one / "link").readlink()


@pytest.mark.parametrize("streams", [1, 3, 32])
@pytest.mark.parametrize("compress", ["zstd", "gzip", "none"])
def test_a_tree_arrives_however_it_is_sent(src: Path, tmp_path: Path, compress: str, streams: int) -> None:
    if compress != "none" and not shutil.which(compress):
        pytest.skip(f"there is no {compress}")
    result = _sent(src, tmp_path / "dest", compress=compress, streams=streams)
    # not more archives than there are entries to send
    assert (result.failure, result.compress or "none", result.streams) == (None, compress, min(streams, 7))
    assert _same(src, tmp_path / "dest")
    assert not _sent(src, tmp_path / "dest", compress=compress, streams=streams).changed


def test_what_an_end_lacks_is_refused_if_it_was_asked_for(src: Path, tmp_path: Path) -> None:
    programs = without(tmp_path / "bin", "zstd")
    refused = _sent(src, tmp_path / "asked", programs, compress="zstd")
    assert refused.failure == "compress: context 'two' has no zstd, but gzip. Install it there, or set 'auto'."
    assert not (tmp_path / "asked").exists()


def test_over_a_long_way_there_are_several_archives_and_gzip_is_better_than_nothing(
    src: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_how, "_WORTH_A_LOOK", 0)
    monkeypatch.setattr(_how, "is_far", lambda _ends: True)
    result = _sent(src, tmp_path / "far", without(tmp_path / "bin", "zstd"))
    assert (result.failure, result.compress, result.streams) == (None, "gzip", 4)
    assert _same(src, tmp_path / "far")


def test_near_by_nothing_is_compressed_unless_asked_for(src: Path, tmp_path: Path) -> None:
    result = _sent(src, tmp_path / "dest")
    assert (result.failure, result.compress, result.streams) == (None, None, 1)


def test_what_passed_is_hashed_by_b2sum_where_an_end_has_no_openssl(src: Path, tmp_path: Path) -> None:
    # without a checksum of the archive, that of each file would be asked for
    result = _sent(src, tmp_path / "dest", without(tmp_path / "bin", "openssl", "sha256sum"))
    assert result.failure is None
    assert _same(src, tmp_path / "dest")
    refused = _sent(src, tmp_path / "other", without(tmp_path / "less", "openssl", "sha256sum", "b2sum"))
    assert refused.failure
    assert not (tmp_path / "other").exists()
