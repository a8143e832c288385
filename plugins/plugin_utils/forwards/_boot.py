# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a supervisor: the script that a task starts, apart from everything of Ansible.

It leaves its parent, so that nobody has to wait for it, and makes just this collection importable by its own name,
wherever it is installed and whatever else is called ``ansible_collections`` here.
"""

from __future__ import annotations

import importlib
import os
import sys
import types
from pathlib import Path


def _make_importable(core: Path) -> None:
    name = ""
    for part, places in (
        ("ansible_collections", []),
        ("manifold", []),
        ("core", [core]),
        ("plugins", [core / "plugins"]),
    ):
        name = f"{name}.{part}" if name else part
        package = types.ModuleType(name)
        package.__path__ = [str(place) for place in places]
        sys.modules[name] = package


def _main() -> None:
    if os.fork():
        os._exit(0)
    _make_importable(Path(__file__).resolve().parents[3])
    importlib.import_module("ansible_collections.manifold.core.plugins.plugin_utils.forwards._supervisor").main()


if __name__ == "__main__":
    _main()
