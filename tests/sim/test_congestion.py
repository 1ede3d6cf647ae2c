"""Congestion control between two real ends: what the path sees of it.

Each mechanism here is for something that shows on the path: no drops, a short queue, a full link,
an even share. So these are transfers of some seconds over one bottleneck, in virtual time.
"""

from __future__ import annotations

import math
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from rudp.core.config import Config
from rudp.core.sender import Sender
from rudp.sim.swarm.network import Conditions, Link, Simulation
from tests.sim.goodput import End, run

START = 1024.0
RTT = 0.04
MBIT = 125_000


class Path:
    """One bottleneck, whose queue is told in BDPs, and the flows that share it."""

    def __init__(
        self, mbit: float = 10, rtt: float = RTT, queue: float = 4.0, mark: float = math.inf
    ) -> None:
        self.simulation = Simulation(START)
        self.rate = mbit * MBIT
        bdp = self.rate * rtt
        forth = Conditions(
            rate=self.rate, queue=int(queue * bdp), mark=mark * bdp, delay=rtt / 2
        )
        back = Conditions(delay=rtt / 2)
        self.forth = Link(self.simulation, Random("forth"), forth, self._arrive)
        self.back = Link(self.simulation, Random("back"), back, self._return)
        self.senders: list[End] = []
        self.receivers: list[End] = []

    def flow(self, at: float = 0.0, *, ecn: bool = False, source: bool = True, **kw: Any) -> End:
        """A sender that begins at `at`; what else is said is for its `Config`."""
        config = Config(**kw)
        port = 40000 + len(self.senders)
        sender = End(self.simulation, config, source, port=port, ecn=ecn)
        receiver = End(self.simulation, config, False, ecn=ecn)
        sender.link, receiver.link = self.forth, self.back
        self.senders.append(sender)
        self.receivers.append(receiver)
        self.simulation.at(START + at, sender.open)
        return sender

    def run(self, until: float) -> list[float]:
        """Go on; what each flow has had of the link since, as a part of its rate."""
        before = [end.read_bytes for end in self.receivers]
        seconds = START + until - self.simulation.now
        run(self.simulation, START + until)
        return [
            (end.read_bytes - old) / seconds / self.rate
            for end, old in zip(self.receivers, before, strict=True)
        ]

    def _arrive(self, datagram: bytes) -> None:
        self.receivers[int.from_bytes(datagram[:2], "big") - 40000].arrive(datagram)

    def _return(self, datagram: bytes) -> None:
        self.senders[int.from_bytes(datagram[2:4], "big") - 40000].arrive(datagram)


def snd(end: End) -> Sender:
    assert end.connection is not None
    return end.connection.snd


# -- ECN -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("congestion", ["reno", "cubic"])
def test_marks_in_place_of_drops_keep_the_queue_short_and_cost_nothing(congestion: str) -> None:
    path = Path(mark=0.5)
    sender = path.flow(ecn=True, congestion=congestion)
    path.run(1.0)
    (share,) = path.run(4.0)
    assert share > 0.9
    assert path.forth.marked > 0
    assert path.forth.dropped == snd(sender).loss.retransmitted == 0
    assert snd(sender).rtt.srtt < 1.5 * RTT


def test_who_does_not_know_of_marks_fills_the_queue() -> None:
    path = Path(mark=0.5)
    sender = path.flow(ecn=False, congestion="reno")
    path.run(2.0)
    assert path.forth.marked == 0
    assert snd(sender).rtt.srtt > 2 * RTT


# -- slow start ------------------------------------------------------------------------------------


def overshoot(congestion: str) -> int:
    """How many segments the first slow start loses on a path with a queue of eight BDPs."""
    path = Path(queue=8)
    path.flow(congestion=congestion, receive_autotuning=False)
    path.run(2.5)
    return path.forth.dropped


def test_hystart_ends_slow_start_before_a_long_queue_overflows() -> None:
    # It cannot be none: a round trip goes by until the delay shows, in which the window doubles,
    # and five more, in which it may grow by a quarter each.
    assert overshoot("cubic") < overshoot("reno") / 3


# -- what fills the path ---------------------------------------------------------------------------


def test_by_default_a_long_fast_path_fills_and_no_buffer_exceeds_its_limit() -> None:
    """50 Mbit/s and 200 ms: 1.25 MB are in flight."""
    path = Path(mbit=50, rtt=0.2, queue=1)
    sender = path.flow()
    path.run(2.5)
    (share,) = path.run(4.0)
    assert share > 0.9
    connection = path.receivers[0].connection
    assert connection is not None
    assert 1_250_000 < connection.rcv.buffer <= Config().receive_buffer
    assert snd(sender).flight_size <= Config().send_buffer


def test_the_send_buffer_bounds_what_is_in_flight() -> None:
    path = Path()
    sender = path.flow(send_buffer=25_000)
    path.run(1.0)
    (share,) = path.run(2.0)
    # Less what headers and half-filled segments take.
    assert 0.43 < share < 25_000 / (RTT * path.rate)
    assert snd(sender).flight_size <= 25_000


def test_bbr_fills_the_path_and_not_its_queue() -> None:
    path = Path(queue=8)
    sender = path.flow(congestion="bbr")
    path.run(1.0)
    (share,) = path.run(3.0)
    assert share > 0.9
    assert path.forth.dropped == 0
    assert snd(sender).rtt.srtt < 1.3 * RTT  # Reno and CUBIC: seven times


# -- an application with little to send ------------------------------------------------------------


def test_a_window_that_is_not_used_does_not_grow_and_a_pause_takes_it_back() -> None:
    path = Path()
    sender = path.flow(source=False, congestion="reno")

    def write(size: int) -> None:
        assert sender.connection is not None
        sender.connection.write(bytes(size))
        sender.pump()

    for n in range(30):  # 1.6 of 10 Mbit/s
        path.simulation.at(START + 0.5 + n / 10, lambda: write(20_000))
    path.run(3.5)
    # From ten segments: four more than the fourteen of a message were never of use.
    assert snd(sender).cc.cwnd <= 22 * 1448
    path.simulation.at(START + 5, lambda: write(100_000))
    path.run(5.01)
    assert snd(sender).cc.cwnd == 10 * 1448
    assert snd(sender).flight_size <= 10 * 1448


# -- sharing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("congestion", ["reno", "cubic", "bbr", "ledbat++"])
def test_two_of_a_kind_share_evenly(congestion: str) -> None:
    path = Path(mbit=5, queue=1)
    path.flow(congestion=congestion)
    path.flow(1.0, congestion=congestion)
    path.run(3.0)
    a, b = path.run(9.0)
    assert a + b > 0.85
    assert (a + b) ** 2 / (2 * (a * a + b * b)) > 0.9  # Jain's index


def test_a_latecomer_finds_the_delay_of_the_path_when_the_other_slows_down() -> None:
    """What LEDBAT++ has its slowdowns for: else the queue of the first is the path of the second,
    who leaves it 3 % of the link."""
    path = Path(mbit=5, queue=8)
    path.flow(congestion="ledbat++")
    path.flow(2.0, congestion="ledbat++")
    path.run(6.0)
    first, second = path.run(12.0)
    assert first + second > 0.85
    assert 0.3 < first / second < 3


def test_ledbat_gives_way_to_reno() -> None:
    path = Path(mbit=5)
    path.flow(congestion="ledbat++")
    assert path.run(2.0)[0] > 0.4
    path.flow(2.0, congestion="reno")
    path.run(4.0)
    background, foreground = path.run(8.0)
    assert background < 0.05
    assert foreground > 0.9


# -- losses ----------------------------------------------------------------------------------------


class Accident:
    """Stands before a link and does something to the `nth` datagram with data, counted from 1."""

    def __init__(self, path: Path, nth: int, late: float = math.inf) -> None:
        self.moments: list[float] = []  # when data was sent since
        self._path, self._left, self._late = path, nth, late

    def send(self, datagram: bytes) -> None:
        """The datagram is lost, or comes `late`."""
        simulation = self._path.simulation
        if len(datagram) > 100:
            self._left -= 1
            if self._left < 0:
                self.moments.append(simulation.now)
            if self._left == 0:
                if self._late < math.inf:
                    simulation.after(self._late, lambda: self._path.forth.send(datagram))
                return
        self._path.forth.send(datagram)


def test_with_prr_a_reduction_lets_something_out_all_the_time() -> None:
    """To wait until half has left the network would be a silence of 40 ms."""
    path = Path(queue=2)
    sender = path.flow(congestion="reno", receive_autotuning=False)
    sender.link = accident = Accident(path, nth=60)  # type: ignore[assignment]
    path.run(0.5)
    assert snd(sender).loss.retransmitted == 1448
    # The first 60 were on their way before the loss showed.
    gaps = [after - before for before, after in pairwise(accident.moments[60:])]
    assert max(gaps) < RTT / 4


def test_limited_transmit_makes_three_duplicates_of_two() -> None:
    """Of the first three segments one is lost; two duplicate ACKs alone would be too few."""
    path = Path()
    sender = path.flow(initial_window=3, sack=False, congestion="reno")
    sender.link = Accident(path, nth=1)  # type: ignore[assignment]
    path.run(0.5)
    assert snd(sender).loss.retransmitted == 1448
    assert snd(sender).loss.timeouts == 0


@pytest.mark.parametrize("timestamps", [True, False], ids=["Eifel", "DSACK"])
def test_a_segment_that_was_only_late_costs_no_window(timestamps: bool) -> None:
    """Timestamps tell, or else SACK; one of the two has to be there."""
    path = Path()
    sender = path.flow(timestamps=timestamps, sack=not timestamps, congestion="reno")
    sender.link = Accident(path, nth=20, late=0.02)  # type: ignore[assignment]
    path.run(0.5)
    assert snd(sender).loss.retransmitted > 0
    assert snd(sender).cc.ssthresh == 1 << 62
