# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import types
from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.module_utils.multinic._errors import SourceError
from ansible_collections.manifold.core.plugins.module_utils.multinic._source_mysql import Connection, Login


class Unencrypted:
    """A connection as a PyMySQL before 1.2 makes it to a server without TLS."""

    def __init__(self, **_words: Any) -> None:
        self.closed = False

    def cursor(self) -> Unencrypted:
        return self

    def __enter__(self) -> Unencrypted:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def execute(self, statement: str, _values: tuple[object, ...]) -> None:
        assert statement == "SHOW SESSION STATUS LIKE 'Ssl_cipher'"

    def fetchall(self) -> list[tuple[str, str]]:
        return [("Ssl_cipher", "")]

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("tls", ["required", "verify_ca", "verify_identity"])
def test_a_library_that_goes_on_without_tls_is_found_out(tls: str) -> None:
    made: list[Unencrypted] = []

    def connect(**words: Any) -> Unencrypted:
        made.append(Unencrypted(**words))
        return made[0]

    flags = types.SimpleNamespace(CLIENT=types.SimpleNamespace(FOUND_ROWS=2))
    library = types.SimpleNamespace(connect=connect, constants=flags, MySQLError=RuntimeError)
    with pytest.raises(SourceError, match=f"the server does not offer TLS, and tls={tls}"):
        Connection(library, Login("nics", "somebody", tls=tls))
    assert made[0].closed


def test_a_password_is_not_in_the_text_of_a_login() -> None:
    login = Login("nics", "somebody", "correct-horse")
    assert "correct-horse" not in f"{login} {login!r}"
    assert str(login) == "database 'nics' at localhost:3306"
