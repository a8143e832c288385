# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The published JSON Schema of a record, for the tests of every level."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import jsonschema

SCHEMA_FILE = Path(__file__).resolve().parent.parent / "docs" / "schema" / "operation.json"
SCHEMA: dict[str, Any] = json.loads(SCHEMA_FILE.read_text())


def _is_time(text: object) -> bool:
    return not isinstance(text, str) or datetime.datetime.fromisoformat(text).tzinfo is not None


_formats = jsonschema.FormatChecker(formats=())
_formats.checks("date-time", raises=ValueError)(_is_time)
_validator = jsonschema.Draft202012Validator(SCHEMA, format_checker=_formats)


def validate(record: Any) -> None:
    """Raise jsonschema.ValidationError unless this is a record."""
    _validator.validate(record)
