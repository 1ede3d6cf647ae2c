"""What goes out when nothing is lost: windows, small segments, the timers that run."""

from __future__ import annotations

import math

import pytest

from rudp.core.recovery import Recovery
from rudp.core.sender import MAX_SUPER
from tests.core.sending import (
    FIRST,
    MSS,
    PEER,
    RTO,
    ack,
    established,
    expire,
    flush,
    segments,
    write,
)

# How much goes out.


def test_nothing_written_is_nothing_sent_and_no_timer() -> None:
    snd = established()
    assert flush(snd, 0.0) == []
    assert snd.next_deadline() == math.inf


def test_the_initial_window_goes_out_as_one_super_segment() -> None:
    snd = established()
    write(snd, 25_000)
    assert segments(snd, 0.0) == [(0, 10_000, "")]
    assert (snd.flight_size, snd.unsent, snd.bytes_sent) == (10_000, 15_000, 10_000)


def test_an_ack_lets_as_much_out_as_has_left_the_network_and_as_cwnd_has_grown() -> None:
    snd = established()
    write(snd, 25_000)
    flush(snd, 0.0)
    ack(snd, 4000, 0.1)
    assert snd.cc.cwnd == 14_000
    assert flush(snd, 0.1) == [(10_000, 18_000)]


def test_what_just_fits_the_window_goes_out_though_it_fills_no_segment() -> None:
    snd = established()
    snd.cc.cwnd = 3500
    write(snd, 3000)
    assert flush(snd, 0.0) == [(0, 3000)]
    write(snd, 500)
    assert flush(snd, 0.0) == [(3000, 3500)]


def test_cwnd_grows_only_if_it_is_what_limits() -> None:
    snd = established()
    write(snd, 3000)
    flush(snd, 0.0)
    ack(snd, 3000, 0.1)
    assert snd.cc.cwnd == 10_000


def test_a_super_segment_is_full_segments_that_fit_one_datagram_train() -> None:
    snd = established(mss=1452, initial_window=1)
    write(snd, 1452)
    flush(snd, 0.0)
    snd.cc.cwnd = 1 << 20
    write(snd, 200_000)
    sent = flush(snd, 0.1)
    assert [end - start for start, end in sent[:-1]] == [MAX_SUPER // 1452 * 1452] * 3
    assert sent[-1][1] == 201_452


def test_a_segment_larger_than_a_train_goes_out_alone() -> None:
    snd = established(mss=65_400)
    write(snd, 200_000)
    assert flush(snd, 0.0) == [(0, 65_400), (65_400, 130_800)]


def test_options_are_taken_off_the_segment_size() -> None:
    # RFC 6691 section 2.
    snd = established()
    snd.establish(1452, 12, True, syn_lost=False)
    assert (snd.mss, snd.cc.cwnd) == (1440, 14_400)


def test_after_a_lost_syn_the_initial_window_is_one_segment() -> None:
    # RFC 5681 section 3.1.
    snd = established()
    snd.establish(MSS, 0, True, syn_lost=True)
    write(snd, 5000)
    assert flush(snd, 0.0) == [(0, 1000)]


def test_the_peers_window_sets_the_limit() -> None:
    snd = established(wnd=3000)
    write(snd, 25_000)
    assert flush(snd, 0.0) == [(0, 3000)]
    ack(snd, 2000, 0.1, wnd=4000)
    assert flush(snd, 0.1) == [(3000, 6000)]


def test_the_send_buffer_bounds_what_is_in_flight() -> None:
    snd = established(send_buffer=4000)
    write(snd, 25_000)
    assert flush(snd, 0.0) == [(0, 4000)]
    ack(snd, 1000, 0.1)
    assert flush(snd, 0.1) == [(4000, 5000)]


# PSH and FIN.


def test_the_last_byte_there_is_carries_psh() -> None:
    snd = established()
    write(snd, 12_000)
    assert segments(snd, 0.0) == [(0, 10_000, "")]
    ack(snd, 10_000, 0.1)
    assert segments(snd, 0.1) == [(10_000, 12_000, "P")]


def test_the_fin_goes_with_the_last_byte() -> None:
    snd = established()
    write(snd, 500)
    snd.fin_queued = True
    assert segments(snd, 0.0) == [(0, 501, "FP")]
    assert snd.fin_sent
    assert not snd.fin_acked
    ack(snd, 500, 0.1)
    assert not snd.fin_acked
    ack(snd, 501, 0.1)
    assert snd.fin_acked
    assert snd.next_deadline() == math.inf


def test_a_fin_without_data_is_a_segment_of_its_own() -> None:
    snd = established()
    snd.fin_queued = True
    assert segments(snd, 0.0) == [(0, 1, "F")]
    assert segments(snd, 0.0) == []


def test_the_fin_waits_until_all_data_is_out() -> None:
    snd = established()
    write(snd, 10_500)
    snd.fin_queued = True
    assert segments(snd, 0.0) == [(0, 10_000, "")]
    ack(snd, 1000, 0.1)
    assert segments(snd, 0.1) == [(10_000, 10_501, "FP")]


def test_a_fin_takes_room_in_the_window() -> None:
    snd = established(wnd=500)
    write(snd, 500)
    snd.fin_queued = True
    assert segments(snd, 0.0) == [(0, 500, "P")]
    ack(snd, 500, 0.1, wnd=1)
    assert segments(snd, 0.1) == [(500, 501, "F")]


def test_a_fin_that_is_lost_is_sent_again() -> None:
    snd = established()
    write(snd, 500)
    flush(snd, 0.0)
    snd.fin_queued = True
    flush(snd, 0.0)
    ack(snd, 500, 0.1)
    assert segments(snd, expire(snd)) == [(500, 501, "F")]


# Nagle and silly windows: RFC 9293 sections 3.7.4 and 3.8.6.2.1.


def test_small_writes_go_out_at_once() -> None:
    snd = established()
    write(snd, 10)
    assert flush(snd, 0.0) == [(0, 10)]
    write(snd, 10)
    assert flush(snd, 0.0) == [(10, 20)]


def test_a_small_tail_waits_if_more_is_to_be_written() -> None:
    snd = established()
    write(snd, 2300)
    assert flush(snd, 0.0, more=True) == [(0, 2000)]
    assert flush(snd, 0.0) == [(2000, 2300)]


def test_nagle_holds_a_small_segment_while_data_is_on_its_way() -> None:
    snd = established(nodelay=False)
    write(snd, 10)
    assert flush(snd, 0.0) == [(0, 10)]
    write(snd, 30)
    assert flush(snd, 0.0) == []
    ack(snd, 10, 0.1)
    assert flush(snd, 0.1) == [(10, 40)]


def test_nagle_lets_full_segments_out_and_holds_the_tail() -> None:
    snd = established(nodelay=False)
    write(snd, 10)
    flush(snd, 0.0)
    write(snd, 2300)
    assert flush(snd, 0.0) == [(10, 2010)]
    ack(snd, 10, 0.1)
    assert flush(snd, 0.1) == []
    ack(snd, 2010, 0.2)
    assert flush(snd, 0.2) == [(2010, 2310)]


def test_nagle_does_not_hold_what_a_fin_follows() -> None:
    snd = established(nodelay=False)
    write(snd, 10)
    flush(snd, 0.0)
    write(snd, 30)
    snd.fin_queued = True
    assert segments(snd, 0.0) == [(10, 41, "FP")]


def test_a_window_is_used_up_in_full_segments() -> None:
    snd = established(wnd=2500)
    write(snd, 9000)
    assert flush(snd, 0.0) == [(0, 2000)]
    ack(snd, 1000, 0.1, wnd=2500)
    assert flush(snd, 0.1) == [(2000, 3000)]


def test_half_of_the_largest_window_ever_is_worth_a_segment() -> None:
    snd = established(wnd=900)
    write(snd, 9000)
    assert flush(snd, 0.0) == [(0, 900)]
    ack(snd, 900, 0.1, wnd=450)
    assert flush(snd, 0.1) == [(900, 1350)]
    ack(snd, 1350, 0.2, wnd=449)
    assert flush(snd, 0.2) == []


def test_a_silly_window_is_used_when_the_timer_overrides() -> None:
    snd = established(wnd=10_000)
    write(snd, 20_000)
    flush(snd, 0.0)
    ack(snd, 10_000, 0.1, wnd=400)
    assert flush(snd, 0.1) == []
    assert snd.next_deadline() == pytest.approx(0.1 + snd.rtt.rto)
    assert flush(snd, expire(snd)) == [(10_000, 10_400)]
    assert snd.persist_deadline == math.inf
    assert snd.rto_deadline < math.inf


# The window's updates: RFC 9293 section 3.10.7.4.


def test_a_window_update_is_taken_from_newer_segments_only() -> None:
    snd = established(wnd=5000)
    write(snd, 2000)
    flush(snd, 0.0)
    assert snd.update_window(PEER, FIRST, 6000)
    assert not snd.update_window(PEER - 1, FIRST, 7000)  # an older SEG.SEQ
    assert snd.wnd == 6000
    assert not snd.update_window(PEER + 5, FIRST, 6000)  # newer, but the same
    assert not snd.update_window(PEER, FIRST, 100)  # overtaken by the one before
    assert snd.wnd == 6000
    assert snd.update_window(PEER + 5, FIRST, 100)
    assert (snd.wnd, snd.max_wnd) == (100, 6000)


def test_with_the_same_seg_seq_the_newer_ack_has_the_window() -> None:
    snd = established(wnd=5000)
    write(snd, 2000)
    flush(snd, 0.0)
    ack(snd, 1000, 0.1, wnd=6000)
    assert not snd.update_window(PEER, FIRST + 500, 100)
    assert snd.wnd == 6000


def test_an_ack_of_new_data_has_the_window_even_from_an_older_segment() -> None:
    snd = established(wnd=5000)
    write(snd, 2000)
    flush(snd, 0.0)
    snd.update_window(PEER + 100, FIRST, 5000)
    assert snd.update_window(PEER, FIRST + 1000, 4000)
    assert snd.wnd == 4000
    assert not snd.update_window(PEER + 50, FIRST, 9000)  # SND.WL1 has not gone back


# A window that shrinks: RFC 9293 section 3.8.6.


def test_no_new_data_goes_into_a_window_that_shrank() -> None:
    snd = established(wnd=10_000)
    write(snd, 20_000)
    flush(snd, 0.0)
    ack(snd, 1000, 0.1, wnd=3000)
    assert flush(snd, 0.1) == []
    assert snd.rto_deadline < math.inf
    assert snd.persist_deadline == math.inf


def test_lost_data_beyond_a_shrunken_window_waits_but_its_first_segment_is_tried() -> None:
    snd = established(wnd=10_000, avoid=True)
    write(snd, 10_000)
    flush(snd, 0.0)
    ack(snd, 0, 0.1, wnd=2500)
    assert flush(snd, expire(snd)) == [(0, 1000)]
    ack(snd, 1000, 1.0, wnd=1500)
    ((start, end),) = flush(snd, 1.0)
    assert start == 1000
    assert end >= 2500


def test_of_several_holes_those_beyond_a_shrunken_window_wait_for_it() -> None:
    snd = established(wnd=10_000, avoid=True)
    write(snd, 10_000)
    flush(snd, 0.0)
    ack(snd, 0, 0.1, (1000, 5000), (6000, 10_000), wnd=5400)
    assert flush(snd, 0.1) == [(0, 1000), (5000, 5400)]
    ack(snd, 5000, 0.2, (6000, 10_000), wnd=5000)
    assert flush(snd, 0.2) == [(5400, 6000)]


# The retransmission timer: RFC 6298 section 5.


def test_the_timer_starts_with_the_first_data_and_not_again_with_more() -> None:
    snd = established()
    write(snd, 1000)
    flush(snd, 1.0)
    assert snd.rto_deadline == pytest.approx(1.0 + RTO)
    write(snd, 1000)
    flush(snd, 1.2)
    assert snd.rto_deadline == pytest.approx(1.0 + RTO)


def test_an_ack_of_new_data_starts_the_timer_again() -> None:
    snd = established()
    write(snd, 2000)
    flush(snd, 1.0)
    ack(snd, 1000, 1.1)
    assert snd.rto_deadline == pytest.approx(1.1 + snd.rtt.rto)


def test_a_duplicate_ack_does_not_touch_the_timer() -> None:
    snd = established()
    write(snd, 2000)
    flush(snd, 1.0)
    ack(snd, 0, 1.1)
    assert snd.rto_deadline == pytest.approx(1.0 + RTO)


def test_the_timer_stops_when_all_is_acknowledged() -> None:
    snd = established()
    write(snd, 2000)
    flush(snd, 1.0)
    ack(snd, 2000, 1.1)
    assert snd.next_deadline() == math.inf


def test_each_expiry_doubles_the_timeout_and_an_ack_of_old_data_keeps_it() -> None:
    snd = established(linear_timeouts=0)
    write(snd, 2000)
    flush(snd, 0.0)
    moments = []
    for _ in range(4):
        moments.append(expire(snd))
        flush(snd, moments[-1])
    assert moments == pytest.approx([0.3, 0.9, 2.1, 4.5])
    assert snd.timeouts == 4
    ack(snd, 1000, 5.0)  # Karn: which of the five was acknowledged nobody knows
    assert snd.timeouts == 0
    assert snd.rtt.rto == pytest.approx(RTO * 16)


def test_a_timestamp_measures_even_what_was_sent_again() -> None:
    snd = established()
    write(snd, 1000)
    flush(snd, 0.0)
    now = expire(snd)
    flush(snd, now)
    ack(snd, 1000, now + 0.1, echoed=now)
    assert snd.rtt.latest == pytest.approx(0.1)
    assert snd.rtt.rto < 2 * RTO


def test_a_timestamp_of_the_first_copy_measures_nothing_once_there_is_a_second() -> None:
    snd = established()
    write(snd, 1000)
    flush(snd, 0.0)
    now = expire(snd)
    flush(snd, now)
    ack(snd, 1000, now + 0.01, echoed=0.0)
    assert snd.rtt.latest == 0.1


def test_a_timestamp_of_the_first_copy_makes_the_next_timeout_later() -> None:
    # RFC 4015 section 3.2, step (5): the answer took 0.31 s, so SRTT + 4 * SRTT/2.
    snd = established()
    write(snd, 1000)
    flush(snd, 0.0)
    now = expire(snd)
    flush(snd, now)
    ack(snd, 1000, now + 0.01, echoed=0.0)
    assert snd.rtt.rto == pytest.approx(3 * 0.31)


def test_the_round_trip_is_measured_on_the_newest_data_that_is_acknowledged() -> None:
    snd = established()
    for now in (0.0, 0.1):
        write(snd, 1000)
        flush(snd, now)
    ack(snd, 2000, 0.25)
    assert snd.rtt.latest == pytest.approx(0.15)


# Giving up.


def test_without_any_ack_for_r2_the_peer_is_given_up() -> None:
    snd = established(r2=50.0)
    write(snd, 1000)
    flush(snd, 1.0)
    assert snd.give_up_deadline == 51.0
    while (now := expire(snd)) < 51.0:
        flush(snd, now)
        ack(snd, 0, now)  # a duplicate is no progress
    assert now == 51.0


def test_progress_gives_the_peer_all_its_time_again() -> None:
    snd = established(r2=50.0)
    write(snd, 2000)
    flush(snd, 1.0)
    ack(snd, 1000, 20.0)
    assert snd.give_up_deadline == 70.0
    ack(snd, 2000, 30.0)
    assert snd.give_up_deadline == math.inf


def test_the_user_timeout_takes_the_place_of_r2() -> None:
    snd = established(user_timeout=5.0)
    write(snd, 1000)
    flush(snd, 1.0)
    assert snd.give_up_deadline == 6.0


# Idleness: RFC 5681 section 4.1.


def test_after_an_rto_without_sending_cwnd_starts_again() -> None:
    snd = established(avoid=True)
    write(snd, 1000)
    flush(snd, 0.0)
    snd.cc.cwnd = 50_000
    ack(snd, 1000, 0.1)
    write(snd, 60_000)
    flush(snd, 0.1 + 10.0)
    assert snd.cc.cwnd == snd.flight_size == 10_000


def test_a_shorter_pause_keeps_cwnd() -> None:
    snd = established(avoid=True)
    write(snd, 1000)
    flush(snd, 0.0)
    snd.cc.cwnd = 50_000
    ack(snd, 1000, 0.1)
    write(snd, 60_000)
    flush(snd, snd.rtt.rto - 0.01)
    assert snd.flight_size == 50_000


# The end.


def test_clear_leaves_nothing_to_do() -> None:
    snd = established()
    write(snd, 30_000)
    flush(snd, 0.0)
    snd.clear()
    assert snd.next_deadline() == math.inf
    assert snd.board.flights == []
    assert snd.loss.state is Recovery.OPEN
