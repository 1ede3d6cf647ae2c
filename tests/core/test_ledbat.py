"""LEDBAT++: RFC 6817 and draft-irtf-iccrg-ledbat-plus-plus, alone and on a link.

GAIN is 1 / min(16, ceil(2 * 60 ms / base)): 1/3 at a base delay of 40 ms, 1/2 at 100 ms.
"""

from __future__ import annotations

import pytest

from rudp.core.congestion import Cubic, Ledbat, Reno
from tests.core.acks import heard
from tests.core.link import MBIT, MSS, Flow, Link, run

SEG = 1000


def steady(cwnd: int, base: float = 0.04) -> Ledbat:
    """After slow start, in which `base` was seen; no slowdown is due."""
    cc = Ledbat(SEG, 10)
    heard(cc, 0, 0.0, rtt=base, srtt=base)
    cc.on_loss(cwnd, 0.0)
    cc.on_recovered(0.0)
    cc.cwnd = cc.ssthresh = cwnd
    cc._slowdown_at = 1e9
    heard(cc, 0, 0.0, rtt=base, srtt=base)
    return cc


def round_trip(cc: Ledbat, rtt: float, now: float = 1.0, acks: int = 10) -> int:
    """A window of data arrives with that delay; returns by how much cwnd changed."""
    for _ in range(4):
        heard(cc, 0, now, rtt=rtt, srtt=rtt)  # the filter sees it at once
    before = cc.cwnd
    for _ in range(acks):
        heard(cc, before // acks, now, rtt=rtt, srtt=rtt)
    return cc.cwnd - before


def test_it_begins_with_two_segments() -> None:
    assert Ledbat(SEG, 10).cwnd == 2 * SEG
    assert Ledbat(SEG, 1).cwnd == SEG


@pytest.mark.parametrize(
    ("base", "gain"), [(0.005, 1 / 16), (0.02, 1 / 6), (0.04, 1 / 3), (0.1, 1 / 2), (0.2, 1.0)]
)
def test_it_grows_by_gain_segments_in_a_round_trip(base: float, gain: float) -> None:
    assert round_trip(steady(100 * SEG, base), base) == pytest.approx(gain * SEG, rel=0.05)


def test_up_to_the_target_delay_it_grows() -> None:
    assert round_trip(steady(100 * SEG), 0.099) == pytest.approx(SEG / 3, rel=0.05)


def test_above_the_target_it_shrinks_in_proportion() -> None:
    # 72 ms of queue: 1/3 - 100 * (72/60 - 1) = -19.67 segments
    assert round_trip(steady(100 * SEG), 0.112, acks=1) == pytest.approx(-19_667, abs=30)


def test_no_round_trip_takes_more_than_half() -> None:
    assert round_trip(steady(100 * SEG), 0.5, acks=1) == -50 * SEG


def test_the_window_never_falls_below_two_segments() -> None:
    cc = steady(4 * SEG)
    for n in range(20):
        round_trip(cc, 0.5, 1.0 + n)
    assert cc.cwnd == 2 * SEG


def test_a_single_late_sample_changes_nothing() -> None:
    """RFC 6817 section 2.4.2: the present delay is the least of the last four."""
    cc = steady(100 * SEG)
    heard(cc, 0, 1.0, rtt=0.04)
    heard(cc, 10 * SEG, 1.0, rtt=0.9)
    assert cc.cwnd > 100 * SEG


def test_the_base_delay_is_the_least_of_ten_minutes() -> None:
    cc = steady(100 * SEG)
    for minute in range(1, 10):
        heard(cc, 0, minute * 60.0 + 1, rtt=0.07)
    assert cc.base_delay == 0.04
    heard(cc, 0, 661.0, rtt=0.07)
    heard(cc, 0, 722.0, rtt=0.07)
    assert cc.base_delay == 0.07


def test_slow_start_grows_by_gain_and_ends_at_three_quarters_of_the_target() -> None:
    cc = Ledbat(SEG, 10)
    for _ in range(4):
        heard(cc, 3 * SEG, 1.0, rtt=0.04, srtt=0.04)
    assert cc.cwnd == 6 * SEG  # 2 and 4 thirds of 3
    for _ in range(4):
        heard(cc, 0, 1.1, rtt=0.084, srtt=0.05)
    heard(cc, 3 * SEG, 1.1, rtt=0.084, srtt=0.05)
    assert cc.cwnd == 7 * SEG  # 44 ms of queue: not yet
    for _ in range(4):
        heard(cc, 0, 1.2, rtt=0.086, srtt=0.05)
    heard(cc, 3 * SEG, 1.2, rtt=0.086, srtt=0.05)
    assert (cc.cwnd, cc.ssthresh) == (7 * SEG, 7 * SEG)


def test_a_slowdown_closes_the_window_for_two_round_trips_and_pauses_nine_times_as_long() -> None:
    cc = steady(9 * SEG)
    cc._slowdown_at = 5.0
    heard(cc, SEG, 5.0, rtt=0.04, srtt=0.1)
    assert (cc.cwnd, cc.ssthresh) == (2 * SEG, 9 * SEG)
    heard(cc, 2 * SEG, 5.19, rtt=0.04, srtt=0.1)
    assert cc.cwnd == 2 * SEG
    for now in (5.21, 5.4, 5.5, 5.6, 5.7, 5.8, 5.9):
        heard(cc, 3 * SEG, now, rtt=0.04, srtt=0.1)
    assert cc.cwnd == 9 * SEG
    # It took 0.9 s, so 8.1 s without follow.
    heard(cc, 0, 13.99, rtt=0.04, srtt=0.1)
    assert cc.cwnd == 9 * SEG
    heard(cc, 0, 14.01, rtt=0.04, srtt=0.1)
    assert cc.cwnd == 2 * SEG


def test_a_loss_halves_the_window() -> None:
    cc = steady(100 * SEG)
    cc.on_loss(80 * SEG, 1.0)
    assert cc.ssthresh == 40 * SEG


def test_a_loss_leaves_two_segments_at_least() -> None:
    cc = steady(3 * SEG)
    cc.on_loss(3 * SEG, 1.0)
    assert cc.ssthresh == 2 * SEG


def test_a_loss_ends_the_first_slow_start_and_a_slowdown_follows_two_round_trips_later() -> None:
    cc = Ledbat(SEG, 10)
    heard(cc, 0, 1.0, rtt=0.04, srtt=0.04)
    cc.on_loss(40 * SEG, 1.0)
    cc.on_recovered(1.02)
    assert cc.cwnd == 20 * SEG
    heard(cc, 0, 1.07, rtt=0.04, srtt=0.04)
    assert cc.cwnd == 20 * SEG
    heard(cc, 0, 1.08, rtt=0.04, srtt=0.04)
    assert (cc.cwnd, cc.ssthresh) == (2 * SEG, 20 * SEG)


def test_a_loss_before_any_measurement_counts_a_round_trip_as_a_second() -> None:
    cc = Ledbat(SEG, 10)
    cc.on_timeout(2 * SEG, True, 1.0)
    cc.on_recovered(1.5)
    heard(cc, 0, 2.9, srtt=0.04)
    assert cc.cwnd == SEG
    heard(cc, 0, 3.0, srtt=0.04)
    assert cc.cwnd == 2 * SEG


@pytest.mark.parametrize("timeout", [False, True])
def test_a_loss_ends_a_slowdown_and_the_next_is_nine_times_as_far(timeout: bool) -> None:
    cc = steady(9 * SEG)
    cc._slowdown_at = 5.0
    heard(cc, SEG, 5.0, rtt=0.04, srtt=0.1)
    assert cc.cwnd == 2 * SEG
    if timeout:
        cc.on_timeout(20 * SEG, True, 5.1)
    else:
        cc.on_loss(20 * SEG, 5.1)
    cc.on_recovered(5.2)
    cc.cwnd = cc.ssthresh
    assert cc.cwnd == 10 * SEG
    heard(cc, 0, 5.2, rtt=0.04, srtt=0.1)
    heard(cc, 3 * SEG, 5.3, rtt=0.04, srtt=0.1)
    # It grows: GAIN is 1/3, and 3/10 of a window arrived.
    assert cc.cwnd == pytest.approx(10 * SEG + 100, abs=1)
    heard(cc, 0, 5.99, rtt=0.04, srtt=0.1)
    assert cc.cwnd == pytest.approx(10 * SEG + 100, abs=1)
    heard(cc, 0, 6.01, rtt=0.04, srtt=0.1)
    assert cc.cwnd == 2 * SEG


def test_a_first_loss_that_was_none_leaves_it_in_slow_start_without_a_slowdown() -> None:
    cc = Ledbat(SEG, 10)
    heard(cc, 3 * SEG, 1.0, rtt=0.04, srtt=0.04)
    assert cc.cwnd == 3 * SEG
    cc.on_loss(3 * SEG, 1.0)
    cc.on_undo(1.02)
    heard(cc, 3 * SEG, 1.5, rtt=0.04, srtt=0.04)
    assert cc.cwnd == 4 * SEG
    for _ in range(4):
        heard(cc, 0, 1.6, rtt=0.086, srtt=0.05)
    heard(cc, 3 * SEG, 1.6, rtt=0.086, srtt=0.05)
    assert (cc.cwnd, cc.ssthresh) == (4 * SEG, 4 * SEG)


def test_a_later_loss_that_was_none_leaves_the_slowdowns_as_they_are() -> None:
    cc = steady(9 * SEG)
    cc._slowdown_at = 5.0
    cc.on_loss(9 * SEG, 4.0)
    cc.on_undo(4.1)
    heard(cc, 0, 5.0, rtt=0.04, srtt=0.1)
    assert (cc.cwnd, cc.ssthresh) == (2 * SEG, 9 * SEG)


def test_while_a_loss_is_repaired_no_slowdown_begins() -> None:
    cc = steady(9 * SEG)
    cc._slowdown_at = 5.0
    cc.on_loss(9 * SEG, 4.9)
    heard(cc, 0, 5.0, in_flight=4500, rtt=0.04, srtt=0.1, recovering=True)
    cc.on_recovered(5.1)
    assert cc.cwnd == 4500
    heard(cc, 0, 5.2, rtt=0.04, srtt=0.1)
    assert (cc.cwnd, cc.ssthresh) == (2 * SEG, 4500)


def test_no_window_is_less_than_two_segments_at_the_end_of_a_slowdown() -> None:
    cc = steady(3 * SEG)
    cc.cwnd = cc.ssthresh = SEG
    cc._slowdown_at = 5.0
    heard(cc, 0, 5.0, rtt=0.04, srtt=0.1)
    assert (cc.cwnd, cc.ssthresh) == (2 * SEG, 2 * SEG)


# On a link of 20 Mbit/s and 40 ms.


def test_alone_it_fills_the_link_at_the_target_delay() -> None:
    link = Link(20 * MBIT, 0.04, 1_000_000)
    flow = Flow(Ledbat(MSS, 10))
    run(link, [flow], 40)
    assert flow.goodput(10, 40) > 0.9 * link.rate
    assert flow.median_rtt(10, 40) == pytest.approx(0.101, rel=0.05)
    assert link.dropped == 0


@pytest.mark.parametrize("foreground", [Reno, Cubic])
def test_it_gives_way_to_others(foreground: type[Reno]) -> None:
    link = Link(20 * MBIT, 0.04, 300_000)
    flows = [Flow(Ledbat(MSS, 10)), Flow(foreground(MSS, 10), start=10)]
    run(link, flows, 40)
    assert flows[0].goodput(20, 40) < 0.1 * link.rate
    assert flows[1].goodput(20, 40) > 0.9 * link.rate


@pytest.mark.parametrize("late", [0.5, 20])
def test_a_latecomer_gets_as_much_as_the_one_before(late: float) -> None:
    link = Link(20 * MBIT, 0.04, 1_000_000)
    flows = [Flow(Ledbat(MSS, 10)), Flow(Ledbat(MSS, 10), start=late)]
    run(link, flows, 80)
    first, second = (flow.goodput(40, 80) for flow in flows)
    assert 0.67 < first / second < 1.5
