# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the desired state of a node comes from, and what becomes of its result there."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, Mapping, Sequence

_NOT_HEX = re.compile(r"[-:.\s]")
_SIX_OCTETS = re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True)
class Entry:
    """One interface as a source has it; whether it makes sense is judged where it is configured, one by one.

    :param id: a number; anything else as it was found.
    :param mac_address: lower case with colons if it is a MAC address in any usual spelling, else as it was found.
    :param mtu: a number; anything else as it was found.
    """

    id: Any
    mac_address: str | None
    address: str | None = None
    cidr: str | None = None
    mtu: Any = None
    name: str | None = None

    def as_option(self) -> dict[str, Any]:
        """Return it as an element of the option ``interfaces`` of ``multinic_config``."""
        return asdict(self)


@dataclass(frozen=True)
class Wanted:
    """What a source wants of a node.

    :param nothing: if there are no entries, where they were looked for in vain.
    """

    entries: tuple[Entry, ...]
    nothing: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What became of an interface of the source."""

    id: int
    mac: str | None
    configured: bool


@dataclass(frozen=True)
class Row:
    """What is recorded of an interface, before and after."""

    id: int
    before: int | None
    after: int

    @property
    def changed(self) -> bool:
        """Whether that differs."""
        return self.before != self.after


@dataclass(frozen=True)
class Report:
    """What was written back: rows, and in words; ``warnings`` tell what was not."""

    rows: tuple[Row, ...] = ()
    message: str = ""
    warnings: tuple[str, ...] = ()


class Source(ABC):
    """A file, a database or a custom resource."""

    kind: str

    @abstractmethod
    def read(self, node: str) -> Wanted:
        """Return what is wanted of a node. :raises SourceError: it cannot be told."""

    @abstractmethod
    def report(self, node: str, outcomes: Sequence[Outcome], check: bool) -> Report:
        """Write back what became of it; nothing if ``check``. :raises SourceError: it cannot be written."""


def text(value: object) -> str | None:
    """Return a value as text without blanks around it; None for nothing."""
    return None if value is None else str(value).strip() or None


def number(value: object) -> Any:
    """Return a value as a number if it is one in decimal notation, else as it was found; None for nothing."""
    said = text(value)
    return int(said) if said is not None and re.fullmatch(r"[0-9]{1,19}", said) else said


def mac(value: object) -> str | None:
    """Return a MAC address in lower case with colons, whether it was written with ``:``, ``-``, ``.`` or nothing."""
    said = text(value)
    digits = _NOT_HEX.sub("", said or "").lower()
    if not _SIX_OCTETS.fullmatch(digits):
        return said
    return ":".join(digits[at : at + 2] for at in range(0, 12, 2))


def outcomes_of(results: Sequence[Mapping[str, Any]]) -> tuple[Outcome, ...]:
    """Return what the result of ``multinic_config`` says of each interface of the source.

    What was removed because the source does not want it any more has no place there.
    """
    verdicts = {"configured": True, "failed": False, "refused": False}
    return tuple(
        Outcome(each["id"], mac(each.get("mac")), verdicts[each["state"]])
        for each in results
        if isinstance(each.get("id"), int) and each.get("state") in verdicts
    )
