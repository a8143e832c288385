# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The desired state in a database, and where its result is kept."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, fields
from typing import Any, Iterable, Sequence

from ansible_collections.manifold.core.plugins.module_utils.multinic._errors import SourceError
from ansible_collections.manifold.core.plugins.module_utils.multinic._source import (
    Entry,
    Outcome,
    Report,
    Row,
    Source,
    Wanted,
    mac,
    number,
    text,
)
from ansible_collections.manifold.core.plugins.module_utils.multinic._source_mysql import Connection, Login, connected

_IDENTIFIER = re.compile(r"[0-9A-Za-z_$]{1,64}")


@dataclass(frozen=True)
class Tables:
    """What the tables are called."""

    interface: str = "multi_interface"
    subnet: str = "multi_subnet"


@dataclass(frozen=True)
class Columns:
    """What the columns are called; ``subnet_id`` is in both tables, ``cidr`` in that of the subnets."""

    id: str = "id"
    subnet_id: str = "subnet_id"
    macaddress: str = "macaddress"
    attached_node_name: str = "attached_node_name"
    netplan_success: str = "netplan_success"
    address: str = "address"
    mtu: str = "mtu"
    modified_at: str = "modified_at"
    cidr: str = "cidr"


class Statements:
    """The SQL, with the names of a database. :raises SourceError: a name is not an identifier."""

    def __init__(self, tables: Tables, columns: Columns) -> None:
        names = {**_quoted(tables, "tables"), **_quoted(columns, "columns")}
        interfaces = "FROM {interface} AS i WHERE i.{attached_node_name}".format(**names)
        self.wanted = (
            "SELECT DISTINCT i.{id}, i.{macaddress}, i.{address}, i.{mtu}, s.{cidr} "
            "FROM {interface} AS i LEFT JOIN {subnet} AS s ON s.{subnet_id} = i.{subnet_id} "
            "WHERE i.{attached_node_name} = %s ORDER BY i.{id}".format(**names)
        )
        self.nodes = "SELECT DISTINCT i.{attached_node_name} {0} IS NOT NULL".format(interfaces, **names)
        self.recorded = "SELECT i.{id}, i.{macaddress}, i.{netplan_success} {0} = %s".format(interfaces, **names)
        self.record = (
            "UPDATE {interface} SET {netplan_success} = %s, {modified_at} = NOW() "
            "WHERE {id} = %s AND {attached_node_name} = %s AND {macaddress} <=> %s".format(**names)
        )


class DatabaseSource(Source):
    """MariaDB or MySQL."""

    kind = "db"

    def __init__(self, login: Login, tables: Tables, columns: Columns) -> None:
        self._login = login
        self._table = tables.interface
        self._sql = Statements(tables, columns)

    def read(self, node: str) -> Wanted:
        doing = f"reading the interfaces of node '{node}'"
        with connected(self._login) as connection:
            rows = connection.rows(doing, self._sql.wanted, [node])
            nothing = "" if rows else self._nothing(connection, node)
        entries, warnings = _entries(rows)
        return Wanted(entries, nothing, warnings)

    def _nothing(self, connection: Connection, node: str) -> str:
        """Say what helps against a wrong name; of the other nodes only those with a name much like it."""
        others = [str(name) for (name,) in connection.rows("looking for the node", self._sql.nodes)]
        near = difflib.get_close_matches(node, others, n=3, cutoff=0.7)
        return (
            f"{self._login}: no row of '{self._table}' is for node '{node}', "
            f"{'some are for other nodes' if others else 'none is for any node'}"
            f"{f': was it {_or(near)}?' if near else ''}"
        )

    def report(self, node: str, outcomes: Sequence[Outcome], check: bool) -> Report:
        doing = f"reporting the interfaces of node '{node}'"
        with connected(self._login) as connection:
            recorded = {row[0]: row[1:] for row in connection.rows(doing, self._sql.recorded, [node])}
            rows, warnings = [], []
            for outcome in outcomes:
                refusal = _refusal(outcome, recorded)
                if refusal is None:
                    stored, before = recorded[outcome.id]
                    row = Row(outcome.id, before, int(outcome.configured))
                    if row.changed and not check:
                        refusal = self._record(connection, doing, node, row, stored)
                if refusal is None:
                    rows.append(row)
                else:
                    warnings.append(f"id {outcome.id}: nothing is recorded: {refusal}")
            connection.commit(doing)
        changed = sum(row.changed for row in rows)
        message = f"{changed} of {len(recorded)} rows of node '{node}' {'would be' if check else 'were'} changed"
        return Report(tuple(rows), message, tuple(warnings))

    def _record(self, connection: Connection, doing: str, node: str, row: Row, stored: object) -> str | None:
        """Change one row if it is still as it was read; return why it is not."""
        found = connection.change(doing, self._sql.record, [row.after, row.id, node, stored])
        return None if found else "somebody has just changed the row"


def _refusal(outcome: Outcome, recorded: dict[Any, tuple[Any, ...]]) -> str | None:
    """Return why an outcome says nothing of a row as it is now, or None if it does."""
    if outcome.id not in recorded:
        return "the node has no such row any more"
    stored = mac(recorded[outcome.id][0])
    if outcome.mac is not None and outcome.mac != stored:
        return f"the row is for MAC {stored} now, and {outcome.mac} was configured"
    return None


def _entries(rows: Sequence[tuple[Any, ...]]) -> tuple[tuple[Entry, ...], tuple[str, ...]]:
    """Return an entry for each interface; of two subnets with the same id none is believed."""
    found: dict[Any, Entry] = {}
    warnings = []
    for id_, macaddress, address, mtu, cidr in rows:
        twice = id_ in found
        if twice and text(address) is not None:
            warnings.append(f"id {id_}: its subnet is there more than once with a different CIDR; none is taken")
        own = text(address)
        network = None if twice or own is None else text(cidr)  # a subnet alone does not say which address
        found[id_] = Entry(number(id_), mac(macaddress), own, network, number(mtu))
    return tuple(found.values()), tuple(dict.fromkeys(warnings))


def _quoted(names: Tables | Columns, option: str) -> dict[str, str]:
    """Return names as SQL quotes them. :raises SourceError: one of them is more than a name."""
    given = {each.name: str(getattr(names, each.name)) for each in fields(names)}
    for key, name in given.items():
        if not _IDENTIFIER.fullmatch(name):
            raise SourceError(
                f"{option}.{key}: '{name}' is not a name of letters, digits, '_' and '$', at most 64 of them"
            )
    return {key: f"`{name}`" for key, name in given.items()}


def _or(names: Iterable[str]) -> str:
    return " or ".join(f"'{name}'" for name in names)
