"""Selective acknowledgments: the blocks that we send, and what the blocks of the peer do.

RFC 2018 (SACK), RFC 2883 (DSACK). How blocks make a loss is in `test_recovery`.
"""

from __future__ import annotations

import pytest

from rudp.core.config import Config
from tests.wire.runs import peer_run, run, sack
from tests.wire.scripted import Script


def hold(script: Script, *starts: int) -> None:
    """The peer's segments of 1000 bytes at `starts` arrive out of order, one after the other."""
    for at in starts:
        script.inject(f"< . {at}:{at + 1000}(1000) ack 1")
    script.sent()


# -- the blocks that we send: RFC 2018 section 4 ---------------------------------------------------


def test_the_first_block_is_the_one_that_changed_last(script: Script) -> None:
    script.established()
    script.inject("< . 1001:2001(1000) ack 1")
    script.expect("> . 1:1(0) ack 1 <nop,nop,sack 1001:2001>")
    script.inject("< . 3001:4001(1000) ack 1")
    script.expect("> . 1:1(0) ack 1 <nop,nop,sack 3001:4001 1001:2001>")
    script.inject("< . 5001:6001(1000) ack 1")
    script.expect("> . 1:1(0) ack 1 <nop,nop,sack 5001:6001 3001:4001 1001:2001>")
    script.inject("< . 2001:2501(500) ack 1")
    script.expect("> . 1:1(0) ack 1 <nop,nop,sack 1001:2501 5001:6001 3001:4001>")


def test_ranges_that_touch_are_one_block(script: Script) -> None:
    script.established()
    hold(script, 1001, 3001)
    script.inject("< . 2001:3001(1000) ack 1")
    script.expect("> . 1:1(0) ack 1 <nop,nop,sack 1001:4001>")


def test_four_blocks_fit(script: Script) -> None:
    script.established()
    hold(script, 1001, 3001, 5001, 7001)
    script.inject("< . 9001:10001(1000) ack 1")
    script.expect("> . 1:1(0) ack 1 <nop,nop,sack 9001:10001 7001:8001 5001:6001 3001:4001>")


def test_three_blocks_fit_beside_timestamps(script: Script) -> None:
    script.established(ts=True)
    hold(script, 1001, 3001, 5001)
    script.inject("< . 7001:8001(1000) ack 1")
    script.expect(
        "> . 1:1(0) ack 1 <nop,nop,TS val ... ecr ...,nop,nop,sack 7001:8001 5001:6001 3001:4001>"
    )


def test_a_block_that_was_acknowledged_is_not_told_any_more(script: Script) -> None:
    script.established()
    hold(script, 1001, 3001)
    script.inject("< . 1:1001(1000) ack 1")
    script.expect("> . 1:1(0) ack 2001 <nop,nop,sack 3001:4001>")
    script.inject("< . 2001:3001(1000) ack 1")
    script.expect("> . 1:1(0) ack 4001 <>")
    script.expect_read(4000)


def test_blocks_are_told_again_with_every_acknowledgment(script: Script) -> None:
    script.established()
    hold(script, 1001)
    script.inject("< P. 1:11(10) ack 1")
    script.expect("> . 1:1(0) ack 11 <nop,nop,sack 1001:2001>")
    script.inject("< P. 11:21(10) ack 1")
    script.expect("> . 1:1(0) ack 21 <nop,nop,sack 1001:2001>")


def test_blocks_go_in_a_segment_of_their_own_before_data(script: Script) -> None:
    script.established(mss=1000, win=1000)
    script.write(b"a" * 2000)
    script.expect("> . 1:1001(1000) ack 1 <>")
    script.inject("< . 1001:2001(1000) ack 1001")
    script.expect(
        "> . 1001:1001(0) ack 1 <nop,nop,sack 1001:2001>", "> P. 1001:2001(1000) ack 1 <>"
    )


@pytest.mark.parametrize(
    ("offered", "config"), [(False, Config()), (True, Config(sack=False))], ids=["peer", "we"]
)
def test_no_block_is_sent_unless_both_agreed(script: Script, offered: bool, config: Config) -> None:
    script.established(sack=offered, config=config)
    script.inject("< . 1001:2001(1000) ack 1")
    script.expect("> . 1:1(0) ack 1 <>")


def test_more_ranges_than_the_limit_are_not_held(script: Script) -> None:
    script.established(config=Config(max_reassembly_ranges=16))
    for n in range(1, 21):
        script.inject(f"< P. {n * 100}:{n * 100 + 10}(10) ack 1")
    last = script.sent()[-1]
    assert str(last.options[-1]) == "sack 1600:1610 1500:1510 1400:1410 1300:1310"  # type: ignore[index]
    script.inject(*peer_run(1, 1621, size=1460))
    script.expect("> . 1:1(0) ack 1621")
    script.expect_read(1620)


# -- duplicates: RFC 2883 section 4 ----------------------------------------------------------------


def test_a_duplicate_below_the_acknowledgment_is_the_first_block(script: Script) -> None:
    """RFC 2883 section 4.1.1: the peer's ACK was lost, and it sends the segment again."""
    script.established()
    script.inject("< . 1:1001(1000) ack 1")
    script.expect("> . 1:1(0) ack 1001 <>")
    script.inject("< . 1:1001(1000) ack 1")
    script.expect("> . 1:1(0) ack 1001 <nop,nop,sack 1:1001>")


def test_a_duplicate_is_told_once(script: Script) -> None:
    script.established()
    script.inject("< . 1:1001(1000) ack 1")
    script.inject("< . 1:1001(1000) ack 1")
    script.expect("> . 1:1(0) ack 1001 <>", "> . 1:1(0) ack 1001 <nop,nop,sack 1:1001>")
    script.inject("< . 1001:2001(1000) ack 1")
    script.expect("> . 1:1(0) ack 2001 <>")


def test_a_duplicate_of_data_out_of_order_is_followed_by_its_range(script: Script) -> None:
    """RFC 2883 section 4, rule (4)."""
    script.established()
    hold(script, 1001, 2001)
    script.inject("< . 2001:3001(1000) ack 1")
    script.expect("> . 1:1(0) ack 1 <nop,nop,sack 2001:3001 1001:3001>")


def test_a_duplicate_below_goes_before_what_is_held_above(script: Script) -> None:
    """RFC 2883 section 4.1.2: out of order and a lost ACK."""
    script.established()
    script.inject("< . 1:1001(1000) ack 1")
    hold(script, 2001)
    script.inject("< . 1:1001(1000) ack 1")
    script.expect("> . 1:1(0) ack 1001 <nop,nop,sack 1:1001 2001:3001>")


def test_of_a_segment_that_is_new_in_part_the_rest_is_reported(script: Script) -> None:
    """RFC 2883 section 4.2.1: the peer cuts its data anew when it sends it again."""
    script.established()
    script.inject("< . 1:1001(1000) ack 1")
    script.expect("> . 1:1(0) ack 1001 <>")
    script.inject("< . 501:1501(1000) ack 1")
    script.expect("> . 1:1(0) ack 1501 <nop,nop,sack 501:1001>")
    script.expect_read(1500)


def test_a_duplicate_takes_the_place_of_one_block(script: Script) -> None:
    script.established(ts=True)
    script.inject("< . 1:1001(1000) ack 1")
    hold(script, 2001, 4001, 6001)
    script.inject("< . 1:1001(1000) ack 1")
    script.expect(
        "> . 1:1(0) ack 1001 <nop,nop,TS val ... ecr ...,nop,nop,sack 1:1001 6001:7001 4001:5001>"
    )


def test_a_duplicate_is_told_across_the_wrap(script: Script) -> None:
    script.established()
    script.inject("< P. 1:701(700) ack 1")  # the peer's numbers wrap at 500
    script.inject("< P. 401:701(300) ack 1")
    script.expect("> . 1:1(0) ack 701", "> . 1:1(0) ack 701 <nop,nop,sack 401:701>")


# -- the blocks of the peer ------------------------------------------------------------------------


def test_after_a_timeout_only_what_the_peer_has_not_is_sent_again(script: Script) -> None:
    script.established(mss=1000)
    script.write(b"a" * 5000)
    script.expect(*run(1, 5001, push=True))
    script.inject(sack(1, "1001:2001", "3001:4001"))
    script.expect_after(0, "> . 1:1001(1000) ack 1")  # RACK
    script.expect_at(0.2, "> . 1:1001(1000) ack 1")
    script.inject(sack(2001, "3001:4001"))
    script.expect("> . 2001:3001(1000) ack 1", "> P. 4001:5001(1000) ack 1")


def test_a_hole_of_any_shape_is_sent_again_as_it_is(script: Script) -> None:
    script.established(mss=1000)
    script.write(b"a" * 5000)
    script.expect(*run(1, 5001, push=True))
    script.inject(sack(1, "1501:5001"))
    script.expect("> . 1:1001(1000) ack 1", "> . 1001:1501(500) ack 1")


def test_a_block_may_come_with_new_acknowledgment(script: Script) -> None:
    script.established(mss=1000)
    script.write(b"a" * 6000)
    script.expect(*run(1, 6001, push=True))
    script.inject(sack(1001, "2001:5001"))
    script.expect("> . 1001:2001(1000) ack 1")


def test_blocks_are_understood_across_the_wrap() -> None:
    script = Script(iss=2**32 - 2501)
    script.established(mss=1000)
    script.write(b"a" * 6000)
    script.expect(*run(1, 6001, push=True))
    script.inject(sack(1, "1001:5001"))
    script.expect("> . 1:1001(1000) ack 1")
    script.inject("< . 1:1(0) ack 6001")
    script.expect_nothing()


def test_a_duplicate_that_the_peer_reports_changes_nothing(script: Script) -> None:
    script.established(mss=1000)
    script.write(b"a" * 5000)
    script.expect(*run(1, 5001, push=True))
    script.inject("< . 1:1(0) ack 2001", sack(2001, "1:1001"), sack(2001, "1001:2001"))
    script.inject(sack(2001, "1:1001"), sack(2001, "501:1501"))
    script.expect_nothing()
    assert script.connection.tcp_info().sacked == 0


def test_a_range_that_the_peer_takes_back_is_sent_again_after_a_timeout(script: Script) -> None:
    """RFC 2018 section 8: a SACK is a hint, and only ACK promises."""
    script.established(mss=1000)
    script.write(b"a" * 3000)
    script.expect(*run(1, 3001, push=True))
    script.inject(sack(1, "1001:3001"))
    script.inject("< . 1:1(0) ack 1001")
    assert script.connection.tcp_info().sacked == 2000
    script.expect_after(0.2, "> . 1001:2001(1000) ack 1")
    script.inject("< . 1:1(0) ack 2001")
    script.expect("> P. 2001:3001(1000) ack 1")


def test_data_that_was_sacked_is_kept_until_it_is_acknowledged(script: Script) -> None:
    script.established(mss=1000)
    script.write(b"abcde" * 200)
    script.expect("> P. 1:1001(1000) ack 1")
    script.inject(sack(1, "501:1001"))
    script.expect_after(0, "> . 1:501(500) ack 1")
    assert script.connection.tcp_info().unacked == 1000


@pytest.mark.parametrize(
    "blocks",
    [
        ["1001:9001"],
        ["5001:6001"],
        ["6001:7001", "8001:9001", "9501:9502", "1000001:2000001"],
        ["3001:2001"],
        ["2001:2001"],
        ["-999:1"],
        ["-3000:3001"],
        ["1:5001"],
        ["1:1001"],
        ["2147480000:3001"],
    ],
    ids=" ".join,
)
def test_a_block_that_makes_no_sense_is_ignored(script: Script, blocks: list[str]) -> None:
    """Beyond SND.NXT, backwards, empty, below SND.UNA, or over what ACK says is missing."""
    script.established(mss=1000)
    script.write(b"a" * 5000)
    script.expect(*run(1, 5001, push=True))
    script.inject(sack(1, *blocks))
    script.expect_nothing()
    assert script.connection.tcp_info().sacked == 0
    script.inject("< . 1:1(0) ack 5001")
    script.advance(10)


def test_the_same_block_again_is_no_news(script: Script) -> None:
    script.established(mss=1000)
    script.write(b"a" * 5000)
    script.expect(*run(1, 5001, push=True))
    for _ in range(20):
        script.inject(sack(1, "1001:2001", "1001:2001", "1501:1601", "1001:1002"))
    script.expect_nothing()
    assert script.connection.tcp_info().sacked == 1000


def test_blocks_are_ignored_if_they_were_not_agreed_on(script: Script) -> None:
    script.established(mss=1000, sack=False)
    script.write(b"a" * 6000)
    script.expect(*run(1, 6001, push=True))
    script.inject(sack(1, "1001:5001"))
    script.expect_nothing()
    assert script.connection.tcp_info().sacked == 0


def test_a_peer_cannot_cut_what_is_in_flight_into_any_number_of_pieces(script: Script) -> None:
    script.established(mss=1000, config=Config(max_flight_ranges=16))
    script.write(b"a" * 10_000)
    script.expect(*run(1, 10_001, push=True))
    for at in range(9999, 3, -2):
        script.inject(sack(1, f"{at}:{at + 1}"))
    assert len(script.connection.snd.board.flights) <= 17
    assert 0 < script.connection.tcp_info().sacked < 20
    script.sent()
    script.inject("< . 1:1(0) ack 10001")
    script.advance(10)


def test_an_acknowledgment_may_end_within_a_range_that_was_sacked(script: Script) -> None:
    script.established(mss=1000)
    script.write(b"a" * 3000)
    script.expect(*run(1, 3001, push=True))
    script.inject(sack(1, "1001:3001"))
    script.inject("< . 1:1(0) ack 1501")
    assert script.connection.tcp_info().sacked == 1500
    script.inject("< . 1:1(0) ack 3001")
    assert script.connection.tcp_info().sacked == 0
    script.advance(10)
