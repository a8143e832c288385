# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module's documentation says is what it takes."""

from __future__ import annotations

from typing import Any

import yaml
from ansible_collections.manifold.core.plugins.module_utils.multinic._source_arguments import ARGUMENTS
from ansible_collections.manifold.core.plugins.module_utils.multinic._source_db import Columns, Tables
from ansible_collections.manifold.core.plugins.modules import multinic_source as module

OPTIONS: dict[str, Any] = yaml.safe_load(module.DOCUMENTATION)["options"]
FACTS = ("type", "elements", "required", "default", "choices")


def facts(options: dict[str, Any], inner: str) -> dict[str, Any]:
    return {
        name: {fact: option[fact] for fact in FACTS if fact in option}
        | ({"options": facts(option[inner], inner)} if inner in option else {})
        for name, option in options.items()
    }


def test_the_options_are_those_that_are_documented() -> None:
    assert facts(OPTIONS, "suboptions") == facts(ARGUMENTS, "options")


def test_the_names_are_those_of_the_database_that_users_have() -> None:
    for option, default in (("tables", Tables()), ("columns", Columns())):
        documented = {name: each["default"] for name, each in OPTIONS["db"]["suboptions"][option]["suboptions"].items()}
        assert documented == vars(default)


def test_the_password_is_no_text_for_a_log() -> None:
    assert ARGUMENTS["db"]["options"]["password"]["no_log"] is True
