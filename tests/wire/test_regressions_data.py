"""Bugs that were found and mended: each of these failed first."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from rudp.core.config import Config
from rudp.core.events import Event
from rudp.core.state import State
from tests.wire.runs import peer_run, run, sack, windows
from tests.wire.scripted import Script


@pytest.fixture
def script() -> Iterator[Script]:
    script = Script()
    yield script
    script.expect_nothing()


def sent_ten(script: Script, *, sack: bool = True, ts: bool = False, total: int = 10_000) -> None:
    script.established(mss=1012 if ts else 1000, sack=sack, ts=ts)
    script.write(b"a" * total)
    script.expect(*run(1, 10_001, push=total == 10_000))


# -- 1: MUST ---------------------------------------------------------------------------------------


def test_a_rst_with_a_reason_counts_while_our_window_is_shut(script: Script) -> None:
    """test_windows. RFC 9293 MUST-66 and SHLD-2: our own abort("...") sends just this."""
    script.established(config=Config(receive_buffer=4096, receive_autotuning=False))
    script.inject("< . 1:4097(4096) ack 1")
    script.expect("> . 1:1(0) ack 4097 win 0")
    script.inject('< R. 4097:4101(4) ack 1 win 0 "full"')
    assert script.state is State.CLOSED
    assert script.connection.error is not None
    assert script.connection.error.errno == errno.ECONNRESET


def test_an_ack_from_behind_a_window_probe_counts_while_our_window_is_shut(script: Script) -> None:
    """test_windows. A peer that has probed our window has SND.NXT one octet beyond it, and every
    ACK of its comes from there."""
    script.established(mss=1000, config=Config(receive_buffer=4096, receive_autotuning=False))
    script.inject("< . 1:4097(4096) ack 1")
    script.expect("> . 1:1(0) ack 4097 win 0")
    script.inject("< . 4097:4098(1) ack 1")
    script.expect("> . 1:1(0) ack 4097 win 0")
    script.write(b"a" * 1000)
    script.expect("> P. 1:1001(1000) ack 4097 win 0")
    script.inject("< . 4098:4098(0) ack 1001")
    script.expect_nothing()
    assert script.connection.snd.flight_size == 0


# -- 2: duplicate ACKs for data that was acknowledged ----------------------------------------------


def test_without_sack_a_gap_filled_in_the_same_wake_up_leaves_no_duplicate_acks(
    script: Script,
) -> None:
    """test_acks. Four ACKs of 5001 go out, and three duplicates make a loss."""
    script.established(sack=False)
    script.inject(*peer_run(1001, 5001), *peer_run(1, 1001))
    script.expect("> . 1:1(0) ack 5001")


# -- 3, 4: limited transmit ------------------------------------------------------------------------


def test_what_limited_transmit_sent_does_not_count_for_ssthresh(script: Script) -> None:
    """test_recovery. RFC 5681 section 3.2, step 2: it MUST NOT be included in the calculation."""
    sent_ten(script, sack=False, total=20_000)
    for _ in range(3):
        script.inject("< . 1:1(0) ack 1")
    script.expect(*run(10_001, 12_001), "> . 1:1001(1000) ack 1")
    assert windows(script)[1] == 5000


def test_with_sack_too_each_duplicate_ack_lets_one_new_segment_out(script: Script) -> None:
    """test_recovery. RFC 3042: cwnd MUST NOT change; RFC 6675 section 5, step (3): by the pipe.

    In slow start SACKed bytes raise cwnd before anything is acknowledged, so two go out for each.
    """
    sent_ten(script, total=20_000)
    script.inject(sack(1, "1001:2001"))
    script.expect(*run(10_001, 11_001))
    assert windows(script)[0] == 10_000


# -- 5: fast retransmit of small segments ----------------------------------------------------------


def test_three_duplicate_acks_make_a_small_segment_a_loss(script: Script) -> None:
    """test_recovery. RFC 6675 section 5, steps (1) and (4): DupAcks >= DupThresh suffices."""
    script.established(mss=1000)
    for _ in range(5):
        script.write(b"0123456789")
    script.sent()
    script.inject(sack(1, "11:21"))
    script.inject(sack(1, "11:31"))
    script.expect_nothing()
    script.inject(sack(1, "11:41"))
    script.expect("> . 1:11(10) ack 1")


# -- 6, 7: what a recovery leaves ------------------------------------------------------------------


def test_a_timeout_takes_ssthresh_from_all_that_is_not_acknowledged(script: Script) -> None:
    """test_recovery. RFC 5681 equation (4): FlightSize, not the pipe, which SACKs have emptied."""
    sent_ten(script)
    script.inject(sack(1, "1001:10001"))
    script.expect("> . 1:1001(1000) ack 1")
    script.expect_at(0.2, "> . 1:1001(1000) ack 1")
    assert windows(script) == (1000, 5000)  # 2000 today


@pytest.mark.parametrize("with_sack", [True, False], ids=["sack", "no sack"])
def test_the_ack_that_ends_recovery_leaves_cwnd_at_ssthresh(
    script: Script, with_sack: bool
) -> None:
    """test_recovery. RFC 6582 section 3.2, step 3: set cwnd to ssthresh, or less."""
    sent_ten(script, sack=with_sack, total=30_000)
    for end in (2001, 3001, 4001):
        script.inject(sack(1, f"1001:{end}") if with_sack else "< . 1:1(0) ack 1")
    script.sent()
    ssthresh = windows(script)[1]
    everything = script.connection.tcp_info().unacked + 1
    script.inject(f"< . 1:1(0) ack {everything}")
    script.sent()
    assert windows(script) == (ssthresh, ssthresh)


# -- 8: Karn ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("ts", [False, True], ids=["plain", "timestamps"])
def test_an_ack_that_covers_a_retransmission_does_not_measure_what_was_held_behind_it(
    script: Script, ts: bool
) -> None:
    """test_retransmission_timer. RFC 6298 section 3 (Karn); RFC 7323 section 4: the echo has it.

    The peer's ACKs were lost for 12 seconds. Segments 2 to 4 were sent just once, so they are
    taken for a round trip of 12 seconds, and the RTO becomes 14.
    """
    script.established(mss=1012 if ts else 1000, ts=ts)
    script.write(b"a" * 4000)
    script.advance(12.7)  # the last retransmission is 0.1 seconds old
    script.sent()
    script.inject("< . 1:1(0) ack 4001")
    assert script.connection.tcp_info().rtt < 0.1


# -- 9, 10: windows ----------------------------------------------------------------------------


def test_a_send_buffer_below_a_segment_is_used_at_once(script: Script) -> None:
    """test_small_segments. Each buffer waits 200 ms: the override timer (loopback MSS: 65 kB)."""
    script.established(mss=9000, local_mss=9000, config=Config(send_buffer=2048))
    script.write(b"a" * 5000)
    script.expect("> . 1:2049(2048) ack 1")
    script.inject("< . 1:1(0) ack 2049")
    script.expect("> . 2049:4097(2048) ack 1")


def test_of_a_super_segment_too_only_what_a_shrunken_window_covers_is_sent_again(
    script: Script,
) -> None:
    """test_windows. SHLD-16 as the code means it: the first range is let go whole."""
    script.established(mss=1000, sack=False, win=4000)
    script.write(b"a" * 4000)
    script.expect(*run(1, 4001, push=True))
    script.inject("< . 1:1(0) ack 1 win 2000")
    script.expect_after(0.2, "> . 1:1001(1000) ack 1")
    script.inject("< . 1:1(0) ack 1001 win 1000")
    script.expect("> . 1001:2001(1000) ack 1")


# -- 11, 12: DSACK ---------------------------------------------------------------------------------


def test_a_duplicate_of_an_older_range_is_followed_by_that_range(script: Script) -> None:
    """test_sack. RFC 2883 section 4, rule (4): else the peer cannot tell that it is a DSACK."""
    script.established(ts=True)
    for at in (1001, 3001, 5001, 7001):
        script.inject(f"< . {at}:{at + 1000}(1000) ack 1")
    script.sent()
    script.inject("< . 1001:1501(500) ack 1")
    script.expect(
        "> . 1:1(0) ack 1 <nop,nop,TS val ... ecr ...,nop,nop,sack 1001:1501 1001:2001 7001:8001>"
    )


def test_the_part_of_a_segment_out_of_order_that_came_twice_is_reported(script: Script) -> None:
    """test_sack. RFC 2883 section 4.2.3."""
    script.established()
    script.inject("< . 1001:2001(1000) ack 1")
    script.expect("> . 1:1(0) ack 1 <nop,nop,sack 1001:2001>")
    script.inject("< . 1501:2501(1000) ack 1")
    script.expect("> . 1:1(0) ack 1 <nop,nop,sack 1501:2001 1001:2501>")


def test_what_a_segment_in_order_brings_twice_is_reported(script: Script) -> None:
    """test_sack. RFC 2883 section 4.2.2."""
    script.established()
    script.inject("< . 501:1001(500) ack 1")
    script.expect("> . 1:1(0) ack 1 <nop,nop,sack 501:1001>")
    script.inject("< . 1:1001(1000) ack 1")
    script.expect("> . 1:1(0) ack 1001 <nop,nop,sack 501:1001>")


# -- 13: the first copy of a byte ------------------------------------------------------------------


def test_a_segment_in_order_does_not_change_what_is_held(script: Script) -> None:
    """test_data. As `reassembly` says: the first copy of a byte wins. Here the second one does."""
    script.established(sack=False)
    script.inject('< P. 6:11(5) ack 1 "world"')
    script.inject('< P. 1:11(10) ack 1 "helloWRONG"')
    script.sent()
    assert script.read() == b"helloworld"


# -- 14, 15: small things --------------------------------------------------------------------------


def test_duplicate_acks_count_for_no_more_segments_than_are_out(script: Script) -> None:
    """test_congestion. RFC 5681 section 3.2, step 4: a MAY, and what `_room` seems to mean.

    One hundred duplicate ACKs for ten segments let 95 new ones out, at a cwnd of 6000 bytes.
    """
    sent_ten(script, sack=False, total=60_000)
    for _ in range(60):
        script.inject("< . 1:1(0) ack 1")
    assert sum(line.length for line in script.sent()) <= 11_000


def test_an_r1_of_0_tells_of_the_first_timeout(script: Script) -> None:
    """test_timeouts. Config allows r1=0, and TROUBLE then never comes."""
    script.established(sack=False, config=Config(r1=0))
    script.write(b"a")
    script.advance(0.2)
    script.sent()
    assert script.events() == [Event.TROUBLE]
