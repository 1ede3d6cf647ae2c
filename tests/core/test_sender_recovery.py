"""Loss recovery: RFC 6675 with SACK, RFC 6582 without, RFC 5681 after a timeout."""

from __future__ import annotations

import pytest

from rudp.core.rack import PERSIST
from rudp.core.recovery import Recovery
from rudp.core.sender import Sender
from rudp.core.undo import FRTO_OFF
from tests.core.sending import MSS, ack, established, expire, flush, segments, tick, write


def in_flight(size: int = 10_000, *, sack: bool = True, cwnd: int = 10_000) -> Sender:
    """`size` bytes went out at 0.0, nothing else is there to send; in congestion avoidance."""
    snd = established(sack=sack, avoid=True)
    write(snd, 1)
    flush(snd, -0.1)
    ack(snd, 1, -0.01)
    snd.cc.cwnd = snd.cc.ssthresh = cwnd
    write(snd, size)
    assert flush(snd, 0.0) == [(1, 1 + size)]
    return snd


def state(snd: Sender) -> tuple[Recovery, int, int]:
    return snd.loss.state, snd.cc.cwnd, snd.cc.ssthresh


def seg(first: int, last: int | None = None) -> tuple[int, int]:
    """From segment `first` up to, not including, `last`; one of a single byte came before them."""
    return 1 + first * MSS, 1 + (first + 1 if last is None else last) * MSS


# With SACK.


def test_a_little_reordering_starts_nothing() -> None:
    snd = in_flight()
    ack(snd, 1, 0.1, seg(1, 3))
    assert flush(snd, 0.1) == []
    assert state(snd) == (Recovery.OPEN, 10_000, 10_000)


def test_three_segments_above_a_hole_start_recovery() -> None:
    snd = in_flight()
    ack(snd, 1, 0.1, seg(1, 4))
    assert (snd.loss.state, snd.cc.ssthresh) == (Recovery.FAST, 5000)
    assert snd.loss.point == snd.nxt


def test_the_first_lost_segment_goes_out_whatever_cwnd_says() -> None:
    snd = in_flight()
    ack(snd, 1, 0.1, seg(1, 4))
    snd.cc.cwnd = 1000
    assert flush(snd, 0.1) == [seg(0)]
    assert snd.board.pipe == 7000


def test_further_lost_segments_wait_for_the_pipe_to_drain() -> None:
    snd = in_flight()
    ack(snd, 1, 0.1, seg(1, 2), seg(3, 6))
    assert flush(snd, 0.1) == [seg(0)]
    assert snd.board.pipe == 5000
    ack(snd, 1, 0.11, seg(3, 7))
    assert flush(snd, 0.11) == [seg(2)]


def test_lost_segments_go_out_together_if_the_pipe_is_empty_enough() -> None:
    snd = in_flight()
    ack(snd, 1, 0.1, seg(3, 10))
    assert flush(snd, 0.1) == [seg(0, 3)]


def test_new_data_follows_the_lost_data_as_the_pipe_allows() -> None:
    snd = in_flight()
    ack(snd, 1, 0.1, seg(1, 7))
    write(snd, 5000)
    assert flush(snd, 0.1) == [seg(0), seg(10)]
    assert snd.board.pipe == snd.cc.cwnd == 5000


def test_recovery_ends_when_all_that_was_out_is_acknowledged() -> None:
    snd = in_flight()
    ack(snd, 1, 0.1, seg(1, 7))
    write(snd, 5000)
    flush(snd, 0.1)
    ack(snd, 7001, 0.2)
    assert snd.loss.state is Recovery.FAST
    ack(snd, 10_001, 0.21)
    assert state(snd) == (Recovery.OPEN, 5000, 5000)


def test_cwnd_does_not_grow_in_recovery() -> None:
    snd = in_flight()
    ack(snd, 1, 0.1, seg(1, 4))
    flush(snd, 0.1)
    for last in range(5, 11):
        ack(snd, 1, 0.1, seg(1, last))
        flush(snd, 0.1)
    assert state(snd) == (Recovery.FAST, 5000, 5000)


def test_one_window_of_data_is_reduced_for_once() -> None:
    snd = in_flight()
    ack(snd, 1, 0.1, seg(1, 4))
    flush(snd, 0.1)
    ack(snd, 1, 0.11, seg(1, 4), seg(5, 8))
    flush(snd, 0.11)
    assert state(snd) == (Recovery.FAST, 5000, 5000)
    ack(snd, seg(4)[0], 0.2, seg(5, 8))
    flush(snd, 0.2)
    assert state(snd) == (Recovery.FAST, 5000, 5000)


def test_a_loss_in_the_next_window_is_reduced_for_again() -> None:
    snd = in_flight()
    ack(snd, 1, 0.1, seg(1, 10))
    flush(snd, 0.1)
    ack(snd, 10_001, 0.2)
    write(snd, 5000)
    assert flush(snd, 0.2) == [seg(10, 15)]
    ack(snd, 10_001, 0.3, seg(11, 14))
    assert state(snd) == (Recovery.FAST, 2500, 2500)


def test_lost_data_that_arrives_after_all_is_not_sent_again() -> None:
    snd = in_flight()
    ack(snd, 1, 0.1, seg(1, 2), seg(3, 6))
    flush(snd, 0.1)
    ack(snd, 1, 0.11, seg(1, 6))
    assert flush(snd, 0.11) == []
    assert snd.board.lost == 0


def test_blocks_from_a_peer_that_did_not_agree_on_sack_are_not_read() -> None:
    snd = in_flight(sack=False)
    ack(snd, 1, 0.1, seg(1, 9))
    assert snd.board.sacked == 0
    assert snd.loss.state is Recovery.OPEN


def test_nonsense_in_blocks_changes_nothing() -> None:
    snd = in_flight()
    ack(snd, 1, 0.1, (-5000, 1), (1, 3001), (9000, 2000), (5000, 99_999))
    assert (snd.board.sacked, snd.board.pipe, snd.loss.state) == (0, 10_000, Recovery.OPEN)


def test_a_retransmission_that_is_lost_too_waits_for_the_timer() -> None:
    snd = in_flight()
    ack(snd, 1, 0.1, seg(1, 10))
    flush(snd, 0.1)
    ack(snd, 1, 0.2, seg(1, 10))
    assert flush(snd, 0.2) == []
    now = expire(snd)
    assert flush(snd, now) == [seg(0)]
    assert snd.loss.state is Recovery.TIMEOUT


# Without SACK: RFC 5681 section 3.2 and RFC 6582.


def test_three_duplicate_acks_send_the_first_segment_again() -> None:
    snd = in_flight(sack=False)
    for now in (0.1, 0.11):
        ack(snd, 1, now)
        assert flush(snd, now) == []
    ack(snd, 1, 0.12)
    assert (snd.loss.state, snd.cc.ssthresh) == (Recovery.FAST, 5000)
    assert flush(snd, 0.12) == [seg(0)]
    ack(snd, 1, 0.13)
    assert flush(snd, 0.13) == []


@pytest.mark.parametrize("what", ["data", "another window"])
def test_what_only_looks_like_a_duplicate_ack_counts_for_nothing(what: str) -> None:
    # RFC 5681 section 2, definition of duplicate acknowledgment.
    snd = in_flight(sack=False)
    for i in range(5):
        if what == "data":
            ack(snd, 1, 0.1, data=b"x")
        else:
            ack(snd, 1, 0.1, wnd=50_000 + i)
    assert (snd.loss.dup_acks, snd.loss.state) == (0, Recovery.OPEN)


def test_with_nothing_outstanding_an_ack_is_no_duplicate() -> None:
    snd = in_flight(sack=False)
    ack(snd, 10_001, 0.1)
    for _ in range(5):
        ack(snd, 10_001, 0.2)
    assert snd.loss.dup_acks == 0


def test_the_first_two_duplicates_let_a_new_segment_out_each() -> None:
    # RFC 3042.
    snd = in_flight(sack=False)
    write(snd, 5000)
    assert flush(snd, 0.0) == []
    ack(snd, 1, 0.1)
    assert flush(snd, 0.1) == [seg(10)]
    ack(snd, 1, 0.11)
    assert flush(snd, 0.11) == [seg(11)]
    assert snd.cc.cwnd == 10_000


def test_in_recovery_each_duplicate_inflates_cwnd_by_a_segment() -> None:
    # RFC 5681 section 3.2, steps 3 to 5: 5 + 3 segments to begin with, and 10 are in flight.
    snd = in_flight(sack=False)
    for _ in range(3):
        ack(snd, 1, 0.1)
    write(snd, 9000)
    assert flush(snd, 0.1) == [seg(0)]
    sent = []
    for _ in range(4, 10):
        ack(snd, 1, 0.11)
        sent.append(flush(snd, 0.11))
    assert sent == [[], [], [seg(10)], [seg(11)], [seg(12)], [seg(13)]]


def test_a_partial_ack_names_the_next_loss() -> None:
    # RFC 6582 section 3.2, step 3.
    snd = in_flight(sack=False)
    for _ in range(9):
        ack(snd, 1, 0.1)
    flush(snd, 0.1)
    ack(snd, seg(4)[0], 0.2)
    assert snd.loss.state is Recovery.FAST
    assert flush(snd, 0.2) == [seg(4)]
    ack(snd, seg(7)[0], 0.3)
    assert flush(snd, 0.3) == [seg(7)]
    assert snd.cc.cwnd == 5000


def test_the_full_ack_ends_recovery() -> None:
    snd = in_flight(sack=False)
    for _ in range(9):
        ack(snd, 1, 0.1)
    flush(snd, 0.1)
    ack(snd, 10_001, 0.2)
    assert state(snd) == (Recovery.OPEN, 5000, 5000)
    write(snd, 20_000)
    assert flush(snd, 0.2) == [seg(10, 15)]


def test_without_sack_a_super_segment_is_sent_again_a_segment_at_a_time() -> None:
    snd = in_flight(4500, sack=False)
    for _ in range(3):
        ack(snd, 1, 0.1)
    assert flush(snd, 0.1) == [seg(0)]
    ack(snd, 4001, 0.2)
    assert segments(snd, 0.2) == [(4001, 4501, "P")]


# After a timeout: RFC 5681 section 3.1.


@pytest.mark.parametrize("sack", [True, False])
def test_a_timeout_sends_one_segment_and_slow_start_follows(sack: bool) -> None:
    snd = in_flight(sack=sack)
    now = expire(snd)
    assert state(snd) == (Recovery.TIMEOUT, 1000, 5000)
    assert flush(snd, now) == [seg(0)]
    ack(snd, seg(1)[0], now + 0.1)
    assert flush(snd, now + 0.1) == [seg(1, 3)]
    ack(snd, seg(2)[0], now + 0.2)
    ack(snd, seg(3)[0], now + 0.2)
    assert snd.cc.cwnd == 4000
    assert flush(snd, now + 0.2) == [seg(3, 7)]


def test_a_timeout_spares_what_was_sacked() -> None:
    snd = in_flight()
    ack(snd, 1, 0.1, seg(2, 4))
    now = expire(snd)
    assert flush(snd, now) == [seg(0)]
    ack(snd, seg(1)[0], now + 0.1, seg(2, 4))
    assert flush(snd, now + 0.1) == [seg(1), seg(4)]


def test_after_a_timeout_recovery_ends_with_all_that_was_out() -> None:
    snd = in_flight()
    now = expire(snd)
    flush(snd, now)
    ack(snd, 9_001, now + 0.1)
    assert snd.loss.state is Recovery.TIMEOUT
    ack(snd, 10_001, now + 0.2)
    assert snd.loss.state is Recovery.OPEN
    assert snd.rto_deadline == float("inf")


def test_a_timeout_starts_the_timer_with_the_rto_backed_off() -> None:
    # RFC 6298 section 5.5 and 5.6; the back-off pauses at half a second.
    snd = in_flight()
    for _ in range(2):
        now = expire(snd)
        assert snd.rto_deadline == now + 0.5


def test_a_timeout_in_recovery_asks_for_no_new_data() -> None:
    # RFC 5682 section 3.1, step 1: F-RTO is not for a timer that expires in recovery.
    snd = in_flight()
    write(snd, 20_000)
    ack(snd, 1, 0.1, seg(1, 10))
    flush(snd, 0.1)
    expire(snd)
    assert snd.loss.undo.frto == FRTO_OFF


def test_each_recovery_without_a_dsack_counts_towards_the_narrow_window() -> None:
    # RFC 8985 section 6.2, step 4.
    snd = in_flight()
    ack(snd, 1, 0.1, seg(1, 10))
    flush(snd, 0.1)
    ack(snd, 10_001, 0.2)
    assert snd.loss.rack._persist == PERSIST - 1


def test_a_duplicate_above_snd_una_is_told_by_the_range_that_holds_it() -> None:
    # RFC 2883 section 4.1, case 2: the first block lies within the second.
    snd = in_flight()
    ack(snd, 1, 0.1, seg(3, 4), seg(3, 5))
    assert (snd.loss.dsacks, snd.loss.dsack_bytes) == (1, 1000)
    ack(snd, 1, 0.1, seg(5, 6), seg(3, 5))
    assert snd.loss.dsacks == 1


def test_a_reordering_timer_measures_no_round_trip() -> None:
    snd = in_flight()
    ack(snd, 1, 0.1, seg(3, 4))
    tick(snd)
    assert snd.loss.state is Recovery.FAST
    told = snd.sample
    assert (told.rtt, told.acked, told.newly_lost) == (-1.0, 0, 3000)


def test_a_timeout_tells_congestion_control_and_the_counters() -> None:
    snd = in_flight()
    snd.loss.rate.delivered = 0
    expire(snd)
    assert (snd.loss.timeouts, snd.loss.newly_lost, snd.loss.rate.lost) == (1, 10_000, 10_000)
    assert flush(snd, snd.rto_deadline - 0.1) == [seg(0)]
    expire(snd)
    assert (snd.loss.timeouts, snd.loss.newly_lost, snd.loss.rate.lost) == (2, 11_000, 11_000)


def test_a_second_timeout_on_the_same_data_keeps_ssthresh() -> None:
    snd = in_flight()
    flush(snd, expire(snd))
    flush(snd, expire(snd))
    assert state(snd) == (Recovery.TIMEOUT, 1000, 5000)


def test_new_data_follows_when_all_lost_data_was_sent_again() -> None:
    snd = in_flight(3000)
    flush(snd, expire(snd))
    now = expire(snd)  # the second time: F-RTO does not ask new data whether it was needed
    flush(snd, now)
    write(snd, 3000)
    ack(snd, seg(1)[0], now + 0.1)
    assert flush(snd, now + 0.1) == [seg(1, 3)]
    ack(snd, seg(3)[0], now + 0.2)
    assert flush(snd, now + 0.2) == [seg(3, 6)]


def test_a_timeout_in_recovery_takes_over() -> None:
    snd = in_flight()
    ack(snd, 1, 0.1, seg(1, 4))
    flush(snd, 0.1)
    now = expire(snd)
    assert snd.loss.state is Recovery.TIMEOUT
    assert flush(snd, now) == [seg(0)]
    assert snd.cc.cwnd == 1000


def test_after_a_timeout_duplicate_acks_start_no_recovery() -> None:
    # RFC 6582 section 4: they may be caused by what was sent again without need.
    snd = in_flight(sack=False)
    now = expire(snd)
    flush(snd, now)
    ack(snd, seg(1)[0], now + 0.1)
    flush(snd, now + 0.1)
    for _ in range(5):
        ack(snd, seg(1)[0], now + 0.2)
    assert snd.loss.state is Recovery.TIMEOUT
    assert flush(snd, now + 0.2) == []


def test_a_peer_that_reneged_gets_everything_again() -> None:
    # RFC 2018 section 8.
    snd = in_flight(3000)
    ack(snd, 1, 0.1, seg(1, 3))
    ack(snd, seg(1)[0], 0.2)  # ... which does not say that it has the rest
    now = expire(snd)
    assert flush(snd, now) == [seg(1)]
    ack(snd, seg(2)[0], now + 0.1)
    assert flush(snd, now + 0.1) == [seg(2)]
    ack(snd, 3001, now + 0.2)
    assert snd.loss.state is Recovery.OPEN


# The counters.


def test_what_was_sent_again_is_counted_apart() -> None:
    snd = in_flight()
    ack(snd, 1, 0.1, seg(3, 10))
    flush(snd, 0.1)
    assert (snd.loss.retransmitted, snd.total_retransmissions) == (3000, 1)
    assert snd.bytes_sent == 1 + 10_000 + 3000
