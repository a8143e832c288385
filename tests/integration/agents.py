# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The image of agent and controller on test nodes: this machine's root and the collection over it, or a built one.

``MANIFOLD_AGENT_ROOT`` names the root folder of an image that the Containerfile has made; then the agents are of that.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from testbed.inventory import REPOSITORY

IMAGE = "registry.example.com/multinic-agent:1"
NAME = "multinic-agent"
_COLLECTIONS = "usr/share/ansible/collections"
_ENTRY = "ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._entry"
_BUILT = os.environ.get("MANIFOLD_AGENT_ROOT")
IS_BUILT = bool(_BUILT)
_PATHS = (f"PYTHONPATH=/{_COLLECTIONS}", f"ANSIBLE_COLLECTIONS_PATH=/{_COLLECTIONS}")
# as ENV and CMD of the Containerfile
_OF_BUILT = ("env", "PATH=/opt/multinic/bin:/usr/sbin:/usr/bin:/sbin:/bin", *_PATHS, "python3", "-m", _ENTRY)
COMMAND = _OF_BUILT if _BUILT else ("env", *_PATHS, sys.executable, "-m", _ENTRY)
"""What the containers run."""
CONTROLLER = (*COMMAND[:-1], "ansible_collections.manifold.core.extensions.multinic_controller")
"""What the container of the controller runs."""


def image(layer: Path) -> Path:
    """Return the agent's image: this machine with the collection installed, which is copied to ``layer``."""
    if _BUILT:
        return Path(_BUILT)
    target = layer / _COLLECTIONS / "ansible_collections/manifold/core"
    for part in ("meta", "playbooks", "plugins", "extensions"):
        shutil.copytree(REPOSITORY / part, target / part)
    shutil.copy(REPOSITORY / "galaxy.yml", target)
    return Path(f"{layer}:/..")  # overlayfs lays the first over the second; a Path drops a slash at its end
