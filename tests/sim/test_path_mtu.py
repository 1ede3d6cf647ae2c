"""Two cores over a path that swallows packets which are too large, and says nothing: RFC 8899.

Both begin with 1180 bytes of payload and options, and are promised 1452.
"""

from __future__ import annotations

import functools
import math

import pytest

from rudp.core.config import Config
from rudp.core.pmtud import BASE_MSS, GRANULARITY, RAISE_INTERVAL
from rudp.sim.swarm.network import Conditions
from rudp.sim.swarm.pair import Pair, Plan

WAN = Conditions(rate=1e6, queue=100_000, delay=0.02)
BULK = Plan(total=2_000_000, chunk=(20_000, 60_000), unsent_limit=1 << 18)
LONG = Plan(total=3_000_000, chunk=(20_000, 60_000), unsent_limit=1 << 18)
SILENT = Plan(total=0)
IP_UDP = 28
SEGMENT_HEADER = 20 + 12


class Path:
    """A pair whose way from `a` to `b` carries packets up to `mtu`, and says so of none."""

    def __init__(
        self,
        mtu: int,
        plan: Plan = BULK,
        link: Conditions = WAN,
        seed: int = 1,
        within: float = 600.0,
        **config: object,
    ) -> None:
        both = Config(**config)  # type: ignore[arg-type]
        self.mtu = mtu
        self.pair = Pair(
            seed, both, both, link, plan_a=plan, plan_b=SILENT, path_mss=BASE_MSS, within=within
        )
        self.swallowed: list[tuple[float, int]] = []
        self._carry = self.pair.a.transmit
        self._begin = self.pair.simulation.now
        self.pair.a.transmit = self._transmit

    def _transmit(self, datagram: bytes) -> None:
        if len(datagram) + IP_UDP <= self.mtu:
            self._carry(datagram)
        else:
            self.swallowed.append((self.now, len(datagram) + IP_UDP))

    @property
    def now(self) -> float:
        return self.pair.simulation.now - self._begin

    def becomes(self, mtu: int, at: float) -> None:
        """The MTU changes at that second."""
        self.pair.simulation.at(self._begin + at, lambda: setattr(self, "mtu", mtu))

    def run(self) -> float:
        """Seconds until all has arrived."""
        return self.pair.run().seconds

    @property
    def mss(self) -> int:
        return self.pair.a.connection.send_mss

    @property
    def fits(self) -> int:
        """Payload of the largest segment that gets through now."""
        return self.mtu - IP_UDP - SEGMENT_HEADER


@pytest.mark.parametrize("congestion", ["bbr", "cubic"])
def test_a_path_that_swallows_large_packets_costs_nothing_but_their_size(congestion: str) -> None:
    honest, narrow = Path(1500, congestion=congestion), Path(1360, congestion=congestion)
    least = honest.run()
    assert (honest.mss, honest.swallowed) == (1440, [])
    assert narrow.run() < least * 1.1
    assert narrow.fits - GRANULARITY <= narrow.mss <= narrow.fits
    snd = narrow.pair.a.connection.snd
    assert (snd.loss.timeouts, snd.loss.retransmitted) == (0, 0)
    assert len(narrow.swallowed) <= 15


@functools.cache
def least(congestion: str) -> float:
    """Seconds that the long transfer takes over a path that was narrow all the time."""
    return Path(1360, LONG, congestion=congestion).run()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("congestion", ["bbr", "reno"])
def test_a_path_that_shrinks_in_mid_transfer_costs_a_second(congestion: str, seed: int) -> None:
    path = Path(1500, LONG, seed=seed, congestion=congestion)
    path.becomes(1360, at=1.0)
    assert path.run() < least(congestion) + 1.5
    assert path.fits - GRANULARITY <= path.mss <= path.fits
    assert path.pair.a.connection.snd.loss.timeouts <= 3


def test_a_path_that_grows_is_noticed_by_who_goes_on_sending_and_wakes_nobody_up() -> None:
    plan = Plan(total=1_000_000, chunk=(20_000, 20_000), write_pause=120.0)
    path = Path(1360, plan, within=10_000.0)
    path.becomes(1500, at=100.0)
    quiet: list[bool] = []

    def look() -> None:
        connection = path.pair.a.connection
        if not connection.snd.flight_size and not connection.unsent:
            quiet.append(connection.next_deadline() == math.inf)

    for minute in range(1, 20):
        path.pair.simulation.at(path.pair.simulation.now + minute * 60, look)
    path.run()
    assert len(quiet) > 5
    assert all(quiet)
    assert path.mss == 1440
    # In between it has rested.
    searched = [moment for moment, _ in path.swallowed]
    assert max(searched) < RAISE_INTERVAL


def test_after_an_outage_the_segments_are_soon_as_large_as_before() -> None:
    path = Path(1500)
    path.becomes(0, at=1.0)
    path.becomes(1500, at=3.0)
    least = Path(1500).run()
    assert path.run() < least + 2.0 + 1.0
    assert path.mss == 1440


@pytest.mark.parametrize("loss", [0.01, 0.1])
def test_losses_of_all_sizes_do_not_make_a_path_narrow(loss: float) -> None:
    path = Path(1500, link=Conditions(rate=1e6, queue=100_000, delay=0.02, loss=loss))
    path.run()
    assert path.mss == 1440


def test_a_route_of_a_large_mtu_is_filled_a_round_trip_after_there_is_something_to_send() -> None:
    link = Conditions(rate=1e9, queue=1 << 24, delay=0.001)
    both = Config()
    pair = Pair(
        1, both, both, link, plan_a=BULK, plan_b=SILENT, mss=(65_000, 65_000), path_mss=BASE_MSS
    )
    sent: list[int] = []
    carry = pair.a.transmit

    def transmit(datagram: bytes) -> None:
        sent.append(len(datagram))
        carry(datagram)

    pair.a.transmit = transmit
    pair.run()
    large = [size > 60_000 for size in sent]
    assert large.index(True) < 15  # the probe, after the initial window
    assert sum(large[:30]) > 1  # and data
    assert pair.a.connection.send_mss == 65_000 - 12
