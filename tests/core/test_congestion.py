"""How much may be in flight, by RFC 5681 and 6928."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rudp.core.congestion import ALGORITHMS, INFINITE_SSTHRESH, CongestionControl, Reno
from rudp.core.congestion import initial_cwnd as initial

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
    cc.on_ack(300, True, 1.0)
    cc.on_ack(2 * MSS, True, 1.0)
    assert cc.cwnd == 12300


def test_cwnd_that_was_not_used_does_not_grow() -> None:
    cc = reno()
    cc.on_ack(5 * MSS, False, 1.0)
    assert cc.cwnd == 10 * MSS


def test_congestion_avoidance_adds_a_segment_for_each_window() -> None:
    cc = reno(ssthresh=10 * MSS)
    for _ in range(9):
        cc.on_ack(MSS, True, 1.0)
    assert cc.cwnd == 10 * MSS
    cc.on_ack(MSS, True, 1.0)
    assert cc.cwnd == 11 * MSS
    cc.on_ack(14 * MSS, True, 1.0)
    assert cc.cwnd == 12 * MSS
    cc.on_ack(9 * MSS, True, 1.0)  # 3 of the 14 count for this round
    assert cc.cwnd == 13 * MSS


def test_slow_start_ends_at_ssthresh_within_one_ack() -> None:
    cc = reno(ssthresh=12 * MSS)
    cc.on_ack(20 * MSS, True, 1.0)
    # 2 segments of slow start; the other 18 make one round of avoidance, and half of another.
    assert cc.cwnd == 13 * MSS


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
    cc.on_ack(9 * MSS, True, 1.0)
    cc.on_loss(10 * MSS, 1.0)
    cc.on_ack(4 * MSS, True, 1.0)
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
    cc.on_idle(1.0)
    assert (cc.cwnd, cc.ssthresh) == (10 * MSS, 30 * MSS)
    cc.cwnd = 3 * MSS
    cc.on_idle(1.0)
    assert cc.cwnd == 3 * MSS


def test_recovery_ends_with_cwnd_as_the_loss_left_it() -> None:
    cc = reno(cwnd=20 * MSS)
    cc.on_loss(20 * MSS, 1.0)
    cc.on_recovered(2.0)
    assert cc.cwnd == 10 * MSS


def test_the_names_that_config_knows_are_congestion_controls() -> None:
    assert ALGORITHMS["reno"] is Reno
    assert all(issubclass(each, CongestionControl) for each in ALGORITHMS.values())


@given(
    st.lists(st.tuples(st.sampled_from("aalt"), st.integers(1, 10**6), st.booleans())),
    st.integers(200, 65483),
)
def test_cwnd_is_never_below_one_segment(events: list[tuple[str, int, bool]], mss: int) -> None:
    cc = Reno(mss, 10)
    for what, amount, flag in events:
        before = cc.cwnd
        if what == "a":
            cc.on_ack(amount, flag, 1.0)
            assert before <= cc.cwnd <= before + max(amount, mss)
        elif what == "l":
            cc.on_loss(amount, 1.0)
        else:
            cc.on_timeout(amount, flag, 1.0)
        assert cc.cwnd >= mss
        assert cc.ssthresh >= 2 * mss
