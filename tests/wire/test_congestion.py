"""How much may be in flight: slow start, congestion avoidance, and what does not count.

RFC 5681 section 3.1, RFC 6928 (initial window), RFC 3465 (byte counting); and the attacks of a
receiver that wants more than its share (RFC 5681 section 5). What a loss does to cwnd is in
`test_recovery`.
"""

from __future__ import annotations

import pytest

from rudp.core.config import Config
from tests.wire.runs import run, sack, windows
from tests.wire.scripted import Script


def slow_start(script: Script, total: int = 1_000_000, *, sack: bool = True) -> None:
    """`total` bytes are waiting, and ten segments of 1000 have gone out."""
    script.established(mss=1000, wscale=7, sack=sack)
    script.write(b"a" * total)
    script.expect(*run(1, 10_001))


def halved(script: Script) -> None:
    """A loss among the first ten segments has halved cwnd to 5000; all of them have arrived."""
    script.established(mss=1000, wscale=7)
    script.write(b"a" * 10_000)
    script.expect(*run(1, 10_001, push=True))
    script.inject(sack(1, "1001:10001"))
    script.expect("> . 1:1001(1000) ack 1")
    script.inject("< . 1:1(0) ack 10001")


def avoidance(script: Script) -> int:
    """Congestion avoidance at a cwnd of 5000, with that much in flight; returns SND.UNA."""
    halved(script)
    assert windows(script) == (5000, 5000)
    script.write(b"b" * 1_000_000)
    script.expect(*run(10_001, 15_001))
    return 10_001


# -- the initial window: RFC 6928, equation (1) ----------------------------------------------------


@pytest.mark.parametrize(
    ("mss", "segments"), [(536, 10), (1000, 10), (1460, 10), (2000, 7), (7300, 2), (9000, 2)]
)
def test_the_initial_window_is_ten_segments_or_14600_bytes_or_two(
    script: Script, mss: int, segments: int
) -> None:
    script.established(mss=mss, local_mss=mss)
    script.write(b"a" * 60_000)
    script.expect(*run(1, 1 + segments * mss, mss=mss))


@pytest.mark.parametrize("segments", [1, 3])
def test_the_initial_window_can_be_set(script: Script, segments: int) -> None:
    script.established(mss=1000, config=Config(initial_window=segments))
    script.write(b"a" * 60_000)
    script.expect(*run(1, 1 + segments * 1000))


def test_after_a_lost_syn_it_is_one_segment(script: Script) -> None:
    script.active()
    script.expect("> S 0:0(0)")
    script.expect_at(1, "> S 0:0(0)")
    script.inject("< S. 0:0(0) ack 1 win 65535 <mss 1000>")
    script.expect("> . 1:1(0) ack 1")
    script.write(b"a" * 60_000)
    script.expect(*run(1, 1001))


# -- slow start ------------------------------------------------------------------------------------


def test_in_slow_start_each_segment_that_arrives_lets_two_out(script: Script) -> None:
    slow_start(script)
    script.inject("< . 1:1(0) ack 1001")
    script.expect(*run(10_001, 12_001))
    script.inject("< . 1:1(0) ack 2001")
    script.expect(*run(12_001, 14_001))
    assert windows(script) == (12_000, 1 << 62)


def test_an_ack_of_many_segments_counts_for_all_of_them(script: Script) -> None:
    """RFC 3465: what arrived counts, and not how many ACKs tell of it."""
    slow_start(script)
    script.inject("< . 1:1(0) ack 10001")
    script.expect(*run(10_001, 30_001))
    script.inject("< . 1:1(0) ack 30001")
    script.expect(*run(30_001, 70_001))


def test_slow_start_ends_at_ssthresh(script: Script) -> None:
    slow_start(script, sack=False)
    script.expect_at(0.2, "> . 1:1001(1000) ack 1")
    script.expect_at(0.6, "> . 1:1001(1000) ack 1")  # the second time, F-RTO has no part in it
    assert windows(script) == (1000, 5000)
    script.inject("< . 1:1(0) ack 1001")
    assert windows(script)[0] == 2000
    # After a timeout an ACK counts for one segment at most (RFC 3465 section 2.3).
    script.inject("< . 1:1(0) ack 3001")
    assert windows(script)[0] == 3000
    for ack in (4001, 5001, 6001):
        script.inject(f"< . 1:1(0) ack {ack}")
    assert windows(script)[0] == 5000
    script.sent()


# -- congestion avoidance --------------------------------------------------------------------------


def test_in_congestion_avoidance_a_window_of_data_adds_one_segment(script: Script) -> None:
    una = avoidance(script)
    for n in range(1, 5):
        script.inject(f"< . 1:1(0) ack {una + n * 1000}")
        script.expect(*run(una + 4000 + n * 1000, una + 5000 + n * 1000))
    assert windows(script) == (5000, 5000)
    script.inject(f"< . 1:1(0) ack {una + 5000}")
    script.expect(*run(una + 9000, una + 11_000))
    assert windows(script) == (6000, 5000)


def test_one_ack_for_a_whole_window_adds_the_same(script: Script) -> None:
    una = avoidance(script)
    script.inject(f"< . 1:1(0) ack {una + 5000}")
    script.expect(*run(una + 5000, una + 11_000))
    assert windows(script) == (6000, 5000)


# -- cwnd is tested by use -------------------------------------------------------------------------


def test_cwnd_does_not_grow_while_the_application_has_less_to_send(script: Script) -> None:
    script.established(mss=1000)
    for at in range(1, 50_001, 2500):
        script.write(b"a" * 2500)
        script.expect(*run(at, at + 2500, push=True))
        script.inject(f"< . 1:1(0) ack {at + 2500}")
    assert windows(script)[0] == 10_000


def test_cwnd_does_not_grow_while_the_peers_window_is_what_limits(script: Script) -> None:
    script.established(mss=1000, win=3000)
    script.write(b"a" * 50_000)
    script.expect(*run(1, 3001))
    for at in range(3001, 30_001, 3000):
        script.inject(f"< . 1:1(0) ack {at}")
        script.expect(*run(at, at + 3000))
    assert windows(script)[0] == 10_000


def test_after_an_rto_without_sending_cwnd_is_the_initial_window(script: Script) -> None:
    """RFC 5681 section 4.1."""
    slow_start(script, total=30_000)
    script.inject("< . 1:1(0) ack 10001")
    script.expect(*run(10_001, 30_001, push=True))
    script.inject("< . 1:1(0) ack 30001")
    assert windows(script)[0] == 20_000
    script.advance(0.25)
    script.write(b"b" * 60_000)
    script.expect(*run(30_001, 40_001))


def test_after_a_pause_slow_start_goes_up_to_three_quarters_of_the_window(script: Script) -> None:
    """RFC 7661 section 4.4.3."""
    halved(script)
    script.write(b"b" * 1000 * sum(range(5, 17)))
    una = 10_001
    for window in range(5, 17):
        script.expect(*run(una, una + window * 1000, push=window == 16))
        una += window * 1000
        script.inject(f"< . 1:1(0) ack {una}")
    assert windows(script) == (16_000, 5000)
    script.advance(0.25)
    script.write(b"c" * 100_000)
    script.expect(*run(una, una + 10_000))
    script.inject(f"< . 1:1(0) ack {una + 2000}")
    script.expect(*run(una + 10_000, una + 14_000))
    assert windows(script) == (12_000, 12_000)
    script.inject(f"< . 1:1(0) ack {una + 4000}")
    script.expect(*run(una + 14_000, una + 16_000))


def test_a_window_that_is_not_used_is_halved_after_five_minutes(script: Script) -> None:
    """RFC 7661 section 4.4: a message now and then, each well within an RTO of the one before."""
    config = Config(min_rto=3.0, initial_rto=3.0)
    script.established(mss=1000, wscale=7, config=config)
    script.write(b"a" * 30_000)
    script.expect(*run(1, 10_001))
    script.inject("< . 1:1(0) ack 10001")
    script.expect(*run(10_001, 30_001, push=True))
    script.inject("< . 1:1(0) ack 30001")
    at = 30_001
    while script.now < 306:
        script.write(b"m" * 10)
        script.expect(f"> P. {at}:{at + 10}(10) ack 1")
        at += 10
        script.inject(f"< . 1:1(0) ack {at}")
        script.advance(2.0)
        assert windows(script)[0] == (20_000 if script.now < 303 else 10_000)
    script.write(b"b" * 60_000)
    script.expect(*run(at, at + 10_000))


def test_within_an_rto_cwnd_stays(script: Script) -> None:
    slow_start(script, total=30_000)
    script.inject("< . 1:1(0) ack 10001")
    script.expect(*run(10_001, 30_001, push=True))
    script.inject("< . 1:1(0) ack 30001")
    script.advance(0.15)
    script.write(b"b" * 60_000)
    script.expect(*run(30_001, 50_001))


def test_a_cwnd_below_the_initial_window_is_not_raised_by_waiting(script: Script) -> None:
    script.established(mss=1000)
    script.write(b"a" * 10_000)
    script.expect(*run(1, 10_001, push=True))
    script.inject(sack(1, "1001:10001"))
    script.expect("> . 1:1001(1000) ack 1")
    script.inject("< . 1:1(0) ack 10001")
    script.advance(100)
    script.write(b"b" * 20_000)
    script.expect(*run(10_001, 15_001))


# -- a receiver that wants more: RFC 5681 section 5 ------------------------------------------------


def test_an_ack_in_many_pieces_lets_no_more_out_in_slow_start(script: Script) -> None:
    """ACK division."""
    slow_start(script)
    for ack in range(11, 1002, 10):
        script.inject(f"< . 1:1(0) ack {ack}")
    script.expect(*run(10_001, 12_001))
    assert windows(script)[0] == 11_000


def test_an_ack_in_many_pieces_lets_no_more_out_in_congestion_avoidance(script: Script) -> None:
    una = avoidance(script)
    for ack in range(una + 10, una + 1001, 10):
        script.inject(f"< . 1:1(0) ack {ack}")
    script.expect(*run(una + 5000, una + 6000))
    assert windows(script)[0] == 5000


@pytest.mark.parametrize("ack", [10_002, 20_001, 2**31 - 10])
def test_an_ack_of_what_was_not_sent_counts_for_nothing(script: Script, ack: int) -> None:
    """RFC 5961 section 5: it is discarded and answered."""
    slow_start(script)
    script.inject(f"< . 1:1(0) ack {ack}")
    script.expect("> . 10001:10001(0) ack 1")
    assert windows(script)[0] == 10_000
    assert script.connection.tcp_info().bytes_acked == 0


def test_the_same_ack_again_and_again_counts_once(script: Script) -> None:
    slow_start(script)
    for _ in range(50):
        script.inject("< . 1:1(0) ack 1001")
    script.expect(*run(10_001, 12_001))
    assert windows(script)[0] == 11_000


def test_the_same_sack_again_and_again_counts_once(script: Script) -> None:
    una = avoidance(script)
    for _ in range(50):
        script.inject(sack(una, f"{una + 4000}:{una + 5000}"))
    script.expect(*run(una + 5000, una + 6000))
    assert windows(script)[0] == 5000
