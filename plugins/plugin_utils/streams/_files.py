# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies one file to or from a context, proven by size and checksum; the target appears whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..contexts._base import Context
from ..contexts._local import LocalContext
from ..operations._identity import new_operation_id
from . import _shell
from ._exchange import ExchangeFailed, exchange
from ._pipeline import Options, run_pipeline
from ._spec import Step, StepKind

_PROOF_LENGTH = 64


class CopyFailed(Exception):
    """A file was not copied; what was at the target is as before. The text says why."""


@dataclass(frozen=True)
class Copied:
    """A file that was copied."""

    bytes: int
    hashed: bool
    """Whether a SHA-256 was compared; else there was no tool for it, and only the sizes were."""


def put(source: Path, context: Context, target: str) -> Copied:
    """Copy a file of this machine into a context; raise CopyFailed."""
    steps = (
        Step("read", StepKind.SOURCE, src=str(source)),
        Step("write", StepKind.SINK, context=context.name, dest=target, input="read"),
    )

    def resolve(name: str | None, _become: bool | None, _user: str | None) -> Context:
        return LocalContext("local") if name is None else context

    hashed = True
    result = run_pipeline(steps, resolve, Options())
    if result.msg and _shell.NO_HASH_TOOL in result.msg:
        hashed = False
        result = run_pipeline(steps, resolve, Options(checksum=False))
    if result.failed_step is not None:
        raise CopyFailed(result.msg or "no reason is known")
    return Copied(result.sinks[0].bytes, hashed)


def fetch(context: Context, source: str, target: Path) -> Copied:
    """Copy a file of a context to this machine; raise CopyFailed."""
    temporary = target.with_name(f".{target.name[:160]}.{new_operation_id()}.part")
    try:
        with temporary.open("xb") as stream:
            copied = _receive(context, source, stream)
        temporary.replace(target)
    except OSError as exc:
        raise CopyFailed(f"{exc.filename or target}: {exc.strerror or exc}") from exc
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return copied


def _receive(context: Context, source: str, stream: BinaryIO) -> Copied:
    received = _Receiver(stream)

    def script(nonce: str) -> str:
        return _shell.file_script(nonce, source, hashed=True)

    try:
        reply = exchange(context, "manifold fetch", script, received.keep)
    except ExchangeFailed as exc:
        raise CopyFailed(str(exc)) from exc
    if reply.rc != 0:
        raise CopyFailed(f"reading it failed: {reply.stderr.decode(errors='replace').strip() or 'no message'}")
    return received.judge()


class _Receiver:
    """Writes what comes to a file, less the proof at its end."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._digest = hashlib.sha256()
        self._bytes = 0
        self._tail = b""

    def keep(self, data: bytes) -> None:
        seen = self._tail + data
        ready, self._tail = seen[:-_PROOF_LENGTH], seen[-_PROOF_LENGTH:]
        self._digest.update(ready)
        self._bytes += len(ready)
        self._stream.write(ready)

    def judge(self) -> Copied:
        """Return what was copied; raise CopyFailed if it is not what was sent."""
        said = self._tail.decode(errors="replace").strip()
        if len(said) == _PROOF_LENGTH:
            if said != self._digest.hexdigest():
                raise CopyFailed(f"what arrived has the SHA-256 {self._digest.hexdigest()}, what was sent has {said}")
            return Copied(self._bytes, hashed=True)
        if said != str(self._bytes):
            raise CopyFailed(f"{self._bytes} bytes arrived of {said or 'an unknown number'}")
        return Copied(self._bytes, hashed=False)
