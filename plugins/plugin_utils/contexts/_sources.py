# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contexts files among the sources of an inventory, read once more by the plugin itself.

Ansible turns the error of an inventory plugin into a warning, and the run ends green. Here it is an error again. This
is the one place that knows how Ansible goes through its sources; it is tested on every supported ansible-core.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.inventory.data import InventoryData
from ansible.inventory.manager import IGNORED
from ansible.plugins.loader import inventory_loader

from ._definition import PLUGIN, DefinitionError
from ._document import is_contexts_name, is_ours

_YAML_ENDINGS = (".yml", ".yaml")


def check_sources(sources: Iterable[str], loader: Any) -> None:
    """Raise DefinitionError if a contexts file among the sources cannot be read, or contradicts another one.

    ``loader`` is Ansible's data loader, which holds the vault's passwords.
    """
    data = InventoryData()
    for source in sources:
        for path in _files(source):
            if is_ours(_text(path, loader), path):
                _read(path, data, loader)


def _files(source: str) -> Iterator[str]:
    """Yield the files of a source that may be contexts files, as Ansible would come by them."""
    path = Path(source)
    if path.is_dir():
        for entry in sorted(path.iterdir()):
            if not IGNORED.search(os.fsencode(entry.name)):
                yield from _files(str(entry))
    elif is_contexts_name(source) or (source.endswith(_YAML_ENDINGS) and path.is_file()):
        yield source


def _text(path: str, loader: Any) -> str:
    try:
        return str(loader.get_text_file_contents(path))
    except AnsibleError as exc:
        if is_contexts_name(path):
            raise DefinitionError(path, f"it cannot be read: {exc}") from exc
        return ""


def _read(path: str, data: InventoryData, loader: Any) -> None:
    plugin = inventory_loader.get(PLUGIN)
    data.current_source = path
    try:
        if not plugin.verify_file(path):
            raise DefinitionError(path, "it cannot be read")
        plugin.parse(data, loader, path, cache=False)
    except AnsibleError as exc:
        raise _translated(path, exc) from exc


def _translated(path: str, exc: AnsibleError) -> DefinitionError:
    """Return our own error, if it is what the plugin made another one of."""
    return exc.__cause__ if isinstance(exc.__cause__, DefinitionError) else DefinitionError(path, str(exc))
