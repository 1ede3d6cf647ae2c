"""Timestamps: what is echoed, and what PAWS keeps out. RFC 7323 sections 3 to 5.

The peer's clock, as the script has it, reads 2**32 - 10000 at the handshake and ticks in
milliseconds; ours reads 1024000.
"""

from __future__ import annotations

import pytest

from rudp.core.state import CLOSE_WAIT, ESTABLISHED, SYN_RCVD
from tests.wire.scripted import Script

FIRST = 2**32 - 10_000

DAY = 86400.0


def stamped(line: str, val: int, ecr: int = 1_024_000) -> str:
    """`line` with this timestamps option."""
    return f"{line} <nop,nop,TS val {val % 2**32} ecr {ecr}>"


# Echo (section 4) ------------------------------------------------------------------------------


def test_our_clock_ticks_in_milliseconds(script: Script) -> None:
    script.established(ts=True)
    script.write(b"a")
    script.expect(f"> P. 1:2(1) ack 1 <nop,nop,TS val 1024000 ecr {FIRST}>")
    script.inject("< . 1:1(0) ack 2")
    script.advance(0.125)
    script.write(b"b")
    script.expect(f"> P. 2:3(1) ack 1 <nop,nop,TS val 1024125 ecr {FIRST}>")


def test_our_clock_wraps(script: Script) -> None:
    script.active(ts_offset=2**32 - 1_024_100)
    script.expect(f"> S 0:0(0) <mss 1460,sackOK,TS val {2**32 - 100} ecr 0,nop,wscale 8>")
    script.advance(0.5)
    script.inject(f"< S. 0:0(0) ack 1 <mss 1460,TS val 7 ecr {2**32 - 100}>")
    script.expect("> . 1:1(0) ack 1 <nop,nop,TS val 400 ecr 7>")
    assert script.connection.tcp_info().rtt == 0.5


def test_a_delayed_ack_echoes_the_first_of_the_segments_it_acknowledges(script: Script) -> None:
    # Section 4.3: so that the peer measures the delay too.
    script.established(ts=True)
    script.inject(stamped("< P. 1:11(10) ack 1", FIRST + 1))
    script.inject(stamped("< P. 11:21(10) ack 1", FIRST + 2))
    script.expect_after(0.04, f"> . 1:1(0) ack 21 <nop,nop,TS val 1024040 ecr {FIRST + 1}>")


def test_the_next_segment_after_an_ack_is_echoed_again(script: Script) -> None:
    script.established(ts=True)
    script.inject(stamped("< P. 1:1001(1000) ack 1", FIRST + 1))
    script.expect(f"> . 1:1(0) ack 1001 <nop,nop,TS val 1024000 ecr {FIRST + 1}>")
    script.inject(stamped("< P. 1001:2001(1000) ack 1", FIRST + 9))
    script.expect(f"> . 1:1(0) ack 2001 <nop,nop,TS val 1024000 ecr {FIRST + 9}>")


def test_a_segment_out_of_order_is_not_echoed_until_the_gap_is_filled(script: Script) -> None:
    # Section 4.3, cases (B) and (C): first the last in order, then the one that filled the gap.
    script.established(ts=True)
    script.inject(stamped("< . 1001:2001(1000) ack 1", FIRST + 5))
    (line,) = script.sent()
    assert str(line.options[2]) == f"TS val 1024000 ecr {FIRST}"  # type: ignore[index]
    script.inject(stamped("< . 1:1001(1000) ack 1", FIRST + 9))
    script.expect(f"> . 1:1(0) ack 2001 <nop,nop,TS val 1024000 ecr {FIRST + 9}>")


def test_a_pure_ack_is_echoed_too(script: Script) -> None:
    script.established(ts=True)
    script.inject(stamped("< . 1:1(0) ack 1", FIRST + 50))
    script.write(b"x")
    script.expect(f"> P. 1:2(1) ack 1 <nop,nop,TS val 1024000 ecr {FIRST + 50}>")


def test_the_echo_follows_the_peers_clock_across_its_wrap(script: Script) -> None:
    script.established(ts=True)
    for val in (2**32 - 1, 2**32 + 3, 2**32 + 2000):
        script.inject(stamped("< . 1:1(0) ack 1", val))
        script.write(b"x")
        (line,) = script.sent()
        assert str(line.options[2]) == f"TS val 1024000 ecr {val % 2**32}"  # type: ignore[index]


def test_a_retransmission_is_measured_by_its_echo(script: Script) -> None:
    # Section 4: what Karn's algorithm could not.
    script.established(ts=True, sack=False)
    script.write(b"x")
    script.expect("> P. 1:2(1) ack 1 <nop,nop,TS val 1024000 ecr ...>")
    script.expect_at(0.2, "> P. 1:2(1) ack 1 <nop,nop,TS val 1024200 ecr ...>")
    script.advance(0.1)
    before = script.connection.tcp_info().rtt
    script.inject(stamped("< . 1:1(0) ack 2", FIRST + 300, ecr=1_024_200))
    assert script.connection.tcp_info().rtt > before


def test_an_echo_that_was_never_sent_measures_nothing(script: Script) -> None:
    script.established(ts=True, sack=False)
    script.write(b"x")
    script.expect("> P. 1:2(1) ack 1")
    script.expect_at(0.2, "> P. 1:2(1) ack 1")
    before = script.connection.tcp_info().rtt
    script.inject(stamped("< . 1:1(0) ack 2", FIRST + 300, ecr=77))
    assert script.connection.tcp_info().rtt == before
    assert script.connection.tcp_info().unacked == 0


# PAWS (section 5) --------------------------------------------------------------------------------


def test_an_old_duplicate_within_the_window_is_not_taken_and_gets_an_ack(script: Script) -> None:
    # R1: SEG.TSval < TS.Recent.
    script.established(ts=True)
    script.inject(stamped("< P. 1:101(100) ack 1", FIRST - 1))
    script.expect(f"> . 1:1(0) ack 1 <nop,nop,TS val 1024000 ecr {FIRST}>")
    assert script.connection.readable == 0


def test_the_same_timestamp_as_before_is_not_old(script: Script) -> None:
    script.established(ts=True)
    script.inject(stamped("< P. 1:1001(1000) ack 1", FIRST))
    script.expect("> . 1:1(0) ack 1001")


@pytest.mark.parametrize("behind", [1, 1000, 10**6, 2**31 - 1])
def test_old_is_anything_up_to_half_the_space_behind(script: Script, behind: int) -> None:
    script.established(ts=True)
    script.inject(stamped("< P. 1:101(100) ack 1", FIRST - behind))
    script.expect("> . 1:1(0) ack 1")
    assert script.connection.readable == 0


@pytest.mark.parametrize("ahead", [1, 9_999, 10_000, 10_001, 2**31 - 1])
def test_newer_is_anything_up_to_half_the_space_ahead(script: Script, ahead: int) -> None:
    script.established(ts=True)
    script.inject(stamped("< P. 1:1001(1000) ack 1", FIRST + ahead))
    script.expect(f"> . 1:1(0) ack 1001 <nop,nop,TS val ... ecr {(FIRST + ahead) % 2**32}>")


def test_before_the_wrap_is_old_after_the_wrap(script: Script) -> None:
    script.established(ts=True)
    script.inject(stamped("< P. 1:1001(1000) ack 1", 5))
    script.expect("> . 1:1(0) ack 1001")
    script.inject(stamped("< P. 1001:2001(1000) ack 1", 2**32 - 5))
    script.expect("> . 1:1(0) ack 1001")
    script.expect_read(1000)


def test_an_old_fin_closes_nothing(script: Script) -> None:
    script.established(ts=True)
    script.inject(stamped("< F. 1:1(0) ack 1", FIRST - 1))
    script.expect("> . 1:1(0) ack 1")
    assert script.state is ESTABLISHED


def test_an_old_ack_acknowledges_nothing(script: Script) -> None:
    script.established(ts=True)
    script.write(b"x")
    script.expect("> P. 1:2(1) ack 1")
    script.inject(stamped("< . 1:1(0) ack 2", FIRST - 1))
    script.expect("> . 2:2(0) ack 1")
    assert script.connection.tcp_info().unacked == 1


def test_old_acks_are_answered_twice_a_second_at_most(script: Script) -> None:
    script.established(ts=True)
    for _ in range(10):
        script.inject(stamped("< . 1:1(0) ack 1", FIRST - 1))
    script.expect("> . 1:1(0) ack 1")


def test_an_old_timestamp_does_not_save_a_connection_from_a_rst(script: Script) -> None:
    # Section 5.3, R1: "and the RST bit is not set".
    script.established(ts=True)
    script.inject(stamped("< R. 1:1(0) ack 1", FIRST - 1))
    assert isinstance(script.connection.error, ConnectionResetError)


def test_after_24_days_of_silence_a_timestamp_that_looks_old_is_taken(script: Script) -> None:
    # Section 5.5: the peer's clock may have gone more than half way round.
    script.established(ts=True)
    script.inject("< . 1:1(0) ack 1")
    script.advance(24 * DAY)
    script.inject(stamped("< P. 1:1001(1000) ack 1", FIRST - 1000))
    script.expect(f"> . 1:1(0) ack 1001 <nop,nop,TS val ... ecr {FIRST - 1000}>")


def test_within_24_days_it_is_not(script: Script) -> None:
    script.established(ts=True)
    script.inject("< . 1:1(0) ack 1")
    script.advance(24 * DAY - 1)
    script.inject(stamped("< P. 1:1001(1000) ack 1", FIRST - 1000))
    script.expect("> . 1:1(0) ack 1")


def test_what_lies_outside_the_window_does_not_move_ts_recent(script: Script) -> None:
    # A forged timestamp would make everything that is real look old.
    script.established(ts=True)
    script.inject(stamped("< P. 70001:70101(100) ack 1", FIRST + 10**9))
    script.expect("> . 1:1(0) ack 1")
    script.inject(stamped("< P. 1:1001(1000) ack 1", FIRST + 1))
    script.expect("> . 1:1(0) ack 1001")


def test_an_ack_of_what_was_never_sent_does_not_move_ts_recent(script: Script) -> None:
    script.established(ts=True)
    script.inject(stamped("< . 1:1(0) ack 70000", FIRST + 10**9))
    script.expect("> . 1:1(0) ack 1")
    script.inject(stamped("< P. 1:1001(1000) ack 1", FIRST + 1))
    script.expect("> . 1:1(0) ack 1001")


# A missing option (section 3.2) ------------------------------------------------------------------


@pytest.mark.parametrize("line", ["< P. 1:101(100) ack 1 <>", "< F. 1:1(0) ack 1 <>"])
def test_without_the_option_that_was_agreed_on_a_segment_is_dropped(
    script: Script, line: str
) -> None:
    script.established(ts=True)
    script.inject(line)
    script.expect_nothing()
    assert script.connection.readable == 0
    assert script.state is ESTABLISHED


def test_without_the_option_the_handshake_is_not_completed(script: Script) -> None:
    script.passive("< S 0:0(0) win 65535 <mss 1460,TS val 5 ecr 0>")
    script.expect("> S. 0:0(0) ack 1")
    script.inject("< . 1:1(0) ack 1 <>")
    assert script.state is SYN_RCVD
    script.inject("< . 1:1(0) ack 1 <nop,nop,TS val 6 ecr 1024000>")
    assert script.state is ESTABLISHED


def test_an_option_that_was_not_agreed_on_is_not_looked_at(script: Script) -> None:
    script.established(ts=False)
    script.inject(stamped("< P. 1:1001(1000) ack 1", 1000))
    script.expect("> . 1:1(0) ack 1001 <>")
    script.inject(stamped("< F. 1001:1001(0) ack 1", 1))
    script.expect("> . 1:1(0) ack 1002 <>")
    assert script.state is CLOSE_WAIT
