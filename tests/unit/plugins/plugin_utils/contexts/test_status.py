# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._base import ContextError, ContextKind
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._status import (
    ContextStatus,
    Known,
    Status,
    table,
)

INVENTORY = Known(
    ["web", "db", "other"],
    {"all": ["web", "db", "other"], "contexts": ["web", "db"], "type_ssh": ["web", "db"], "empty": []},
)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (None, ["web", "db"]),
        (["db"], ["db"]),
        (["db", "type_ssh", "local"], ["db", "web", "local"]),
        (["all"], ["web", "db", "other"]),
        ([], []),
    ],
)
def test_contexts_are_chosen_by_name_and_by_group(asked: list[str] | None, expected: list[str]) -> None:
    assert INVENTORY.select(asked) == expected


def test_without_a_group_of_contexts_all_hosts_are_meant() -> None:
    assert Known(["web"], {"all": ["web"]}).select(None) == ["web"]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("wbe", "no such host or group. Did you mean 'web'?"),
        ("type_shs", "Did you mean 'type_ssh'?"),
        ("elsewhere-entirely", "Contexts are the hosts of the inventory, and 'local'."),
        ("empty", "the group is empty"),
        ("default_context", "no context is the default. Name a context, or mark one"),
    ],
)
def test_a_name_that_is_not_known_is_an_error(asked: str, expected: str) -> None:
    with pytest.raises(ContextError) as error:
        INVENTORY.select(["web", asked])
    assert str(error.value).startswith(f"context '{asked}': looking it up: ")
    assert expected in str(error.value)


def test_a_name_of_a_host_and_a_group_is_an_error() -> None:
    with pytest.raises(ContextError, match="it is a host and a group as well"):
        Known(["web"], {"web": ["web"]}).select(["web"])


def test_an_inventory_without_a_host_is_an_error() -> None:
    with pytest.raises(ContextError, match="the inventory has no host"):
        Known([], {"all": []}).select(None)


def test_the_table_has_aligned_columns_and_a_line_for_each() -> None:
    statuses = [
        ContextStatus("local", ContextKind.LOCAL, True, Status.READY, 12),
        ContextStatus("backup-server", ContextKind.SSH, False, Status.UNREACHABLE, reason="no route.\n Check it."),
        ContextStatus("k8s", ContextKind.KUBERNETES, False),
        ContextStatus("win", None, False, Status.INVALID, reason="not supported"),
    ]
    assert table(statuses) == [
        "NAME           TYPE        DEFAULT  STATUS",
        "local          local       *        ready (12 ms)",
        "backup-server  ssh                  unreachable: no route. Check it.",
        "k8s            kubernetes           unknown",
        "win            -                    invalid: not supported",
    ]
    assert table([]) == ["NAME  TYPE  DEFAULT  STATUS"]
