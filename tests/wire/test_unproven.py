"""SYN-RECEIVED: what a peer gets that has not proved its address, which may be a third's."""

from __future__ import annotations

from tests.wire.scripted import Script


def test_another_syn_is_worth_three_more(script: Script) -> None:
    script.passive()
    script.expect("> S. 0:0(0) ack 1")
    for moment in (1, 3):
        script.expect_at(moment, "> S. 0:0(0) ack 1")
    script.expect_at(4)
    script.inject("< S 0:0(0) win 65535 <mss 1460>")
    script.expect("> S. 0:0(0) ack 1")
    script.expect_at(8, "> S. 0:0(0) ack 1")
    script.expect_at(16, "> S. 0:0(0) ack 1")
    script.advance(100)
    script.expect_nothing()


def test_a_stranger_who_got_three_syn_acks_gets_no_reset(script: Script) -> None:
    script.passive()
    script.expect("> S. 0:0(0) ack 1")
    script.advance(3.001)
    script.expect("> S. 0:0(0) ack 1", "> S. 0:0(0) ack 1")
    script.abort("the server has closed")
    script.expect_nothing()


def test_a_reset_gives_strangers_no_reason(script: Script) -> None:
    # It would be data before the peer has proved its address, and more than its SYN.
    script.passive()
    script.expect("> S. 0:0(0) ack 1")
    script.abort("the server has closed")
    script.expect("> R. 1:1(0) ack 1")
