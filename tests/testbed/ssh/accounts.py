# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""System users of the test bed: made for one host, with a password and a sudo rule if asked, and removed."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from testbed.processes import HOST_VARIABLE, RUN_VARIABLE, all_pids, await_exit, send_signal

SUDOERS = Path("/etc/sudoers.d")


class Sudo(Enum):
    """What an account may do with sudo."""

    NONE = "none"
    PASSWORD = "password"
    NO_PASSWORD = "nopasswd"


class AccountError(Exception):
    """An account could not be made or removed."""


@dataclass(frozen=True)
class Account:
    """A system user; ``password`` is None where only a key may log in."""

    name: str
    home: Path
    password: str | None
    sudo: Sudo


def sudoers_path(name: str) -> Path:
    """Return where the sudo rule of an account is."""
    return SUDOERS / f"manifold-testbed-{name}"


def create_account(name: str, home: Path, *, password: str | None = None, sudo: Sudo = Sudo.NONE) -> Account:
    """Add a system user whose home is the folder ``home`` and who owns it; needs root."""
    account = Account(name, home, password, sudo)
    # "*" is no password that could match, yet not locked: sshd refuses a locked account even with a key
    flags = ["--system", "--no-create-home", "--no-user-group"]
    settings = ["--gid", "nogroup", "--home-dir", str(home), "--shell", "/bin/sh", "--password", "*"]
    _change_users(["useradd", *flags, *settings, name])
    try:
        shutil.chown(home, account.name)
        if password is not None:
            _change_users(["chpasswd"], stdin=f"{account.name}:{password}\n")
        if sudo is not Sudo.NONE:
            _write_sudo_rule(account)
    except BaseException:
        remove_account(name)
        raise
    return account


def remove_account(name: str) -> None:
    """End the user's processes, then remove its sudo rule and the user; the home folder stays.

    A user that does not exist is no error, so this may be called twice.
    """
    sudoers_path(name).unlink(missing_ok=True)
    try:
        uid = pwd.getpwnam(name).pw_uid
    except KeyError:
        return
    deadline = time.monotonic() + 10
    while (pids := _processes_of(uid)) and time.monotonic() < deadline:
        send_signal(pids, signal.SIGKILL)
        await_exit(pids, 5)
    _change_users(["userdel", name])


def _write_sudo_rule(account: Account) -> None:
    """Write the rule; the marks stay in the environment so that root's processes are found as well."""
    tag = "NOPASSWD: " if account.sudo is Sudo.NO_PASSWORD else ""
    rule = (
        f'Defaults:{account.name} env_keep += "{RUN_VARIABLE} {HOST_VARIABLE}", !lecture\n'
        f"{account.name} ALL=(ALL) {tag}ALL\n"
    )
    # sudo skips names with a dot, so a half-written rule is never read
    path = sudoers_path(account.name)
    partial = path.with_suffix(".part")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o440)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(rule)
    partial.rename(path)


def _processes_of(uid: int) -> list[int]:
    found = []
    for pid in all_pids():
        try:
            owner = Path(f"/proc/{pid}").stat().st_uid
        except OSError:
            continue
        if owner == uid:
            found.append(pid)
    return found


def _change_users(argv: list[str], stdin: str | None = None) -> None:
    """Run a tool that edits the user database, again while another one holds its lock."""
    deadline = time.monotonic() + 20
    while True:
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode == 0:
            return
        if "lock" not in done.stderr or time.monotonic() > deadline:
            raise AccountError(f"{argv[0]} {argv[-1]}: exit {done.returncode}: {done.stderr.strip()}")
        time.sleep(0.1)  # the lock is a file; there is nothing to wait on
