"""Reno, and the window that every loss-based algorithm shares: RFC 5681, 6928, 7661."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rudp.core.congestion import ALGORITHMS, INFINITE_SSTHRESH, CongestionControl, Reno
from rudp.core.congestion import initial_cwnd as initial
from tests.core.acks import heard

MSS = 1000


def reno(cwnd: int = 10 * MSS, ssthresh: int = INFINITE_SSTHRESH) -> Reno:
    cc = Reno(MSS, 10)
    cc.cwnd = cwnd
    cc.ssthresh = ssthresh
    return cc


@pytest.mark.parametrize(
    ("mss", "expected"),
    [(536, 5360), (1000, 10000), (1452, 14520), (1460, 14600), (5000, 14600), (8948, 17896)],
)
def test_the_initial_window_is_ten_segments_within_rfc_6928(mss: int, expected: int) -> None:
    assert initial(mss, 10) == expected == min(10 * mss, max(2 * mss, 14600))
    assert Reno(mss, 10).cwnd == expected


def test_an_initial_window_of_one_segment_is_one_segment() -> None:
    assert initial(1452, 1) == 1452
    assert initial(65483, 1) == 65483


def test_a_connection_begins_in_slow_start() -> None:
    cc = Reno(MSS, 10)
    assert cc.cwnd < cc.ssthresh


def test_slow_start_grows_by_what_was_acknowledged() -> None:
    cc = reno()
    heard(cc, 300, 1.0)
    heard(cc, 2 * MSS, 1.0)
    assert cc.cwnd == 12300


def test_cwnd_that_was_not_used_does_not_grow() -> None:
    cc = reno()
    heard(cc, 5 * MSS, 1.0, cwnd_limited=False)
    assert cc.cwnd == 10 * MSS


def test_congestion_avoidance_adds_a_segment_for_each_window() -> None:
    cc = reno(ssthresh=10 * MSS)
    for _ in range(9):
        heard(cc, MSS, 1.0)
    assert cc.cwnd == 10 * MSS
    heard(cc, MSS, 1.0)
    assert cc.cwnd == 11 * MSS
    heard(cc, 14 * MSS, 1.0)
    assert cc.cwnd == 12 * MSS
    heard(cc, 9 * MSS, 1.0)  # 3 of the 14 count for this round
    assert cc.cwnd == 13 * MSS
    heard(cc, 12_999, 1.0)  # and nothing of those for the next
    assert cc.cwnd == 13 * MSS


def test_slow_start_ends_at_ssthresh_within_one_ack() -> None:
    cc = reno(ssthresh=12 * MSS)
    heard(cc, 20 * MSS, 1.0)
    # 2 segments of slow start; the other 18 make one round of avoidance, and half of another.
    assert cc.cwnd == 13 * MSS


def test_slow_start_may_pass_ssthresh_by_less_than_a_segment() -> None:
    cc = reno(cwnd=11_500, ssthresh=12 * MSS)
    heard(cc, MSS, 1.0)
    assert cc.cwnd == 12_500


def test_a_loss_halves_the_window() -> None:
    cc = reno(cwnd=20 * MSS)
    cc.on_loss(16 * MSS, 1.0)
    assert (cc.cwnd, cc.ssthresh) == (8 * MSS, 8 * MSS)


def test_a_loss_leaves_two_segments_at_least() -> None:
    cc = reno()
    cc.on_loss(MSS, 1.0)
    assert (cc.cwnd, cc.ssthresh) == (2 * MSS, 2 * MSS)


def test_a_loss_begins_the_count_of_avoidance_anew() -> None:
    cc = reno(ssthresh=10 * MSS)
    heard(cc, 9 * MSS, 1.0)
    cc.on_loss(10 * MSS, 1.0)
    heard(cc, 4 * MSS, 1.0)
    assert cc.cwnd == 5 * MSS


def test_a_timeout_leaves_one_segment_and_half_as_threshold() -> None:
    cc = reno(cwnd=20 * MSS)
    cc.on_timeout(20 * MSS, True, 1.0)
    assert (cc.cwnd, cc.ssthresh) == (MSS, 10 * MSS)


def test_a_second_timeout_on_the_same_data_keeps_the_threshold() -> None:
    cc = reno(cwnd=20 * MSS)
    cc.on_timeout(20 * MSS, True, 1.0)
    cc.on_timeout(MSS, False, 3.0)
    assert (cc.cwnd, cc.ssthresh) == (MSS, 10 * MSS)


def test_idleness_takes_cwnd_back_to_the_restart_window() -> None:
    cc = reno(cwnd=50 * MSS, ssthresh=30 * MSS)
    cc.on_restart(0.29, 0.3, 1.0)
    assert (cc.cwnd, cc.ssthresh) == (50 * MSS, 30 * MSS)
    cc.on_restart(0.3, 0.3, 1.0)
    assert cc.cwnd == 10 * MSS
    cc.cwnd = 3 * MSS
    cc.on_restart(1.0, 0.3, 1.0)
    assert cc.cwnd == 3 * MSS


def test_idleness_leaves_three_quarters_of_the_window_as_threshold() -> None:
    """RFC 7661 section 4.4.3: what the path took before, slow start may reach again."""
    cc = reno(cwnd=50 * MSS, ssthresh=30 * MSS)
    cc.on_restart(1.0, 0.3, 1.0)
    assert cc.ssthresh == 37_500
    cc = reno(cwnd=32 * MSS, ssthresh=30 * MSS)
    cc.on_restart(1.0, 0.3, 1.0)
    assert cc.ssthresh == 30 * MSS


def test_a_window_not_used_for_five_minutes_is_halved() -> None:
    """RFC 7661 section 4.4.3, and again after each further five minutes."""
    cc = reno(cwnd=38 * MSS, ssthresh=20 * MSS)
    heard(cc, MSS, 10.0)
    for now in (10.1, 310.0):
        heard(cc, MSS, now, cwnd_limited=False)
        assert cc.cwnd == 38 * MSS
    heard(cc, MSS, 310.2, cwnd_limited=False)
    assert (cc.cwnd, cc.ssthresh) == (19 * MSS, 28_500)
    heard(cc, MSS, 610.0, cwnd_limited=False)
    assert cc.cwnd == 19 * MSS
    heard(cc, MSS, 610.3, cwnd_limited=False)
    assert cc.cwnd == 10 * MSS


def test_a_window_no_larger_than_at_the_beginning_is_left_alone_when_not_used() -> None:
    cc = reno(cwnd=10 * MSS, ssthresh=2 * MSS)
    heard(cc, MSS, 10.0, cwnd_limited=False)
    heard(cc, MSS, 311.0, cwnd_limited=False)
    assert (cc.cwnd, cc.ssthresh) == (10 * MSS, 2 * MSS)


def test_recovery_ends_with_cwnd_as_the_loss_left_it() -> None:
    cc = reno(cwnd=20 * MSS)
    cc.on_loss(20 * MSS, 1.0)
    cc.on_recovered(2.0)
    assert cc.cwnd == 10 * MSS


def test_the_names_that_config_knows_are_congestion_controls() -> None:
    assert ALGORITHMS["reno"] is Reno
    assert all(issubclass(each, CongestionControl) for each in ALGORITHMS.values())


@given(
    st.lists(st.tuples(st.sampled_from("aalrtiu"), st.integers(1, 10**6), st.booleans())),
    st.integers(200, 65483),
)
def test_cwnd_is_never_below_one_segment(events: list[tuple[str, int, bool]], mss: int) -> None:
    cc, highest, sacked = Reno(mss, 10), initial(mss, 10), 0
    for what, amount, flag in events:
        before = cc.cwnd
        if what == "a":
            heard(cc, amount, progress=flag, in_flight=min(amount, cc.ssthresh), srtt=0.1)
            sacked = amount + sacked  # it may count only now
            assert cc.cwnd <= max(before + max(sacked, mss), cc.ssthresh + mss)
            sacked = 0 if flag else sacked
            assert cc.pacing_rate > 0
        elif what == "l":
            cc.on_loss(amount, 1.0)
        elif what == "r":
            cc.on_recovered(1.0)
        elif what == "i":
            cc.on_restart(1.0, 0.3, 1.0)
        elif what == "u":
            cc.on_undo(1.0)
            assert cc.cwnd <= max(before, highest)
        else:
            cc.on_timeout(amount, flag, 1.0)
        highest = max(highest, cc.cwnd)
        assert cc.cwnd >= mss
        assert cc.ssthresh >= 2 * mss
