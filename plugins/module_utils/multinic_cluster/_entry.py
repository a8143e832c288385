# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What both containers of an agent's pod run: by ``AGENT_ACTION`` the guard or the playbook."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Mapping, NoReturn

from ansible_collections.manifold.core.plugins.module_utils.multinic import _attendant
from ansible_collections.manifold.core.plugins.module_utils.multinic._errors import GuardError
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._agent import ACTION, HOST_ROOT

GUARD = "guard"
PLAYBOOK = "manifold.core.multinic_agent"
_WAIT = 60
_AGAIN = 0.05


def main(environment: Mapping[str, str]) -> int:
    """Be the guard, or become the playbook."""
    path = environment.get(_attendant.SOCKET_VARIABLE, "")
    if environment.get(ACTION) == GUARD:
        if not path:
            sys.stderr.write(f"{_attendant.SOCKET_VARIABLE} must say where the guard listens\n")
            return 2
        return _attendant.main(path, Path(environment.get(HOST_ROOT, "/host")))
    if path:
        _hold_lifeline(path)
    return _become_playbook(environment)


def _become_playbook(environment: Mapping[str, str]) -> NoReturn:
    beside = Path(sys.executable).parent / "ansible-playbook"
    command = str(beside) if beside.exists() else "ansible-playbook"
    os.execvpe(command, [command, "-i", "localhost,", "-c", "local", PLAYBOOK], {**_DEFAULTS, **environment})


_DEFAULTS = {
    # the file system of the image may be read-only
    "ANSIBLE_HOME": "/tmp/ansible",
    "ANSIBLE_LOCAL_TEMP": "/tmp/ansible/local",
    "ANSIBLE_REMOTE_TEMP": "/tmp/ansible/remote",
    "ANSIBLE_NOCOLOR": "1",
}


def _hold_lifeline(path: str) -> None:
    """Connect to the guard, which starts at the same time, by a descriptor that the playbook inherits.

    Without an answer the playbook runs all the same: it changes nothing without a guard, and says why.
    """
    until = time.monotonic() + _WAIT
    while time.monotonic() < until:
        try:
            lifeline = _attendant.connect(path, "")
        except GuardError:
            time.sleep(_AGAIN)
        else:
            os.set_inheritable(lifeline.detach(), True)
            return
    sys.stderr.write(f"the guard container does not answer at {path} for {_WAIT} s\n")


if __name__ == "__main__":
    raise SystemExit(main(os.environ))
