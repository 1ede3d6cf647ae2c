"""Explicit Congestion Notification on the wire: RFC 3168 section 6.1.

`script.marks()` gives the ECN field of the IP header above each segment: ECT0 if routers may mark
it.
"""

from __future__ import annotations

import pytest

from rudp.core.config import Config
from rudp.core.segment import ECT0
from tests.wire.scripted import Script

OFF = Config(ecn=False)


# -- who may use it: section 6.1.1 ---------------------------------------------------------------


@pytest.mark.parametrize("passive", [False, True])
def test_both_sides_agree_on_it_in_the_handshake(script: Script, passive: bool) -> None:
    script.established(passive=passive, ecn=True)
    assert "ecn" in script.connection.tcp_info().options


def test_a_socket_without_access_to_the_field_offers_nothing(script: Script) -> None:
    script.active(ecn=False)
    script.expect("> S 0:0(0)")


def test_turned_off_it_is_neither_offered_nor_accepted(script: Script) -> None:
    script.active(OFF, ecn=True)
    script.expect("> S 0:0(0)")


def test_turned_off_it_is_not_accepted(script: Script) -> None:
    script.passive("< SEW 0:0(0) win 65535 <mss 1460>", OFF, ecn=True)
    script.expect("> S. 0:0(0) ack 1")


@pytest.mark.parametrize("flags", ["S", "SE", "SW"])
def test_a_syn_that_does_not_offer_it_is_answered_without(script: Script, flags: str) -> None:
    script.passive(f"< {flags} 0:0(0) win 65535 <mss 1460>", ecn=True)
    script.expect("> S. 0:0(0) ack 1")


@pytest.mark.parametrize("flags", ["S.", "S.EW", "S.W"])
def test_a_syn_ack_that_does_not_accept_it_leaves_it_off(script: Script, flags: str) -> None:
    script.active(ecn=True)
    script.expect("> SEW 0:0(0)")
    script.inject(f"< {flags} 0:0(0) ack 1 win 65535 <mss 1460>")
    script.expect("> . 1:1(0) ack 1")
    assert "ecn" not in script.connection.tcp_info().options


def test_a_syn_that_was_lost_comes_again_without_the_offer_and_that_is_final(
    script: Script,
) -> None:
    script.active(ecn=True)
    script.expect("> SEW 0:0(0)")
    script.expect_after(1.0, "> S 0:0(0)")
    script.inject("< S.E 0:0(0) ack 1 win 65535 <mss 1460>")
    script.expect("> . 1:1(0) ack 1")
    assert "ecn" not in script.connection.tcp_info().options


def test_a_peer_that_repeats_its_syn_without_the_offer_gets_a_syn_ack_without(
    script: Script,
) -> None:
    script.passive("< SEW 0:0(0) win 65535 <mss 1460>", ecn=True)
    script.expect("> S.E 0:0(0) ack 1")
    script.advance(0.9)
    script.inject("< S 0:0(0) win 65535 <mss 1460>")
    script.expect("> S. 0:0(0) ack 1")


# -- what may be marked: sections 6.1.2 and 6.1.4 to 6.1.6 -----------------------------------------


def test_new_data_may_be_marked_and_nothing_else(script: Script) -> None:
    script.established(ecn=True)
    assert script.marks() == [0, 0]  # the SYN and the ACK of the SYN-ACK
    script.write(bytes(1000))
    script.expect("> P. 1:1001(1000) ack 1")
    assert script.marks() == [ECT0]
    script.inject("< P. 1:2921(2920) ack 1001")
    script.expect("> . 1001:1001(0) ack 2921")
    assert script.marks() == [0]
    script.write_eof()
    script.expect("> F. 1001:1001(0) ack 2921")
    assert script.marks() == [0]


def test_what_is_sent_again_may_not_be_marked(script: Script) -> None:
    script.established(ecn=True)
    script.write(bytes(1000))
    script.inject("< . 1:1(0) ack 1001")
    script.write(bytes(1000))
    script.sent()
    script.marks()
    script.advance(0.5)
    assert {line.seq for line in script.sent()} == {1001}
    assert set(script.marks()) == {0}


def test_a_window_probe_may_not_be_marked(script: Script) -> None:
    script.established(ecn=True, win=0)
    script.marks()
    script.write(bytes(10))
    script.advance(1.5)
    assert {(line.seq, line.length) for line in script.sent()} == {(1, 1)}
    assert set(script.marks()) == {0}


def test_without_agreement_nothing_may_be_marked(script: Script) -> None:
    script.established()
    script.write(bytes(1000))
    script.sent()
    assert set(script.marks()) == {0}


def test_where_nothing_that_may_be_marked_arrives_it_is_given_up(script: Script) -> None:
    script.established(ecn=True)
    script.write(bytes(1000))
    script.advance(0.5)
    script.inject("< . 1:1(0) ack 1001")
    script.sent()
    script.marks()
    script.write(bytes(1000))
    # "for any reason (because of a retransmit timeout, ...)": it says CWR (section 6.1.2).
    script.expect("> P.W 1001:2001(1000) ack 1")
    assert script.marks() == [0]


# -- what a receiver says: section 6.1.3 -----------------------------------------------------------


def test_a_mark_is_echoed_in_every_ack_until_the_peer_has_reacted(script: Script) -> None:
    script.established(ecn=True)
    script.inject("< P. 1:1001(1000) ack 1", ce=True)
    script.advance(0.05)
    script.expect("> .E 1:1(0) ack 1001")
    script.inject("< P. 1001:2001(1000) ack 1")
    script.advance(0.05)
    script.expect("> .E 1:1(0) ack 2001")
    script.write(bytes(10))
    script.expect("> P.E 1:11(10) ack 2001")
    script.inject("< P.W 2001:3001(1000) ack 11")
    script.advance(0.05)
    script.expect("> . 11:11(0) ack 3001")


def test_a_mark_on_the_segment_that_says_cwr_is_a_new_one(script: Script) -> None:
    script.established(ecn=True)
    script.inject("< P. 1:1001(1000) ack 1", ce=True)
    script.inject("< P.W 1001:2001(1000) ack 1", ce=True)
    script.advance(0.05)
    assert script.sent()[-1].ack == 2001
    script.inject("< P. 2001:3001(1000) ack 1")
    script.advance(0.05)
    script.expect("> .E 1:1(0) ack 3001")


def test_without_agreement_a_mark_means_nothing(script: Script) -> None:
    script.established()
    script.inject("< P. 1:1001(1000) ack 1", ce=True)
    script.advance(0.05)
    script.expect("> . 1:1(0) ack 1001")


# -- what the sender does: section 6.1.2 -----------------------------------------------------------


def test_an_echo_shrinks_the_window_once_and_is_answered_with_cwr(script: Script) -> None:
    script.established(config=Config(congestion="reno"), ecn=True)
    script.write(bytes(10 * 1460))
    script.sent()
    script.inject("< .E 1:1(0) ack 2921")
    info = script.connection.tcp_info()
    assert info.snd_ssthresh == 5 * 1460
    assert info.lost == info.total_retrans == 0
    script.inject("< .E 1:1(0) ack 14601")  # the rest of the window
    assert script.connection.tcp_info().snd_ssthresh == 5 * 1460
    script.write(bytes(2920))
    script.expect("> .W 14601:16061(1460) ack 1", "> P. 16061:17521(1460) ack 1")


def test_an_echo_in_the_next_window_counts_again(script: Script) -> None:
    script.established(config=Config(congestion="reno"), ecn=True)
    script.write(bytes(10 * 1460))
    script.sent()
    script.inject("< .E 1:1(0) ack 14601")
    first = script.connection.tcp_info().snd_ssthresh
    script.write(bytes(10 * 1460))
    script.sent()
    script.inject("< .E 1:1(0) ack 16061")
    assert script.connection.tcp_info().snd_ssthresh < first


def test_without_agreement_an_echo_means_nothing(script: Script) -> None:
    script.established(config=Config(congestion="reno"))
    script.write(bytes(10 * 1460))
    script.sent()
    script.inject("< .E 1:1(0) ack 14601")
    assert script.connection.tcp_info().snd_ssthresh > 1 << 40
