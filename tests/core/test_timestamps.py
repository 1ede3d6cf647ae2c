"""The timestamps option: RFC 7323 sections 3 to 5."""

from __future__ import annotations

import pytest

from rudp.core.segment import ACK, Segment
from rudp.core.timestamps import STALE_AFTER, Timestamps

RCV_NXT = 2**32 - 2


def segment(ts_val: int, seq: int = RCV_NXT) -> Segment:
    return Segment(1, 2, seq, 0, ACK, 0, ts_val=ts_val)


def started(recent: int, now: float = 100.0) -> Timestamps:
    timestamps = Timestamps(0)
    timestamps.start(recent, now)
    return timestamps


def test_the_clock_ticks_in_milliseconds_from_its_offset_and_wraps() -> None:
    timestamps = Timestamps(2**32 - 1500)
    assert timestamps.clock(0.0) == 2**32 - 1500
    assert timestamps.clock(1.0) == 2**32 - 500
    assert timestamps.clock(2.0) == 500


@pytest.mark.parametrize("offset", [0, 2**32 - 100_200])
def test_an_echo_tells_when_its_segment_went_out(offset: int) -> None:
    timestamps = Timestamps(offset)
    echo = timestamps.clock(100.0)
    assert timestamps.sent_at(echo, 100.25) == pytest.approx(100.0, abs=0.001)


def test_an_echo_from_the_future_or_the_distant_past_makes_no_sense() -> None:
    timestamps = Timestamps(0)
    assert timestamps.sent_at(timestamps.clock(100.1), 100.0) == -1.0
    assert timestamps.sent_at(timestamps.clock(100.0), 800.0) == -1.0


def test_an_echo_makes_sense_for_just_under_ten_minutes() -> None:
    timestamps = Timestamps(0)
    assert timestamps.sent_at(100_001, 700.0) == pytest.approx(100.001)
    assert timestamps.sent_at(100_000, 700.0) == -1.0
    assert timestamps.precedes(100_001, 700.0)
    assert not timestamps.precedes(100_000, 700.0)


def test_what_went_out_in_the_same_tick_does_not_precede() -> None:
    timestamps = Timestamps(0)
    assert timestamps.precedes(699_999, 700.0)
    assert not timestamps.precedes(700_000, 700.0)
    assert not timestamps.precedes(700_001, 700.0)


def test_paws_refuses_what_is_older_than_ts_recent() -> None:
    timestamps = started(500)
    assert timestamps.is_old(segment(499), 101.0)
    assert not timestamps.is_old(segment(500), 101.0)
    assert not timestamps.is_old(segment(501), 101.0)


def test_paws_compares_across_a_wrap() -> None:
    timestamps = started(2**32 - 1)
    after = segment(3)
    assert not timestamps.is_old(after, 101.0)
    assert after.ts_val == 2**32 + 3  # unwrapped in place
    timestamps.update(after, RCV_NXT, 101.0)
    assert timestamps.recent == 2**32 + 3
    assert timestamps.is_old(segment(2**32 - 1), 101.0)


def test_ts_recent_means_nothing_after_24_days_of_silence() -> None:
    timestamps = started(500)
    assert timestamps.is_old(segment(400), 100.0 + STALE_AFTER - 1)
    old = segment(400)
    assert not timestamps.is_old(old, 100.0 + STALE_AFTER)
    timestamps.update(old, RCV_NXT, 100.0 + STALE_AFTER)
    assert timestamps.recent == 400


def test_ts_recent_follows_segments_that_begin_at_or_before_the_last_ack() -> None:
    timestamps = started(500)
    timestamps.update(segment(510), RCV_NXT, 101.0)
    assert timestamps.recent == 510
    timestamps.update(segment(520, seq=RCV_NXT - 1), RCV_NXT, 101.0)
    assert timestamps.recent == 520


def test_out_of_order_data_leaves_ts_recent_alone() -> None:
    # RFC 7323 section 4.2 (B): so that the sender measures from the segment that fills the gap.
    timestamps = started(500)
    timestamps.update(segment(510, seq=RCV_NXT + 1), RCV_NXT, 101.0)
    assert timestamps.recent == 500


def test_ts_recent_never_goes_back() -> None:
    timestamps = started(500)
    timestamps.update(segment(499), RCV_NXT, 101.0)
    assert timestamps.recent == 500


def test_ts_recent_never_goes_back_on_a_machine_that_has_been_up_for_a_month() -> None:
    timestamps = started(500, now=STALE_AFTER + 100.0)
    timestamps.update(segment(499), RCV_NXT, STALE_AFTER + 101.0)
    assert timestamps.recent == 500


def test_a_segment_of_the_same_tick_breaks_the_silence_too() -> None:
    timestamps = started(500)
    timestamps.update(segment(500), RCV_NXT, 100.0 + STALE_AFTER - 1)
    assert timestamps.is_old(segment(499), 100.0 + STALE_AFTER + 1)


def test_silence_counts_from_the_last_update() -> None:
    timestamps = started(500)
    timestamps.update(segment(600), RCV_NXT, 100.0 + STALE_AFTER - 1)
    assert timestamps.is_old(segment(599), 100.0 + STALE_AFTER + 1)
