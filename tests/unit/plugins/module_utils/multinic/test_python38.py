# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs on nodes runs on the oldest Python that is promised for them, with nothing but its standard library."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.manifold.core.plugins.module_utils.multinic import _plan

_COLLECTIONS = Path(_plan.__file__).parents[6]
_DOMAIN = Path(_plan.__file__).parent
_PROGRAM = """
import importlib, ipaddress, json, sys
sys.path.insert(0, sys.argv[1])
prefix = "ansible_collections.manifold.core.plugins.module_utils.multinic."
for name in sys.argv[2:]:
    importlib.import_module(prefix + name)
judge, links, plan, parse, netplan, system = (
    importlib.import_module(prefix + name) for name in ("_judge", "_links", "_plan", "_parse", "_netplan", "_system")
)
mac = "fa:16:3e:00:00:01"
config = parse.parse([{"id": 1, "mac": mac, "address": "10.0.0.1", "cidr": "10.0.0.0/24", "mtu": 1450}, {"id": "x"}])
observed = judge.Observed((links.Link(2, "eth1", mac, False, 1500),))
made = plan.make_plan(config, observed, plan.Policy(), netplan.Netplan(system.LocalSystem()).render)
print(json.dumps({"version": sys.version_info[:2], "steps": [str(step) for step in made.steps]}))
"""


def _pythons() -> list[str]:
    """Return the Pythons 3.8 of this machine."""
    kept = [str(path) for path in Path.home().glob(".pyenv/versions/3.8.*/bin/python")]
    found = shutil.which("python3.8")
    return kept[:1] or ([found] if found else [])


@pytest.mark.skipif(not _pythons(), reason="this machine has no Python 3.8")
def test_everything_is_imported_and_a_plan_is_made_by_python_3_8() -> None:
    # what reaches a database or a cluster needs packages of its own, and does not run on nodes
    names = sorted(path.stem for path in _DOMAIN.glob("_*.py") if not path.stem.startswith(("_source", "__")))
    done = subprocess.run(
        [_pythons()[0], "-I", "-B", "-c", _PROGRAM, str(_COLLECTIONS), *names], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout) == {
        "version": [3, 8],
        "steps": [
            "write /etc/netplan/90-multinic0.yaml",
            "ip link set dev eth1 name multinic0",
            "ip link set dev multinic0 mtu 1450",
            "ip link set dev multinic0 up",
            "ip address replace 10.0.0.1/24 dev multinic0",
        ],
    }
