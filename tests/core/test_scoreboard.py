"""What became of the data in flight: the scoreboard alone. `test_scoreboard_model` has a model."""

from __future__ import annotations

from rudp.core.flight import NONE, Arrivals
from rudp.core.scoreboard import MAX_RUN, Scoreboard
from tests.core.scoreboards import (
    MSS,
    UNA,
    acked,
    again,
    lose,
    order,
    picture,
    sack,
    sent,
    stamp,
)


def test_what_is_sent_is_in_the_pipe() -> None:
    board = sent(10, 30)
    assert picture(board) == "0-10 flight, 10-30 flight"
    assert (board.pipe, board.lost, board.sacked) == (30, 0, 0)
    assert board.next_lost() is None


def test_an_ack_takes_out_whole_flights_and_cuts_the_next() -> None:
    board = sent(10, 30, 40)
    assert acked(board, UNA + 15) == (15, 2.0)
    assert picture(board) == "15-30 flight, 30-40 flight"
    assert board.pipe == 25


def test_an_ack_of_everything_leaves_nothing() -> None:
    board = sent(10, 30)
    assert acked(board, UNA + 30) == (30, 2.0)
    assert (board.flights, board.pipe) == ([], 0)


def test_a_sack_cuts_a_flight_and_takes_its_bytes_out_of_the_pipe() -> None:
    board = sent(40)
    assert sack(board, (10, 20)) == (10, 1.0)
    assert picture(board) == "0-10 flight, 10-20 sacked, 20-40 flight"
    assert (board.pipe, board.sacked) == (30, 10)


def test_sacked_neighbours_are_joined_whatever_they_were_sent_as() -> None:
    board = sent(10, 20, 30, 40)
    assert sack(board, (10, 20), (30, 40)) == (20, 4.0)
    assert sack(board, (20, 30)) == (10, 3.0)
    assert picture(board) == "0-10 flight, 10-40 sacked"


def test_a_block_told_again_is_no_news() -> None:
    board = sent(40)
    sack(board, (10, 30))
    assert sack(board, (10, 30)) == (0, -1.0)
    assert sack(board, (15, 25)) == (0, -1.0)
    assert picture(board) == "0-10 flight, 10-30 sacked, 30-40 flight"


def test_blocks_that_cannot_be_true_are_passed_over_and_the_others_are_taken() -> None:
    board = sent(40)
    below, backwards, beyond = (-9, 5), (30, 20), (30, 41)
    assert sack(board, below, backwards, beyond, (35, 40)) == (5, 1.0)
    assert picture(board) == "0-35 flight, 35-40 sacked"


def test_a_block_that_begins_at_snd_una_contradicts_the_ack_it_came_with() -> None:
    board = sent(40)
    assert sack(board, (0, 10), (20, 20)) == (0, -1.0)
    assert picture(board) == "0-40 flight"


def test_no_more_than_four_blocks_are_looked_at() -> None:
    board = sent(100)
    assert sack(board, (10, 11), (20, 21), (30, 31), (40, 41), (50, 51)) == (4, 1.0)


def test_an_ack_after_a_sack_is_news_only_for_the_rest() -> None:
    board = sent(10, 20, 30)
    sack(board, (10, 20))
    assert acked(board, UNA + 30) == (20, 3.0)
    assert (board.pipe, board.sacked) == (0, 0)


def test_sacks_cut_no_more_than_the_limit() -> None:
    board = sent(100, limit=16)
    told = [(left, left + 1) for left in range(2, 90, 2)]
    for block in told:
        sack(board, block)
    assert len(board.flights) <= 16
    assert 0 < board.sacked < len(told)


def test_of_what_has_arrived_no_more_than_a_seventh_of_the_rest_is_kept() -> None:
    board = sent(*range(10, 10010, 10))
    for una in range(10, 10000, 10):
        acked(board, UNA + una)
        live = (10000 - una) // 10
        assert len(board.flights) == live
        assert len(board._flights) <= live * 8 // 7 + 1


def test_what_is_joined_near_the_front_is_gone_whichever_side_moved() -> None:
    board = sent(*range(10, 10010, 10))
    for right in range(30, 5000, 10):
        sack(board, (20, right))
        assert len(board.flights) == 1000 - (right - 30) // 10
    assert picture(board).startswith("0-10 flight, 10-20 flight, 20-4990 sacked, 4990-5000 flight")
    acked(board, UNA + 5005)
    assert picture(board).startswith("5005-5010 flight, 5010-5020 flight")


# The order of transmission.


def test_what_is_sent_is_in_the_order_in_which_it_was_sent() -> None:
    assert order(sent(10, 30, 40)) == [(0, 10), (10, 30), (30, 40)]


def test_what_is_sent_again_is_the_newest() -> None:
    board = sent(10, 30, 40)
    lose(board, 0, 10)
    assert order(board) == [(30, 40)]
    flight = board.next_lost()
    assert flight is not None
    again(board, flight, flight.end, 9.0)
    assert order(board) == [(30, 40), (0, 10)]


def test_the_parts_of_a_flight_keep_its_place() -> None:
    board = sent(10, 40, 50)
    sack(board, (20, 30))
    assert order(board) == [(0, 10), (10, 20), (30, 40), (40, 50)]
    acked(board, UNA + 15)
    assert order(board) == [(15, 20), (30, 40), (40, 50)]


def test_lost_data_that_was_not_lost_goes_back_to_its_place() -> None:
    board = sent(10, 20, 30, 40)
    lose(board, 0, 10, 20)
    flight = board.next_lost()
    assert flight is not None
    again(board, flight, flight.end, 9.0)
    board.revive()
    assert order(board) == [(10, 20), (20, 30), (30, 40), (0, 10)]
    assert (board.pipe, board.lost) == (40, 0)


def test_a_probe_is_the_last_segment_of_what_is_in_flight() -> None:
    board = sent(10, 35)
    flight = board.last_segment(UNA + 35, MSS)
    assert flight is not None
    board.on_probed(flight, 9.0, stamp(9.0))
    assert order(board) == [(0, 10), (10, 30), (30, 35)]
    assert (board.pipe, flight.retransmitted, flight.sent_at) == (35, True, 9.0)
    sack(board, (30, 35))
    assert board.last_segment(UNA + 35, MSS) is None


def test_a_probe_is_made_of_small_segments_as_many_as_fit() -> None:
    board = sent(10, 14, 17, 20, 21)
    flight = board.last_segment(UNA + 20, MSS)  # what follows the data is a FIN
    assert flight is not None
    board.on_probed(flight, 9.0, stamp(9.0))
    assert order(board) == [(0, 10), (10, 21)]
    assert board.pipe == 21


def test_a_fin_alone_is_probed_with_the_last_segment_of_what_is_before_it() -> None:
    board = sent(25, 26)
    flight = board.last_segment(UNA + 25, MSS)
    assert flight is not None
    assert order(board) == [(0, 20), (20, 26)]


# News: what RACK, F-RTO and Karn's algorithm want to know of an ACK.


def test_the_newest_transmission_that_arrived_is_told_and_its_end() -> None:
    board, news = sent(10, 20, 30), Arrivals()
    board.on_ack(UNA + 10, news)
    board.on_sack([(UNA + 15, UNA + 18)], UNA + 10, UNA + 30, news)
    assert (news.size, news.newest, news.newest_at, news.newest_end) == (13, 2, 2.0, UNA + 18)
    assert (news.lowest_once, news.again, news.sampled_at) == (UNA, False, 2.0)


def test_a_retransmission_too_young_to_have_arrived_stands_for_its_first_transmission() -> None:
    board, news = sent(10, 20), Arrivals()
    lose(board, 0)
    flight = board.next_lost()
    assert flight is not None
    again(board, flight, flight.end, 9.0)
    news.clear(8.9)
    board.on_ack(UNA + 10, news)
    assert (news.size, news.newest, news.newest_at, news.newest_end) == (10, 1, 1.0, UNA + 10)
    assert (news.lowest_once, news.again) == (NONE, True)


# Joining.


def test_lost_neighbours_go_out_as_one() -> None:
    board = sent(10, 20, 30, 40)
    lose(board, 0, 10, 20)
    flight = board.next_lost()
    assert flight is not None
    assert board.lost_run(flight, 100) == UNA + 30
    assert board.lost_run(flight, 25) == UNA + 25
    again(board, flight, UNA + 25, 9.0)
    assert picture(board) == "0-25 flight, 25-30 lost, 30-40 flight"
    assert (board.pipe, board.lost) == (35, 5)
    assert order(board) == [(30, 40), (0, 25)]


# What was sent again.


def test_lost_data_comes_up_lowest_first_and_in_the_pieces_it_is_sent_in() -> None:
    board = sent(25, 40)
    board.mark_all_lost()
    order = []
    while (flight := board.next_lost()) is not None:
        end = min(flight.end, flight.start + MSS)
        order.append((flight.start - UNA, end - UNA))
        again(board, flight, end, 9.0)
    assert order == [(0, 10), (10, 20), (20, 25), (25, 35), (35, 40)]
    assert (board.pipe, board.lost) == (40, 0)


def test_an_ack_of_what_was_sent_twice_measures_nothing() -> None:
    board = sent(10, 20)
    board.mark_head_lost(MSS)
    flight = board.next_lost()
    assert flight is not None
    again(board, flight, flight.end, 9.0)
    assert acked(board, UNA + 10) == (10, -1.0)
    assert acked(board, UNA + 20) == (10, 2.0)


def test_a_sack_of_what_was_sent_twice_measures_nothing() -> None:
    board = sent(10, 20)
    board.mark_all_lost()
    while (flight := board.next_lost()) is not None:
        again(board, flight, flight.end, 9.0)
    assert sack(board, (10, 20)) == (10, -1.0)


def test_lost_data_that_arrived_after_all_leaves_the_lost() -> None:
    board = sent(40)
    board.mark_all_lost()
    assert sack(board, (10, 20))[0] == 10
    assert acked(board, UNA + 5)[0] == 5
    assert (board.pipe, board.lost, board.sacked) == (0, 25, 10)
    flight = board.next_lost()
    assert flight is not None
    assert flight.start == UNA + 5


def test_without_sack_one_segment_at_snd_una_is_lost() -> None:
    board = sent(35)
    assert board.mark_head_lost(MSS) == 10
    assert picture(board) == "0-10 lost, 10-35 flight"
    assert board.mark_head_lost(MSS) == 0
    assert Scoreboard(16).mark_head_lost(MSS) == 0


# Timeouts and reneging.


def test_a_timeout_spares_what_the_peer_has() -> None:
    board = sent(40)
    sack(board, (10, 20))
    assert board.mark_all_lost() == 30
    assert picture(board) == "0-10 lost, 10-20 sacked, 20-40 lost"
    assert (board.pipe, board.lost, board.sacked) == (0, 30, 10)


def test_a_peer_that_reneged_is_believed_nothing_at_a_timeout() -> None:
    board = sent(40)
    sack(board, (10, 20), (30, 40))
    acked(board, UNA + 10)  # ... and not to 20, as it said before
    assert picture(board) == "10-20 sacked, 20-30 flight, 30-40 sacked"
    board.mark_all_lost()
    assert picture(board) == "10-20 lost, 20-30 lost, 30-40 lost"
    assert (board.pipe, board.lost, board.sacked) == (0, 30, 0)
    assert acked(board, UNA + 20) == (10, -1.0)


def test_what_a_peer_has_reneged_on_leaves_the_pipe_as_large_as_the_rest() -> None:
    board = sent(40)
    sack(board, (10, 20))
    acked(board, UNA + 10)
    assert board.mark_all_lost() == 30
    assert picture(board) == "10-20 lost, 20-40 lost"
    assert (board.pipe, board.lost, board.sacked) == (0, 30, 0)


def test_nothing_in_flight_can_be_lost() -> None:
    board = Scoreboard(16)
    assert board.mark_all_lost() == 0
    assert (board.flights, board.lost) == ([], 0)


def test_places_of_lost_data_go_with_the_flights() -> None:
    board = sent(*range(10, 4010, 10))
    lose(board, *range(0, 4000, 10))
    acked(board, UNA + 3980)
    assert len(board._lost_at) <= 2 * len(board.flights) + MAX_RUN
    assert (lost := board.next_lost()) is not None
    assert lost.start == UNA + 3980


def test_clear_forgets_everything() -> None:
    board = sent(40)
    sack(board, (10, 20))
    board.mark_all_lost()
    board.clear()
    assert (board.flights, board.pipe, board.lost, board.sacked) == ([], 0, 0, 0)
    assert board.next_lost() is None
