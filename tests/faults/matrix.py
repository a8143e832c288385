# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fault matrix as data."""

from __future__ import annotations

import signal
from collections.abc import Iterator

from faults import strikes
from faults.model import KUBECTL, SIZE, SSH, Cell, Expected, Fault, Leg, Old, Place, Role, Transport

_NO_CONNECTION = "a pipe between two local processes has no connection to cut or to stall"
_NO_LIE_LOCALLY = "the command reads the controller's own pipe: there is no transport in between that could end it"
_NO_POD = dict.fromkeys((Transport.LOCAL, *SSH), "no pod is involved")
_NO_SSHD = dict.fromkeys((Transport.LOCAL, *KUBECTL), "no sshd is involved")
_SOURCE = (Role.SOURCE,)
_SINK = (Role.SINK,)
_CUTS = {"0 bytes": 0.0, "1 byte": 1.0, "50 %": 0.5, "99.99 %": 0.9999}


def _cut(label: str, count: int) -> Fault:
    return Fault(
        f"connection cut by the relay after {label}",
        strike=strikes.cut_by_relay(count),
        at=0.0,
        inapplicable={Transport.LOCAL: _NO_CONNECTION},
    )


def _faults() -> Iterator[Fault]:
    local = Transport.LOCAL
    yield Fault("none (the same pipelines without a fault)", expected=Expected.WHOLE)
    for label, at in (("at byte 0", 0.0), ("in the middle", 0.5), ("after the last byte", 1.0)):
        yield Fault(f"source exits 1 {label}", _SOURCE, at=at, source_fails=True)
    for label, fraction in _CUTS.items():
        yield _cut(label, 1 if label == "1 byte" else int(fraction * SIZE))
    producers, consumers = (Role.SOURCE, Role.MIDDLE), (Role.MIDDLE, Role.LAST, Role.SINK)
    yield Fault("output cut, exit status 0", producers, strikes.lie(Leg.OUTPUT), lies=True)
    yield Fault(
        "input cut, exit status 0",
        consumers,
        strikes.lie(Leg.INPUT),
        lies=True,
        inapplicable={local: _NO_LIE_LOCALLY},
    )
    yield Fault("the command stalls", strike=strikes.stop_command, stalls=True)
    yield Fault(
        "the connection stalls",
        prepare=strikes.stall_stream,
        strike=strikes.stall_connection,
        at=0.0,
        stalls=True,
        temporary_stays=True,
        inapplicable={local: _NO_CONNECTION},
    )
    yield Fault("the sink's disk is full", _SINK, at=0.0, place=Place.FULL)
    yield Fault("the destination is not writable", _SINK, place=Place.LOCKED)
    yield Fault("SIGKILL of the command", strike=strikes.kill_command)
    yield Fault("SIGKILL of ssh, kubectl or the local shell", strike=strikes.kill_client)
    yield Fault(
        "SIGKILL of the controller",
        strike=strikes.signal_controller(signal.SIGKILL),
        expected=Expected.ENDED,
        temporary_stays=True,
    )
    yield Fault("Ctrl-C (SIGINT)", strike=strikes.signal_controller(signal.SIGINT), expected=Expected.ENDED)
    yield Fault("SIGTERM", strike=strikes.signal_controller(signal.SIGTERM), expected=Expected.ENDED)
    yield Fault("pod deleted", strike=strikes.delete_pod, temporary_stays=True, inapplicable=_NO_POD)
    yield Fault("sshd restarted", strike=strikes.restart_sshd, inapplicable=_NO_SSHD)


FAULTS = tuple(_faults())


def cells() -> Iterator[Cell]:
    """Return every cell of the matrix."""
    for fault in FAULTS:
        for transport in Transport:
            if transport not in fault.inapplicable:
                for role in fault.roles:
                    for old in Old:
                        yield Cell(fault, transport, role, old)


def subset() -> list[Cell]:
    """Return cells that cover every fault, and every transport and role with several: what CI runs."""
    chosen = []
    turn = 0
    for fault in FAULTS:
        transports = [transport for transport in Transport if transport not in fault.inapplicable]
        for count in range(2):
            transport = transports[(turn + count) % len(transports)]
            role = fault.roles[(turn + count) % len(fault.roles)]
            chosen.append(Cell(fault, transport, role, tuple(Old)[(turn + count) % 2]))
        turn += 2 if len(transports) % 2 else 3
    return list(dict.fromkeys(chosen))


def classes() -> list[Cell]:
    """Return one cell for each fault, over transports in turn: what also goes through ansible-playbook."""
    chosen = []
    for turn, fault in enumerate(FAULTS):
        transports = [transport for transport in Transport if transport not in fault.inapplicable]
        chosen.append(
            Cell(
                fault,
                transports[turn % len(transports)],
                fault.roles[turn % len(fault.roles)],
                tuple(Old)[turn % 2],
            )
        )
    return chosen
