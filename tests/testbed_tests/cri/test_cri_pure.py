# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts that need neither root nor a daemon."""

from __future__ import annotations

import json
import tarfile
import tomllib
from decimal import Decimal
from pathlib import Path

import pytest

from testbed.kube.backend import BackendError
from testbed.kube.cri import images
from testbed.kube.cri.containerd import configuration
from testbed.kube.cri.layout import RunLayout
from testbed.kube.cri.logs import parse_cri_log
from testbed.kube.cri.podspec import parse_quantity, sandbox_config

LAYOUT = RunLayout(Path("/run/test bed/x"), "mfx")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("64Mi", 64 * 1024 * 1024),
        ("1k", 1000),
        ("1.5G", 1_500_000_000),
        ("250m", Decimal("0.25")),
        (3, 3),
        ("1Ei", 2**60),
    ],
)
def test_quantities_are_read_as_kubernetes_reads_them(text: str | int, value: int | Decimal) -> None:
    assert parse_quantity(text) == value


@pytest.mark.parametrize("text", ["", "much", "1Kb", "1 Mi", "Mi"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(BackendError, match="not a quantity"):
        parse_quantity(text)


def test_cri_logs_join_partial_lines_and_drop_an_unfinished_one() -> None:
    stamp = b"2026-01-01T00:00:00.000000000Z"
    data = b"".join(
        [
            stamp + b" stdout P half a \n",
            stamp + b" stdout F line\n",
            stamp + b" stderr F \n",
            stamp + b" stdout F  two  blanks \n",
            stamp + b" stdout F still being wri",
        ]
    )
    assert parse_cri_log(data) == b"half a line\n\n two  blanks \n"
    assert parse_cri_log(b"") == b""


def test_the_configuration_is_toml_and_keeps_everything_below_the_run() -> None:
    config = tomllib.loads(configuration(LAYOUT, "img"))
    runc = config["plugins"]["io.containerd.grpc.v1.cri"]["containerd"]["runtimes"]["runc"]
    paths = [config["root"], config["state"], config["grpc"]["address"], runc["options"]["Root"]]
    assert all(path.startswith("/run/test bed/x/") for path in paths)


def test_a_pod_on_the_hosts_network_has_no_host_name_of_its_own() -> None:
    pod = {"metadata": {"uid": "u", "name": "n"}, "spec": {"containers": [], "hostNetwork": True}}
    assert sandbox_config(pod, LAYOUT).hostname == ""
    pod["spec"] = {"containers": []}
    assert sandbox_config(pod, LAYOUT).hostname == "n"


@pytest.mark.parametrize("image", ["busybox", "busybox:1.36", "registry.example:5000/a/busybox@sha256:00"])
def test_the_last_part_of_an_images_name_decides(image: str) -> None:
    assert images.resolve(image) == images.BUSYBOX


def test_an_archive_names_its_layer_by_digest(tmp_path: Path) -> None:
    layer, target = tmp_path / "layer.tar", tmp_path / "image.tar"
    with tarfile.open(layer, "w"):
        pass
    images.write_archive(target, layer, [images.ImageConfig("a/b:1", ("x",)), images.ImageConfig("a/c:1", ("y",))])
    with tarfile.open(target) as archive:

        def member(name: str) -> object:
            file = archive.extractfile(name)
            assert file is not None
            return json.load(file)

        manifest = member("manifest.json")
        assert isinstance(manifest, list)
        assert [entry["RepoTags"] for entry in manifest] == [["a/b:1"], ["a/c:1"]]
        config = member(manifest[1]["Config"])
    assert isinstance(config, dict)
    assert config["config"]["Cmd"] == ["y"]
    assert config["rootfs"]["diff_ids"][0].startswith("sha256:")
