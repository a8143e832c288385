# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._ssh_words import Fate, SshWords, can_tell_ends

# as OpenSSH 9.2 and 8.5 write it
_NEW = "debug1: channels.c:channel_new():503 (pid=7): channel {}: new stdio-forward [stdio] (inactive timeout: 0)"
_NEW_85 = "debug1: channels.c:channel_new():411 (pid=7): channel {}: new [stdio-forward]"
_END = "debug2: nchan.c:chan_shutdown_write():381 (pid=7): channel {}: (i0 o{} sock {} wfd 7 efd -1 [closed])"


@pytest.fixture
def words() -> Iterator[SshWords]:
    with contextlib.closing(SshWords()) as made:
        yield made


def say(words: SshWords, *lines: str) -> None:
    os.write(words.fd, "".join(f"{line}\r\n" for line in lines).encode())


def fate(words: SshWords, number: int) -> Fate | None:
    watch = words.channel(number)
    return None if watch is None else watch.fate


@pytest.mark.parametrize("new", [_NEW, _NEW_85])
@pytest.mark.parametrize(("output", "known"), [(1, Fate.ENDED), (0, Fate.CUT)])
def test_how_a_channel_ended_is_known(words: SshWords, new: str, output: int, known: Fate) -> None:
    say(words, new.format(2), new.format(3))
    assert fate(words, 2) is Fate.OPEN
    say(words, _END.format(2, output, -1))
    assert (fate(words, 2), fate(words, 3), fate(words, 4)) == (known, Fate.OPEN, None)


def test_a_number_that_is_used_again_is_another_channel(words: SshWords) -> None:
    say(words, _NEW.format(2), _END.format(2, 1, -1), _NEW.format(2))
    assert fate(words, 2) is Fate.OPEN


def test_the_connections_to_ssh_itself_are_none_of_its_channels(words: SshWords) -> None:
    say(words, _NEW.format(1), _END.format(1, 1, 5))
    assert fate(words, 1) is Fate.OPEN


@pytest.mark.parametrize("sock", [-1, 5], ids=["of a channel", "of a connection to ssh itself"])
def test_an_ssh_is_relied_on_once_it_has_said_both(words: SshWords, sock: int) -> None:
    say(words, _NEW.format(1))
    assert not words.tell_ends
    say(words, _END.format(1, 1, sock))
    assert words.tell_ends
    words.end()
    assert not words.tell_ends
    say(words, _NEW.format(1), "another thing")
    assert not words.tell_ends


def test_the_end_of_ssh_loses_what_had_not_ended(words: SshWords) -> None:
    say(words, _NEW.format(1), _NEW.format(2), _END.format(1, 1, -1))
    ended, lost = words.channel(1), words.channel(2)
    assert ended is not None
    assert lost is not None
    words.end()
    assert (ended.fate, lost.fate) == (Fate.ENDED, Fate.LOST)
    assert words.channel(2) is None


def test_who_waits_is_woken_by_the_line(words: SshWords) -> None:
    words.start()
    say(words, _NEW.format(2))
    watch = words.channel(2)
    assert watch is not None
    woken = threading.Event()
    watch.tell(woken.set)
    line = _END.format(2, 1, -1)
    os.write(words.fd, line[:40].encode())
    assert not woken.is_set()
    os.write(words.fd, f"{line[40:]}\r\n".encode())
    assert woken.wait(10)


def test_words_for_people_are_kept_and_no_server_can_feign_the_others(words: SshWords) -> None:
    feigned = f"channel 3: open failed: {_END.format(2, 1, -1)}"
    say(words, _NEW.format(2), "Warning: something", feigned)
    os.write(words.fd, b"half a line")
    assert fate(words, 2) is Fate.OPEN
    assert words.said() == f"Warning: something\r\n{feigned}\r\nhalf a line"
    words.begin()
    assert words.said() == ""


def test_only_the_last_words_are_kept(words: SshWords) -> None:
    for number in range(2000):
        say(words, f"{number:09} {'x' * 90}")
        if number % 100 == 0:
            words.said()
    assert words.said().endswith(f"{1999:09} {'x' * 90}\r\n")
    assert len(words.said()) <= 1 << 16


@pytest.mark.parametrize(
    ("version", "can"),
    [
        ("OpenSSH_8.5p1, OpenSSL 1.1.1", True),
        ("OpenSSH_10.0p2 Debian-7, OpenSSL 3.5.1", True),
        ("OpenSSH_8.4p1 Debian-5", False),
        ("OpenSSH_7.9p1", False),
        ("dropbear 2022", False),
    ],
)
def test_an_ssh_that_would_not_start_with_the_option_is_known(tmp_path: Path, version: str, can: bool) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text(f"#!/bin/sh\necho '{version}' >&2\n")
    ssh.chmod(0o700)
    assert can_tell_ends(str(ssh), os.environ) is can


def test_an_ssh_that_is_not_there_can_nothing() -> None:
    assert not can_tell_ends("/nowhere/ssh", {})
