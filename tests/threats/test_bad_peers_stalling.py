"""Row 17: a peer that stalls (Slowloris; sockstress, CVE-2008-4609). All in virtual time.

It keeps its window shut, or opens it by a byte, or is gone. With `user_timeout` it is dropped then,
and what it costs meanwhile is what the application has written, `Config.send_buffer` at most of it
in flight. Without, a peer that answers may do so for ever: RFC 9293 section 3.8.6.1, MUST-37.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from itertools import pairwise

import pytest

from rudp.core import invariants
from rudp.core.state import CLOSED, ESTABLISHED
from tests.threats.cost import kept
from tests.threats.flooding import FIRST, IRS, MSS, Server

PATIENCE = 30.0
WRITTEN = 50_000

Answer = Callable[[Server, int], None]
"""What the peer says to a segment that ends at that offset."""


def silent(s: Server, end: int) -> None:
    """It is gone."""


def shut(s: Server, end: int) -> None:
    """Not a byte is taken."""
    s.ack(s.una, wnd=0)


def takes_each_probe(s: Server, end: int) -> None:
    """The window is shut, yet the probe's byte is taken."""
    s.ack(end, wnd=0)


def a_byte_at_a_time(s: Server, end: int) -> None:
    """The silliest of windows (RFC 9293 section 3.8.6.2)."""
    s.ack(end, wnd=1)


def slowly_a_byte(s: Server, end: int) -> None:
    s.now += 7.0
    s.ack(end, wnd=1)


def stall(s: Server, answer: Answer, limit: float, wnd: int = 0) -> float:
    """The window shuts before anything goes out; returns after how long it was over."""
    s.ack(0, wnd=wnd)
    begin = s.now
    s.c.write(b"x" * WRITTEN)
    s.pump()
    while s.c.state is not CLOSED and s.now < begin + limit:
        ends = [each.end - FIRST for each in s.out if each.data]
        if ends:
            s.now += 0.05
            s.out = []
            answer(s, max(ends))
            invariants.check(s.c)
            if s.c.state is CLOSED:
                break
            if any(each.data for each in s.out):
                continue
        s.now = max(s.now, min(s.c.next_deadline(), begin + limit))
        s.c.handle_timeout(s.now)
        s.pump()
        invariants.check(s.c)
    return s.now - begin


@pytest.mark.parametrize(
    "answer", [silent, shut, takes_each_probe, a_byte_at_a_time, slowly_a_byte]
)
def test_threat_17_a_stalling_peer_is_dropped_at_the_user_timeout(answer: Answer) -> None:
    s = Server(0, user_timeout=PATIENCE, window_scaling=False)
    # A window of less than half of what it ever was, and of a segment, is as good as shut.
    seconds = stall(s, answer, 10 * PATIENCE, wnd=1 if "byte" in answer.__name__ else 0)
    assert s.c.error is not None
    assert s.c.error.errno == errno.ETIMEDOUT
    assert 0.9 * PATIENCE <= seconds <= 1.1 * PATIENCE + 7.0 * (answer is slowly_a_byte)


@pytest.mark.parametrize("seconds", [5.0, 600.0])
def test_threat_17_the_user_timeout_is_met_be_it_short_or_long(seconds: float) -> None:
    s = Server(0, user_timeout=seconds)
    assert 0.9 * seconds <= stall(s, shut, 2000.0) <= 1.1 * seconds


def test_threat_17_who_reads_slowly_but_segments_is_not_dropped() -> None:
    # A receiver that avoids silly windows opens them by a segment, or does not.
    s = Server(0, user_timeout=PATIENCE)
    s.ack(0, wnd=0)
    s.c.write(b"x" * WRITTEN)
    s.pump()
    for _ in range(10):
        until = s.now + 0.8 * PATIENCE
        while s.now < until:
            s.now = min(s.c.next_deadline(), until)
            s.c.handle_timeout(s.now)
            s.pump()
            if any(each.data for each in s.out):
                s.ack(s.una, wnd=0)
        s.ack(s.una, wnd=MSS // 128 + 1)
        s.ack(s.nxt, wnd=0)
        invariants.check(s.c)
    assert s.c.state is ESTABLISHED
    assert s.una >= 10 * MSS


def test_threat_17_two_stalls_with_everything_delivered_in_between_are_two() -> None:
    s = Server(0, user_timeout=PATIENCE)
    assert stall(s, shut, 0.9 * PATIENCE) == pytest.approx(0.9 * PATIENCE, rel=0.1)
    s.ack(s.una, wnd=65535)
    s.ack(s.nxt, wnd=65535)
    assert 0.9 * PATIENCE <= stall(s, shut, 10 * PATIENCE) <= 1.1 * PATIENCE


@pytest.mark.parametrize("answer", [shut, takes_each_probe])
def test_threat_17_without_a_user_timeout_a_peer_that_answers_is_borne(answer: Answer) -> None:
    s = Server(0)
    stall(s, answer, 86_400.0)
    assert s.c.state is ESTABLISHED
    assert s.datagrams < 86_400 / 60 + 20  # a probe a minute


def test_threat_17_without_a_user_timeout_a_peer_that_is_gone_is_given_up_at_r2() -> None:
    s = Server(0)
    assert 90.0 <= stall(s, silent, 2000.0) <= 110.0


def test_threat_17_probes_of_a_shut_window_come_no_more_than_60_seconds_apart() -> None:
    s = Server(0)
    s.ack(0, wnd=0)
    s.c.write(b"x" * WRITTEN)
    s.pump()
    moments = []
    while len(moments) < 16:
        s.now = s.c.next_deadline()
        s.c.handle_timeout(s.now)
        s.pump()
        if s.out:
            moments.append(s.now)
            s.ack(s.una, wnd=0)
    gaps = [round(later - sooner, 6) for sooner, later in pairwise(moments)]
    assert gaps == sorted(gaps)
    assert gaps[-3:] == pytest.approx([60.0] * 3)


def test_threat_17_who_has_us_serve_and_reads_nothing_costs_the_send_buffer_at_most() -> None:
    s = Server(0, send_buffer=100_000)
    piece = b"x" * 10_000
    grown = kept(lambda: [(s.c.write(bytes(piece)), s.pump()) for _ in range(10)])
    s.now += 0.1
    grown += kept(lambda: [s.ack(s.una, wnd=0) for _ in range(1000)])
    assert s.c.snd.flight_size <= 100_000
    assert grown <= 100_000  # the pieces are the application's; this is what is kept of them


def test_threat_17_a_slow_sender_costs_what_it_sends() -> None:
    s = Server(0)

    def trickle() -> None:
        for at in range(20_000):
            s.now += 10.0
            seg = s.datagram(0)
            segment = bytearray(seg) + b"G"
            segment[4:8] = (IRS + 1 + at).to_bytes(4, "big")
            s.arrive(bytes(segment))

    assert kept(trickle) <= 2 * 20_000
    assert s.c.readable == 20_000
