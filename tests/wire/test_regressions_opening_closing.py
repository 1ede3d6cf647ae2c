"""Bugs that were found and mended: each of these failed first."""

from __future__ import annotations

import pytest

from rudp.core.config import Config
from rudp.core.state import (
    CLOSE_WAIT,
    CLOSED,
    CLOSING,
    ESTABLISHED,
    FIN_WAIT_2,
    SYN_RCVD,
    TIME_WAIT,
)
from tests.wire.scripted import Script
from tests.wire.states import reach


def test_in_a_simultaneous_open_the_window_of_the_syn_ack_is_not_scaled(script: Script) -> None:
    # RFC 7323 section 2.2: "The window field in a segment where the SYN bit is set (i.e., a <SYN>
    # or <SYN,ACK>) MUST NOT be scaled." trim_syn takes the SYN away, _check_ack then scales.
    script.active()
    script.expect("> S 0:0(0)")
    script.write(b"x" * 5000)
    script.inject("< S 0:0(0) win 1000 <mss 1000,nop,wscale 7>")
    script.expect("> S. 0:0(0) ack 1")
    script.inject("< S. 0:0(0) ack 1 win 1000 <mss 1000,nop,wscale 7>")
    script.expect("> . 1:1001(1000) ack 1")


def test_a_rst_with_text_counts_when_our_window_is_shut(script: Script) -> None:
    # RFC 9293 section 3.4 MUST-66 and 3.5.3 SHLD-2: our own abort("reason") is dropped by a peer
    # whose window is shut, since Receiver.acceptable counts the text as SEG.LEN.
    script.established(config=Config(receive_buffer=2048))
    script.inject("< P. 1:2049(2048) ack 1")
    script.expect("> . 1:1(0) ack 2049 win 0")
    script.inject('< R. 2049:2052(3) ack 1 "ill"')
    assert script.state is CLOSED


def test_the_limit_of_fin_wait_2_counts_from_close(script: Script) -> None:
    # Config.fin_wait_2_timeout: "Seconds that a fully closed connection waits for the peer's FIN".
    # close() passes last_heard for now.
    reach(script, FIN_WAIT_2)
    script.advance(1000)
    script.close()
    script.advance(59)
    assert script.state is FIN_WAIT_2
    script.inject("< F. 1:1(0) ack 2")
    script.expect("> . 2:2(0) ack 2")
    assert script.state is TIME_WAIT


@pytest.mark.parametrize("state", [CLOSE_WAIT, CLOSING])
def test_data_unread_at_close_gets_a_rst_after_the_peers_fin_too(script: Script, state) -> None:
    # RFC 9293 section 3.6.1 SHLD-3, and Connection.close's docstring.
    script.established()
    if state is CLOSING:
        script.write_eof()
        script.expect("> F. 1:1(0) ack 1")
    script.inject("< FP. 1:1001(1000) ack 1")
    script.sent()
    assert script.state is state
    script.close()
    script.sent()
    script.inject("< . 1002:1002(0) ack 2")
    assert [line.flags & 4 for line in script.sent()] == [4]


def test_a_syn_without_timestamps_gets_a_challenge_ack(script: Script) -> None:
    # RFC 5961 section 4: "irrespective of the sequence number, TCP endpoints MUST send a challenge
    # ACK"; RFC 7323 section 3.2 says SHOULD drop. A peer that restarted with timestamps off gets
    # no answer to its SYN until we give the old connection up.
    script.established(ts=True)
    script.inject("< S 70000:70000(0) win 65535 <mss 1460>")
    script.expect("> . 1:1(0) ack 1")


@pytest.mark.parametrize("line", ["< . 70001:70001(0) ack 1", "< R 100:100(0)"])
def test_in_syn_received_what_is_not_acceptable_gets_an_answer(script: Script, line: str) -> None:
    # RFC 9293 section 3.10.7.4, first and second: <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>. The ACK is
    # noted (rcv.ack_now), but not sent before ESTABLISHED.
    script.passive()
    script.expect("> S. 0:0(0) ack 1")
    script.inject(line)
    assert len(script.sent()) == 1


def test_an_ack_owed_from_syn_received_is_not_sent_later_for_no_reason(script: Script) -> None:
    script.passive()
    script.expect("> S. 0:0(0) ack 1")
    script.inject("< R 100:100(0)")
    script.sent()
    script.inject("< . 1:1(0) ack 1")
    script.expect_nothing()


def test_a_syn_ack_sent_twice_measures_nothing(script: Script) -> None:
    # Karn (RFC 6298 section 3): which of the two SYN-ACKs was acknowledged? trim_syn sends it again
    # without counting a retransmission, and establish() measures from the second.
    script.passive()
    script.expect("> S. 0:0(0) ack 1")
    script.advance(0.75)
    script.inject("< S 0:0(0) win 65535 <mss 1460>")
    script.expect("> S. 0:0(0) ack 1")
    script.advance(0.01)
    script.inject("< . 1:1(0) ack 1")
    assert script.state is ESTABLISHED
    assert script.connection.tcp_info().rtt == 0


def test_in_syn_received_a_rst_is_not_answered_though_it_has_a_syn(script: Script) -> None:
    script.passive()
    script.expect("> S. 0:0(0) ack 1")
    script.inject("< SR 0:0(0)")
    script.expect_nothing()


def test_in_syn_received_no_ack_offers_more_than_the_syn_ack_can_say(script: Script) -> None:
    # SHLD-14. The window of a SYN-ACK is not scaled (RFC 7323 section 2.2), so the one that is sent
    # again would take back what an ACK in between had offered.
    script.passive("< S 0:0(0) win 65535 <mss 1460,nop,wscale 7>")
    script.expect("> S. 0:0(0) ack 1 win 65535")
    script.inject("< . 500000:500000(0) ack 1")  # outside of the window: it is acknowledged
    script.expect("> . 1:1(0) ack 1 win 255")  # 65280 bytes, by our scale of 8
    script.advance(1)
    script.expect("> S. 0:0(0) ack 1 win 65535")


def test_a_rst_elsewhere_in_the_window_is_ignored_in_time_wait(script: Script) -> None:
    # RFC 1337 F1 "ignore"; the record does, the connection sends a challenge ACK.
    reach(script, TIME_WAIT)
    script.inject("< R 100:100(0)")
    script.expect_nothing()


@pytest.mark.parametrize("host", ["224.0.0.1", "255.255.255.255"])
async def test_an_open_to_a_group_is_an_error_at_once(host: str) -> None:
    # RFC 9293 section 3.9.1.1, MUST-46. Over an endpoint's own socket both try for connect_timeout;
    # over a connected socket the kernel refuses the broadcast address only. The row MUST-46 in
    # tests/rfc9293.py says so in `differs` until this is mended.
    import rudp

    config = Config(connect_timeout=0.3)
    async with await rudp.Endpoint.open(("127.0.0.1", 0), config=config) as endpoint:
        with pytest.raises(OSError, match=r".") as caught:
            await endpoint.open_connection(host, 9)
        assert not isinstance(caught.value, TimeoutError)


def test_a_connection_that_has_ended_sends_no_window_update(script: Script) -> None:
    # segments_to_send no longer asks for `state is not CLOSED`, and
    # Receiver.read sets ack_now whatever the state.
    script.established(config=Config(receive_buffer=2048))
    script.inject("< P. 1:2049(2048) ack 1")
    script.expect("> . 1:1(0) ack 2049 win 0")
    script.inject("< R 2049:2049(0)")
    assert script.state is CLOSED
    script.read()
    script.expect_nothing()


def test_a_challenge_in_syn_received_is_answered_though_the_user_has_closed(
    script: Script,
) -> None:
    # The FIN is queued, and waits for the handshake: RFC 9293 section 3.10.4. The challenge ACK
    # wanted to take it along, before there was a window to send it by.
    reach(script, SYN_RCVD)
    script.close()
    script.inject("< R. 7:7(0) ack 1")
    script.expect("> . 1:1(0) ack 1")
    script.inject("< . 1:1(0) ack 1 win 1000")
    script.expect("> F. 1:1(0) ack 1")
