"""Sequence numbers: 32 bits on the wire, unbounded integers inside.

A sequence number on the wire is a remainder: it counts modulo 2**32 (RFC 9293 section 3.4).
Inside, a sequence number never wraps, so that the RFC's inequalities are plain Python:
`snd.una < seg.ack <= snd.nxt`. These two functions are the border between both; timestamps
(RFC 7323 section 5.2), which wrap in the same way, cross it here too.

                        2**32                              2 * 2**32
    inside    ------------|-------------near-----------------|-------------->
                                  |------^------|
                             2**31 below   2**31 above: each wire value names one integer here
"""

from typing import Final

MODULUS: Final = 1 << 32
MASK: Final = MODULUS - 1
HALF: Final = 1 << 31


def wrap(seq: int) -> int:
    """What stands on the wire for `seq`: its lowest 32 bits."""
    return seq & MASK


def unwrap(wire: int, near: int) -> int:
    """The integer congruent to `wire` modulo 2**32 that is nearest to `near`.

    `near` is a number we are sure of, such as RCV.NXT for SEG.SEQ and SND.UNA for SEG.ACK.
    Unwrapping an unwrapped number changes nothing. The result is negative where `near` is small and
    the peer speaks of something just before it, which compares correctly all the same.
    Of two integers exactly 2**31 away the lower one is taken: an old number is discarded, whereas
    a number from far ahead might be believed.
    """
    return ((wire - near + HALF) & MASK) - HALF + near
