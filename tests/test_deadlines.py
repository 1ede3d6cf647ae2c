"""One timer for many deadlines, on a loop whose clock the test moves."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from rudp.channel import Channel
from rudp.core.config import Config
from rudp.core.connection import open_active
from rudp.deadlines import LATE, ROUNDING, Deadlines


class Handle:
    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self.when = when
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """`call_later` and a clock, which fires its timers early by `early` seconds."""

    def __init__(self, early: float = 0.0) -> None:
        self.now = 0.0
        self.early = early
        self.handles: list[Handle] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], None]) -> Handle:
        assert delay >= 0.0
        handle = Handle(self.now + delay, callback)
        self.handles.append(handle)
        return handle

    @property
    def timers(self) -> list[float]:
        return sorted(handle.when for handle in self.handles if not handle.cancelled)

    def advance(self, until: float) -> None:
        """The time goes on to `until`, by way of every timer."""
        for _ in range(10_000):
            self.handles = [handle for handle in self.handles if not handle.cancelled]
            due = min(self.handles, key=lambda handle: handle.when, default=None)
            if due is None or due.when - self.early > until:
                self.now = max(self.now, until)
                return
            self.now = max(self.now, due.when - self.early)
            self.handles.remove(due)
            due.callback()
            self.now += self.early / 4  # a loop that is early takes some time to come round
        raise AssertionError("a timer fires again and again")


def named(name: str) -> Channel:
    """A channel whose peer has this name."""
    connection = open_active(Config(), local_port=1, peer_port=2, iss=0, now=0.0, mss=1460)
    return Channel(connection, (name, 2))


class Setting:
    """Deadlines on such a loop, and what they called."""

    def __init__(self, early: float = 0.0, slack: float = 0.0) -> None:
        self.loop = Loop(early)
        self.calls: list[tuple[float, list[str]]] = []
        self.on_due: Callable[[list[Channel], float], None] = lambda due, now: None
        loop: Any = self.loop
        self.deadlines = Deadlines(loop, self.loop.time, slack, self.called, self.late)

    def late(self) -> None:
        self.calls.append((self.deadlines.now(), ["late"]))

    def called(self, due: list[Channel], now: float) -> None:
        self.calls.append((now, [channel.addr[0] for channel in due]))
        self.on_due(due, now)

    def set(self, channel: Channel, deadline: float) -> None:
        self.deadlines.set(channel, deadline)


def test_a_channel_is_called_at_its_deadline() -> None:
    s = Setting()
    s.set(named("a"), 2.0)
    s.loop.advance(1.9)
    assert s.calls == []
    s.loop.advance(5.0)
    assert s.calls == [(2.0, ["a"])]


def test_deadlines_are_met_in_their_order_whatever_the_order_they_were_set_in() -> None:
    s = Setting()
    for name, deadline in (("c", 3.0), ("a", 1.0), ("b", 2.0)):
        s.set(named(name), deadline)
    s.loop.advance(5.0)
    assert s.calls == [(1.0, ["a"]), (2.0, ["b"]), (3.0, ["c"])]


def test_deadlines_of_one_moment_are_met_in_one_call() -> None:
    s = Setting()
    for name in "abc":
        s.set(named(name), 1.0)
    s.loop.advance(5.0)
    assert s.calls == [(1.0, ["a", "b", "c"])]


def test_there_is_never_more_than_one_timer() -> None:
    s = Setting()
    for number in range(10):
        s.set(named(str(number)), 10.0 - number)
        assert s.loop.timers == [10.0 - number]


def test_a_deadline_that_moves_later_costs_no_timer() -> None:
    s = Setting()
    a = named("a")
    s.set(a, 1.0)
    handle = s.loop.handles[0]
    s.set(a, 5.0)
    assert s.loop.handles == [handle]
    s.loop.advance(1.0)
    assert s.calls == [(1.0, ["a"])]  # too early, which is harmless, and then it is set anew


def test_a_deadline_that_moves_earlier_is_met_there_and_once() -> None:
    s = Setting()
    a = named("a")
    s.set(a, 5.0)
    s.set(a, 1.0)
    s.loop.advance(9.0)
    assert [call for call in s.calls if call[1]] == [(1.0, ["a"])]


def test_an_infinite_deadline_sets_nothing() -> None:
    s = Setting()
    s.set(named("a"), math.inf)
    assert s.loop.timers == []


def test_a_deadline_in_the_past_is_met_at_once() -> None:
    s = Setting()
    s.loop.advance(10.0)
    s.set(named("a"), 3.0)
    assert s.loop.timers == [10.0]
    s.loop.advance(10.0)
    assert s.calls == [(10.0, ["a"])]


def test_a_channel_set_again_while_it_is_called_is_called_again() -> None:
    s = Setting()
    s.on_due = lambda due, now: [s.set(channel, now + 1.0) for channel in due] and None
    s.set(named("a"), 1.0)
    s.loop.advance(3.5)
    assert s.calls == [(1.0, ["a"]), (2.0, ["a"]), (3.0, ["a"])]
    assert s.loop.timers == [4.0]


def test_a_timer_that_fires_early_calls_nobody_and_is_set_again() -> None:
    s = Setting(early=0.001)
    s.set(named("a"), 1.0)
    s.loop.advance(2.0)
    met = [(now, names) for now, names in s.calls if names]
    assert [names for _, names in met] == [["a"]]
    assert 1.0 <= met[0][0] < 1.01
    assert s.loop.timers == []


def test_with_the_slack_of_its_loop_a_timer_fires_once_and_in_time() -> None:
    s = Setting(early=2**-10, slack=2**-10)
    s.set(named("a"), 1.0)
    s.loop.advance(2.0)
    assert s.calls == [(1.0, ["a"])]


def test_wake_up_at_calls_without_a_channel() -> None:
    s = Setting()
    s.set(named("a"), 3.0)
    s.deadlines.wake_up_at(1.0)
    s.deadlines.wake_up_at(2.0)  # later than what is set: nothing to do
    assert s.loop.timers == [1.0]
    s.loop.advance(5.0)
    assert s.calls == [(1.0, []), (3.0, ["a"])]


def test_after_close_nobody_is_called() -> None:
    s = Setting()
    s.set(named("a"), 1.0)
    s.deadlines.close()
    s.set(named("b"), 2.0)
    s.deadlines.wake_up_at(3.0)
    assert s.loop.timers == []
    s.loop.advance(9.0)
    assert s.calls == []


def test_closing_from_within_the_call_sets_no_further_timer() -> None:
    s = Setting()
    s.on_due = lambda due, now: s.deadlines.close()
    s.set(named("a"), 1.0)
    s.set(named("b"), 2.0)
    s.loop.advance(9.0)
    assert s.calls == [(1.0, ["a"])]
    assert s.loop.timers == []


def test_no_deadline_is_ever_missed() -> None:
    random = Random(9293)
    for _ in range(30):
        s = Setting()
        channels = [named(str(number)) for number in range(5)]
        wanted = {channel.addr[0]: math.inf for channel in channels}
        missed: list[str] = []

        def on_due(
            due: list[Channel], now: float, s: Setting = s, wanted: dict[str, float] = wanted
        ) -> None:
            for channel in due:
                if wanted[channel.addr[0]] <= now:
                    wanted[channel.addr[0]] = now + random.choice([0.1, 1.0, 3.0])
                s.set(channel, wanted[channel.addr[0]])

        s.on_due = on_due
        for step in range(100):
            channel = random.choice(channels)
            wanted[channel.addr[0]] = s.loop.now + random.choice([0.05, 0.5, 2.0])
            s.set(channel, wanted[channel.addr[0]])
            s.loop.advance(step * 0.1)
            missed += [name for name, deadline in wanted.items() if deadline < s.loop.now]
        assert missed == []
        assert s.calls


# A loop that is late


def test_a_clock_that_leaps_beyond_a_timer_stands_still_just_behind_it() -> None:
    s = Setting()
    s.set(named("a"), 2.0)
    s.loop.now = 2.0 + LATE / 2
    assert s.deadlines.now() == s.loop.now
    s.loop.now = 3600.0
    assert [s.deadlines.now(), s.deadlines.now()] == [2.0 + LATE] * 2
    s.loop.advance(3600.0)
    assert s.calls == [(2.0 + LATE, ["late"]), (2.0 + LATE, ["a"])]
    s.loop.now = 3610.0
    assert s.deadlines.now() == pytest.approx(12.0 + LATE)


def test_where_nothing_is_waited_for_the_clock_goes_on() -> None:
    s = Setting()
    s.loop.now = 3600.0
    assert s.deadlines.now() == 3600.0
    s.set(named("a"), 3601.0)
    s.loop.advance(3601.0)
    assert s.calls == [(3601.0, ["a"])]


def test_after_a_leap_the_next_deadline_is_as_far_away_as_before() -> None:
    s = Setting()
    s.set(named("a"), 1.0)
    s.set(named("b"), 5.0)
    s.loop.now = 100.0
    s.loop.advance(100.0)
    assert s.calls.pop() == (1.0 + LATE, ["a"])
    s.calls.clear()
    s.loop.advance(100.0 + 5.0 - 1.0 - LATE - 0.001)
    assert s.calls == []
    s.loop.advance(100.0 + 5.0 - 1.0 - LATE + 0.001)
    assert s.calls == [(pytest.approx(5.0, abs=1e-5), ["b"])]


def test_but_for_rounding_the_clock_never_goes_back_and_no_timer_fires_for_ever() -> None:
    random = Random(9293)
    for _ in range(30):
        s = Setting()
        channels = [named(str(number)) for number in range(3)]
        s.on_due = lambda due, now: [s.set(each, now + random.random()) for each in due]  # noqa: B023
        last = 0.0
        for _ in range(100):
            leap = random.choice([0.001, 0.1, 1.0, 1e5])
            s.set(random.choice(channels), s.deadlines.now() + random.uniform(-1.0, 1.0))
            s.loop.now += leap
            now = s.deadlines.now()
            assert last - ROUNDING <= now <= last + leap + ROUNDING
            s.loop.advance(s.loop.now)
            last = s.deadlines.now()
            assert last >= now - ROUNDING
