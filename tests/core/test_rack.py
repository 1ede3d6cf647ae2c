"""RACK: what is lost, by time. RFC 8985 section 6.

Round trips take 0.1 s, so that the reordering window is 25 ms until it is widened.
"""

from __future__ import annotations

import math

import pytest

from rudp.core.flight import Arrivals
from rudp.core.rack import PERSIST, Rack
from rudp.core.recovery import Recovery
from rudp.core.rtt import RttEstimator
from rudp.core.sender import Sender
from tests.core.scoreboards import UNA, again, picture, sent
from tests.core.sending import ack, established, expire, flush, tick, write
from tests.core.test_sender_recovery import in_flight, seg

RTT = 0.1
WINDOW = RTT / 4


def estimator(rtt: float = RTT) -> RttEstimator:
    found = RttEstimator(1.0, 0.2, 60.0)
    found.sample(rtt)
    return found


# Alone: on a scoreboard whose flights went out at 1.0, 2.0, 3.0 and so on.


def told(rack: Rack, board: object, *blocks: tuple[int, int], now: float) -> None:
    news = Arrivals()
    news.clear(now)
    board.on_sack([(UNA + a, UNA + b) for a, b in blocks], UNA, UNA + 40, news)  # type: ignore[attr-defined]
    rack.on_arrivals(news, board.high_sacked, now)  # type: ignore[attr-defined]


def test_what_was_sent_before_the_newest_that_arrived_is_lost_when_its_time_is_over() -> None:
    rack, board = Rack(), sent(10, 20, 30, 40)
    told(rack, board, (20, 30), now=3.5)
    assert rack.rtt == 0.5
    assert rack.detect(board, 1.2, 3.5) == 10
    assert picture(board) == "0-10 lost, 10-20 flight, 20-30 sacked, 30-40 flight"
    assert rack.deadline == pytest.approx(2.0 + 0.5 + 1.2)
    assert rack.detect(board, 1.2, rack.deadline) == 10
    assert rack.deadline == math.inf  # what went out at 4.0 may still be on its way


def test_of_one_transmission_what_is_behind_that_which_arrived_is_not_late() -> None:
    rack, board = Rack(), sent(40)
    told(rack, board, (20, 30), now=1.5)
    assert rack.detect(board, 0.0, 1.5) == 20
    assert picture(board) == "0-20 lost, 20-30 sacked, 30-40 flight"


def test_a_retransmission_is_lost_when_something_sent_after_it_arrives() -> None:
    rack, board = Rack(), sent(10, 20, 30, 40)
    told(rack, board, (10, 20), now=2.5)
    rack.detect(board, 0.0, 2.5)
    flight = board.next_lost()
    assert flight is not None
    again(board, flight, flight.end, 3.5)  # before what went out at 4.0, in truth after it
    told(rack, board, (20, 40), now=4.5)
    assert rack.detect(board, 0.0, 4.5) == 0
    board.on_sent(UNA + 40, UNA + 50, 5.0, flight.stamp)
    news = Arrivals()
    board.on_sack([(UNA + 40, UNA + 50)], UNA, UNA + 50, news)
    rack.on_arrivals(news, UNA + 50, 5.5)
    assert rack.detect(board, 0.0, 5.5) == 10
    assert rack.lost_again_at == 3.5


def test_data_that_arrives_below_what_has_arrived_is_reordering() -> None:
    rack, board = Rack(), sent(10, 20, 30, 40)
    told(rack, board, (20, 30), now=3.5)
    assert not rack.reordering_seen
    told(rack, board, (10, 20), now=3.6)
    assert (rack.reordering_seen, rack.reorderings) == (True, 1)


def test_two_ranges_told_by_one_ack_are_no_reordering_in_whatever_order() -> None:
    rack, board = Rack(), sent(10, 20, 30, 40)
    told(rack, board, (30, 40), (10, 20), now=4.5)
    assert not rack.reordering_seen


def test_a_retransmission_that_fills_a_hole_is_no_reordering() -> None:
    rack, board = Rack(), sent(10, 20)
    told(rack, board, (10, 20), now=2.5)
    rack.detect(board, 0.0, 2.5)
    flight = board.next_lost()
    assert flight is not None
    again(board, flight, flight.end, 3.0)
    news = Arrivals()
    news.clear(9.0)
    board.on_ack(UNA + 20, news)
    rack.on_arrivals(news, UNA + 20, 3.5)
    assert not rack.reordering_seen


def test_the_window_is_a_quarter_of_the_least_round_trip() -> None:
    assert Rack().window(estimator(), eager=False) == WINDOW


def test_without_reordering_seen_there_is_no_window_in_recovery() -> None:
    rack = Rack()
    assert rack.window(estimator(), eager=True) == 0.0
    rack.on_reordering()
    assert rack.window(estimator(), eager=True) == WINDOW


def test_dsacks_widen_the_window_once_in_a_round_trip_and_up_to_srtt() -> None:
    rack = Rack()
    rack.adapt(una=0, nxt=100, dsack=True, ended=False)
    rack.adapt(una=50, nxt=120, dsack=True, ended=False)
    assert rack.window(estimator(), eager=False) == 2 * WINDOW
    rack.adapt(una=100, nxt=200, dsack=True, ended=False)
    assert rack.window(estimator(), eager=False) == 3 * WINDOW
    for una in range(200, 2000, 100):
        rack.adapt(una, una + 100, dsack=True, ended=False)
    assert rack.window(estimator(), eager=False) == RTT


def test_after_16_recoveries_without_a_dsack_the_window_is_as_at_first() -> None:
    rack = Rack()
    rack.adapt(una=0, nxt=100, dsack=True, ended=False)
    for _ in range(PERSIST - 1):
        rack.adapt(una=100, nxt=200, dsack=False, ended=True)
    assert rack.multiplier == 2
    rack.adapt(una=100, nxt=200, dsack=False, ended=True)
    assert rack.multiplier == 1


# In the sender.


def test_one_segment_above_a_hole_makes_it_a_loss_after_the_window() -> None:
    snd = in_flight()
    ack(snd, 1, RTT, seg(3, 4))
    assert snd.loss.state is Recovery.OPEN
    assert snd.loss_deadline == pytest.approx(RTT + snd.rtt.min_rtt / 4)
    now = tick(snd)
    assert snd.loss.state is Recovery.FAST
    assert flush(snd, now)[0] == seg(0)


def test_a_segment_that_comes_within_the_window_was_only_late() -> None:
    snd = in_flight()
    ack(snd, 1, RTT, seg(1, 2))
    ack(snd, seg(2)[0], RTT + 0.01)
    assert snd.loss_deadline > RTT + 0.1  # nothing but the probe's timer
    assert (snd.loss.state, snd.loss.retransmitted) == (Recovery.OPEN, 0)
    assert snd.loss.rack.reordering_seen


def lost_again() -> Sender:
    """Segment 0 was lost, sent again at 0.1 with segment 10 after it, and is lost once more."""
    snd = in_flight()
    write(snd, 20_000)
    ack(snd, 1, 0.1, seg(1, 10))
    sent_then = flush(snd, 0.1)
    assert sent_then[0] == seg(0)
    ack(snd, 1, 0.2, seg(1, 11))
    return snd


def test_a_lost_retransmission_is_sent_again_without_waiting_for_the_timer() -> None:
    snd = lost_again()
    assert flush(snd, 0.2)[0] == seg(0)
    assert snd.loss.timeouts == 0


def test_a_lost_retransmission_lowers_the_window_a_second_time() -> None:
    # RFC 5681 section 4.3.
    snd = lost_again()
    assert snd.cc.ssthresh < 5000 + 1000
    assert snd.loss.point == snd.nxt
    assert not snd.loss.undo.going_on


def test_a_timeout_spares_what_went_out_less_than_a_round_trip_ago() -> None:
    # RFC 8985 section 6.3.
    snd = established(avoid=True, user_timeout=60.0)
    write(snd, 3000)
    flush(snd, 0.0)
    ack(snd, 1000, 0.1)
    write(snd, 2000)
    flush(snd, snd.rto_deadline - 0.01)
    now = expire(snd)
    assert snd.board.lost == 2000
    assert snd.board.pipe == 2000
    assert flush(snd, now) == [(1000, 2000)]


@pytest.mark.parametrize("reordering", [False, True])
def test_a_timeout_takes_for_lost_what_is_overdue_by_the_reordering_window(
    reordering: bool,
) -> None:
    # RFC 8985 section 6.3: Segment.xmit_ts + RACK.rtt + RACK.reo_wnd - Now() <= 0.
    rack, board = Rack(), sent(10, 20, 30, 40)
    if reordering:
        rack.on_reordering()  # then the window is 25 ms; else there is none
    marked = rack.on_timeout(board, 10, estimator(), 3.11)
    assert marked == (20 if reordering else 30)
    assert (board.lost, board.pipe) == (marked, 40 - marked)


def test_small_messages_that_were_lost_go_out_again_as_full_segments() -> None:
    snd = established(avoid=True)
    for _ in range(30):
        write(snd, 100)
        flush(snd, 0.0)
    now = expire(snd)
    assert flush(snd, now) == [(0, 1000)]
    flush(snd, expire(snd))
    ack(snd, 1000, now + 1.0)
    assert flush(snd, now + 1.0) == [(1000, 3000)]


@pytest.mark.parametrize("flights", [10, 250])
def test_an_ack_costs_the_same_in_a_large_window_as_in_a_small_one(flights: int) -> None:
    """No flight is looked at but those that an ACK is about, and one more."""
    board, rack, now = sent(*range(10, 10 * flights + 10, 10)), Rack(), flights + 1.0
    end, news = UNA + 10 * flights, Arrivals()
    board.on_sack([(end - 10, end)], UNA, end, news)
    rack.on_arrivals(news, end, now)
    for flight in board.flights[1:-1]:
        flight.sent_at = -1e9  # whoever looked at it would find it overdue
    assert rack.detect(board, float(flights), now) == 0
    assert rack.deadline == pytest.approx(1.0 + 1.0 + flights)
