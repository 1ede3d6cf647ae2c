"""What became of the data in flight: who has it, what is lost, what was sent again.

RFC 2018 and 6675, on ranges of bytes. A `Flight` is a range that was sent at one moment; a SACK
cuts it where it has to, and neighbours that the peer has are joined again. So the cost of an ACK
is per range that it changes, never per segment.

      una                                                         nxt
       | in flight |  lost  | sacked |  lost  |  sacked  | in flight |
       +-----------+--------+--------+--------+----------+-----------+

The *pipe* (RFC 6675 section 2) is the sum of what is in flight: a lost range leaves it, and comes
back when it is sent again.

Not here: when to send (`sender`), and how much (`congestion`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from operator import attrgetter
from typing import Final

IN_FLIGHT: Final = 0
LOST: Final = 1
SACKED: Final = 2

DUP_THRESH: Final = 3
"""RFC 6675 section 2: how much evidence makes a loss."""

MAX_SACK_BLOCKS: Final = 4
"""A header holds no more; a peer's ACK never costs more than this many look-ups."""

_start = attrgetter("start")


class Flight:
    """Bytes [start, end) and the fate they share; `sent_at` is their last transmission."""

    __slots__ = ("end", "retransmitted", "sent_at", "start", "state")

    def __init__(
        self, start: int, end: int, sent_at: float, state: int = IN_FLIGHT, again: bool = False
    ) -> None:
        self.start = start
        self.end = end
        self.sent_at = sent_at
        self.state = state
        self.retransmitted = again


class Scoreboard:
    """The flights between `snd.una` and `snd.nxt`, in order and without gaps."""

    __slots__ = ("_hint", "_lost_edge", "flights", "high_sacked", "limit", "lost", "pipe", "sacked")

    def __init__(self, limit: int) -> None:
        self.flights: list[Flight] = []
        self.limit = limit  # most flights that SACKs may cut
        self.pipe = 0
        self.lost = 0
        self.sacked = 0
        self.high_sacked = 0  # end of the highest range that the peer has
        self._lost_edge = 0  # IsLost() was answered for all below this
        self._hint = 0  # no lost flight starts below this

    # -- what we did -----------------------------------------------------------------------------

    def on_sent(self, start: int, end: int, now: float) -> None:
        """New data [start, end) went out."""
        self.flights.append(Flight(start, end, now))
        self.pipe += end - start

    def on_retransmitted(self, flight: Flight, end: int, now: float) -> None:
        """The lost `flight` went out again, up to `end`."""
        assert flight.state == LOST
        if end < flight.end:
            self._split(self._index(flight.start), end)
        self._hint = flight.end
        flight.state = IN_FLIGHT
        flight.retransmitted = True
        flight.sent_at = now
        self.lost -= flight.end - flight.start
        self.pipe += flight.end - flight.start

    def next_lost(self) -> Flight | None:
        """The first flight that is lost and was not sent again since."""
        if not self.lost:
            return None
        flights = self.flights
        index = max(0, self._index(self._hint))
        while flights[index].state != LOST:
            index += 1
        self._hint = flights[index].start
        return flights[index]

    # -- what the peer said ----------------------------------------------------------------------

    def on_ack(self, una: int) -> tuple[int, float]:
        """All below `una` has arrived.

        Returns the bytes that this is news for, and when the last of them went out: -1.0 if no
        part of it was sent just once (Karn's algorithm, RFC 6298 section 3).
        """
        last = self.flights[-1]
        if una >= last.end and len(self.flights) == 1 and last.state == IN_FLIGHT:
            # All of it, as nearly always.
            delivered = self.pipe
            self.clear()
            return delivered, -1.0 if last.retransmitted else last.sent_at
        delivered, sent_at, whole, ambiguous = 0, -1.0, 0, False
        for flight in self.flights:
            if flight.start >= una:
                break
            length = min(una, flight.end) - flight.start
            if flight.state == IN_FLIGHT:
                self.pipe -= length
            elif flight.state == LOST:
                self.lost -= length
            else:
                self.sacked -= length
            if flight.state != SACKED:
                delivered += length
                ambiguous |= flight.retransmitted
                sent_at = max(sent_at, flight.sent_at)
            if flight.end > una:
                flight.start = una
                break
            whole += 1
        del self.flights[:whole]
        # What was sent once may have waited at the peer for what was sent again.
        return delivered, -1.0 if ambiguous else sent_at

    def on_sack(self, blocks: Sequence[tuple[int, int]], una: int, nxt: int) -> tuple[int, float]:
        """The peer has these ranges. Returns the same as `on_ack`."""
        delivered, sent_at = 0, -1.0
        for left, right in blocks[:MAX_SACK_BLOCKS]:
            # A block below SND.UNA is a DSACK (RFC 2883); one beyond SND.NXT is a lie or an echo
            # from an older connection. Neither says anything of what is in flight.
            if not una <= left < right <= nxt or left == una:
                continue
            news, when = self._on_block(left, right)
            delivered += news
            sent_at = max(sent_at, when)
        return delivered, sent_at

    def _on_block(self, left: int, right: int) -> tuple[int, float]:
        flights = self.flights
        first = self._index(left)
        if flights[first].state == SACKED and flights[first].end >= right:
            return 0, -1.0
        if len(flights) + 2 > self.limit and not self._fits(left, right):
            return 0, -1.0  # cut into too many pieces: this block will be told again
        first = self._cut(left)
        after = self._cut(right)
        delivered, sent_at = 0, -1.0
        for flight in flights[first:after]:
            length = flight.end - flight.start
            if flight.state == SACKED:
                continue
            if flight.state == IN_FLIGHT:
                self.pipe -= length
            else:
                self.lost -= length
            flight.state = SACKED
            delivered += length
            if not flight.retransmitted:
                sent_at = max(sent_at, flight.sent_at)
        self.sacked += delivered
        self.high_sacked = max(self.high_sacked, right)
        self._join(first, after)
        return delivered, sent_at

    # -- what we make of it ----------------------------------------------------------------------

    def mark_lost(self, mss: int) -> int:
        """Find what is lost by RFC 6675's IsLost(); returns how many bytes are so by now.

        IsLost() holds for all below a point: where DupThresh ranges, or more than
        (DupThresh - 1) * SMSS bytes, that the peer has lie above.
        """
        flights, ranges, above = self.flights, 0, 0
        for index in range(self._index(self.high_sacked - 1), -1, -1):
            flight = flights[index]
            if flight.state != SACKED:
                continue
            ranges += 1
            above += flight.end - flight.start
            if ranges >= DUP_THRESH or above > (DUP_THRESH - 1) * mss:
                return self._mark_lost_below(flight.start)
        return 0

    def _mark_lost_below(self, edge: int) -> int:
        if edge <= self._lost_edge:
            return 0
        flights, marked = self.flights, 0
        for index in range(max(0, self._index(self._lost_edge)), len(flights)):
            flight = flights[index]
            if flight.start >= edge:
                break
            if flight.state == IN_FLIGHT and not flight.retransmitted:
                marked += self._lose(flight)
        self._lost_edge = edge
        return marked

    def mark_head_lost(self, mss: int) -> int:
        """Without SACK: the segment at `snd.una` is lost (RFC 6582). Returns the bytes marked."""
        if not self.flights:
            return 0
        head = self.flights[0]
        if head.end - head.start > mss:
            self._split(0, head.start + mss)
        return self._lose(head) if head.state == IN_FLIGHT else 0

    def mark_all_lost(self) -> None:
        """After a timeout: whatever the peer does not have is lost."""
        if not self.flights:
            return
        # RFC 2018 section 8, RFC 6675 section 5.1: if the peer claims to have the very first
        # byte and does not acknowledge it, it has reneged; believe no SACK that came before.
        reneged = self.flights[0].state == SACKED
        for flight in self.flights:
            if flight.state == SACKED and reneged:
                self.sacked -= flight.end - flight.start
                self.pipe += flight.end - flight.start
                flight.state = IN_FLIGHT
                flight.retransmitted = True  # when it arrived is not known
            if flight.state == IN_FLIGHT:
                self._lose(flight)
        self._lost_edge = self.flights[-1].end

    def clear(self) -> None:
        """Nothing is in flight any more."""
        self.flights.clear()
        self.pipe = self.lost = self.sacked = 0

    # -- ranges ----------------------------------------------------------------------------------

    def _lose(self, flight: Flight) -> int:
        length = flight.end - flight.start
        flight.state = LOST
        self.pipe -= length
        self.lost += length
        self._hint = min(self._hint, flight.start)
        return length

    def _index(self, seq: int) -> int:
        """The index of the flight that holds `seq`, or of the last before it."""
        return bisect_right(self.flights, seq, key=_start) - 1

    def _fits(self, left: int, right: int) -> bool:
        """[left, right) can be marked without a cut."""
        flights = self.flights
        starts = flights[self._index(left)].start == left
        return starts and flights[self._index(right - 1)].end == right

    def _cut(self, seq: int) -> int:
        """Make a boundary at `seq`; returns the index of the flight that starts there."""
        index = self._index(seq)
        flight = self.flights[index]
        if flight.start == seq:
            return index
        if flight.end > seq:
            self._split(index, seq)
        return index + 1

    def _split(self, index: int, seq: int) -> None:
        flight = self.flights[index]
        assert flight.start < seq < flight.end
        rest = Flight(seq, flight.end, flight.sent_at, flight.state, flight.retransmitted)
        flight.end = seq
        self.flights.insert(index + 1, rest)

    def _join(self, first: int, after: int) -> None:
        """Make one flight of the sacked ones at [first, after) and of their sacked neighbours."""
        flights = self.flights
        if first > 0 and flights[first - 1].state == SACKED:
            first -= 1
        if after < len(flights) and flights[after].state == SACKED:
            after += 1
        if after - first > 1:
            flights[first].end = flights[after - 1].end
            del flights[first + 1 : after]
