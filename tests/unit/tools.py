# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tools a unit test has: what a transfer finds out of a shell, and a machine that lacks some."""

from __future__ import annotations

import os
from pathlib import Path

from ansible_collections.manifold.core.plugins.plugin_utils.transfers import _shell
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._filter import Filter
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._listing import read_listing
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._spool import Spool

from unit.support import Shell


def tools_of(shell: Shell) -> _shell.Tools:
    """Return what the list script says of the tools there."""
    raw = Spool()
    raw.write(shell.run(_shell.list_script("/nothing/at/all")).stdout)
    listing = read_listing(raw, Filter())
    raw.close()
    listing.close()
    return listing.has


def without(folder: Path, *missing: str) -> Path:
    """Make and return a folder with the programs of this machine but some."""
    folder.mkdir()
    for place in os.defpath.split(":"):
        for program in Path(place).iterdir() if Path(place).is_dir() else ():
            if program.name not in missing and not (folder / program.name).exists():
                (folder / program.name).symlink_to(program)
    return folder
