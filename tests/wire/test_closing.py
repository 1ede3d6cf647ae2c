"""Closing: RFC 9293 sections 3.6, 3.6.1, 3.10.4 and figure 5, each path of it."""

from __future__ import annotations

import math

import pytest

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
    TIME_WAIT,
    State,
)
from tests.wire.scripted import Script
from tests.wire.states import reach

# The paths through figure 5 -------------------------------------------------------------------


def test_who_closes_first_goes_through_both_fin_waits_to_time_wait(script: Script) -> None:
    # RFC 9293 section 3.6, figure 12, side A.
    script.established()
    script.write_eof()
    script.expect("> F. 1:1(0) ack 1")
    assert script.state is FIN_WAIT_1
    script.inject("< . 1:1(0) ack 2")
    script.expect_nothing()
    assert script.state is FIN_WAIT_2
    script.inject("< F. 1:1(0) ack 2")
    script.expect("> . 2:2(0) ack 2")
    assert script.state is TIME_WAIT
    assert script.events() == [Event.EOF]
    script.advance(60.001)
    script.expect_nothing()
    assert script.state is CLOSED
    assert script.events() == [Event.CLOSED]


def test_who_closes_second_goes_through_close_wait_and_last_ack(script: Script) -> None:
    # Figure 12, side B.
    script.established()
    script.inject("< F. 1:1(0) ack 1")
    script.expect("> . 1:1(0) ack 2")
    assert script.state is CLOSE_WAIT
    assert script.events() == [Event.EOF]
    script.write_eof()
    script.expect("> F. 1:1(0) ack 2")
    assert script.state is LAST_ACK
    script.inject("< . 2:2(0) ack 2")
    script.expect_nothing()
    assert script.state is CLOSED
    assert script.events() == [Event.CLOSED]
    assert script.connection.next_deadline() == math.inf


def test_two_that_close_at_once_both_go_through_closing(script: Script) -> None:
    # Figure 13.
    script.established()
    script.write_eof()
    script.expect("> F. 1:1(0) ack 1")
    script.inject("< F. 1:1(0) ack 1")
    script.expect("> . 2:2(0) ack 2")
    assert script.state is CLOSING
    script.inject("< . 2:2(0) ack 2")
    script.expect_nothing()
    assert script.state is TIME_WAIT
    assert script.events() == [Event.EOF]


def test_a_fin_that_acknowledges_ours_leads_straight_to_time_wait(script: Script) -> None:
    reach(script, FIN_WAIT_1)
    script.inject("< F. 1:1(0) ack 2")
    script.expect("> . 2:2(0) ack 2")
    assert script.state is TIME_WAIT


def test_our_fin_does_not_wait_for_the_acknowledgment_of_theirs(script: Script) -> None:
    # Both in one wake-up: the FIN of ours says all that an ACK would have said.
    script.established()
    script.connection.write_eof()
    script.inject("< F. 1:1(0) ack 1")
    script.expect("> F. 1:1(0) ack 2")
    assert script.state is CLOSING


@pytest.mark.parametrize("passive", [False, True], ids=["active", "passive"])
def test_who_opened_makes_no_difference_to_closing(script: Script, passive: bool) -> None:
    script.established(passive=passive)
    script.write_eof()
    script.expect("> F. 1:1(0) ack 1")
    script.inject("< F. 1:1(0) ack 2")
    script.expect("> . 2:2(0) ack 2")
    assert script.state is TIME_WAIT


# FIN and data ---------------------------------------------------------------------------------


def test_the_fin_rides_on_the_last_data_that_was_not_sent_yet(script: Script) -> None:
    script.established(mss=1000, win=1000)
    script.write(b"x" * 1500)
    script.write_eof()
    script.expect("> . 1:1001(1000) ack 1")
    assert script.state is FIN_WAIT_1  # with the FIN queued, not sent
    script.inject("< . 1:1(0) ack 1001")
    script.expect("> FP. 1001:1501(500) ack 1")
    script.inject("< . 1:1(0) ack 1502")
    assert script.state is FIN_WAIT_2


def test_a_fin_after_data_that_is_out_already_stands_alone(script: Script) -> None:
    script.established()
    script.write(b"hello")
    script.expect('> P. 1:6(5) ack 1 "hello"')
    script.write_eof()
    script.expect("> F. 6:6(0) ack 1")
    script.inject("< . 1:1(0) ack 6")
    assert script.state is FIN_WAIT_1
    script.inject("< . 1:1(0) ack 7")
    assert script.state is FIN_WAIT_2


def test_a_fin_with_data_delivers_the_data_first(script: Script) -> None:
    script.established()
    script.inject('< FP. 1:6(5) ack 1 "hello"')
    script.expect("> . 1:1(0) ack 7")
    assert script.events() == [Event.READABLE, Event.EOF]
    assert not script.connection.at_eof
    assert script.read() == b"hello"
    assert script.connection.at_eof
    assert script.state is CLOSE_WAIT


def test_a_fin_out_of_order_waits_for_the_data_before_it(script: Script) -> None:
    script.established()
    script.inject("< F. 1001:1501(500) ack 1")
    script.expect("> . 1:1(0) ack 1 <nop,nop,sack 1001:1501>")
    assert script.state is ESTABLISHED
    assert script.events() == []
    script.inject("< . 1:1001(1000) ack 1")
    script.expect("> . 1:1(0) ack 1502 <>")
    assert script.state is CLOSE_WAIT
    assert script.events() == [Event.READABLE, Event.EOF]
    script.expect_read(1500)


def test_a_bare_fin_out_of_order_waits_for_the_data_before_it(script: Script) -> None:
    script.established()
    script.inject("< F. 1001:1001(0) ack 1")
    script.expect("> . 1:1(0) ack 1")
    assert script.state is ESTABLISHED
    script.inject("< . 1:1001(1000) ack 1")
    script.expect("> . 1:1(0) ack 1002")
    assert script.state is CLOSE_WAIT


def test_the_same_fin_again_is_acknowledged_again_and_told_once(script: Script) -> None:
    reach(script, CLOSE_WAIT)
    assert script.events() == [Event.EOF]
    script.inject("< F. 1:1(0) ack 1")
    script.expect("> . 1:1(0) ack 2")
    assert script.state is CLOSE_WAIT
    assert script.events() == []


def test_a_lost_fin_is_sent_again_until_it_is_acknowledged(script: Script) -> None:
    reach(script, FIN_WAIT_1, sack=False)
    for moment in (0.2, 0.6, 1.4):
        script.expect_at(moment, "> F. 1:1(0) ack 1")
    script.inject("< . 1:1(0) ack 2")
    assert script.state is FIN_WAIT_2
    assert script.connection.next_deadline() == math.inf


@pytest.mark.parametrize("state", [CLOSING, LAST_ACK], ids=str)
def test_a_lost_fin_is_sent_again_after_theirs_came_too(script: Script, state: State) -> None:
    reach(script, state, sack=False)
    script.expect_at(0.2, "> F. 1:1(0) ack 2")


def test_data_and_fin_that_were_lost_together_are_sent_again(script: Script) -> None:
    script.passive()
    script.write(b"hello")
    script.write_eof()
    script.expect("> S. 0:0(0) ack 1")
    script.inject("< . 1:1(0) ack 1")
    script.expect('> FP. 1:6(5) ack 1 "hello"')
    script.expect_at(0.2, '> FP. 1:6(5) ack 1 "hello"')


def test_a_fin_that_is_never_acknowledged_is_given_up(script: Script) -> None:
    script.established(sack=False, config=Config(r2=10))
    script.close()
    script.advance(10.001)
    assert len(script.sent()) == 6
    assert script.state is CLOSED
    assert script.events() == [Event.TROUBLE, Event.RELEASED, Event.CLOSED]
    error = script.connection.error
    assert isinstance(error, TimeoutError)
    assert error.strerror == "Connection timed out: no acknowledgment came"


# Half-closed ----------------------------------------------------------------------------------


@pytest.mark.parametrize("acknowledged", [False, True], ids=["FIN-WAIT-1", "FIN-WAIT-2"])
def test_after_our_fin_data_of_the_peer_goes_on_arriving(
    script: Script, acknowledged: bool
) -> None:
    reach(script, FIN_WAIT_2 if acknowledged else FIN_WAIT_1)
    ack = 2 if acknowledged else 1
    script.inject(f"< P. 1:1001(1000) ack {ack}")
    script.expect("> . 2:2(0) ack 1001")
    script.expect_read(1000)
    assert script.events() == [Event.READABLE]
    script.inject("< FP. 1001:2001(1000) ack 2")
    script.expect("> . 2:2(0) ack 2002")
    script.expect_read(1000)
    assert script.state is TIME_WAIT


def test_after_their_fin_data_of_ours_goes_on_being_sent(script: Script) -> None:
    reach(script, CLOSE_WAIT)
    script.write(b"hello")
    script.expect('> P. 1:6(5) ack 2 "hello"')
    script.inject("< . 2:2(0) ack 6")
    script.advance(1000)
    script.write(b"world")
    script.expect('> P. 6:11(5) ack 2 "world"')
    script.close()
    script.expect("> F. 11:11(0) ack 2")
    assert script.state is LAST_ACK


def test_a_half_closed_connection_stays_so_for_as_long_as_the_user_likes(script: Script) -> None:
    reach(script, FIN_WAIT_2)
    script.advance(1)  # the handshake's timer finds that all is well
    assert script.connection.next_deadline() == math.inf
    script.advance(86400)
    script.inject("< P. 1:1001(1000) ack 2")
    script.expect("> . 2:2(0) ack 1001")
    script.expect_read(1000)
    assert script.state is FIN_WAIT_2


def test_text_after_their_fin_is_ignored(script: Script) -> None:
    # RFC 9293 section 3.10.7.4, seventh: "This should not occur".
    reach(script, CLOSE_WAIT)
    script.inject("< P. 2:1002(1000) ack 1")
    script.expect_nothing()
    assert script.connection.readable == 0
    assert script.state is CLOSE_WAIT


def test_what_is_written_after_a_fin_of_ours_is_refused(script: Script) -> None:
    reach(script, FIN_WAIT_1)
    with pytest.raises(RuntimeError, match="this direction of the connection is closed"):
        script.connection.write(b"more")


def test_write_eof_and_close_may_be_called_again(script: Script) -> None:
    reach(script, FIN_WAIT_1)
    script.write_eof()
    script.close()
    script.close()
    script.expect_nothing()
    assert script.state is FIN_WAIT_1


# A full close ---------------------------------------------------------------------------------


def test_close_sends_what_was_written_and_a_fin(script: Script) -> None:
    script.established(mss=1000, win=1000)
    script.write(b"x" * 1500)
    script.close()
    script.expect("> . 1:1001(1000) ack 1")
    script.inject("< . 1:1(0) ack 1001")
    script.expect("> FP. 1001:1501(500) ack 1")
    assert script.events() == []


def test_close_is_over_for_the_user_when_the_fin_is_acknowledged(script: Script) -> None:
    script.established()
    script.close()
    script.expect("> F. 1:1(0) ack 1")
    assert script.events() == []
    script.inject("< . 1:1(0) ack 2")
    assert script.events() == [Event.RELEASED]
    assert script.connection.error is None
    script.inject("< F. 1:1(0) ack 2")
    script.expect("> . 2:2(0) ack 2")
    assert script.state is TIME_WAIT
    assert script.events() == [Event.EOF]
    script.advance(60.001)
    assert script.events() == [Event.CLOSED]


def test_close_in_close_wait_is_over_when_the_fin_is_acknowledged(script: Script) -> None:
    reach(script, CLOSE_WAIT)
    script.events()
    script.close()
    script.expect("> F. 1:1(0) ack 2")
    script.inject("< . 2:2(0) ack 2")
    assert script.state is CLOSED
    assert script.events() == [Event.RELEASED, Event.CLOSED]
    assert script.connection.error is None


def test_a_simultaneous_close_is_over_when_the_fin_is_acknowledged(script: Script) -> None:
    script.established()
    script.close()
    script.expect("> F. 1:1(0) ack 1")
    script.inject("< F. 1:1(0) ack 1")
    script.expect("> . 2:2(0) ack 2")
    assert script.events() == [Event.EOF]
    script.inject("< . 2:2(0) ack 2")
    assert script.state is TIME_WAIT
    assert script.events() == [Event.RELEASED]


@pytest.mark.parametrize("state", [FIN_WAIT_2, TIME_WAIT, CLOSED], ids=lambda state: state.value)
def test_close_after_our_fin_was_acknowledged_is_over_at_once(
    script: Script, state: object
) -> None:
    reach(script, state)  # type: ignore[arg-type]
    script.events()
    script.close()
    script.expect_nothing()
    assert script.events() == [Event.RELEASED]
    assert script.connection.error is None


def test_both_fins_without_close_leave_the_connection_to_the_user(script: Script) -> None:
    reach(script, CLOSED)
    assert script.events() == [Event.EOF, Event.CLOSED]
    assert not script.connection.released


def test_after_a_full_close_fin_wait_2_has_a_limit(script: Script) -> None:
    script.established(config=Config(fin_wait_2_timeout=7))
    script.close()
    script.expect("> F. 1:1(0) ack 1")
    script.advance(0.05)
    script.inject("< . 1:1(0) ack 2")
    script.advance(6.999)
    assert script.state is FIN_WAIT_2
    script.advance(0.002)
    script.expect_nothing()
    assert script.state is CLOSED
    assert script.events() == [Event.RELEASED, Event.CLOSED]
    assert script.connection.error is None


def test_a_full_close_in_fin_wait_2_begins_the_limit(script: Script) -> None:
    reach(script, FIN_WAIT_2)
    script.close()
    script.advance(59.999)
    assert script.state is FIN_WAIT_2
    script.advance(0.002)
    assert script.state is CLOSED


def test_the_fin_of_the_peer_ends_the_limit_of_fin_wait_2(script: Script) -> None:
    reach(script, FIN_WAIT_2)
    script.close()
    script.advance(59)
    script.inject("< F. 1:1(0) ack 2")
    script.expect("> . 2:2(0) ack 2")
    script.advance(59.9)
    assert script.state is TIME_WAIT
    script.advance(0.2)
    assert script.state is CLOSED


# Data that nobody will read: RFC 9293 section 3.6.1, SHLD-3 -----------------------------------


def test_data_that_arrives_after_a_full_close_gets_a_rst(script: Script) -> None:
    reach(script, FIN_WAIT_2)
    script.close()
    script.inject("< P. 1:1001(1000) ack 2")
    script.expect("> R. 2:2(0) ack 1 win 0")
    assert script.state is CLOSED
    assert script.events() == [Event.RELEASED, Event.CLOSED]
    assert script.connection.error is None  # all of ours was acknowledged


def test_the_rst_waits_until_all_of_ours_is_acknowledged(script: Script) -> None:
    script.established()
    script.write(b"hello")
    script.expect('> P. 1:6(5) ack 1 "hello"')
    script.close()
    script.expect("> F. 6:6(0) ack 1")
    script.inject("< P. 1:1001(1000) ack 1")
    script.expect_nothing()
    assert script.state is FIN_WAIT_1
    script.expect_at(0.06, '> FP. 1:6(5) ack 1 "hello"')  # the tail loss probe
    script.inject("< . 1001:1001(0) ack 7")
    script.expect("> R. 7:7(0) ack 1")
    assert script.state is CLOSED
    assert script.events() == [Event.RELEASED, Event.CLOSED]
    assert script.connection.error is None


def test_data_that_comes_with_the_ack_of_our_fin_gets_a_rst_at_once(script: Script) -> None:
    script.established()
    script.close()
    script.expect("> F. 1:1(0) ack 1")
    script.inject("< P. 1:1001(1000) ack 2")
    script.expect("> R. 2:2(0) ack 1")
    assert script.state is CLOSED
    assert script.events() == [Event.RELEASED, Event.CLOSED]


def test_data_unread_at_close_gets_a_rst_when_all_of_ours_is_acknowledged(script: Script) -> None:
    script.established()
    script.write(b"hello")
    script.expect('> P. 1:6(5) ack 1 "hello"')
    script.inject("< P. 1:1001(1000) ack 6")
    script.expect("> . 6:6(0) ack 1001")
    script.events()
    script.close()
    script.expect("> F. 6:6(0) ack 1001")
    assert script.connection.readable == 0
    assert script.events() == []
    script.inject("< . 1001:1001(0) ack 7")
    script.expect("> R. 7:7(0) ack 1001")
    assert script.events() == [Event.RELEASED, Event.CLOSED]
    assert script.connection.error is None


def test_data_unread_at_close_after_their_fin_gets_a_rst_in_place_of_ours(script: Script) -> None:
    # Once both FINs were exchanged, the peer would not look at it any more.
    script.established()
    script.write(b"hello")
    script.expect('> P. 1:6(5) ack 1 "hello"')
    script.inject("< FP. 1:1001(1000) ack 3")
    script.expect("> . 6:6(0) ack 1002")
    script.close()
    script.inject("< . 1002:1002(0) ack 5")
    script.expect_nothing()
    assert script.state is CLOSE_WAIT
    script.inject("< . 1002:1002(0) ack 6")
    script.expect("> R. 6:6(0) ack 1002")
    assert script.state is CLOSED


def test_data_unread_at_close_gets_a_rst_at_once_if_our_fin_was_acknowledged(
    script: Script,
) -> None:
    reach(script, FIN_WAIT_2)
    script.inject("< P. 1:1001(1000) ack 2")
    script.expect("> . 2:2(0) ack 1001")
    script.close()
    script.expect("> R. 2:2(0) ack 1001")
    assert script.state is CLOSED


def test_old_data_that_comes_again_after_a_full_close_gets_an_ack_only(script: Script) -> None:
    script.established()
    script.inject("< P. 1:1001(1000) ack 1")
    script.expect("> . 1:1(0) ack 1001")
    script.expect_read(1000)
    script.close()
    script.expect("> F. 1:1(0) ack 1001")
    script.inject("< . 1001:1001(0) ack 2")
    script.inject("< P. 1:1001(1000) ack 2")
    script.expect("> . 2:2(0) ack 1001 <nop,nop,sack 1:1001>")
    assert script.state is FIN_WAIT_2


def test_data_read_before_close_leaves_nothing_to_reset_for(script: Script) -> None:
    script.established()
    script.inject("< P. 1:1001(1000) ack 1")
    script.expect("> . 1:1(0) ack 1001")
    script.expect_read(1000)
    script.close()
    script.expect("> F. 1:1(0) ack 1001")
    script.inject("< F. 1001:1001(0) ack 2")
    script.expect("> . 2:2(0) ack 1002")
    assert script.state is TIME_WAIT
