"""One timer of the event loop for the deadlines of many connections.

Re-arming a loop's timer costs more than handling an ACK does, and nearly every ACK moves a
deadline. So a deadline that moves later costs nothing here: the old entry stays, finds nothing to
do when its time comes, and is entered anew. Only one that moves earlier is entered at once.
Entries that were overtaken are swept out when they are the greater part.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Callable

from rudp.channel import Channel


class Deadlines:
    """Calls `on_due(channels, now)` when the deadlines of these channels may have passed."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        slack: float,
        on_due: Callable[[list[Channel], float], None],
    ) -> None:
        """`slack`: seconds added to each timer, for a loop whose timers may fire early."""
        self._loop = loop
        self._clock = clock
        self._slack = slack
        self._on_due = on_due
        self._heap: list[tuple[float, int, Channel]] = []
        self._pushes = 0
        self._live = 0  # channels that have a deadline: as many entries count
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._closed = False

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
        self._timer_at = deadline
        delay = max(0.0, deadline - self._clock()) + self._slack
        self._timer = self._loop.call_later(delay, self._on_timer)

    def close(self) -> None:
        """Call nothing any more."""
        self._closed = True
        self._heap.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._on_due = _nobody  # leave the garbage collector no cycle

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_at = math.inf
        now = self._clock()
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
