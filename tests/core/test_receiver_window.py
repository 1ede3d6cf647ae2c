"""The window that we advertise: it never moves back, and moves on by steps worth a segment."""

from __future__ import annotations

import pytest

from rudp.core.config import Config
from rudp.core.receiver import INITIAL_BUFFER, Receiver, window_shift
from tests.core.receiving import BUFFER, IRS, NXT, arrive, receiver

# The window.


def test_the_window_shrinks_by_what_is_not_read() -> None:
    rcv = receiver()
    arrive(rcv, 0, 4000)
    assert rcv.advance_window() == rcv.wnd == 6000
    assert rcv.edge == NXT + BUFFER


def test_reading_opens_the_window_again() -> None:
    rcv = receiver()
    arrive(rcv, 0, 4000)
    rcv.read(1 << 30)
    assert rcv.advance_window() == BUFFER
    assert rcv.edge == NXT + 4000 + BUFFER


def test_the_right_edge_moves_by_no_less_than_a_segment() -> None:
    # RFC 9293 section 3.8.6.2.2, with a buffer of ten segments.
    rcv = receiver()
    arrive(rcv, 0, 4000)
    rcv.read(999)
    assert rcv.advance_window() == 6000
    rcv.read(1)
    assert rcv.advance_window() == 7000


def test_with_a_buffer_below_two_segments_half_of_it_is_a_step() -> None:
    rcv = receiver(receive_buffer=2048)
    rcv.mss = 1452
    arrive(rcv, 0, 2048)
    rcv.read(1023)
    assert rcv.advance_window() == 0
    rcv.read(1)
    assert rcv.advance_window() == 1024


def test_a_window_that_was_shut_is_told_of_when_a_segment_fits() -> None:
    rcv = receiver()
    arrive(rcv, 0, BUFFER)
    rcv.on_ack_sent()
    rcv.read(999)
    assert not rcv.ack_now
    rcv.read(1)
    assert rcv.ack_now


def test_a_window_wide_open_is_told_of_when_it_has_grown_by_half_of_the_buffer() -> None:
    rcv = receiver()
    arrive(rcv, 0, 7000)
    rcv.advance_window()
    rcv.on_ack_sent()
    rcv.read(4999)
    assert not rcv.ack_now
    rcv.read(1)
    assert rcv.ack_now


def test_a_window_of_two_segments_is_wide_enough_to_wait() -> None:
    for unread, told in [(8000, False), (8001, True)]:
        rcv = receiver()
        arrive(rcv, 0, unread)
        rcv.advance_window()
        rcv.on_ack_sent()
        rcv.read(1001)
        assert rcv.ack_now is told


def test_out_of_order_data_does_not_change_the_window() -> None:
    # RFC 5681 section 2 (e): duplicate ACKs that announce another window are none.
    rcv = receiver()
    for i in range(1, 6):
        arrive(rcv, 1000 * i, 1000 * i + 1000)
        assert rcv.advance_window() == BUFFER


def test_the_window_says_no_more_than_its_field_can() -> None:
    rcv = receiver(receive_buffer=1 << 20)
    rcv.start(IRS, 65535)
    assert rcv.advance_window() == 65535
    rcv.max_window = 65535 << 4
    assert rcv.advance_window() == 65535 << 4


def test_when_nobody_reads_any_more_the_window_stays() -> None:
    rcv = receiver()
    arrive(rcv, 0, 4000)
    rcv.discarding = True
    rcv.clear()
    assert rcv.readable == 0
    assert rcv.read(100) == b""
    assert rcv.advance_window() == 6000
    assert not rcv.has_sack


@pytest.mark.parametrize(
    ("buffer", "shift"),
    [(2048, 0), (65535, 0), (65536, 1), (131072, 2), (8 << 20, 8), (65535 << 14, 14)],
)
def test_the_window_scale_is_the_least_that_says_all_of_the_buffer(buffer: int, shift: int) -> None:
    assert window_shift(buffer) == shift


# Autotuning.


def tuned(socket_buffer: int = 1 << 30, mss: int = 1452) -> Receiver:
    rcv = Receiver(Config(receive_buffer=1 << 20), mss, socket_buffer)
    rcv.start(IRS, 65535)
    rcv.max_window = 65535 << 8
    rcv.advance_window()
    return rcv


def feed(rcv: Receiver, count: int) -> None:
    rcv.on_data(rcv.nxt, bytes(count), 1452, 0.0)
    rcv.read(1 << 30)
    rcv.advance_window()


def test_the_buffer_starts_small_and_doubles_as_the_application_takes_it_up() -> None:
    rcv = tuned()
    assert rcv.buffer == INITIAL_BUFFER
    seen = []
    for now in range(1, 6):
        feed(rcv, rcv.buffer // 2)
        rcv.tune(0.1, float(now))
        seen.append(rcv.buffer)
    assert seen == [1 << 18, 1 << 19, 1 << 20, 1 << 20, 1 << 20]


def test_an_application_that_takes_little_keeps_its_small_buffer() -> None:
    rcv = tuned()
    feed(rcv, rcv.buffer // 2 - 1)
    rcv.tune(0.1, 1.0)
    assert rcv.buffer == INITIAL_BUFFER


def test_what_was_taken_counts_for_one_round_trip_only() -> None:
    rcv = tuned()
    feed(rcv, rcv.buffer // 2)
    rcv.tune(0.1, 1.0)
    assert rcv.tuned_at == 1.0
    feed(rcv, rcv.buffer // 2 - 1)
    rcv.tune(0.1, 2.0)
    assert rcv.buffer == 1 << 18


def test_on_a_short_path_the_socket_below_sets_the_limit() -> None:
    rcv = tuned(socket_buffer=200_000)
    feed(rcv, rcv.buffer // 2)
    rcv.tune(0.001, 1.0)
    assert rcv.buffer == 200_000
    feed(rcv, rcv.buffer // 2)
    rcv.tune(0.008, 2.0)
    assert rcv.buffer == 400_000


def test_large_segments_start_with_room_for_four() -> None:
    assert tuned(mss=65483).buffer == 4 * 65483
    assert tuned(mss=65483, socket_buffer=140_000).buffer == 140_000


def test_a_small_first_read_tells_nobody_that_scaling_made_the_window_larger() -> None:
    rcv = Receiver(Config(), 1460, 1 << 30)
    rcv.max_window = 1 << 20
    rcv.start(IRS, 65535)  # what the SYN-ACK could say
    rcv.on_data(IRS + 1, b"x" * 64, 64, 0.0)
    rcv.on_ack_sent()
    assert rcv.read(64) == b"x" * 64
    assert not rcv.ack_now
