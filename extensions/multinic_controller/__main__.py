# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The entry of the controller, by module name or by path."""

from __future__ import annotations

import sys
from pathlib import Path

_ROOT = str(Path(__file__).resolve().parents[5])
if _ROOT not in sys.path:
    # by path: the collection is found where this file is, ROOT/ansible_collections/manifold/core/extensions/...
    sys.path.insert(0, _ROOT)

if __name__ == "__main__":
    from ansible_collections.manifold.core.extensions.multinic_controller._run import main

    sys.exit(main(sys.argv[1:]))
