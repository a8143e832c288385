# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.contexts import _ciphers
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._ciphers import (
    cipher_options,
    light_exchange_options,
)

DEFAULT = "chacha20-poly1305@openssh.com,aes128-ctr,aes128-gcm@openssh.com,aes256-gcm@openssh.com"
AES_FIRST = "aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,aes128-ctr"

# What ``ssh -G`` says: of the file for the user's configuration, or the default with ``-F none``.
_SSH = f"""#!/bin/sh
case "$*" in *"-F none"*) echo "ciphers {DEFAULT}"; cat "$0.usual" ;; *) cat "$0.says" ;; esac
exit $(cat "$0.status")
"""


class _Ssh:
    def __init__(self, folder: Path) -> None:
        self._path = folder / "ssh"
        self._path.write_text(_SSH)
        self._path.chmod(0o755)
        self.tells(f"user me\nciphers {DEFAULT}\nport 22\n")

        self._path.with_name("ssh.usual").write_text("")

    def prefers(self, exchanges: str) -> None:
        """Say which key exchanges this ssh prefers."""
        self._path.with_name("ssh.usual").write_text(f"kexalgorithms {exchanges}\n")

    def light_options(self) -> list[str]:
        """Return the options for a connection without secrets by this ssh."""
        return light_exchange_options(str(self._path).encode(), [b"-o", b"User=me"], b"db.example")

    def tells(self, configuration: str, status: int = 0) -> None:
        """Say what the user's configuration comes to."""
        self._path.with_name("ssh.says").write_text(configuration)
        self._path.with_name("ssh.status").write_text(str(status))

    def options(self) -> list[str]:
        """Return the options for a connection by this ssh."""
        return cipher_options(str(self._path).encode(), [b"-o", b"User=me"], b"db.example")


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Ssh:
    """An ssh that only tells its configuration, on a processor that computes AES."""
    monkeypatch.setattr(_ciphers, "has_aes_instructions", lambda: True)
    return _Ssh(tmp_path)


def test_the_same_ciphers_are_offered_with_the_fast_ones_first(ssh: _Ssh) -> None:
    assert ssh.options() == ["-o", f"Ciphers={AES_FIRST}"]


def test_a_choice_of_the_user_stands(ssh: _Ssh) -> None:
    ssh.tells("ciphers aes256-ctr,aes128-gcm@openssh.com\n")
    assert ssh.options() == []


def test_without_aes_instructions_nothing_is_changed(ssh: _Ssh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_ciphers, "has_aes_instructions", lambda: False)
    assert ssh.options() == []


@pytest.mark.parametrize(("says", "status"), [("", 0), ("unknown option -- G\n", 255), (f"ciphers {DEFAULT}\n", 255)])
def test_an_ssh_that_does_not_tell_keeps_its_order(ssh: _Ssh, says: str, status: int) -> None:
    ssh.tells(says, status)
    assert ssh.options() == []


def test_an_ssh_that_is_not_there_is_not_asked_twice() -> None:
    assert cipher_options(b"/nonexistent/ssh", [], b"db.example") == []


SNTRUP = "sntrup761x25519-sha512@openssh.com"


@pytest.mark.parametrize(
    ("usual", "says", "expected"),
    [
        (f"{SNTRUP},curve25519-sha256", "", f"curve25519-sha256,{SNTRUP}"),
        (f"{SNTRUP},mlkem768x25519-sha256,curve", "", f"mlkem768x25519-sha256,curve,{SNTRUP}"),
        ("mlkem768x25519-sha256,curve25519-sha256", "", None),
        (f"{SNTRUP},curve25519-sha256", f"kexalgorithms {SNTRUP}\n", None),
        (f"{SNTRUP},curve25519-sha256", "gssapidelegatecredentials yes\n", None),
    ],
    ids=["costly-first", "a-fast-one-as-strong", "none-costly", "chosen-by-the-user", "credentials-handed-on"],
)
def test_the_costly_key_exchange_comes_last_where_nothing_is_secret(
    usual: str, says: str, expected: str | None, ssh: _Ssh
) -> None:
    ssh.prefers(usual)
    ssh.tells(f"kexalgorithms {usual}\n{says}")
    assert ssh.light_options() == (["-o", f"KexAlgorithms={expected}"] if expected else [])


def test_an_ssh_that_does_not_tell_keeps_its_key_exchange(ssh: _Ssh) -> None:
    ssh.tells("", 255)
    assert ssh.light_options() == []
