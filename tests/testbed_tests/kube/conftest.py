# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One front for each backend, and a real kubectl that talks to it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from testbed.kube import Kube
from testbed.kube.kubectl import Kubectl
from testbed.run import Run


@dataclass(frozen=True)
class Way:
    """A backend, and whether clients get WebSockets or have to use SPDY."""

    backend: str
    websockets: bool


def _ways(*, websockets_only: bool = False) -> list[object]:
    tiers = {"process": pytest.mark.embedded, "cri": pytest.mark.node}
    return [
        pytest.param(Way(backend, websockets), id=f"{backend}-{'websocket' if websockets else 'spdy'}", marks=mark)
        for backend, mark in tiers.items()
        for websockets in ((True,) if websockets_only else (True, False))
    ]


@pytest.fixture(scope="session")
def fronts(testbed_run: Run) -> Iterator[Callable[[str], Kube]]:
    """Start the front of a backend when it is first asked for."""
    started: dict[str, Kube] = {}
    with contextlib.ExitStack() as stack:

        def front(backend: str) -> Kube:
            if backend not in started:
                kube = Kube(backend, workdir=testbed_run.new_directory("kube"))
                started[backend] = stack.enter_context(contextlib.closing(kube))
            return started[backend]

        yield front


def _front(fronts: Callable[[str], Kube], way: Way) -> Iterator[Kube]:
    kube = fronts(way.backend)
    kube.websockets = way.websockets
    yield kube
    kube.faults.clear()


@pytest.fixture(params=_ways())
def kube_front(request: pytest.FixtureRequest, fronts: Callable[[str], Kube]) -> Iterator[Kube]:
    """A running API, by every backend and both stream protocols."""
    yield from _front(fronts, request.param)


@pytest.fixture(params=_ways(websockets_only=True))
def websocket_front(request: pytest.FixtureRequest, fronts: Callable[[str], Kube]) -> Iterator[Kube]:
    """A running API, by every backend, for what does not depend on the stream protocol or needs WebSockets."""
    yield from _front(fronts, request.param)


@pytest.fixture
def process_front(fronts: Callable[[str], Kube]) -> Iterator[Kube]:
    """A running API whose pods are plain processes."""
    yield from _front(fronts, Way("process", True))


@pytest.fixture
def kubectl_for(tmp_path: Path) -> Callable[[Kube], Kubectl]:
    """Return a kubectl for a front."""
    return lambda kube: Kubectl(kube.write_kubeconfig(tmp_path / "kubeconfig"), tmp_path / "cache")
