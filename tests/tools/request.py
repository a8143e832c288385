# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was asked for on the command line."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from tools import places


class Tier(Enum):
    """How much of a machine the tests may use; the values are those of pytest's ``--tier``."""

    UNIT = "unit"
    EMBEDDED = "embedded"
    NODE = "node"
    ALL = "all"


class Leg(Enum):
    """Which ansible-core the tests run on."""

    DEFAULT = "default"
    NEWEST = "newest"


class Suite(Enum):
    """The parts of a run, in the order in which they run: the quick ones first."""

    LINT = "lint"
    DOCS = "docs"
    UNIT = "unit"
    TESTBED = "testbed"
    INTEGRATION = "integration"
    FAULTS = "faults"
    FAULTS_FULL = "faults-full"
    BENCHMARK = "benchmark"
    COVERAGE = "coverage"
    BUILD = "build"
    MOLECULE = "molecule"
    SANITY = "sanity"


FOLDERS = {
    Suite.UNIT: ("tests/tools_tests", "tests/unit"),  # the few long ones first
    Suite.TESTBED: ("tests/testbed_tests",),
    Suite.INTEGRATION: ("tests/integration",),
    Suite.FAULTS: ("tests/faults",),
}
"""The suites that pytest runs, and where their tests are."""

ON_REQUEST = frozenset({Suite.FAULTS_FULL, Suite.BENCHMARK})
"""The suites that run only when they are named: a subset of the faults always runs, and a benchmark asserts nothing."""


@dataclass(frozen=True)
class Request:
    """A run as it was asked for."""

    suites: tuple[Suite, ...]
    legs: tuple[Leg, ...]
    tier: Tier
    paths: tuple[str, ...]
    pytest_arguments: tuple[str, ...]
    fresh: bool
    stream: bool

    @property
    def whole(self) -> bool:
        """Whether the suites run unfiltered."""
        return not self.paths and not self.pytest_arguments and self.tier is Tier.ALL

    @property
    def everything(self) -> bool:
        """Whether nothing was chosen: every suite runs, on both legs."""
        return self.whole and self.legs == tuple(Leg) and set(self.suites) == set(Suite) - ON_REQUEST


_EPILOG = """\
examples:
  ./test.sh                                  everything this machine can run
  ./test.sh --tier embedded                  the tests that need no root
  ./test.sh --suite lint --suite unit        two suites
  ./test.sh tests/unit/test_x.py::test_y     one test
  ./test.sh --suite integration -- -k become -x
  ./test.sh --suite faults-full              every fault on every transport; writes docs/fault_matrix.md
  ./test.sh --suite benchmark -- pipeline --size 1GiB   one benchmark; without a name, each as its help says

The node tier needs root; on Debian the packages it misses are installed. Environments are kept below
${XDG_CACHE_HOME:-~/.cache}/manifold-core and may be removed at any time.
"""


def parse(arguments: list[str]) -> Request:
    """Return what the command line asks for; exits with a usage message where it makes no sense."""
    ours, theirs = _split(arguments)
    parser = _parser()
    given = parser.parse_args(ours)
    for path in given.paths:
        if not (places.CHECKOUT / path.split("::")[0]).exists():
            parser.error(f"{path} does not exist")
        if suite_of(path) is None:
            parser.error(f"{path} is not below one of: {' '.join(sum(FOLDERS.values(), ()))}")
    suites = _suites(given.suite, given.paths, given.tier)
    return Request(
        suites=suites,
        legs=_legs(given.leg, chosen=bool(given.suite or given.paths)),
        tier=Tier(given.tier or Tier.ALL.value),
        paths=tuple(given.paths),
        pytest_arguments=tuple(theirs),
        fresh=given.fresh,
        stream=given.verbose or bool(os.environ.get("CI") or given.paths or len(suites) == 1),
    )


def suite_of(path: str) -> Suite | None:
    """Return the suite that a test file belongs to."""
    for suite, folders in FOLDERS.items():
        if any(Path(path.split("::")[0]).is_relative_to(folder) for folder in folders):
            return suite
    return None


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    at = arguments.index("--") if "--" in arguments else len(arguments)
    return arguments[:at], arguments[at + 1 :]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./test.sh",
        usage="./test.sh [options] [tests/.../test_file.py[::name] ...] [-- arguments of pytest]",
        description="Runs the tests of manifold.core, with all the set-up they need.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [suite.value for suite in Suite]
    parser.add_argument("--tier", choices=[t.value for t in Tier], help="run only the tests of one tier")
    parser.add_argument("--suite", action="append", choices=names, help="run only this suite; may be repeated")
    parser.add_argument("--leg", choices=["default", "newest", "both"], help="which ansible-core to run on")
    parser.add_argument("--fresh", action="store_true", help="build the environments anew, from today's releases")
    parser.add_argument("--verbose", action="store_true", help="show what the suites write as they run")
    parser.add_argument("paths", nargs="*", help=argparse.SUPPRESS)
    return parser


def _suites(chosen: list[str] | None, paths: list[str], tier: str | None) -> tuple[Suite, ...]:
    if chosen:
        wanted = {Suite(name) for name in chosen}
    elif paths:
        wanted = {suite for suite in map(suite_of, paths) if suite}
    elif tier == Tier.UNIT.value:
        wanted = {Suite.UNIT}
    elif tier:
        wanted = set(FOLDERS)
    else:
        wanted = set(Suite) - ON_REQUEST
    return tuple(suite for suite in Suite if suite in wanted)


def _legs(given: str | None, *, chosen: bool) -> tuple[Leg, ...]:
    if given == "both" or (given is None and not chosen):
        return (Leg.DEFAULT, Leg.NEWEST)
    return (Leg(given or "default"),)
