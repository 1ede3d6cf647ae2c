"""Segments that belong to no connection: RFC 9293 sections 3.10.7.1 and 3.10.7.2."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rudp.core.codec import encode
from rudp.core.segment import ACK, FIN, PSH, RST, SYN, Segment
from rudp.core.stray import answer_closed, answer_listen, opens

SEQ, ACKED = 2**32 - 2, 2**32 - 9


def segment(flags: int, data: bytes = b"") -> Segment:
    return Segment(4000, 80, SEQ, ACKED, flags, 1000, data)


def test_a_segment_with_an_ack_gets_a_rst_that_stands_at_its_ack() -> None:
    assert answer_closed(segment(PSH | ACK, b"data")) == Segment(80, 4000, ACKED, 0, RST, 0)


@pytest.mark.parametrize(
    ("flags", "data", "end"),
    [(SYN, b"", SEQ + 1), (0, b"abc", SEQ + 3), (SYN | FIN, b"a", SEQ + 3), (0, b"", SEQ)],
)
def test_a_segment_without_an_ack_gets_a_rst_that_acknowledges_it(
    flags: int, data: bytes, end: int
) -> None:
    assert answer_closed(segment(flags, data)) == Segment(80, 4000, 0, end, RST | ACK, 0)


@pytest.mark.parametrize("flags", [RST, RST | ACK, RST | SYN, RST | FIN | ACK])
def test_a_rst_is_never_answered(flags: int) -> None:
    assert answer_closed(segment(flags)) is None
    assert answer_listen(segment(flags)) is None


def test_a_listener_answers_any_acknowledgment_with_a_rst() -> None:
    rst = Segment(80, 4000, ACKED, 0, RST, 0)
    assert answer_listen(segment(ACK)) == rst
    assert answer_listen(segment(SYN | ACK)) == rst
    assert answer_listen(segment(FIN | ACK)) == rst


def test_a_listener_drops_what_has_neither_syn_nor_ack() -> None:
    assert answer_listen(segment(FIN)) is None
    assert answer_listen(segment(0, b"data")) is None


def test_only_a_plain_syn_opens() -> None:
    assert opens(segment(SYN))
    assert opens(segment(SYN | PSH, b"data"))
    for flags in (SYN | ACK, SYN | RST, SYN | FIN, ACK, FIN, 0):
        assert not opens(segment(flags))


@given(st.integers(0, 255), st.binary(max_size=20))
def test_no_answer_is_longer_than_what_it_answers(flags: int, data: bytes) -> None:
    stray = segment(flags, data)
    for answer in (answer_closed(stray), answer_listen(stray)):
        if answer is not None:
            assert not stray.flags & RST
            assert len(encode(answer)) <= len(encode(stray))
            assert answer_closed(answer) is None  # no answer is answered
