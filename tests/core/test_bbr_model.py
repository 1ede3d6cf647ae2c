"""BBRv3's model of the path, each formula by itself (draft-ietf-ccwg-bbr section 5.5 and 5.6).

Segments have 1000 bytes. The path delivers 1 MB/s in 100 ms: its BDP is 100,000 bytes.
"""

from __future__ import annotations

import math

import pytest

from rudp.core.congestion import AckSample, Bbr
from rudp.core.congestion.bbr_model import (
    MAX_BACKGROUND_LOSS,
    PROBE_CRUISE,
    PROBE_DOWN,
    PROBE_UP,
    STARTUP,
    PathModel,
)

MSS = 1000
BDP = 100_000


def model(state: int = PROBE_CRUISE) -> PathModel:
    """It has seen the path, and its window is two BDP."""
    cc = Bbr(MSS, 10)
    cc.state = state
    cc.bw = cc.max_bw = 1e6
    cc.min_rtt = 0.1
    cc.cwnd = 2 * BDP
    return cc


def sample(**said: float) -> AckSample:
    each = AckSample()
    for name, value in said.items():
        setattr(each, name, value)
    return each


# Volumes.


def test_the_bdp_is_the_bandwidth_times_the_least_round_trip() -> None:
    cc = model()
    assert cc.bdp_multiple(2e6, 0.5) == pytest.approx(BDP)
    cc.min_rtt = math.inf
    assert cc.bdp_multiple(2e6, 0.5) == 10 * MSS  # InitialCwnd, before a measurement


def test_the_target_is_the_bdp_and_no_more_than_cwnd() -> None:
    cc = model()
    assert cc.target_inflight() == pytest.approx(BDP)
    cc.cwnd = 30_000
    assert cc.target_inflight() == 30_000


@pytest.mark.parametrize(
    ("pacing_rate", "least"),
    [
        (1e6, 6 * MSS),  # a quantum is two segments at least
        (10e6, 30_000),  # a millisecond of the rate
        (100e6, 3 * 65_536),  # and 64 KiB at most
    ],
)
def test_a_volume_is_three_quanta_at_least(pacing_rate: float, least: float) -> None:
    cc = model()
    cc.pacing_rate = pacing_rate
    assert cc.quantization_budget(5000.0) == least
    assert cc.quantization_budget(300_000.0) == 300_000.0


def test_probing_takes_two_segments_more() -> None:
    cc = model(PROBE_UP)
    cc.pacing_rate = 1e6
    assert cc.quantization_budget(50_000.0) == 52_000.0
    assert cc.quantization_budget(0.0) == 8000.0


@pytest.mark.parametrize(
    ("longterm", "left"),
    [(math.inf, math.inf), (100_000.0, 85_000.0), (6000.0, 5000.0), (4500.0, 4000.0)],
    ids=["no bound", "15 %", "a segment at least", "four segments are kept"],
)
def test_headroom_is_left_to_others(longterm: float, left: float) -> None:
    cc = model()
    cc.inflight_longterm = longterm
    assert cc.inflight_with_headroom() == pytest.approx(left)


# How much loss is too much.


def test_more_than_two_per_cent_of_what_was_in_flight_is_too_much() -> None:
    cc = model()
    assert not cc.is_inflight_too_high(2000, BDP)
    assert cc.is_inflight_too_high(2001, BDP)


def test_what_is_always_lost_and_two_standard_deviations_come_on_top() -> None:
    cc = model()
    cc.background_loss = 0.01
    # 1000 bytes are expected; of segments of 1000 that is one, and so is its deviation.
    assert cc._explained(float(BDP)) == pytest.approx(1000 + 2 * 1000)
    assert not cc.is_inflight_too_high(5000, BDP)
    assert cc.is_inflight_too_high(5001, BDP)


def test_a_round_with_no_more_loss_than_always_is_explained() -> None:
    cc = model()
    assert not cc.was_loss_unexplained()
    cc.inflight_latest, cc.lost_in_round = 97_000, 3000
    assert cc.was_loss_unexplained()
    cc.background_loss = 0.01
    assert not cc.was_loss_unexplained()
    cc.inflight_latest, cc.lost_in_round = 96_000, 4000
    assert cc.was_loss_unexplained()


def test_the_volume_at_loss_is_where_two_per_cent_were_crossed() -> None:
    """InflightAtLoss(): of a flight of 100,000 the last 5000 were lost, 1000 before them."""
    cc = model()
    # inflight_prev = 95,000, lost_prev = 1000: (0.02 * 95,000 - 1000) / 0.98 = 918.4
    assert cc.inflight_at_loss(6000, BDP, 5000) == pytest.approx(95_918.4, abs=0.1)
    cc.background_loss = 0.01
    # (0.03 * 95,000 - 1000) / 0.97 = 1907.2
    assert cc.inflight_at_loss(6000, BDP, 5000) == pytest.approx(96_907.2, abs=0.1)
    assert cc.inflight_at_loss(500, 800, 1000) == 0.0


# Loss that has nothing to do with us.


def watched(rtt: float, *, lost: int, state: int = PROBE_CRUISE, acked: int = 90_000) -> float:
    """The background loss after a round that was all one ACK."""
    cc = model(state)
    cc.round_start = True
    cc.update_background_loss(sample(rtt=rtt, min_rtt=0.1, acked=acked), lost)
    return cc.background_loss


def test_the_share_of_loss_is_measured_while_no_queue_stands() -> None:
    # Up to 100 ms * 1.125 and 4 ms on top.
    assert watched(0.1164, lost=2000) == pytest.approx(2000 / 92_000)
    assert watched(0.1166, lost=2000) == 0.0
    assert watched(0.1164, lost=2000, state=PROBE_UP) == 0.0
    assert watched(0.1164, lost=2000, state=PROBE_DOWN) == pytest.approx(2000 / 92_000)


def test_the_share_is_measured_on_more_than_fifty_segments_and_is_bounded() -> None:
    assert watched(0.1, lost=1000, acked=49_000) == 0.0
    assert watched(0.1, lost=1000, acked=49_001) == pytest.approx(1000 / 50_001)
    assert watched(0.1, lost=9000) == MAX_BACKGROUND_LOSS


def test_an_ack_that_measures_nothing_leaves_the_last_word_on_the_queue() -> None:
    cc = model()
    cc.update_background_loss(sample(rtt=0.1, min_rtt=0.1, acked=40_000), 0)
    cc.round_start = True
    cc.update_background_loss(sample(rtt=-1.0, min_rtt=0.1, acked=50_000), 1000)
    assert cc.background_loss == pytest.approx(1000 / 91_000)


def test_a_round_leaves_nineteen_twentieths_of_what_was_measured_before() -> None:
    cc = model()
    cc.round_start = True
    cc.update_background_loss(sample(rtt=0.1, min_rtt=0.1, acked=98_000), 2000)
    cc.update_background_loss(sample(rtt=0.1, min_rtt=0.1, acked=100_000), 0)
    assert cc.background_loss == pytest.approx(0.95 * 2000 / (0.95 * 100_000 + 100_000))


# A round's losses bound rate and volume.


def test_the_short_term_bounds_begin_with_what_was_there() -> None:
    cc = model()
    cc.bw_latest, cc.inflight_latest = 4e5, 30_000
    cc.adapt_lower_bounds()
    assert (cc.bw_shortterm, cc.inflight_shortterm) == (pytest.approx(7e5), pytest.approx(140_000))
    cc.bw_latest, cc.inflight_latest = 6e5, 120_000
    cc.adapt_lower_bounds()
    assert (cc.bw_shortterm, cc.inflight_shortterm) == (6e5, 120_000)


# The latest delivery, and rounds.


def test_a_round_of_losses_begins_with_what_was_sent_after_the_one_before() -> None:
    cc = model()
    cc.loss_round_delivered = 5000
    cc.update_latest_delivery_signals(sample(delivered=9000, prior_delivered=4999))
    assert not cc.loss_round_start
    assert cc.inflight_latest == 4001
    cc.update_latest_delivery_signals(sample(delivered=9500, prior_delivered=5000))
    assert cc.loss_round_start
    assert (cc.inflight_latest, cc.loss_round_delivered) == (4500, 9500)
    cc.update_latest_delivery_signals(sample(delivered=9600, prior_delivered=9000))
    assert cc.inflight_latest == 4500  # the most of them


# Aggregation.


def test_what_is_acknowledged_beyond_the_bandwidth_is_extra() -> None:
    """UpdateACKAggregation(), section 5.5.9: 1 MB/s explains 7812.5 bytes in 1/128 s."""
    cc = model()
    cc.update_ack_aggregation(sample(now=10.0, acked=15_000))
    assert cc.extra_acked == 15_000  # an interval begins
    cc.update_ack_aggregation(sample(now=10.0078125, acked=12_000))
    assert cc.extra_acked == 19_187  # 15,000 + 12,000 - 7812.5
    cc.update_ack_aggregation(sample(now=10.125, acked=3000))  # 27,000 of 125,000: a new one
    assert cc._extra_delivered == 3000
    assert cc.extra_acked == 19_187


def test_no_more_than_cwnd_is_extra() -> None:
    cc = model()
    cc.cwnd = 8000
    cc.update_ack_aggregation(sample(now=10.0, acked=15_000))
    assert cc.extra_acked == 8000


def test_the_extra_is_forgotten_after_ten_rounds() -> None:
    cc = model()
    cc.full_bw_reached = True
    cc.update_ack_aggregation(sample(now=10.0, acked=15_000))
    cc.round_start = True
    found = []
    for n in range(1, 11):
        cc.round_count += 1
        cc.update_ack_aggregation(sample(now=10.0 + n, acked=1000))
        found.append(cc.extra_acked)
    assert found == [15_000] * 9 + [1000]


# Is the pipe full?


def test_a_quarter_more_is_growth_and_three_rounds_without_are_the_end_of_it() -> None:
    """Section 5.3.1.2."""
    cc = model(STARTUP)
    cc.round_start = True
    cc.full_bw = 1024.0
    cc.full_bw_count = 2
    cc.check_full_bw_reached(sample(delivery_rate=1280.0))
    assert (cc.full_bw, cc.full_bw_count, cc.full_bw_reached) == (1280.0, 0, False)
    for count in (1, 2, 3):
        cc.check_full_bw_reached(sample(delivery_rate=1599.0))
        assert (cc.full_bw_count, cc.full_bw_now) == (count, count == 3)
    assert cc.full_bw_reached
    cc.check_full_bw_reached(sample(delivery_rate=9e9))
    assert cc.full_bw == 1280.0  # decided


# The least round trip.


def test_the_least_round_trip_lasts_for_ten_seconds() -> None:
    cc = model()
    cc.min_rtt_stamp = cc.probe_rtt_min_stamp = 10.0
    cc.probe_rtt_min_delay = 0.1
    cc.update_min_rtt(sample(now=15.0, rtt=0.12))
    assert (cc.probe_rtt_expired, cc.probe_rtt_min_delay) == (False, 0.1)
    cc.update_min_rtt(sample(now=15.1, rtt=0.12))
    assert (cc.probe_rtt_expired, cc.probe_rtt_min_delay) == (True, 0.12)
    assert (cc.min_rtt, cc.min_rtt_stamp) == (0.1, 10.0)
    cc.update_min_rtt(sample(now=20.0, rtt=0.13))
    assert cc.min_rtt == 0.1
    cc.update_min_rtt(sample(now=20.05, rtt=0.13))
    assert (cc.min_rtt, cc.min_rtt_stamp) == (0.12, 15.1)
