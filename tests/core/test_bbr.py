"""BBRv3: what single ACKs and losses do to the model (draft-ietf-ccwg-bbr section 5.5 and 5.6).

The path of most tests delivers 1 MB/s in 100 ms: 100 segments of 1000 bytes are its BDP.
"""

from __future__ import annotations

import pytest

from rudp.core.congestion import Bbr
from rudp.core.congestion.bbr import (
    ACKS_INIT,
    ACKS_PROBE_FEEDBACK,
    ACKS_PROBE_STARTING,
    ACKS_PROBE_STOPPING,
)
from rudp.core.congestion.bbr_model import (
    DRAIN,
    PROBE_CRUISE,
    PROBE_DOWN,
    PROBE_REFILL,
    PROBE_RTT,
    PROBE_UP,
    STARTUP,
)
from tests.core.bbr_path import BDP, MSS, RATE, RTT, Path

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


def test_a_round_trip_as_short_as_the_least_does_not_put_off_the_next_probe_rtt() -> None:
    """Section 5.3.4.3: only a shorter one does, else a steady path would never be probed."""
    path = Path()
    path.ack()
    stamp = path.cc.probe_rtt_min_stamp
    path.ack()
    assert path.cc.probe_rtt_min_stamp == stamp
    path.ack(rtt=RTT - 0.001)
    assert path.cc.probe_rtt_min_stamp == path.now


def test_four_segments_of_the_present_size_keep_the_pipe_full() -> None:
    cc = Bbr(MSS, 10)
    cc.on_mss(500)
    assert (cc.mss, cc.min_pipe_cwnd) == (500, 2000)


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


def test_after_probe_rtt_the_wait_for_the_next_probe_begins_anew() -> None:
    """Else each ProbeRTT brings one probe more, and a CUBIC beside us has a quarter of the link."""
    path = Path(PROBE_CRUISE)
    path.cc.cycle_stamp = path.now - 1.5
    path.cc.probe_rtt_min_stamp = path.now - 6
    path.ack(rtt=RTT + 0.01)
    while path.cc.state == PROBE_RTT:
        path.ack(in_flight=4 * MSS)
    assert path.cc.state == PROBE_CRUISE
    assert path.cc.cycle_stamp == path.now
    assert 2.0 <= path.cc.bw_probe_wait < 3.0


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


def test_a_probe_that_leaves_room_to_reno_waits_for_none_or_one_round_less() -> None:
    """PickProbeWait(), section 5.3.3.5.3: rounds_since_probe_up begins at 0 or 1."""
    path = Path(PROBE_UP)
    seen = set()
    for _ in range(50):
        path.cc._start_down(path.now, path.delivered)
        seen.add(path.cc.rounds_since_probe_up)
    assert seen == {0, 1}


@pytest.mark.parametrize("state", [PROBE_DOWN, PROBE_CRUISE, PROBE_UP])
def test_what_a_probe_sent_is_judged_from_the_next_round_on_until_the_one_after_it(
    state: int,
) -> None:
    """AdaptLongTermModel(), section 5.5.4: what ACKs tell about is a round late."""
    path = Path(state)
    path.cc.ack_phase = ACKS_PROBE_STARTING
    path.cc.is_bw_probe_sample = True
    path.round()
    assert (path.cc.ack_phase, path.cc.is_bw_probe_sample) == (ACKS_PROBE_FEEDBACK, True)
    path.cc.ack_phase = ACKS_PROBE_STOPPING
    path.cc.max_bw = path.cc._bw_before = 2 * RATE  # of the cycle before: forgotten now
    path.cc.state = state
    path.round(in_flight=2 * BDP)  # too much to go on from ProbeBW_DOWN
    assert path.cc.state == state
    assert (path.cc.ack_phase, path.cc.is_bw_probe_sample) == (ACKS_INIT, False)
    assert path.cc.max_bw == RATE


def test_a_pause_within_probe_rtt_ends_it_when_its_time_is_over() -> None:
    """HandleRestartFromIdle(), section 5.4.1."""
    for state, done, expected in [
        (PROBE_RTT, 0.1, PROBE_CRUISE),
        (PROBE_RTT, -0.1, PROBE_RTT),
        (DRAIN, 0.1, DRAIN),
    ]:
        path = Path(state)
        path.cc.probe_rtt_done_stamp = path.now - done
        path.cc.on_restart(0.5, 0.3, path.now)
        assert path.cc.state == expected
