"""RFC 9937: how much may go out on each ACK while a loss is repaired.

The numbers are worked out from the algorithm in its section 6. Segments have 1000 bytes.
"""

from __future__ import annotations

import pytest

from rudp.core.congestion import Reno
from rudp.core.congestion.prr import Prr
from tests.core.acks import heard

MSS = 1000


def prr(recover_fs: int) -> Prr:
    each = Prr()
    each.begin(recover_fs)
    return each


def test_while_too_much_is_in_flight_what_goes_out_is_in_proportion_to_what_arrives() -> None:
    """20 segments were out, 10 are allowed: every second ACK of a segment lets one out."""
    each, in_flight, sent = prr(20 * MSS), 18 * MSS, []
    for _ in range(8):
        in_flight -= MSS
        room = each.on_ack(MSS, in_flight, 10 * MSS, False, MSS) - in_flight
        whole = room // MSS * MSS
        each.out += whole
        in_flight += whole
        sent.append(whole)
    # CEIL(1000 * 10/20) - 0 = 500, then 1000, ...
    assert sent == [0, MSS, 0, MSS, 0, MSS, 0, MSS]


def test_the_share_is_rounded_up() -> None:
    each = prr(3 * MSS)
    # CEIL(1000 * 2000 / 3000) = 667
    assert each.on_ack(MSS, 2500, 2000, False, MSS) == 2500 + 667


def test_the_first_ack_lets_a_segment_out_even_if_the_share_is_nothing() -> None:
    """Force a fast retransmit upon entering recovery."""
    each = prr(20 * MSS)
    assert each.on_ack(0, 17 * MSS, 10 * MSS, False, MSS) == 18 * MSS
    each.out = MSS
    assert each.on_ack(0, 17 * MSS, 10 * MSS, False, MSS) == 17 * MSS


def test_with_little_in_flight_as_much_goes_out_as_has_arrived() -> None:
    """PRR-CRB: packet conservation, for an ACK that does not show good progress."""
    each = prr(20 * MSS)
    assert each.on_ack(3 * MSS, 4 * MSS, 10 * MSS, False, MSS) == 7 * MSS
    each.out = 3 * MSS
    assert each.on_ack(MSS, 6 * MSS, 10 * MSS, False, MSS) == 7 * MSS


def test_with_little_in_flight_a_safe_ack_lets_out_a_segment_more() -> None:
    """PRR-SSRB: slow start towards ssthresh."""
    each = prr(20 * MSS)
    assert each.on_ack(3 * MSS, 4 * MSS, 10 * MSS, True, MSS) == 8 * MSS


def test_what_was_not_sent_before_is_made_good_now() -> None:
    """prr_delivered - prr_out exceeds DeliveredData: 5 arrived, 2 went out, so 3 may."""
    each = prr(20 * MSS)
    each.on_ack(4 * MSS, 4 * MSS, 10 * MSS, False, MSS)
    each.out = 2 * MSS
    assert each.on_ack(MSS, 5 * MSS, 10 * MSS, False, MSS) == 8 * MSS


def test_never_more_goes_out_than_ssthresh_has_room_for() -> None:
    each = prr(20 * MSS)
    assert each.on_ack(9 * MSS, 7 * MSS, 10 * MSS, True, MSS) == 10 * MSS


@pytest.mark.parametrize("lost", [1, 4, 9])
def test_a_recovery_ends_with_as_much_in_flight_as_ssthresh(lost: int) -> None:
    """20 out, `lost` of them lost, the rest SACKed one by one, then what was sent again."""
    each, ssthresh = prr(20 * MSS), 10 * MSS
    in_flight, queue = (20 - lost) * MSS, 0
    for _ in range(20 - lost):
        in_flight -= MSS
        cwnd = each.on_ack(MSS, in_flight, ssthresh, False, MSS)
        while in_flight + MSS <= cwnd:
            in_flight += MSS
            queue += MSS
            each.out += MSS
    for _ in range(queue // MSS):
        in_flight -= MSS
        cwnd = each.on_ack(MSS, in_flight, ssthresh, True, MSS)
        while in_flight + MSS <= cwnd:
            in_flight += MSS
            each.out += MSS
    assert ssthresh - MSS <= in_flight <= ssthresh


# In an algorithm that is based on a window.


def losing() -> Reno:
    """20 segments were in flight, the first is lost, three SACKs told of it."""
    cc = Reno(MSS, 10)
    cc.cwnd = 20 * MSS
    cc.on_loss(20 * MSS, 1.0)
    heard(cc, MSS, in_flight=16 * MSS, newly_lost=MSS, recovering=True, progress=False)
    return cc


def test_a_loss_lets_the_lost_segment_out_and_halves_the_flight_over_a_round_trip() -> None:
    cc = losing()
    assert cc.ssthresh == 10 * MSS
    assert cc.cwnd == 16 * MSS + 500
    heard(cc, MSS, in_flight=15 * MSS, recovering=True, progress=False)
    assert cc.cwnd == 16 * MSS
    cc.on_sent(MSS, 16 * MSS, 1.0)
    heard(cc, MSS, in_flight=15 * MSS, recovering=True, progress=False)
    assert cc.cwnd == 15 * MSS + 500


def test_only_an_ack_that_advances_and_tells_of_no_loss_is_safe() -> None:
    for progress, newly_lost, sndcnt in [
        (True, 0, 2 * MSS),
        (True, MSS, MSS),
        (False, 0, MSS),
    ]:
        cc = losing()
        cc.on_sent(MSS, 5 * MSS, 1.0)
        heard(cc, MSS, in_flight=4 * MSS, recovering=True, progress=progress, newly_lost=newly_lost)
        assert cc.cwnd == 4 * MSS + sndcnt


def test_recovery_ends_at_ssthresh_and_the_ack_that_ends_it_opens_nothing() -> None:
    cc = losing()
    heard(cc, 8 * MSS, in_flight=3 * MSS, recovering=True)
    cc.on_recovered(2.0)
    heard(cc, 12 * MSS, in_flight=3 * MSS)
    assert cc.cwnd == 10 * MSS
    heard(cc, 10 * MSS)
    assert cc.cwnd == 11 * MSS


def test_a_loss_that_was_none_is_undone() -> None:
    cc = losing()
    cc.on_undo(1.1)
    assert cc.cwnd == 20 * MSS
    assert cc.ssthresh == 1 << 62


def test_a_timeout_that_was_none_is_undone() -> None:
    cc = Reno(MSS, 10)
    cc.cwnd = cc.ssthresh = 20 * MSS
    cc.on_timeout(20 * MSS, True, 1.0)
    cc.on_timeout(20 * MSS, False, 3.0)
    cc.on_undo(3.1)
    assert (cc.cwnd, cc.ssthresh) == (20 * MSS, 20 * MSS)


def test_a_timeout_amid_recovery_is_undone_to_what_was_before_both() -> None:
    cc = losing()
    cc.on_timeout(20 * MSS, True, 2.0)
    cc.on_undo(2.1)
    assert cc.cwnd == 20 * MSS


def test_nothing_is_undone_twice() -> None:
    cc = losing()
    cc.on_undo(1.1)
    cc.cwnd = 5 * MSS
    cc.on_undo(1.2)
    assert cc.cwnd == 5 * MSS


def test_after_a_timeout_an_ack_opens_by_a_segment_at_most() -> None:
    """RFC 3465 section 2.3."""
    cc = Reno(MSS, 10)
    cc.on_timeout(10 * MSS, True, 1.0)
    heard(cc, 5 * MSS, recovering=True)
    assert cc.cwnd == 2 * MSS
    heard(cc, 300, recovering=True)
    assert cc.cwnd == 2300


def test_sacked_data_counts_once_the_ack_moves() -> None:
    """RFC 3042: duplicates leave cwnd as it is; reordering costs nothing in the end."""
    cc = Reno(MSS, 10)
    heard(cc, 2 * MSS, progress=False)
    assert cc.cwnd == 10 * MSS
    heard(cc, MSS)
    assert cc.cwnd == 13 * MSS


def test_the_pacing_rate_leaves_room_for_growth() -> None:
    cc = Reno(MSS, 10)
    heard(cc, 0, srtt=0.1, cwnd_limited=False)
    assert cc.pacing_rate == pytest.approx(2 * 10_000 / 0.1)
    cc.ssthresh = 15 * MSS
    heard(cc, 0, srtt=0.1, cwnd_limited=False)
    assert cc.pacing_rate == pytest.approx(1.2 * 10_000 / 0.1)
