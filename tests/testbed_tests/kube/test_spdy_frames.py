# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The SPDY frames as a client makes them, cut up in every way on their way in."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.kube.spdy_frames import (
    DICTIONARY,
    Data,
    Frame,
    FrameParser,
    FrameWriter,
    GoAway,
    Ping,
    ProtocolError,
    RstStream,
    SynStream,
)


def control(kind: int, flags: int, payload: bytes) -> bytes:
    return struct.pack("!HHI", 0x8003, kind, flags << 24 | len(payload)) + payload


class Client:
    """Opens streams as a client does, with one compression context for all of them."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    def syn_stream(self, stream_id: int, headers: dict[str, str], flags: int = 0) -> bytes:
        texts = [text.encode() for pair in headers.items() for text in pair]
        block = struct.pack("!I", len(headers)) + b"".join(struct.pack("!I", len(text)) + text for text in texts)
        packed = self._deflate.compress(block) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return control(1, flags, struct.pack("!IIH", stream_id, 0, 0) + packed)


def test_the_dictionary_is_that_of_the_specification() -> None:
    assert (len(DICTIONARY), zlib.adler32(DICTIONARY)) == (1423, 0xE3C6A7C2)


@given(st.lists(st.integers(1, 60), max_size=20))
def test_frames_survive_any_fragmentation_of_the_stream(sizes: list[int]) -> None:
    client = Client()
    stream = (
        client.syn_stream(1, {"streamtype": "error", "port": "80"})
        + control(4, 0, bytes(4))  # SETTINGS, to be skipped
        + client.syn_stream(3, {"streamtype": "data", "port": "80"}, flags=1)
        + struct.pack("!II", 3, 5)
        + b"hello"
        + struct.pack("!II", 3, 1 << 24)
        + control(6, 0, struct.pack("!I", 7))
        + control(3, 0, struct.pack("!II", 1, 5))
        + control(7, 0, struct.pack("!II", 3, 0))
    )
    parser, frames, position = FrameParser(), list[Frame](), 0
    for size in [*sizes, len(stream)]:
        frames += parser.feed(stream[position : position + size])
        position += size
    assert frames == [
        SynStream(1, {"streamtype": "error", "port": "80"}, fin=False),
        SynStream(3, {"streamtype": "data", "port": "80"}, fin=True),
        Data(3, b"hello", fin=False),
        Data(3, b"", fin=True),
        Ping(7),
        RstStream(1),
        GoAway(),
    ]


def test_another_version_is_refused() -> None:
    with pytest.raises(ProtocolError):
        FrameParser().feed(struct.pack("!HHI", 0x8002, 6, 4) + bytes(4))


def test_replies_share_one_compression_context() -> None:
    writer, inflate = FrameWriter(), zlib.decompressobj(zdict=DICTIONARY)
    for stream_id in (1, 3):
        reply = writer.syn_reply(stream_id)
        assert reply[:4] == b"\x80\x03\x00\x02"
        assert reply[8:12] == struct.pack("!I", stream_id)
        assert inflate.decompress(reply[12:]) == bytes(4)
