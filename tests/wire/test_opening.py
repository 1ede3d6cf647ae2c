"""The handshake: RFC 9293 sections 3.5 and 3.10.7.2 to 3.10.7.4, RFC 6298 section 5.7.

What it agrees on is in `test_options`.
"""

from __future__ import annotations

import errno
import math

import pytest

from rudp.core.config import Config
from rudp.core.events import Event
from rudp.core.state import (
    CLOSE_WAIT,
    CLOSED,
    ESTABLISHED,
    FIN_WAIT_1,
    SYN_RCVD,
    SYN_SENT,
)
from tests.wire.scripted import Script

OURS = "<mss 1460,sackOK,TS val 1024000 ecr 0,nop,wscale 8>"


# Active open ----------------------------------------------------------------------------------


def test_a_syn_ack_establishes_the_connection_and_is_acknowledged(script: Script) -> None:
    script.active()
    script.expect("> S 0:0(0)")
    script.inject("< S. 0:0(0) ack 1 win 65535 <mss 1460>")
    script.expect("> . 1:1(0) ack 1 win 65535 <>")
    assert script.state is ESTABLISHED
    assert script.events() == [Event.ESTABLISHED]


def test_the_handshake_is_the_first_round_trip_measured(script: Script) -> None:
    script.active()
    script.expect("> S 0:0(0)")
    script.advance(0.125)
    script.inject("< S. 0:0(0) ack 1 win 65535")
    script.expect("> . 1:1(0) ack 1")
    assert script.connection.tcp_info().rtt == 0.125
    assert script.connection.tcp_info().rto == 0.375  # RFC 6298 section 2.2: R + 4 * R/2


def test_data_and_eof_written_before_the_syn_ack_go_with_its_acknowledgment(
    script: Script,
) -> None:
    script.active()
    script.expect("> S 0:0(0)")
    script.write(b"hello")
    script.write_eof()
    script.expect_nothing()
    assert script.state is SYN_SENT
    script.inject("< S. 0:0(0) ack 1 win 65535 <mss 1460>")
    script.expect('> FP. 1:6(5) ack 1 "hello"')
    assert script.state is FIN_WAIT_1
    assert script.events() == [Event.ESTABLISHED]


def test_data_on_a_syn_ack_is_left_for_the_peer_to_send_again(script: Script) -> None:
    script.active()
    script.expect("> S 0:0(0)")
    script.inject('< S. 0:5(5) ack 1 win 65535 <mss 1460> "hello"')
    script.expect("> . 1:1(0) ack 1")
    assert script.connection.readable == 0


def test_a_syn_without_an_answer_is_sent_again_ever_more_seldom(script: Script) -> None:
    script.active()
    script.expect("> S 0:0(0)")
    # RFC 6298 sections 2.1 and 5.5: 1 s, then twice as long each time, up to Config.max_rto.
    for moment in (1, 3, 7, 15, 31, 63, 123):
        stamp = 1_024_000 + moment * 1000
        options = f"<mss 1460,sackOK,TS val {stamp} ecr 0,nop,wscale 8>"
        script.expect_at(moment, f"> S 0:0(0) win 65535 {options}")
    assert script.connection.tcp_info().retrans == 7


def test_connecting_is_given_up_after_three_minutes(script: Script) -> None:
    script.active()
    script.advance(179.9)
    assert len(script.sent()) == 8
    assert script.state is SYN_SENT
    script.advance(0.2)
    assert script.state is CLOSED
    assert script.events() == [Event.RELEASED, Event.CLOSED]
    error = script.connection.error
    assert isinstance(error, TimeoutError)
    assert error.errno == errno.ETIMEDOUT
    assert error.strerror == "Connection timed out: no answer to the SYN"
    assert script.connection.next_deadline() == math.inf


@pytest.mark.parametrize(("timeout", "syns"), [(0.5, 1), (5, 3), (7, 3)])
def test_the_connect_timeout_is_kept_to_the_moment(
    script: Script, timeout: float, syns: int
) -> None:
    script.active(Config(connect_timeout=timeout))
    script.advance(timeout - 0.001)
    assert len(script.sent()) == syns
    assert script.state is SYN_SENT
    script.advance(0.002)
    assert script.state is CLOSED


def test_a_handshake_as_long_as_its_rto_measures_nothing(script: Script) -> None:
    # The first SYN is lost; and so is the SYN-ACK, which comes again after a second. It echoes the
    # second SYN, as the one that was lost did.
    script.active(config=Config(timestamps=True))
    script.expect("> S 0:0(0)")
    script.expect_at(1, "> S 0:0(0) <mss 1460,sackOK,TS val 1025000 ecr 0,nop,wscale 8>")
    script.advance(1.02)
    script.inject("< S. 0:0(0) ack 1 win 65535 <mss 1000,sackOK,TS val 5 ecr 1025000,nop,wscale 7>")
    script.expect("> . 1:1(0) ack 1")
    info = script.connection.tcp_info()
    assert (info.rtt, info.rto) == (0, 3)
    script.write(bytes(100))
    script.expect("> P. 1:101(100) ack 1")
    script.advance(0.02)
    script.inject("< . 1:1(0) ack 101 win 512 <nop,nop,TS val 6 ecr 1026020>")
    script.expect_nothing()
    info = script.connection.tcp_info()
    assert info.rtt == pytest.approx(0.02)
    assert info.rto == 0.2


def test_after_a_lost_syn_one_segment_goes_out_with_an_rto_of_three_seconds(
    script: Script,
) -> None:
    # RFC 5681 section 3.1 and RFC 6298 section 5.7.
    script.active(Config(timestamps=False))
    script.expect("> S 0:0(0)")
    script.expect_at(1, "> S 0:0(0)")
    script.inject("< S. 0:0(0) ack 1 win 65535 <mss 1000>")
    script.expect("> . 1:1(0) ack 1")
    assert script.connection.tcp_info().rtt == 0  # Karn: which SYN was answered?
    script.write(b"x" * 5000)
    script.expect("> . 1:1001(1000) ack 1")
    script.expect_after(3, "> . 1:1001(1000) ack 1")


def test_an_echo_of_the_first_of_two_syns_measures_nothing(script: Script) -> None:
    script.active()
    script.expect("> S 0:0(0)")
    script.expect_at(1, "> S 0:0(0)")
    script.inject("< S. 0:0(0) ack 1 win 65535 <mss 1000,TS val 9 ecr 1024000>")
    script.expect("> . 1:1(0) ack 1")
    assert script.connection.tcp_info().rtt == 0
    assert script.connection.tcp_info().rto == 3


def test_an_echo_of_the_second_of_two_syns_measures_the_path(script: Script) -> None:
    script.active()
    script.expect("> S 0:0(0)")
    script.expect_at(1, "> S 0:0(0)")
    script.advance(0.125)
    script.inject("< S. 0:0(0) ack 1 win 65535 <mss 1000,TS val 9 ecr 1025000>")
    script.expect("> . 1:1(0) ack 1")
    assert script.connection.tcp_info().rtt == pytest.approx(0.125, abs=0.001)
    script.write(b"x" * 5000)
    script.expect("> . 1:989(988) ack 1")  # the window of one segment all the same


@pytest.mark.parametrize("ack", [0, 2, -1])
@pytest.mark.parametrize("flags", [".", "S.", "F."])
def test_in_syn_sent_an_ack_of_anything_but_our_syn_gets_a_rst(
    script: Script, flags: str, ack: int
) -> None:
    script.active()
    script.expect("> S 0:0(0)")
    script.inject(f"< {flags} 0:0(0) ack {ack}")
    script.expect(f"> R {ack}:{ack}(0) win 0 <>")
    assert script.state is SYN_SENT
    script.inject("< S. 0:0(0) ack 1")
    script.expect("> . 1:1(0) ack 1")
    assert script.state is ESTABLISHED


@pytest.mark.parametrize(
    "line", ["< R 0:0(0)", "< R. 0:0(0) ack 0", "< R. 0:0(0) ack 2", "< R 1:1(0)"]
)
def test_in_syn_sent_a_rst_that_does_not_acknowledge_our_syn_is_ignored(
    script: Script, line: str
) -> None:
    script.active()
    script.expect("> S 0:0(0)")
    script.inject(line)
    script.expect_nothing()
    assert script.state is SYN_SENT


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("< R. 0:0(0) ack 1", "Connection refused"),
        ('< R. 0:8(8) ack 1 "too busy"', "Connection refused: too busy"),
    ],
)
def test_in_syn_sent_a_rst_that_acknowledges_our_syn_refuses_the_connection(
    script: Script, line: str, text: str
) -> None:
    script.active()
    script.expect("> S 0:0(0)")
    script.inject(line)
    script.expect_nothing()
    assert script.state is CLOSED
    assert script.events() == [Event.RELEASED, Event.CLOSED]
    error = script.connection.error
    assert isinstance(error, ConnectionRefusedError)
    assert (error.errno, error.strerror) == (errno.ECONNREFUSED, text)


@pytest.mark.parametrize("line", ["< . 0:0(0) ack 1", "< - 0:0(0)", "< F 0:0(0)", "< SF 0:0(0)"])
def test_in_syn_sent_what_has_neither_syn_nor_rst_nor_sense_is_dropped(
    script: Script, line: str
) -> None:
    script.active()
    script.expect("> S 0:0(0)")
    script.inject(line)
    script.expect_nothing()
    assert script.state is SYN_SENT


def test_close_in_syn_sent_ends_it_without_a_segment(script: Script) -> None:
    script.active()
    script.expect("> S 0:0(0)")
    script.close()
    assert script.state is CLOSED
    assert script.events() == [Event.RELEASED, Event.CLOSED]
    assert script.connection.error is None
    script.advance(300)
    script.expect_nothing()


def test_abort_in_syn_sent_withdraws_the_syn(script: Script) -> None:
    # Deviation from RFC 9293 section 3.10.5: nobody might be there later to answer a SYN-ACK.
    script.active()
    script.expect("> S 0:0(0)")
    script.abort()
    script.expect("> R 1:1(0)")
    assert script.state is CLOSED
    assert script.events() == [Event.RELEASED, Event.CLOSED]
    assert script.connection.error is None


# Passive open ---------------------------------------------------------------------------------


def test_the_ack_of_our_syn_ack_establishes_the_connection(script: Script) -> None:
    script.passive()
    script.expect("> S. 0:0(0) ack 1")
    assert script.state is SYN_RCVD
    assert script.events() == []
    script.inject("< . 1:1(0) ack 1")
    script.expect_nothing()
    assert script.state is ESTABLISHED
    assert script.events() == [Event.ESTABLISHED]
    assert script.connection.next_deadline() == math.inf


def test_data_may_come_with_the_ack_of_our_syn_ack(script: Script) -> None:
    script.passive()
    script.expect("> S. 0:0(0) ack 1")
    script.inject('< P. 1:6(5) ack 1 "hello"')
    assert script.read() == b"hello"
    assert script.events() == [Event.ESTABLISHED, Event.READABLE]
    script.expect_after(0.04, "> . 1:1(0) ack 6")


def test_a_fin_may_come_with_the_ack_of_our_syn_ack(script: Script) -> None:
    script.passive()
    script.expect("> S. 0:0(0) ack 1")
    script.inject('< FP. 1:6(5) ack 1 "hello"')
    script.expect("> . 1:1(0) ack 7")
    assert script.read() == b"hello"
    assert script.state is CLOSE_WAIT
    assert script.events() == [Event.ESTABLISHED, Event.READABLE, Event.EOF]


def test_data_on_a_syn_is_left_for_the_peer_to_send_again(script: Script) -> None:
    script.passive('< S 0:5(5) win 65535 <mss 1460> "hello"')
    script.expect("> S. 0:0(0) ack 1")
    script.inject("< . 6:6(0) ack 1")
    assert script.state is ESTABLISHED
    assert script.connection.readable == 0
    script.inject('< P. 1:6(5) ack 1 "hello"')
    assert script.read() == b"hello"
    script.expect_after(0.04, "> . 1:1(0) ack 6")


def test_data_and_eof_written_in_syn_received_go_out_when_it_is_established(
    script: Script,
) -> None:
    script.passive()
    script.expect("> S. 0:0(0) ack 1")
    script.write(b"hello")
    script.write_eof()
    script.expect_nothing()
    assert script.state is SYN_RCVD
    script.inject("< . 1:1(0) ack 1")
    script.expect('> FP. 1:6(5) ack 1 "hello"')
    assert script.state is FIN_WAIT_1


def test_close_in_syn_received_is_a_fin_once_it_is_established(script: Script) -> None:
    # RFC 9293 section 3.10.4: "queue for processing after entering ESTABLISHED state".
    script.passive()
    script.expect("> S. 0:0(0) ack 1")
    script.close()
    script.expect_nothing()
    script.inject("< . 1:1(0) ack 1")
    script.expect("> F. 1:1(0) ack 1")
    assert script.state is FIN_WAIT_1


def test_abort_in_syn_received_sends_a_rst(script: Script) -> None:
    script.passive()
    script.expect("> S. 0:0(0) ack 1")
    script.abort()
    script.expect("> R. 1:1(0) ack 1")
    assert script.state is CLOSED
    assert script.events() == [Event.RELEASED, Event.CLOSED]


def test_a_syn_ack_without_an_answer_goes_out_three_times(script: Script) -> None:
    # The sender's address may be forged: no more datagrams than a SYN is worth.
    script.passive()
    script.expect("> S. 0:0(0) ack 1")
    for moment in (1, 3):
        script.expect_at(moment, "> S. 0:0(0) ack 1 win 65535 <mss 1460>")
    # It is waited for no shorter.
    script.advance(59.9)
    script.expect_nothing()
    assert script.state is SYN_RCVD
    script.advance(0.2)
    script.expect_nothing()
    assert script.state is CLOSED
    assert isinstance(script.connection.error, TimeoutError)
    assert script.events() == [Event.RELEASED, Event.CLOSED]


def test_the_limit_of_syn_acks_can_be_set(script: Script) -> None:
    script.passive(config=Config(syn_ack_retransmissions=1))
    script.expect("> S. 0:0(0) ack 1")
    script.expect_at(1, "> S. 0:0(0) ack 1")
    script.advance(2.001)
    assert script.state is CLOSED


def test_a_syn_that_comes_again_gets_its_syn_ack_again(script: Script) -> None:
    script.passive()
    script.expect("> S. 0:0(0) ack 1")
    script.advance(0.75)
    script.inject("< S 0:0(0) win 65535 <mss 1460>")
    script.expect("> S. 0:0(0) ack 1")
    assert script.state is SYN_RCVD
    script.inject("< . 1:1(0) ack 1")
    assert script.state is ESTABLISHED


def test_many_syns_do_not_get_as_many_syn_acks(script: Script) -> None:
    # Whoever forges the address of a victim must not have it flooded.
    script.passive()
    script.expect("> S. 0:0(0) ack 1")
    script.advance(0.0625)
    for _ in range(100):
        script.inject("< S 0:0(0) win 65535 <mss 1460>")
    script.expect("> S. 0:0(0) ack 1")
    script.advance(0.5)
    script.inject("< S 0:0(0) win 65535 <mss 1460>")
    script.expect("> S. 0:0(0) ack 1")


def test_the_syn_ack_echoes_the_timestamp_of_the_syn_that_came_last(script: Script) -> None:
    script.passive("< S 0:0(0) win 65535 <mss 1460,TS val 100 ecr 0>")
    script.expect("> S. 0:0(0) ack 1 <mss 1460,TS val 1024000 ecr 100>")
    script.advance(0.5)
    script.inject("< S 0:0(0) win 65535 <mss 1460,TS val 600 ecr 0>")
    script.expect("> S. 0:0(0) ack 1 <mss 1460,TS val 1024500 ecr 600>")


@pytest.mark.parametrize("ack", [0, 2, -70000])
def test_in_syn_received_an_ack_of_anything_but_our_syn_gets_a_rst(
    script: Script, ack: int
) -> None:
    script.passive()
    script.expect("> S. 0:0(0) ack 1")
    script.inject(f"< . 1:1(0) ack {ack}")
    script.expect(f"> R {ack}:{ack}(0) win 0 <>")
    assert script.state is SYN_RCVD
    script.inject("< . 1:1(0) ack 1")
    assert script.state is ESTABLISHED


def test_an_old_duplicate_syn_is_recovered_from_by_the_rst_of_its_supposed_sender(
    script: Script,
) -> None:
    # RFC 9293 section 3.5, figure 9.
    script.passive("< S 90:90(0) win 65535 <mss 1460>")
    script.expect("> S. 0:0(0) ack 91")
    script.inject("< R 91:91(0)")
    script.expect_nothing()
    assert script.state is CLOSED


def test_in_syn_received_another_syn_in_the_window_ends_a_passive_open(script: Script) -> None:
    # RFC 9293 section 3.10.7.4, fourth: back to LISTEN, where the SYN will be heard when it comes
    # again.
    script.passive()
    script.expect("> S. 0:0(0) ack 1")
    script.inject("< S 100:100(0) win 65535 <mss 1460>")
    script.expect_nothing()
    assert script.state is CLOSED


@pytest.mark.parametrize("line", ["< - 1:1(0)", "< P 1:6(5)", "< F 1:1(0)"])
def test_in_syn_received_a_segment_without_an_ack_is_dropped(script: Script, line: str) -> None:
    script.passive()
    script.expect("> S. 0:0(0) ack 1")
    script.inject(line)
    script.expect_nothing()
    assert script.state is SYN_RCVD


# Simultaneous open ----------------------------------------------------------------------------


def test_two_that_open_to_each_other_get_one_connection(script: Script) -> None:
    # RFC 9293 section 3.5, figure 7.
    script.active()
    script.expect(f"> S 0:0(0) {OURS}")
    script.inject("< S 0:0(0) win 65535 <mss 1000,sackOK,TS val 5 ecr 0,nop,wscale 7>")
    script.expect("> S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK,TS val 1024000 ecr 5,nop,wscale 8>")
    assert script.state is SYN_RCVD
    assert script.events() == []
    script.inject("< S. 0:0(0) ack 1 win 65535 <mss 1000,sackOK,TS val 5 ecr 1024000,nop,wscale 7>")
    script.expect("> . 1:1(0) ack 1 win 512 <nop,nop,TS val 1024000 ecr 5>")
    assert script.state is ESTABLISHED
    assert script.events() == [Event.ESTABLISHED]
    assert script.connection.send_mss == 988


def test_in_a_simultaneous_open_the_syn_that_comes_again_gets_the_syn_ack_again(
    script: Script,
) -> None:
    script.active()
    script.expect("> S 0:0(0)")
    script.inject("< S 0:0(0) win 65535 <mss 1460>")
    script.expect("> S. 0:0(0) ack 1")
    script.inject("< S 0:0(0) win 65535 <mss 1460>")
    script.expect("> S. 0:0(0) ack 1")
    script.inject("< . 1:1(0) ack 1")
    script.expect_nothing()
    assert script.state is ESTABLISHED


def test_in_a_simultaneous_open_the_syn_ack_is_sent_again_by_the_clock(script: Script) -> None:
    script.active()
    script.expect("> S 0:0(0)")
    script.inject("< S 0:0(0) win 65535 <mss 1460>")
    script.expect("> S. 0:0(0) ack 1")
    script.expect_at(1, "> S. 0:0(0) ack 1")
    script.expect_at(3, "> S. 0:0(0) ack 1")


def test_data_written_in_a_simultaneous_open_goes_with_the_last_ack(script: Script) -> None:
    script.active()
    script.expect("> S 0:0(0)")
    script.write(b"hello")
    script.inject("< S 0:0(0) win 65535 <mss 1460>")
    script.expect("> S. 0:0(0) ack 1")
    script.inject("< S. 0:0(0) ack 1 win 65535 <mss 1460>")
    script.expect('> P. 1:6(5) ack 1 "hello"')


def test_a_rst_in_a_simultaneous_open_is_a_refusal(script: Script) -> None:
    script.active()
    script.expect("> S 0:0(0)")
    script.inject("< S 0:0(0) win 65535 <mss 1460>")
    script.expect("> S. 0:0(0) ack 1")
    script.inject("< R 1:1(0)")
    assert script.state is CLOSED
    assert isinstance(script.connection.error, ConnectionRefusedError)
    assert script.events() == [Event.RELEASED, Event.CLOSED]


def test_another_syn_in_the_window_does_not_end_a_simultaneous_open(script: Script) -> None:
    # RFC 9293 section 3.10.7.4, fourth: only a passive open goes back to LISTEN.
    script.active()
    script.expect("> S 0:0(0)")
    script.inject("< S 0:0(0) win 65535 <mss 1460>")
    script.expect("> S. 0:0(0) ack 1")
    script.inject("< S 100:100(0) win 65535 <mss 1460>")
    script.sent()
    assert script.state is SYN_RCVD
