# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run of the agent did, in the 4096 bytes that Kubernetes keeps of a container's last words.

The agent writes it, the controller reads it. What cannot be read is a failure, never a success.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any, Mapping

from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._errors import ClusterError
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._observed import Task

LIMIT = 4096
"""Bytes of a termination message that the kubelet keeps."""
_FORMAT = 1
_STATES = {"c": "configured", "f": "failed", "r": "refused"}
_LETTERS = {state: letter for letter, state in _STATES.items()}
_CUT = "..."


class Unreadable(ClusterError):
    """The text is not a summary."""


@dataclass(frozen=True)
class InterfaceResult:
    """What became of one interface.

    :param id: None for a link that no entry names.
    :param state: ``configured``, ``failed`` or ``refused``.
    """

    id: int | None
    state: str
    name: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Summary:
    """What became of a run.

    :param generation: that of the resource, as the Job said it.
    :param failure: why the run failed as a whole, as when all was put back.
    """

    task: Task
    generation: int
    interfaces: tuple[InterfaceResult, ...] = ()
    failure: str | None = None


def from_result(task: Task, generation: int, result: Mapping[str, Any], failure: str | None) -> Summary:
    """Return the summary of a result of ``multinic_config``; what was removed as it should be is not mentioned.

    :param failure: why the run failed as a whole; not that some interfaces did.
    """
    interfaces = tuple(
        InterfaceResult(entry.get("id"), entry["state"], entry.get("name"), entry.get("reason"))
        for entry in result.get("interfaces", ())
        if entry["state"] in _LETTERS
    )
    return Summary(task, generation, interfaces, failure)


def write(summary: Summary, limit: int = LIMIT) -> str:
    """Return the text for the termination message; reasons are shortened as far as needed, the longest first.

    :raises ClusterError: it does not fit even without any reason.
    """
    longest = max([len(text) for text in _texts(summary)], default=0)
    # the largest length of a reason for which all fits
    low, high = 0, longest
    while low < high:
        middle = (low + high + 1) // 2
        if _size(_encoded(_shortened(summary, middle))) <= limit:
            low = middle
        else:
            high = middle - 1
    text = _encoded(_shortened(summary, low))
    if _size(text) > limit:
        raise ClusterError(f"{len(summary.interfaces)} interfaces do not fit into a summary of {limit} bytes")
    return text.encode(errors="replace").decode()


def read(text: str) -> Summary:
    """Return what the agent wrote. :raises Unreadable: it is cut off, or something else."""
    try:
        found = json.loads(text)
        if found["v"] != _FORMAT:
            raise Unreadable(f"it is of format {found['v']!r}, not {_FORMAT}")
        return Summary(
            Task(found["t"]),
            _integer(found["g"]),
            tuple(_interface(entry) for entry in found["i"]),
            None if found.get("f") is None else str(found["f"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as exc:
        raise Unreadable(f"{_beginning(text)} is not a summary ({type(exc).__name__})") from exc


def _interface(entry: list[Any]) -> InterfaceResult:
    id_, letter, name, reason = entry
    return InterfaceResult(
        None if id_ is None else _integer(id_),
        _STATES[letter],
        None if name is None else str(name),
        None if reason is None else str(reason),
    )


def _integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("not a whole number")
    return value


def _encoded(summary: Summary) -> str:
    found: dict[str, Any] = {"v": _FORMAT, "t": summary.task.value, "g": summary.generation}
    if summary.failure is not None:
        found["f"] = summary.failure
    found["i"] = [[each.id, _LETTERS[each.state], each.name, each.reason] for each in summary.interfaces]
    return json.dumps(found, ensure_ascii=False, separators=(",", ":"))


def _size(text: str) -> int:
    # a lone surrogate, as of a file name that is no UTF-8, has no bytes of its own
    return len(text.encode(errors="replace"))


def _texts(summary: Summary) -> list[str]:
    reasons = [each.reason for each in summary.interfaces]
    return [text for text in (summary.failure, *reasons) if text is not None]


def _shortened(summary: Summary, length: int) -> Summary:
    interfaces = tuple(replace(each, reason=_cut(each.reason, length)) for each in summary.interfaces)
    return replace(summary, interfaces=interfaces, failure=_cut(summary.failure, length))


def _cut(text: str | None, length: int) -> str | None:
    if text is None or len(text) <= length:
        return text
    return text[: max(0, length - len(_CUT))] + _CUT[:length]


def _beginning(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + _CUT)
