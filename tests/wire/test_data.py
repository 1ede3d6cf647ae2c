"""Data on the wire: what is written is cut into segments, and what arrives is read as it was sent.

RFC 9293 sections 3.7.1 (segmentation), 3.8.6 (the window) and 3.9.1.2 (PSH); RFC 7323 section 2
(window scaling); design.md, section 4 (super-segments).
"""

from __future__ import annotations

import pytest

from rudp.core.config import Config
from rudp.core.events import Event
from tests.wire.runs import peer_run, run
from tests.wire.scripted import Script, peer_data

# -- sending ---------------------------------------------------------------------------------------


def test_a_write_goes_out_at_once_in_full_segments_with_psh_on_the_last(script: Script) -> None:
    script.established(mss=1000)
    script.write(b"a" * 2500)
    script.expect(
        "> . 1:1001(1000) ack 1 <>",
        "> . 1001:2001(1000) ack 1 <>",
        "> P. 2001:2501(500) ack 1 <>",
    )
    script.inject("< . 1:1(0) ack 2501")


def test_timestamps_come_out_of_the_mss_of_each_segment(script: Script) -> None:
    script.established(mss=1000, ts=True)
    script.write(b"a" * 2000)
    script.expect(
        "> . 1:989(988) ack 1 <nop,nop,TS val ... ecr ...>",
        "> . 989:1977(988) ack 1 <nop,nop,TS val ... ecr ...>",
        "> P. 1977:2001(24) ack 1 <nop,nop,TS val ... ecr ...>",
    )


@pytest.mark.parametrize(
    ("peer", "path", "config"),
    [(500, 1460, None), (1460, 500, None), (1460, 1460, 500), (500, 600, 700)],
    ids=["peer", "path", "config", "all"],
)
def test_the_least_of_what_peer_path_and_config_allow_is_the_mss(
    script: Script, peer: int, path: int, config: int | None
) -> None:
    script.established(mss=peer, local_mss=path, config=Config(mss=config))
    script.write(b"a" * 800)
    script.expect("> . 1:501(500) ack 1", "> P. 501:801(300) ack 1")


def test_a_tiny_mss_of_the_peer_is_not_followed(script: Script) -> None:
    script.established(mss=1)
    script.write(b"a" * 400)
    script.expect("> . 1:217(216) ack 1", "> P. 217:401(184) ack 1")


def test_each_small_write_is_a_segment_with_psh(script: Script) -> None:
    script.established(mss=1000)
    script.write(b"one")
    script.expect('> P. 1:4(3) ack 1 "one"')
    script.write(b"two")
    script.expect('> P. 4:7(3) ack 1 "two"')


def test_an_empty_write_sends_nothing(script: Script) -> None:
    script.established()
    script.write(b"")
    script.expect_nothing()


def test_writes_that_had_to_wait_go_out_together_with_one_psh(script: Script) -> None:
    script.established(mss=1000, win=1000)
    script.write(b"a" * 1000)
    script.expect("> P. 1:1001(1000) ack 1")
    for letter in (b"b", b"c", b"d", b"e"):
        script.write(letter * 300)
    script.expect_nothing()
    script.inject("< . 1:1(0) ack 1001 win 4000")
    script.expect("> . 1001:2001(1000) ack 1", "> P. 2001:2201(200) ack 1")


def test_psh_is_not_set_where_more_is_waiting(script: Script) -> None:
    script.established(mss=1000, win=2000)
    script.write(b"a" * 3000)
    script.expect(*run(1, 2001))
    script.inject("< . 1:1(0) ack 2001")
    script.expect("> P. 2001:3001(1000) ack 1")


def test_the_fin_goes_with_the_last_byte(script: Script) -> None:
    script.established(mss=1000, win=1000)
    script.write(b"a" * 1500)
    script.expect("> . 1:1001(1000) ack 1")
    script.write_eof()
    script.expect_nothing()
    script.inject("< . 1:1(0) ack 1001")
    script.expect("> FP. 1001:1501(500) ack 1")
    script.inject("< . 1:1(0) ack 1502")


def test_a_fin_that_the_window_has_no_room_for_comes_alone(script: Script) -> None:
    script.established(mss=1000, win=1000)
    script.write(b"a" * 2000)
    script.write_eof()
    script.expect("> . 1:1001(1000) ack 1")
    script.inject("< . 1:1(0) ack 1001")
    script.expect("> P. 1001:2001(1000) ack 1")
    script.inject("< . 1:1(0) ack 2001")
    script.expect("> F. 2001:2001(0) ack 1")


@pytest.mark.parametrize("before", [1, 1000, 1500, 2001])
def test_sequence_numbers_wrap_wherever_it_happens(before: int) -> None:
    script = Script(iss=2**32 - 1 - before, peer_iss=2**32 - 1 - before)
    script.established(mss=1000)
    script.write(bytes(range(250)) * 16)
    script.expect(*run(1, 4001, push=True))
    script.inject(*peer_run(1, 4001, ack=4001))
    script.expect("> . 4001:4001(0) ack 4001")
    script.expect_read(4000)
    script.expect_nothing()


# -- super-segments --------------------------------------------------------------------------------


def test_the_core_sends_what_it_may_as_one_super_segment() -> None:
    script = Script(super_segments=True)
    script.established(mss=1000)
    script.write(b"a" * 9500)
    script.expect("> P. 1:9501(9500) ack 1")


def test_a_super_segment_that_cwnd_cuts_ends_with_a_full_segment() -> None:
    script = Script(super_segments=True)
    script.established(mss=1000)
    script.write(b"a" * 12345)
    script.expect("> . 1:10001(10000) ack 1")


def test_a_super_segment_holds_whole_segments_up_to_65000_bytes() -> None:
    script = Script(super_segments=True)
    script.established(mss=25000, local_mss=25000, wscale=7)
    script.write(b"a" * 200_000)
    script.expect("> . 1:50001(50000) ack 1")
    script.inject("< . 1:1(0) ack 50001")
    script.expect("> . 50001:100001(50000) ack 1", "> . 100001:150001(50000) ack 1")


def test_on_the_wire_a_super_segment_is_full_segments(script: Script) -> None:
    script.established(mss=25000, local_mss=25000, wscale=7)
    script.write(b"a" * 50_000)
    script.expect(*run(1, 50_001, mss=25000, push=True))


# -- `more` ----------------------------------------------------------------------------------------


@pytest.fixture
def expecting_more(script: Script) -> Script:
    """A script in which the application says that it will write more before long."""
    script.established(mss=1000)
    script.more = True
    return script


def test_what_does_not_fill_a_segment_waits_if_more_will_be_written(expecting_more: Script) -> None:
    expecting_more.write(b"a" * 2500)
    expecting_more.expect(*run(1, 2001))
    expecting_more.write(b"b" * 500)
    expecting_more.expect("> P. 2001:3001(1000) ack 1")


def test_it_goes_out_when_asked_for_again(expecting_more: Script) -> None:
    expecting_more.write(b"a" * 300)
    expecting_more.expect_nothing()
    expecting_more.more = False
    expecting_more.read()  # polls
    expecting_more.expect("> P. 1:301(300) ack 1")


def test_a_fin_does_not_wait_for_more(expecting_more: Script) -> None:
    expecting_more.write(b"a" * 300)
    expecting_more.write_eof()
    expecting_more.expect("> FP. 1:301(300) ack 1")


def test_an_ack_does_not_wait_for_more(expecting_more: Script) -> None:
    expecting_more.write(b"a" * 300)
    expecting_more.inject(*peer_run(1, 1001))
    expecting_more.expect("> . 1:1(0) ack 1001")


# -- receiving -------------------------------------------------------------------------------------


def test_what_arrives_in_order_is_read_in_order_and_told_once(script: Script) -> None:
    script.established(local_mss=1000)
    script.inject(*peer_run(1, 3001))
    assert script.events() == [Event.READABLE]
    assert script.connection.readable == 3000
    script.expect("> . 1:1(0) ack 3001")
    script.expect_read(3000)
    script.inject("< P. 3001:3011(10) ack 1")
    assert script.events() == [Event.READABLE]
    script.expect_read(10)
    script.expect_after(0.04, "> . 1:1(0) ack 3011")


def test_a_read_takes_no_more_than_it_asks_for(script: Script) -> None:
    script.established()
    script.inject('< P. 1:11(10) ack 1 "0123456789"')
    assert [script.read(n) for n in (4, 1, 100, 100)] == [b"0123", b"4", b"56789", b""]
    script.expect_after(0.04, "> . 1:1(0) ack 11")


def test_a_gap_is_not_read_across(script: Script) -> None:
    script.established()
    script.inject("< . 1001:2001(1000) ack 1")
    script.expect("> . 1:1(0) ack 1 <nop,nop,sack 1001:2001>")
    assert script.read() == b""
    assert script.events() == []
    script.inject("< . 1:1001(1000) ack 1")
    script.expect("> . 1:1(0) ack 2001 <>")
    script.expect_read(2000)
    assert script.events() == [Event.READABLE]


def test_of_an_overlap_the_first_copy_counts(script: Script) -> None:
    script.established()
    script.inject("< P. 1:11(10) ack 1")
    script.inject('< P. 6:16(10) ack 1 "xxxxx-----"')
    script.expect("> . 1:1(0) ack 16 <nop,nop,sack 6:11>")
    assert script.read() == peer_data(0, 10) + b"-----"


def test_urgent_data_is_delivered_in_line(script: Script) -> None:
    script.established()
    script.inject('< PU. 1:6(5) ack 1 urg 3 "hello"')
    assert script.read() == b"hello"
    script.expect_after(0.04, "> . 1:1(0) ack 6")


def test_what_exceeds_the_window_is_cut_off_and_said_so_at_once(script: Script) -> None:
    script.established(config=Config(receive_buffer=2048, receive_autotuning=False))
    script.inject("< . 1:3001(3000) ack 1")
    script.expect("> . 1:1(0) ack 2049 win 0")
    script.expect_read(2048)
    script.expect("> . 1:1(0) ack 2049 win 2048")


@pytest.mark.parametrize("seq", [2049, 100_000, 2**31])
def test_what_lies_beyond_the_window_is_answered_and_not_kept(script: Script, seq: int) -> None:
    script.established(config=Config(receive_buffer=2048, receive_autotuning=False))
    script.inject(f"< . {seq}:{seq + 1}(1) ack 1")
    script.expect("> . 1:1(0) ack 1 <>")


def test_both_sides_send_at_once_and_each_segment_acknowledges(script: Script) -> None:
    script.established(mss=1000, win=2000)
    script.write(b"a" * 4000)
    script.expect(*run(1, 2001))
    script.inject("< . 1:1001(1000) ack 1001", "< . 1001:2001(1000) ack 2001")
    script.expect("> . 2001:3001(1000) ack 2001", "> P. 3001:4001(1000) ack 2001")
    script.inject("< P. 2001:2501(500) ack 4001")
    script.expect_after(0.04, "> . 4001:4001(0) ack 2501")
    script.expect_read(2500)


def test_data_goes_on_in_the_direction_that_is_not_closed(script: Script) -> None:
    script.established(mss=1000)
    script.write_eof()
    script.expect("> F. 1:1(0) ack 1")
    script.inject(*peer_run(1, 2001, ack=2))
    script.expect("> . 2:2(0) ack 2001")
    script.expect_read(2000)
    script.inject("< F. 2001:2001(0) ack 2")
    script.expect("> . 2:2(0) ack 2002")


# -- window scaling --------------------------------------------------------------------------------


def test_the_peers_window_is_scaled_but_that_of_its_syn_is_not(script: Script) -> None:
    script.established(mss=1000, wscale=2, win=2000)
    script.write(b"a" * 20_000)
    script.expect(*run(1, 2001))
    script.inject("< . 1:1(0) ack 1001")
    script.expect(*run(2001, 9001))  # 2000 << 2 bytes beyond 1001


def test_a_shift_above_14_is_taken_for_14(script: Script) -> None:
    script.established(mss=1000, wscale=255)
    script.inject("< . 1:1(0) ack 1 win 1")
    assert script.connection.tcp_info().snd_wnd == 1 << 14


def test_our_window_is_scaled_but_that_of_our_syn_is_not() -> None:
    script = Script()
    script.active(Config(receive_buffer=1 << 20, receive_autotuning=False))
    script.expect("> S 0:0(0) win 65535 <mss 1460,sackOK,TS val ... ecr 0,wscale 5>")
    script.inject("< S. 0:0(0) ack 1 win 65535 <mss 1460,nop,wscale 0>")
    script.expect(f"> . 1:1(0) ack 1 win {(1 << 20) >> 5}")


def test_without_the_peers_offer_neither_window_is_scaled(script: Script) -> None:
    script.established(wscale=None)
    script.inject(*peer_run(1, 1001))
    script.expect("> . 1:1(0) ack 1001 win 65535")
    assert script.connection.tcp_info().snd_wnd == 65535


def test_without_our_offer_neither_window_is_scaled(script: Script) -> None:
    script.established(wscale=7, config=Config(window_scaling=False))
    script.inject(*peer_run(1, 1001))
    script.expect("> . 1:1(0) ack 1001 win 65535")
    assert script.connection.tcp_info().snd_wnd == 65535
