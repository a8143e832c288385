# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program that starts the forward whose job it reads, as a task would, and prints how it is."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ansible_collections.manifold.core.plugins.plugin_utils.forwards import _start
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._job import Job
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._state import ForwardFolder


def main() -> None:
    """Start it."""
    job = Job.decode(sys.stdin.buffer.read())
    print(json.dumps(_start.ensure(ForwardFolder(Path(job.directory)), job).status.to_json()))
