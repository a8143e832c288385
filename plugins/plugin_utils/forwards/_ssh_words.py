# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a running ssh says: its words for people, and what becomes of its channels.

An ssh that was handed a client's socket ends what it sends there by closing a descriptor, of which nobody else hears
while another one is open. It logs that, however, if it is asked to (``LogVerbose``, since OpenSSH 8.5), before anything
else happens to that channel. Whether it really does is seen before anybody relies on it, and before the first client:
it says the same of the connections to itself, by which it is asked for channels.
"""

from __future__ import annotations

import contextlib
import enum
import os
import re
import select
import subprocess
import threading
from collections.abc import Callable, Mapping

VERBOSE = ("LogVerbose", "channels.c:channel_new():*,nchan.c:chan_shutdown_write():*")
"""The option that makes ssh say it."""

_SINCE = (8, 5)
_KEEP = 1 << 16
_READ = 1 << 16
_EVENT = re.compile(
    rb"debug\d: (?:channels\.c:(?P<made>channel_new)|nchan\.c:chan_shutdown_write)\(\):\d+[^:]*: "
    rb"(?:\w+: )?channel (?P<number>\d+): "
    rb"(?:new |.*\bi\d o(?P<output>\d) sock (?P<sock>-?\d+) )"
)
"""The beginning of such a line: ``o1`` is a channel whose far end has ended and all of whose data was written."""
_ENDED = b"1"


class Fate(enum.Enum):
    """What has become of the direction from the far end to the client."""

    OPEN = enum.auto()
    ENDED = enum.auto()
    """The far end has ended it, and ssh has written everything."""
    CUT = enum.auto()
    """The client takes no more, or the channel was given up."""
    LOST = enum.auto()
    """There is no ssh any more."""


class ChannelWatch:
    """What is known of a channel."""

    def __init__(self) -> None:
        self.fate = Fate.OPEN
        self._wake: Callable[[], None] | None = None

    def tell(self, wake: Callable[[], None] | None) -> None:
        """Have ``wake`` called, by any thread, when the fate is known; it may be called more than once."""
        self._wake = wake
        if wake is not None and self.fate is not Fate.OPEN:
            wake()

    def decide(self, fate: Fate) -> None:
        """Set the fate, unless it is known already."""
        if self.fate is Fate.OPEN:
            self.fate = fate
            if (wake := self._wake) is not None:
                wake()


class SshWords:
    """Reads what the ssh of one master, and what it starts, write to standard error and output."""

    def __init__(self) -> None:
        self._source, self.fd = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._source, False)
        self._lock = threading.Lock()
        self._text = b""
        self._begun = b""
        self._watches: dict[int, ChannelWatch] = {}
        self._seen_new = self._seen_end = self._closing = False
        self._thread = threading.Thread(target=self._read, name="ssh-words", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    @property
    def tell_ends(self) -> bool:
        """Whether this ssh has shown, by what it has written until now, that it says what becomes of channels."""
        with self._lock:
            self._drain()
            return self._seen_new and self._seen_end

    def said(self) -> str:
        """Return the words for people, as far as they are kept."""
        with self._lock:
            self._drain()
            return (self._text + self._begun).decode(errors="replace")

    def channel(self, number: int) -> ChannelWatch | None:
        """Return what is known of the channel that has this number now. Numbers are used again, one after another."""
        with self._lock:
            self._drain()
            return self._watches.get(number)

    def begin(self) -> None:
        """Forget what was said: another ssh is going to be started."""
        with self._lock:
            self._drain()
            self._text = self._begun = b""

    def end(self) -> None:
        """Note that ssh has ended, and its channels with it."""
        with self._lock:
            self._drain()
            watches, self._watches = self._watches, {}
            self._seen_new = self._seen_end = False
        for watch in watches.values():
            watch.decide(Fate.LOST)

    def close(self) -> None:
        """Stop reading. May be called twice."""
        with self._lock:
            if self._closing:
                return
            self._closing = True
            with contextlib.suppress(OSError):
                os.write(self.fd, b"\n")  # wakes the thread: what ssh has started may keep the pipe open
            os.close(self.fd)
            if self._thread.ident is None:
                os.close(self._source)

    def _read(self) -> None:
        poll = select.poll()
        poll.register(self._source, select.POLLIN)
        while True:
            poll.poll()
            with self._lock:
                self._drain()
                if self._closing:
                    os.close(self._source)
                    return

    def _drain(self) -> None:
        """Take what there is. Whoever holds the lock may do so, and then knows all that was written before."""
        if self._closing:
            return
        while True:
            try:
                data = os.read(self._source, _READ)
            except BlockingIOError:
                return
            *lines, self._begun = (self._begun + data).split(b"\n")
            for line in lines:
                self._take(line)

    def _take(self, line: bytes) -> None:
        event = _EVENT.match(line)
        if event is None:
            self._text = (self._text + line + b"\n")[-_KEEP:]
            return
        number = int(event["number"])
        if event["made"]:
            self._watches[number] = ChannelWatch()
            self._seen_new = True
            return
        self._seen_end = True
        # the others are of ssh itself
        if event["sock"] == b"-1" and (watch := self._watches.get(number)) is not None:
            watch.decide(Fate.ENDED if event["output"] == _ENDED else Fate.CUT)


def can_tell_ends(ssh: str, environment: Mapping[str, str]) -> bool:
    """Return whether an ssh knows the option VERBOSE; one that does not would not start with it."""
    try:
        asked = subprocess.run(
            [ssh, "-V"], stdin=subprocess.DEVNULL, capture_output=True, env=environment, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    found = re.match(rb"OpenSSH_(\d+)\.(\d+)", asked.stderr + asked.stdout)
    return found is not None and (int(found[1]), int(found[2])) >= _SINCE
