"""What is lost is found and sent again, and the window shrinks once for it.

RFC 5681 section 3.2 and RFC 3042 (fast retransmit, limited transmit), RFC 6675 (with SACK), RFC
6582 (NewReno, without). When the timer expires is in `test_retransmission_timer`.

Segments carry 1000 bytes and the initial window is ten of them. The handshake took no time, so the
RTO is its least, 200 ms. With SACK the tail loss probe comes first, after 10 ms, and the RTO begins
anew with it.
"""

from __future__ import annotations

import pytest

from tests.wire.runs import run, sack, windows
from tests.wire.scripted import Script


def sent_ten(script: Script, *, sack: bool = True, ts: bool = False, total: int = 10_000) -> None:
    """`total` bytes were written, and the initial window of ten segments has gone out."""
    script.established(mss=1012 if ts else 1000, sack=sack, ts=ts)
    script.write(b"a" * total)
    script.expect(*run(1, 10_001, push=total == 10_000))


def timed_out(script: Script, *, sack: bool = True) -> None:
    """The tail loss probe, if there is SACK, and then the first segment after the RTO."""
    if sack:
        script.expect_at(0.01, "> P. 9001:10001(1000) ack 1")
    script.expect_after(0.2, "> . 1:1001(1000) ack 1")


def duplicates(script: Script, count: int, ack: int = 1) -> None:
    for _ in range(count):
        script.inject(f"< . 1:1(0) ack {ack}")


# -- fast retransmit with SACK ---------------------------------------------------------------------


def test_the_third_segment_that_the_peer_has_above_a_hole_makes_it_a_loss(script: Script) -> None:
    sent_ten(script)
    script.inject(sack(1, "1001:2001"))
    script.inject(sack(1, "1001:3001"))
    script.expect_nothing()
    script.inject(sack(1, "1001:4001"))
    script.expect("> . 1:1001(1000) ack 1")
    assert windows(script)[1] == 5000


def test_two_segments_that_overtook_are_no_loss(script: Script) -> None:
    sent_ten(script)
    script.inject(sack(1, "1001:2001"))
    script.inject(sack(1, "1001:3001"))
    script.inject("< . 1:1(0) ack 3001")
    script.expect_nothing()
    assert windows(script)[0] >= 10_000


def test_three_ranges_above_a_hole_make_it_a_loss_however_small(script: Script) -> None:
    """RFC 6675 section 4, IsLost(): DupThresh discontiguous ranges."""
    sent_ten(script)
    script.inject(sack(1, "2001:2011"))
    script.inject(sack(1, "4001:4011", "2001:2011"))
    script.expect_nothing()
    script.inject(sack(1, "6001:6011", "4001:4011", "2001:2011"))
    script.expect("> . 1:1001(1000) ack 1")


def test_one_ack_may_tell_it_all(script: Script) -> None:
    sent_ten(script)
    script.inject(sack(1, "1001:10001"))
    script.expect("> . 1:1001(1000) ack 1")
    script.inject("< . 1:1(0) ack 10001")
    assert windows(script) == (5000, 5000)


def test_holes_are_filled_as_they_are_found_and_the_pipe_has_room(script: Script) -> None:
    """RFC 9937: segments 1, 3 and 5 are lost; half of what arrives goes out again."""
    sent_ten(script)
    script.inject(sack(1, "1001:2001"))
    script.inject(sack(1, "3001:4001", "1001:2001"))
    script.inject(sack(1, "5001:6001", "3001:4001", "1001:2001"))
    script.expect("> . 1:1001(1000) ack 1")  # the first goes in any case
    script.inject(sack(1, "5001:7001", "3001:4001", "1001:2001"))
    script.expect("> . 2001:3001(1000) ack 1")
    script.inject(sack(1, "5001:8001", "3001:4001", "1001:2001"))
    script.expect("> . 4001:5001(1000) ack 1")
    assert windows(script)[1] == 5000
    script.inject("< . 1:1(0) ack 10001")
    script.advance(10)


def test_new_data_follows_the_holes_when_the_pipe_has_room(script: Script) -> None:
    sent_ten(script, total=30_000)
    script.inject(sack(1, "1001:6001"))
    script.expect("> . 1:1001(1000) ack 1")
    assert windows(script) == (5000, 5000)
    script.inject(sack(1, "1001:7001"))
    script.expect("> . 10001:11001(1000) ack 1")
    script.inject(sack(1, "1001:9001"))
    script.expect(*run(11_001, 13_001))


def sent_twenty(script: Script) -> None:
    """Ten segments have arrived, twenty more are in flight, and there is more to send."""
    script.established(mss=1000, wscale=7)
    script.write(b"a" * 100_000)
    script.expect(*run(1, 10_001))
    script.inject("< . 1:1(0) ack 10001")
    script.expect(*run(10_001, 30_001))


def test_half_of_what_arrives_goes_out_until_half_of_the_window_is_in_flight(
    script: Script,
) -> None:
    """PRR, RFC 9937 section 6: of 20 segments the first is lost, and the others arrive singly."""
    sent_twenty(script)
    nxt, sent = 30_001, []
    for arrived in range(12_001, 31_001, 1000):
        script.inject(sack(10_001, f"11001:{arrived}"))
        lines = [str(line) for line in script.sent()]
        sent.append(len(lines))
        for line in lines:
            new = f"> . {nxt}:{nxt + 1000}(1000) ack 1"
            assert line.startswith(new if arrived != 14_001 else "> . 10001:11001(1000) ack 1")
            nxt += 1000 * (arrived != 14_001)
    # Limited transmit twice, the lost segment, and then one for each two that arrive.
    assert sent == [1, 1, 1, 0] + [0, 1] * 6 + [0, 0, 1]
    script.inject("< . 1:1(0) ack 32001")
    assert windows(script) == (10_000, 10_000)
    script.expect(*run(nxt, nxt + 3000))


def test_with_less_in_flight_than_ssthresh_an_ack_that_advances_lets_out_one_more(
    script: Script,
) -> None:
    """PRR-CRB and PRR-SSRB: all but two of 20 segments are lost at once."""
    sent_twenty(script)
    script.inject(sack(10_001, "27001:30001"))
    script.expect(*run(10_001, 13_001))  # as much as has arrived
    script.inject("< . 1:1(0) ack 11001 <nop,nop,sack 27001:30001>")
    script.expect(*run(13_001, 15_001))
    script.inject("< . 1:1(0) ack 12001 <nop,nop,sack 27001:30001>")
    script.expect(*run(15_001, 17_001))
    script.inject(sack(12_001, "13001:14001", "27001:30001"))
    script.expect(*run(17_001, 18_001))
    assert windows(script)[1] == 10_000


def test_a_second_loss_in_the_same_window_does_not_halve_it_again(script: Script) -> None:
    sent_ten(script)
    script.inject(sack(1, "1001:4001"))
    script.expect("> . 1:1001(1000) ack 1")
    script.inject(sack(4001, "5001:8001"))
    script.expect("> . 4001:5001(1000) ack 1")
    assert windows(script) == (5000, 5000)
    script.inject("< . 1:1(0) ack 10001")
    script.expect_nothing()
    assert windows(script) == (5000, 5000)


def test_a_loss_after_the_recovery_point_halves_it_again(script: Script) -> None:
    sent_ten(script)
    script.inject(sack(1, "1001:4001"))
    script.expect("> . 1:1001(1000) ack 1")
    script.inject("< . 1:1(0) ack 10001")
    script.write(b"b" * 5000)
    script.expect(*run(10_001, 15_001, push=True))
    script.inject(sack(10_001, "11001:15001"))
    script.expect("> . 10001:11001(1000) ack 1")
    assert windows(script) == (2500, 2500)


def test_ssthresh_is_never_below_two_segments(script: Script) -> None:
    """RFC 5681 equation (4)."""
    script.established(mss=1000)
    script.write(b"a" * 3100)
    script.expect(*run(1, 3101, push=True))
    script.inject(sack(1, "1001:3101"))
    script.expect("> . 1:1001(1000) ack 1")
    assert windows(script) == (2000, 2000)


def test_the_fin_is_sent_again_with_the_data_before_it(script: Script) -> None:
    script.established(mss=1000, win=1000, sack=False)
    script.write(b"a" * 1500)
    script.write_eof()
    script.expect("> . 1:1001(1000) ack 1")
    script.inject("< . 1:1(0) ack 1001")
    script.expect("> FP. 1001:1501(500) ack 1")
    script.expect_after(0.2, "> FP. 1001:1501(500) ack 1")
    script.inject("< . 1:1(0) ack 1501")
    script.expect_after(0.4, "> F. 1501:1501(0) ack 1")
    script.inject("< . 1:1(0) ack 1502")
    script.advance(10)


# -- fast retransmit without SACK ------------------------------------------------------------------


def test_the_third_duplicate_ack_makes_the_first_segment_a_loss(script: Script) -> None:
    sent_ten(script, sack=False)
    duplicates(script, 2)
    script.expect_nothing()
    duplicates(script, 1)
    script.expect("> . 1:1001(1000) ack 1")
    assert windows(script)[1] == 5000
    script.inject("< . 1:1(0) ack 10001")
    assert windows(script) == (5000, 5000)


def test_the_first_two_duplicate_acks_let_a_new_segment_out_each(script: Script) -> None:
    """RFC 3042: limited transmit, and cwnd stays as it is."""
    sent_ten(script, sack=False, total=20_000)
    duplicates(script, 1)
    script.expect(*run(10_001, 11_001))
    duplicates(script, 1)
    script.expect(*run(11_001, 12_001))
    assert windows(script)[0] == 10_000
    duplicates(script, 1)
    script.expect("> . 1:1001(1000) ack 1")


def test_further_duplicate_acks_let_new_data_out_when_half_has_left(script: Script) -> None:
    """RFC 5681 section 3.2, steps 4 and 5: ten are out, so the sixth makes room for one more."""
    sent_ten(script, sack=False)
    duplicates(script, 3)
    script.expect("> . 1:1001(1000) ack 1")
    script.write(b"b" * 10_000)
    duplicates(script, 2)
    script.expect_nothing()
    for at in (10_001, 11_001, 12_001, 13_001):
        duplicates(script, 1)
        script.expect(*run(at, at + 1000))
    assert windows(script) == (5000, 5000)


def test_a_partial_ack_names_the_next_loss(script: Script) -> None:
    """RFC 6582 section 3.2, step 3: segments 1, 4 and 6 are lost."""
    sent_ten(script, sack=False)
    duplicates(script, 7)
    script.expect("> . 1:1001(1000) ack 1")
    script.inject("< . 1:1(0) ack 3001")
    script.expect("> . 3001:4001(1000) ack 1")
    script.inject("< . 1:1(0) ack 5001")
    script.expect("> . 5001:6001(1000) ack 1")
    assert windows(script)[1] == 5000
    script.inject("< . 1:1(0) ack 10001")
    script.expect_nothing()
    assert windows(script) == (5000, 5000)


def test_duplicate_acks_below_the_recovery_point_are_no_new_loss(script: Script) -> None:
    """RFC 6582 section 3.2, step 1."""
    sent_ten(script, sack=False)
    duplicates(script, 3)
    script.expect("> . 1:1001(1000) ack 1")
    script.inject("< . 1:1(0) ack 3001")
    script.expect("> . 3001:4001(1000) ack 1")
    duplicates(script, 6, ack=3001)
    script.expect_nothing()
    assert windows(script) == (5000, 5000)


def test_duplicate_acks_above_it_are(script: Script) -> None:
    sent_ten(script, sack=False)
    duplicates(script, 3)
    script.expect("> . 1:1001(1000) ack 1")
    script.inject("< . 1:1(0) ack 10001")
    script.write(b"b" * 5000)
    script.expect(*run(10_001, 15_001, push=True))
    duplicates(script, 3, ack=10_001)
    script.expect_nothing()  # RFC 6582 section 3.2, step 2: they may answer what was sent twice
    script.inject("< . 1:1(0) ack 11001")
    duplicates(script, 3, ack=11_001)
    script.expect("> . 11001:12001(1000) ack 1")


@pytest.mark.parametrize(
    "line",
    ["< . 1:1(0) ack 1 win {win}", "< P. {seq}:{end}(10) ack 1"],
    ids=["window update", "data"],
)
def test_an_ack_that_brings_something_is_no_duplicate(script: Script, line: str) -> None:
    """RFC 5681 section 2."""
    sent_ten(script, sack=False)
    for n in range(5):
        script.inject(line.format(win=60_000 - n, seq=1 + 10 * n, end=11 + 10 * n))
    script.expect_nothing()
    script.advance(0.05)
    assert [line.length for line in script.sent()] in ([], [0])


def test_the_same_ack_is_no_duplicate_when_nothing_is_out(script: Script) -> None:
    script.established(mss=1000, sack=False)
    duplicates(script, 5)
    script.write(b"a" * 4000)
    script.expect(*run(1, 4001, push=True))
    duplicates(script, 2)
    script.expect_nothing()


def test_an_old_ack_is_no_duplicate(script: Script) -> None:
    sent_ten(script, sack=False)
    script.inject("< . 1:1(0) ack 2001")
    duplicates(script, 5, ack=1)
    duplicates(script, 5, ack=1001)
    script.expect_nothing()


# -- after a timeout -------------------------------------------------------------------------------


@pytest.mark.parametrize("sack", [True, False], ids=["sack", "no sack"])
def test_all_that_was_out_is_sent_again_in_slow_start(script: Script, sack: bool) -> None:
    sent_ten(script, sack=sack)
    timed_out(script, sack=sack)
    script.inject("< . 1:1(0) ack 1001")
    script.expect(*run(1001, 3001))
    script.inject("< . 1:1(0) ack 2001")
    script.expect(*run(3001, 5001))
    script.inject("< . 1:1(0) ack 3001")
    script.expect(*run(5001, 7001))
    assert windows(script) == (4000, 5000)
    script.inject("< . 1:1(0) ack 5001")
    script.expect(*run(7001, 10_001, push=True))
    script.inject("< . 1:1(0) ack 10001")
    script.advance(10)


@pytest.mark.parametrize("sack", [True, False], ids=["sack", "no sack"])
def test_an_ack_of_everything_after_a_timeout_sends_nothing_again(
    script: Script, sack: bool
) -> None:
    sent_ten(script, sack=sack)
    timed_out(script, sack=sack)
    script.inject("< . 1:1(0) ack 10001")
    script.expect_nothing()
    script.advance(10)


def test_duplicate_acks_after_a_timeout_are_no_new_loss(script: Script) -> None:
    """RFC 6582 section 4: they may answer what was sent twice."""
    sent_ten(script, sack=False)
    script.expect_at(0.2, "> . 1:1001(1000) ack 1")
    script.inject("< . 1:1(0) ack 1001")
    script.expect(*run(1001, 3001))
    duplicates(script, 4, ack=1001)
    script.expect_nothing()
    assert windows(script) == (2000, 5000)


def test_a_retransmission_that_is_lost_waits_for_the_timer(script: Script) -> None:
    sent_ten(script)
    script.inject(sack(1, "1001:4001"))
    script.expect("> . 1:1001(1000) ack 1")
    for end in range(5001, 11_001, 1000):
        script.inject(sack(1, f"1001:{end}"))
    script.expect_nothing()
    script.expect_at(0.2, "> . 1:1001(1000) ack 1")
    assert windows(script)[0] == 1000
    script.expect_at(0.6, "> . 1:1001(1000) ack 1")
    script.inject("< . 1:1(0) ack 10001")
    script.advance(10)


def test_a_timeout_during_recovery_sends_only_what_the_peer_has_not(script: Script) -> None:
    sent_ten(script)
    script.inject(sack(1, "1001:4001"))
    script.expect("> . 1:1001(1000) ack 1")
    script.expect_at(0.2, "> . 1:1001(1000) ack 1")
    script.inject("< . 1:1(0) ack 4001")
    script.expect(*run(4001, 6001))


def test_a_timeout_during_recovery_without_sack_ends_it(script: Script) -> None:
    sent_ten(script, sack=False)
    duplicates(script, 3)
    script.expect("> . 1:1001(1000) ack 1")
    script.expect_at(0.2, "> . 1:1001(1000) ack 1")
    assert windows(script) == (1000, 5000)
    script.inject("< . 1:1(0) ack 1001")
    script.expect(*run(1001, 3001))
    duplicates(script, 3, ack=1001)
    script.expect_nothing()


def test_the_last_segment_alone_waits_for_the_timer(script: Script) -> None:
    sent_ten(script, sack=False)
    script.inject("< . 1:1(0) ack 9001")
    script.expect_at(0.2, "> P. 9001:10001(1000) ack 1")
    assert windows(script)[0] == 1000
    script.inject("< . 1:1(0) ack 10001")
    script.advance(10)


def test_after_a_timeout_recovery_ends_at_the_recovery_point(script: Script) -> None:
    """What is lost after that halves the window as any loss does."""
    sent_ten(script)
    timed_out(script)
    script.inject("< . 1:1(0) ack 10001")
    cwnd = windows(script)[0]
    script.write(b"b" * cwnd)
    script.expect(*run(10_001, 10_001 + cwnd, push=True))
    script.inject(sack(10_001, f"11001:{10_001 + cwnd}"))
    script.expect("> . 10001:11001(1000) ack 1")
    assert windows(script) == (max(cwnd // 2, 2000),) * 2


def test_data_written_after_a_timeout_waits_for_what_was_lost(script: Script) -> None:
    sent_ten(script)
    timed_out(script)
    script.expect_after(0.4, "> . 1:1001(1000) ack 1")  # the second time, F-RTO has no part in it
    script.write(b"b" * 1000)
    script.expect_nothing()
    script.inject("< . 1:1(0) ack 9001")
    script.expect(*run(9001, 11_001, push=True))


def test_a_timeout_for_want_of_acks_alone_is_not_spurious(script: Script) -> None:
    # All of it had arrived, and all ACKs were lost: RFC 3522 section 3.3. The reduction stays.
    script.established(ts=True)
    script.write(bytes(10 * 1448))
    script.advance(0.5)
    script.sent()
    script.inject("< . 1:1(0) ack 10137 <nop,nop,TS val 900 ecr 0,nop,nop,sack 1:1449>")
    script.sent()
    info = script.connection.tcp_info()
    assert info.snd_ssthresh == 5 * 1448
    assert info.snd_cwnd <= 2 * 1448
