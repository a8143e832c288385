# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import tarfile
from pathlib import Path

from tools import packaging


def test_what_no_user_needs_is_named(tmp_path: Path) -> None:
    for name in ("README.md", "plugins/modules/a.py", "plugins/__pycache__/a.pyc", "tests/unit/test_a.py", ".git"):
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).touch()
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "tree", arcname="")
    found = set(packaging.misplaced(tmp_path / "x.tar.gz"))
    assert {".git", "tests", "tests/unit/test_a.py", "plugins/__pycache__/a.pyc"} <= found
    assert not {"README.md", "plugins/modules/a.py"} & found


def test_every_plugin_and_role_with_documentation_is_found(tmp_path: Path) -> None:
    for name in ("plugins/modules/pipeline.py", "plugins/modules/_private.py", "roles/backup/meta/argument_specs.yml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert packaging.plugins(tmp_path) == [("module", "manifold.core.pipeline"), ("role", "manifold.core.backup")]
