"""BBRv3: what single ACKs and losses do to the model (draft-ietf-ccwg-bbr section 5.5 and 5.6).

The path of most tests delivers 1 MB/s in 100 ms: 100 segments of 1000 bytes are its BDP.
"""

from __future__ import annotations

import math
from typing import Any

import pytest

from rudp.core.congestion import AckSample, Bbr
from rudp.core.congestion.bbr_model import (
    DRAIN,
    PROBE_CRUISE,
    PROBE_DOWN,
    PROBE_REFILL,
    PROBE_RTT,
    PROBE_UP,
    STARTUP,
)
from tests.core.acks import heard

MSS = 1000
RATE = 1_000_000.0
RTT = 0.1
BDP = 100_000


class Path:
    """A flow whose ACKs come as this path would have them; `state` may be set to begin with."""

    def __init__(self, state: int = STARTUP) -> None:
        self.cc = cc = Bbr(MSS, 10)
        self.now = 10.0
        self.delivered = 0
        self.rate = RATE
        cc.on_sent(10 * MSS, 10 * MSS, self.now)
        if state != STARTUP:
            self.round()
            cc.full_bw_reached = True
            cc.state = state
            cc.cwnd = 2 * BDP
            cc.cycle_stamp = self.now
            cc.bw_probe_wait = 2.5

    def ack(self, acked: int = 10 * MSS, **said: Any) -> AckSample:
        """The next ACK, a tenth of a round trip later."""
        self.now += RTT / 10
        self.delivered += acked
        fields = {
            "rtt": RTT,
            "srtt": RTT,
            "min_rtt": RTT,
            "delivered": self.delivered,
            "prior_delivered": max(self.delivered - BDP, 0),
            "delivery_rate": self.rate,
            "in_flight": BDP,
            "tx_in_flight": BDP,
            "cwnd_limited": False,
        }
        return heard(self.cc, acked, self.now, **(fields | said))

    def round(self, **said: Any) -> None:
        for _ in range(10):
            self.ack(**said)


# -- the first numbers -----------------------------------------------------------------------------


def test_it_begins_in_startup_with_the_initial_window_and_paced_as_if_in_a_millisecond() -> None:
    cc = Bbr(MSS, 10)
    assert (cc.state, cc.cwnd) == (STARTUP, 10 * MSS)
    assert cc.pacing_rate == pytest.approx(2.77 * 10_000 / 0.001)


def test_the_first_round_trip_time_sets_the_pacing_rate() -> None:
    path = Path()
    path.ack(delivery_rate=10_000 / RTT)
    assert path.cc.pacing_rate == pytest.approx(2.77 * 10_000 / RTT)


def test_the_fastest_sample_of_two_cycles_is_the_bandwidth() -> None:
    path = Path()
    for rate in (3e5, 9e5, 5e5):
        path.ack(delivery_rate=rate)
    assert path.cc.max_bw == 9e5
    path.cc.advance_max_bw_filter()
    path.ack(delivery_rate=6e5)
    assert path.cc.max_bw == 9e5
    path.cc.advance_max_bw_filter()
    assert path.cc.max_bw == 6e5


def test_what_the_application_limited_counts_only_if_it_is_faster() -> None:
    path = Path()
    path.ack(delivery_rate=5e5)
    path.ack(delivery_rate=4e5, app_limited=True)
    path.cc.advance_max_bw_filter()
    assert path.cc.max_bw == 5e5
    path.ack(delivery_rate=7e5, app_limited=True)
    assert path.cc.max_bw == 7e5


def test_a_round_ends_when_something_arrives_that_was_sent_after_it_began() -> None:
    path = Path()
    path.round()
    before = path.cc.round_count
    for _ in range(5):
        path.round()
    assert path.cc.round_count == before + 5


# -- pacing rate and window ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "pacing", "window"),
    [
        (PROBE_CRUISE, 1.0, 2.0),
        (PROBE_REFILL, 1.0, 2.0),
    ],
)
def test_the_rate_stays_one_per_cent_below_the_bandwidth_and_the_window_is_two_bdp(
    state: int, pacing: float, window: float
) -> None:
    path = Path(state)
    path.cc.start_round(10**9)  # no round ends
    for _ in range(5):
        path.ack()
    assert path.cc.state == state
    assert path.cc.pacing_rate == pytest.approx(0.99 * pacing * RATE)
    assert path.cc.cwnd == pytest.approx(window * BDP + path.cc.extra_acked, abs=1)


def test_probing_paces_a_quarter_faster_and_has_a_larger_window() -> None:
    path = Path(PROBE_UP)
    for _ in range(5):
        path.ack()
    assert path.cc.pacing_rate == pytest.approx(0.99 * 1.25 * RATE)
    assert path.cc.cwnd == pytest.approx(2.25 * BDP + path.cc.extra_acked + 2 * MSS, abs=1)


def test_a_window_below_what_the_model_allows_grows_by_what_arrives() -> None:
    path = Path(PROBE_CRUISE)
    path.cc.cwnd = 50 * MSS
    path.ack()
    assert path.cc.cwnd == 60 * MSS


def test_the_window_keeps_four_segments_even_if_the_bdp_is_less_than_one() -> None:
    path = Path(PROBE_CRUISE)
    path.cc.max_bw = path.cc._bw_cycle = 100.0
    path.cc.cwnd = MSS
    path.ack(delivery_rate=100.0, acked=MSS)
    assert path.cc.cwnd >= 4 * MSS


def test_acks_in_bursts_widen_the_window_by_their_excess() -> None:
    """Section 5.5.9: 50 kB at once, where the rate explains 10 kB."""
    path = Path(PROBE_CRUISE)
    path.round()
    path.ack(acked=60 * MSS)
    # 60 kB came 10 ms after an interval began in which nothing was in excess.
    assert path.cc.extra_acked == pytest.approx(50_000, abs=10_001)
    cwnd = path.cc.cwnd
    assert cwnd == pytest.approx(2 * BDP + path.cc.extra_acked, abs=1)


# -- is the pipe full? -----------------------------------------------------------------------------


def test_three_rounds_with_less_than_a_quarter_more_end_startup() -> None:
    path = Path()
    for rate in (2e5, 4e5, 8e5, 9e5, 9e5):
        path.rate = rate
        path.round()
        assert path.cc.state == STARTUP
    path.round(in_flight=2 * BDP)
    path.ack(in_flight=2 * BDP)
    assert path.cc.state == DRAIN
    assert path.cc.pacing_rate == pytest.approx(0.5 * 0.99 * 9e5)


def test_rounds_that_the_application_limited_never_end_startup() -> None:
    path = Path()
    for _ in range(20):
        path.round(app_limited=True)
    assert path.cc.state == STARTUP


def test_drain_ends_when_no_more_is_in_flight_than_the_bdp() -> None:
    path = Path(DRAIN)
    path.ack(in_flight=BDP + 10 * MSS)
    assert path.cc.state == DRAIN
    path.ack(in_flight=BDP)
    assert path.cc.state in (PROBE_DOWN, PROBE_CRUISE)


def test_drain_ends_after_three_rounds_in_any_case() -> None:
    path = Path(DRAIN)
    path.cc.drain_start_round = path.cc.round_count
    for _ in range(3):
        path.round(in_flight=2 * BDP)
        assert path.cc.state == DRAIN
    path.round(in_flight=2 * BDP)
    path.ack(in_flight=2 * BDP)
    assert path.cc.state == PROBE_DOWN


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


def test_a_loss_that_a_timer_found_is_answered_with_the_next_ack() -> None:
    path = Path(PROBE_UP)
    path.cc.is_bw_probe_sample = True
    path.ack(acked=0, newly_lost=10 * MSS, tx_in_flight=0)
    assert path.cc.state == PROBE_UP
    path.ack(tx_in_flight=130 * MSS, lost=10 * MSS, in_flight=120 * MSS)
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


# -- the least round-trip time ---------------------------------------------------------------------


def test_five_seconds_without_a_shorter_round_trip_call_for_probe_rtt() -> None:
    path = Path(PROBE_CRUISE)
    path.cc.bw_probe_wait = 100.0
    path.cc.rounds_since_probe_up = -1000
    start = path.now
    while path.now < start + 4.8:
        path.ack(rtt=RTT + 0.001)
        assert path.cc.state == PROBE_CRUISE
    while path.now < start + 5.2:
        path.ack(rtt=RTT + 0.001)
    assert path.cc.state == PROBE_RTT
    assert path.cc.cwnd == BDP // 2


def test_probe_rtt_lasts_200_milliseconds_and_a_round_once_the_flight_is_small() -> None:
    path = Path(PROBE_CRUISE)
    path.cc.probe_rtt_min_stamp = path.now - 6
    path.ack(rtt=RTT + 0.001)
    assert path.cc.state == PROBE_RTT
    path.round()  # in flight: too much yet
    entered = path.now
    while path.cc.state == PROBE_RTT:
        path.ack(acked=5 * MSS, in_flight=BDP // 2, prior_delivered=path.delivered - BDP // 2)
    assert path.now - entered == pytest.approx(0.22, abs=0.011)
    assert path.cc.state == PROBE_CRUISE
    path.ack()
    assert path.cc.cwnd >= 2 * BDP


def test_probe_rtt_before_the_pipe_was_full_leads_back_to_startup() -> None:
    path = Path(PROBE_CRUISE)
    path.cc.full_bw_reached = False
    path.cc.state = STARTUP
    path.cc.probe_rtt_min_stamp = path.now - 6
    path.ack(rtt=RTT + 0.001)
    assert path.cc.state == PROBE_RTT
    while path.cc.state == PROBE_RTT:
        path.ack(acked=5 * MSS, in_flight=BDP // 2, prior_delivered=path.delivered - BDP // 2)
    assert path.cc.state == STARTUP


def test_the_slow_samples_of_probe_rtt_say_nothing_of_the_bandwidth() -> None:
    path = Path(PROBE_CRUISE)
    path.cc.probe_rtt_min_stamp = path.now - 6
    path.cc.advance_max_bw_filter()
    path.ack(rtt=RTT + 0.001, delivery_rate=0.0)
    for _ in range(10):
        path.ack(rtt=RTT + 0.001, delivery_rate=4e5)
    assert path.cc.state == PROBE_RTT
    assert path.cc._bw_cycle == 0.0
    assert path.cc.max_bw == RATE


def test_idleness_stands_for_probe_rtt_and_restarts_at_the_bandwidth() -> None:
    path = Path(PROBE_DOWN)
    path.now += 6.0
    path.cc.pacing_rate = 1.0
    path.cc.on_restart(6.0, 0.3, path.now)
    assert path.cc.pacing_rate == pytest.approx(0.99 * RATE)
    path.cc.cycle_stamp = path.now
    path.ack(rtt=RTT + 0.01)
    assert path.cc.state != PROBE_RTT


def test_an_ack_of_all_that_was_out_is_no_idleness() -> None:
    path = Path(PROBE_UP)
    path.ack()
    before = path.cc.pacing_rate
    path.cc.on_restart(0.0001, 0.3, path.now)
    assert path.cc.pacing_rate == before
    assert not path.cc.idle_restart


def test_the_waits_between_probes_spread_from_two_to_three_seconds() -> None:
    waits = []
    for n in range(200):
        cc = Bbr(MSS, 10)
        cc.on_sent(MSS, MSS, 1000 + n * 0.7)
        cc._start_down(0.0, 0)
        waits.append(cc.bw_probe_wait)
    assert min(waits) >= 2.0
    assert max(waits) < 3.0
    assert 2.4 < sum(waits) / len(waits) < 2.6
    assert len(set(waits)) == len(waits)
