# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.manifold.core.plugins.plugin_utils.operations._progress import Flow, Meter


class _Screen:
    """A meter, what it showed, and the clock it goes by."""

    def __init__(self, interval: float = 1.0) -> None:
        self.now = 100.0
        self.shown: list[str] = []
        self.cleared = 0
        self.meter = Meter(self.shown.append, lambda size: f"{size:.0f} B", interval, self._clear, lambda: self.now)

    def _clear(self) -> None:
        self.cleared += 1

    def after(self, seconds: float, *flows: Flow) -> str | None:
        """Look again after some time; return what is shown newly."""
        before = len(self.shown)
        self.now += seconds
        self.meter.look(lambda: flows)
        return self.shown[-1] if len(self.shown) > before else None


def test_what_is_over_soon_shows_nothing() -> None:
    screen = _Screen()
    assert screen.after(0.9, Flow(50, 100)) is None
    screen.meter.finish()
    assert screen.cleared == 0


def test_bytes_share_rate_and_time_left_are_told_where_the_total_is_known() -> None:
    assert _Screen().after(1, Flow(25, 100)) == "25%  25 B of 100 B  25 B/s  0:00:03 left"


def test_without_a_total_bytes_and_rate_are_told() -> None:
    assert _Screen().after(2, Flow(25)) == "25 B  12 B/s"


def test_streams_are_told_apart_by_name() -> None:
    assert _Screen().after(1, Flow(5, None, "a"), Flow(7, None, "b")) == "a  5 B  5 B/s, b  7 B  7 B/s"


def test_it_is_shown_once_per_interval() -> None:
    screen = _Screen(5)
    shown = [screen.after(1, Flow(second)) for second in range(1, 21)]
    assert [number for number, text in enumerate(shown, 1) if text] == [5, 10, 15, 20]


def test_flows_are_not_asked_for_between() -> None:
    screen = _Screen()

    def flows() -> list[Flow]:
        raise AssertionError("looking costs nothing while nothing is shown")

    screen.meter.look(flows)


def test_the_rate_is_that_of_the_last_seconds() -> None:
    screen = _Screen()
    for second in range(1, 31):
        screen.after(1, Flow(1000 * second))
    texts = [screen.after(1, Flow(30_000)) for _second in range(15)]
    assert texts[0] == "30000 B  900 B/s"
    assert texts[-1] == "30000 B  0 B/s"


def test_a_stream_that_stands_still_has_no_time_left_to_tell() -> None:
    screen = _Screen()
    texts = [screen.after(1, Flow(50, 100)) for _second in range(20)]
    assert texts[-1] == "50%  50 B of 100 B  0 B/s"


def test_an_action_that_begins_again_has_a_rate_of_its_own() -> None:
    screen = _Screen()
    screen.after(1, Flow(900, 1000))
    assert screen.after(1, Flow(10, 1000)) == "1%  10 B of 1000 B  10 B/s  0:01:39 left"


def test_a_source_that_grows_is_not_more_than_done() -> None:
    assert _Screen().after(1, Flow(150, 100)) == "100%  150 B of 100 B  150 B/s  0:00:00 left"


def test_an_empty_file_is_no_division_by_zero() -> None:
    assert _Screen().after(1, Flow(0, 0)) == "0 B  0 B/s"


def test_what_was_shown_is_taken_away_once() -> None:
    screen = _Screen()
    screen.after(1, Flow(1))
    screen.meter.finish()
    screen.meter.finish()
    assert screen.cleared == 1
