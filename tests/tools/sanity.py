# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``ansible-test sanity``, made independent of the host that it fetches pip from."""

from __future__ import annotations

import re
from pathlib import Path

from tools import places, processes
from tools.environments import Environment
from tools.report import Outcome
from tools.request import Leg
from tools.workshop import Workshop

_FIND = "import importlib.util as u; print(u.find_spec('ansible_test').submodule_search_locations[0])"
_BOOTSTRAP = '''\
"""Installs the pip wheel that lies beside this file; ansible-test runs it in each of its environments."""
import runpy, sys

WHEEL = {wheel!r}
sys.path.insert(0, WHEEL)
sys.argv[1:] = ["install", "--disable-pip-version-check", "--upgrade", "--force-reinstall", "--no-deps", WHEEL]
runpy.run_module("pip", run_name="__main__")
'''

_UNPUBLISHED = (
    "tests/benchmark",
    "tests/faults",
    "tests/integration",
    "tests/testbed",
    "tests/testbed_tests",
    "tests/unit",
)


def run(workshop: Workshop, _leg: Leg) -> Outcome:
    """All sanity tests over what is published; ruff and mypy look at the tests, which are not."""
    python = workshop.environment("default")
    copy = workshop.snapshot()
    prime(python, workshop.folder / "sanity.log")
    minor = ".".join(map(str, python.interpreter.version[:2]))
    command = [python.tool("ansible-test"), "sanity", "--color", "no", "--python", minor]
    command += [word for folder in _UNPUBLISHED for word in ("--exclude", f"{folder}/")]
    env = workshop.variables(python, copy.parents[2])
    return Outcome(workshop.check("ansible-test sanity", command, cwd=copy, env=env) == 0)


def prime(python: Environment, log: Path) -> None:
    """Put the pip that ansible-test wants, from PyPI, where it looks before it downloads."""
    cache = Path.home() / ".ansible" / "test" / "cache"
    version = wanted_pip(python)
    script = cache / f"get_pip_{version.replace('.', '_')}.py"
    with places.locked(places.cache_root() / "sanity.lock"):
        if script.exists():
            return
        cache.mkdir(parents=True, exist_ok=True)
        pip = [python.tool("python"), "-m", "pip", "download", "--disable-pip-version-check", "--no-deps"]
        command = [*pip, "--dest", str(cache), f"pip=={version}"]
        processes.must(command, cwd=cache, env=python.variables(), log=log)
        fresh = script.with_suffix(".new")
        fresh.write_text(_BOOTSTRAP.format(wheel=str(cache / f"pip-{version}-py3-none-any.whl")))
        fresh.replace(script)


def wanted_pip(python: Environment) -> str:
    """Return the version of pip that this ansible-test starts its environments with."""
    folder = Path(processes.output([python.tool("python"), "-c", _FIND], cwd=places.CHECKOUT).strip())
    found = re.search(r"pip='([\d.]+)'", (folder / "_internal" / "python_requirements.py").read_text())
    if not found:
        raise processes.Failed(["ansible-test"], 1, "cannot tell which pip ansible-test wants")
    return found.group(1)
