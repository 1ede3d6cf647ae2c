"""What is left of a connection for 2 MSL: RFC 9293, RFC 1337, RFC 6191."""

from __future__ import annotations

import pytest

from rudp.core.segment import ACK, FIN, PSH, RST, SYN, Segment
from rudp.core.time_wait import TimeWait
from rudp.core.timestamps import Timestamps

RCV_NXT = 2**32 + 5
SND_NXT = 2**32 - 7
MSL = 30.0


def time_wait(recent: int | None = None) -> TimeWait:
    """A record made at 100.0, with timestamps if `recent` is given."""
    timestamps = None
    if recent is not None:
        timestamps = Timestamps(7000)
        timestamps.start(recent, 90.0)
    return TimeWait(80, 4000, SND_NXT, RCV_NXT, 512, timestamps, MSL, 100.0)


def segment(flags: int, seq: int = 5, data: bytes = b"", ts_val: int | None = None) -> Segment:
    """As it comes from the wire: `seq` is 32 bits."""
    return Segment(4000, 80, seq, SND_NXT, flags, 1000, data, ts_val=ts_val)


def ack(ts_val: int | None = None, ts_ecr: int = 0) -> Segment:
    return Segment(80, 4000, SND_NXT, RCV_NXT, ACK, 512, ts_val=ts_val, ts_ecr=ts_ecr)


def test_it_lasts_for_two_msl() -> None:
    assert time_wait().deadline == 160.0


def test_a_fin_that_comes_again_is_acknowledged_and_starts_the_wait_again() -> None:
    record = time_wait()
    assert record.receive(segment(FIN | ACK, seq=4), 110.0) == ack()
    assert record.deadline == 170.0


def test_every_fin_is_acknowledged_however_fast_they_come() -> None:
    record = time_wait()
    assert record.receive(segment(FIN | ACK, seq=4), 110.0) == ack()
    assert record.receive(segment(FIN | ACK, seq=4), 110.001) == ack()


def test_the_answer_carries_timestamps_where_they_were_agreed_on() -> None:
    assert time_wait(recent=44).receive(segment(FIN | ACK), 110.0) == ack(117000, 44)


@pytest.mark.parametrize("flags", [RST, RST | ACK, RST | FIN, RST | SYN])
def test_a_rst_is_ignored(flags: int) -> None:
    record = time_wait()
    assert record.receive(segment(flags), 110.0) is None
    assert record.deadline == 160.0


def test_late_data_is_answered_but_does_not_prolong_the_wait() -> None:
    record = time_wait()
    assert record.receive(segment(PSH | ACK, data=b"late"), 110.0) == ack()
    assert record.deadline == 160.0


def test_two_records_do_not_answer_each_other_without_end() -> None:
    record = time_wait()
    answers = [record.receive(segment(ACK), 110.0 + i / 100) for i in range(100)]
    assert [i for i, answer in enumerate(answers) if answer is not None] == [0, 50]


# RFC 6191 section 2: when a SYN may begin a new connection.


@pytest.mark.parametrize(
    ("recent", "ts_val", "seq", "reopens"),
    [
        (None, None, 6, True),
        (None, None, 4, False),
        (None, None, 2**31, True),
        (None, None, 2**32 - 1, False),
        (1000, 1001, 4, True),
        (1000, 999, 6, False),
        (1000, 1000, 6, True),
        (1000, 1000, 4, False),
        (2**32 - 1, 3, 4, True),
        (1000, None, 6, True),
        (1000, None, 4, False),
    ],
    ids=[
        "beyond the old sequence numbers",
        "among the old sequence numbers",
        "far beyond",
        "before a wrap",
        "a later timestamp",
        "an earlier timestamp",
        "the same timestamp, beyond",
        "the same timestamp, not beyond",
        "a later timestamp across a wrap",
        "no timestamp now, beyond",
        "no timestamp now, not beyond",
    ],
)
def test_a_syn_begins_a_new_connection_if_it_is_newer(
    recent: int | None, ts_val: int | None, seq: int, reopens: bool
) -> None:
    assert time_wait(recent).reopens(segment(SYN, seq=seq, ts_val=ts_val)) is reopens


@pytest.mark.parametrize("flags", [SYN | ACK, SYN | RST, SYN | FIN, ACK, FIN | ACK, 0])
def test_nothing_but_a_plain_syn_begins_a_new_connection(flags: int) -> None:
    assert not time_wait().reopens(segment(flags, seq=1000))


def test_a_syn_that_is_not_newer_gets_an_ack() -> None:
    record = time_wait()
    assert record.receive(segment(SYN, seq=4), 110.0) == ack()
    assert record.deadline == 160.0
