"""What the SYNs agree on: RFC 9293 section 3.7.1 (MSS), RFC 7323 (window scale, timestamps) and
RFC 2018 (SACK)."""

from __future__ import annotations

import pytest

from rudp.core.codec import HEADER, encode
from rudp.core.config import Config
from rudp.core.connection import open_active, open_passive
from rudp.core.segment import ACK, CWR, ECE, SYN, Segment
from rudp.core.state import ESTABLISHED, SYN_RCVD, SYN_SENT
from tests.wire.scripted import ISS, LOCAL_PORT, PEER_ISS, PEER_PORT, Script

NOTHING = Config(sack=False, timestamps=False, window_scaling=False)
"""Every option that can be turned off is."""


# What our SYN says ----------------------------------------------------------------------------


def test_an_active_open_sends_one_syn_that_offers_everything(script: Script) -> None:
    script.active()
    script.expect("> S 0:0(0) win 65535 <mss 1460,sackOK,TS val 1024000 ecr 0,nop,wscale 8>")
    assert script.state is SYN_SENT
    assert script.events() == []


def test_the_timestamp_of_the_syn_begins_at_the_offset_of_the_connection(script: Script) -> None:
    script.active(ts_offset=2**32 - 1_024_000 + 5)
    script.expect("> S 0:0(0) <mss 1460,sackOK,TS val 5 ecr 0,nop,wscale 8>")


@pytest.mark.parametrize(
    ("config", "options"),
    [
        (Config(sack=False), "<mss 1460,nop,nop,TS val 1024000 ecr 0,nop,wscale 8>"),
        (Config(timestamps=False), "<mss 1460,nop,nop,sackOK,nop,wscale 8>"),
        (Config(window_scaling=False), "<mss 1460,sackOK,TS val 1024000 ecr 0>"),
        (NOTHING, "<mss 1460>"),
    ],
    ids=["sack", "timestamps", "window scaling", "all three"],
)
def test_an_option_that_is_turned_off_is_not_offered(
    script: Script, config: Config, options: str
) -> None:
    script.active(config)
    script.expect(f"> S 0:0(0) {options}")


@pytest.mark.parametrize(
    ("path", "limit", "announced"), [(1452, None, 1452), (1452, 1000, 1000), (1452, 9000, 1452)]
)
def test_the_mss_announced_is_what_the_path_and_the_config_leave(
    script: Script, path: int, limit: int | None, announced: int
) -> None:
    script.active(Config(mss=limit), mss=path)
    script.expect(f"> S 0:0(0) <mss {announced},sackOK,TS val ... ecr 0,nop,wscale 8>")


@pytest.mark.parametrize(
    ("buffer", "win", "shift"), [(5000, 5000, 0), (65535, 65535, 0), (65536, 65535, 1)]
)
def test_the_window_scale_offered_is_the_least_that_says_all_of_the_buffer(
    script: Script, buffer: int, win: int, shift: int
) -> None:
    script.active(Config(receive_buffer=buffer))
    script.expect(f"> S 0:0(0) win {win} <mss 1460,sackOK,TS val ... ecr 0,nop,wscale {shift}>")


# Options agreed, and options refused ----------------------------------------------------------


def test_a_passive_open_answers_with_what_the_syn_offered(script: Script) -> None:
    script.passive("< S 0:0(0) win 65535 <mss 1000,sackOK,TS val 77 ecr 0,nop,wscale 7>")
    script.expect(
        "> S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK,TS val 1024000 ecr 77,nop,wscale 8>"
    )
    assert script.state is SYN_RCVD


def test_a_passive_open_answers_a_bare_syn_with_a_bare_syn_ack(script: Script) -> None:
    # Anything more would be more than was sent in the name of that address.
    script.passive("< S 0:0(0) win 65535")
    script.expect("> S. 0:0(0) ack 1 win 65535")


@pytest.mark.parametrize("offer", range(16))
def test_a_syn_ack_is_never_larger_than_its_syn(offer: int) -> None:
    # However densely the peer packs its options: mss 4 bytes, sackOK 2, timestamps 10, wscale 3.
    sizes = [size for bit, size in enumerate((4, 2, 10, 3)) if offer >> bit & 1]
    densest = HEADER + (sum(sizes) + 3) // 4 * 4
    syn = Segment(
        4000,
        80,
        2**32 - 1,
        0,
        SYN | ECE | CWR,
        65535,
        mss=1460 if offer & 1 else None,
        sack_permitted=bool(offer & 2),
        ts_val=77 if offer & 4 else None,
        window_scale=7 if offer & 8 else None,
    )
    connection = open_passive(Config(), iss=1, syn=syn, now=1.0, mss=1460, ecn=True)
    (syn_ack,) = connection.segments_to_send(1.0)
    assert len(encode(syn_ack)) <= densest


def test_a_passive_open_does_not_agree_to_what_is_turned_off(script: Script) -> None:
    offer = "< S 0:0(0) win 65535 <mss 1000,sackOK,TS val 77 ecr 0,nop,wscale 7>"
    script.passive(offer, NOTHING)
    script.expect("> S. 0:0(0) ack 1 win 65535 <mss 1460>")
    script.inject("< . 1:1(0) ack 1 win 1000")
    assert script.connection.tcp_info().options == ()


def test_a_simultaneous_open_agrees_to_what_both_syns_offer(script: Script) -> None:
    script.active(Config(sack=False))
    script.expect("> S 0:0(0)")
    script.inject("< S 0:0(0) win 65535 <mss 1000,sackOK,nop,wscale 7>")
    script.expect("> S. 0:0(0) ack 1 <mss 1460,nop,wscale 8>")


@pytest.mark.parametrize("passive", [False, True], ids=["active", "passive"])
def test_the_window_of_a_syn_is_never_scaled_and_every_later_one_is(
    script: Script, passive: bool
) -> None:
    # RFC 7323 section 2.2.
    script.established(passive=passive, mss=1000, wscale=7, win=2000)
    assert script.connection.tcp_info().snd_wnd == (2000 << 7 if passive else 2000)
    script.inject("< . 1:1(0) ack 1 win 30")
    assert script.connection.tcp_info().snd_wnd == 30 << 7
    script.inject("< P. 1:1001(1000) ack 1")
    script.expect("> . 1:1(0) ack 1001 win 508")  # 131072 - 1000, shifted by 8


def test_the_window_of_a_syn_ack_counts_as_it_stands(script: Script) -> None:
    script.established(mss=1000, wscale=7, win=2000)
    script.write(b"x" * 5000)
    script.expect("> . 1:1001(1000) ack 1", "> . 1001:2001(1000) ack 1")


@pytest.mark.parametrize("shift", [14, 15, 255])
def test_a_window_scale_above_14_is_taken_for_14(script: Script, shift: int) -> None:
    # RFC 7323 section 2.3.
    script.established(wscale=shift)
    script.inject("< . 1:1(0) ack 1 win 3")
    assert script.connection.tcp_info().snd_wnd == 3 << 14


@pytest.mark.parametrize("passive", [False, True], ids=["active", "passive"])
@pytest.mark.parametrize(
    ("config", "wscale"), [(Config(), None), (Config(window_scaling=False), 7)]
)
def test_without_the_agreement_of_both_no_window_is_scaled(
    script: Script, passive: bool, config: Config, wscale: int | None
) -> None:
    script.established(config=config, passive=passive, wscale=wscale)
    script.inject("< P. 1:1461(1460) ack 1 win 5000")
    script.expect("> . 1:1(0) ack 1461 win 65535")
    assert script.connection.tcp_info().snd_wnd == 5000


@pytest.mark.parametrize("passive", [False, True], ids=["active", "passive"])
def test_sack_blocks_are_sent_if_both_agreed(script: Script, passive: bool) -> None:
    script.established(passive=passive, sack=True)
    script.inject("< . 1001:2001(1000) ack 1")
    script.expect("> . 1:1(0) ack 1 <nop,nop,sack 1001:2001>")


@pytest.mark.parametrize("passive", [False, True], ids=["active", "passive"])
@pytest.mark.parametrize(("config", "sack"), [(Config(), False), (Config(sack=False), True)])
def test_sack_blocks_are_not_sent_without_the_agreement_of_both(
    script: Script, passive: bool, config: Config, sack: bool
) -> None:
    script.established(config=config, passive=passive, sack=sack)
    script.inject("< . 1001:2001(1000) ack 1")
    script.expect("> . 1:1(0) ack 1 <>")


@pytest.mark.parametrize("passive", [False, True], ids=["active", "passive"])
def test_timestamps_are_in_every_segment_if_both_agreed(script: Script, passive: bool) -> None:
    script.established(passive=passive, ts=True)
    script.write(b"x")
    script.expect("> P. 1:2(1) ack 1 <nop,nop,TS val ... ecr ...>")
    script.write_eof()
    script.expect("> F. 2:2(0) ack 1 <nop,nop,TS val ... ecr ...>")


@pytest.mark.parametrize("passive", [False, True], ids=["active", "passive"])
@pytest.mark.parametrize(("config", "ts"), [(Config(), False), (Config(timestamps=False), True)])
def test_timestamps_are_in_no_segment_without_the_agreement_of_both(
    script: Script, passive: bool, config: Config, ts: bool
) -> None:
    script.established(config=config, passive=passive, ts=ts)
    script.write(b"x")
    script.expect("> P. 1:2(1) ack 1 <>")


# The size of segments -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("theirs", "ours", "used"), [(1000, 1460, 1000), (9000, 1460, 1460), (1460, 1000, 1000)]
)
def test_segments_fit_both_the_peers_mss_and_our_path(
    script: Script, theirs: int, ours: int, used: int
) -> None:
    script.established(mss=theirs, local_mss=ours)
    script.write(b"x" * 2000)
    first, *rest = script.sent()
    assert first.length == used
    assert sum(line.length for line in rest) == 2000 - used


def test_timestamps_come_out_of_the_mss(script: Script) -> None:
    # RFC 9293 section 3.7.1: Eff.snd.MSS is without the options.
    script.established(mss=1000, ts=True)
    script.write(b"x" * 1000)
    script.expect("> . 1:989(988) ack 1", "> P. 989:1001(12) ack 1")


@pytest.mark.parametrize("passive", [False, True], ids=["active", "passive"])
def test_a_peer_that_announces_no_mss_gets_536_bytes(script: Script, passive: bool) -> None:
    if passive:
        script.passive("< S 0:0(0) win 65535")
        script.expect("> S. 0:0(0) ack 1")
        script.inject("< . 1:1(0) ack 1")
    else:
        script.active()
        script.expect("> S 0:0(0)")
        script.inject("< S. 0:0(0) ack 1 win 65535")
        script.expect("> . 1:1(0) ack 1")
    script.write(b"x" * 1000)
    script.expect("> . 1:537(536) ack 1", "> P. 537:1001(464) ack 1")


def test_on_ipv6_a_peer_that_announces_no_mss_gets_1220_bytes() -> None:
    connection = open_active(
        Config(), local_port=LOCAL_PORT, peer_port=PEER_PORT, iss=ISS, now=0, mss=1432,
        default_mss=1220,
    )  # fmt: skip
    connection.segments_to_send(0)
    syn_ack = Segment(PEER_PORT, LOCAL_PORT, PEER_ISS, ISS + 1, SYN | ACK, 65535)
    connection.receive(syn_ack, 0)
    assert connection.state is ESTABLISHED
    assert connection.send_mss == 1220


@pytest.mark.parametrize("announced", [0, 1, 215])
def test_an_mss_below_216_is_taken_for_216(script: Script, announced: int) -> None:
    # CVE-2019-11479: a peer must not make each byte cost a header.
    script.established(mss=announced)
    script.write(b"x" * 300)
    script.expect("> . 1:217(216) ack 1", "> P. 217:301(84) ack 1")
