"""Recoveries that were a mistake, and what proves it: RFC 3708, 3522, 4015, 5682."""

from __future__ import annotations

import pytest

from rudp.core.recovery import Recovery
from rudp.core.sender import Sender
from rudp.core.undo import MAX_OWED, Undo
from tests.core.sending import ack, expire, flush, write
from tests.core.test_sender_recovery import in_flight, seg


def owing(*ranges: tuple[int, int]) -> Undo:
    undo = Undo()
    undo.begin()
    for start, end in ranges:
        undo.on_retransmitted(start, end, 1.0)
    return undo


# DSACKs, alone.


def test_one_dsack_settles_one_retransmission() -> None:
    assert owing((10, 20)).on_dsack(10, 20)


def test_each_retransmission_has_to_be_reported() -> None:
    undo = owing((10, 20), (40, 50))
    assert not undo.on_dsack(40, 50)
    assert undo.on_dsack(10, 20)


def test_a_retransmission_may_be_reported_piece_by_piece_in_any_order() -> None:
    undo = owing((10, 20))
    assert not undo.on_dsack(13, 16)
    assert not undo.on_dsack(10, 13)
    assert undo.on_dsack(16, 20)


def test_a_report_leaves_alone_what_ends_just_before_it() -> None:
    undo = owing((10, 19), (20, 30))
    assert not undo.on_dsack(20, 30)
    assert undo.on_dsack(10, 19)


def test_a_report_may_cover_several() -> None:
    assert owing((10, 20), (30, 40)).on_dsack(5, 45)


def test_the_same_report_again_settles_nothing() -> None:
    undo = owing((10, 20), (30, 40))
    for _ in range(5):
        assert not undo.on_dsack(10, 20)


def test_a_report_of_what_was_not_sent_again_settles_nothing() -> None:
    undo = owing((10, 20))
    assert not undo.on_dsack(20, 30)
    assert not undo.on_dsack(0, 10)
    assert not Undo().on_dsack(0, 10)


def test_what_went_out_a_third_time_cannot_be_settled() -> None:
    undo = owing((10, 20), (15, 25))
    assert not undo.on_dsack(10, 25)
    assert not undo.on_dsack(15, 20)


def test_more_retransmissions_than_the_limit_cannot_be_settled() -> None:
    undo = owing(*((10 * i, 10 * i + 5) for i in range(MAX_OWED + 1)))
    assert not undo.on_dsack(0, 100 * MAX_OWED)


# Fast recovery.


def reordered() -> Sender:
    """Segment 0 was late, taken for lost at 0.1, and sent again."""
    snd = in_flight()
    ack(snd, 1, 0.1, seg(1, 5), echoed=0.0)
    assert flush(snd, 0.1) == [seg(0)]
    assert snd.loss.state is Recovery.FAST
    return snd


def test_an_echo_from_before_the_retransmission_undoes_fast_recovery() -> None:
    snd = reordered()
    ack(snd, seg(5)[0], 0.12, echoed=0.0)
    assert (snd.loss.state, snd.cc.cwnd) == (Recovery.OPEN, 10_000)
    assert snd.loss.rack.reordering_seen


def test_an_echo_of_the_retransmission_does_not() -> None:
    snd = reordered()
    ack(snd, seg(5)[0], 0.2, echoed=0.1)
    assert snd.loss.state is Recovery.FAST


def test_an_echo_within_the_same_tick_proves_nothing() -> None:
    snd = reordered()
    ack(snd, seg(5)[0], 0.2, echoed=0.1002)
    assert snd.loss.state is Recovery.FAST


@pytest.mark.parametrize("ended", [False, True], ids=["in recovery", "after it"])
def test_a_dsack_for_all_that_was_sent_again_undoes_fast_recovery(ended: bool) -> None:
    snd = reordered()
    una = 10_001 if ended else seg(5)[0]
    ack(snd, una, 0.102)
    assert snd.cc.cwnd < 10_000
    ack(snd, una, 0.103, seg(0))
    assert (snd.loss.state, snd.cc.cwnd) == (Recovery.OPEN, 10_000)
    assert snd.loss.rack.multiplier == 2


def test_a_dsack_for_a_part_of_it_does_not() -> None:
    snd = in_flight()
    ack(snd, 1, 0.1, seg(2, 6))
    while snd.board.lost:
        snd.cc.cwnd = 20_000
        flush(snd, 0.1)
    ack(snd, seg(6)[0], 0.102, seg(0))
    assert snd.loss.state is Recovery.FAST
    ack(snd, seg(6)[0], 0.102, seg(1))
    assert snd.loss.state is Recovery.OPEN


def test_an_ack_up_to_the_first_retransmission_says_nothing_of_it() -> None:
    # RFC 3522 section 3.2: it has to be the first acceptable ACK *of* the retransmission.
    snd = in_flight()
    ack(snd, 1, 0.1, seg(1, 2), seg(3, 8), echoed=0.0)
    flush(snd, 0.1)
    snd.loss.undo.first_start = snd.una + 1000
    ack(snd, seg(1)[0], 0.101, seg(1, 2), seg(3, 8), echoed=0.0)
    assert snd.loss.state is Recovery.FAST


def test_what_waited_to_be_sent_again_is_in_flight_as_before() -> None:
    snd = in_flight()
    ack(snd, 1, 0.1, seg(3, 8), echoed=0.0)
    snd.cc.cwnd = 0
    assert flush(snd, 0.1) == [seg(0)]
    ack(snd, seg(1)[0], 0.101, seg(3, 8), echoed=0.0)
    assert (snd.board.lost, snd.loss.state) == (0, Recovery.OPEN)
    assert snd.board.pipe == 4000
    assert flush(snd, 0.101) == []


# After a timeout.


def timed_out(sack: bool = True) -> tuple[Sender, float]:
    """Ten segments went out at 0.0; the ACKs are late, and the first goes out again."""
    snd = in_flight(sack=sack)
    write(snd, 20_000)
    now = expire(snd)
    assert flush(snd, now) == [seg(0)]
    return snd, now


@pytest.mark.parametrize("sack", [True, False])
def test_an_echo_of_the_original_undoes_a_timeout_at_once(sack: bool) -> None:
    snd, now = timed_out(sack)
    ack(snd, seg(1)[0], now + 0.01, echoed=0.0)
    assert (snd.loss.state, snd.cc.cwnd, snd.board.lost) == (Recovery.OPEN, 10_000, 0)
    # RFC 4015 section 3.2, step (5)
    late = now + 0.01
    assert (snd.rtt.srtt, snd.rtt.rttvar) == pytest.approx((late, late / 2), abs=0.001)
    assert flush(snd, now + 0.01) == [seg(10)]


@pytest.mark.parametrize("sack", [True, False])
def test_after_a_timeout_new_data_asks_whether_it_was_needed(sack: bool) -> None:
    # RFC 5682 section 2.1, steps 1 to 3b.
    snd, now = timed_out(sack)
    ack(snd, seg(1)[0], now + 0.01)
    assert flush(snd, now + 0.01) == [seg(10, 12)]
    assert snd.loss.state is Recovery.TIMEOUT
    ack(snd, seg(2)[0], now + 0.02)
    assert (snd.loss.state, snd.cc.cwnd, snd.board.lost) == (Recovery.OPEN, 10_000, 0)
    assert flush(snd, now + 0.02) == []


def test_an_ack_of_just_all_the_originals_says_that_the_timeout_was_not_needed() -> None:
    # Step 3b: SEG.ACK does not go beyond what was out at the timeout.
    snd, now = timed_out()
    ack(snd, seg(1)[0], now + 0.01)
    flush(snd, now + 0.01)
    ack(snd, 10_001, now + 0.02)
    assert (snd.loss.state, snd.cc.cwnd) == (Recovery.OPEN, 10_000)


def test_late_sacks_of_the_originals_tell_as_well() -> None:
    snd, now = timed_out()
    ack(snd, seg(1)[0], now + 0.01)
    flush(snd, now + 0.01)
    ack(snd, seg(1)[0], now + 0.02, seg(3, 4))
    assert snd.loss.state is Recovery.OPEN


def test_if_the_new_data_arrives_first_the_timeout_was_right() -> None:
    # Step 3a.
    snd, now = timed_out()
    ack(snd, seg(1)[0], now + 0.1)
    flush(snd, now + 0.1)
    ack(snd, seg(1)[0], now + 0.2, seg(10, 11))
    assert snd.loss.state is Recovery.TIMEOUT
    assert flush(snd, now + 0.2)[0][0] == seg(1)[0]
    assert snd.cc.cwnd <= 3000


def test_duplicate_acks_say_that_the_timeout_was_right() -> None:
    # Step 2a.
    snd, now = timed_out(sack=False)
    ack(snd, 1, now + 0.1)
    ack(snd, seg(1)[0], now + 0.2)
    assert flush(snd, now + 0.2) == [seg(1, 3)]


def test_without_new_data_recovery_goes_on_as_ever() -> None:
    # Step 2b: "the TCP sender MAY ... continue with the conventional RTO recovery".
    snd = in_flight()
    now = expire(snd)
    flush(snd, now)
    ack(snd, seg(1)[0], now + 0.1)
    assert flush(snd, now + 0.1) == [seg(1, 3)]


def test_without_a_timestamp_an_undone_timeout_measures_the_newest_original() -> None:
    snd, now = timed_out()
    ack(snd, seg(1)[0], now + 0.01)
    flush(snd, now + 0.01)
    ack(snd, seg(2)[0], now + 0.02)
    assert snd.loss.state is Recovery.OPEN
    # RFC 4015 section 3.2, step (5): the second segment went out at 0.0.
    assert snd.rtt.srtt == pytest.approx(now + 0.02)


def test_the_second_timeout_in_a_row_is_not_asked_about() -> None:
    snd, _ = timed_out()
    now = expire(snd)
    flush(snd, now)
    ack(snd, seg(1)[0], now + 0.1)
    assert flush(snd, now + 0.1) == [seg(1, 3)]


def test_dsacks_undo_a_timeout_after_recovery_ended() -> None:
    snd = in_flight()
    flush(snd, expire(snd))
    ack(snd, 10_001, 0.5)
    assert snd.cc.cwnd < 10_000
    ack(snd, 10_001, 0.51, seg(0))
    assert snd.cc.cwnd == 10_000


# Peers that hope to gain by it.


def test_a_flood_of_dsacks_changes_nothing() -> None:
    snd = in_flight()
    before = (snd.cc.cwnd, snd.cc.ssthresh, snd.board.pipe)
    for i in range(1000):
        ack(snd, 1, 0.1 + i / 1000, (-5000, -4000))
    assert (snd.cc.cwnd, snd.cc.ssthresh, snd.board.pipe) == before
    assert snd.loss.rack.multiplier == 1
    assert snd.loss.state is Recovery.OPEN


def test_a_flood_of_dsacks_restores_a_window_once() -> None:
    snd = reordered()
    ack(snd, 10_001, 0.2)
    for i in range(100):
        ack(snd, 10_001, 0.21 + i / 1000, seg(0))
    assert snd.cc.cwnd == 10_000
    assert snd.loss.rack.multiplier == 2
