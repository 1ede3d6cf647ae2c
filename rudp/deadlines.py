"""One timer of the event loop for the deadlines of many connections.

Re-arming a loop's timer costs more than handling an ACK does, and nearly every ACK moves a
deadline. So a deadline that moves later costs nothing here: the old entry stays, finds nothing to
do when its time comes, and is entered anew. Only one that moves earlier is entered at once.
Entries that were overtaken are swept out when they are the greater part.

It is also the engine's clock, since who waits for a timer knows when the loop is late. A process
that was stopped, a paused virtual machine and an application that blocks its loop find every
deadline passed at once, and what they did not do meanwhile is not their peers' silence: so while a
timer is overdue, the clock goes no further than LATE beyond it.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Callable
from typing import Final

from rudp.channel import Channel

LATE: Final = 0.25
"""Seconds by which a timer may be late and the clock still tells all of them. It is more than any
loop that does its work is late by, and little for a peer to be blamed for."""

ROUNDING: Final = 1e-6


class Deadlines:
    """Calls `on_due(channels, now)` when the deadlines of these channels may have passed, and
    `on_late()` before if that is long ago."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        slack: float,
        on_due: Callable[[list[Channel], float], None],
        on_late: Callable[[], None],
    ) -> None:
        """`clock`: the loop's. `slack`: seconds added to each timer, for a loop whose timers may
        fire early."""
        self._loop = loop
        self._clock = clock
        self._lost = 0.0  # seconds by which ours is behind the loop's
        self._slack = slack
        self._on_due = on_due
        self._on_late = on_late
        self._heap: list[tuple[float, int, Channel]] = []
        self._pushes = 0
        self._live = 0  # channels that have a deadline: as many entries count
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._latest = math.inf  # the clock goes no further before the timer has fired
        self._closed = False

    def now(self) -> float:
        """The time, in seconds, without that in which nobody could do anything."""
        now = self._clock() - self._lost
        if now > self._latest:
            self._lost += now - self._latest
            # From here on sums are rounded: better late than early again and again.
            self._slack = max(self._slack, ROUNDING)
            return self._latest
        return now

    def set(self, channel: Channel, deadline: float) -> None:
        """See that `channel` is looked after at `deadline`; infinite for never."""
        if deadline >= channel.armed:
            return
        self._live += channel.armed == math.inf
        channel.armed = deadline
        self._pushes += 1  # makes entries of the same moment comparable
        heapq.heappush(self._heap, (deadline, self._pushes, channel))
        self._sweep()
        self.wake_up_at(deadline)

    def forget(self, channel: Channel) -> None:
        """`channel` has ended: keep it no longer than need be."""
        if channel.armed < math.inf:
            channel.armed = math.inf
            self._live -= 1
        self._sweep()

    def _sweep(self) -> None:
        """Drop the entries that were overtaken, if they are more than half."""
        if len(self._heap) <= 2 * self._live:
            return
        self._heap = [entry for entry in self._heap if entry[2].armed == entry[0]]
        heapq.heapify(self._heap)

    def wake_up_at(self, deadline: float) -> None:
        """Call `on_due` at `deadline` at the latest, be it with no channels."""
        if deadline >= self._timer_at or self._closed:
            return
        if self._timer is not None:
            self._timer.cancel()
        now = self.now()
        self._timer_at = deadline
        self._latest = max(deadline, now) + LATE
        delay = max(0.0, deadline - now) + self._slack
        self._timer = self._loop.call_later(delay, self._on_timer)

    def close(self) -> None:
        """Call nothing any more."""
        self._closed = True
        self._heap.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_at = self._latest = math.inf
        self._on_due = _nobody  # leave the garbage collector no cycle
        self._on_late = _nothing

    def _on_timer(self) -> None:
        now = self.now()
        late = now >= self._latest
        self._timer = None
        self._timer_at = self._latest = math.inf
        if late:
            self._on_late()  # what has come meanwhile comes before what was not heard of
        due: list[Channel] = []
        heap = self._heap
        while heap and heap[0][0] <= now:
            deadline, _, channel = heapq.heappop(heap)
            if channel.armed == deadline:
                channel.armed = math.inf
                self._live -= 1
                due.append(channel)
        try:
            self._on_due(due, now)
        finally:
            if self._heap:
                self.wake_up_at(self._heap[0][0])


def _nobody(due: list[Channel], now: float) -> None:
    """Who is woken by a timer that is closed."""


def _nothing() -> None:
    """What such a timer does when it is late."""
