"""The skip test: does the peer acknowledge what it cannot have?

A peer that acknowledges data before it arrives (Savage and others, "TCP Congestion Control with a
Misbehaving Receiver", 1999) has us send as fast as it asks for, through whatever is in the way. An
ACK beyond SND.NXT gives it away, but SND.NXT is easily foreseen. So one segment is withheld, and
those behind it go out. An honest peer tells of these by SACK, and gets the one that is missing; who
acknowledges that has lied, and the connection ends. Numbers cannot be left out, as QUIC can (RFC
9000 section 21.4).

An honest peer has to wait a round trip longer for what is behind the gap. So it is done rarely; and
soon, if round trips are much shorter than the one of the handshake was, which cannot be forged
downwards: its answer has to know our ISS. Who passes is not suspected again on the same grounds.

Here is when; what is withheld, and what comes of it, is `SendState`'s. The core has no randomness:
it is drawn from the moments of our own clock, in nanoseconds, which the peer cannot know.
"""

from __future__ import annotations

from typing import Final

FIRST: Final = 65536
"""Bytes after which the first look is taken: most connections never get there."""

WINDOWS: Final = 4
"""Windows between two looks, half of that more or less."""

RARELY: Final = 128
"""Windows between two tests of somebody who is not suspected, half of that more or less."""

RARELY_BYTES: Final = 1 << 26
"""And at least so many bytes."""

SHORTER: Final = 0.010
"""Seconds that a round trip has to be shorter than the handshake's, beside being less than half."""

MIX: Final = 6364136223846793005


class SkipTest:
    """When to test one peer."""

    __slots__ = ("_chance", "_expected", "_rarely_at")

    def __init__(self, expected: float, seed: int) -> None:
        """`expected`: the round trip of the handshake; 0.0: it was not measured."""
        self._expected = expected
        self._chance = seed
        self._rarely_at = -1

    def suspects(self, srtt: float) -> bool:
        """Round trips are shorter than can be believed."""
        return 2 * srtt < self._expected and self._expected - srtt > SHORTER

    def due(self, nxt: int, cwnd: int, srtt: float, now: float) -> bool:
        """A look at SND.NXT `nxt`: whether a segment is to be withheld."""
        if self._rarely_at < 0:
            self._rarely_at = nxt + self._about(max(RARELY_BYTES, RARELY * cwnd), now)
        return nxt >= self._rarely_at or self.suspects(srtt)

    def next_look(self, nxt: int, cwnd: int, now: float) -> int:
        """The SND.NXT from which on the next look is due."""
        return nxt + self._about(max(FIRST, WINDOWS * cwnd), now)

    def passed(self, srtt: float) -> None:
        """The peer has told that a segment is missing which was."""
        self._expected = min(self._expected, srtt)
        self._rarely_at = -1

    def _about(self, size: int, now: float) -> int:
        """From a half to three halves of `size`."""
        # Knuth's MMIX multiplier, twice: each bit of the clock is to change the upper ones.
        mixed = (self._chance + int(now * 1e9)) * MIX % (1 << 64)
        self._chance = (mixed ^ mixed >> 31) * MIX % (1 << 64)
        return size // 2 + size * (self._chance >> 32) // (1 << 32)
