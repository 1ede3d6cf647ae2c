"""The receive half: what is acceptable, when to acknowledge, and what a SACK says."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rudp.core.config import Config
from rudp.core.receiver import QUICK_SEGMENTS, Receiver
from tests.core.receiving import BUFFER, IRS, MSS, NXT, arrive, read_all, receiver, sacks, stream

# RFC 9293 section 3.10.7.4, table 6.


@pytest.mark.parametrize(
    ("seq", "length", "fits"),
    [
        (0, 0, True),
        (9_999, 0, True),
        (10_000, 0, True),  # the deviation: at the right edge
        (10_001, 0, False),
        (-1, 0, False),
        (0, 1, True),
        (9_999, 1, True),
        (10_000, 1, False),
        (-1, 1, False),
        (-1, 2, True),
        (-5, 20_000, True),
        (9_999, 500, True),
    ],
)
def test_a_segment_is_acceptable_if_any_of_it_is_in_the_window(
    seq: int, length: int, fits: bool
) -> None:
    assert receiver().acceptable(NXT + seq, length) is fits


@pytest.mark.parametrize(
    ("seq", "length", "fits"),
    [(0, 0, True), (1, 0, True), (2, 0, False), (-1, 0, False), (0, 1, False), (-1, 2, False)],
)
def test_a_shut_window_takes_only_an_empty_segment_at_rcv_nxt_or_behind_a_probe(
    seq: int, length: int, fits: bool
) -> None:
    rcv = receiver()
    rcv.start(IRS, 0)
    assert rcv.acceptable(NXT + seq, length) is fits


# Data in order.


def test_data_in_order_is_readable_at_once() -> None:
    rcv = receiver()
    arrive(rcv, 0, 1500)
    assert (rcv.nxt, rcv.readable) == (NXT + 1500, 1500)
    assert rcv.bytes_received == QUICK_SEGMENTS * MSS + 1500
    assert read_all(rcv) == stream(0, 1500)
    assert (rcv.readable, rcv.bytes_read) == (0, 1500)


def test_reading_less_than_is_there_leaves_the_rest() -> None:
    rcv = receiver()
    arrive(rcv, 0, 10)
    arrive(rcv, 10, 20)  # small pieces that wait are joined
    arrive(rcv, 20, 1220)
    assert [rcv.read(3), rcv.read(4), rcv.read(1 << 30), rcv.read(1 << 30), rcv.read(1)] == [
        stream(0, 3),
        stream(3, 7),
        stream(7, 20),  # a piece at a time: large ones are not joined by copying
        stream(20, 1220),
        b"",
    ]


def test_a_piece_read_whole_is_the_very_object_that_came() -> None:
    rcv = receiver()
    data = stream(0, 1000)
    rcv.on_data(NXT, data, MSS, 1.0)
    assert rcv.read(1 << 30) is data


def test_data_beyond_the_window_is_cut_off() -> None:
    rcv = receiver()
    arrive(rcv, 0, 12_000)
    assert rcv.nxt == NXT + BUFFER == rcv.edge
    assert rcv.ack_now
    assert read_all(rcv) == stream(0, BUFFER)


def test_out_of_order_data_beyond_the_window_is_cut_off_too() -> None:
    rcv = receiver()
    arrive(rcv, 9_000, 11_000)
    assert sacks(rcv) == [(9_000, 10_000)]


# When to acknowledge: RFC 5681 section 4.2.


def test_the_first_segment_may_wait_for_the_second() -> None:
    rcv = receiver()
    arrive(rcv, 0, 1000, now=5.0)
    assert not rcv.ack_now
    assert rcv.ack_deadline == 5.04
    arrive(rcv, 1000, 2000, now=5.01)
    assert rcv.ack_now


def test_a_delayed_ack_waits_no_longer_because_more_small_segments_come() -> None:
    rcv = receiver()
    arrive(rcv, 0, 10, now=5.0)
    arrive(rcv, 10, 20, now=5.03)
    assert not rcv.ack_now
    assert rcv.ack_deadline == 5.04


def test_an_ack_that_went_out_ends_the_wait() -> None:
    rcv = receiver()
    arrive(rcv, 0, 1999, now=5.0)
    rcv.on_ack_sent()
    assert rcv.ack_deadline == math.inf
    arrive(rcv, 1999, 2001, now=6.0)
    assert not rcv.ack_now  # the count of two segments begins anew
    assert rcv.ack_deadline == 6.04


def test_without_delay_every_segment_is_acknowledged() -> None:
    rcv = receiver(delayed_ack=0)
    arrive(rcv, 0, 1)
    assert rcv.ack_now


def test_a_full_sized_segment_is_the_largest_seen() -> None:
    rcv = Receiver(Config(), 1452, 1 << 30)
    rcv.start(IRS, 65535)
    assert rcv.mss == 536
    rcv.on_data(NXT, bytes(1000), 1000, 1.0)
    assert rcv.mss == 1000
    rcv.on_data(NXT + 1000, bytes(2904), 1452, 1.0)
    assert rcv.mss == 1452
    rcv.on_data(NXT + 3904, bytes(10), 10, 1.0)
    assert rcv.mss == 1452
    assert Receiver(Config(), 300, 1 << 30).mss == 300  # as much as we announce, to begin with


def test_at_the_beginning_every_full_sized_segment_is_acknowledged() -> None:
    rcv = receiver()
    rcv.bytes_received = 0
    arrive(rcv, 0, 999, now=5.0)
    assert not rcv.ack_now
    assert rcv.ack_deadline == 5.04
    arrive(rcv, 999, 1000, now=5.0)
    assert rcv.ack_now


def test_out_of_order_data_is_acknowledged_at_once() -> None:
    rcv = receiver()
    arrive(rcv, 1000, 2000)
    assert rcv.ack_now
    assert rcv.nxt == NXT
    assert rcv.duplicate_acks == 1


def test_without_sack_a_super_segment_out_of_order_is_worth_an_ack_for_each_segment() -> None:
    rcv = receiver()
    rcv.on_data(NXT + 1000, stream(1000, 4500), MSS, 1.0)
    assert rcv.duplicate_acks == 4
    rcv.on_ack_sent()
    assert rcv.duplicate_acks == 0


def test_what_fills_a_gap_is_acknowledged_at_once() -> None:
    rcv = receiver()
    arrive(rcv, 1000, 1010)
    rcv.on_ack_sent()
    arrive(rcv, 0, 1000)
    assert rcv.ack_now
    assert (rcv.nxt, read_all(rcv)) == (NXT + 1010, stream(0, 1010))


def test_what_fills_only_a_part_of_a_gap_is_acknowledged_at_once_too() -> None:
    rcv = receiver()
    arrive(rcv, 1000, 1010)
    rcv.on_ack_sent()
    arrive(rcv, 0, 10)
    assert rcv.ack_now


# What a SACK says: RFC 2018 and 2883.


def test_a_sack_reports_what_is_held_the_newest_first() -> None:
    rcv = receiver()
    assert not rcv.has_sack
    arrive(rcv, 1000, 2000)
    arrive(rcv, 5000, 6000)
    arrive(rcv, 3000, 4000)
    assert rcv.has_sack
    assert sacks(rcv) == [(3000, 4000), (5000, 6000), (1000, 2000)]
    assert sacks(rcv, 2) == [(3000, 4000), (5000, 6000)]


def test_a_segment_that_came_twice_is_reported_once() -> None:
    # RFC 2883 section 4.1.1.
    rcv = receiver()
    arrive(rcv, 0, 1000)
    rcv.on_ack_sent()
    rcv.on_duplicate(NXT + 200, 300)
    assert rcv.ack_now
    assert rcv.has_sack
    assert sacks(rcv) == [(200, 500)]
    assert not rcv.has_sack
    assert sacks(rcv) == []


def test_a_duplicate_stands_before_the_ranges_that_are_held() -> None:
    rcv = receiver()
    arrive(rcv, 0, 1000)
    arrive(rcv, 2000, 3000)
    rcv.on_duplicate(NXT, 1000)
    assert sacks(rcv, 2) == [(0, 1000), (2000, 3000)]


def test_a_duplicate_takes_the_place_of_a_range() -> None:
    rcv = receiver()
    for start in (2000, 4000, 6000, 8000):
        arrive(rcv, start, start + 1000)
    arrive(rcv, 0, 1000)
    rcv.on_duplicate(NXT, 1000)
    assert sacks(rcv, 3) == [(0, 1000), (8000, 9000), (6000, 7000)]
    assert sacks(rcv, 3) == [(8000, 9000), (6000, 7000), (4000, 5000)]


def test_the_part_of_a_segment_that_came_twice_is_reported() -> None:
    # RFC 2883 section 4.2.
    rcv = receiver()
    arrive(rcv, 0, 1000)
    arrive(rcv, 500, 1500)
    assert rcv.nxt == NXT + 1500
    assert sacks(rcv) == [(500, 1000)]
    assert read_all(rcv) == stream(0, 1500)


def test_out_of_order_data_that_came_twice_is_reported_with_its_range() -> None:
    # RFC 2883 section 4.1.3.
    rcv = receiver()
    arrive(rcv, 1000, 3000)
    assert sacks(rcv) == [(1000, 3000)]
    arrive(rcv, 2000, 3000)
    assert sacks(rcv) == [(2000, 3000), (1000, 3000)]
    assert sacks(rcv) == [(1000, 3000)]


def test_what_never_came_is_not_reported_as_a_duplicate() -> None:
    rcv = receiver()
    rcv.on_duplicate(NXT + BUFFER + 5, 100)  # beyond the window
    assert rcv.ack_now
    assert sacks(rcv) == []


def test_a_range_more_than_the_limit_is_not_held() -> None:
    rcv = receiver(max_reassembly_ranges=16)
    for i in range(1, 40):
        arrive(rcv, 100 * i, 100 * i + 1)
    arrive(rcv, 0, 5000)
    assert read_all(rcv) == stream(0, 5000)


# FIN.


def test_a_fin_is_received_when_all_before_it_is() -> None:
    rcv = receiver()
    rcv.on_fin(NXT + 1000)
    assert rcv.ack_now or rcv.ack_soon
    assert not rcv.finish()
    arrive(rcv, 0, 1000)
    assert rcv.finish()
    assert (rcv.nxt, rcv.fin_received) == (NXT + 1001, True)
    assert not rcv.finish()
    assert read_all(rcv) == stream(0, 1000)


def test_nothing_can_follow_a_fin() -> None:
    rcv = receiver()
    rcv.on_fin(NXT + 500)
    arrive(rcv, 100, 1000)
    arrive(rcv, 600, 700)
    arrive(rcv, 0, 1000)
    assert rcv.finish()
    assert read_all(rcv) == stream(0, 500)


def test_the_first_fin_stands() -> None:
    rcv = receiver()
    rcv.on_fin(NXT + 500)
    rcv.on_fin(NXT + 300)
    assert rcv.fin_seq == NXT + 500


def test_a_fin_before_what_has_come_is_no_fin() -> None:
    # Else RCV.NXT would move back to it.
    rcv = receiver()
    arrive(rcv, 500, 1000)
    rcv.on_fin(NXT + 700)
    arrive(rcv, 0, 500)
    assert not rcv.finish()
    rcv.on_fin(NXT + 700)
    assert not rcv.finish()
    assert rcv.nxt == NXT + 1000
    rcv.on_fin(NXT + 1000)
    assert rcv.finish()
    assert read_all(rcv) == stream(0, 1000)


def test_after_the_fin_reading_causes_no_window_update() -> None:
    rcv = receiver()
    arrive(rcv, 0, BUFFER)
    rcv.on_fin(NXT + BUFFER)
    rcv.finish()
    rcv.on_ack_sent()
    read_all(rcv)
    assert not rcv.ack_now


# The model: a receiver that knows which bytes came within its window.

STEP = st.tuples(
    st.sampled_from(["data"] * 6 + ["read", "ack"]), st.integers(-30, 90), st.integers(1, 60)
)


@settings(max_examples=200, deadline=None)
@given(st.lists(STEP, max_size=60))
def test_the_receiver_agrees_with_one_that_notes_every_byte(
    steps: list[tuple[str, int, int]],
) -> None:
    rcv = receiver(receive_buffer=2048)
    rcv.start(IRS, 100)
    rcv.buffer, rcv.mss = 100, 20
    came: set[int] = set()  # offsets in the stream
    nxt, edge, delivered = 0, 100, b""
    for what, offset, length in steps:
        start, end = nxt + offset, nxt + offset + length
        if what == "data" and rcv.acceptable(NXT + start, length):
            assert end > nxt
            assert start < edge
            arrive(rcv, start, end)
            came |= set(range(max(start, nxt), min(end, edge)))
        elif what == "data":
            assert end <= nxt or start >= edge or nxt == edge
            rcv.on_duplicate(NXT + start, length)
            assert rcv.ack_now
        elif what == "read":
            piece = rcv.read(length)
            assert piece or nxt == len(delivered)
            delivered += piece
        else:
            for number, (left, right) in enumerate(sacks(rcv)):
                assert left < right
                block = set(range(left, right))
                assert {at for at in block if at >= 0} <= came
                if number:  # only the first may be a duplicate: the others are whole ranges
                    assert left > nxt
                    assert not {left - 1, right} & came
            rcv.advance_window()
            rcv.on_ack_sent()
        while nxt in came:
            nxt += 1
        assert (rcv.nxt - NXT, rcv.readable) == (nxt, nxt - len(delivered))
        # The right edge never moves back, and promises no more than there is room for.
        assert edge <= rcv.edge - NXT <= max(edge, len(delivered) + 100)
        edge = rcv.edge - NXT
    assert delivered + read_all(rcv) == stream(0, nxt)
