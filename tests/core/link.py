"""One bottleneck in virtual time, and flows that share it: congestion control without a sender.

A link has a rate, a base round-trip time, a queue that drops at its tail, and seeded random loss.
A flow sends segments as its algorithm allows, paced by a timer that ticks by the millisecond, in
bursts that share one stamp, as super-segments do. The receiver acknowledges whatever has come in
since its last tick, selectively. Loss is known as soon as something sent later is acknowledged
(the link does not reorder), and everything lost is sent again.

Sizes are bytes of payload; headers are not counted.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable

from rudp.core.congestion import AckSample, CongestionControl
from rudp.core.delivery_rate import DeliveryRate, Stamp

MSS = 1448
MBIT = 125_000.0
"""Bytes per second."""
MAX_BURST = 65_160 // MSS * MSS


class Link:
    """The bottleneck. `queue` is in bytes; `rate`, `loss` and `rtt` may change on the way."""

    def __init__(
        self, rate: float, rtt: float, queue: float = math.inf, loss: float = 0.0, seed: int = 1
    ) -> None:
        self.rate = rate
        self.rtt = rtt
        self.queue = queue
        self.loss = loss
        self.dropped = 0  # at the tail
        self._random = random.Random(seed)
        self._busy_until = 0.0

    def transmit(self, size: int, now: float) -> float | None:
        """When it arrives at the receiver; None: never."""
        if self.loss and self._random.random() < self.loss:
            return None
        start = max(self._busy_until, now)
        if (start - now) * self.rate + size > self.queue:
            self.dropped += 1
            return None
        self._busy_until = start + size / self.rate
        return self._busy_until + self.rtt / 2


class Policer(Link):
    """Passes `rate`, and bursts of `burst` bytes, without any queue; drops the rest."""

    def __init__(self, rate: float, rtt: float, burst: float) -> None:
        super().__init__(rate, rtt)
        self._burst = self._tokens = burst
        self._refilled = 0.0

    def transmit(self, size: int, now: float) -> float | None:
        gained = (now - self._refilled) * self.rate
        self._tokens = min(self._burst, self._tokens + gained)
        self._refilled = now
        if self._tokens < size:
            self.dropped += 1
            return None
        self._tokens -= size
        return now + self.rtt / 2


class Packet:
    """A segment on its way, in its `n`th place of all transmissions; `data` says which bytes."""

    __slots__ = ("acked_at", "data", "n", "stamp")

    def __init__(self, n: int, data: int, stamp: Stamp, acked_at: float) -> None:
        self.n = n
        self.data = data
        self.stamp = stamp
        self.acked_at = acked_at


class Flow:
    """A sender that has data without end, or what `write` gives it, and its receiver."""

    def __init__(
        self,
        cc: CongestionControl,
        start: float = 0.0,
        *,
        bulk: bool = True,
        tick: float = 0.001,
        ack_tick: float = 0.001,
    ) -> None:
        self.cc = cc
        self.start = start
        self.unsent = 1 << 60 if bulk else 0
        self.tick = tick
        self.ack_tick = ack_tick
        self.rate = DeliveryRate()
        self.sample = AckSample()
        self._lost_stamp = Stamp(0.0, 0, 0.0, 0.0, False, 0, 0)  # of what was lost last
        self.in_flight = 0
        self.srtt = 0.0
        self.min_rtt = math.inf
        self.losses = 0  # episodes
        self.timeouts = 0
        self.history: list[tuple[float, int, float]] = []  # time, delivered, RTT
        self._out: deque[Packet] = deque()  # in flight, in the order they were sent
        self._acks: deque[Packet] = deque()  # those that will arrive
        self._lost: list[int] = []  # data to send again: a heap
        self._arrived: set[int] = set()
        self._una = 0
        self._nxt = 0
        self._n = itertools.count()
        self._recovery_point = -1
        self._timed_out = False  # and heard nothing since
        self._limited_until = -1  # delivered: the end of the round trip in which cwnd was used up
        self._next_send = 0.0
        self._idle_since = -math.inf
        self._heard_at = 0.0

    # -- sending ---------------------------------------------------------------------------------

    def write(self, size: int) -> None:
        self._mark_app_limited()
        self.unsent += size

    def send(self, link: Link, now: float) -> float:
        """Send what may be sent; returns when to try again (infinite: upon the next ACK)."""
        cc = self.cc
        while True:
            if not self._lost and self.unsent < 1:
                return math.inf
            if self.in_flight + MSS > cc.cwnd and self.in_flight:
                self._limited_until = self.rate.delivered + self.in_flight
                return math.inf
            if self._next_send > now + 1e-9:
                return math.ceil(self._next_send / self.tick - 1e-6) * self.tick
            self._send_burst(link, now)

    def _send_burst(self, link: Link, now: float) -> None:
        cc = self.cc
        if not self.in_flight and not self._lost:
            cc.on_restart(now - self._idle_since, max(0.2, 2 * self.srtt), now)
        # What a late timer missed is made good, but no more than two ticks of it.
        self._next_send = max(self._next_send, now - 2 * self.tick)
        quantum = min(max(cc.pacing_rate * 0.001, 2 * MSS), MAX_BURST)
        room = min(max(cc.cwnd - self.in_flight, MSS), quantum)
        count = int(min(max(room // MSS, 1), len(self._lost) - (-self.unsent // MSS)))
        stamp = self.rate.on_sent(self.in_flight, count * MSS, now)
        for _ in range(count):
            self._send_one(link, stamp, now)
        self.in_flight += count * MSS
        self._next_send += count * MSS / cc.pacing_rate
        cc.on_sent(count * MSS, self.in_flight, now)

    def _send_one(self, link: Link, stamp: Stamp, now: float) -> None:
        if self._lost:
            data = heapq.heappop(self._lost)
        else:
            data, self._nxt = self._nxt, self._nxt + 1
            self.unsent -= MSS
        arrival = link.transmit(MSS, now)
        packet = Packet(next(self._n), data, stamp, math.inf)
        self._out.append(packet)
        if arrival is not None:
            if self.ack_tick:
                arrival = math.ceil(arrival / self.ack_tick - 1e-6) * self.ack_tick
            packet.acked_at = arrival + link.rtt / 2
            self._acks.append(packet)

    # -- receiving -------------------------------------------------------------------------------

    @property
    def next_ack(self) -> float:
        return self._acks[0].acked_at if self._acks else math.inf

    @property
    def next_timeout(self) -> float:
        if not self.in_flight and not self._lost:
            return math.inf
        return self._heard_at + max(0.2, 2 * self.srtt) if self.srtt else self._heard_at + 1.0

    def acknowledge(self, now: float) -> None:
        """All ACKs that arrive now, as one."""
        self._mark_app_limited()
        cc, sample, acks = self.cc, self.sample, self._acks
        prior, acked, newest = self.in_flight, 0, acks[0]
        una = self._una
        while acks and acks[0].acked_at <= now + 1e-9:
            newest = acks.popleft()
            acked += MSS
            self._arrived.add(newest.data)
        lost = self._lose_before(newest)
        while self._una in self._arrived:
            self._arrived.discard(self._una)
            self._una += 1
        self.in_flight -= acked + lost
        self._heard_at = now
        self._timed_out = False
        rtt = now - newest.stamp.sent_at
        self.srtt = rtt if not self.srtt else self.srtt + (rtt - self.srtt) / 8
        self.min_rtt = min(self.min_rtt, rtt)
        sample.now = now
        sample.acked = acked
        sample.progress = self._una > una
        sample.newly_lost = lost
        sample.prior_in_flight = prior
        sample.in_flight = self.in_flight
        sample.rtt = rtt
        sample.srtt = self.srtt
        sample.min_rtt = self.min_rtt
        sample.cwnd_limited = self.rate.delivered < self._limited_until
        self.rate.on_lost(lost)
        if lost:
            self.rate.tell_lost(self._lost_stamp, sample)
        self.rate.on_delivered(acked, newest.stamp, now, sample)
        if self._recovery_point >= 0 and self._una >= self._recovery_point:
            self._recovery_point = -1
            cc.on_recovered(now)
        if lost and self._recovery_point < 0:
            self._recovery_point = self._nxt
            self.losses += 1
            cc.on_loss(prior, now)
        sample.recovering = self._recovery_point >= 0
        cc.on_ack(sample)
        if not self.in_flight and not self._lost:
            self._idle_since = now
        self.history.append((now, self.rate.delivered, rtt))
        assert cc.cwnd >= cc.mss
        assert cc.pacing_rate > 0

    def _lose_before(self, newest: Packet) -> int:
        out, lost = self._out, 0
        while out and out[0].n <= newest.n:
            packet = out.popleft()
            if packet.acked_at == math.inf:
                heapq.heappush(self._lost, packet.data)
                lost += MSS
                self._lost_stamp = packet.stamp
        return lost

    def time_out(self, now: float) -> None:
        self.timeouts += 1
        flight = self.in_flight
        for packet in self._out:
            heapq.heappush(self._lost, packet.data)
        self._out.clear()
        self._acks.clear()
        self.rate.on_lost(self.in_flight)
        self.in_flight = 0
        self._recovery_point = self._nxt
        self._heard_at = now
        self._next_send = now
        self.cc.on_timeout(flight, not self._timed_out, now)
        self._timed_out = True

    def _mark_app_limited(self) -> None:
        if self.unsent < 1 and not self._lost and self.in_flight < self.cc.cwnd:
            self.rate.mark_app_limited(self.in_flight)

    # -- what came of it -------------------------------------------------------------------------

    def goodput(self, start: float, end: float) -> float:
        """Bytes per second delivered in that time."""
        within = [total for now, total, _ in self.history if start <= now <= end]
        return (within[-1] - within[0]) / (end - start) if within else 0.0

    def rtts(self, start: float, end: float) -> list[float]:
        return sorted(rtt for now, _, rtt in self.history if start <= now <= end)

    def median_rtt(self, start: float, end: float) -> float:
        rtts = self.rtts(start, end)
        return rtts[len(rtts) // 2]


def run(
    link: Link, flows: list[Flow], until: float, *events: tuple[float, Callable[[], object]]
) -> None:
    """Let virtual time pass, from 0. `events` are (moment, what to do then)."""
    wake: list[tuple[float, int, int]] = []  # moment, tie, flow
    tie = itertools.count()
    pending = sorted(events, key=lambda event: event[0])
    for index, flow in enumerate(flows):
        flow._heard_at = flow.start
        heapq.heappush(wake, (flow.start, next(tie), index))
    while wake:
        now, _, index = heapq.heappop(wake)
        while pending and pending[0][0] <= now:
            pending.pop(0)[1]()
        if now > until:
            return
        flow = flows[index]
        if flow.next_ack <= now + 1e-9:
            flow.acknowledge(now)
        elif flow.next_timeout <= now:
            flow.time_out(now)
        again = flow.send(link, now)
        due = min(again, flow.next_ack, flow.next_timeout)
        if pending:
            due = min(due, max(pending[0][0], now + 1e-6))
        if due < math.inf:
            heapq.heappush(wake, (due, next(tie), index))
