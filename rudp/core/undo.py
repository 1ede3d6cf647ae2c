"""Whether a recovery was a mistake: nothing had been lost, it was only late.

Then congestion control gets its window back. There are three proofs:

- *DSACK* (RFC 3708): the peer reports each retransmission of the recovery as a duplicate.
- *Eifel* (RFC 3522): the ACK that passes over a retransmission echoes a timestamp from before it,
  so it answers the original.
- *F-RTO* (RFC 5682 section 3.1, with SACK; section 2.1 without): after a timeout, one segment goes
  out again and then *new* data; if the next ACK tells of data that was not sent again, the
  originals are still arriving.

What a proof leads to is decided in `recovery`.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

MAX_OWED: Final = 1024
"""Most retransmissions of one recovery, and pieces that DSACKs have left of them, that DSACKs are
waited for; with more it is not undone."""

# The steps of F-RTO.
FRTO_OFF: Final = 0
FRTO_REPEATED: Final = 1  # step 1 is done: the first segment went out again
FRTO_NEW_DATA: Final = 2  # step 2: new data goes out in place of what may not be lost


class Undo:
    """The retransmissions of one recovery, and what the peer said of them."""

    __slots__ = ("_owed", "_starts", "_twice", "first_at", "first_start", "frto", "going_on")

    def __init__(self) -> None:
        self.going_on = False  # there is a recovery that may have been a mistake
        self.first_start = -1  # where the first retransmission began; -1: none yet
        self.first_at = 0.0  # and when it went out
        self.frto = FRTO_OFF
        # What was sent again and not reported as a duplicate, in order and apart.
        self._starts: list[int] = []
        self._owed: list[int] = []  # their ends
        self._twice = False  # something went out a third time: DSACKs cannot settle it

    def begin(self) -> None:
        """A recovery begins, or congestion control is told of a loss once more."""
        self.going_on = True
        self.first_start = -1
        self.frto = FRTO_OFF
        self._starts.clear()
        self._owed.clear()
        self._twice = False

    def end(self) -> None:
        """Nothing is left to be undone."""
        self.going_on = False
        self.frto = FRTO_OFF
        self._starts.clear()
        self._owed.clear()

    def on_retransmitted(self, start: int, end: int, now: float) -> None:
        """[start, end) goes out again."""
        if not self.going_on:
            return
        if self.first_start < 0:
            self.first_start = start
            self.first_at = now
        index = bisect_left(self._starts, end)
        overlaps = index > 0 and self._owed[index - 1] > start
        if self._twice or overlaps or len(self._starts) >= MAX_OWED:
            self._twice = True
            return
        self._starts.insert(index, start)
        self._owed.insert(index, end)

    def on_dsack(self, left: int, right: int) -> bool:
        """The peer had [left, right) twice. True once it has had all that was sent again twice."""
        starts, ends = self._starts, self._owed
        index = bisect_left(ends, left + 1)
        if not self.going_on or self._twice or index == len(starts) or starts[index] >= right:
            return False  # not what was sent again, or told before
        while index < len(starts) and starts[index] < right:
            start, end = starts[index], ends[index]
            del starts[index], ends[index]
            if end > right:
                starts.insert(index, right)
                ends.insert(index, end)
            if start < left:
                starts.insert(index, start)
                ends.insert(index, left)
                index += 1
        if len(starts) > MAX_OWED:
            # DSACKs of single bytes cut each retransmission into as many pieces.
            starts.clear()
            ends.clear()
            self._twice = True
            return False
        return not starts
