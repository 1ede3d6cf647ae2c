"""BBRv3: what losses do to the model, and what takes them back (draft-ietf-ccwg-bbr section 5.5).

The path of most tests delivers 1 MB/s in 100 ms: 100 segments of 1000 bytes are its BDP.
"""

from __future__ import annotations

import math
from typing import Any

import pytest

from rudp.core.congestion.bbr_model import (
    PROBE_CRUISE,
    PROBE_DOWN,
    PROBE_REFILL,
    PROBE_RTT,
    PROBE_UP,
    STARTUP,
)
from tests.core.bbr_path import BDP, MSS, RATE, RTT, Path

# -- losses ----------------------------------------------------------------------------------------


def test_a_loss_outside_of_probing_bounds_rate_and_volume_by_what_was_delivered() -> None:
    path = Path(PROBE_CRUISE)
    path.round()
    path.rate = 8e5
    path.cc.bw_latest = 0.0
    path.round(newly_lost=MSS)
    path.round()
    path.round()
    assert path.cc.bw_shortterm <= RATE
    assert path.cc.bw == path.cc.bw_shortterm == pytest.approx(8e5)
    assert path.cc.inflight_shortterm >= 0.7 * BDP


def test_a_loss_of_what_a_probe_sent_is_answered_by_the_end_of_the_probe_alone() -> None:
    """Reordering lets losses be found late: a probe that filled the queue is over by then."""
    path = Path(PROBE_UP)
    cc = path.cc
    cc.is_bw_probe_sample = True
    path.ack(tx_in_flight=130 * MSS, lost=5 * MSS, newly_lost=5 * MSS, in_flight=120 * MSS)
    assert cc.state == PROBE_DOWN
    ended = path.delivered
    said: dict[str, Any] = {"in_flight": 120 * MSS, "rtt": 2 * RTT}  # the queue stands yet
    path.round(newly_lost=MSS, lost_prior_delivered=ended - MSS, **said)
    path.round(**said)
    assert cc.bw_shortterm == cc.inflight_shortterm == math.inf
    path.round(newly_lost=MSS, lost_prior_delivered=ended, **said)
    path.round(**said)
    assert cc.bw_shortterm < math.inf
    assert cc.inflight_shortterm < math.inf


def test_a_round_of_losses_takes_three_tenths_at_most() -> None:
    path = Path(PROBE_CRUISE)
    path.round()
    path.rate = 1e5
    path.cc.note_loss(path.delivered)
    path.cc.bw_latest = 0.0
    path.cc.lost_in_round = 10 * MSS
    path.round()
    path.ack()
    assert path.cc.bw_shortterm == pytest.approx(0.7 * RATE)


def test_a_refill_forgets_the_short_term() -> None:
    path = Path(PROBE_CRUISE)
    path.cc.bw_shortterm = 5e5
    path.cc.inflight_shortterm = 50_000.0
    path.now += 3.0  # longer than bw_probe_wait
    path.cc.probe_rtt_min_stamp = path.now
    path.ack()
    assert path.cc.state == PROBE_REFILL
    assert path.cc.bw_shortterm == path.cc.inflight_shortterm == math.inf


def test_two_per_cent_of_loss_while_probing_set_the_volume_that_is_too_much() -> None:
    path = Path(PROBE_UP)
    path.cc.is_bw_probe_sample = True
    path.ack(tx_in_flight=130 * MSS, lost=2 * MSS, newly_lost=2 * MSS)
    assert path.cc.state == PROBE_UP  # 2 of 130 are less than 2 %
    path.ack(tx_in_flight=130 * MSS, lost=5 * MSS, newly_lost=3 * MSS, in_flight=120 * MSS)
    assert path.cc.state == PROBE_DOWN
    # Before these three, 127 were in flight and 2 lost; 2 % are reached (0.02 * 127 - 2) / 0.98 =
    # 0.55 segments further on.
    assert path.cc.inflight_longterm == pytest.approx(127_551, abs=1)
    assert path.cc.prev_probe_too_high


def test_too_much_is_no_less_than_seven_tenths_of_the_target() -> None:
    path = Path(PROBE_UP)
    path.cc.is_bw_probe_sample = True
    path.ack(tx_in_flight=30 * MSS, lost=20 * MSS, newly_lost=20 * MSS)
    assert path.cc.inflight_longterm == pytest.approx(0.7 * BDP, abs=1)


def test_too_much_is_what_was_in_flight_with_what_is_lost_not_with_what_tells_of_it() -> None:
    """Reordering lets losses be found late, and by then what is in flight may be half of it."""
    path = Path(PROBE_UP)
    path.cc.is_bw_probe_sample = True
    path.cc.max_bw = path.cc.bw = 0.8 * RATE
    path.ack(
        tx_in_flight=60 * MSS,
        lost=4 * MSS,
        newly_lost=4 * MSS,
        lost_tx_in_flight=130 * MSS,
        lost_since=4 * MSS,
    )
    # (0.02 * 126 - 0) / 0.98 = 2.57 beyond the 126 that were there before these four.
    assert path.cc.inflight_longterm == pytest.approx(128_571, abs=1)


def test_two_losses_of_a_large_flight_are_not_too_much_if_a_small_one_tells_of_them() -> None:
    path = Path(PROBE_UP)
    path.cc.is_bw_probe_sample = True
    path.ack(tx_in_flight=60 * MSS, lost=2 * MSS, newly_lost=2 * MSS, lost_tx_in_flight=130 * MSS)
    assert path.cc.state == PROBE_UP
    assert path.cc.inflight_longterm == math.inf


def test_what_is_lost_in_probe_rtt_does_not_say_how_much_is_too_much() -> None:
    path = Path(PROBE_CRUISE)
    cc = path.cc
    cc.is_bw_probe_sample = True  # a ProbeRTT that follows a probe at once
    cc.inflight_longterm = 150_000.0
    path.now += 6.0
    path.ack()
    assert cc.state == PROBE_RTT
    began = path.delivered
    said: dict[str, Any] = {"tx_in_flight": 50 * MSS, "lost": 3 * MSS, "newly_lost": 3 * MSS}
    path.ack(lost_prior_delivered=began, **said)
    assert cc.inflight_longterm == 150_000
    # But what was sent before it began does.
    cc.is_bw_probe_sample = True
    path.ack(lost_prior_delivered=began - 1, **said | {"lost_tx_in_flight": 120 * MSS})
    assert cc.inflight_longterm == pytest.approx(119_388, abs=1)


def test_a_loss_that_a_timer_found_is_answered_at_once() -> None:
    path = Path(PROBE_UP)
    path.cc.is_bw_probe_sample = True
    path.ack(acked=0, newly_lost=10 * MSS, tx_in_flight=0, lost_tx_in_flight=130 * MSS)
    assert path.cc.state == PROBE_DOWN


def test_a_probe_is_answered_for_once() -> None:
    path = Path(PROBE_UP)
    path.cc.is_bw_probe_sample = True
    path.ack(tx_in_flight=130 * MSS, lost=10 * MSS, newly_lost=10 * MSS)
    before = path.cc.inflight_longterm
    path.ack(tx_in_flight=120 * MSS, lost=30 * MSS, newly_lost=20 * MSS)
    assert path.cc.inflight_longterm == before


def test_cruising_leaves_a_seventh_of_what_is_too_much_to_others() -> None:
    path = Path(PROBE_CRUISE)
    path.cc.inflight_longterm = 120_000.0
    path.ack(tx_in_flight=BDP)
    assert path.cc.cwnd == 102_000  # 0.85 of it


def test_the_limit_is_raised_by_one_two_four_segments_a_round_while_it_is_used_up() -> None:
    path = Path(PROBE_UP)
    cc = path.cc
    cc.inflight_longterm = 150_000.0
    cc.cwnd = 150_000
    cc.full_bw = RATE * 10
    cc._raise_inflight_longterm_slope()
    gained = []
    for _ in range(4):
        before = cc.inflight_longterm
        used = {"cwnd_limited": True, "prior_in_flight": cc.cwnd, "in_flight": cc.cwnd}
        path.round(acked=15 * MSS, delivery_rate=0.0, **used)
        gained.append(round((cc.inflight_longterm - before) / MSS))
    assert gained[0] <= 2
    assert gained[1] >= 1
    assert gained[3] >= 2 * gained[1]


def test_a_mark_of_ecn_outside_of_probing_bounds_rate_and_volume_by_what_was_delivered() -> None:
    """RFC 8311 section 4.1: another response than to a loss is allowed, none is not."""
    path = Path(PROBE_CRUISE)
    path.round()
    path.rate = 8e5
    path.cc.bw_latest = 0.0
    path.cc.on_ecn(BDP, path.now)
    path.round()
    path.round()
    assert path.cc.bw == path.cc.bw_shortterm == pytest.approx(8e5)
    assert path.cc.inflight_shortterm >= 0.7 * BDP
    path.rate = 5e5
    path.round()
    path.round()
    assert path.cc.bw_shortterm == pytest.approx(8e5)  # one mark is answered once


def test_a_mark_of_ecn_counts_as_too_much_while_probing() -> None:
    path = Path(PROBE_UP)
    path.cc.is_bw_probe_sample = True
    path.cc.on_ecn(120 * MSS, path.now)
    assert path.cc.state == PROBE_DOWN
    assert path.cc.inflight_longterm == 120 * MSS


# -- loss that has nothing to do with us -----------------------------------------------------------


def test_loss_without_a_queue_is_measured_and_no_longer_answered() -> None:
    path = Path(PROBE_CRUISE)
    for _ in range(20):
        path.ack(acked=97 * MSS, newly_lost=3 * MSS)
    assert path.cc.background_loss == pytest.approx(0.03, abs=0.002)  # of the first ACKs none
    path.cc.reset_short_term_model()
    path.round(newly_lost=300)
    path.round(newly_lost=300)
    assert path.cc.bw_shortterm == math.inf
    path.round(newly_lost=2 * MSS)  # 20 of 120: too many
    path.round()
    assert path.cc.bw_shortterm < math.inf


def test_loss_that_a_timer_found_is_measured_too() -> None:
    path = Path(PROBE_CRUISE)
    for _ in range(20):
        path.ack(acked=0, newly_lost=3 * MSS, rtt=-1.0)
        path.ack(acked=97 * MSS)
    assert path.cc.background_loss == pytest.approx(0.03, abs=0.002)


def test_loss_that_probing_or_a_queue_brings_about_is_none_of_that() -> None:
    path = Path(PROBE_CRUISE)
    for state, rtt in ((PROBE_UP, RTT), (PROBE_CRUISE, 1.5 * RTT)) * 10:
        path.cc.state = state
        path.ack(newly_lost=MSS, rtt=rtt)
    assert path.cc.background_loss == 0.0


def test_no_more_than_five_per_cent_are_taken_as_given() -> None:
    path = Path(PROBE_CRUISE)
    for _ in range(20):
        path.ack(acked=80 * MSS, newly_lost=20 * MSS)
    assert path.cc.background_loss == 0.05


# -- recovery, timeout, undo -----------------------------------------------------------------------


def test_a_timeout_leaves_one_segment_and_what_was_there_comes_back() -> None:
    path = Path(PROBE_CRUISE)
    path.cc.on_timeout(BDP, True, path.now)
    assert path.cc.cwnd == MSS
    path.ack(acked=MSS, recovering=True)
    assert path.cc.cwnd <= 5 * MSS
    path.cc.on_recovered(path.now)
    assert path.cc.cwnd == 2 * BDP


def test_a_loss_that_was_none_restores_the_bounds() -> None:
    path = Path(PROBE_CRUISE)
    path.cc.on_loss(BDP, path.now)
    path.cc.bw_shortterm = 5e5
    path.cc.inflight_shortterm = 60_000.0
    path.cc.cwnd = 60_000
    path.cc.on_undo(path.now)
    assert path.cc.bw_shortterm == path.cc.inflight_shortterm == math.inf
    assert path.cc.cwnd == 2 * BDP


@pytest.mark.parametrize(("losses", "over"), [(5, False), (6, True)])
def test_six_losses_in_a_round_of_recovery_end_startup(losses: int, over: bool) -> None:
    """Section 5.3.1.3."""
    path = Path()
    for _ in range(losses):
        path.ack(newly_lost=MSS, recovering=True, prior_delivered=0, lost=MSS)
    path.cc.loss_round_delivered = 0
    path.ack(recovering=True, lost=5 * MSS)
    assert path.cc.full_bw_reached is over


def test_a_loss_that_was_none_and_ended_a_probe_begins_it_anew() -> None:
    path = Path(PROBE_UP)
    path.cc.is_bw_probe_sample = True
    path.cc.on_loss(130 * MSS, path.now)
    path.ack(tx_in_flight=130 * MSS, lost=10 * MSS, newly_lost=10 * MSS, in_flight=120 * MSS)
    assert path.cc.state == PROBE_DOWN
    path.cc.on_undo(path.now)
    assert path.cc.state == PROBE_REFILL
    assert path.cc.inflight_longterm == math.inf


def test_a_loss_that_was_none_and_ended_startup_lets_it_go_on() -> None:
    path = Path()
    path.round()
    path.cc.on_loss(BDP, path.now)
    for n in range(1, 25):
        path.ack(
            newly_lost=MSS, lost=min(n, 10) * MSS, tx_in_flight=BDP, recovering=True, in_flight=BDP
        )
    assert path.cc.full_bw_reached
    path.cc.undo_state = STARTUP
    path.cc.on_undo(path.now)
    assert path.cc.state == STARTUP
    assert not path.cc.full_bw_reached
