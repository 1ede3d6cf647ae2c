"""Rows 10 and 11: what outlives its connection can neither be ended nor be made to pile up."""

from __future__ import annotations

import random
import tracemalloc

import pytest

from rudp.channel import Key
from rudp.core.config import Config
from rudp.core.segment import ACK, FIN, PSH, RST, SYN, Segment
from rudp.core.state import CLOSED, FIN_WAIT_1, FIN_WAIT_2
from rudp.core.time_wait import TimeWait
from rudp.core.timestamps import Timestamps
from rudp.time_waits import TimeWaits
from tests.wire.scripted import Script

SND_NXT, RCV_NXT = 2**32 - 7, 2**32 + 5
RECENT = 1000


def record(now: float = 100.0) -> TimeWait:
    timestamps = Timestamps(7000)
    timestamps.start(RECENT, now)
    return TimeWait(80, 4000, SND_NXT, RCV_NXT, 512, timestamps, 30.0, now)


# -- 10: TIME-WAIT assassination (RFC 1337) ------------------------------------------------------


def test_threat_10_time_wait_assassination_no_late_segment_ends_it_or_has_it_answer_for_ever() -> (
    None
):
    rng = random.Random(10)
    time_wait = record()
    answers = 0
    for number in range(10_000):
        seq = rng.choice((RCV_NXT, RCV_NXT - 1, RCV_NXT + 100, rng.randrange(2**32))) % 2**32
        flags = rng.choice((RST, RST | ACK, ACK, PSH | ACK, SYN, SYN | ACK, rng.randrange(256)))
        late = Segment(4000, 80, seq, rng.randrange(2**32), flags & ~FIN, 1000)
        late.ts_val = rng.choice((None, RECENT, RECENT - 1, RECENT - rng.randrange(2**31)))
        now = 100.0 + number / 1000
        if not time_wait.reopens(late):
            answer = time_wait.receive(late, now)
            answers += answer is not None
            assert answer is None or (answer.flags, answer.seq) == (ACK, SND_NXT)
            assert not (late.flags & RST and answer)
        assert time_wait.deadline == 160.0
    assert answers == 20  # two in a second


def test_threat_10_time_wait_assassination_only_what_is_newer_reuses_the_ports() -> None:
    # RFC 6191: by its timestamp; only without one, or with an equal one, by its number.
    rng = random.Random(10)
    time_wait = record()
    for _ in range(2000):
        ts_val = (RECENT - rng.randrange(1, 2**31)) % 2**32
        old = Segment(4000, 80, rng.randrange(2**32), 0, SYN, 0, ts_val=ts_val)
        assert not time_wait.reopens(old)
        before = (RCV_NXT - rng.randrange(2**31)) % 2**32
        assert not time_wait.reopens(Segment(4000, 80, before, 0, SYN, 0, ts_val=RECENT))
        assert not time_wait.reopens(Segment(4000, 80, before, 0, SYN, 0))
        newer = Segment(4000, 80, before, 0, SYN, 0, ts_val=RECENT + rng.randrange(1, 2**31))
        assert time_wait.reopens(newer)
        for flags in (SYN | ACK, SYN | RST, SYN | FIN, ACK):
            newer.flags = flags
            assert not time_wait.reopens(newer)


# -- 11: exhaustion by what is left --------------------------------------------------------------


def key(number: int) -> Key:
    return (f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 40_000), 80, 4000 + number


def test_threat_11_exhaustion_of_time_wait_has_a_limit_and_the_oldest_makes_room() -> None:
    kept = TimeWaits(Config().max_time_wait // 16)
    for number in range(5 * 1024):
        kept.add(key(number), record(100.0 + number))
    assert len(kept) == 1024
    assert key(4 * 1024 - 1) not in kept
    assert key(4 * 1024) in kept
    assert kept.expire(10**9) > 10**9
    assert len(kept) == 0


def test_threat_11_exhaustion_a_record_of_time_wait_takes_less_than_a_kilobyte() -> None:
    # With all that identifies its connection: 16384 of them are 16 MiB at most.
    kept = TimeWaits(16384)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(2048):
            kept.add(key(number), record(100.0 + number))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (after - before) / 2048 < 1024


@pytest.mark.parametrize("data", [b"", b"x" * 1000])
def test_threat_11_exhaustion_a_closed_connection_waits_a_minute_for_the_fin(data: bytes) -> None:
    script = Script()
    script.established()
    if data:
        script.write(data)
    script.close()
    script.inject(f"< . 1:1(0) ack {len(data) + 2}")
    assert script.state is FIN_WAIT_2
    script.advance(59.9)
    assert script.state is FIN_WAIT_2
    script.advance(0.2)
    assert script.state is CLOSED
    assert script.deadline == float("inf")


def test_threat_11_exhaustion_a_closed_connection_is_given_up_when_nothing_is_acknowledged() -> (
    None
):
    script = Script()
    script.established()
    script.write(b"x" * 1000)
    script.close()
    script.advance(99)
    assert script.state is FIN_WAIT_1
    script.advance(150)
    assert script.state is CLOSED
