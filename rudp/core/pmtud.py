"""How large a datagram the path carries: DPLPMTUD, RFC 8899, by probes that are no data.

A probe is a segment of octets that the peer has had already, as a keepalive's is (RFC 9293 section
3.8.4), but with so many of them that the datagram has the size in question: what RFC 8899 section
4.1 calls probing with padding. The peer answers at once with a DSACK (RFC 2883), which names the
probe. One that is lost was nobody's data: nothing has to be sent again, and there is nothing that
congestion control or loss recovery could mistake.

The search begins at a size that is safe (BASE) and tries the greatest first, which is nearly always
right; what fails MAX_PROBES times bounds a bisection. It goes on only while there is more to send
than a segment, and needs no timer: `next_at` says from when on `due` is worth asking, and whoever
sends compares.

    BASE, SEARCHING   `due` gives sizes to try
    SEARCH_COMPLETE   it gives none until RAISE_INTERVAL is over, and none at all at the ceiling
    ERROR             not even BASE gets through: `size` is LEAST, and the search begins anew

Sizes are bytes of a segment's payload; in the constants they include its options. Not here: what
the system knows of the path (`routes`), and the segments themselves (`output`).
"""

from __future__ import annotations

import math
from typing import Final

BASE_MSS: Final = 1180
"""Payload and options of a datagram of 1200 bytes: RFC 8899 section 5.1.2, BASE_PLPMTU."""

LEAST_MSS: Final = 508
"""The same of a packet of 576 bytes (RFC 1122 section 3.3.2), with the larger one of the two IP
headers: below BASE there is this."""

MAX_PROBES: Final = 3
"""RFC 8899 section 5.1.2: probes of a size that are lost before it counts as too large."""

LEAST_AFTER: Final = 3
"""Timeouts in a row after which BASE is not believed in either. Not one more: without SACK, with an
RTO of seconds that doubles, the next would come after the connection was given up."""

RAISE_INTERVAL: Final = 600.0
"""RFC 8899 section 5.1.1, PMTU_RAISE_TIMER: seconds after which more is tried again."""

GRANULARITY: Final = 16
"""The bisection ends when this is all that can be gained, in bytes."""


class PathMtu:
    """What one connection has found out about its path."""

    __slots__ = (
        "_began", "_failed", "_left", "_overhead", "_right", "_tried", "_tries", "ceiling",
        "next_at", "size",
    )

    def __init__(self, size: int, ceiling: int, overhead: int) -> None:
        """`size` gets through, `ceiling` may; every segment has `overhead` bytes of options."""
        self._overhead = overhead
        self.ceiling = ceiling
        self.size = self._began = size
        """What gets through, as far as is known."""
        self._failed = ceiling + 1  # the least that does not
        self._tried = 0  # the size of the probe that is under way; 0: there is none
        self._tries = 0  # probes of that size
        self._left = self._right = 0  # where the probe stands in the sequence space
        self.next_at = -math.inf if size < ceiling else math.inf
        """From then on `due` may have something to try."""

    @property
    def found(self) -> int:
        """What gets through, of payload and options, if that is news since the beginning; or 0.

        Never less than BASE: an outage leads below that much more often than a path does.
        """
        return max(self.size + self._overhead, BASE_MSS) if self.size != self._began else 0

    # -- the search ------------------------------------------------------------------------------

    def due(self, now: float) -> int:
        """The size of the probe to send now; 0 for none. The one before is lost, if it was not
        answered until `next_at`."""
        if now < self.next_at:
            return 0
        if self._tried:
            if self._tries >= MAX_PROBES:
                self._failed, self._tries = self._tried, 0
            self._tried = 0
        elif not self._candidate():
            self._restart()  # RFC 8899 section 5.3.2: the path may be another by now
        size = self._candidate()
        if not size:
            self._rest(now)
        return size

    def _candidate(self) -> int:
        if self.size >= self.ceiling:
            return 0
        if self._failed > self.ceiling:
            return self.ceiling
        return (self.size + self._failed) // 2 if self._failed - self.size > GRANULARITY else 0

    def _rest(self, now: float) -> None:
        """The search is complete, for now or for good."""
        self.next_at = now + RAISE_INTERVAL if self.size < self.ceiling else math.inf

    def _restart(self) -> None:
        """Forget what failed."""
        self._failed = self.ceiling + 1
        self._tried = self._tries = 0
        self.next_at = -math.inf if self.size < self.ceiling else math.inf

    def on_sent(self, left: int, right: int, now: float, patience: float) -> None:
        """A probe went out, of the octets [left, right); it is lost after `patience` seconds."""
        self._left, self._right = left, right
        self._tried = right - left
        self._tries += 1
        # Deviation: RFC 8899 section 5.1.1 gives PROBE_TIMER a second at least, for peers that
        # answer when they like; this one answers at once.
        self.next_at = now + patience

    def answers(self, left: int, right: int, now: float) -> bool:
        """The peer reports [left, right) as a duplicate. True if that was the probe: `size` has
        grown."""
        if not self._tried or left != self._left or right < self._right:
            return False
        self.size = self._tried
        self._tried = self._tries = 0
        self.next_at = -math.inf
        if not self._candidate():
            self._rest(now)
        return True

    # -- less gets through -----------------------------------------------------------------------

    def on_black_hole(self, flight_size: int, timeouts: int) -> bool:
        """Nothing is acknowledged any more: go back to BASE, and in the end even to LEAST.

        RFC 8899 section 4.3. True if `size` has changed. It is earned anew, if this was a mistake:
        an outage looks the same. What fits into a smaller segment did not vanish for its size.
        """
        lower = BASE_MSS - self._overhead
        if min(self.size, flight_size) <= lower and timeouts >= LEAST_AFTER:
            lower = LEAST_MSS - self._overhead
        if lower >= self.size or flight_size <= lower:
            return False
        self.size = lower
        self._restart()
        return True

    def lower(self, ceiling: int) -> None:
        """The system knows that no more than this gets through."""
        if ceiling >= self.ceiling:
            return
        self.ceiling = ceiling
        self._failed = min(self._failed, ceiling + 1)
        self.size = min(self.size, ceiling)
        if self._tried > ceiling:
            self._tried = self._tries = 0
        if self.size >= ceiling:
            self.next_at = math.inf
        elif not self._tried:
            self.next_at = -math.inf
