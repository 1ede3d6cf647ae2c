"""A sender against a peer that notes every byte, over a path that loses and reorders.

Safety at every step: what is sent is what was written, nothing new goes beyond the window or cwnd,
the books are true, and a timer runs whenever one is needed. Then the path is healed, and everything
has to arrive within a bounded number of steps.
"""

from __future__ import annotations

import math
from random import Random

import pytest

from rudp.core.recovery import Recovery
from rudp.core.sender import Sender
from tests.core.sending import FIRST, MSS, ack, established, stream

TOTAL = 60_000


class Peer:
    """Takes segments in any order; acknowledges, with SACK or without."""

    def __init__(self, random: Random, sack: bool) -> None:
        self.random = random
        self.sack = sack
        self.came: set[int] = set()
        self.shrinks = random.random() < 0.3  # RFC 9293 section 3.8.6: the sender must bear it
        self.nxt = 0
        self.edge = 12_000
        self.window = 12_000

    def take(self, start: int, data: bytes, fin: bool) -> None:
        assert data == stream(start, start + len(data))
        end = start + len(data) + fin
        if start <= self.nxt:
            self.nxt = max(self.nxt, min(end, self.edge))
        else:
            self.came |= set(range(start, min(end, self.edge)))
        if self.came and min(self.came) <= self.nxt:
            while self.nxt in self.came:
                self.nxt += 1
            self.came = {at for at in self.came if at > self.nxt}

    def blocks(self) -> list[tuple[int, int]]:
        if not self.sack or not self.came:
            return []
        found: list[tuple[int, int]] = []
        for at in sorted(self.came):
            if found and found[-1][1] == at:
                found[-1] = (found[-1][0], at + 1)
            else:
                found.append((at, at + 1))
        self.random.shuffle(found)
        return found[:3]


class Run:
    """One connection's life. Segments and ACKs on their way may overtake each other."""

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        sack = random.random() < 0.6
        self.snd: Sender = established(
            12_000, sack=sack, nodelay=random.random() < 0.5, send_buffer=40_000
        )
        self.peer = Peer(random, sack)
        self.now = 0.0
        self.segments: list[tuple[int, bytes, bool]] = []
        self.acks: list[tuple[int, list[tuple[int, int]], int]] = []
        self.written = 0
        self.loss = random.choice([0.0, 0.1, 0.4])
        self.healed = False
        self.edges = 12_000  # the furthest right edge that the sender has heard of

    def write(self) -> None:
        size = min(self.random.choice([1, 70, 1000, 9000]), TOTAL - self.written)
        if size:
            self.snd.buffer.append(stream(self.written, self.written + size))
            self.written += size
        else:
            self.snd.fin_queued = True

    def pump(self) -> None:
        snd = self.snd
        while True:
            before = snd.nxt
            probe, tail = snd.persist_deadline < math.inf, snd.loss.probe.end
            transmission = snd.next_transmission(self.now, False)
            if transmission is None:
                break
            seq, data, flags = transmission
            fin = bool(flags & 1)
            end = seq + len(data) + fin
            assert end > seq
            assert snd.una <= seq <= before
            if seq == before:  # new data
                beyond = end - FIRST - self.edges
                assert beyond <= 0 or (probe and end - seq == 1)
                assert snd.flight_size <= 40_000 + 1
                if snd.loss.sack and not probe and snd.loss.probe.end == tail:
                    assert snd.board.pipe <= max(snd.cc.cwnd, MSS) + 1
            else:
                assert end <= before
            if self.random.random() >= self.loss or self.healed:
                for at in range(0, len(data), MSS):  # each wire segment for itself
                    piece = bytes(data[at : at + MSS])
                    last = fin and at + MSS >= len(data)
                    self.segments.append((seq - FIRST + at, piece, last))
                if not data:
                    self.segments.append((seq - FIRST, b"", True))
        self.check()

    def check(self) -> None:
        snd = self.snd
        flights = snd.board.flights
        assert sum(f.end - f.start for f in flights) == snd.flight_size
        assert snd.board.pipe + snd.board.lost + snd.board.sacked == snd.flight_size
        if snd.flight_size or snd.unsent or (snd.fin_queued and not snd.fin_acked):
            assert snd.next_deadline() < math.inf
            assert math.isinf(snd.rto_deadline) != math.isinf(snd.persist_deadline)
        else:
            assert snd.next_deadline() == math.inf
        if snd.loss.state is not Recovery.OPEN:
            assert snd.una < snd.loss.point <= snd.nxt

    def deliver(self) -> None:
        """A segment on its way arrives, mostly the oldest; the peer answers."""
        if not self.segments:
            return
        late = self.random.random() < 0.2 and not self.healed
        which = self.random.randrange(len(self.segments)) if late else 0
        self.peer.take(*self.segments.pop(which))
        self.answer()

    def answer(self) -> None:
        peer = self.peer
        if not self.healed and self.random.random() < 0.05:
            peer.window = self.random.choice([0, 0, 300, 5000, 12_000])
        edge = peer.nxt + peer.window
        peer.edge = edge if peer.shrinks else max(peer.edge, edge)
        self.acks.append((peer.nxt, peer.blocks(), max(0, peer.edge - peer.nxt)))

    def hear(self) -> None:
        if not self.acks:
            return
        late = self.random.random() < 0.1 and not self.healed
        which = self.random.randrange(len(self.acks)) if late else 0
        number, blocks, wnd = self.acks.pop(which)
        if self.random.random() < self.loss and not self.healed:
            return
        self.edges = max(self.edges, number + wnd)
        if FIRST + number >= self.snd.una:
            ack(self.snd, number, self.now, *blocks, wnd=wnd)

    def step(self) -> None:
        self.now += 0.01
        what = self.random.random()
        if what < 0.1:
            self.write()
        elif what < 0.5:
            self.deliver()
        elif what < 0.9:
            self.hear()
        elif self.snd.next_deadline() < math.inf and self.random.random() < 0.3:
            self.clock()
        self.pump()

    def clock(self) -> None:
        """Time passes until the sender's next deadline."""
        snd = self.snd
        if snd.next_deadline() == math.inf:
            return
        self.now = max(self.now, snd.next_deadline())
        snd.on_loss_timer(self.now)
        if snd.rto_deadline <= self.now:
            snd.on_rto(self.now)
        if snd.persist_deadline <= self.now:
            snd.on_persist(self.now)
        if snd.give_up_deadline <= self.now:
            snd.give_up_deadline = math.inf  # this test does not give up

    def finish(self) -> int:
        """The path is healed and the window opens; returns how many timers had to help."""
        self.healed = True
        timers = 0
        while self.written < TOTAL:
            self.write()
        self.snd.fin_queued = True
        self.peer.window = 12_000
        self.answer()
        for _ in range(3000):
            self.pump()
            if self.snd.fin_acked:
                return timers
            if self.segments or self.acks:
                self.now += 0.001
                self.deliver()
                self.hear()
            else:
                timers += 1
                self.clock()
        raise AssertionError(f"no end: {self.peer.nxt} of {TOTAL + 1} bytes arrived")


@pytest.mark.parametrize("batch", range(8))
def test_everything_arrives_once_the_path_is_healed(batch: int) -> None:
    for seed in range(batch * 10, batch * 10 + 10):
        run = Run(seed)
        for _ in range(400):
            run.step()
        timers = run.finish()
        assert run.peer.nxt == TOTAL + 1, seed
        # What was lost before may need a timeout or two; a path without loss needs none.
        assert timers <= 3, seed
        assert run.snd.next_deadline() == math.inf
