"""What the scoreboard is made of: ranges that were sent, and what an ACK says of them.

A `Flight` is a range of bytes with one fate, `Arrivals` the news of one ACK. Who cuts and joins
flights, and fills in the news, is `scoreboard`; who reads them are `rack` and `recovery`.
"""

from __future__ import annotations

from typing import Final

from rudp.core.delivery_rate import Stamp

IN_FLIGHT: Final = 0
LOST: Final = 1
SACKED: Final = 2

NONE: Final = 1 << 62
"""No sequence number: above all that there are."""


class Flight:
    """Bytes [start, end) and the fate they share.

    `sent_at` and `number` tell of their last transmission, and of what was sent again,
    `first_sent_at` and `first` tell of the first. Transmissions are counted, since several go out
    at the same moment.
    """

    __slots__ = (
        "end",
        "first",
        "first_sent_at",
        "newer",
        "number",
        "older",
        "retransmitted",
        "sent_at",
        "stamp",
        "start",
        "state",
    )

    def __init__(self, start: int, end: int, number: int, sent_at: float, stamp: Stamp) -> None:
        self.start = start
        self.end = end
        self.number = number
        self.sent_at = sent_at
        self.stamp = stamp
        self.state = IN_FLIGHT
        self.retransmitted = False
        self.first = 0
        self.first_sent_at = 0.0
        self.older: Flight | None = None
        self.newer: Flight | None = None

    def absorb(self, other: Flight) -> None:
        """`other` becomes a part of this, which is about to be sent again."""
        if not self.retransmitted:
            self.first, self.first_sent_at = self.number, self.sent_at
            self.retransmitted = True
        number, sent_at = other.number, other.sent_at
        if other.retransmitted:
            number, sent_at = other.first, other.first_sent_at
        if number < self.first:
            self.first, self.first_sent_at = number, sent_at


class Arrivals:
    """What one ACK is the first to say has arrived. There is one for each connection, refilled."""

    __slots__ = (
        "again",
        "lowest_once",
        "newest",
        "newest_at",
        "newest_end",
        "sampled_at",
        "size",
        "stamp",
        "stamped",
        "trusted",
    )

    def __init__(self) -> None:
        self.clear(0.0)

    def clear(self, trusted: float) -> None:
        """Before an ACK: what was sent again after the moment `trusted` cannot be what it heard."""
        self.trusted = trusted
        self.size = 0  # bytes
        self.sampled_at = -1.0  # when the last went out that was sent just once (Karn); -1.0: none
        self.again = False  # SND.UNA passed over something that was sent again
        self.lowest_once = NONE  # where the first of it stands that was sent just once
        # By RFC 8985: the newest transmission that has certainly arrived, or something after it;
        # 0: none
        self.newest = 0
        self.newest_at = 0.0
        self.newest_end = 0
        self.stamp: Stamp | None = None  # of what was sent last, certain or not
        self.stamped = 0
