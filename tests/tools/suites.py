# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The suites: what is run for each, and when it counts as passed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

from tools import coverage_table, interpreters, packaging, places, sanity
from tools.report import Outcome
from tools.request import FOLDERS, Leg, Request, Suite, Tier, suite_of
from tools.workshop import Workshop

_NO_TESTS = 5  # pytest's exit status when nothing was collected
_BENCHMARKS = (
    *("pipeline", "checksum", "counting", "fixed_cost", "memory", "probe", "progress", "transfer"),
    *("forward", "forward_ssh", "forward_soak", "forward_pods"),
)
_SIDE_BY_SIDE = {
    Suite.UNIT: ("3", "worksteal"),
    Suite.TESTBED: ("3", "worksteal"),
    Suite.INTEGRATION: ("3", "worksteal"),
    # the cells of one file share their sites, and run side by side there already
    Suite.FAULTS: ("2", "loadfile"),
}
"""How many tests of a suite run at a time, on two cores, and how they are shared out: many wait for a process."""
_RANDOM_CUTS = 1000


class Skip(Exception):
    """A suite has nothing to do here; the text says why."""


def lint(workshop: Workshop, _leg: Leg) -> Outcome:
    """Style, format and types of our Python; then ansible-lint over what users would see."""
    home = places.CHECKOUT
    python = workshop.environment("default")
    env = workshop.variables(python, workshop.snapshot().parents[2])
    cache = str(workshop.cache / "ruff")
    ruff = python.tool("ruff")
    types = {**env, "MYPYPATH": str(workshop.collections(Leg.DEFAULT))}
    codes = [
        workshop.check("ruff check", [ruff, "check", "--cache-dir", cache, "."], cwd=home, env=env),
        workshop.check("ruff format", [ruff, "format", "--check", "--cache-dir", cache, "."], cwd=home, env=env),
        workshop.check("mypy", mypy(workshop), cwd=home, env=types),
    ]
    tools = workshop.environment("lint")
    env = workshop.variables(tools, workshop.snapshot().parents[2])
    ansible_lint = [tools.tool("ansible-lint"), "--offline", "--strict", "--nocolor"]
    codes.append(workshop.check("ansible-lint", ansible_lint, cwd=workshop.snapshot(), env=env))
    return Outcome(not any(codes))


def mypy(workshop: Workshop) -> list[str]:
    """Return the command that checks the types of the plugins and of the tests."""
    cache = str(workshop.cache / "mypy")
    collection = workshop.collections(Leg.DEFAULT) / "ansible_collections" / "manifold" / "core"
    ours = [collection / "plugins", collection / "extensions", places.CHECKOUT / "tests"]
    folders = [str(folder) for folder in ours if _has_python(folder)]
    return [workshop.environment("default").tool("mypy"), "--cache-dir", cache, *folders]


def docs(workshop: Workshop, _leg: Leg) -> Outcome:
    """What a documentation site would make of the plugins, and the changelog fragments."""
    tools = workshop.environment("lint")
    copy = workshop.snapshot()
    env = workshop.variables(tools, copy.parents[2])
    pages = [tools.tool("antsibull-docs"), "lint-collection-docs", "--plugin-docs", "--skip-rstcheck", str(copy)]
    codes = [
        workshop.check("antsibull-docs", pages, cwd=copy, env=env),
        workshop.check("antsibull-changelog", [tools.tool("antsibull-changelog"), "lint"], cwd=copy, env=env),
    ]
    return Outcome(not any(codes))


def pytest(suite: Suite) -> Callable[[Workshop, Leg], Outcome]:
    """Return the function that runs a suite of pytest's."""

    def run(workshop: Workshop, leg: Leg) -> Outcome:
        chosen = [path for path in workshop.request.paths if suite_of(path) is suite]
        wanted = chosen or [folder for folder in FOLDERS[suite] if _has_python(places.CHECKOUT / folder)]
        if not wanted:
            raise Skip("no tests there yet")
        workshop.prepare_tiers()
        python = workshop.environment(leg.value)
        collections = workshop.collections(leg)
        env = workshop.variables(python, collections)
        env["PATH"] += ":" + workshop.system_path
        command = [python.tool("python"), "-m", "pytest", *_pytest_options(workshop, suite, leg), *wanted]
        counts = workshop.folder / f"{suite.value}-{leg.value}.xml"
        command.append(f"--junit-xml={counts}")
        code = workshop.check(f"pytest {suite.value}", command, cwd=places.CHECKOUT, env=env)
        if code == _NO_TESTS and not chosen:
            raise Skip("no test of this tier")
        return Outcome(code == 0, counted(counts))

    return run


def counted(path: Path) -> str:
    """Return how many tests a JUnit report counts, and how many of them failed or were skipped."""
    if not path.exists():
        return "ended before it counted its tests"
    suite = ElementTree.parse(path).getroot().find("testsuite")
    numbers = {} if suite is None else {name: int(suite.get(name, 0)) for name in ("failures", "errors", "skipped")}
    tests = 0 if suite is None else int(suite.get("tests", 0))
    told = [f"{count} {name.replace('failures', 'failed')}" for name, count in numbers.items() if count]
    return ", ".join([f"{tests} tests", *told])


def _pytest_options(workshop: Workshop, suite: Suite, leg: Leg) -> list[str]:
    number, shared_out = _SIDE_BY_SIDE[suite]
    options = [] if workshop.request.paths else ["-n", number, "--dist", shared_out]
    options += ["--ansible-unit-inject-only", "-o", f"cache_dir={workshop.cache / f'pytest-{leg.value}'}"]
    options += ["--tier", tier_for(workshop.request, suite, leg), "-ra", "--durations=5"]
    if leg is Leg.NEWEST and workshop.request.everything:
        options += ["-m", "not any_core"]
    return [*options, *workshop.request.pytest_arguments]


def tier_for(request: Request, suite: Suite, leg: Leg) -> str:
    """Return what pytest is told to run: of everything, each integration test on one tier per leg, if both legs run."""
    if suite is Suite.INTEGRATION and request.everything and interpreters.has_newest_leg():
        # what differs between the legs is Ansible, not what it reaches
        return "once" if leg is Leg.DEFAULT else Tier.EMBEDDED.value
    return request.tier.value


def faults_full(workshop: Workshop, leg: Leg) -> Outcome:
    """The whole fault matrix and the random cuts; what follows ``--`` goes to ``python -m faults``."""
    words = ["faults", "--full", "--cuts", str(_RANDOM_CUTS), "--write-docs", *workshop.request.pytest_arguments]
    return Outcome(_on_node_tier(workshop, leg, "fault matrix", words))


def benchmark(workshop: Workshop, leg: Leg) -> Outcome:
    """The benchmarks; what follows ``--`` names one and holds its arguments."""
    name, *arguments = workshop.request.pytest_arguments or [""]
    chosen = {name: arguments} if name else {each: list[str]() for each in _BENCHMARKS}
    runs = [_on_node_tier(workshop, leg, each, [f"benchmark.{each}", *words]) for each, words in chosen.items()]
    return Outcome(all(runs))


def _on_node_tier(workshop: Workshop, leg: Leg, name: str, words: list[str]) -> bool:
    """Run a module of the tests that needs containers; return whether it ended well."""
    workshop.prepare_tiers()
    if workshop.no_node_tier:
        raise Skip(workshop.no_node_tier)
    python = workshop.environment(leg.value)
    collections = workshop.collections(leg)
    env = workshop.variables(python, collections)
    env["PATH"] += ":" + workshop.system_path
    env["PYTHONPATH"] = f"{places.CHECKOUT / 'tests'}:{collections}"
    command = [python.tool("python"), "-m", *words]
    return workshop.check(name, command, cwd=places.CHECKOUT, env=env) == 0


def molecule(workshop: Workshop, _leg: Leg) -> Outcome:
    """The scenarios under ``extensions/molecule``, on this machine, without containers."""
    if not (places.CHECKOUT / "plugins" / "modules").is_dir():
        raise Skip("no modules there yet")
    tools = workshop.environment("lint")
    copy = workshop.snapshot()
    env = workshop.variables(tools, copy.parents[2])
    env["MOLECULE_EPHEMERAL_DIRECTORY"] = str(workshop.folder / "molecule")
    command = [tools.tool("molecule"), "test", "--all"]
    code = workshop.check("molecule", command, cwd=copy / "extensions", env=env)
    shutil.rmtree(workshop.folder / "molecule", ignore_errors=True)
    return Outcome(code == 0)


def coverage(workshop: Workshop, _leg: Leg) -> Outcome:
    """What the unit tests of each kind of context reach of it."""
    return Outcome(coverage_table.run(workshop))


def _has_python(folder: Path) -> bool:
    return any(folder.rglob("*.py"))


RUNNERS: dict[Suite, Callable[[Workshop, Leg], Outcome]] = {
    Suite.LINT: lint,
    Suite.DOCS: docs,
    Suite.UNIT: pytest(Suite.UNIT),
    Suite.TESTBED: pytest(Suite.TESTBED),
    Suite.INTEGRATION: pytest(Suite.INTEGRATION),
    Suite.FAULTS: pytest(Suite.FAULTS),
    Suite.FAULTS_FULL: faults_full,
    Suite.BENCHMARK: benchmark,
    Suite.COVERAGE: coverage,
    Suite.BUILD: packaging.build,
    Suite.MOLECULE: molecule,
    Suite.SANITY: sanity.run,
}
