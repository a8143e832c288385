# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a Kubernetes API with the objects of a YAML file: ``python -m testbed.kube pods.yaml``.

Prints the path of the kubeconfig once the pods are ready, and serves until stdin ends or SIGTERM or SIGINT
arrives; then everything is taken down.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from testbed.kube.kube import Kube
from testbed.run import Run


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m testbed.kube", description=__doc__)
    parser.add_argument("objects", type=Path, help="YAML file with the pods and other objects to create")
    parser.add_argument("--backend", choices=("process", "cri"), default="process", help="what runs the pods")
    parser.add_argument("--kubeconfig", type=Path, help="where to write the kubeconfig (default: a temporary file)")
    parser.add_argument("--context", default="testbed", help="name of the kubeconfig's context")
    parser.add_argument("--no-websockets", action="store_true", help="refuse WebSockets, so that clients use SPDY")
    return parser.parse_args()


def _documents(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as stream:
        yield from (document for document in yaml.safe_load_all(stream) if document)


def _stop_signals() -> int:
    """Return a descriptor that becomes readable when a signal asks to stop; cleaning up is not interrupted by it."""
    reader, writer = os.pipe()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os.write(writer, b"\0") and None)
    return reader


def _await_end(stop: int) -> None:
    """Wait until stdin ends or a signal asks to stop."""
    stdin = sys.stdin.fileno()
    poll = select.poll()
    poll.register(stdin, select.POLLIN)
    poll.register(stop, select.POLLIN)
    while True:
        for descriptor, _event in poll.poll():
            if descriptor == stop or not os.read(stdin, 4096):
                return


def main() -> int:
    """Serve until told to stop."""
    arguments = _arguments()
    stop = _stop_signals()
    with Run() as run:
        workdir = run.new_directory("kube")
        with Kube(arguments.backend, workdir=workdir, websockets=not arguments.no_websockets) as kube:
            created = [kube.create(document) for document in _documents(arguments.objects)]
            for obj in created:
                if obj["kind"] == "Pod":
                    kube.wait_ready(obj["metadata"]["name"], obj["metadata"]["namespace"])
            path = kube.write_kubeconfig(arguments.kubeconfig or workdir / "kubeconfig", context=arguments.context)
            print(path, flush=True)
            _await_end(stop)
    return 0


if __name__ == "__main__":
    sys.exit(main())
