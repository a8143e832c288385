# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._definition import DefinitionError
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._document import (
    check_unique_keys,
    is_contexts_name,
    is_ours,
)

OURS = "plugin: manifold.core.contexts\n"


@pytest.mark.parametrize("name", ["contexts.yml", "contexts.yaml", "prod.contexts.yml", "a.b.contexts.yaml"])
def test_contexts_files_are_known_by_their_names(name: str) -> None:
    assert is_contexts_name(f"/repo/{name}")


@pytest.mark.parametrize("name", ["hosts.yml", "mycontexts.yml", "contexts.yml.bak", "contexts.json", "contexts"])
def test_other_files_are_not_contexts_files(name: str) -> None:
    assert not is_contexts_name(f"/contexts.yml/{name}")


@pytest.mark.parametrize(
    ("name", "text", "ours"),
    [
        ("contexts.yml", OURS, True),
        ("contexts.yml", f"{OURS}contexts: {{a: !vault x}}\n", True),
        ("contexts.yml", "plugin: amazon.aws.aws_ec2\n", False),
        ("contexts.yml", "all: {hosts: {a: }}\n", False),
        ("contexts.yml", "contexts: {hosts: {a: }, vars: {b: 1}}\n", False),
        ("contexts.yml", "", False),
        ("contexts.yml", "- a\n", False),
        ("hosts.yml", "all: {hosts: {a: }}\n", False),
        ("hosts.yml", "all: [not, yaml\n", False),
    ],
)
def test_a_file_for_another_plugin_is_left_alone(name: str, text: str, ours: bool) -> None:
    assert is_ours(text, f"/repo/{name}") is ours


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("contexts.yml", "contexts: {a: {type: local}}\n", "key 'plugin': it is missing. Add 'plugin: manifold.core"),
        ("contexts.yml", "plugin: manifold.core.context\n", "Did you mean 'manifold.core.contexts'?"),
        ("contexts.yml", "plugin: [a\nb: c\n", "it is not valid YAML (line 2, column 2)"),
        ("hosts.yml", OURS, "Call it contexts.yml"),
    ],
)
def test_a_file_that_ansible_would_never_give_to_the_plugin_is_an_error(name: str, text: str, expected: str) -> None:
    with pytest.raises(DefinitionError) as error:
        is_ours(text, f"/repo/{name}")
    assert str(error.value).startswith(f"/repo/{name}: ")
    assert expected in str(error.value)


def test_a_text_that_is_not_yaml_is_not_quoted() -> None:
    with pytest.raises(DefinitionError) as error:
        is_ours(f"{OURS}password: 's3cret\n", "contexts.yml")
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "contexts:\n  a: {type: local}\n  a: {type: local}\n",
            "context 'a': it is there twice, in line 2 and in",
        ),
        ("contexts:\n  a: {type: local, type: ssh}\n", "context 'a', key 'type': it is there twice"),
        ("contexts: {a: {vars: {b: 1, b: 2}}}\n", "context 'a', key 'vars.b': it is there twice"),
        ("contexts: {}\ncontexts: {}\n", "key 'contexts': it is there twice, in line 1 and in line 2"),
        ("keyed_groups: [{key: a, key: b}]\n", "key 'keyed_groups.key': it is there twice"),
        ("a: [b\n", "it is not valid YAML"),
    ],
)
def test_what_is_there_twice_is_an_error(text: str, expected: str) -> None:
    with pytest.raises(DefinitionError) as error:
        check_unique_keys(text, "/repo/contexts.yml")
    assert expected in str(error.value)


def test_the_same_key_in_two_contexts_is_fine() -> None:
    check_unique_keys("contexts:\n  a: &x {type: ssh, host: b}\n  b: {<<: *x, host: c}\n", "contexts.yml")
    check_unique_keys("", "contexts.yml")
