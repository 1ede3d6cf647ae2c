"""RFC 6298, by its numbers."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rudp.core.rtt import RttEstimator


def estimator(initial: float = 1.0, least: float = 0.2, most: float = 60.0) -> RttEstimator:
    return RttEstimator(initial, least, most)


def test_before_a_sample_the_rto_is_the_initial_one() -> None:
    rtt = estimator()
    assert (rtt.rto, rtt.srtt, rtt.rttvar, rtt.min_rtt) == (1.0, 0.0, 0.0, math.inf)


def test_the_first_sample_sets_srtt_and_half_of_it_as_variation() -> None:
    rtt = estimator()
    rtt.sample(0.4)
    assert (rtt.srtt, rtt.rttvar) == (0.4, 0.2)
    assert rtt.rto == pytest.approx(0.4 + 4 * 0.2)


def test_further_samples_weigh_an_eighth_and_a_quarter() -> None:
    rtt = estimator()
    rtt.sample(0.4)
    rtt.sample(0.8)
    # RTTVAR <- 3/4 * 0.2 + 1/4 * |0.4 - 0.8|; SRTT <- 7/8 * 0.4 + 1/8 * 0.8
    assert rtt.rttvar == pytest.approx(0.25)
    assert rtt.srtt == pytest.approx(0.45)
    assert rtt.rto == pytest.approx(1.45)
    assert (rtt.latest, rtt.min_rtt) == (0.8, 0.4)


def test_the_variation_counts_for_no_less_than_the_clock_granularity() -> None:
    rtt = estimator(least=0.001)
    for _ in range(500):
        rtt.sample(0.05)
    assert rtt.rto == pytest.approx(0.051)


def test_the_rto_has_a_floor_and_a_ceiling() -> None:
    rtt = estimator()
    rtt.sample(0.001)
    assert rtt.rto == 0.2
    rtt.sample(1000.0)
    assert rtt.rto == 60.0


def test_each_timeout_doubles_the_rto_up_to_the_ceiling() -> None:
    rtt = estimator(most=5.0)
    seen = []
    for _ in range(5):
        seen.append(rtt.rto)
        rtt.back_off()
    assert seen == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_timeouts_without_end_leave_the_rto_at_its_ceiling() -> None:
    rtt = estimator(most=5.0)
    for _ in range(2000):
        rtt.back_off()  # 2**2000 would be no float
    assert rtt.rto == 5.0


def test_a_sample_ends_the_back_off() -> None:
    rtt = estimator()
    rtt.sample(0.4)
    rtt.back_off()
    rtt.back_off()
    assert rtt.rto == pytest.approx(4.8)
    rtt.sample(0.4)
    assert rtt.rto == pytest.approx(0.4 + 4 * 0.15)


def test_after_a_lost_syn_data_begins_with_three_seconds() -> None:
    rtt = estimator()
    rtt.back_off()
    rtt.restart_after_syn_timeout()
    assert rtt.rto == 3.0


def test_a_longer_initial_rto_is_not_shortened_by_a_lost_syn() -> None:
    rtt = estimator(initial=5.0)
    rtt.restart_after_syn_timeout()
    assert rtt.rto == 5.0


def test_a_lost_syn_whose_round_trip_was_measured_all_the_same_makes_nothing_longer() -> None:
    rtt = estimator()
    rtt.back_off()
    rtt.sample(0.1)  # by timestamps (RFC 7323 section 4)
    rtt.restart_after_syn_timeout()
    assert rtt.rto == pytest.approx(0.3)


def test_a_clock_that_stood_still_is_a_very_short_round_trip() -> None:
    rtt = estimator()
    rtt.sample(0.0)
    assert 0 < rtt.srtt < 1e-3
    rtt.sample(0.1)
    assert rtt.srtt < 0.02  # it was the second sample, not the first again


@given(st.lists(st.floats(0, 1000), min_size=1), st.integers(0, 40))
def test_the_rto_stays_within_its_bounds_whatever_is_measured(
    samples: list[float], timeouts: int
) -> None:
    rtt = estimator()
    for sample in samples:
        rtt.sample(sample)
    assert min(samples) - 1e-9 <= rtt.srtt <= max(max(samples), 1e-6) + 1e-9
    for _ in range(timeouts):
        before = rtt.rto
        rtt.back_off()
        assert before <= rtt.rto <= 60.0
    assert rtt.rto >= 0.2


def test_the_back_off_pauses_at_half_a_second_as_often_as_is_wished() -> None:
    rtt = RttEstimator(1.0, 0.2, 60.0, linear_timeouts=3)
    rtt.sample(0.04)
    seen = []
    for _ in range(7):
        seen.append(rtt.rto)
        rtt.back_off()
    assert seen == pytest.approx([0.2, 0.4, 0.5, 0.5, 0.5, 0.8, 1.6])
    rtt.sample(0.04)  # and again in the next row of timeouts
    assert [rtt.rto, *(_backed_off(rtt) for _ in range(3))] == pytest.approx([0.2, 0.4, 0.5, 0.5])


def test_an_rto_that_is_longer_from_the_start_is_doubled_as_ever() -> None:
    rtt = RttEstimator(1.0, 0.2, 60.0, linear_timeouts=3)
    assert [_backed_off(rtt) for _ in range(3)] == [2.0, 4.0, 8.0]
    rtt = RttEstimator(0.5, 0.2, 60.0, linear_timeouts=3)
    assert [_backed_off(rtt) for _ in range(3)] == [1.0, 2.0, 4.0]


def _backed_off(rtt: RttEstimator) -> float:
    rtt.back_off()
    return rtt.rto


def test_a_spurious_timeout_makes_the_rto_longer_than_the_answer_took() -> None:
    rtt = RttEstimator(1.0, 0.2, 60.0)
    rtt.sample(0.1)
    rtt.back_off()
    rtt.on_spurious_timeout(4.0)
    assert (rtt.srtt, rtt.rto) == (4.0, 12.0)


def test_but_not_by_all_of_an_outage_where_timeouts_are_linear() -> None:
    rtt = RttEstimator(1.0, 0.2, 60.0, 20)
    rtt.sample(0.1)
    rtt.back_off()
    rtt.on_spurious_timeout(4.0)
    assert (rtt.srtt, rtt.rto) == (0.5, 1.5)
