# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists that are read while they come, and lists that cannot be."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._errors import TransferError
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._filter import make_filter
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._listing import read_listing
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._spool import Growing, Spool

HEAD = b"%s 0 1 1 0 busybox stat , 1700000000\noverlay 100 40 60 40%% /\n"
ENTRIES = b"//41ed 755 4096 1700000000/2 0 0 1:2 1700000000/.//\n//81a4 644 5 1700000000/1 0 0 1:3 1700000000/./a//\n"


@pytest.fixture
def spool() -> Iterator[Spool]:
    made = Spool()
    yield made
    made.close()


class Pausing(Growing):
    """What comes in two parts, the second of them when the first has been read."""

    def __init__(self, spool: Spool, printed: bytes, pause: int) -> None:
        super().__init__(spool)
        self._spool, self._parts = spool, [printed[:pause], printed[pause:]]
        self._go_on()

    def _go_on(self) -> None:
        self._spool.write(self._parts.pop(0) if self._parts else b"")
        self._spool.file.flush()
        if not self._parts:
            self.whole.set()

    def chunks(self) -> Iterator[bytes]:
        for chunk in super().chunks():
            yield chunk
            self._go_on()


def test_a_list_is_read_to_its_end_wherever_it_pauses() -> None:
    printed = HEAD % b"tree" + ENTRIES
    for pause in range(1, len(printed)):
        spool = Spool()
        listing = read_listing(Pausing(spool, printed, pause), make_filter([], []))
        assert [line[:1] for line in listing.manifest.lines()] == [b"\0", b"a"], pause
        listing.close()
        spool.close()


@pytest.mark.parametrize("kind", [b"tree", b"file"])
def test_a_list_without_its_root_is_no_list(spool: Spool, kind: bytes) -> None:
    spool.write(HEAD % kind)
    with pytest.raises(TransferError, match=f"the list of a {kind.decode()} is empty"):
        read_listing(spool, make_filter([], []))


def test_nothing_is_where_nothing_is(spool: Spool) -> None:
    spool.write(HEAD % b"absent")
    listing = read_listing(spool, make_filter([], []))
    assert list(listing.manifest.lines()) == []
    listing.close()
