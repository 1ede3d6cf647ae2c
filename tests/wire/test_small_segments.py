"""When less than a full segment is worth sending: silly windows, Nagle, a small send buffer.

RFC 9293 sections 3.8.6.2.1 (the sender's silly-window avoidance, by its rules) and 3.7.4 (Nagle).
"""

from __future__ import annotations

from rudp.core.config import Config
from tests.wire.runs import run
from tests.wire.scripted import Script

# -- silly windows -------------------------------------------------------------------------------


def test_a_part_of_a_segment_is_not_sent_into_a_small_window(script: Script) -> None:
    """RFC 9293 section 3.8.6.2.1, rule (1): a full segment, or wait for more window."""
    script.established(mss=1000, win=4500)
    script.write(b"a" * 9000)
    script.expect(*run(1, 4001))
    script.inject("< . 1:1(0) ack 1001 win 3900")
    script.expect_nothing()
    script.inject("< . 1:1(0) ack 2001 win 3000")
    script.expect(*run(4001, 5001))


def test_all_that_there_is_goes_into_a_small_window(script: Script) -> None:
    """Rule (2)."""
    script.established(mss=1000, win=4500)
    script.write(b"a" * 4300)
    script.expect(*run(1, 4301, push=True))


def test_half_of_the_largest_window_is_worth_a_segment(script: Script) -> None:
    """Rule (3): for a peer whose whole buffer is below a segment."""
    script.established(mss=1000, win=600)
    script.write(b"a" * 2000)
    script.expect("> . 1:601(600) ack 1")
    script.inject("< . 1:1(0) ack 601 win 299")
    script.expect_nothing()
    script.inject("< . 1:1(0) ack 601 win 300")
    script.expect("> . 601:901(300) ack 1")


def test_what_is_too_small_to_be_worth_it_goes_out_after_an_rto(script: Script) -> None:
    """Rule (4): the override timeout."""
    script.established(mss=1000, win=4000)
    script.write(b"a" * 9000)
    script.expect(*run(1, 4001))
    script.inject("< . 1:1(0) ack 4001 win 300")
    script.expect_after(0.2, "> . 4001:4301(300) ack 1")
    script.inject("< . 1:1(0) ack 4301 win 4000")
    script.expect(*run(4301, 8301))


# -- Nagle ---------------------------------------------------------------------------------------


def test_nagle_holds_a_small_segment_while_data_is_on_its_way(script: Script) -> None:
    """RFC 9293 section 3.7.4."""
    script.established(mss=1000, config=Config(nodelay=False))
    script.write(b"a")
    script.expect("> P. 1:2(1) ack 1")
    script.write(b"b")
    script.write(b"c")
    script.expect_nothing()
    script.inject("< . 1:1(0) ack 2")
    script.expect('> P. 2:4(2) ack 1 "bc"')


def test_nagle_lets_full_segments_go(script: Script) -> None:
    script.established(mss=1000, config=Config(nodelay=False))
    script.write(b"a")
    script.expect("> P. 1:2(1) ack 1")
    script.write(b"b" * 2300)
    script.expect(*run(2, 2002))
    script.write(b"c" * 700)
    script.expect("> P. 2002:3002(1000) ack 1")


def test_nagle_lets_the_end_go(script: Script) -> None:
    script.established(mss=1000, config=Config(nodelay=False))
    script.write(b"a")
    script.expect("> P. 1:2(1) ack 1")
    script.write(b"b")
    script.expect_nothing()
    script.write_eof()
    script.expect("> FP. 2:3(1) ack 1")


def test_nagle_is_off_by_default(script: Script) -> None:
    script.established(mss=1000)
    script.write(b"a")
    script.write(b"b")
    script.expect("> P. 1:2(1) ack 1", "> P. 2:3(1) ack 1")


# -- the send buffer -----------------------------------------------------------------------------


def test_no_more_than_the_send_buffer_is_in_flight(script: Script) -> None:
    script.established(mss=1000, config=Config(send_buffer=3000))
    script.write(b"a" * 9000)
    script.expect(*run(1, 3001))
    script.inject("< . 1:1(0) ack 1001")
    script.expect(*run(3001, 4001))
    assert script.connection.unsent == 5000
