# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.manifold.core.plugins.inventory import contexts as plugin
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._base import ContextKind
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._definition import (
    PLUGIN,
    TOP_KEYS,
    ContextDefinition,
    DefinitionError,
    Surroundings,
    check_beside_others,
    parse_contexts,
)

SOURCE = "/repo/contexts.yml"
AROUND = Surroundings(SOURCE, {"HOME": "/home/me", "KEYS": "/keys"}, "/usr/bin/python3", ["web_servers"])


def _parse(contexts: Mapping[Any, Any], around: Surroundings = AROUND) -> tuple[ContextDefinition, ...]:
    return parse_contexts({"plugin": PLUGIN, "contexts": contexts}, around)


def _variables(**content: Any) -> dict[str, Any]:
    (definition,) = _parse({"it": content})
    return dict(definition.variables)


def test_the_documented_example_is_understood() -> None:
    definitions = parse_contexts(yaml.safe_load(plugin.EXAMPLES), AROUND)
    assert [(each.name, each.kind, each.default) for each in definitions] == [
        ("local", ContextKind.LOCAL, True),
        ("prod-server", ContextKind.SSH, False),
        ("backup-server", ContextKind.SSH, False),
        ("k8s-prod", ContextKind.KUBERNETES, False),
        ("k8s-staging", ContextKind.KUBERNETES, False),
    ]
    assert [each.groups for each in definitions[:2]] == [
        ("contexts", "type_local", "default_context"),
        ("contexts", "type_ssh"),
    ]
    assert [dict(each.variables) for each in definitions] == [
        {"ansible_connection": "ansible.builtin.local", "ansible_python_interpreter": "/usr/bin/python3"},
        {
            "ansible_connection": "ansible.builtin.ssh",
            "ansible_host": "prod.example.com",
            "ansible_user": "deploy",
            "ansible_ssh_private_key_file": "/home/me/.ssh/id_ed25519",
        },
        {
            "ansible_connection": "ansible.builtin.ssh",
            "ansible_host": "backup.internal",
            "ansible_user": "backup",
            "ansible_port": 2222,
            "ansible_become": True,
        },
        {
            "ansible_connection": "manifold.core.kubectl",
            "ansible_kubectl_context": "production",
            "ansible_kubectl_namespace": "default",
            "ansible_kubectl_pod": "deployment/postgres",
        },
        {
            "ansible_connection": "manifold.core.kubectl",
            "ansible_kubectl_context": "staging",
            "ansible_kubectl_namespace": "apps",
        },
    ]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("~/.ssh/id", "/home/me/.ssh/id"),
        ("~", "/home/me"),
        ("$KEYS/id", "/keys/id"),
        ("${KEYS}id", "/keysid"),
        ("keys/id", "/repo/keys/id"),
        ("/keys/id", "/keys/id"),
        ("a$/b", "/repo/a$/b"),
        ("{{ playbook_dir }}/~/$id", "{{ playbook_dir }}/~/$id"),
    ],
)
def test_paths_are_expanded(path: str, expected: str) -> None:
    assert _variables(type="ssh", host="h", key=path)["ansible_ssh_private_key_file"] == expected
    assert _variables(type="kubernetes", kubeconfig=path)["ansible_kubectl_kubeconfig"] == expected


def test_the_home_of_another_user_is_found() -> None:
    root = str(Path("~root").expanduser())
    assert _variables(type="ssh", host="h", key="~root/id")["ansible_ssh_private_key_file"] == f"{root}/id"


def test_variables_reach_what_no_key_says_and_templates_stay_as_they_are() -> None:
    variables = {"ansible_ssh_common_args": "{{ args }}", "ansible_connection": "kubernetes.core.kubectl", "mine": [1]}
    given = _variables(type="ssh", host="{{ name }}", port="{{ port }}", vars=variables)
    assert given == {"ansible_host": "{{ name }}", "ansible_port": "{{ port }}", **variables}


def test_a_port_may_be_in_quotes() -> None:
    assert _variables(type="ssh", host="h", port="2222")["ansible_port"] == 2222


SSH = {"type": "ssh", "host": "h"}
POD = {"type": "kubernetes", "pod": "web"}


@pytest.mark.parametrize(
    ("name", "content", "key", "expected"),
    [
        ("it", {"type": "ssh", "hots": "h"}, "hots", "not known for type ssh. Did you mean 'host'?"),
        ("it", {**SSH, "xyz": 1}, "xyz", "Known are type, default, vars, host, user, port, key, forward."),
        ("it", {**SSH, "pod": "web"}, "pod", "It is a key of type kubernetes."),
        ("it", {"type": "ssh"}, "host", "it is missing"),
        ("it", {"type": "ssh", "host": None}, "host", "it must be text, and not empty"),
        ("it", {"type": "ssh", "host": " "}, "host", "it must be text, and not empty"),
        ("it", {"type": "ssh", "host": ["h"]}, "host", "it must be text"),
        ("it", {"host": "h"}, "type", "it is missing. Known are local, ssh, kubernetes."),
        ("it", {"type": "kubernets"}, "type", "'kubernets' is not known. Did you mean 'kubernetes'?"),
        ("it", {"type": ["ssh"]}, "type", "is not known"),
        ("it", {**SSH, "port": "ssh"}, "port", "a number from 1 to 65535"),
        ("it", {**SSH, "port": 0}, "port", "a number from 1 to 65535"),
        ("it", {**SSH, "port": 65536}, "port", "a number from 1 to 65535"),
        ("it", {**SSH, "port": True}, "port", "a number from 1 to 65535"),
        ("it", {**SSH, "default": "yes"}, "default", "true or false"),
        ("it", {**SSH, "key": "$NOPE/id"}, "key", "the environment variable NOPE is not set"),
        ("it", {**SSH, "key": "~nobody-here/id"}, "key", "the home directory of ~nobody-here is not known"),
        ("it", {**SSH, "vars": ["a"]}, "vars", "a mapping of variables"),
        ("it", {**SSH, "vars": {"a-b": 1}}, "vars", "'a-b' cannot be the name of a variable"),
        ("it", {**SSH, "vars": {"ansible_host": "x"}}, "vars", "ansible_host is what 'host' says"),
        (
            "it",
            {**SSH, "user": "me", "vars": {"ansible_ssh_user": "x"}},
            "vars",
            "ansible_ssh_user is what 'user' says",
        ),
        ("it", {**POD, "selector": "app=web"}, "selector", "'pod' names the pod already"),
        ("it", {"type": "kubernetes", "container": "main"}, "container", "no pod that it could be in"),
        ("it", "ssh", "", "it must be a mapping"),
        ("it", None, "", "it must be a mapping"),
        ("local", SSH, "type", "'local' always means the controller"),
        ("localhost", POD, "type", "'localhost' always means the controller"),
        ("all", SSH, "", "a group has that name already"),
        ("type_ssh", SSH, "", "a group has that name already"),
        ("web_servers", SSH, "", "a group has that name already"),
        ("a:b", SSH, "", "cannot be the name of a context"),
        ("a b", SSH, "", "cannot be the name of a context"),
        ("-a", SSH, "", "cannot be the name of a context"),
        (7, SSH, "", "cannot be the name of a context"),
    ],
)
def test_what_is_wrong_is_said_with_file_context_and_key(name: Any, content: Any, key: str, expected: str) -> None:
    with pytest.raises(DefinitionError) as error:
        _parse({"fine": SSH, name: content})
    where = f"{SOURCE}: context '{name}', key '{key}': " if key else f"{SOURCE}: context '{name}': "
    assert str(error.value).startswith(where)
    assert expected in str(error.value)


def test_two_defaults_are_named() -> None:
    with pytest.raises(DefinitionError, match="context 'b', key 'default': there is a default already: 'a'"):
        _parse({"a": {**SSH, "default": True}, "b": {**SSH, "default": True}})


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (None, "it must be a mapping"),
        ([], "it must be a mapping"),
        ({"plugin": PLUGIN}, "key 'contexts': it is missing"),
        ({"plugin": PLUGIN, "contexts": {}}, "one at least"),
        ({"plugin": PLUGIN, "contexts": ["a"]}, "it must map names to contexts"),
        ({"plugin": PLUGIN, "context": {"a": SSH}}, "key 'context': it is not known here. Did you mean 'contexts'?"),
        ({"plugin": PLUGIN, "contexts": {"a": SSH}, "keyed_group": []}, "Did you mean 'keyed_groups'?"),
    ],
)
def test_a_file_of_another_shape_is_refused(document: object, expected: str) -> None:
    with pytest.raises(DefinitionError) as error:
        parse_contexts(document, AROUND)
    assert str(error.value).startswith(SOURCE)
    assert expected in str(error.value)


def test_what_may_stand_at_the_top_is_what_is_documented() -> None:
    from ansible.plugins.doc_fragments import constructed, inventory_cache

    texts = [plugin.DOCUMENTATION, constructed.ModuleDocFragment.DOCUMENTATION]
    texts.append(inventory_cache.ModuleDocFragment.DOCUMENTATION)
    assert {option for text in texts for option in yaml.safe_load(text)["options"]} == set(TOP_KEYS)


@pytest.mark.parametrize(
    ("files", "groups", "expected"),
    [
        ({"a": "/other.yml"}, {"contexts": ["a"]}, "context 'a': /other.yml has a context of that name too"),
        ({"b": "/other.yml"}, {"contexts": ["b"], "default_context": ["b"]}, "a default already: 'b' in /other.yml"),
        ({"a": SOURCE}, {"contexts": ["a"], "default_context": ["a"]}, None),
        ({"a": "/hosts.ini"}, {"contexts": []}, None),
    ],
    ids=["a-name-twice", "two-defaults", "the-same-file-again", "a-host-of-another-inventory"],
)
def test_files_must_not_contradict_each_other(
    files: dict[str, str | None], groups: dict[str, list[str]], expected: str | None
) -> None:
    definitions = _parse({"a": {**SSH, "default": True}})
    if expected is None:
        check_beside_others(definitions, SOURCE, files, groups)
        return
    with pytest.raises(DefinitionError) as error:
        check_beside_others(definitions, SOURCE, files, groups)
    assert expected in str(error.value)


def test_a_host_behind_a_forward_is_looked_up_when_it_is_used_and_keeps_the_name_of_its_key() -> None:
    known = _variables(type="ssh", host="db.internal", forward="db")
    assert known["ansible_host"] == "{{ lookup('manifold.core.forward', 'db').rpartition(':')[0].strip('[]') }}"
    assert known["ansible_port"] == "{{ lookup('manifold.core.forward', 'db').rpartition(':')[2] | int }}"
    assert known["ansible_ssh_extra_args"] == "-o HostKeyAlias=db.internal"
    known = _variables(type="ssh", host="db.internal", port=2222, forward="db")
    assert "lookup('manifold.core.forward', 'db', port='2222')" in known["ansible_host"]
    assert known["ansible_ssh_extra_args"] == "-o HostKeyAlias=[db.internal]:2222"


@pytest.mark.parametrize("name", ["", "a'b", "{{ x }}", 7, "a/b"])
def test_a_forward_that_cannot_be_is_told(name: object) -> None:
    with pytest.raises(DefinitionError, match="key 'forward': it must be the name of a forward"):
        _variables(type="ssh", host="db.internal", forward=name)
