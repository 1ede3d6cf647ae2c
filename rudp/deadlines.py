"""One timer of the event loop for the deadlines of many connections.

Re-arming a loop's timer costs more than handling an ACK does, and nearly every ACK moves a
deadline. So a deadline that moves later costs nothing here: the old entry stays, finds nothing to
do when its time comes, and is entered anew. Only one that moves earlier is entered at once.
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
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._closed = False

    def set(self, channel: Channel, deadline: float) -> None:
        """See that `channel` is looked after at `deadline`; infinite for never."""
        if deadline >= channel.armed:
            return
        channel.armed = deadline
        self._pushes += 1  # makes entries of the same moment comparable
        heapq.heappush(self._heap, (deadline, self._pushes, channel))
        self.wake_up_at(deadline)

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
                due.append(channel)
        self._on_due(due, now)
        if heap:
            self.wake_up_at(heap[0][0])
