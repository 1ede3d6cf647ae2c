"""How large a datagram the path carries: DPLPMTUD, RFC 8899, by probes that are no data.

A probe is a segment of octets that the peer has had already, as a keepalive's is (RFC 9293 section
3.8.4), but with so many of them that the datagram has the size in question: what RFC 8899 section
4.1 calls probing with padding. The peer answers at once with a DSACK (RFC 2883), which names the
probe. One that is lost was nobody's data: nothing has to be sent again, and there is nothing that
congestion control or loss recovery could mistake.

The search begins at a size that is safe (BASE) and tries the greatest first, which is nearly always
right; what fails MAX_PROBES times bounds a bisection. It goes on only while there is more to send
than a segment, and needs no timer: whoever asks for the next probe says how late it is.

    BASE, SEARCHING   `due` gives sizes to try
    SEARCH_COMPLETE   it gives none until RAISE_INTERVAL is over, and none at all at the ceiling
    ERROR             not even BASE gets through: `size` is LEAST, and the search begins anew

Sizes are bytes of a segment's payload. Not here: what the system knows of the path (`routes`), and
the segments themselves (`output`).
"""

from __future__ import annotations

import math
from typing import Final

BASE_MSS: Final = 1180
"""Payload and options of a datagram of 1200 bytes: RFC 8899 section 5.1.2, BASE_PLPMTU."""

LEAST_MSS: Final = 508
"""The same of an IPv4 packet of 576 bytes (RFC 1122 section 3.3.2): below BASE there is this."""

MAX_PROBES: Final = 3
"""RFC 8899 section 5.1.2: probes of a size that are lost before it counts as too large."""

RAISE_INTERVAL: Final = 600.0
"""RFC 8899 section 5.1.1, PMTU_RAISE_TIMER: seconds after which more is tried again."""

GRANULARITY: Final = 16
"""The bisection ends when this is all that can be gained, in bytes."""


class PathMtu:
    """What one connection knows of its path."""

    __slots__ = (
        "_began", "_failed", "_left", "_overhead", "_raise_at", "_right", "_sent_at", "_tried",
        "_tries", "ceiling", "size",
    )

    def __init__(self, begin: int, ceiling: int, overhead: int) -> None:
        """`begin` and `ceiling` are of payload and options; `overhead` bytes of it are options."""
        self._overhead = overhead
        self.ceiling = ceiling - overhead
        self.size = self._began = min(begin, ceiling) - overhead
        """What gets through, as far as is known."""
        self._failed = self.ceiling + 1  # the least that does not
        self._tried = 0  # the size of the probe that is under way; 0: there is none
        self._tries = 0  # probes of that size
        self._left = self._right = 0  # where the probe stands in the sequence space
        self._sent_at = 0.0
        self._raise_at = math.inf

    @property
    def base(self) -> int:
        """What every path is expected to carry."""
        return min(BASE_MSS - self._overhead, self.ceiling)

    @property
    def found(self) -> int:
        """What gets through, of payload and options, if that is news since the beginning; or 0."""
        return self.size + self._overhead if self.size != self._began else 0

    # -- the search ------------------------------------------------------------------------------

    def due(self, now: float, patience: float) -> int:
        """The size of the probe to send now; 0 for none. The last is lost after `patience`."""
        if self._tried:
            if now - self._sent_at < patience:
                return 0
            if self._tries >= MAX_PROBES:
                self._failed, self._tries = self._tried, 0
            self._tried = 0
        if now >= self._raise_at:
            self._restart()
        size = self._candidate()
        if not size and self.size < self.ceiling and self._raise_at == math.inf:
            self._raise_at = now + RAISE_INTERVAL
        return size

    def _candidate(self) -> int:
        if self.size >= self.ceiling:
            return 0
        if self._failed > self.ceiling:
            return self.ceiling
        return (self.size + self._failed) // 2 if self._failed - self.size > GRANULARITY else 0

    def _restart(self) -> None:
        """Forget what failed: the path may be another by now."""
        self._failed = self.ceiling + 1
        self._tried = self._tries = 0
        self._raise_at = math.inf

    def on_sent(self, left: int, right: int, now: float) -> None:
        """A probe went out, of the octets [left, right)."""
        self._left, self._right = left, right
        self._tried = right - left
        self._tries += 1
        self._sent_at = now

    def answers(self, left: int, right: int) -> bool:
        """The peer reports [left, right) as a duplicate. True if that was the probe: `size` has
        grown."""
        if not self._tried or left != self._left or right < self._right:
            return False
        self.size = self._tried
        self._tried = self._tries = 0
        return True

    # -- less gets through -----------------------------------------------------------------------

    def on_black_hole(self, least: bool) -> bool:
        """Nothing is acknowledged any more: go back to BASE, or even to `least`.

        RFC 8899 section 4.3. True if `size` has changed. It is earned anew, if this was a mistake:
        an outage looks the same.
        """
        lower = LEAST_MSS - self._overhead if least else self.base
        if lower >= self.size:
            return False
        self.size = lower
        self._restart()
        return True

    def lower(self, ceiling: int) -> None:
        """The system knows that no more than this gets through."""
        self.ceiling = min(self.ceiling, ceiling)
        self._failed = min(self._failed, self.ceiling + 1)
        self.size = min(self.size, self.ceiling)
        if self._tried > self.ceiling:
            self._tried = self._tries = 0
