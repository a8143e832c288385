# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tarball: that it builds, holds what a user needs and nothing else, installs, and documents itself."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

from tools import processes
from tools.report import Outcome
from tools.request import Leg
from tools.workshop import Workshop

ALLOWED = {
    "CHANGELOG.rst",
    "Containerfile",
    "FILES.json",
    "LICENSE",
    "MANIFEST.json",
    "README.md",
    "bindep.txt",
    "changelogs",
    "docs",
    "execution-environment.yml",
    "extensions",
    "galaxy.yml",
    "meta",
    "playbooks",
    "plugins",
    "requirements.txt",
    "roles",
}
"""What may stand at the top of the tarball."""

_PLUGIN_KINDS = {"modules": "module", "connection": "connection", "inventory": "inventory", "callback": "callback"}


def build(workshop: Workshop, leg: Leg) -> Outcome:
    """Build the tarball, look into it, install it into an empty folder, read each plugin's documentation."""
    python = workshop.environment("default")
    copy = workshop.snapshot()
    env = workshop.variables(python, copy.parents[2])
    galaxy = python.tool("ansible-galaxy")
    out = workshop.folder / "build"
    command = [galaxy, "collection", "build", "--output-path", str(out)]
    if workshop.check("ansible-galaxy collection build", command, cwd=copy, env=env):
        return Outcome(False)
    tarball = next(out.glob("*.tar.gz"))
    surplus = misplaced(tarball)
    if surplus:
        print(f"  the tarball holds what no user needs: {' '.join(surplus)}", flush=True)
        return Outcome(False)
    target = workshop.folder / "installed"
    env["ANSIBLE_COLLECTIONS_PATH"] = f"{target}:{workshop.others(leg)}"
    command = [galaxy, "collection", "install", "--offline", "--pre", "--collections-path", str(target), str(tarball)]
    if workshop.check("ansible-galaxy collection install", command, cwd=workshop.folder, env=env):
        return Outcome(False)
    documented = _documented(workshop, target / "ansible_collections" / "manifold" / "core", env)
    return Outcome(documented, f"{tarball.name}, {tarball.stat().st_size / 1024:.0f} KiB")


def misplaced(tarball: Path) -> list[str]:
    """Return the members of the tarball that no user needs."""
    with tarfile.open(tarball) as archive:
        names = [name for name in archive.getnames() if name not in ("", ".")]
    return [name for name in names if name.split("/")[0] not in ALLOWED or "__pycache__" in name]


def plugins(collection: Path) -> list[tuple[str, str]]:
    """Return the kind, as ansible-doc calls it, and the full name of each plugin with documentation."""
    found = []
    for folder, kind in _PLUGIN_KINDS.items():
        files = sorted((collection / "plugins" / folder).glob("[!_]*.py"))
        found += [(kind, f"manifold.core.{file.stem}") for file in files]
    roles = sorted((collection / "roles").glob("*/meta/argument_specs.yml"))
    return found + [("role", f"manifold.core.{file.parents[1].name}") for file in roles]


def _documented(workshop: Workshop, collection: Path, env: dict[str, str]) -> bool:
    tool = workshop.environment("default").tool("ansible-doc")
    wrong = []
    for kind, name in plugins(collection):
        try:
            shown = processes.output([tool, "--json", "--type", kind, name], cwd=workshop.folder, env=env)
            documented = bool(json.loads(shown).get(name))
        except processes.Failed as failure:
            print(failure.output, flush=True)
            documented = False
        if not documented:
            wrong.append(f"{kind} {name}")
    if wrong:
        print(f"  no documentation to be read from the installed collection: {', '.join(wrong)}", flush=True)
    return not wrong
