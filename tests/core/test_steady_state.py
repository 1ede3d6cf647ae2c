"""Reno and CUBIC on a link in virtual time: what their windows settle at."""

from __future__ import annotations

import math

import pytest

from rudp.core.congestion import Cubic, Reno, WindowBased
from tests.core.link import MBIT, MSS, Flow, Link, run

RTT = 0.04
BOTH = pytest.mark.parametrize("algorithm", [Reno, Cubic])


def flow_on(link: Link, algorithm: type[WindowBased], until: float) -> Flow:
    flow = Flow(algorithm(MSS, 10))
    run(link, [flow], until)
    return flow


@BOTH
def test_a_queue_of_one_bdp_keeps_the_link_full(algorithm: type[WindowBased]) -> None:
    link = Link(20 * MBIT, RTT, 20 * MBIT * RTT)
    flow = flow_on(link, algorithm, 30)
    assert flow.goodput(3, 30) > 0.99 * link.rate
    assert flow.timeouts == 0


@pytest.mark.parametrize(
    ("algorithm", "share"),
    # With no queue Reno swings between half of the BDP and all of it: 3/4. CUBIC, Reno-friendly at
    # this size, between 0.7 and 1 of it: 0.85.
    [(Reno, 0.75), (Cubic, 0.85)],
)
def test_without_a_queue_the_share_is_that_of_the_sawtooth(
    algorithm: type[WindowBased], share: float
) -> None:
    link = Link(20 * MBIT, RTT, 8 * MSS)
    flow = flow_on(link, algorithm, 40)
    assert flow.goodput(5, 40) / link.rate == pytest.approx(share, abs=0.09)


@BOTH
def test_random_loss_sets_the_window_that_the_model_predicts(algorithm: type[WindowBased]) -> None:
    """sqrt(3/2) / sqrt(p) segments (RFC 9438 section 4.3): 39 at a loss of 0.1 %."""
    link = Link(100 * MBIT, RTT, loss=0.001, seed=3)
    flow = flow_on(link, algorithm, 60)
    segments = flow.goodput(5, 60) * (RTT + 0.001) / MSS
    assert segments == pytest.approx(math.sqrt(1.5 / 0.001), rel=0.3)


def test_on_a_long_path_cubic_makes_far_more_of_rare_losses_than_reno() -> None:
    got = {}
    for algorithm in (Reno, Cubic):
        link = Link(100 * MBIT, 0.2, loss=1e-4, seed=5)
        got[algorithm] = flow_on(link, algorithm, 60).goodput(10, 60)
    assert got[Cubic] > 2 * got[Reno]


def test_hystart_leaves_slow_start_before_the_queue_overflows() -> None:
    drops = {}
    for algorithm in (Reno, Cubic):
        link = Link(20 * MBIT, RTT, 12 * 20 * MBIT * RTT)
        flow_on(link, algorithm, 4)
        drops[algorithm] = link.dropped
    # Slow start overshoots by as much as the path holds: 900 segments of 69 + 829. Conservative
    # slow start grows threefold at most, and then by a quarter.
    assert drops[Reno] > 800
    assert drops[Cubic] < 150


@BOTH
@pytest.mark.parametrize("late", [0.1, 5])
def test_two_of_a_kind_share_evenly(algorithm: type[WindowBased], late: float) -> None:
    link = Link(20 * MBIT, RTT, 20 * MBIT * RTT)
    flows = [Flow(algorithm(MSS, 10)), Flow(algorithm(MSS, 10), start=late)]
    run(link, flows, 40)
    first, second = (flow.goodput(15, 40) for flow in flows)
    assert 0.7 < first / second < 1.4
    assert first + second > 0.98 * link.rate


@BOTH
def test_a_loss_of_many_segments_is_repaired_without_a_timeout(
    algorithm: type[WindowBased],
) -> None:
    link = Link(20 * MBIT, RTT, 20 * MBIT * RTT)
    flow = Flow(algorithm(MSS, 10))

    def lossy(share: float) -> None:
        link.loss = share

    run(link, [flow], 6, (3.0, lambda: lossy(0.5)), (3.02, lambda: lossy(0.0)))
    assert flow.timeouts == 0
    assert flow.goodput(4, 6) > 0.9 * link.rate


@BOTH
def test_a_dead_path_is_found_again(algorithm: type[WindowBased]) -> None:
    link = Link(20 * MBIT, RTT, 20 * MBIT * RTT)
    flow = Flow(algorithm(MSS, 10))

    def lossy(share: float) -> None:
        link.loss = share

    run(link, [flow], 8, (3.0, lambda: lossy(1.0)), (3.5, lambda: lossy(0.0)))
    assert flow.timeouts > 0
    assert flow.goodput(5, 8) > 0.9 * link.rate
