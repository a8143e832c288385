# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the suites of one run share, each piece made when it is first asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tools import collection_trees, debian, environments, interpreters, places, processes
from tools.environments import Environment
from tools.report import Report, say
from tools.request import Leg, Request, Tier

_EMPTY_SETTINGS = "# No settings of the machine or its user reach the tests.\n[defaults]\n"


@dataclass
class Workshop:
    """The environments, folders and findings of one run.

    ``no_node_tier`` says why the node tier does not run, once that was asked.
    """

    request: Request
    report: Report
    folder: Path
    _environments: dict[str, Environment] = field(default_factory=dict)
    _snapshot: Path | None = None
    no_node_tier: str = ""
    _node_tier_asked: bool = False

    def environment(self, name: str) -> Environment:
        """Return an environment by the name of its requirement file."""
        if name not in self._environments:
            newest = name == Leg.NEWEST.value
            interpreter = interpreters.for_newest_leg() if newest else interpreters.for_default_leg()
            self._environments[name] = environments.ensure(name, interpreter, say, fresh=self.request.fresh)
        return self._environments[name]

    def others(self, leg: Leg) -> Path:
        """Return the folder of the collections that ours depends on."""
        return collection_trees.dependencies(leg.value, self.environment(leg.value), say)

    def collections(self, leg: Leg) -> Path:
        """Return the collections path on which the checkout itself is the collection."""
        return collection_trees.tree(leg.value, self.others(leg))

    def snapshot(self) -> Path:
        """Return a copy of the checkout that lies where a collection lies."""
        if self._snapshot is None:
            self._snapshot = collection_trees.snapshot(self.folder / "snapshot", self.others(Leg.DEFAULT))
        return self._snapshot

    def variables(self, environment: Environment, collections: Path) -> dict[str, str]:
        """Return the process environment for a tool of ``environment`` that finds ``collections``."""
        settings = self.folder / "ansible.cfg"
        settings.write_text(_EMPTY_SETTINGS)
        return environment.variables(
            ANSIBLE_COLLECTIONS_PATH=str(collections),
            ANSIBLE_CONFIG=str(settings),
            ANSIBLE_HOME=str(self.folder / "ansible-home"),
            MANIFOLD_COLLECTIONS_PATH=str(collections),
        )

    def prepare_tiers(self) -> None:
        """Install what the node tier misses, or note why it does not run; pytest then skips its tests."""
        if self._node_tier_asked or self.request.tier not in (Tier.NODE, Tier.ALL):
            return
        self._node_tier_asked = True
        self.no_node_tier = debian.why_no_node_tier(say, self.folder / "debian.log")
        if self.no_node_tier:
            self.report.skip("tier node", self.no_node_tier)

    def check(self, name: str, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> int:
        """Run one check, its output streamed or else shown only where it fails; return its status."""
        if self.request.stream:
            say(name)
            return processes.run(argv, cwd=cwd, env=env)
        log = self.folder / "check.log"
        log.unlink(missing_ok=True)
        code = processes.run(argv, cwd=cwd, env=env, log=log)
        if code:
            say(f"{name} ended with {code}; it wrote:")
            print(log.read_text(errors="replace"), flush=True)
        return code

    @property
    def system_path(self) -> str:
        """The folders of system programs, which an ordinary user's PATH may not name."""
        return os.pathsep.join(["/usr/local/sbin", "/usr/sbin", "/sbin"])

    @property
    def cache(self) -> Path:
        """Where tools may keep what makes their next run quicker, one folder per checkout."""
        folder = places.cache_root() / "tools" / places.checkout_key()
        folder.mkdir(parents=True, exist_ok=True)
        return folder
