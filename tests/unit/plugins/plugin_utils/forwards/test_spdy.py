# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import struct
import zlib

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.forwards import _spdy
from hypothesis import given
from hypothesis import strategies as st

from testbed.kube.spdy_frames import DICTIONARY, FrameParser, FrameWriter, SynStream
from testbed.kube.spdy_frames import Data as TheirData

PIECES = st.lists(st.tuples(st.integers(1, 9), st.binary(max_size=300), st.booleans()), max_size=12)
CUTS = st.lists(st.integers(1, 40), min_size=1, max_size=50)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    """Return data in pieces of the sizes, over and over."""
    pieces = []
    turn = 0
    while data:
        size = sizes[turn % len(sizes)]
        pieces.append(data[:size])
        data, turn = data[size:], turn + 1
    return pieces


def read(data: bytes, sizes: list[int]) -> list[tuple[int, bytes, bool] | tuple[int, int]]:
    """Return what a reader makes of data that comes in pieces."""
    reader = _spdy.Reader()
    found: list[tuple[int, bytes, bool] | tuple[int, int]] = []
    for piece in cut(data, sizes):
        for event in reader.feed(memoryview(piece)):
            if isinstance(event, _spdy.Data):
                found.append((event.stream, bytes(event.content), event.fin))
            else:
                found.append((event.kind, event.number))
    return found


@given(PIECES, CUTS)
def test_data_comes_out_as_it_went_in_however_it_arrives(
    pieces: list[tuple[int, bytes, bool]], sizes: list[int]
) -> None:
    sent = b"".join(FrameWriter.data_header(stream, len(data), fin) + data for stream, data, fin in pieces)
    data: dict[int, bytes] = {}
    ends: dict[int, int] = {}
    for stream, content, fin in read(sent, sizes):  # type: ignore[misc]
        data[stream] = data.get(stream, b"") + content
        ends[stream] = ends.get(stream, 0) + fin
    for stream in {stream for stream, _data, _fin in pieces}:
        assert data.get(stream, b"") == b"".join(content for number, content, _fin in pieces if number == stream)
        assert ends.get(stream, 0) == sum(fin for number, _content, fin in pieces if number == stream)


@given(CUTS)
def test_control_frames_between_data_are_seen_and_unknown_ones_skipped_over(sizes: list[int]) -> None:
    writer = FrameWriter()
    settings = struct.pack("!II", 0x80030004, 12) + bytes(12)
    frames = [
        writer.syn_reply(1),
        FrameWriter.data_header(3, 2) + b"ab",
        settings,
        FrameWriter.ping(2),
        FrameWriter.rst_stream(3),
        FrameWriter.goaway(3),
        FrameWriter.data_header(3, 0, fin=True),
    ]
    found = [each for each in read(b"".join(frames), sizes) if len(each) == 2]
    assert found == [(2, 1), (4, 0), (6, 2), (3, 3), (7, 3)]
    assert read(b"".join(frames), sizes)[-1] == (3, b"", True)


@pytest.mark.parametrize(
    "sent", [b"HTTP/1.1 400 Bad", struct.pack("!II", 0x80020001, 4), struct.pack("!II", 0x80030002, 1 << 23)]
)
def test_what_is_no_spdy_is_refused(sent: bytes) -> None:
    reader = _spdy.Reader()
    if sent.startswith(b"HTTP"):  # would be data of a stream that nobody opened, as far as a frame can tell
        assert [event.stream for event in reader.feed(memoryview(sent)) if isinstance(event, _spdy.Data)] == [
            0x48545450
        ]
        return
    with pytest.raises(_spdy.SpdyError, match="SPDY"):
        list(reader.feed(memoryview(sent)))


def test_headers_are_packed_as_the_protocol_says() -> None:
    writer, parser = _spdy.Writer(), FrameParser()
    for stream in (1, 3, 5):
        headers = {"streamtype": "error", "port": "80", "requestid": str(stream)}
        assert parser.feed(writer.syn_stream(stream, headers)) == [SynStream(stream, headers, False)]
    assert parser.feed(_spdy.fin(3)) == [TheirData(3, b"", True)]
    packed = _spdy.Writer().syn_stream(1, {"a": "b"})[18:]
    with pytest.raises(zlib.error):
        zlib.decompressobj(zdict=DICTIONARY[:-1]).decompress(packed)
