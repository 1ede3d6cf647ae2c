"""Row 14: a receiver that acknowledges so as to be sent more than is its share (Savage and others,
1999): in small steps, again and again, or before anything has arrived. In virtual time.
"""

from __future__ import annotations

import errno
import heapq
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from rudp.core import codec
from rudp.core.config import Config
from rudp.core.congestion import ALGORITHMS
from rudp.core.connection import Connection, open_passive
from rudp.core.invariants import check
from rudp.core.segment import ACK, RST, SYN, Segment
from rudp.core.state import CLOSED, ESTABLISHED

ISS = 2**32 - 70_000
FIRST = ISS + 1
MSS = 1000
ROUND_TRIP = 0.1
RATE = 2e6
"""Bytes per second of the bottleneck, which has a queue without end."""


class Download:
    """A server that always has more to send, and a client that is `ROUND_TRIP` away."""

    def __init__(
        self, *, sack: bool = True, opening: float = ROUND_TRIP, rtt: float = ROUND_TRIP, **kw: Any
    ) -> None:
        self.now = 50.0
        self.rtt = rtt
        config = Config(receive_autotuning=False, **kw)
        syn = Segment(1, 2, 77, 0, SYN, 65535, mss=MSS + 12, window_scale=9, sack_permitted=sack)
        syn.ts_val = 1
        self.c: Connection = open_passive(config, iss=ISS, syn=syn, now=self.now, mss=MSS + 12)
        self.c.segments_to_send(self.now)
        self.busy_until = 0.0
        self.pumps = 0
        self.heap: list[tuple[float, int, Callable[[], None]]] = []
        self.booked = 0
        self.sent: list[tuple[float, int, int]] = []
        self.arrived: list[tuple[int, int]] = []  # apart and in order
        self.now += opening
        self.acknowledge(0)
        self.c.snd.rtt.min_rtt = min(self.c.snd.rtt.min_rtt, opening)
        self.ack: Callable[[int, int], None] = self.honest
        self.ack_early: Callable[[int, int], None] = lambda start, end: None
        self.pump()

    def at(self, moment: float, act: Callable[[], None]) -> None:
        self.booked += 1
        heapq.heappush(self.heap, (moment, self.booked, act))

    def pump(self) -> None:
        if self.c.state is CLOSED:
            return
        while self.c.unsent < 1 << 18:
            self.c.write(b"d" * (1 << 16))
        for segment in self.c.segments_to_send(self.now):
            for header, payload in codec.split(segment, self.c.send_mss):
                if payload:
                    wire = codec.decode(bytes(header) + bytes(payload))
                    start = (wire.seq - FIRST) % 2**32
                    self.carry(start, start + len(payload))
        self.pumps += 1
        if self.pumps % 8 == 0:
            check(self.c)
        self.c.events.clear()

    def carry(self, start: int, end: int) -> None:
        self.sent.append((self.now, start, end))
        self.busy_until = max(self.busy_until, self.now) + (end - start) / RATE
        self.at(self.busy_until + self.rtt / 2, lambda: self.arrive(start, end))
        self.ack_early(start, end)

    def arrive(self, start: int, end: int) -> None:
        merged: list[tuple[int, int]] = []
        for left, right in sorted([*self.arrived, (start, end)]):
            if merged and left <= merged[-1][1]:
                merged[-1] = merged[-1][0], max(right, merged[-1][1])
            else:
                merged.append((left, right))
        self.arrived = merged
        self.ack(start, end)

    @property
    def nxt(self) -> int:
        """RCV.NXT of the client."""
        return self.arrived[0][1] if self.arrived and self.arrived[0][0] == 0 else 0

    def honest(self, start: int, end: int) -> None:
        """Every segment at once."""
        nxt, blocks = self.nxt, tuple(each for each in self.arrived if each[0] > self.nxt)[:3]
        self.at(self.now + self.rtt / 2, lambda: self.acknowledge(nxt, blocks))

    def acknowledge(self, offset: int, blocks: tuple[tuple[int, int], ...] = ()) -> None:
        if self.c.state is CLOSED:
            return
        seg = Segment(1, 2, 78, (FIRST + offset) % 2**32, ACK, 65535, b"", ts_val=1)
        seg.sack_blocks = tuple((FIRST + a, FIRST + b) for a, b in blocks) if self.c.sack else ()
        timestamps = self.c.timestamps
        assert timestamps is not None
        seg.ts_ecr = timestamps.clock(self.now - self.rtt)
        self.c.receive(seg, self.now)

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self.c.state is not CLOSED:
            moment = self.heap[0][0] if self.heap else until
            deadline = self.c.next_deadline()
            if min(moment, deadline) >= until:
                break
            if moment <= deadline:
                self.now = moment
                while self.heap and self.heap[0][0] <= moment:
                    heapq.heappop(self.heap)[2]()
            else:
                self.now = max(self.now, deadline)
                self.c.handle_timeout(self.now)
            self.pump()
        self.now = until

    @property
    def cwnd(self) -> int:
        return self.c.snd.cc.cwnd


def division(d: Download) -> Callable[[int, int], None]:
    """Each segment is acknowledged by a hundred ACKs."""

    def ack(start: int, end: int) -> None:
        nxt = d.nxt
        for part in range(100):
            moment = d.now + d.rtt / 2 + part * 1e-7
            at = max(0, nxt - 990 + part * 10)
            d.at(moment, lambda at=at: d.acknowledge(at))

    return ack


def duplicates(d: Download) -> Callable[[int, int], None]:
    """Each ACK comes twenty times, before and after."""

    def ack(start: int, end: int) -> None:
        nxt = d.nxt
        for turn in range(20):
            d.at(d.now + d.rtt / 2 + turn * 1e-7, lambda: d.acknowledge(nxt))

    return ack


def dsacks(d: Download) -> Callable[[int, int], None]:
    """Each ACK says, again and again, that something came twice."""

    def ack(start: int, end: int) -> None:
        nxt = d.nxt
        for turn in range(20):
            told = ((max(0, start - 50 * turn), end),)
            d.at(d.now + d.rtt / 2 + turn * 1e-7, lambda told=told: d.acknowledge(nxt, told))

    return ack


@pytest.mark.parametrize("sack", [True, False], ids=["sack", "no sack"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("lies", [division, duplicates, dsacks])
def test_threat_14_small_and_repeated_acks_gain_no_more_than_two_segments(
    algorithm: str, lies: Callable[[Download], Callable[[int, int], None]], sack: bool
) -> None:
    honest = Download(congestion=algorithm, sack=sack)
    liar = Download(congestion=algorithm, sack=sack)
    liar.ack = lies(liar)
    for _ in range(4):
        honest.run(ROUND_TRIP)
        liar.run(ROUND_TRIP)
        assert liar.cwnd <= honest.cwnd + 2 * MSS
    assert liar.c.state is ESTABLISHED


@pytest.mark.parametrize("sack", [True, False], ids=["sack", "no sack"])
def test_threat_14_an_ack_of_what_is_not_sent_yet_gains_nothing(sack: bool) -> None:
    d = Download(sack=sack)
    before = d.cwnd, d.c.snd.una, d.c.snd.nxt
    for beyond in (1, MSS, 1 << 20):
        d.acknowledge(d.c.snd.nxt - FIRST + beyond)
    assert (d.cwnd, d.c.snd.una, d.c.snd.nxt) == before


# The skip test.


@pytest.mark.parametrize("algorithm", ["bbr", "cubic", "reno"])
def test_threat_14_who_acknowledges_what_has_not_arrived_is_found_out_in_ten_round_trips(
    algorithm: str,
) -> None:
    d = Download(congestion=algorithm)
    d.ack = lambda start, end: None
    # It foresees what we send, and acknowledges that as if it were next door.
    d.ack_early = lambda start, end: d.at(d.now + 0.01, lambda: d.acknowledge(end))
    for start, end in [(s, e) for _, s, e in d.sent]:
        d.ack_early(start, end)
    d.run(10 * ROUND_TRIP)
    assert d.c.state is CLOSED
    assert isinstance(d.c.error, ConnectionAbortedError)
    assert d.c.error.errno == errno.ECONNABORTED
    assert "acknowledged what was never sent" in str(d.c.error)
    (reset,) = (each for each in d.c.segments_to_send(d.now) if each.flags & RST)
    assert bytes(reset.data) == b"the peer acknowledged what was never sent"


def test_threat_14_a_sack_of_what_was_withheld_gives_a_liar_away_too() -> None:
    d = withholding()
    start = d.c.snd._withheld.start - FIRST  # type: ignore[union-attr]
    d.acknowledge(d.c.snd.una - FIRST, ((start - 10, start + 1),))
    assert d.c.state is CLOSED


def withholding() -> Download:
    """A download just after a segment was withheld: the handshake took almost a second, as if by
    radio, and round trips take a ninth of that. One of a second would not have been measured."""
    return withheld_soon(Download(opening=0.9))


def withheld_soon(d: Download) -> Download:
    """Suspected, and not just because somebody is tested now and then."""
    until = d.now + 10 * ROUND_TRIP
    while d.c.snd._withheld is None:
        assert d.now < until
        d.run(0.002)
    return d


def test_threat_14_an_honest_peer_gets_what_was_withheld_and_is_not_suspected_again() -> None:
    d = withholding()
    cwnd, withheld = d.cwnd, d.c.snd._withheld
    assert withheld is not None
    start = withheld.start - FIRST
    began = d.now
    d.run(4 * ROUND_TRIP)
    moments = [moment for moment, left, _ in d.sent if left == start]
    assert len(moments) == 1
    assert began < moments[0] <= began + 3 * ROUND_TRIP  # the queue has its part
    assert d.c.snd._withheld is None
    assert d.cwnd >= 0.9 * cwnd
    assert d.c.snd.loss.timeouts == d.c.snd.total_retransmissions - 1 == 0
    assert d.c.snd.loss.rack.reorderings == 0
    d.run(8 * ROUND_TRIP)
    assert d.c.state is ESTABLISHED
    # The order of what went out tells what was withheld: it was once.
    late = [left for (_, _, end), (_, left, _) in pairwise(d.sent) if left < end]
    assert late == [start]
    assert d.c.snd.loss.calm  # and ACKs are as cheap as before


def test_threat_14_an_honest_peer_is_tested_rarely() -> None:
    d = Download()
    d.run(15 * ROUND_TRIP)
    assert len(d.sent) > 300
    assert [start for _, start, _ in d.sent] == sorted(start for _, start, _ in d.sent)


def test_threat_14_what_is_withheld_goes_out_at_last_when_no_sack_comes() -> None:
    d = withholding()
    withheld = d.c.snd._withheld
    assert withheld is not None
    start = withheld.start - FIRST
    d.ack = lambda _start, _end: d.at(d.now + d.rtt / 2, lambda: d.acknowledge(min(d.nxt, start)))
    d.run(3.0)
    assert start in [left for _, left, _ in d.sent]
    assert d.c.state is ESTABLISHED


def test_threat_14_where_a_peer_is_tested_follows_from_our_clock() -> None:
    places = set()
    for offset in range(5):
        d = withheld_soon(Download(opening=0.9 + offset * 1e-6))
        assert d.c.snd._withheld is not None
        places.add(d.c.snd._withheld.start)
    assert len(places) > 1
