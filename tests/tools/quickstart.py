# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m tools.quickstart``: what ``./quickstart.sh`` hands over to; makes the environment, then starts it."""

from __future__ import annotations

import sys

from tools import collection_trees, environments, interpreters, places, processes
from tools.report import say


def main() -> int:
    """Return the exit status of the demonstration."""
    processes.stop_on_signals()
    try:
        python = environments.ensure("quickstart", interpreters.for_default_leg(), say)
        tree = collection_trees.tree("default", collection_trees.dependencies("default", python, say))
        env = python.variables(MANIFOLD_COLLECTIONS_PATH=str(tree), PYTHONPATH=str(places.CHECKOUT / "tests"))
        return processes.run([python.tool("python"), "-m", "quickstart"], cwd=places.CHECKOUT, env=env)
    except (interpreters.NoInterpreter, processes.Failed) as failure:
        print(getattr(failure, "output", ""), f"quickstart: {failure}", sep="\n", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
