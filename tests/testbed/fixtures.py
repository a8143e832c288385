# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pytest plugin of the test bed: tiers, fixtures and the check that a run leaves nothing behind.

Markers say what a test needs: ``embedded`` (an ssh client), ``node`` (root and Debian packages); a test
without one is a unit test. ``--tier`` runs one tier alone. A tier that cannot run here is skipped, and
the last lines of the run say so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator

import pytest

from testbed.bed import Bed
from testbed.inventory import Inventory
from testbed.leaks import find_leaks, snapshot
from testbed.mariadb import MariaDb, Schema
from testbed.net.node import Node
from testbed.pods import Kubes, PodHost
from testbed.run import Run
from testbed.ssh.host import SshHost
from testbed.tier import Tier, missing
from testbed.warm import WarmAnsible

_RUN = pytest.StashKey[Run]()
_SKIPPED = pytest.StashKey[dict[Tier, tuple[int, str]]]()
_BEFORE = pytest.StashKey[set[str]]()
_LEAKS = pytest.StashKey[list[str]]()

ON_BOTH_TIERS = [
    pytest.param(Tier.EMBEDDED, id="embedded", marks=pytest.mark.embedded),
    pytest.param(Tier.NODE, id="node", marks=pytest.mark.node),
]
"""For ``pytest.mark.parametrize("tier", ON_BOTH_TIERS)``; the fixtures then follow the tier."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the choice of tiers."""
    parser.getgroup("testbed").addoption(
        "--tier",
        choices=[*(tier.value for tier in Tier), "all", "once"],
        default="all",
        help="run only the tests of one tier, or each test once, on the node tier if it can run here (default: all)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers."""
    config.addinivalue_line("markers", "embedded: needs an ssh client, nothing else of the machine")
    config.addinivalue_line("markers", "node: needs root and the Debian packages of the node tier")
    config.addinivalue_line("markers", "long: runs before the others, so that nobody waits for it at the end")


def tier_of(item: pytest.Item) -> Tier:
    """Return the tier that a test's markers name; the more demanding one if there are two."""
    for tier in (Tier.NODE, Tier.EMBEDDED):
        if item.get_closest_marker(tier.value) is not None:
            return tier
    return Tier.UNIT


def _each_once(items: list[pytest.Item]) -> list[pytest.Item]:
    """Leave out the embedded half of the tests that run on both tiers, if the node tier can run here."""
    if missing(Tier.NODE) is not None:
        return items
    on_node = {item.nodeid for item in items if tier_of(item) is Tier.NODE}

    def has_twin(item: pytest.Item) -> bool:
        test, bracket, parameters = item.nodeid.partition("[")
        twin = re.sub(r"(?<![^\[-])embedded(?![^\]-])", "node", bracket + parameters, count=1)
        return tier_of(item) is Tier.EMBEDDED and test + twin in on_node

    return [item for item in items if not has_twin(item)]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what ``--tier`` does not ask for; mark to be skipped what cannot run here."""
    wanted = config.getoption("--tier")
    if wanted == "once":
        chosen = _each_once(items)
    else:
        chosen = [item for item in items if wanted in ("all", tier_of(item).value)]
    if len(chosen) != len(items):
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
    skipped = config.stash.setdefault(_SKIPPED, {})
    for tier in Tier:
        reason = missing(tier)
        members = [item for item in items if tier_of(item) is tier]
        if reason is None or not members:
            continue
        skipped[tier] = (len(members), reason)
        for item in members:
            item.add_marker(pytest.mark.skip(reason=f"the {tier.value} tier cannot run here: {reason}"))


def pytest_sessionstart(session: pytest.Session) -> None:
    """Remember what is on the machine."""
    session.config.stash[_BEFORE] = snapshot()


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, object, object]:
    """After every fixture is torn down: look for what was left, fail the run for it, remove it."""
    outcome = yield
    run = session.config.stash.get(_RUN, None)
    leaks = find_leaks(session.config.stash[_BEFORE], run)
    session.config.stash[_LEAKS] = leaks
    if run is not None:
        run.close()
    if leaks and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    return outcome


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name the tiers that were skipped and what the run left behind."""
    for line in config.stash.get(_LEAKS, []):
        terminalreporter.write_line(f"LEFT BEHIND: {line}", red=True)
    for tier, (count, reason) in config.stash.get(_SKIPPED, {}).items():
        terminalreporter.write_line(f"SKIPPED TIER {tier.value}: {count} tests: {reason}", yellow=True)


@pytest.fixture(scope="session")
def testbed_run(pytestconfig: pytest.Config) -> Run:
    """The run that all parts of the test bed belong to; closed after the check for leaks."""
    run = Run()
    run.__enter__()
    pytestconfig.stash[_RUN] = run
    return run


@pytest.fixture(scope="session")
def kubes(testbed_run: Run) -> Iterator[Kubes]:
    """The Kubernetes APIs that the tests of a session share."""
    shared = Kubes(testbed_run)
    yield shared
    shared.close()


@pytest.fixture(scope="session")
def warm(testbed_run: Run) -> Iterator[WarmAnsible]:
    """What forks the runs of ansible-playbook whose end a test awaits at once."""
    del testbed_run  # whose mark it carries
    server = WarmAnsible()
    yield server
    server.close()


@pytest.fixture(scope="session")
def mariadb(testbed_run: Run) -> Iterator[MariaDb]:
    """The database server that the tests of a session share; the test needs the ``node`` marker."""
    server = MariaDb(testbed_run.new_directory("db"))
    yield server
    server.stop()


@pytest.fixture
def schema(mariadb: MariaDb) -> Iterator[Schema]:
    """A database of the test's own, with the tables that users have."""
    made = Schema(mariadb)
    yield made
    made.close()


@pytest.fixture
def bed(testbed_run: Run, kubes: Kubes, warm: WarmAnsible, request: pytest.FixtureRequest) -> Iterator[Bed]:
    """What makes the test's hosts; everything it made is taken down with the test."""
    tier = tier_of(request.node)
    with Bed(testbed_run, Tier.EMBEDDED if tier is Tier.UNIT else tier, kubes, warm) as made:
        yield made


@pytest.fixture
def ssh_host(bed: Bed) -> Callable[..., SshHost]:
    """Start an SSH host, see :meth:`testbed.bed.Bed.ssh_host`."""
    return bed.ssh_host


@pytest.fixture
def pod(bed: Bed) -> Callable[..., PodHost]:
    """Start a pod, see :meth:`testbed.bed.Bed.pod`."""
    return bed.pod


@pytest.fixture
def node(bed: Bed) -> Callable[..., Node]:
    """Start a node, see :meth:`testbed.bed.Bed.node`; the test needs the ``node`` marker."""
    return bed.node


@pytest.fixture
def inventory(bed: Bed) -> Callable[..., Inventory]:
    """Write an inventory of hosts, see :meth:`testbed.bed.Bed.inventory`."""
    return bed.inventory
