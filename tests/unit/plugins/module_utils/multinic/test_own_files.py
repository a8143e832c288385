# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our files as they are found: right, edited, destroyed, replaced by something else."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path

import pytest
from ansible_collections.manifold.core.plugins.module_utils.multinic import _files
from ansible_collections.manifold.core.plugins.module_utils.multinic._backend import Backend, OwnFile, Record
from ansible_collections.manifold.core.plugins.module_utils.multinic._backends import BACKENDS, all_own
from ansible_collections.manifold.core.plugins.module_utils.multinic._errors import NodeError
from ansible_collections.manifold.core.plugins.module_utils.multinic._model import Interface
from ansible_collections.manifold.core.plugins.module_utils.multinic._netplan import Netplan

from unit.scripted_node import ScriptedNode

INTERFACE = Interface(7, "fa:16:3e:1c:1a:6e", ipaddress.ip_interface("11.11.11.37/24"), 1450)
RECORD = Record(7, "fa:16:3e:1c:1a:6e", "multinic3", INTERFACE.address, 1450)
PATH = "/etc/netplan/93-multinic3.yaml"


@pytest.fixture
def node(tmp_path: Path) -> ScriptedNode:
    return ScriptedNode(tmp_path)


def _only(node: ScriptedNode) -> OwnFile:
    (found,) = Netplan(node).own()
    return found


@pytest.mark.parametrize("kind", BACKENDS)
def test_what_is_written_is_found_again_with_its_record(node: ScriptedNode, kind: type[Backend]) -> None:
    backend = kind(node)
    rendered = backend.render(INTERFACE, "multinic3")
    for file in rendered:
        _files.write(node.path(file.path), file.content.encode(), file.mode)
    wanted = sorted((file.path, file.content, file.mode, RECORD) for file in rendered)
    assert [(file.path, file.content, file.mode, file.record) for file in backend.own()] == wanted
    assert all_own(node) == backend.own()


@pytest.mark.parametrize(
    "name", ["93-multinic4.yaml", "9-multinic3.yaml", "93-multinic3.yml", "93-multinic3.yaml.bak", "x93-multinic3.yaml"]
)
def test_a_file_under_another_name_is_not_ours_even_with_our_head(node: ScriptedNode, name: str) -> None:
    node.put(f"/etc/netplan/{name}", Netplan(node).render(INTERFACE, "multinic3")[0].content)
    assert Netplan(node).own() == ()


def test_a_file_whose_head_was_destroyed_is_ours_without_a_record(node: ScriptedNode) -> None:
    node.put(PATH, "network: {version: 2}\n")
    assert _only(node) == OwnFile(PATH, "network: {version: 2}\n", 0o600, None)


def test_an_edited_file_shows_its_content_and_mode(node: ScriptedNode) -> None:
    content = Netplan(node).render(INTERFACE, "multinic3")[0].content.replace("1450", "9000")
    node.put(PATH, content, 0o644)
    assert (_only(node).content, _only(node).mode) == (content, 0o644)


def test_bytes_that_are_no_text_can_be_shown(node: ScriptedNode) -> None:
    node.put(PATH, b"\xff# id=7 mac=fa:16:3e:1c:1a:6e name=multinic3\n")
    assert _only(node).content.startswith("\N{REPLACEMENT CHARACTER}# id=7")


def test_a_symbolic_link_is_read_but_never_taken_for_what_we_wrote(node: ScriptedNode) -> None:
    content = Netplan(node).render(INTERFACE, "multinic3")[0].content
    node.put("/srv/there.yaml", content)
    node.path(PATH).parent.mkdir(parents=True)
    node.path(PATH).symlink_to("../../srv/there.yaml")
    assert _only(node) == OwnFile(PATH, content, 0, RECORD)


@pytest.mark.parametrize("target", ["gone", "93-multinic3.yaml", "/dev/zero", "/etc"])
def test_a_link_to_nothing_readable_is_ours_and_empty(node: ScriptedNode, target: str) -> None:
    node.path(PATH).parent.mkdir(parents=True)
    node.path(PATH).symlink_to(target)
    assert _only(node) == OwnFile(PATH, "", 0, None)


def test_a_fifo_does_not_hold_up(node: ScriptedNode) -> None:
    node.path(PATH).parent.mkdir(parents=True)
    os.mkfifo(node.path(PATH))
    assert _only(node) == OwnFile(PATH, "", 0, None)


def test_a_very_large_file_is_read_only_in_part(node: ScriptedNode) -> None:
    with node.put(PATH, Netplan(node).render(INTERFACE, "multinic3")[0].content).open("r+b") as stream:
        stream.truncate(1 << 40)
    assert len(_only(node).content) == 65536
    assert _only(node).record is not None


def test_somebody_elses_file_under_our_name_is_drift(node: ScriptedNode, monkeypatch: pytest.MonkeyPatch) -> None:
    node.put(PATH)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert _only(node).mode == 0


def test_a_folder_under_our_name_is_an_error_that_names_it(node: ScriptedNode) -> None:
    node.path(PATH).mkdir(parents=True)
    with pytest.raises(NodeError, match=f"^{PATH} is a folder, where a file of ours belongs; remove it$"):
        Netplan(node).own()
