# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.steps._describe import describe, first_word
from ansible_collections.manifold.core.plugins.plugin_utils.steps._text import ASCII, UNICODE

BACKUP = [
    {"name": "extract", "context": "k8s-prod", "argv": ["tar", "cf", "-", "."]},
    {"name": "compress", "context": "local", "command": "zstd -3 -T0"},
    {"name": "save", "context": "backup-server", "dest": "/backups/x"},
]


@pytest.mark.parametrize(
    ("action", "arguments", "text"),
    [
        ("ansible.builtin.command", {"_raw_params": "docker push\n  app"}, "docker push app"),
        ("command", {"cmd": "ls"}, "ls"),
        ("ansible.legacy.command", {"argv": ["echo", "a b", "{{ x }}"]}, "echo 'a b' {{ x }}"),
        ("shell", {"_raw_params": "a | b"}, "a | b"),
        ("command", {"_variable_params": "{{ x }}"}, "command"),
        ("ansible.builtin.copy", {"content": "secret", "dest": "/x"}, "copy"),
        ("community.docker.docker_image", {"name": "x"}, "community.docker.docker_image"),
        ("ansible.builtin.include_tasks", {"_raw_params": "more.yml"}, "include_tasks more.yml"),
        ("include_role", {"name": "web"}, "include_role web"),
        ("manifold.core.pipeline", {"steps": "{{ steps }}"}, "pipeline"),
        ("manifold.core.pipeline", {"steps": ["{{ step }}"]}, "pipeline"),
        ("manifold.core.pipeline", {}, "pipeline"),
        ("manifold.core.transfer", {"src": "web:/var/log/", "dest": "local:./logs"}, "web:/var/log/ → ./logs"),
        (
            "manifold.core.transfer",
            {
                "src": "{{ src }}",
                "dest": {"context": "k8s", "pod": "a", "container": "b", "path": "/x", "become": True},
            },
            "{{ src }} → k8s:a/b:/x",
        ),
        ("manifold.core.transfer", {"src": 7}, "transfer"),
        ("manifold.core.pipeline", {"steps": BACKUP}, "tar @k8s-prod | zstd | → backup-server:/backups/x"),
    ],
)
def test_a_task_is_told_by_what_it_does(action: str, arguments: dict[str, Any], text: str) -> None:
    assert describe(action, arguments, UNICODE) == text


def test_the_steps_of_a_pipeline_are_told_with_their_places_and_branches() -> None:
    steps = [
        {"name": "read", "context": "web", "src": "/data/x"},
        {"name": "pack", "command": "PASS='a b' KEY={{ key }} gzip -1"},
        {"name": "near", "dest": "/near"},
        {"name": "far", "context": "offsite", "dest": "{{ folder }}/x", "input": "pack"},
        {"name": "check", "context": "web", "kubectl": "get pods", "input": "pack"},
        {"context": "web", "input": "check"},
    ]
    told = describe("manifold.core.pipeline", {"steps": steps}, ASCII)
    assert told == "web:/data/x | gzip | -> /near, -> offsite:{{ folder }}/x, kubectl @web | sh @web"


@pytest.mark.parametrize(
    ("command", "word"),
    [
        ("tar c .", "tar"),
        ("  zstd", "zstd"),
        ("PGPASSWORD=hunter2 pg_dump shop", "pg_dump"),
        ("PGPASSWORD='hunter2 and more' pg_dump shop", "pg_dump"),
        ("PGPASSWORD={{ the password }} pg_dump", "pg_dump"),
        ("{{ program | default('tar') }} c .", "{{ program | default('tar') }}"),
        ("PGPASSWORD=hunter2", "sh"),
        ("PGPASSWORD='hunter2", "sh"),
        ("", "sh"),
    ],
)
def test_of_a_commands_words_only_its_program_is_shown(command: str, word: str) -> None:
    assert first_word(command) == word
