# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``playbooks/minio_mirror.yml``: a bucket of a real S3 server that only a forward leads to, by a real client."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from testbed.inventory import Inventory
from testbed.playbook import PlaybookResult
from testbed.pods import PodHost
from testbed.ssh.host import SshHost

from .support import PLAYBOOKS, Hosts, Inventories, Pods, assert_no_traceback, in_pod, one_line

MIRROR = PLAYBOOKS / "minio_mirror.yml"
COPY = "Copy what differs"
KEY, SECRET = "mirror-key", "se/cr+et with 'blanks'"
BUCKET = "data"
# a note of how rclone was called, for the test to look at
_NOTING = """#!/bin/sh
printf '%s\\n' "$*" >>{notes}
exec {rclone} "$@"
"""

Shell = Callable[[str], bytes]


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert found is not None, f"{name} is not installed"
    return found


def _serve(run: Shell, weed: str, folder: str, port: int) -> None:
    """Start the S3 server where ``run`` runs commands, and wait until it has made its bucket."""
    options = f"-dir={folder} -ip=127.0.0.1 -ip.bind=127.0.0.1 -s3.port={port} -bucket={BUCKET} -admin.ui=false"
    environment = f"AWS_ACCESS_KEY_ID={KEY} AWS_SECRET_ACCESS_KEY={shlex.quote(SECRET)}"
    run(f"mkdir -p {folder}; (trap '' HUP; {environment} {weed} mini {options} >{folder}/log 2>&1 </dev/null &)")
    deadline = time.monotonic() + 60
    while b"ready to use" not in run(f"cat {folder}/log; true"):
        assert time.monotonic() < deadline, run(f"cat {folder}/log").decode()
        time.sleep(0.1)


class Store:
    """An S3 server that only an SSH host or a cluster reaches, as far as the playbook is concerned."""

    def __init__(self, context: str, target: str, port: int, host: SshHost | PodHost) -> None:
        self.context, self.target, self.port, self.host = context, target, port, host

    @contextlib.contextmanager
    def reached(self) -> Iterator[int]:
        """Have a port of this machine that leads there without anything of ours."""
        if isinstance(self.host, SshHost):
            yield self.port
            return
        argv = ["kubectl", "--kubeconfig", str(self.host.kubeconfig), "-n", self.host.namespace]
        argv += ["port-forward", self.target, f":{self.port}"]
        programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env={**os.environ, "PATH": programs}) as process:
            try:
                assert process.stdout is not None
                found = re.search(r":(\d+) ->", process.stdout.readline())
                assert found is not None
                yield int(found[1])
            finally:
                process.terminate()

    def rclone(self, *arguments: str) -> None:
        """Run the client against it."""
        with self.reached() as port:
            settings = {
                "TYPE": "s3",
                "PROVIDER": "Other",
                "ACCESS_KEY_ID": KEY,
                "SECRET_ACCESS_KEY": SECRET,
                "ENDPOINT": f"http://127.0.0.1:{port}",
            }
            environment = {**os.environ, **{f"RCLONE_CONFIG_STORE_{name}": value for name, value in settings.items()}}
            subprocess.run([_program("rclone"), "--config=", *arguments], env=environment, check=True, timeout=60)


def _on_ssh_host(host: SshHost) -> Store:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    _serve(lambda command: host.run(command).stdout, _program("weed"), f"{host.data}/s3", port)
    return Store(host.name, "127.0.0.1", port, host)


def _in_pod(pod: PodHost) -> Store:
    in_pod(pod, "cat >/tmp/weed && chmod +x /tmp/weed", stdin=Path(_program("weed")).read_bytes())
    _serve(lambda command: in_pod(pod, command), "/tmp/weed", "/tmp/s3", 9000)
    return Store(pod.name, f"pod/{pod.name}", 9000, pod)


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.node
@pytest.mark.parametrize("kind", ["ssh", "pod"])
def test_a_bucket_that_only_a_forward_leads_to_is_mirrored(
    kind: str, ssh_host: Hosts, pod: Pods, inventory: Inventories, tmp_path: Path
) -> None:
    store = _in_pod(pod()) if kind == "pod" else _on_ssh_host(ssh_host())
    made = inventory(store.host)
    folder, dest = tmp_path / "original", tmp_path / "mirror"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "a file.txt").write_text("text")
    (folder / "big").write_bytes(os.urandom(9 << 20))
    store.rclone("copy", str(folder), f"store:{BUCKET}")
    first = _mirror(made, store, dest)
    assert _changed(first)
    assert _files(dest) == _files(folder)
    assert "2 files" in one_line(first.stdout)
    if kind == "ssh":
        return  # the rest does not depend on the way
    assert not _changed(_mirror(made, store, dest))
    (folder / "new").write_text("new")
    store.rclone("copy", str(folder), f"store:{BUCKET}")
    store.rclone("deletefile", f"store:{BUCKET}/big")
    (folder / "big").unlink()
    assert _changed(_mirror(made, store, dest, delete=True))
    assert _files(dest) == _files(folder)
    # the forward is stopped when the client fails as well, and its reason is told
    failed = _mirror(made, store, dest, bucket="no-such-bucket", ends=2)
    assert "not found" in one_line(failed.stdout) or "NoSuchBucket" in one_line(failed.stdout)
    assert failed.task("Stop the forward").result["changed"]
    assert SECRET not in (made.directory / "called").read_text()
    assert SECRET not in first.stdout


def _mirror(
    made: Inventory, store: Store, dest: Path, *, bucket: str = BUCKET, ends: int = 0, **more: object
) -> PlaybookResult:
    """Run the playbook; the client is a program that notes how it was called and becomes the real one."""
    programs = made.directory / "bin"
    programs.mkdir(exist_ok=True)
    client = programs / "rclone"
    client.write_text(_NOTING.format(notes=made.directory / "called", rclone=_program("rclone")))
    client.chmod(0o755)
    result = made.run_playbook(
        MIRROR,
        env={
            "XDG_STATE_HOME": str(made.directory / "state"),
            "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
        },
        extra_vars={
            "context": store.context,
            "target": store.target,
            "service_port": store.port,
            "bucket": bucket,
            "dest": str(dest),
            **more,
        },
    )
    assert result.rc == ends, result.describe()
    assert_no_traceback(result)
    return result


def _changed(result: PlaybookResult) -> bool:
    return bool(result.task(COPY).result["changed"])
