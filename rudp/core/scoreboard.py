"""What became of the data in flight: who has it, what is lost, what was sent again.

RFC 2018 and 8985, on ranges of bytes. A `Flight` is a range that was sent at one moment; a SACK
cuts it where it has to, and neighbours that the peer has are joined again. So the cost of an ACK
is per range that it changes, never per segment.

      una                                                         nxt
       | in flight |  lost  | sacked |  lost  |  sacked  | in flight |
       +-----------+--------+--------+--------+----------+-----------+

There are two orders. `_flights` is that of the sequence space; and what is in flight is linked in
the order in which it was sent last, from `oldest` on, which is the order that RACK asks for.

The *pipe* (RFC 6675 section 2) is the sum of what is in flight: a lost range leaves it, and comes
back when it is sent again.

Not here: what makes a loss (`rack`, `recovery`), when to send (`sender`), how much (`congestion`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from heapq import heappop, heappush
from itertools import islice
from operator import attrgetter
from typing import Final

from rudp.core.delivery_rate import Stamp
from rudp.core.flight import IN_FLIGHT, LOST, SACKED, Arrivals, Flight

MAX_SACK_BLOCKS: Final = 4
"""A header holds no more; a peer's ACK never costs more than this many look-ups."""

MAX_RUN: Final = 64
"""Most lost flights that are looked at for one segment that goes out again."""

_start = attrgetter("start")


class Scoreboard:
    """The flights between `snd.una` and `snd.nxt`, in order and without gaps."""

    __slots__ = (
        "_flights", "_gone", "_lost_at", "high_sacked", "limit", "lost", "lost_stamp", "newest",
        "oldest", "pipe", "sacked", "sends",
    )

    def __init__(self, limit: int) -> None:
        self._flights: list[Flight] = []
        self._gone = 0  # so many at its front have arrived; see `_drop`
        self.limit = limit  # most flights that SACKs may cut
        self.pipe = 0
        self.lost = 0
        self.lost_stamp: Stamp | None = None  # of what was marked lost last
        self.sacked = 0
        self.high_sacked = 0  # end of the highest range that the peer has
        self.oldest: Flight | None = None  # of what is in flight, by the last transmission
        self.newest: Flight | None = None
        self.sends = 0  # transmissions so far
        # A heap: where lost flights start, and where some were lost once. To look for the next.
        self._lost_at: list[int] = []

    @property
    def flights(self) -> list[Flight]:
        """What is between `snd.una` and `snd.nxt`, in order: a copy."""
        return self._flights[self._gone :]

    @property
    def first(self) -> Flight | None:
        """The flight at `snd.una`."""
        flights = self._flights
        return flights[self._gone] if flights else None

    @property
    def full(self) -> bool:
        """There are as many flights as SACKs may make of them."""
        return len(self._flights) - self._gone >= self.limit

    # -- what we did -----------------------------------------------------------------------------

    def on_sent(self, start: int, end: int, now: float, stamp: Stamp) -> None:
        """New data [start, end) went out."""
        number = self.sends = self.sends + 1
        flight = Flight(start, end, number, now, stamp)
        self._flights.append(flight)
        self.pipe += end - start
        newest = self.newest
        if newest is None:
            self.oldest = flight
        else:
            flight.older = newest
            newest.newer = flight
        self.newest = flight

    def on_withheld(self, start: int, end: int, now: float, stamp: Stamp) -> Flight:
        """New data [start, end) is passed over: as if it had gone out, and were lost."""
        flight = Flight(start, end, 0, now, stamp)
        flight.state = LOST
        flight.retransmitted = True  # it comes out of order, and measures nothing
        self._flights.append(flight)
        self.lost += end - start
        self._note_lost(start)
        return flight

    def on_retransmitted(self, flight: Flight, end: int, now: float, stamp: Stamp) -> None:
        """The lost `flight` went out again, up to `end`: less of it, or what is lost behind it."""
        assert flight.state == LOST
        if end != flight.end:
            index = self._index(flight.start)
            if end > flight.end:
                self._absorb(index, end)
            else:
                self._split(index, end)
        flight.state = IN_FLIGHT
        self.lost -= flight.end - flight.start
        self.pipe += flight.end - flight.start
        self._sent_again(flight, now, stamp)

    def on_probed(self, flight: Flight, now: float, stamp: Stamp) -> None:
        """`flight`, which nothing is known of, went out once more."""
        self._unlink(flight)
        self._sent_again(flight, now, stamp)

    def _sent_again(self, flight: Flight, now: float, stamp: Stamp) -> None:
        number = self.sends = self.sends + 1
        if not flight.retransmitted:
            flight.first = flight.number
            flight.first_sent_at = flight.sent_at
        flight.retransmitted = True
        flight.number = number
        flight.sent_at = now
        flight.stamp = stamp
        self._link_after(self.newest, flight)

    def next_lost(self) -> Flight | None:
        """The first flight that is lost and was not sent again since."""
        if not self.lost:
            return None
        flights, heap = self._flights, self._lost_at
        una = flights[self._gone].start
        while True:
            start = heap[0]
            if start >= una:
                flight = flights[self._index(start)]
                if flight.start == start and flight.state == LOST:
                    return flight
            heappop(heap)

    def _note_lost(self, start: int) -> None:
        """A lost flight starts there."""
        heappush(self._lost_at, start)
        self._tidy_lost()

    def _tidy_lost(self) -> None:
        """Keep no more places than belong to the flights that there are now."""
        if len(self._lost_at) > 2 * len(self._flights) + MAX_RUN:
            self._lost_at = [each.start for each in self.flights if each.state == LOST]

    def lost_run(self, flight: Flight, limit: int) -> int:
        """Where the lost data ends that begins with `flight`; no further than `limit` bytes on."""
        end = flight.end
        if end - flight.start >= limit:
            return flight.start + limit
        flights = self._flights
        index = self._index(flight.start) + 1
        stop = min(len(flights), index + MAX_RUN)
        while index < stop and flights[index].state == LOST:
            end = flights[index].end
            if end - flight.start >= limit:
                return flight.start + limit
            index += 1
        return end

    def last_segment(self, limit: int, mss: int) -> Flight | None:
        """The last segment in flight, as a flight of its own: small ones are joined to a full one.

        Data ends at `limit`; what is beyond is a FIN. None if the last flight is not in flight.
        """
        flights = self._flights
        last = flights[-1]
        if last.state != IN_FLIGHT:
            return None
        start = last.start + max(min(last.end, limit) - last.start - 1, 0) // mss * mss
        if start > last.start:
            self._split(len(flights) - 1, start)
            return flights[-1]
        end = min(last.end, limit)
        while len(flights) > self._gone + 1 and flights[-2].state == IN_FLIGHT:
            before = flights[-2]
            start = before.start + (before.end - before.start - 1) // mss * mss
            if end - start > mss:
                break
            if start > before.start:
                self._split(len(flights) - 2, start)
                before = flights[-2]
            last.start = start
            last.absorb(before)
            self._unlink(before)
            del flights[-2]
        return last

    # -- what the peer said ----------------------------------------------------------------------

    def on_ack(self, una: int, news: Arrivals) -> None:
        """All below `una` has arrived."""
        gone = self._gone
        for flight in islice(self._flights, gone, None):
            if flight.start >= una:
                break
            length = min(una, flight.end) - flight.start
            if flight.state == SACKED:
                self.sacked -= length
            else:
                news.again |= flight.retransmitted
                self._arrived(flight, length, news)
            if flight.end > una:
                flight.start = una
                if flight.state == LOST:
                    self._note_lost(una)
                break
            if flight.state == IN_FLIGHT:
                self._unlink(flight)
            gone += 1
        self._drop(gone)
        self._tidy_lost()
        if news.again:
            news.sampled_at = -1.0  # the rest may have waited at the peer for what was sent again

    def on_ack_in_order(self, una: int) -> Flight:
        """As `on_ack`, where all was sent once and nothing was SACKed.

        Returns the newest flight of which something has arrived.
        """
        flights = self._flights
        gone = self._gone
        flight = flights[gone]
        self.pipe -= una - flight.start
        if una >= flights[-1].end:
            flight = flights[-1]
            self.clear()
            return flight
        while flight.end <= una:
            arrived = flight
            gone += 1
            flight = flights[gone]
            arrived.newer = flight.older = None
        self.oldest = flight
        self._drop(gone)
        if flight.start < una:
            flight.start = una
            return flight
        return arrived

    def on_sack(
        self, blocks: Sequence[tuple[int, int]], una: int, nxt: int, news: Arrivals
    ) -> None:
        """The peer has these ranges."""
        for left, right in blocks[:MAX_SACK_BLOCKS]:
            # A block below SND.UNA is a DSACK (RFC 2883); one beyond SND.NXT is a lie or an echo
            # from an older connection. Neither says anything of what is in flight.
            if una < left < right <= nxt:
                self._on_block(left, right, news)

    def _on_block(self, left: int, right: int, news: Arrivals) -> None:
        flights = self._flights
        first = self._index(left)
        if flights[first].state == SACKED and flights[first].end >= right:
            return
        if len(flights) - self._gone + 2 > self.limit and not self._fits(left, right):
            return  # cut into too many pieces: this block will be told again
        first = self._cut(left)
        after = self._cut(right)
        for flight in flights[first:after]:
            if flight.state == SACKED:
                continue
            length = flight.end - flight.start
            self._arrived(flight, length, news)
            if flight.state == IN_FLIGHT:
                self._unlink(flight)
            flight.state = SACKED
            self.sacked += length
        self.high_sacked = max(self.high_sacked, right)
        self._join(first, after)

    def _arrived(self, flight: Flight, length: int, news: Arrivals) -> None:
        """The first `length` bytes of `flight` are out of the network."""
        if flight.state == IN_FLIGHT:
            self.pipe -= length
        else:
            self.lost -= length
        news.size += length
        sent_at, number = flight.sent_at, flight.number
        if number >= news.stamped:
            news.stamped = number
            news.stamp = flight.stamp
        if flight.retransmitted:
            if sent_at > news.trusted:
                # It may have been any of them, but none was earlier than the first.
                sent_at, number = flight.first_sent_at, flight.first
        else:
            if flight.start < news.lowest_once:
                news.lowest_once = flight.start
            if sent_at > news.sampled_at:
                news.sampled_at = sent_at
        if number >= news.newest:
            end = flight.start + length
            if number > news.newest or end > news.newest_end:
                news.newest_end = end
            news.newest = number
            news.newest_at = sent_at

    # -- what we make of it ----------------------------------------------------------------------

    def lose(self, flight: Flight) -> int:
        """`flight`, which was in flight, is lost. Returns its bytes."""
        length = flight.end - flight.start
        flight.state = LOST
        self.lost_stamp = flight.stamp
        self._unlink(flight)
        self.pipe -= length
        self.lost += length
        self._note_lost(flight.start)
        return length

    def mark_head_lost(self, mss: int) -> int:
        """The segment at `snd.una` is lost (RFC 6582). Returns the bytes marked."""
        head = self.first
        if head is None or head.state != IN_FLIGHT:
            return 0
        if head.end - head.start > mss:
            self._split(self._gone, head.start + mss)
        return self.lose(head)

    def mark_all_lost(self) -> int:
        """Whatever the peer does not have is lost. Returns the bytes marked."""
        head = self.first
        if head is None:
            return 0
        # RFC 2018 section 8, RFC 6675 section 5.1: if the peer claims to have the very first
        # byte and does not acknowledge it, it has reneged; believe no SACK that came before.
        if head.state == SACKED:
            self._disbelieve()
        marked = 0
        flight = self.oldest
        while flight is not None:
            newer = flight.newer
            marked += self.lose(flight)
            flight = newer
        return marked

    def _disbelieve(self) -> None:
        """What was SACKed is in flight; when it arrived is not known."""
        for flight in self.flights:
            if flight.state == SACKED:
                self.sacked -= flight.end - flight.start
                self.pipe += flight.end - flight.start
                flight.state = IN_FLIGHT
                flight.retransmitted = True
                flight.first, flight.first_sent_at = flight.number, flight.sent_at
                self._link_after(None, flight)

    def revive(self) -> None:
        """Nothing was lost after all: what was not sent again yet is in flight as before."""
        if not self.lost:
            return
        in_flight: list[Flight] = []
        for flight in self.flights:
            if flight.state == LOST:
                self.lost -= flight.end - flight.start
                self.pipe += flight.end - flight.start
                flight.state = IN_FLIGHT
            if flight.state == IN_FLIGHT:
                in_flight.append(flight)
        self._lost_at.clear()
        in_flight.sort(key=lambda flight: (flight.number, flight.end))
        self.oldest = self.newest = None
        last: Flight | None = None
        for flight in in_flight:
            flight.newer = None
            self._link_after(last, flight)
            last = flight

    def clear(self) -> None:
        """Nothing is in flight any more."""
        flights = self._flights
        if len(flights) > 1:
            for flight in islice(flights, self._gone, None):
                flight.older = flight.newer = None  # leave the garbage collector no cycles
        flights.clear()
        self._gone = 0
        self._lost_at.clear()
        self.oldest = self.newest = None
        self.pipe = self.lost = self.sacked = 0

    # -- the order of transmission ---------------------------------------------------------------

    def _link_after(self, older: Flight | None, flight: Flight) -> None:
        """`flight` was sent right after `older`, or before all that there is."""
        newer = self.oldest if older is None else older.newer
        flight.older = older
        flight.newer = newer
        if older is None:
            self.oldest = flight
        else:
            older.newer = flight
        if newer is None:
            self.newest = flight
        else:
            newer.older = flight

    def _unlink(self, flight: Flight) -> None:
        older, newer = flight.older, flight.newer
        if older is not None:
            older.newer = newer
        elif self.oldest is flight:
            self.oldest = newer
        if newer is not None:
            newer.older = older
        elif self.newest is flight:
            self.newest = older
        flight.older = flight.newer = None

    # -- ranges ----------------------------------------------------------------------------------

    def _index(self, seq: int) -> int:
        """The index of the flight that holds `seq`, or of the last before it."""
        return bisect_right(self._flights, seq, self._gone, key=_start) - 1

    def _drop(self, gone: int) -> None:
        """The first `gone` of the list have arrived.

        They leave it when they make up an eighth of it: it moves all the others.
        """
        if gone * 8 >= len(self._flights):
            del self._flights[:gone]
            gone = 0
        self._gone = gone

    def _remove(self, first: int, after: int) -> None:
        """Take [first, after) out of the list; what moves is the shorter side of it."""
        flights, gone = self._flights, self._gone
        if first - gone < len(flights) - after:
            flights[gone + after - first : after] = flights[gone:first]
            self._drop(gone + after - first)
        else:
            del flights[first:after]
        self._tidy_lost()

    def _fits(self, left: int, right: int) -> bool:
        """[left, right) can be marked without a cut."""
        flights = self._flights
        starts = flights[self._index(left)].start == left
        return starts and flights[self._index(right - 1)].end == right

    def _cut(self, seq: int) -> int:
        """Make a boundary at `seq`; returns the index of the flight that starts there."""
        index = self._index(seq)
        flight = self._flights[index]
        if flight.start == seq:
            return index
        if flight.end > seq:
            self._split(index, seq)
        return index + 1

    def _split(self, index: int, seq: int) -> None:
        flight = self._flights[index]
        assert flight.start < seq < flight.end
        rest = Flight(seq, flight.end, flight.number, flight.sent_at, flight.stamp)
        rest.state = flight.state
        rest.retransmitted = flight.retransmitted
        rest.first = flight.first
        rest.first_sent_at = flight.first_sent_at
        flight.end = seq
        self._flights.insert(index + 1, rest)
        if flight.state == IN_FLIGHT:
            self._link_after(flight, rest)
        elif flight.state == LOST:
            self._note_lost(seq)

    def _absorb(self, index: int, end: int) -> None:
        """Let the lost flight at `index` go on up to `end`, in place of those behind it."""
        flights = self._flights
        after = self._cut(end) if end < flights[-1].end else len(flights)
        for flight in flights[index + 1 : after]:
            assert flight.state == LOST
            flights[index].absorb(flight)
        flights[index].end = end
        self._remove(index + 1, after)

    def _join(self, first: int, after: int) -> None:
        """Make one flight of the sacked ones at [first, after) and of their sacked neighbours."""
        flights = self._flights
        if first > self._gone and flights[first - 1].state == SACKED:
            first -= 1
        if after < len(flights) and flights[after].state == SACKED:
            after += 1
        if after - first > 1:
            flights[first].end = flights[after - 1].end
            self._remove(first + 1, after)
