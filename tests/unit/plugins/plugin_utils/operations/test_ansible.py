# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible._internal._datatag._tags import VaultedValue
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret, VaultSecretsContext
from ansible_collections.manifold.core.plugins.plugin_utils.operations import _ansible as facts
from ansible_collections.manifold.core.plugins.plugin_utils.operations._scrub import MASK, WITHHELD

PASSWORD = VaultSecret(b"opens the vault")


class Host(str):
    """A host whose name is all there is to it."""

    def get_name(self) -> str:
        return str(self)


class Variables:
    """The variables of hosts, as Ansible's variable manager tells them."""

    def __init__(self, by_host: dict[str, dict[str, Any]], failures: int = 0) -> None:
        self._by_host = by_host
        self._failures = failures
        self._inventory = SimpleNamespace(get_host=lambda name: Host(name) if name in by_host else None)

    def get_vars(self, play: Any, host: Host, task: Any) -> dict[str, Any]:  # noqa: ARG002
        if self._failures:
            self._failures -= 1
            raise RuntimeError("dictionary changed size during iteration")
        return dict(self._by_host[host])


def _loader(folder: Path) -> DataLoader:
    loader = DataLoader()
    loader.set_basedir(str(folder))
    loader.set_vault_secrets([("default", PASSWORD)])
    return loader


def _finder(variables: Variables, loader: DataLoader, prompts: Any = None) -> facts.SecretFinder:
    finder = facts.SecretFinder()
    play = SimpleNamespace(vars_prompt=prompts, get_variable_manager=lambda: variables, get_loader=lambda: loader)
    finder.enter(play)
    return finder


def _task(**changes: Any) -> Any:
    return SimpleNamespace(**{"args": {}, "environment": None, "delegate_to": None, **changes})


def _loaded(path: Path, text: str) -> dict[str, Any]:
    path.write_text(text)
    loaded: dict[str, Any] = _loader(path.parent).load_from_file(str(path), trusted_as_template=True)
    return loaded


def test_what_comes_from_a_vault_is_a_secret_whatever_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VaultSecretsContext, "_current", VaultSecretsContext([("default", PASSWORD)]))
    encrypt = VaultLib([("default", PASSWORD)]).encrypt
    inline = encrypt("inline-one", PASSWORD).decode().replace("\n", "\n    ")
    variables = _loaded(tmp_path / "one.yml", f"note: !vault |\n    {inline}\nplain: nothing-special\n")
    whole = encrypt("remark: whole-file\nlist: [in-a-list]\n", PASSWORD).decode()
    variables |= _loaded(tmp_path / "whole.yml", whole)
    variables["fact"] = VaultedValue(ciphertext="of a fact that was set from a vault").tag("set-as-fact")
    finder = _finder(Variables({"alpha": variables}), _loader(tmp_path))
    told = "inline-one whole-file in-a-list set-as-fact nothing-special"
    clean = finder.scrubber(Host("alpha"), _task(), {}).text(told)
    assert clean == f"{MASK} {MASK} {MASK} {MASK} nothing-special"


def test_templates_of_secrets_are_followed(tmp_path: Path) -> None:
    text = "ansible_password: '{{ a }}-{{ b }}'\na: open\nb: sesame\ntoken: '{{ nowhere }}'\nplain: '{{ a }}!'\n"
    finder = _finder(Variables({"alpha": _loaded(tmp_path / "vars.yml", text)}), _loader(tmp_path))
    assert finder.scrubber(Host("alpha"), _task(), {}).text("open-sesame open!") == f"{MASK} open!"


def test_the_contexts_of_steps_and_the_delegate_have_secrets_too(tmp_path: Path) -> None:
    hosts = {name: {"api_token": f"token-of-{name}"} for name in ("alpha", "beta", "gamma", "delta", "far")}
    task = _task(args={"steps": [{"context": "gamma"}, {"context": "local"}]}, delegate_to="delta")
    finder = _finder(Variables(hosts), _loader(tmp_path))
    clean = finder.scrubber(Host("alpha"), task, {"steps": [{"context": "beta"}]}).text(
        " ".join(f"token-of-{name}" for name in hosts)
    )
    assert clean == f"{MASK} {MASK} {MASK} {MASK} token-of-far"


def test_the_ends_of_a_transfer_have_secrets_too(tmp_path: Path) -> None:
    hosts = {name: {"api_token": f"token-of-{name}"} for name in ("alpha", "beta", "gamma", "far")}
    task = _task(args={"src": "beta:/x", "dest": {"context": "gamma", "path": "/x"}})
    finder = _finder(Variables(hosts), _loader(tmp_path))
    clean = finder.scrubber(Host("alpha"), task, {}).text(" ".join(f"token-of-{name}" for name in hosts))
    assert clean == f"{MASK} {MASK} {MASK} token-of-far"


def test_the_environment_of_task_and_steps_is_kept_out_of_texts(tmp_path: Path) -> None:
    steps = [{"environment": {"B": "step-value"}}, {"environment": None}, "no step"]
    task = _task(environment=[{"A": "task-value"}, "{{ x }}"], args={"steps": steps})
    finder = _finder(Variables({"alpha": {}}), _loader(tmp_path))
    scrubber = finder.scrubber(Host("alpha"), task, {})
    assert scrubber.text("task-value step-value") == f"{MASK} {MASK}"
    assert scrubber.name("/task-value") == "/task-value"


def test_what_was_asked_for_is_a_secret(tmp_path: Path) -> None:
    prompts = [{"name": "word", "private": True}, {"name": "greeting", "private": False}, {"name": "other"}]
    variables = {"word": "said-once", "greeting": "hello-you", "other": "said-too"}
    finder = _finder(Variables({"alpha": variables}), _loader(tmp_path), prompts)
    finder.add_passwords(SimpleNamespace(password="ask-pass", become_pass="ask-become"))
    clean = finder.scrubber(Host("alpha"), _task(), {}).text("said-once hello-you said-too ask-pass ask-become")
    assert clean == f"{MASK} hello-you {MASK} {MASK} {MASK}"


@pytest.mark.parametrize(("failures", "said"), [(2, MASK), (9, WITHHELD)])
def test_if_the_variables_cannot_be_told_the_text_is_withheld(tmp_path: Path, failures: int, said: str) -> None:
    finder = _finder(Variables({"alpha": {"token": "abcdef"}}, failures), _loader(tmp_path))
    assert finder.scrubber(Host("alpha"), _task(), {}).text("abcdef") == said
