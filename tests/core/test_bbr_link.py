"""BBRv3 on a link in virtual time: the draft's example test cases, and what it is made for.

draft-ietf-ccwg-bbr, appendix "BBR Example Test Cases"; each test that stems from there quotes the
heading.
"""

from __future__ import annotations

import itertools
import math

import pytest

from rudp.core.congestion import AckSample, Bbr, Cubic
from rudp.core.congestion.bbr_model import (
    DRAIN,
    PROBE_CRUISE,
    PROBE_DOWN,
    PROBE_REFILL,
    PROBE_RTT,
    PROBE_UP,
    STARTUP,
)
from tests.core.link import MBIT, MSS, Flow, Link, Policer, run

RTT = 0.04


class Watched(Bbr):
    """BBR that keeps a diary: when it entered which state, and how the model looked then."""

    def __init__(self) -> None:
        super().__init__(MSS, 10)
        self.diary: list[tuple[float, int]] = [(0.0, STARTUP)]
        self.least_shortterm = math.inf
        self.least_cwnd = math.inf

    def on_ack(self, sample: AckSample) -> None:
        super().on_ack(sample)
        self.least_shortterm = min(self.least_shortterm, self.bw_shortterm)
        if sample.now > 1:
            self.least_cwnd = min(self.least_cwnd, self.cwnd)
        if self.state != self.diary[-1][1]:
            self.diary.append((sample.now, self.state))

    @property
    def states(self) -> list[int]:
        return [state for _, state in self.diary]

    def entered(self, state: int, after: float = 0.0) -> float:
        return next((now for now, each in self.diary if each == state and now >= after), math.inf)

    def left(self, state: int, after: float = 0.0) -> float:
        start = self.entered(state, after)
        return next((now for now, each in self.diary if now > start and each != state), math.inf)


def flow_on(link: Link, until: float, **options: float) -> tuple[Flow, Watched]:
    cc = Watched()
    flow = Flow(cc, **options)  # type: ignore[arg-type]
    run(link, [flow], until)
    return flow, cc


# -- Startup and Drain -----------------------------------------------------------------------------


@pytest.mark.parametrize("mbit", [1, 10, 100])
def test_startup_ends_on_a_plateau_with_the_bandwidth_known(mbit: int) -> None:
    """Exiting STARTUP on Bandwidth Plateau."""
    link = Link(mbit * MBIT, RTT)
    _, cc = flow_on(link, 1.0 if mbit > 1 else 3.0)
    assert cc.states[:2] == [STARTUP, DRAIN]
    assert cc.full_bw_reached
    assert cc.max_bw == pytest.approx(link.rate, rel=0.03)


@pytest.mark.parametrize("rtt", [0.005, 0.04, 0.3])
def test_the_bandwidth_is_found_whatever_the_round_trip_time(rtt: float) -> None:
    link = Link(50 * MBIT, rtt)
    flow, cc = flow_on(link, 12.0)
    assert cc.max_bw == pytest.approx(link.rate, rel=0.1)
    assert cc.min_rtt == pytest.approx(rtt, abs=0.0015)
    assert flow.goodput(4, 12) > 0.93 * link.rate


def test_drain_ends_once_the_queue_is_gone() -> None:
    """Exiting DRAIN Based on Inflight."""
    link = Link(20 * MBIT, RTT)
    flow, cc = flow_on(link, 1.0)
    assert cc.left(DRAIN) - cc.entered(DRAIN) < 5 * RTT
    assert flow.median_rtt(cc.left(DRAIN) + RTT, 1.0) < 1.2 * RTT


def test_drain_ends_after_some_rounds_even_if_the_link_became_slower() -> None:
    """Exiting DRAIN Based on Time."""
    link = Link(20 * MBIT, RTT)
    cc = Watched()
    flow = Flow(cc)

    def slower() -> None:
        if cc.state == DRAIN:
            link.rate = 4 * MBIT

    run(link, [flow], 6.0, *[(n * 0.01, slower) for n in range(100)])
    assert link.rate == 4 * MBIT
    assert cc.left(DRAIN) < math.inf


def test_heavy_loss_ends_startup_even_if_the_application_is_the_limit() -> None:
    """Exiting STARTUP on Loss When Application-Limited."""
    link = Link(20 * MBIT, RTT)
    cc = Watched()
    flow = Flow(cc, bulk=False)

    def lossy() -> None:
        link.loss = 0.25

    writes = [(n * 0.002, lambda: flow.write(2 * MSS)) for n in range(700)]
    run(link, [flow], 1.5, (0.5, lossy), *writes)
    assert 0.5 < cc.left(STARTUP) < 1.5
    assert cc.full_bw_reached


def test_an_application_that_sends_little_never_leaves_startup() -> None:
    """Never Exiting PROBE_UP (or STARTUP) When Application-Limited With No Loss."""
    link = Link(20 * MBIT, RTT)
    cc = Watched()
    flow = Flow(cc, bulk=False)
    run(link, [flow], 4.0, *[(n * 0.02, lambda: flow.write(3 * MSS)) for n in range(200)])
    assert cc.states == [STARTUP]


# -- ProbeBW ---------------------------------------------------------------------------------------


def test_the_phases_of_probing_follow_each_other_every_two_to_three_seconds() -> None:
    """Exiting PROBE_UP on Bandwidth Plateau, PROBE_DOWN on Inflight."""
    _, cc = flow_on(Link(50 * MBIT, RTT), 12.0)
    steady = [state for now, state in cc.diary if now > cc.entered(PROBE_UP)]
    for before, after in itertools.pairwise(steady):
        assert (before, after) in {
            (PROBE_DOWN, PROBE_CRUISE),
            (PROBE_CRUISE, PROBE_REFILL),
            (PROBE_REFILL, PROBE_UP),
            (PROBE_UP, PROBE_DOWN),
            (PROBE_CRUISE, PROBE_RTT),
            (PROBE_DOWN, PROBE_RTT),
            (PROBE_RTT, PROBE_CRUISE),
        }
    ups = [now for now, state in cc.diary if state == PROBE_UP]
    assert len(ups) >= 3
    assert all(1.9 < later - one < 3.8 for one, later in itertools.pairwise(ups))


def test_a_short_path_is_probed_as_often_as_reno_would_grow() -> None:
    """A BDP of 9 segments: after some 9 or 10 rounds, not after two seconds."""
    _, cc = flow_on(Link(2.5 * MBIT, RTT), 8.0)
    ups = [now for now, state in cc.diary if state == PROBE_UP and now > 2]
    assert len(ups) >= 6


def test_down_gives_way_to_a_probe_after_its_time_if_the_queue_does_not_drain() -> None:
    """Exiting PROBE_DOWN After Max Time."""
    link = Link(20 * MBIT, RTT)
    cc = Watched()
    flow = Flow(cc)

    def slower() -> None:
        if cc.state == PROBE_DOWN and link.rate == 20 * MBIT:
            link.rate = 10 * MBIT

    run(link, [flow], 8.0, *[(2 + n * 0.01, slower) for n in range(500)])
    assert (PROBE_DOWN, PROBE_REFILL) in itertools.pairwise(cc.states)


def test_bandwidth_that_grows_tenfold_is_found_within_seconds() -> None:
    """Increasing Bandwidth 10x and Ensuring Full Bandwidth is Reached."""
    link = Link(10 * MBIT, RTT, 4 * 50_000)
    cc = Watched()
    flow = Flow(cc)

    def faster() -> None:
        link.rate = 100 * MBIT

    run(link, [flow], 14.0, (5.0, faster))
    assert flow.goodput(3, 5) > 0.9 * 10 * MBIT
    assert flow.goodput(11, 14) > 0.85 * 100 * MBIT


def test_bandwidth_that_falls_to_a_tenth_is_believed_within_two_cycles() -> None:
    """Decreasing Bandwidth 10x and Ensuring Max Bandwidth Adapts Down."""
    link = Link(100 * MBIT, RTT, 500_000)
    cc = Watched()
    flow = Flow(cc)

    def slower() -> None:
        link.rate = 10 * MBIT

    run(link, [flow], 25.0, (5.0, slower))
    assert cc.least_shortterm < 60 * MBIT
    assert cc.max_bw == pytest.approx(10 * MBIT, rel=0.1)
    assert flow.median_rtt(18, 25) < 2.5 * RTT


def test_loss_during_a_probe_sets_a_limit_and_ends_it() -> None:
    """Handling Loss During PROBE_UP After inflight_longterm is Set."""
    link = Link(50 * MBIT, RTT, 25 * MSS)
    flow, cc = flow_on(link, 12.0)
    assert cc.inflight_longterm < math.inf
    assert flow.goodput(4, 12) > 0.85 * link.rate


def test_a_probe_that_finds_too_little_to_send_leaves_the_model_alone() -> None:
    """Handling Application-Limited Sending During PROBE_REFILL."""
    link = Link(20 * MBIT, RTT)
    cc = Watched()
    flow = Flow(cc)

    def pause() -> None:
        if cc.state == PROBE_REFILL:
            flow.unsent = 0

    run(
        link,
        [flow],
        12.0,
        *[(1 + n * 0.001, pause) for n in range(4000)],
        *[(6 + n * 0.1, lambda: flow.write(2 * MSS)) for n in range(55)],
    )
    assert cc.max_bw == pytest.approx(link.rate, rel=0.05)


# -- ProbeRTT --------------------------------------------------------------------------------------


def test_a_flow_that_never_sees_an_empty_queue_visits_probe_rtt_every_five_seconds() -> None:
    """Entering and Exiting PROBE_RTT."""
    link = Link(20 * MBIT, RTT)
    cc = Watched()
    flow = Flow(cc)

    def longer() -> None:
        link.rtt = RTT + 0.01  # so that the least round trip is not seen again

    run(link, [flow], 14.0, (2.0, longer))
    visits = [now for now, state in cc.diary if state == PROBE_RTT]
    assert visits
    assert visits[0] > 5.0
    for at in visits:
        assert 0.2 <= cc.left(PROBE_RTT, at) - at < 0.2 + 6 * RTT
    assert cc.min_rtt == pytest.approx(RTT + 0.01, abs=0.003)
    assert flow.goodput(2, 14) > 0.9 * link.rate


def test_a_pause_makes_probe_rtt_unnecessary() -> None:
    """Skipping PROBE_RTT Due to Application-Limited Sending."""
    link = Link(20 * MBIT, RTT)
    cc = Watched()
    flow = Flow(cc)

    def stop() -> None:
        flow.unsent = 0

    run(link, [flow], 12.0, (3.0, stop), (9.5, lambda: flow.write(10_000_000)))
    assert PROBE_RTT not in cc.states
    assert flow.goodput(9.6, 12) > 0.9 * link.rate  # at once as fast as before


def test_probe_rtt_in_startup_leads_back_to_startup() -> None:
    """Entering and Exiting PROBE_RTT During STARTUP."""
    link = Link(20 * MBIT, RTT)
    cc = Watched()
    flow = Flow(cc, bulk=False)

    def longer() -> None:
        link.rtt = RTT + 0.01

    writes = [(n * 0.01, lambda: flow.write(10_000)) for n in range(800)]
    run(link, [flow], 8.0, (1.0, longer), *writes)
    assert cc.states == [STARTUP, PROBE_RTT, STARTUP]


# -- aggregation, small paths, policers ------------------------------------------------------------


@pytest.mark.parametrize("batch", [0.005, 0.02, 0.04])
def test_acks_that_come_in_batches_do_not_slow_it_down(batch: float) -> None:
    """Achieving Expected STARTUP and Cruise Bandwidth on a Link With Aggregation."""
    link = Link(50 * MBIT, RTT)
    flow, cc = flow_on(link, 10.0, ack_tick=batch)
    assert flow.goodput(2, 10) > 0.9 * link.rate
    assert cc.max_bw == pytest.approx(link.rate, rel=0.25)
    assert cc.extra_acked > 0


def test_a_path_that_holds_less_than_a_segment_is_kept_busy_by_four() -> None:
    """Correctly Managing Sub-Packet BDPs: 64 kbit/s and 40 ms hold 320 bytes."""
    link = Link(0.064 * MBIT, RTT)
    flow, cc = flow_on(link, 60.0)
    assert cc.least_cwnd >= 4 * MSS
    assert flow.goodput(20, 60) > 0.9 * link.rate


def test_a_policer_is_obeyed_without_excessive_loss() -> None:
    """Handling Token Bucket Policers."""
    link = Policer(10 * MBIT, RTT, 30_000)
    cc = Watched()
    flow = Flow(cc)
    lost: list[int] = []
    run(link, [flow], 30.0, (10.0, lambda: lost.append(link.dropped)))
    assert flow.goodput(10, 30) > 0.75 * link.rate
    sent = flow.goodput(10, 30) * 20 / MSS
    assert link.dropped - lost[0] < 0.08 * sent


# -- what it is made for ---------------------------------------------------------------------------


@pytest.mark.parametrize("percent", [0.1, 1, 3])
def test_random_loss_costs_little_more_than_what_is_lost(percent: float) -> None:
    link = Link(100 * MBIT, RTT, 500_000, loss=percent / 100, seed=7)
    flow, _ = flow_on(link, 7.0)
    assert flow.goodput(1, 7) > 0.88 * link.rate
    assert flow.timeouts == 0


@pytest.mark.parametrize("seed", range(3))
def test_a_short_queue_with_random_loss_is_used_well(seed: int) -> None:
    link = Link(10 * MBIT, RTT, 25 * MSS, loss=0.03, seed=seed)
    flow, _ = flow_on(link, 20.0)
    assert flow.goodput(4, 20) > 0.85 * link.rate


def test_a_bloated_queue_stays_nearly_empty() -> None:
    """One second of queue, where CUBIC takes all of it."""
    queue = 10 * MBIT
    link = Link(10 * MBIT, RTT, queue)
    flow, _ = flow_on(link, 30.0)
    assert flow.goodput(2, 30) > 0.95 * link.rate
    assert flow.median_rtt(2, 30) < 1.5 * RTT
    assert flow.rtts(2, 30)[-1] < 2.7 * RTT
    assert link.dropped == 0
    other = Link(10 * MBIT, RTT, queue)
    cubic = Flow(Cubic(MSS, 10))
    run(other, [cubic], 30.0)
    assert cubic.median_rtt(10, 30) > 10 * RTT


@pytest.mark.parametrize("queue", [0.5, 1, 4])
def test_two_of_them_share_evenly(queue: float) -> None:
    link = Link(10 * MBIT, RTT, queue * 10 * MBIT * RTT)
    flows = [Flow(Bbr(MSS, 10)), Flow(Bbr(MSS, 10), start=0.1)]
    run(link, flows, 40.0)
    shares = [flow.goodput(10, 40) for flow in flows]
    jain = sum(shares) ** 2 / (2 * sum(share**2 for share in shares))
    assert jain > 0.9
    assert sum(shares) > 0.95 * link.rate


@pytest.mark.parametrize("queue", [1, 2])
def test_with_cubic_it_shares(queue: float) -> None:
    link = Link(10 * MBIT, RTT, queue * 10 * MBIT * RTT)
    flows = [Flow(Bbr(MSS, 10)), Flow(Cubic(MSS, 10), start=0.1)]
    run(link, flows, 40.0)
    ours, theirs = (flow.goodput(10, 40) for flow in flows)
    assert 0.3 < ours / (ours + theirs) < 0.7
