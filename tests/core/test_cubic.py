"""CUBIC by the equations of RFC 9438, worked out by hand.

Segments have 1000 bytes, so C is 400 bytes per second cubed. From a window of 1000 segments a loss
leaves 700, and K = cbrt((1000 - 700) / 0.4) = cbrt(750) = 9.0856 s.
"""

from __future__ import annotations

import pytest

from rudp.core.congestion import Cubic
from tests.core.acks import heard

MSS = 1000
K = 9.085602964


def cubic(cwnd: int, ssthresh: int | None = None) -> Cubic:
    cc = Cubic(MSS, 10)
    cc.cwnd = cwnd
    cc.ssthresh = cwnd if ssthresh is None else ssthresh
    return cc


def reduced(segments: int = 1000) -> Cubic:
    """A loss at time 0 at a window of so many segments, and it is repaired."""
    cc = cubic(segments * MSS)
    cc.on_loss(segments * MSS, 0.0)
    cc.on_recovered(0.0)
    heard(cc, MSS, 0.0, srtt=0.001)  # ends the recovery
    return cc


def ticks(cc: Cubic, start: float, end: float, srtt: float = 0.1) -> None:
    """A window of data arrives in each round trip, in ten ACKs."""
    for n in range(round((end - start) / srtt * 10)):
        heard(cc, cc.cwnd // 10, start + n * srtt / 10, srtt=srtt)


def test_a_loss_leaves_seven_tenths_of_what_was_in_flight() -> None:
    cc = cubic(1000 * MSS)
    cc.on_loss(900 * MSS, 0.0)
    assert cc.ssthresh == 630 * MSS


def test_a_loss_leaves_two_segments_at_least() -> None:
    cc = cubic(2 * MSS)
    cc.on_loss(2 * MSS, 0.0)
    assert cc.ssthresh == 2 * MSS


def test_a_mark_of_ecn_counts_as_a_loss() -> None:
    cc = cubic(1000 * MSS)
    cc.on_ecn(1000 * MSS, 0.0)
    assert cc.ssthresh == 700 * MSS


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        # W_cubic(t) = 0.4 * (t - 9.0856)**3 + 1000 segments
        (2.0, 857.7),  # -355.716 * 0.4 = -142.3
        (5.0, 972.7),  # -68.18 * 0.4 = -27.3
        (9.085, 1000.0),
        (12.0, 1009.9),  # 24.75 * 0.4
        (15.0, 1082.7),  # 206.9 * 0.4
    ],
)
def test_the_window_follows_the_cubic_function(after: float, expected: float) -> None:
    cc = reduced()
    ticks(cc, 0.0, after)
    assert cc.cwnd == pytest.approx(expected * MSS, rel=0.01)


def test_the_window_of_a_long_path_grows_by_time_and_not_by_round_trips() -> None:
    for srtt in (0.05, 0.4):
        cc = reduced()
        ticks(cc, 0.0, 8.0, srtt)
        assert cc.cwnd == pytest.approx(0.4 * (8 - K) ** 3 * MSS + 1000 * MSS, rel=0.01)


def test_one_ack_moves_the_window_towards_a_round_trip_from_now() -> None:
    """Section 4.4: cwnd grows by (target - cwnd)/cwnd for each segment."""
    cc = reduced()
    heard(cc, MSS, 1.0, srtt=0.5)  # congestion avoidance begins: t = 0
    # t + RTT = 1.5: 0.4 * (1.5 - 9.0856)**3 + 1000 = 825.4; a tenth of (825.4 - 700) arrives
    cc.cwnd = 700 * MSS
    heard(cc, 70 * MSS, 2.0, srtt=0.5)
    assert cc.cwnd == pytest.approx(700 * MSS + 12_540, abs=10)


def test_growth_by_less_than_a_byte_is_not_lost() -> None:
    cc = reduced()
    heard(cc, MSS, 1.0, srtt=0.5)
    cc.cwnd = 700 * MSS
    for _ in range(100):
        heard(cc, 2, 2.0, srtt=0.5)  # 125,400 * 2 / 700,000 = 0.358 bytes each
    assert cc.cwnd == pytest.approx(700 * MSS + 35.8, abs=1.1)


def test_no_round_trip_adds_more_than_half_a_window() -> None:
    cc = reduced()
    heard(cc, MSS, 0.0, srtt=0.1)
    before = cc.cwnd
    heard(cc, before, 60.0, srtt=0.1)  # the curve is at 53,000 segments
    assert cc.cwnd == pytest.approx(1.5 * before, abs=1)


def test_a_small_window_grows_as_renos_would() -> None:
    """Section 4.3: 0.529 segments a round trip, from 7 after a loss at 10."""
    cc = reduced(10)
    ticks(cc, 0.0, 0.4, srtt=0.1)
    # K is cbrt(3 / 0.4) = 1.957 s: the curve has reached 0.4 * (0.4 - 1.957)**3 + 10 = 8.49 in
    # 0.4 s, and Reno's 7 + 4 * 0.529 = 9.1
    assert cc.cwnd == pytest.approx(9.1 * MSS, rel=0.03)


def test_beyond_the_last_window_a_reno_friendly_one_grows_by_a_segment_a_round_trip() -> None:
    """alpha_cubic is 1 once W_est has reached cwnd_prior."""
    cc = reduced(10)
    ticks(cc, 0.0, 1.0, srtt=0.02)
    # 3 segments at 0.529 a round trip take 5.67; 44.3 more are left of 50: 54.3
    assert cc.cwnd == pytest.approx(54.3 * MSS, rel=0.04)


def test_a_second_loss_below_the_last_window_leaves_room_for_others() -> None:
    """Fast convergence, section 4.7: W_max = cwnd * (1 + 0.7)/2 = 0.85 * 900."""
    cc = reduced()
    cc.cwnd = 900 * MSS
    cc.on_loss(900 * MSS, 5.0)
    cc.on_recovered(5.0)
    heard(cc, MSS, 5.0)
    assert cc.cwnd == 630 * MSS
    # K = cbrt((765 - 630) / 0.4) = 6.962 s, where the window is 765 again; half way it has
    # 0.4 * 3.481**3 = 16.9 less.
    ticks(cc, 5.0, 5.0 + 3.48)
    assert cc.cwnd == pytest.approx(748 * MSS, rel=0.01)
    ticks(cc, 5.0 + 3.48, 5.0 + 6.96)
    assert cc.cwnd == pytest.approx(765 * MSS, rel=0.01)


def test_a_second_loss_at_the_last_window_gives_nothing_up() -> None:
    """Section 4.7: only a window that is *less* than W_max makes room."""
    cc = reduced()
    cc.cwnd = 1000 * MSS
    cc.on_loss(1000 * MSS, 5.0)
    cc.on_recovered(5.0)
    heard(cc, MSS, 5.0, srtt=0.001)
    ticks(cc, 5.0, 5.0 + K)
    assert cc.cwnd == pytest.approx(1000 * MSS, rel=0.01)


def test_after_a_timeout_the_curve_begins_at_its_turning_point() -> None:
    """Section 4.8: K = 0, and W_max is the window that congestion avoidance begins with."""
    cc = cubic(1000 * MSS)
    cc.on_timeout(1000 * MSS, True, 0.0)
    assert (cc.cwnd, cc.ssthresh) == (MSS, 700 * MSS)
    cc.on_recovered(1.0)
    cc.cwnd = 700 * MSS
    ticks(cc, 10.0, 20.0)
    # Reno's: 700 + 100 * 0.529 = 753; the curve: 0.4 * 10**3 + 700 = 1100
    assert cc.cwnd == pytest.approx(1100 * MSS, rel=0.02)


def test_time_that_the_window_was_not_used_is_no_time_to_grow_by() -> None:
    """Section 5.8."""
    cc = reduced()
    ticks(cc, 0.0, 2.0)
    heard(cc, MSS, 2.0, cwnd_limited=False)
    heard(cc, MSS, 30.0, cwnd_limited=False)
    ticks(cc, 32.0, 35.0)
    assert cc.cwnd == pytest.approx(972.7 * MSS, rel=0.01)  # as 5 s after the loss


def test_a_pause_without_any_ack_is_no_time_to_grow_by_either() -> None:
    cc = reduced()
    ticks(cc, 0.0, 2.0)
    cc.on_restart(2.0, 3.0, 4.0)
    ticks(cc, 4.0, 7.0)
    assert cc.cwnd == pytest.approx(972.7 * MSS, rel=0.005)


def test_a_pause_that_began_with_an_ack_is_counted_once() -> None:
    cc = reduced()
    ticks(cc, 0.0, 2.0)
    heard(cc, MSS, 2.0, cwnd_limited=False)
    cc.on_restart(2.0, 3.0, 4.0)
    ticks(cc, 4.0, 7.0)
    assert cc.cwnd == pytest.approx(972.7 * MSS, rel=0.005)


def test_a_loss_that_was_none_restores_the_curve() -> None:
    """Section 4.9."""
    cc = reduced()
    ticks(cc, 0.0, 5.0)
    before = (cc.cwnd, cc.ssthresh)
    cc.on_loss(cc.cwnd, 5.0)
    heard(cc, MSS, 5.0, in_flight=600 * MSS, recovering=True)
    cc.on_undo(5.1)
    assert (cc.cwnd, cc.ssthresh) == before
    ticks(cc, 5.1, 12.1)
    assert cc.cwnd == pytest.approx(1009.9 * MSS, rel=0.01)


def test_a_timeout_that_was_none_restores_the_curve() -> None:
    cc = reduced()
    ticks(cc, 0.0, 5.0)
    before = (cc.cwnd, cc.ssthresh)
    cc.on_timeout(cc.cwnd, True, 5.0)
    cc.on_undo(5.1)
    assert (cc.cwnd, cc.ssthresh) == before
    ticks(cc, 5.1, 12.1)
    assert cc.cwnd == pytest.approx(1009.9 * MSS, rel=0.01)


def test_after_idleness_the_curve_begins_anew_as_after_a_timeout() -> None:
    """RFC 9438 section 4.8 by analogy: RFC 7661 has left three quarters as threshold."""
    cc = reduced()
    ticks(cc, 0.0, 2.0)
    cc.cwnd = 800 * MSS
    cc.on_restart(30.0, 0.3, 32.0)
    assert (cc.cwnd, cc.ssthresh) == (10 * MSS, 700 * MSS)
    cc.cwnd = 700 * MSS
    ticks(cc, 40.0, 50.0)
    # Its turning point is where it begins: 0.4 * 10**3 + 700 = 1100; the old curve had W_max 1000.
    assert cc.cwnd == pytest.approx(1100 * MSS, rel=0.02)


def test_below_the_start_of_the_curve_the_window_stays() -> None:
    """Section 4.4: the target is no less than cwnd."""
    cc = reduced()
    heard(cc, MSS, 0.0, srtt=0.1)
    cc.cwnd = 900 * MSS  # the curve is at 700
    heard(cc, 90 * MSS, 0.1, srtt=0.1)
    assert cc.cwnd == 900 * MSS
