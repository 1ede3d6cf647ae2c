"""Pacing: no faster than congestion control's rate, in bursts that a timer can keep up with.

A token bucket. It fills at the rate; a transmission takes its bytes out. What goes out at a time
(the *quantum*) is what the rate gives in a millisecond, since event loops tick in milliseconds, and
two segments at least. The bucket holds more than a quantum, so that what a late timer missed is
made good (timers are late by a millisecond or two).

What a timer missed that was later still (a busy machine has an event loop wait for its turn for ten
milliseconds and more) does not go out in one burst, which might be more than a queue on the path
can hold: the bucket fills twice as fast until it is made good. Were it forgotten, a sender would
fall short of its rate by all the time that others have the processor. Linux allows for a late timer
in the same way: it makes up to half of the next wait shorter.

There is no timer, and nothing is counted, where a whole window fits into a quantum: on a path with
a round trip of a millisecond or less the ACKs do the pacing.
"""

from __future__ import annotations

import math
from typing import Final

QUANTUM: Final = 0.001
"""Seconds of the rate that go out in one burst."""

CATCH_UP: Final = 0.003
"""Seconds of the rate that may be made good in one burst after a late timer."""

MOST_OWED: Final = 0.005
"""Seconds of the rate beyond that which may be made good bit by bit. It brings most of what more
would, without the queue: BBR takes the rate for a little more than it is where timers are late."""


class Pacer:
    """The bucket. Rates are bytes per second, sizes bytes.

    What is missing in it is kept in bytes: when the rate rises, it is made good sooner.
    """

    __slots__ = ("_credit", "_filled_at", "_owed", "_waiting", "deadline")

    def __init__(self) -> None:
        self._credit = 0.0  # below zero: more went out than the rate had given
        self._filled_at = -math.inf
        self._waiting = False  # something was refused: what overflows was missed
        self._owed = 0.0  # seconds that were missed and not made good yet
        self.deadline = math.inf  # when there is enough in it for what was refused

    def allowance(self, length: int, rate: float, mss: int, now: float) -> int:
        """How much of `length` bytes may go out now: all, or whole segments of it.

        If none, `deadline` says when.
        """
        quantum = self._fill(rate, mss, now)
        credit = self._credit + 1.0  # for the rounding
        wanted = min(length, quantum)
        self._waiting = credit < wanted
        if self._waiting:
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
        elapsed = now - self._filled_at
        credit = self._credit + elapsed * rate
        full = quantum + rate * CATCH_UP
        if credit > full:
            if self._waiting:
                self._owed = min(self._owed + (credit - full) / rate, MOST_OWED)
            credit = full
        elif self._owed:
            made_good = min(self._owed, elapsed, (full - credit) / rate)
            self._owed -= made_good
            credit += made_good * rate
        self._credit = credit
        self._filled_at = now
        return quantum
