"""Losses that time tells: RACK (RFC 8985 section 6), and recoveries that are undone.

The handshake takes 40 ms, so the reordering window is 10 ms, and the RTO 200 ms.
"""

from __future__ import annotations

import pytest

from rudp.core.config import Config
from tests.wire.runs import run, sack, windows
from tests.wire.scripted import Script

RTT = 0.04


def opened(script: Script, *, ts: bool = False, total: int = 10_000, **config: object) -> None:
    """The handshake took 40 ms, and the initial window of ten segments of 1000 has gone out."""
    script.active(Config(**config))  # type: ignore[arg-type]
    script.expect("> S 0:0(0)")
    script.advance(RTT)
    stamps = f",TS val 5000 ecr {script._latest_ts}" if ts else ""
    script.inject(f"< S. 0:0(0) ack 1 win 65535 <mss {1012 if ts else 1000},sackOK{stamps}>")
    script.expect("> . 1:1(0) ack 1")
    script.write(b"a" * total)
    script.expect(*run(1, 10_001, push=total == 10_000))
    script.advance(RTT)


def test_a_hole_is_a_loss_when_it_is_a_quarter_of_a_round_trip_old(script: Script) -> None:
    opened(script)
    script.inject(sack(1, "1001:2001"))
    script.expect_after(0.01, "> . 1:1001(1000) ack 1")
    assert windows(script)[1] == 5000
    script.inject("< . 1:1(0) ack 10001")
    script.advance(10)


def test_a_segment_that_is_a_little_late_is_no_loss(script: Script) -> None:
    opened(script)
    script.inject(sack(1, "1001:2001"))
    script.advance(0.009)
    script.inject("< . 1:1(0) ack 10001")
    script.advance(10)
    info = script.connection.tcp_info()
    assert (info.total_retrans, info.reord_seen, info.snd_ssthresh) == (0, 1, 1 << 62)


def test_where_reordering_was_seen_three_segments_above_a_hole_are_no_loss_yet(
    script: Script,
) -> None:
    opened(script)
    script.inject(sack(1, "1001:2001"))
    script.inject("< . 1:1(0) ack 5001")
    script.inject(sack(5001, "6001:9001"))
    script.expect_after(0.01, "> . 5001:6001(1000) ack 1")
    script.inject("< . 1:1(0) ack 10001")


def test_a_retransmission_that_is_lost_is_sent_again_when_later_data_arrives(
    script: Script,
) -> None:
    opened(script, total=30_000)
    script.inject(sack(1, "1001:10001"))
    script.expect("> . 1:1001(1000) ack 1")
    script.advance(RTT / 2)
    script.expect(*run(10_001, 14_001))  # paced
    script.advance(RTT / 2)
    script.inject(sack(1, "1001:11001"))
    script.expect("> . 1:1001(1000) ack 1")  # at once, and the window is reduced once more
    assert windows(script)[1] == 2500
    script.inject("< . 1:1(0) ack 14001")
    script.advance(RTT / 4)
    script.expect(*run(14_001, 16_001))
    assert script.connection.tcp_info().total_rto == 0


def test_small_writes_that_were_lost_are_sent_again_together(script: Script) -> None:
    script.established(mss=1000, sack=False)
    for _ in range(25):
        script.write(b"b" * 100)
    script.sent()
    script.expect_at(0.2, "> . 1:1001(1000) ack 1")
    script.inject("< . 1:1(0) ack 1001")
    script.expect("> . 1001:2001(1000) ack 1", "> P. 2001:2501(500) ack 1")


# -- mistakes --------------------------------------------------------------------------------------


def recovering(script: Script, *, ts: bool = False) -> int:
    """The first segment was late, and sent again; returns the timestamp before that."""
    opened(script, ts=ts)
    before = script._latest_ts
    blocks = "1001:10001"
    if ts:
        stamps = f"TS val 5100 ecr {before}"
        script.inject(f"< . 1:1(0) ack 1 <nop,nop,{stamps},nop,nop,sack {blocks}>")
    else:
        script.inject(sack(1, blocks))
    script.expect("> . 1:1001(1000) ack 1")
    assert windows(script)[1] == 5000
    script.advance(0.002)
    return before


def test_an_echo_of_the_original_has_the_window_back(script: Script) -> None:
    """RFC 3522, RFC 4015."""
    before = recovering(script, ts=True)
    script.inject(f"< . 1:1(0) ack 10001 <nop,nop,TS val 5102 ecr {before}>")
    assert windows(script) == (10_000, 1 << 62)
    script.advance(10)


def test_an_echo_of_the_retransmission_has_not(script: Script) -> None:
    recovering(script, ts=True)
    script.inject(f"< . 1:1(0) ack 10001 <nop,nop,TS val 5102 ecr {script._latest_ts}>")
    assert windows(script) == (5000, 5000)


def test_a_dsack_of_the_retransmission_has_the_window_back(script: Script) -> None:
    """RFC 3708."""
    recovering(script)
    script.inject("< . 1:1(0) ack 10001")
    assert windows(script) == (5000, 5000)
    script.inject(sack(10_001, "1:1001"))
    assert windows(script) == (10_000, 1 << 62)
    assert script.connection.tcp_info().dsack_dups == 1


@pytest.mark.parametrize("with_sack", [True, False], ids=["sack", "no sack"])
def test_after_a_timeout_new_data_tells_whether_it_was_needed(
    script: Script, with_sack: bool
) -> None:
    """F-RTO, RFC 5682: the ACKs of the originals were late."""
    script.established(mss=1000, sack=with_sack)
    script.write(b"a" * 20_000)
    script.expect(*run(1, 10_001))
    if with_sack:
        script.expect_at(0.01, "> . 10001:11001(1000) ack 1")
    script.expect_after(0.2, "> . 1:1001(1000) ack 1")
    sent = 11_001 if with_sack else 10_001
    script.inject("< . 1:1(0) ack 1001")
    script.expect(*run(sent, sent + 2000))
    script.inject("< . 1:1(0) ack 2001")
    assert windows(script) == (11_000, 1 << 62)
    script.inject(f"< . 1:1(0) ack {sent + 2000}")
    script.sent()
    assert script.connection.tcp_info().total_retrans == 1


def test_a_real_timeout_is_found_out_by_the_same_question(script: Script) -> None:
    script.established(mss=1000)
    script.write(b"a" * 20_000)
    script.expect(*run(1, 10_001))
    script.expect_at(0.01, "> . 10001:11001(1000) ack 1")
    script.expect_after(0.2, "> . 1:1001(1000) ack 1")
    script.inject("< . 1:1(0) ack 1001")
    script.expect(*run(11_001, 13_001))
    script.inject(sack(1001, "11001:12001"))
    script.expect("> . 1001:2001(1000) ack 1")
    assert windows(script)[0] == 2000
    script.inject("< . 1:1(0) ack 13001")
    script.sent()


# -- ECN (RFC 3168 section 6.1.2) ------------------------------------------------------------------


def test_an_ecn_echo_is_answered_with_cwr_and_half_the_window(script: Script) -> None:
    opened(script, total=30_000)
    script.connection.snd.loss.ecn = True
    script.inject("< E. 1:1(0) ack 10001")
    assert windows(script)[1] == 5000
    assert str(script.sent()[0]).startswith("> .W 10001:11001(1000) ack 1")
    script.inject("< . 1:1(0) ack 30001")
    script.sent()
