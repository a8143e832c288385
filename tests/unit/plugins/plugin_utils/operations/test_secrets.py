# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.operations._secrets import is_secret_name, secrets_in

SECRET = """
ansible_password ansible_ssh_pass ansible_become_pass ansible_become_password ansible_sudo_pass
ansible_ssh_private_key_passphrase ansible_kubectl_token ansible_kubectl_password K8S_AUTH_API_KEY PGPASSWORD
MYSQL_PWD AWS_SECRET_ACCESS_KEY GITHUB_TOKEN db_passwd restic_repository_password secret_id client-key-data
RESTIC_PASSWORD vault_credentials api-key private_key pin
"""
PLAIN = """
ansible_ssh_private_key_file ansible_host ansible_port ansible_user ansible_kubectl_kubeconfig ansible_become
compass bypass_proxy ansible_sshpass_prompt password_file token_ttl dest_dir ping_pong key monkey
"""


@pytest.mark.parametrize("name", SECRET.split())
def test_a_name_of_a_secret(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", PLAIN.split())
def test_a_name_of_no_secret(name: str) -> None:
    assert not is_secret_name(name)


def _found(variables: dict[str, Any]) -> set[str]:
    def resolve(value: Any) -> Any:
        return {"{{ a }}": "templated", "{{ both }}": ["one", {"x": "two"}], "{{ lost }}": None}.get(value, value)

    return set(secrets_in(variables, resolve, lambda value: isinstance(value, str) and value.startswith("vaulted")))


def test_secrets_are_found_wherever_they_stand() -> None:
    variables = {
        "ansible_password": "{{ a }}",
        "ansible_become_password": 471100,
        "api_token": "{{ lost }}",
        "passwords": "{{ both }}",
        "password_prompted": True,
        "no_password": None,
        "kubeconfig": {"users": [{"user": {"token": "deep", "name": "root"}}]},
        "note": "vaulted note",
        "names": ["vaulted name", "plain"],
        "secrets": {"a": ["b", "c"]},
    }
    assert _found(variables) == {
        *("templated", "471100", "one", "two", "deep", "vaulted note", "vaulted name", "b", "c"),
    }


def test_what_belongs_to_others_is_not_looked_at() -> None:
    assert _found({"hostvars": {"other": {"token": "x"}}, "groups": {"secrets": ["web"]}}) == set()


def test_variables_without_an_end_come_to_one() -> None:
    endless: dict[str, Any] = {"token": "found"}
    endless["again"] = endless
    assert _found(endless) == {"found"}
