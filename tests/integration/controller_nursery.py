# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Forks controllers that have their imports done: a start takes a second of CPU else, and the tests need many.

Requests and answers are lines of JSON on stdin and stdout: ``{"environment": {...}, "log": "..."}`` starts one and is
answered by its process id, ``{"wait": pid}`` by its exit code, null while it runs.
"""

from __future__ import annotations

import json
import os
import sys
from typing import NoReturn

import kubernetes.client
from ansible_collections.manifold.core.extensions.multinic_controller import _run


def main() -> None:
    """Serve until the end of stdin."""
    kubernetes.client.CoreV1Api()  # it imports most of what it needs only now
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            pid, status = os.waitpid(request["wait"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        else:
            answer = os.fork()
            if answer == 0:
                _be_a_controller(request["environment"], request["log"])
        print(json.dumps(answer), flush=True)


def _be_a_controller(environment: dict[str, str], log: str) -> NoReturn:
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (out, 1), (out, 2)):
        os.dup2(source, target)
    os.environ.update(environment)
    code = 1
    try:
        code = _run.main([])
    except SystemExit as exc:
        code = exc.code if isinstance(exc.code, int) else 1
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
