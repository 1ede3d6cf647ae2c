"""When an acknowledgment goes out, and when it waits for company.

RFC 9293 section 3.8.6.3 and RFC 5681 section 4.2: at least every second full-sized segment and
within 40 ms; at once for whatever tells the peer of a loss. How SACK blocks look is in `test_sack`.
"""

from __future__ import annotations

import pytest

from rudp.core.config import Config
from rudp.core.receiver import QUICK_SEGMENTS
from tests.wire.runs import peer_run
from tests.wire.scripted import Script


def past_the_beginning(script: Script, size: int = 1000) -> int:
    """Receive enough that segments are no longer acknowledged one by one; returns RCV.NXT."""
    end = 1 + QUICK_SEGMENTS * size
    for line in peer_run(1, end, size=size):
        script.inject(line)
    script.advance(0.04)
    script.expect_read(end - 1)
    assert [line.ack for line in script.sent()] == list(range(1 + size, end + 1, size))
    return end


# -- delayed ---------------------------------------------------------------------------------------


def test_a_small_segment_is_acknowledged_after_40_ms(script: Script) -> None:
    script.established()
    script.inject("< P. 1:11(10) ack 1")
    script.expect_after(0.04, "> . 1:1(0) ack 11 <>")
    script.advance(10)


def test_the_delay_counts_from_the_first_segment_that_waits(script: Script) -> None:
    script.established()
    script.inject("< P. 1:11(10) ack 1")
    script.advance(0.03)
    script.inject("< P. 11:21(10) ack 1")
    script.expect_after(0.01, "> . 1:1(0) ack 21")
    script.inject("< P. 21:31(10) ack 1")
    script.expect_after(0.04, "> . 1:1(0) ack 31")


def test_the_delay_can_be_set(script: Script) -> None:
    script.established(config=Config(delayed_ack=0.2))
    script.inject("< P. 1:11(10) ack 1")
    script.expect_after(0.2, "> . 1:1(0) ack 11")


def test_a_delay_of_0_acknowledges_every_segment_at_once(script: Script) -> None:
    script.established(config=Config(delayed_ack=0))
    for at in (1, 11, 21):
        script.inject(f"< P. {at}:{at + 10}(10) ack 1")
        script.expect(f"> . 1:1(0) ack {at + 10}")
    script.advance(10)


def test_what_arrives_in_one_wake_up_is_acknowledged_once(script: Script) -> None:
    script.established()
    script.inject(
        "< P. 1:1001(1000) ack 1", "< P. 1001:1101(100) ack 1", "< P. 1101:1201(100) ack 1"
    )
    script.expect("> . 1:1(0) ack 1201")
    script.advance(10)


def test_data_of_ours_carries_the_acknowledgment(script: Script) -> None:
    script.established()
    script.inject("< P. 1:11(10) ack 1")
    script.advance(0.02)
    script.write(b"answer")
    script.expect('> P. 1:7(6) ack 11 "answer"')
    script.inject("< . 11:11(0) ack 7")
    script.advance(10)


def test_a_fin_of_ours_carries_it_too(script: Script) -> None:
    script.established()
    script.inject("< P. 1:11(10) ack 1")
    script.write_eof()
    script.expect("> F. 1:1(0) ack 11")
    script.inject("< . 11:11(0) ack 2")
    script.advance(10)


def test_an_acknowledgment_is_not_acknowledged(script: Script) -> None:
    script.established()
    script.inject("< . 1:1(0) ack 1", "< . 1:1(0) ack 1 win 1000")
    script.expect_nothing()
    script.advance(10)


# -- every second full-sized segment ---------------------------------------------------------------


def test_in_the_beginning_each_full_sized_segment_is_acknowledged_at_once(script: Script) -> None:
    script.established()
    end = QUICK_SEGMENTS * 1000 + 1
    for at in range(1, end - 1000, 1000):
        script.inject(f"< . {at}:{at + 1000}(1000) ack 1")
        script.expect(f"> . 1:1(0) ack {at + 1000}")
        script.expect_read(1000)
    script.inject(f"< . {end - 1000}:{end}(1000) ack 1")
    script.expect_after(0.04, f"> . 1:1(0) ack {end}")


def test_later_every_second_full_sized_segment_is(script: Script) -> None:
    script.established()
    start = past_the_beginning(script)
    for at in range(start, start + 6000, 2000):
        script.inject(f"< . {at}:{at + 1000}(1000) ack 1")
        script.advance(0.01)
        script.expect_nothing()
        script.inject(f"< . {at + 1000}:{at + 2000}(1000) ack 1")
        script.expect(f"> . 1:1(0) ack {at + 2000}")
        script.expect_read(2000)


def test_one_full_sized_segment_alone_is_acknowledged_after_40_ms(script: Script) -> None:
    script.established()
    start = past_the_beginning(script)
    script.inject(f"< . {start}:{start + 1000}(1000) ack 1")
    script.expect_after(0.04, f"> . 1:1(0) ack {start + 1000}")


def test_segments_smaller_than_full_count_by_their_bytes(script: Script) -> None:
    script.established()
    start = past_the_beginning(script)
    for at in range(start, start + 1900, 100):
        script.inject(f"< P. {at}:{at + 100}(100) ack 1")
        script.expect_nothing()
    script.inject(f"< P. {start + 1900}:{start + 2000}(100) ack 1")
    script.expect(f"> . 1:1(0) ack {start + 2000}")


def test_a_full_sized_segment_is_the_largest_the_peer_has_sent(script: Script) -> None:
    script.established()
    start = past_the_beginning(script, size=600)
    script.inject(f"< . {start}:{start + 600}(600) ack 1")
    script.expect_nothing()
    script.inject(f"< . {start + 600}:{start + 1200}(600) ack 1")
    script.expect(f"> . 1:1(0) ack {start + 1200}")


def test_many_segments_in_one_wake_up_are_acknowledged_once(script: Script) -> None:
    script.established()
    start = past_the_beginning(script)
    script.inject(*peer_run(start, start + 20_000))
    script.expect(f"> . 1:1(0) ack {start + 20_000}")


# -- at once ---------------------------------------------------------------------------------------


def test_a_segment_out_of_order_is_acknowledged_at_once(script: Script) -> None:
    script.established()
    script.inject("< . 1001:2001(1000) ack 1")
    script.expect("> . 1:1(0) ack 1 <nop,nop,sack 1001:2001>")


def test_a_segment_that_fills_a_gap_is_acknowledged_at_once(script: Script) -> None:
    script.established()
    script.inject("< P. 11:21(10) ack 1")
    script.expect("> . 1:1(0) ack 1 <nop,nop,sack 11:21>")
    script.inject("< P. 1:11(10) ack 1")
    script.expect("> . 1:1(0) ack 21 <>")


def test_a_segment_that_fills_part_of_a_gap_is_acknowledged_at_once(script: Script) -> None:
    script.established()
    script.inject("< P. 21:31(10) ack 1")
    script.expect("> . 1:1(0) ack 1 <nop,nop,sack 21:31>")
    script.inject("< P. 1:11(10) ack 1")
    script.expect("> . 1:1(0) ack 11 <nop,nop,sack 21:31>")


def test_a_duplicate_is_acknowledged_at_once(script: Script) -> None:
    script.established(sack=False)
    script.inject("< P. 1:11(10) ack 1")
    script.expect_after(0.04, "> . 1:1(0) ack 11")
    script.inject("< P. 1:11(10) ack 1")
    script.expect("> . 1:1(0) ack 11")
    script.inject("< P. 1:11(10) ack 1")
    script.expect("> . 1:1(0) ack 11")


def test_a_fin_is_acknowledged_at_once(script: Script) -> None:
    script.established()
    script.inject("< FP. 1:11(10) ack 1")
    script.expect("> . 1:1(0) ack 12")


def test_a_fin_out_of_order_waits_for_what_is_before_it(script: Script) -> None:
    script.established(sack=False)
    script.inject("< F. 11:11(0) ack 1")
    script.expect("> . 1:1(0) ack 1")
    script.inject("< P. 1:11(10) ack 1")
    script.expect("> . 1:1(0) ack 12")


def test_a_waiting_acknowledgment_goes_with_the_one_at_once(script: Script) -> None:
    script.established()
    script.inject("< P. 1:11(10) ack 1")
    script.inject("< P. 21:31(10) ack 1")
    script.expect("> . 1:1(0) ack 11 <nop,nop,sack 21:31>")
    script.advance(10)


# -- a peer without SACK counts --------------------------------------------------------------------


def test_without_sack_each_segment_out_of_order_gets_its_duplicate_ack(script: Script) -> None:
    script.established(sack=False)
    script.inject(*peer_run(1001, 4001))
    script.expect(*["> . 1:1(0) ack 1 <>"] * 3)


def test_without_sack_a_wake_up_gives_no_more_than_ten(script: Script) -> None:
    script.established(sack=False)
    script.inject(*peer_run(1001, 41_001))
    script.expect(*["> . 1:1(0) ack 1 <>"] * 10)


def test_with_sack_one_acknowledgment_tells_of_all(script: Script) -> None:
    script.established()
    script.inject(*peer_run(1001, 4001))
    script.expect("> . 1:1(0) ack 1 <nop,nop,sack 1001:4001>")


def test_duplicate_acks_are_empty_though_there_is_data_to_send(script: Script) -> None:
    """A peer counts no ACK that carries data (RFC 5681 section 2)."""
    script.established(sack=False, win=1000)
    script.write(b"a" * 2000)
    script.expect("> . 1:1001(1000) ack 1")
    script.inject("< . 1001:2001(1000) ack 1001")
    script.expect("> . 1001:1001(0) ack 1", "> P. 1001:2001(1000) ack 1")


@pytest.mark.parametrize("ts", [False, True], ids=["plain", "timestamps"])
def test_every_acknowledgment_has_the_options_that_were_agreed_on(script: Script, ts: bool) -> None:
    script.established(ts=ts)
    script.inject("< P. 1:11(10) ack 1")
    script.expect_after(0.04, f"> . 1:1(0) ack 11 <{'nop,nop,TS val ... ecr ...' if ts else ''}>")
