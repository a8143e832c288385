# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import struct

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.forwards import _websocket
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._websocket import Control, Opcode, Reader
from hypothesis import given
from hypothesis import strategies as st

from testbed.kube import websocket_frames as theirs

CONTENT = st.one_of(st.binary(max_size=200), st.integers(120, 130).map(bytes), st.integers(65530, 65540).map(bytes))


@given(
    st.lists(st.tuples(st.sampled_from([Opcode.BINARY, Opcode.PING]), CONTENT), max_size=6),
    st.lists(st.integers(1, 5000), min_size=1),
)
def test_content_comes_out_as_it_went_in_however_it_arrives(
    frames: list[tuple[Opcode, bytes]], sizes: list[int]
) -> None:
    frames = [(opcode, content[:100] if opcode is Opcode.PING else content) for opcode, content in frames]
    sent = b"".join(theirs.header(theirs.Opcode(opcode), len(content)) + content for opcode, content in frames)
    reader, data, pings, turn = Reader(), b"", [], 0
    while sent:
        size = sizes[turn % len(sizes)]
        for part in reader.feed(memoryview(sent[:size])):
            if isinstance(part, Control):
                pings.append(part.content)
            else:
                data += part
        sent, turn = sent[size:], turn + 1
    assert data == b"".join(content for opcode, content in frames if opcode is Opcode.BINARY)
    assert pings == [content for opcode, content in frames if opcode is Opcode.PING]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 200_000])
def test_a_server_reads_our_frames(size: int) -> None:
    content = bytes(range(256)) * (size // 256) + bytes(range(size % 256))
    parts = list(theirs.FrameParser().feed(_websocket.header(Opcode.BINARY, size) + content))
    assert b"".join(part.data for part in parts) == content


def test_the_end_is_said_as_a_server_expects_it() -> None:
    assert list(theirs.FrameParser().feed(_websocket.close_frame())) == [
        theirs.Control(theirs.Opcode.CLOSE, struct.pack("!H", 1000))
    ]


@pytest.mark.parametrize("sent", [b"\x82\x81\x00\x00\x00\x00a", b"\xc2\x01a", b"\x81\x01a", b"\x89\x7e\x01\x00"])
def test_a_server_that_breaks_the_protocol_is_refused(sent: bytes) -> None:
    with pytest.raises(_websocket.WebSocketError):
        list(Reader().feed(memoryview(sent)))
