# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._errors import ForwardError
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._holder import who_listens
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._lease import Lease, open_play, process_of
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._log import ForwardLog
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._spec import ForwardSpec, Lifetime
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._state import ForwardFolder, default_directory

from unit.forwards import imports


@pytest.fixture
def folder(tmp_path: Path) -> ForwardFolder:
    made = ForwardFolder(tmp_path / "deep" / "state")
    made.make()
    return made


def test_the_folder_is_private_even_if_it_was_not(folder: ForwardFolder) -> None:
    folder.path.chmod(0o755)
    folder.make()
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700


def test_a_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ForwardError, match="cannot be made"):
        ForwardFolder(tmp_path / "file" / "state").make()
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(ForwardError, match="belongs to somebody else"):
        ForwardFolder(tmp_path / "link").make()


def test_it_is_in_the_state_home_apart_for_each_machine() -> None:
    assert default_directory({}, Path("/h"), "m") == Path("/h/.local/state/manifold/forwards/m")
    assert default_directory({"XDG_STATE_HOME": "/s"}, Path("/h"), "m") == Path("/s/manifold/forwards/m")
    assert default_directory({"XDG_STATE_HOME": "s"}, Path("/h"), "m").is_relative_to("/h")


def test_only_one_may_have_a_name(folder: ForwardFolder) -> None:
    claim = folder.claim("fw", time.monotonic())
    assert folder.is_alive("fw") and folder.names() == ["fw"]
    with pytest.raises(ForwardError, match="runs already"):
        folder.claim("fw", time.monotonic() + 0.1)
    folder.sweep()
    assert folder.is_alive("fw")
    claim.release()
    assert not folder.is_alive("fw") and folder.names() == []
    folder.claim("fw", time.monotonic())


def test_only_one_may_change_a_name_and_nothing_stays(folder: ForwardFolder) -> None:
    with folder.changing("fw", time.monotonic()):
        with pytest.raises(ForwardError, match="another play"), folder.changing("fw", time.monotonic() + 0.1):
            pass
        with folder.changing("other", time.monotonic()):
            pass
        folder.sweep()  # what is in use is no rubbish
        with pytest.raises(ForwardError, match="another play"), folder.changing("fw", time.monotonic()):
            pass
    assert list(folder.path.iterdir()) == []


def test_what_dead_ones_left_is_swept(folder: ForwardFolder) -> None:
    for name in ("fw.forward", "fw.sock", "fw.lock", "fw.log", "fw.log.1", "old.log"):
        (folder.path / name).touch()
    os.utime(folder.path / "old.log", (0, 0))
    assert not folder.is_alive("fw")
    folder.sweep()
    assert sorted(path.name for path in folder.path.iterdir()) == ["fw.log", "fw.log.1"]


# -- the log -----------------------------------------------------------------------------------------------------------


def test_a_log_is_private_and_bounded(tmp_path: Path) -> None:
    log = ForwardLog(tmp_path / "fw.log", limit=1000)
    for number in range(1000):
        log(f"line {number}\nof a connection")
    files = sorted(tmp_path.iterdir())
    assert [path.name for path in files] == ["fw.log", "fw.log.1"]
    assert all(path.stat().st_size <= 1000 and stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files)
    assert files[0].read_text().endswith("line 999 of a connection\n")


# -- for whom it lives -------------------------------------------------------------------------------------------------


def spec(lifetime: Lifetime = Lifetime.PLAY, ttl: float | None = None) -> ForwardSpec:
    return ForwardSpec("fw", "ctx", "host", (), lifetime=lifetime, ttl=ttl)


def test_a_lease_is_over_without_owners_unless_it_is_persistent() -> None:
    lease = Lease(spec(), ())
    assert lease.over == "the last play that asked for it has ended"
    lease.renew(Lifetime.PERSISTENT, None)
    assert lease.over is None and lease.left is None
    lease.renew(Lifetime.PLAY, None)
    assert lease.over is None and lease.persistent
    lease.renew(Lifetime.PERSISTENT, 1e-9)
    assert lease.over == "its time (ttl) is up"


def test_the_play_of_a_process_without_a_parent_of_python_is_itself() -> None:
    fd = open_play()
    assert process_of(fd) == os.getpid()
    os.close(fd)


# -- who listens -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::1", "::ffff:127.0.0.1"])
def test_a_listener_is_found_by_its_process(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as listener:
        listener.bind((address, 0))
        port = listener.getsockname()[1]
        wanted = "::1" if address == "::1" else "127.0.0.1"
        assert who_listens(wanted, port) is None  # it does not listen yet
        listener.listen()
        assert f"(process {os.getpid()})" in str(who_listens(wanted, port))
        assert who_listens("no address", port) is None
    assert who_listens(wanted, port) is None


def test_of_another_users_listener_the_user_is_told() -> None:
    if os.getuid() != 0:
        pytest.skip("it takes root to be somebody else")
    script = (
        "import os, socket, sys; listener = socket.create_server(('127.0.0.1', 0));"
        "print(listener.getsockname()[1], flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(["python3", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None and holder.stdin is not None
    port = int(holder.stdout.readline())
    code = (
        "import os, sys; from ansible_collections.manifold.core.plugins.plugin_utils.forwards import _holder;"
        "os.setgid(65534); os.setuid(65534); print(_holder.who_listens('127.0.0.1', int(sys.argv[1])))"
    )
    try:
        env = {**os.environ, "PYTHONPATH": imports()}
        told = subprocess.run([sys.executable, "-c", code, str(port)], capture_output=True, check=False, env=env)
        assert told.stdout == b"a process of the user root\n", told.stderr.decode()
    finally:
        holder.stdin.close()
        holder.wait()
        holder.stdout.close()
