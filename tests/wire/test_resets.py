"""RST both ways, and ABORT: RFC 9293 sections 3.5.2, 3.5.3, 3.10.5 and 3.10.7; RFC 5961 section 3.

Also what has no connection at all: a closed port and a listener.
"""

from __future__ import annotations

import errno
import math

import pytest

from rudp.core import codec, stray
from rudp.core.config import Config
from rudp.core.events import Event
from rudp.core.state import (
    CLOSE_WAIT,
    CLOSED,
    CLOSING,
    ESTABLISHED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    LAST_ACK,
    State,
)
from tests.wire.lines import arriving, check, datagram
from tests.wire.scripted import Script
from tests.wire.states import SYNCHRONIZED, reach

OPEN = [ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2, CLOSE_WAIT, CLOSING, LAST_ACK]
"""The states that a RST ends: every synchronized one but TIME-WAIT."""

# A RST arrives --------------------------------------------------------------------------------


@pytest.mark.parametrize("state", OPEN, ids=str)
@pytest.mark.parametrize("flags", ["R", "R."])
def test_a_rst_at_rcv_nxt_ends_the_connection(script: Script, state: State, flags: str) -> None:
    at = reach(script, state)
    script.events()
    ack = f"ack {at.una}" if "." in flags else ""
    script.inject(f"< {flags} {at.rcv}:{at.rcv}(0) {ack} win 0")
    script.expect_nothing()
    assert script.state is CLOSED
    assert script.events() == [Event.RELEASED, Event.CLOSED]
    error = script.connection.error
    assert isinstance(error, ConnectionResetError)
    assert (error.errno, error.strerror) == (errno.ECONNRESET, "Connection reset by peer")
    assert script.connection.next_deadline() == math.inf


@pytest.mark.parametrize("state", SYNCHRONIZED, ids=str)
def test_a_rst_outside_the_window_is_dropped(script: Script, state: State) -> None:
    at = reach(script, state)
    for seq in (at.rcv - 1, at.rcv - 70000, at.rcv + 70000, at.rcv + 2**31 - 1):
        script.inject(f"< R {seq}:{seq}(0)")
    script.expect_nothing()
    assert script.state is state


@pytest.mark.parametrize("state", OPEN, ids=str)
@pytest.mark.parametrize("beyond", [1, 100, 65000])
def test_a_rst_elsewhere_in_the_window_gets_a_challenge_ack(
    script: Script, state: State, beyond: int
) -> None:
    at = reach(script, state)
    seq = at.rcv + beyond
    script.inject(f"< R {seq}:{seq}(0)")
    script.expect(f"> . {at.nxt}:{at.nxt}(0) ack {at.rcv}")
    assert script.state is state


def test_the_peer_that_meant_its_rst_answers_the_challenge_with_the_right_one(
    script: Script,
) -> None:
    script.established()
    script.inject("< R 100:100(0)")
    script.expect("> . 1:1(0) ack 1")
    script.inject("< R 1:1(0)")  # <SEQ=SEG.ACK> of the challenge
    assert script.state is CLOSED


def test_a_rst_counts_whatever_it_acknowledges(script: Script) -> None:
    script.established()
    script.inject("< R. 1:1(0) ack 70000")
    assert script.state is CLOSED


def test_a_rst_counts_without_the_timestamps_that_were_agreed_on(script: Script) -> None:
    # RFC 7323 section 3.2: only a segment without RST has to have them.
    script.established(ts=True)
    script.inject("< R 1:1(0)")
    assert script.state is CLOSED


def test_a_rst_counts_when_our_window_is_shut(script: Script) -> None:
    # RFC 9293 section 3.4, MUST-66.
    script.established(config=Config(receive_buffer=2048))
    script.inject("< P. 1:2049(2048) ack 1")
    script.expect("> . 1:1(0) ack 2049 win 0")
    script.inject("< R 2049:2049(0)")
    assert script.state is CLOSED


def test_a_rst_after_close_is_how_the_close_ended(script: Script) -> None:
    script.established()
    script.write(b"hello")
    script.expect("> P. 1:6(5) ack 1")
    script.close()
    script.expect("> F. 6:6(0) ack 1")
    script.inject("< R. 1:1(0) ack 1")
    assert script.events() == [Event.RELEASED, Event.CLOSED]
    assert isinstance(script.connection.error, ConnectionResetError)


def test_a_rst_after_the_user_was_released_is_no_error(script: Script) -> None:
    script.established()
    script.close()
    script.expect("> F. 1:1(0) ack 1")
    script.inject("< . 1:1(0) ack 2")
    assert script.events() == [Event.RELEASED]
    script.inject("< R 1:1(0)")
    assert script.events() == [Event.CLOSED]
    assert script.connection.error is None


def test_after_a_rst_nothing_is_sent_any_more(script: Script) -> None:
    script.established()
    script.write(b"x" * 100)
    script.expect("> P. 1:101(100) ack 1")
    script.inject("< R 1:1(0)")
    script.advance(300)
    script.expect_nothing()
    with pytest.raises(RuntimeError, match="cannot write"):
        script.connection.write(b"more")


# The reason that a RST carries (RFC 9293 section 3.5.3, SHLD-2) -------------------------------


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ('1:14(13) ack 1 "server is ill"', ": server is ill"),
        ('1:9(8) ack 1 "\\x1b[31m\\r\\n\\x00"', ": [31m"),
        ('1:7(6) ack 1 "caf\\xc3\\xa9\\x7f"', ": caf"),
        ('1:4(3) ack 1 " \\n "', ""),
    ],
    ids=["text", "escapes", "not ascii", "blank"],
)
def test_the_text_of_a_rst_is_shown_in_what_can_be_printed_of_it(
    script: Script, data: str, text: str
) -> None:
    script.established()
    script.inject(f"< R. {data}")
    script.expect_nothing()
    error = script.connection.error
    assert isinstance(error, ConnectionResetError)
    assert error.strerror is not None
    assert error.strerror.isprintable()
    shown = error.strerror.encode("ascii", "ignore").decode()
    assert shown == "Connection reset by peer" + text


def test_a_long_text_is_cut(script: Script) -> None:
    script.established()
    script.inject(f'< R. 1:1001(1000) ack 1 "{"x" * 1000}"')
    error = script.connection.error
    assert error is not None
    assert error.strerror == "Connection reset by peer: " + "x" * 128


def test_the_text_does_not_help_a_rst_that_is_not_at_rcv_nxt(script: Script) -> None:
    script.established()
    script.inject('< R 100:103(3) "why"')
    script.expect("> . 1:1(0) ack 1")
    assert script.state is ESTABLISHED


# We abort -------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2, CLOSE_WAIT], ids=str)
def test_abort_sends_a_rst_at_snd_nxt(script: Script, state: State) -> None:
    at = reach(script, state)
    script.events()
    script.abort()
    script.expect(f'> R. {at.nxt}:{at.nxt}(0) ack {at.rcv} win 0 <> ""')
    assert script.state is CLOSED
    assert script.events() == [Event.RELEASED, Event.CLOSED]
    assert script.connection.error is None
    assert script.connection.next_deadline() == math.inf


def test_abort_drops_what_was_written_and_what_was_received(script: Script) -> None:
    script.established(mss=1000, win=1000)
    script.write(b"x" * 2000)
    script.expect("> . 1:1001(1000) ack 1")
    script.inject("< P. 1:1001(1000) ack 1")
    script.expect("> . 1001:1001(0) ack 1001")
    script.abort()
    script.expect("> R. 1001:1001(0) ack 1001")
    assert script.connection.readable == 0
    script.advance(300)
    script.expect_nothing()


def test_the_reason_of_an_abort_goes_with_the_rst(script: Script) -> None:
    script.established()
    script.abort("server is ill")
    script.expect('> R. 1:14(13) ack 1 win 0 "server is ill"')


def test_the_reason_of_an_abort_is_ascii_and_short(script: Script) -> None:
    script.established()
    script.abort("café" + "x" * 200)
    script.expect(f'> R. 1:129(128) ack 1 "caf?{"x" * 124}"')


def test_only_the_first_abort_counts(script: Script) -> None:
    script.established()
    script.abort("first")
    script.abort("second")
    script.expect('> R. 1:6(5) ack 1 "first"')
    assert script.events() == [Event.RELEASED, Event.CLOSED]


def test_close_after_abort_changes_nothing(script: Script) -> None:
    script.established()
    script.abort()
    script.close()
    script.write_eof()
    script.expect("> R. 1:1(0) ack 1")
    assert script.events() == [Event.RELEASED, Event.CLOSED]


def test_abort_after_close_takes_the_fin_back(script: Script) -> None:
    script.established()
    script.close()
    script.expect("> F. 1:1(0) ack 1")
    script.abort()
    script.expect("> R. 2:2(0) ack 1")
    assert script.events() == [Event.RELEASED, Event.CLOSED]


# There is no connection (RFC 9293 sections 3.10.7.1 and 3.10.7.2) -----------------------------

STRAYS = [
    ("< S 0:0(0) <mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 7>", "> R. 0:0(0) ack 1"),
    ("< . 5:5(0) ack 7", "> R 7:7(0)"),
    ("< P. 5:105(100) ack 7", "> R 7:7(0)"),
    ("< S. 5:5(0) ack 7", "> R 7:7(0)"),
    ("< F. 5:5(0) ack 7", "> R 7:7(0)"),
    ("< - 5:5(0)", "> R. 0:0(0) ack 5"),
    ("< FPU 5:5(0)", "> R. 0:0(0) ack 6"),
    ("< SF 5:5(0)", "> R. 0:0(0) ack 7"),
    ("< P 5:15(10)", "> R. 0:0(0) ack 15"),
    ("< R 5:5(0)", None),
    ("< R. 5:5(0) ack 7", None),
    ("< SR 5:5(0)", None),
    ("< FSRP.UEW 5:5(0) ack 7 urg 1", None),
]


@pytest.mark.parametrize(("line", "expected"), STRAYS, ids=[line for line, _ in STRAYS])
def test_a_closed_port_answers_anything_but_a_rst_with_a_rst(
    line: str, expected: str | None
) -> None:
    # <SEQ=0> of the RFC is the number 0 itself, which the notation would count from our ISS.
    answer = stray.answer_closed(arriving(line))
    if answer is not None and expected is not None and expected.startswith("> R."):
        assert answer.seq == 0
        answer.seq = 2**32 - 1000
    check(answer, expected)


@pytest.mark.parametrize("line", [line for line, _ in STRAYS])
def test_a_connection_that_has_ended_answers_as_a_closed_port(script: Script, line: str) -> None:
    reach(script, CLOSED)
    expected = stray.answer_closed(arriving(line))
    script.connection.receive(arriving(line), 1024.0)
    assert script.connection.segments_to_send(1024.0) == ([] if expected is None else [expected])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("< . 5:5(0) ack 7", "> R 7:7(0) win 0 <>"),
        ("< P. 5:105(100) ack 7", "> R 7:7(0) win 0 <>"),
        ("< S. 5:5(0) ack 7", "> R 7:7(0) win 0 <>"),
        ("< FP.U 5:5(0) ack 7 urg 1", "> R 7:7(0) win 0 <>"),
        ("< - 5:5(0)", None),
        ("< P 5:15(10)", None),
        ("< F 5:5(0)", None),
        ("< FPU 5:5(0)", None),
        ("< SF 5:5(0)", None),
        ("< SFPU 5:5(0) urg 1", None),
        ("< R 5:5(0)", None),
        ("< R. 5:5(0) ack 7", None),
        ("< SR 5:5(0)", None),
        ("< SR. 5:5(0) ack 7", None),
    ],
)
def test_a_listener_answers_an_ack_with_a_rst_and_drops_what_is_no_syn(
    line: str, expected: str | None
) -> None:
    segment = arriving(line)
    assert not stray.opens(segment)
    check(stray.answer_listen(segment), expected)


@pytest.mark.parametrize("line", ["< S 0:0(0)", "< S 0:5(5)", "< SP 0:0(0)", "< SEW 0:0(0)"])
def test_a_listener_is_opened_by_a_syn_whatever_else_it_may_carry(line: str) -> None:
    segment = arriving(line)
    assert stray.opens(segment)
    assert stray.answer_listen(segment) is None


@pytest.mark.parametrize("line", [line for line, _ in STRAYS])
def test_no_answer_is_larger_than_what_it_answers_or_answered_itself(line: str) -> None:
    trigger = datagram(line)
    for answer in (stray.answer_closed(arriving(line)), stray.answer_listen(arriving(line))):
        if answer is not None:
            assert len(codec.encode(answer)) <= len(trigger)
            assert stray.answer_closed(answer) is None
            assert stray.answer_listen(answer) is None
