# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection to MariaDB or MySQL: the one place that knows PyMySQL, and what its errors mean."""

from __future__ import annotations

import importlib
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Iterator, Sequence

from ansible_collections.manifold.core.plugins.module_utils.multinic._errors import SourceError

PRIVILEGES = "it needs SELECT on both tables, and UPDATE of the columns netplan_success and modified_at to report"
_REMEDIES = {
    1044: PRIVILEGES,
    1045: "check user and password, and from where the user may log in",
    1049: "check the name of the database",
    1054: "'columns' says how the columns are called",
    1142: PRIVILEGES,
    1143: PRIVILEGES,
    1146: "'tables' says how the tables are called",
    1205: "somebody else holds the rows; nothing was written, try again",
    1213: "somebody else holds the rows; nothing was written, try again",
    2003: "check host, port and what is in between",
    2013: "it was too slow for 'timeout', or it was stopped; nothing was written",
}
VERIFYING = ("verify_ca", "verify_identity")


@dataclass(frozen=True)
class Login:
    """How to reach a database.

    :param tls: one of ``disabled``, ``preferred``, ``required``, ``verify_ca``, ``verify_identity``.
    :param timeout: seconds for the connection, and for each answer.
    """

    database: str
    user: str
    password: str | None = field(default=None, repr=False)
    host: str = "localhost"
    port: int = 3306
    unix_socket: str | None = None
    tls: str = "preferred"
    ca_cert: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    timeout: int = 10

    def __str__(self) -> str:
        return f"database '{self.database}' at {self.unix_socket or f'{self.host}:{self.port}'}"


class Connection:
    """A transaction on a database; use :func:`connected`.

    :param library: PyMySQL.
    """

    def __init__(self, library: Any, login: Login) -> None:
        self._library = library
        self._login = login
        with self._explained("connecting"):
            # the password as bytes: as a text it would have to be Latin-1
            self._connection = library.connect(
                host=login.host,
                port=login.port,
                unix_socket=login.unix_socket,
                user=login.user,
                password=(login.password or "").encode(),
                database=login.database,
                charset="utf8mb4",
                connect_timeout=login.timeout,
                read_timeout=login.timeout,
                write_timeout=login.timeout,
                client_flag=library.constants.CLIENT.FOUND_ROWS,
                **_tls(login),
            )
        try:
            self._insist_on_tls()
        except BaseException:
            self.close()
            raise

    def _insist_on_tls(self) -> None:
        """Older releases of the library go on without TLS if the server does not offer it."""
        if self._login.unix_socket or self._login.tls in ("disabled", "preferred"):
            return
        ((_name, cipher),) = self.rows("asking for TLS", "SHOW SESSION STATUS LIKE 'Ssl_cipher'")
        if not cipher:
            raise SourceError(f"{self._login}: connecting: the server does not offer TLS, and tls={self._login.tls}")

    def rows(self, doing: str, statement: str, values: Sequence[object] = ()) -> tuple[tuple[Any, ...], ...]:
        """Return what a statement finds. :raises SourceError: naming what was being done."""
        with self._explained(doing), self._connection.cursor() as cursor:
            cursor.execute(statement, tuple(values))
            return tuple(cursor.fetchall())

    def change(self, doing: str, statement: str, values: Sequence[object]) -> int:
        """Run a statement that changes rows; return how many it was about. :raises SourceError: it cannot."""
        with self._explained(doing), self._connection.cursor() as cursor:
            return int(cursor.execute(statement, tuple(values)))

    def commit(self, doing: str) -> None:
        """Make the changes last; without it they are undone. :raises SourceError: they may not."""
        with self._explained(doing):
            self._connection.commit()

    def close(self) -> None:
        """End the connection."""
        with suppress(self._library.MySQLError, OSError):  # it may have gone already
            self._connection.close()

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        """Turn an error of the library into one that names the database, what was being done, and a remedy."""
        try:
            yield
        except self._library.MySQLError as exc:
            number, cause = (*exc.args, "", "")[:2]
            remedy = f": {_REMEDIES[number]}" if number in _REMEDIES else ""
            raise SourceError(f"{self._login}: {doing}: {cause} ({number}){remedy}") from exc
        except (OSError, RuntimeError, ValueError) as exc:  # a certificate cannot be read, a login needs a library
            raise SourceError(f"{self._login}: {doing}: {exc}") from exc


@contextmanager
def connected(login: Login) -> Iterator[Connection]:
    """Be connected for a while. :raises SourceError: that is not possible."""
    try:
        library: Any = importlib.import_module("pymysql")
    except ImportError as exc:
        raise SourceError(f"{login}: the Python library PyMySQL is missing here; install it with pip") from exc
    connection = Connection(library, login)
    try:
        yield connection
    finally:
        connection.close()


def _tls(login: Login) -> dict[str, Any]:
    """Return the library's words for TLS; a socket of this machine needs none."""
    if login.unix_socket or login.tls == "disabled":
        return {"ssl_disabled": True}
    if login.tls == "preferred" and not login.client_cert:
        return {}
    verify = login.tls in VERIFYING
    words = {
        "ca": login.ca_cert if verify else None,
        "cert": login.client_cert,
        "key": login.client_key,
        "verify_mode": "required" if verify else "none",
        "check_hostname": login.tls == "verify_identity",
    }
    return {"ssl": {word: value for word, value in words.items() if value is not None}}
