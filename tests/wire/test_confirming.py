"""The ACK that ends an active open may be lost: it is repeated while both sides are silent.

RFC 9293 sections 3.5 and 3.8.4; what a client does in RFC 9002 section 6.2.2.1.
"""

from __future__ import annotations

import math

import pytest

from rudp.core.config import Config
from rudp.core.state import CLOSED, ESTABLISHED, TIME_WAIT
from tests.wire.scripted import Script


def test_while_both_are_silent_the_ack_is_repeated_for_a_minute(script: Script) -> None:
    script.established()
    for moment in (1, 3, 7, 15, 31, 63):
        script.expect_at(moment, "> . 1:1(0) ack 1 win 65535 <>")
    assert script.connection.next_deadline() == math.inf
    assert script.state is ESTABLISHED
    assert script.connection.tcp_info().total_retrans == 0


@pytest.mark.parametrize("probe", ["< . 0:0(0) ack 1", "< . 0:1(1) ack 1"])
def test_a_keepalive_probe_in_syn_received_is_the_ack_of_our_syn_ack(
    script: Script, probe: str
) -> None:
    # The peer is in ESTABLISHED and its ACK was lost: RFC 9293 section 3.8.4.
    script.passive()
    script.expect("> S. 0:0(0) ack 1")
    script.inject(probe)
    script.expect("> . 1:1(0) ack 1")
    assert script.state is ESTABLISHED
    assert not script.connection.readable


@pytest.mark.parametrize("win", [65535, 0])
@pytest.mark.parametrize("moment", [0, 0.5, 4])
def test_it_is_not_repeated_once_the_peer_has_said_something(
    script: Script, moment: float, win: int
) -> None:
    script.established(win=win)
    for before in (1, 3):
        if before < moment:
            script.expect_at(before, "> . 1:1(0) ack 1")
    script.expect_at(moment)
    script.inject("< . 1:1(0) ack 1")
    script.advance(4)
    script.expect_nothing()
    assert script.connection.next_deadline() == math.inf


@pytest.mark.parametrize(
    ("line", "answer"),
    [("< P. 1:6(5) ack 1", "> . 1:1(0) ack 6"), ("< F. 1:1(0) ack 1", "> . 1:1(0) ack 2")],
)
@pytest.mark.parametrize("moment", [0, 0.5])
def test_data_and_a_fin_are_acknowledged_and_that_is_all(
    script: Script, moment: float, line: str, answer: str
) -> None:
    script.established(config=Config(delayed_ack=0))
    script.expect_at(moment)
    script.inject(line)
    script.expect(answer)
    script.advance(100)
    script.expect_nothing()


def test_a_syn_ack_that_comes_again_is_answered_and_shows_that_the_ack_was_lost(
    script: Script,
) -> None:
    script.established()
    script.expect_at(0.5)
    script.inject("< S. 0:0(0) ack 1 win 65535 <mss 1460>")
    script.expect("> . 1:1(0) ack 1")
    for moment in (1, 3, 7):
        script.expect_at(moment, "> . 1:1(0) ack 1")


def test_what_is_discarded_is_no_word_of_the_peer(script: Script) -> None:
    script.established()
    script.inject("< . 1:1(0) ack 70000")
    script.expect("> . 1:1(0) ack 1")
    script.expect_at(1, "> . 1:1(0) ack 1")


@pytest.mark.parametrize("moment", [0, 0.5, 1.5])
def test_data_of_ours_carries_the_ack_and_has_a_timer_of_its_own(
    script: Script, moment: float
) -> None:
    script.established()
    if moment > 1:
        script.expect_at(1, "> . 1:1(0) ack 1")
    script.expect_at(moment)
    script.write(b"hello")
    script.expect('> P. 1:6(5) ack 1 "hello"')
    script.advance(10)
    assert {(line.seq, line.length) for line in script.sent()} == {(1, 5)}
    script.inject("< . 1:1(0) ack 6")
    script.advance(100)
    script.expect_nothing()


def test_so_does_the_probe_of_a_window_that_the_syn_ack_left_shut(script: Script) -> None:
    script.established(win=0)
    script.write(b"hello")
    for moment in (0.2, 0.6, 1.4, 3):
        script.expect_at(moment, "> . 1:2(1) ack 1")


def test_a_listener_that_has_forgotten_it_ends_it(script: Script) -> None:
    # RFC 9293 section 3.10.7.2: "Any acknowledgment is bad if it arrives on a connection still in
    # the LISTEN state", <SEQ=SEG.ACK><CTL=RST>.
    script.established()
    script.expect_at(1, "> . 1:1(0) ack 1")
    script.inject("< R 1:1(0)")
    assert script.state is CLOSED
    assert isinstance(script.connection.error, ConnectionResetError)
    assert script.connection.next_deadline() == math.inf
    script.advance(100)
    script.expect_nothing()


def test_after_a_lost_syn_it_is_repeated_no_later(script: Script) -> None:
    # The RTO is three seconds then, for data.
    script.active(Config(timestamps=False))
    script.expect("> S 0:0(0)")
    script.expect_at(1, "> S 0:0(0)")
    script.inject("< S. 0:0(0) ack 1 win 65535 <mss 1460>")
    script.expect("> . 1:1(0) ack 1")
    for moment in (1, 3, 7, 15, 31, 63):
        script.expect_at(1 + moment, "> . 1:1(0) ack 1")
    script.advance(1000)


def test_the_initial_rto_is_the_first_interval(script: Script) -> None:
    script.established(config=Config(initial_rto=2.0))
    for moment in (2, 6, 14, 30, 62):
        script.expect_at(moment, "> . 1:1(0) ack 1")
    script.advance(1000)


def test_the_passive_side_repeats_nothing(script: Script) -> None:
    # What it waited for has arrived.
    script.established(passive=True)
    assert script.connection.next_deadline() == math.inf


def test_neither_does_a_simultaneous_open_whose_peer_repeats_its_syn_ack(script: Script) -> None:
    script.active()
    script.expect("> S 0:0(0)")
    script.inject("< S 0:0(0) win 65535 <mss 1460>")
    script.expect("> S. 0:0(0) ack 1")
    script.inject("< S. 0:0(0) ack 1 win 65535 <mss 1460>")
    script.expect("> . 1:1(0) ack 1")
    assert script.state is ESTABLISHED
    assert script.connection.next_deadline() == math.inf


def test_time_wait_has_no_timer_but_its_own(script: Script) -> None:
    script.established()
    script.write_eof()
    script.expect("> F. 1:1(0) ack 1")
    script.inject("< F. 1:1(0) ack 2")
    script.expect("> . 2:2(0) ack 2")
    assert script.state is TIME_WAIT
    assert script.deadline == 60
