# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The WebSocket frames, cut up in every way on their way in."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.kube.websocket_frames import (
    Control,
    FrameError,
    FrameParser,
    Opcode,
    Piece,
    header,
    unmask,
    unmask_with_tables,
)

keys = st.binary(min_size=4, max_size=4)
payloads = st.one_of(
    st.binary(max_size=300), st.sampled_from([bytes(size) for size in (125, 126, 127, 65535, 65536, 70001)])
)


def masked(opcode: int, payload: bytes, key: bytes = b"\1\2\3\4", fin: bool = True) -> bytes:
    """Return a client's frame, made as sections 5.2 and 5.3 of RFC 6455 describe it."""
    first = (0x80 if fin else 0) | opcode
    if len(payload) < 126:
        head = bytes((first, 0x80 | len(payload)))
    elif len(payload) < 65536:
        head = bytes((first, 0x80 | 126)) + len(payload).to_bytes(2, "big")
    else:
        head = bytes((first, 0x80 | 127)) + len(payload).to_bytes(8, "big")
    mask = (key * (len(payload) // 4 + 1))[: len(payload)]
    return head + key + (int.from_bytes(payload) ^ int.from_bytes(mask)).to_bytes(len(payload))


def messages(parser: FrameParser, chunks: list[bytes]) -> list[bytes]:
    """Return the whole messages that come out of the chunks."""
    found: list[bytes] = []
    for chunk in chunks:
        for event in parser.feed(chunk):
            assert isinstance(event, Piece)
            if event.first:
                found.append(b"")
            found[-1] += event.data
    return found


@given(st.lists(st.tuples(payloads, keys), min_size=1, max_size=4), st.lists(st.integers(0, 400_000), max_size=6))
def test_messages_survive_any_fragmentation_of_the_stream(sent: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    stream = b"".join(masked(Opcode.BINARY, payload, key) for payload, key in sent)
    borders = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    chunks = [stream[start:end] for start, end in itertools.pairwise(borders)]
    assert messages(FrameParser(), [chunk for chunk in chunks if chunk]) == [payload for payload, _kind in sent]


def test_one_byte_at_a_time() -> None:
    stream = masked(Opcode.BINARY, b"hello") + masked(Opcode.BINARY, bytes(300)) + masked(Opcode.BINARY, b"")
    assert messages(FrameParser(), [stream[i : i + 1] for i in range(len(stream))]) == [b"hello", bytes(300), b""]


def test_a_message_of_several_frames_with_a_ping_between() -> None:
    stream = (
        masked(Opcode.BINARY, b"\0begin", fin=False)
        + masked(Opcode.PING, b"there?")
        + masked(Opcode.CONTINUATION, b"end")
    )
    begin, ping, end = FrameParser().feed(stream)
    assert begin == Piece(memoryview(b"\0begin"), first=True, last=False)
    assert ping == Control(Opcode.PING, b"there?")
    assert end == Piece(memoryview(b"end"), first=False, last=True)


@pytest.mark.parametrize(
    "frame",
    [
        b"\x82\x01x",  # not masked
        masked(Opcode.CONTINUATION, b"of nothing"),
        masked(Opcode.BINARY, b"", fin=False) + masked(Opcode.BINARY, b"inside another"),
        masked(Opcode.PING, bytes(126)),
        masked(Opcode.CLOSE, b"", fin=False),
        masked(0x3, b"reserved"),
    ],
)
def test_what_breaks_the_protocol_is_refused(frame: bytes) -> None:
    with pytest.raises(FrameError):
        list(FrameParser().feed(frame))


@given(st.binary(max_size=1000), keys)
def test_the_two_ways_to_unmask_agree(data: bytes, key: bytes) -> None:
    expected = bytes(byte ^ key[index % 4] for index, byte in enumerate(data))
    assert bytes(unmask_with_tables(memoryview(data), key)) == expected
    assert bytes(unmask(memoryview(data), key)) == expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0, "8200"), (125, "827d"), (126, "827e007e"), (65535, "827effff"), (65536, "827f0000000000010000")],
)
def test_the_servers_header_is_the_shortest(size: int, expected: str) -> None:
    assert header(Opcode.BINARY, size).hex() == expected
