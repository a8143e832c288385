# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The database as it exists at users: two tables, and somebody with the least privileges."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from testbed.mariadb.server import MariaDb

_TABLES = (
    """
    CREATE TABLE `{database}`.multi_subnet (
      subnet_id VARCHAR(36) NOT NULL, cidr VARCHAR(64) NULL, name VARCHAR(64) NULL, deleted_at DATETIME NULL)
    """,
    """
    CREATE TABLE `{database}`.multi_interface (
      id INT NOT NULL PRIMARY KEY, port_id VARCHAR(36) NULL, subnet_id VARCHAR(36) NULL, macaddress VARCHAR(32) NULL,
      attached_node_name VARCHAR(255) NULL, netplan_success TINYINT NULL DEFAULT 0, address VARCHAR(64) NULL,
      mtu INT NULL, created_at DATETIME NULL, modified_at DATETIME NULL, deleted_at DATETIME NULL,
      KEY (attached_node_name))
    """,
)
GRANTS = (
    "GRANT SELECT ON {database}.multi_interface TO {user}",
    "GRANT SELECT ON {database}.multi_subnet TO {user}",
    "GRANT UPDATE (netplan_success, modified_at) ON {database}.multi_interface TO {user}",
)
"""What the documentation says is needed, and no more."""
MODIFIED = "2026-01-02 03:04:05"
"""When every row was last modified, as far as it says."""
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Account:
    """Somebody who may log in."""

    user: str
    password: str


class Schema:
    """A database of its own on a server."""

    def __init__(self, server: MariaDb) -> None:
        self.server = server
        self.name = f"multinic_{next(_numbers)}"
        self.sql("CREATE DATABASE {database}", *_TABLES)

    def sql(self, *statements: str, values: tuple[object, ...] = ()) -> tuple[tuple[Any, ...], ...]:
        """Run statements as root; ``{database}`` is this one's name."""
        return self.server.sql(*(statement.format(database=self.name) for statement in statements), values=values)

    def account(self, *grants: str, password: str = "se'cr\\et \"%s", require: str = "") -> Account:
        """Create somebody with these privileges, ``{user}`` in them; by default those that are documented."""
        user = f"user{next(_numbers)}"
        self.server.sql(f"CREATE USER {user} IDENTIFIED BY %s {require}", values=(password,))
        for grant in grants or GRANTS:
            self.server.sql(grant.format(database=self.name, user=user))
        return Account(user, password)

    def subnet(self, subnet_id: str, cidr: str | None) -> None:
        """Add a subnet."""
        self.sql("INSERT INTO {database}.multi_subnet (subnet_id, cidr) VALUES (%s, %s)", values=(subnet_id, cidr))

    def interface(self, id: int, node: str, mac: str | None, **columns: object) -> None:
        """Add an interface of a node; ``columns`` are the others of the table."""
        row = {"id": id, "attached_node_name": node, "macaddress": mac, "modified_at": MODIFIED, **columns}
        places = ", ".join(["%s"] * len(row))
        insert = f"INSERT INTO {{database}}.multi_interface ({', '.join(row)}) VALUES ({places})"
        self.sql(insert, values=tuple(row.values()))

    def rows(self) -> dict[int, Mapping[str, Any]]:
        """Return every row of the interfaces by id."""
        columns = [name for (name, *_rest) in self.sql("SHOW COLUMNS FROM {database}.multi_interface")]
        found = self.sql("SELECT * FROM {database}.multi_interface ORDER BY id")
        return {row[0]: dict(zip(columns, row, strict=True)) for row in found}

    def outcomes(self) -> dict[int, int | None]:
        """Return ``netplan_success`` by id."""
        return {number: row["netplan_success"] for number, row in self.rows().items()}

    def close(self) -> None:
        """Remove the database."""
        self.sql("DROP DATABASE {database}")
