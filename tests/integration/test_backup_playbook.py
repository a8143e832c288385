# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``playbooks/backup.yml``: a folder of a pod, through this machine, to a file on an SSH host."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
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
    ini,
    one_line,
    parts_in,
    tail_of,
)
from quickstart import sample
from testbed.inventory import Inventory
from testbed.playbook import PlaybookResult
from testbed.pods import PodHost

BACKUP = PLAYBOOKS / "backup.yml"
TASK = "Stream the folder to its destination"
COMPRESS, DECOMPRESS = ("zstd -3 -T0", "zstd") if shutil.which("zstd") else ("gzip -1n", "gzip")

WAYS = [
    pytest.param(True, id="embedded", marks=pytest.mark.embedded),
    pytest.param(True, id="node-websockets", marks=pytest.mark.node),
    pytest.param(False, id="node-spdy", marks=pytest.mark.node),
]
MIXED = 16
"""MiB of text, noise, small files, odd names and a link."""


@pytest.fixture
def original(tmp_path: Path) -> Path:
    """A folder of mixed data."""
    folder = tmp_path / "original"
    folder.mkdir()
    sample.fill(folder, MIXED)
    return folder


def put(folder: Path, pod: PodHost) -> str:
    """Copy a folder into a pod and return its path there."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(folder, ".")
    target = folder_in(pod, "mixed")
    in_pod(pod, f"tar xf - -C {target}", archive.getvalue())
    return target


def restore(backup: Path, folder: Path) -> Path:
    """Unpack a backup with the usual tools and return the folder."""
    folder.mkdir()
    with subprocess.Popen([DECOMPRESS, "-dc", str(backup)], stdout=subprocess.PIPE) as unpacked:
        subprocess.run(["tar", "xf", "-", "-C", str(folder)], stdin=unpacked.stdout, check=True)
    assert unpacked.returncode == 0
    return folder


def back_up(inventory: Inventory, **variables: Any) -> PlaybookResult:
    return inventory.run_playbook(BACKUP, extra_vars={"compress": COMPRESS, **variables})


@pytest.mark.parametrize("websockets", WAYS)
def test_a_folder_of_a_pod_restores_to_identical_bytes(
    websockets: bool, ssh_host: Hosts, pod: Pods, inventory: Inventories, original: Path, tmp_path: Path
) -> None:
    server, web = ssh_host("backup-server"), pod("web")
    source_path = put(original, web)
    web.kube.websockets = websockets
    contexts = inventory(web, server)
    asked = {
        "source": "web",
        "source_path": source_path,
        "destination": "backup-server",
        "dest_dir": str(server.data),
        "filename": "mixed.tar.packed",
    }

    first = back_up(contexts, **asked).check()

    assert_no_traceback(first)
    backup = server.data / "mixed.tar.packed"
    assert sample.fingerprint(restore(backup, tmp_path / "restored")) == sample.fingerprint(original)
    assert parts_in(server.data) == []
    check_result(tail_of(first, TASK), backup, sum(path.stat().st_size for path in files_of(original)))
    assert tail_of(first, TASK)["changed"] is True

    written = backup.stat()
    second = back_up(contexts, **asked).check()
    assert tail_of(second, TASK)["changed"] is False
    assert tail_of(second, TASK)["checksum"] == tail_of(first, TASK)["checksum"]
    assert tail_of(second, TASK)["sinks"][0]["committed"] is True
    assert (backup.stat().st_ino, backup.stat().st_mtime_ns) == (written.st_ino, written.st_mtime_ns)
    assert parts_in(server.data) == []


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]


def check_result(result: dict[str, Any], backup: Path, content: int) -> None:
    """The result is what the documentation says, and true."""
    size, checksum = backup.stat().st_size, sample.sha256(backup)
    assert (result["bytes"], result["checksum"]) == (size, checksum)
    assert result["failed_step"] is None
    assert isinstance(result["operation_id"], str) and result["operation_id"]
    assert isinstance(result["duration_ms"], int) and result["duration_ms"] > 0
    assert result["sinks"] == [
        {
            "step": "save",
            "context": "backup-server",
            "path": str(backup),
            "bytes": size,
            "checksum": checksum,
            "committed": True,
            "changed": True,
        }
    ]
    archive, compress, save = result["steps"]
    keys = {"name", "context", "type", "rc", "stderr", "bytes_in", "bytes_out", "connection_time_ms", "proof"}
    assert archive.keys() == compress.keys() == save.keys() == keys
    assert [(step["name"], step["context"], step["type"]) for step in result["steps"]] == [
        ("archive", "web", "kubernetes"),
        ("compress", "local", "local"),
        ("save", "backup-server", "ssh"),
    ]
    assert [step["rc"] for step in result["steps"]] == [0, 0, 0]
    assert [step["proof"] for step in result["steps"]] == ["marker"] * 3
    assert (archive["bytes_in"], save["bytes_out"]) == (None, None)
    assert archive["bytes_out"] == compress["bytes_in"] > content
    assert compress["bytes_out"] == save["bytes_in"] == size
    assert all(isinstance(step["connection_time_ms"], int) for step in result["steps"])


@pytest.mark.embedded
def test_an_ini_inventory_serves_as_well(ssh_host: Hosts, pod: Pods, inventory: Inventories, tmp_path: Path) -> None:
    server, web = ssh_host("backup-server"), pod("web")
    source_path = folder_in(web, "small")
    in_pod(web, f"echo kept > {source_path}/note")
    contexts = inventory(text=ini(web, server), filename="hosts.ini")
    done = back_up(
        contexts,
        source="web",
        source_path=source_path,
        destination="backup-server",
        dest_dir=str(server.data),
        filename="small",
    ).check()
    assert (restore(server.data / "small", tmp_path / "restored") / "note").read_text() == "kept\n"
    assert tail_of(done, TASK)["changed"] is True


@pytest.mark.embedded
def test_without_a_file_name_source_and_time_make_one(ssh_host: Hosts, inventory: Inventories, tmp_path: Path) -> None:
    server = ssh_host("backup-server")
    (tmp_path / "from").mkdir()
    (tmp_path / "from" / "note").write_text("kept\n")
    back_up(
        inventory(server),
        source="local",
        source_path=str(tmp_path / "from"),
        destination="backup-server",
        dest_dir=str(server.data),
    ).check()
    (backup,) = server.data.iterdir()
    assert backup.name.startswith("local-") and ".tar." in backup.name
    assert (restore(backup, tmp_path / "restored") / "note").read_text() == "kept\n"


@pytest.mark.embedded
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"source": "wbe"}, ["context 'wbe'", "no such host", "Did you mean 'web'?"]),
        ({"destination": "elsewhere"}, ["context 'elsewhere'", "no such host", "hosts of the inventory"]),
        ({"source": None}, ["source is not set", "-e source="]),
        ({"dest_dir": None}, ["dest_dir is not set", "-e dest_dir="]),
        ({"source_path": ""}, ["source_path is not set"]),
        ({"compress": "no-such-packer -9"}, ["step 'compress' (local)", "no-such-packer", "not found"]),
    ],
    ids=["unknown-source", "unknown-destination", "no-source", "no-dest_dir", "empty-path", "no-compressor"],
)
def test_a_backup_that_was_asked_for_wrongly_is_never_green(
    changes: dict[str, str | None], expected: list[str], ssh_host: Hosts, inventory: Inventories
) -> None:
    server, web = ssh_host("backup-server"), ssh_host("web")
    wanted: dict[str, str | None] = {
        "source": "web",
        "source_path": str(web.data),
        "destination": "backup-server",
        "dest_dir": str(server.data),
    }
    given = {name: value for name, value in (wanted | changes).items() if value is not None}
    result = back_up(inventory(server, web), **given)
    assert result.rc != 0, result.describe()
    assert_no_traceback(result)
    said = one_line(result.stdout + result.stderr)
    assert [text for text in expected if text not in said] == [], result.describe()
    assert list(server.data.iterdir()) == []


@pytest.mark.embedded
@pytest.mark.parametrize("strict", ["true", "false"], ids=["as-configured", "with-ansibles-default"])
def test_a_broken_inventory_file_is_never_green(
    strict: str, ssh_host: Hosts, inventory: Inventories, tmp_path: Path
) -> None:
    server = ssh_host("backup-server")
    result = inventory(text="all: {hosts: [this is: not, an inventory\n").run_playbook(
        BACKUP,
        extra_vars={
            "source": "local",
            "source_path": str(tmp_path),
            "destination": "backup-server",
            "dest_dir": str(server.data),
            "compress": COMPRESS,
        },
        env={"ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": strict},
    )
    assert result.rc != 0, result.describe()
    assert_no_traceback(result)
    expected = "hosts.yml" if strict == "true" else "context 'backup-server': looking it up: the inventory has no host"
    assert expected in one_line(result.stdout + result.stderr), result.describe()
    assert list(server.data.iterdir()) == []
