"""When the retransmission timer runs, for how long, and what is measured for it: RFC 6298.

The handshake takes no time unless a test says so, so the RTO begins at its least, 200 ms. Without
SACK there is no tail loss probe, which would come first (see `test_loss_probe`). What is
sent again after a timeout is in `test_recovery`.
"""

from __future__ import annotations

import itertools

import pytest

from rudp.core.config import Config
from tests.wire.runs import run, windows
from tests.wire.scripted import Script


def sent_ten(script: Script) -> None:
    """The initial window of ten segments of 1000 bytes has gone out."""
    script.established(mss=1000, sack=False)
    script.write(b"a" * 10_000)
    script.expect(*run(1, 10_001, push=True))


def test_the_timer_sends_the_first_segment_again_and_begins_anew(script: Script) -> None:
    sent_ten(script)
    script.expect_at(0.2, "> . 1:1001(1000) ack 1")
    assert windows(script) == (1000, 5000)


def test_the_timer_doubles_with_each_timeout(script: Script) -> None:
    """RFC 6298 section 5.5."""
    script.established(mss=1000, sack=False)
    script.write(b"a")
    script.expect("> P. 1:2(1) ack 1")
    for moment in (0.2, 0.6, 1.4, 3.0, 6.2, 12.6):
        script.expect_at(moment, "> P. 1:2(1) ack 1")
    script.inject("< . 1:1(0) ack 2")
    script.advance(100)


def test_a_second_timeout_leaves_ssthresh_as_it_is(script: Script) -> None:
    """RFC 5681 section 3.1: it is held while the same data is sent again."""
    sent_ten(script)
    script.expect_at(0.2, "> . 1:1001(1000) ack 1")
    script.expect_at(0.6, "> . 1:1001(1000) ack 1")
    assert windows(script) == (1000, 5000)


def test_an_ack_of_new_data_starts_the_timer_again(script: Script) -> None:
    """RFC 6298 section 5.3."""
    script.established(mss=1000, sack=False)
    script.write(b"a" * 3000)
    script.expect(*run(1, 3001, push=True))
    script.advance(0.001)
    script.inject("< . 1:1(0) ack 1001")
    script.advance(0.15)
    script.inject("< . 1:1(0) ack 2001")
    rto = script.connection.tcp_info().rto
    script.expect_after(rto, "> P. 2001:3001(1000) ack 1")


def test_a_duplicate_ack_does_not_start_it_again(script: Script) -> None:
    sent_ten(script)
    script.advance(0.15)
    script.inject("< . 1:1(0) ack 1")
    script.expect_at(0.2, "> . 1:1001(1000) ack 1")


def test_an_ack_of_everything_stops_it(script: Script) -> None:
    """RFC 6298 section 5.2."""
    sent_ten(script)
    script.advance(0.1)
    script.inject("< . 1:1(0) ack 10001")
    script.advance(1000)


def test_new_data_does_not_start_it_again(script: Script) -> None:
    """RFC 6298 section 5.1."""
    script.established(mss=1000, sack=False)
    script.write(b"a")
    script.expect("> P. 1:2(1) ack 1")
    script.advance(0.15)
    script.write(b"b" * 1000)
    script.expect("> P. 2:1002(1000) ack 1")
    script.expect_at(0.2, "> . 1:1001(1000) ack 1")  # a full segment of all that there is


def test_the_timer_follows_the_round_trips(script: Script) -> None:
    """RFC 6298 sections 2.2 and 2.3: SRTT + 4 * RTTVAR, here 0.1 + 4 * 0.05 and what follows."""
    script.active()
    script.expect("> S 0:0(0)")
    script.advance(0.1)
    script.inject("< S. 0:0(0) ack 1 win 65535 <mss 1000>")
    script.expect("> . 1:1(0) ack 1")
    script.write(b"a" * 1000)
    script.expect("> P. 1:1001(1000) ack 1")
    script.expect_after(0.3, "> P. 1:1001(1000) ack 1")
    script.inject("< . 1:1(0) ack 1001")
    script.write(b"b" * 1000)
    script.expect("> P. 1001:2001(1000) ack 1")
    script.advance(0.2)
    script.inject("< . 1:1(0) ack 2001")
    info = script.connection.tcp_info()
    assert info.rtt == pytest.approx(0.1125)
    assert info.rttvar == pytest.approx(0.0625)
    assert info.rto == pytest.approx(0.3625)


def test_the_answer_to_a_retransmission_is_not_measured_and_keeps_the_back_off(
    script: Script,
) -> None:
    """Karn's algorithm, RFC 6298 section 3: it may be the answer to the first transmission."""
    script.established(mss=1000, sack=False)
    script.write(b"a" * 1000)
    script.expect("> P. 1:1001(1000) ack 1")
    script.expect_at(0.2, "> P. 1:1001(1000) ack 1")
    script.advance(0.1)
    before = script.connection.tcp_info()
    script.inject("< . 1:1(0) ack 1001")
    after = script.connection.tcp_info()
    assert (after.rtt, after.rto) == (before.rtt, 0.4)
    script.write(b"b" * 1000)
    script.expect("> P. 1001:2001(1000) ack 1")
    script.expect_after(0.4, "> P. 1001:2001(1000) ack 1")


def test_the_next_answer_is_measured_and_ends_the_back_off(script: Script) -> None:
    script.established(mss=1000, sack=False)
    script.write(b"a" * 1000)
    script.expect("> P. 1:1001(1000) ack 1")
    script.expect_at(0.2, "> P. 1:1001(1000) ack 1")
    script.inject("< . 1:1(0) ack 1001")
    script.write(b"b" * 1000)
    script.expect("> P. 1001:2001(1000) ack 1")
    script.advance(0.01)
    script.inject("< . 1:1(0) ack 2001")
    assert script.connection.tcp_info().rto == 0.2


def test_with_timestamps_a_retransmission_is_measured(script: Script) -> None:
    """RFC 7323 section 4: the echo says which transmission it answers."""
    script.established(mss=1012, ts=True, sack=False)
    script.write(b"a" * 1000)
    script.expect("> P. 1:1001(1000) ack 1")
    script.expect_at(0.2, "> P. 1:1001(1000) ack 1")
    script.advance(0.04)
    script.inject("< . 1:1(0) ack 1001")
    info = script.connection.tcp_info()
    assert info.rtt == pytest.approx(0.04 / 8, abs=0.001)
    assert info.rto == 0.2


def test_an_echo_of_the_first_transmission_shows_that_the_timer_was_too_early(
    script: Script,
) -> None:
    """RFC 4015 section 3.2, step (5): the answer has taken half a second."""
    script.established(mss=1012, ts=True, sack=False)
    script.write(b"a" * 1000)
    script.expect("> P. 1:1001(1000) ack 1")
    first = script._latest_ts
    script.expect_at(0.2, "> P. 1:1001(1000) ack 1")
    script.advance(0.3)
    script.inject(f"< . 1:1(0) ack 1001 <nop,nop,TS val {2**32 - 9000} ecr {first}>")
    info = script.connection.tcp_info()
    assert (info.rtt, info.rto) == pytest.approx((0.5, 1.5))


def test_through_an_outage_it_asks_twice_a_second_before_it_backs_off_on(script: Script) -> None:
    script.established(config=Config(linear_timeouts=2))
    script.write(bytes(10))
    script.inject("< . 1:1(0) ack 11")
    script.write(bytes(10))
    script.sent()
    start, moments = script.now, []
    while len(moments) < 7:
        script.advance(0.01)
        moments += [script.now - start] * len(script.sent())
    # The tail loss probe; the RTO of 0.2 s, doubled once, twice half a second, doubled on.
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert gaps == pytest.approx([0.2, 0.4, 0.5, 0.5, 0.8, 1.6], abs=0.02)
