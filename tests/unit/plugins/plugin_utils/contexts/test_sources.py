# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._definition import DefinitionError
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._sources import check_sources

HEAD = "plugin: manifold.core.contexts\n"
FINE = f"{HEAD}contexts: {{web: {{type: ssh, host: h, default: true}}}}\n"


def _check(*sources: Path | str) -> None:
    check_sources([str(source) for source in sources], DataLoader())


def test_sound_files_and_those_of_others_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "contexts.yml").write_text(FINE)
    (tmp_path / "hosts.yml").write_text("all: [not, yaml\n")
    (tmp_path / "hosts.ini").write_text("a\n")
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "contexts.yml").write_text("a: [b\n")
    (tmp_path / ".contexts.yml").write_text("a: [b\n")
    _check(tmp_path, tmp_path / "contexts.yml", "a,b", "/no/such/file")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{HEAD}contexts: {{web: {{type: ssh}}}}\n", "context 'web', key 'host': it is missing"),
        (f"{HEAD}contexts: [\n", "it is not valid YAML"),
        (f"{FINE}strict: true\ncompose: {{a: nothing.here}}\n", "Could not set a for host web"),
        (f"{FINE}groups: {{web: true}}\n", "context 'web': a group has that name already"),
    ],
)
def test_an_error_in_a_file_is_an_error_again(text: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    path = tmp_path / "below" / "prod.contexts.yml"
    path.write_text(text)
    for source in (path, tmp_path):
        with pytest.raises(DefinitionError) as error:
            _check(source)
        assert str(error.value).startswith(f"{path}: ")
        assert expected in str(error.value)


def test_files_that_contradict_each_other_are_an_error(tmp_path: Path) -> None:
    for name in ("a.contexts.yml", "b.contexts.yml"):
        (tmp_path / name).write_text(FINE)
    with pytest.raises(DefinitionError, match=r"context 'web': .*/a\.contexts\.yml has a context of that name too"):
        _check(tmp_path)


def test_a_contexts_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=r"contexts\.yml: it cannot be read"):
        _check(tmp_path / "contexts.yml")
