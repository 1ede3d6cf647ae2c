"""Row 27: short outages, as often as the retransmission timer may expire (Kuzmanovic and Knightly,
SIGCOMM 2003). Against a sender that only has timeouts, one that comes just when the RTO does stops
all traffic at a fraction of its load. A run has no load of the attacker: the queue drops all that
comes while he is at it. In virtual time.

What is asked of each algorithm differs. BBR, the default, has to bear any period. One that halves
its window for each loss cannot, whoever causes it, if one comes every few round trips; here it has
to bear the periods that stop a TCP whose RTO is a second. LEDBAT++ gives way to anybody, and is not
asked.
"""

from __future__ import annotations

import math

import pytest

from rudp.core.config import Config
from tests.sim import goodput

RATE = 10 * 125_000
ROUND_TRIP = 0.04
QUEUE = 2 * RATE * ROUND_TRIP
START = 1024.0
SECONDS = 6.0
BURST = 0.05
"""How long an outage is: more than a round trip, so that all of a window is lost."""


class Path:
    """One way of a bottleneck, shut for `BURST` every `period` seconds."""

    def __init__(self, simulation: goodput.Simulation, rate: float, period: float) -> None:
        self.target: goodput.End
        self._simulation = simulation
        self._rate = rate
        self._period = period
        self._busy_until = 0.0

    def send(self, datagram: bytes) -> None:
        now = self._simulation.now
        shut = now > START + 1.0 and (now - START) % self._period < BURST
        start = max(now, self._busy_until)
        if shut or (start - now) * self._rate > QUEUE:
            return
        self._busy_until = start + len(datagram) / self._rate
        arrival = self._busy_until + ROUND_TRIP / 2
        self._simulation.at(arrival, lambda: self.target.arrive(datagram))


def transfer(algorithm: str, period: float) -> int:
    """Bytes that get through in `SECONDS`."""
    simulation = goodput.Simulation(START)
    config = Config(congestion=algorithm, receive_autotuning=False)
    sender = goodput.End(simulation, config, source=True)
    receiver = goodput.End(simulation, config, source=False)
    forth, back = Path(simulation, RATE, period), Path(simulation, math.inf, math.inf)
    sender.link, receiver.link = forth, back  # type: ignore[assignment]
    forth.target, back.target = receiver, sender
    simulation.at(START, sender.open)
    goodput.run(simulation, START + SECONDS)
    return receiver.read_bytes


@pytest.mark.parametrize(
    ("algorithm", "periods"),
    [
        # The least RTO with a round trip, as here; twice that; and what RFC 6298 leads to.
        ("bbr", (0.25, 0.5, 1.0)),
        ("cubic", (1.0,)),
        ("reno", (1.0,)),
    ],
)
def test_threat_27_outages_in_step_with_the_rto_leave_30_percent_of_the_goodput(
    algorithm: str, periods: tuple[float, ...]
) -> None:
    clean = transfer(algorithm, math.inf)
    assert clean > 0.8 * RATE * SECONDS
    assert {period: transfer(algorithm, period) >= 0.3 * clean for period in periods} == (
        dict.fromkeys(periods, True)
    )
