# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a container leaves as its last words: the termination message, as a kubelet reads it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

MAX_MESSAGE = 4096
_MAX_LOG, _MAX_LINES = 2048, 80


def message_path(container: dict[str, Any]) -> str:
    """Return where a container writes its message."""
    return container.get("terminationMessagePath") or "/dev/termination-log"


def read_message(container: dict[str, Any], file: Path, log: Callable[[], bytes], exit_code: int) -> str:
    """Return the last 4096 bytes of the file, or the end of the log where the policy falls back to that."""
    message = _tail(file, MAX_MESSAGE)
    if not message and exit_code != 0 and container.get("terminationMessagePolicy") == "FallbackToLogsOnError":
        message = b"".join(log()[-_MAX_LOG:].splitlines(keepends=True)[-_MAX_LINES:])
    return message.decode(errors="replace")


def _tail(file: Path, size: int) -> bytes:
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - size))
            return stream.read(size)
    except OSError:
        return b""
