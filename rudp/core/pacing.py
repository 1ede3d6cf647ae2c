"""Pacing: no faster than congestion control's rate, in bursts that a timer can keep up with.

A token bucket. It fills at the rate; a transmission takes its bytes out. What goes out at a time
(the *quantum*) is what the rate gives in a millisecond, since event loops tick in milliseconds, and
two segments at least. The bucket holds more than a quantum, so that what a late timer missed is
made good (timers are late by a millisecond or two).

There is no timer, and nothing is counted, where a whole window fits into a quantum: on a path with
a round trip of a millisecond or less the ACKs do the pacing.
"""

from __future__ import annotations

import math
from typing import Final

QUANTUM: Final = 0.001
"""Seconds of the rate that go out in one burst."""

CATCH_UP: Final = 0.003
"""Seconds of the rate that may be made good after a late timer."""


class Pacer:
    """The bucket. Rates are bytes per second, sizes bytes.

    What is missing in it is kept in bytes: when the rate rises, it is made good sooner.
    """

    __slots__ = ("_credit", "_filled_at", "deadline")

    def __init__(self) -> None:
        self._credit = 0.0  # below zero: more went out than the rate had given
        self._filled_at = -math.inf
        self.deadline = math.inf  # when there is enough in it for what was refused

    def allowance(self, length: int, rate: float, mss: int, now: float) -> int:
        """How much of `length` bytes may go out now: all, or whole segments of it.

        If none, `deadline` says when.
        """
        quantum = self._fill(rate, mss, now)
        credit = self._credit + 1.0  # for the rounding
        wanted = min(length, quantum)
        if credit < wanted:
            self.deadline = now + (wanted - credit + 1.0) / rate
            return 0
        return length if length <= credit else max(int(credit) // mss, 1) * mss

    def take(self, size: int, rate: float, mss: int, now: float) -> None:
        """`size` bytes went out, be it by allowance or regardless."""
        self._fill(rate, mss, now)
        self._credit -= size

    def _fill(self, rate: float, mss: int, now: float) -> float:
        """Put in what the rate has given since the last time; returns the quantum."""
        quantum = max(rate * QUANTUM, 2.0 * mss)
        credit = self._credit + (now - self._filled_at) * rate
        self._credit = min(credit, quantum + rate * CATCH_UP)
        self._filled_at = now
        return quantum
