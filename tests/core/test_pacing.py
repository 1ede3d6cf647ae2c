"""Pacing: a token bucket, and when the sender asks it. Rates here are 1 MB/s or 2."""

from __future__ import annotations

import math

import pytest

from rudp.core.pacing import CATCH_UP, MOST_OWED, QUANTUM, Pacer
from rudp.core.sender import Sender
from tests.core.sending import ack, established, flush, tick, write

RATE = 1e6
MSS = 1000
START = 100.0


def emptied() -> Pacer:
    """A bucket that has nothing in it at START."""
    pacer = Pacer()
    pacer.take(1 << 20, RATE, MSS, START - 10.0)
    pacer._credit, pacer._filled_at = 0.0, START
    return pacer


# Alone.


def test_a_full_bucket_lets_a_quantum_and_what_a_late_timer_missed_out() -> None:
    assert Pacer().allowance(100_000, RATE, MSS, START) == 5000
    assert Pacer().allowance(700, RATE, MSS, START) == 700


def test_an_empty_bucket_says_when_there_is_a_quantum() -> None:
    pacer = emptied()
    assert pacer.allowance(100_000, RATE, MSS, START) == 0
    assert pacer.deadline == pytest.approx(START + 2 * MSS / RATE)
    assert pacer.allowance(100_000, RATE, MSS, pacer.deadline) == 2000


def test_a_quantum_is_a_millisecond_of_a_high_rate() -> None:
    pacer = Pacer()
    pacer._credit, pacer._filled_at = 0.0, START
    assert pacer.allowance(1 << 20, 100e6, MSS, START) == 0
    assert pacer.deadline == pytest.approx(START + QUANTUM)


def test_what_the_bucket_just_holds_goes_out() -> None:
    pacer = emptied()
    pacer._credit = 499.0  # and one for the rounding
    assert pacer.allowance(500, RATE, MSS, START) == 500
    pacer._credit = 498.9
    assert pacer.allowance(500, RATE, MSS, START) == 0


def test_what_is_less_than_a_quantum_waits_for_its_own_bytes_only() -> None:
    pacer = emptied()
    assert pacer.allowance(500, RATE, MSS, START) == 0
    assert pacer.deadline == pytest.approx(START + 500 / RATE)


def test_a_late_timer_is_made_good_up_to_a_limit() -> None:
    pacer = emptied()
    assert pacer.allowance(100_000, RATE, MSS, START + 0.004) == 4000
    assert pacer.allowance(100_000, RATE, MSS, START + 5.0) == 5000
    assert (QUANTUM, CATCH_UP) == (0.001, 0.003)


def test_over_a_second_no_more_goes_out_than_the_rate_gives() -> None:
    pacer, now, sent = Pacer(), START, 0
    while now < START + 1.0:
        if size := pacer.allowance(64_000, RATE, MSS, now):
            pacer.take(size, RATE, MSS, now)
            sent += size
        else:
            now = pacer.deadline + 0.0007  # timers are late
    assert RATE * 0.99 <= sent <= RATE * 1.0 + 5000 + 64_000


def drained(pacer: Pacer, now: float) -> int:
    """Take all that may go out now, of as much as one could want; returns its bytes."""
    sent = 0
    while size := pacer.allowance(64_000, RATE, MSS, now):
        pacer.take(size, RATE, MSS, now)
        sent += size
    return sent


def test_what_a_very_late_timer_missed_is_made_good_at_twice_the_rate() -> None:
    pacer = emptied()
    assert drained(pacer, START) == 0
    late = START + 0.010  # of which 5 ms are in the bucket, and 5 are owed
    assert drained(pacer, late) == 5000
    sizes = [drained(pacer, late + n * 0.002) for n in range(1, 13)]
    assert sizes == [4000, 4000, 3000] + [2000] * 9
    assert 5000 + sum(sizes) == pytest.approx(0.034 * RATE, abs=MSS)


def test_a_sender_whose_timers_are_often_very_late_keeps_its_rate() -> None:
    # As on a machine that has an event loop wait for its turn.
    pacer, now, sent = Pacer(), START, 0
    for n in range(1000):
        sent += drained(pacer, now)
        now = pacer.deadline + (0.008 if n % 10 == 9 else 0.0005)
    assert sent == pytest.approx(RATE * (now - START), rel=0.02)


def test_what_is_made_good_has_a_limit() -> None:
    pacer = emptied()
    assert drained(pacer, START) == 0
    back = START + 10.0  # out of which the loop slept
    sent = sum(drained(pacer, back + n * 0.002) for n in range(100))
    assert sent == pytest.approx((0.198 + CATCH_UP + QUANTUM + MOST_OWED) * RATE, abs=2 * MSS)


def test_a_pause_in_which_there_was_nothing_to_send_is_not_made_good() -> None:
    pacer = emptied()
    assert pacer.allowance(1000, RATE, MSS, START + 0.002) == 1000
    pacer.take(1000, RATE, MSS, START + 0.002)
    assert drained(pacer, START + 0.030) == 5000
    assert drained(pacer, START + 0.032) == 2000


# In the sender.


def paced(rate: float = RATE) -> Sender:
    """An established sender with a large window, and congestion control that sets a rate."""
    snd = established()
    snd.cc.cwnd = 100_000
    snd.cc.pacing_rate = rate
    write(snd, 200_000)
    return snd


def test_new_data_goes_out_in_bursts_and_the_deadline_says_when() -> None:
    snd = paced()
    assert flush(snd, 0.0) == [(0, 5000)]
    moments, sizes = [], []
    for _ in range(4):
        now = tick(snd)
        moments.append(now)
        sizes.append(sum(end - start for start, end in flush(snd, now)))
    assert sizes == [2000] * 4
    assert moments == pytest.approx([0.002, 0.004, 0.006, 0.008], abs=1e-4)


def test_a_window_that_fits_into_a_burst_is_not_paced() -> None:
    # Such as on the loopback: the round trip is shorter than a timer's tick.
    snd = paced(rate=100_000 / QUANTUM)
    assert flush(snd, 0.0)[-1][1] == 100_000
    assert snd.next_deadline() >= 0.1


def test_without_a_rate_there_is_no_pacing() -> None:
    snd = paced(rate=math.inf)
    assert flush(snd, 0.0)[-1][1] == 100_000


def test_what_waits_for_its_turn_is_limited_neither_by_the_application_nor_by_cwnd() -> None:
    snd = paced()
    flush(snd, 0.0)
    ack(snd, 1000, 0.1)
    assert not snd.sample.cwnd_limited
    assert not snd.sample.app_limited
    assert snd.loss.rate.app_limited == 0


def test_that_cwnd_limits_us_is_not_forgotten_while_we_wait() -> None:
    snd = paced()
    snd.cc.cwnd = 5000
    flush(snd, 0.0)
    snd.cc.pacing_rate = RATE
    ack(snd, 1000, 0.1)
    assert snd.sample.cwnd_limited
    snd.cc.pacing_rate = RATE
    snd.cc.cwnd = 60_000
    flush(snd, 0.1)
    ack(snd, 2000, 0.1001)
    assert snd.sample.cwnd_limited


def test_a_round_trip_after_the_window_was_full_pacing_is_what_limits() -> None:
    snd = established(avoid=True)
    write(snd, 1_000_000)
    assert flush(snd, 0.0) == [(0, 10_000)]
    snd.cc.cwnd = 100_000
    snd.cc.pacing_rate = 1e4
    for acked in (4000, 10_000):  # what was in flight with the full window
        ack(snd, acked, 0.1)
        assert snd.sample.cwnd_limited
        snd.cc.cwnd = 100_000
        snd.cc.pacing_rate = 1e4
    assert flush(snd, 2.0) == [(10_000, 12_000)]
    ack(snd, 11_000, 2.1)
    assert not snd.sample.cwnd_limited
    assert not snd.sample.app_limited


def test_retransmissions_are_paced_but_for_the_first() -> None:
    snd = established(avoid=True)
    snd.cc.cwnd = snd.cc.ssthresh = 60_000
    write(snd, 40_000)
    flush(snd, 0.0)
    snd.cc.pacing_rate = RATE
    snd._pacer.take(100_000, RATE, MSS, 0.1)
    ack(snd, 0, 0.1, (20_000, 40_000))
    snd.cc.pacing_rate, snd.cc.cwnd = RATE, 60_000
    assert flush(snd, 0.1) == [(0, 20_000)]  # forced, as far as the window has room
    assert snd.loss.force is False


def test_a_small_message_with_nothing_in_flight_does_not_wait() -> None:
    snd = established()
    snd.cc.pacing_rate = 1000.0
    for now in (1.0, 1.1):
        write(snd, 500)
        assert len(flush(snd, now)) == 1
        ack(snd, snd.nxt - snd.iss - 1, now + 0.05)
        snd.cc.pacing_rate = 1000.0


def test_the_probe_goes_out_whatever_the_pacing_says() -> None:
    snd = established(avoid=True)
    write(snd, 3000)
    flush(snd, 0.0)
    snd.cc.pacing_rate = 1.0
    snd._pacer.take(100_000, 1.0, MSS, 0.1)
    assert flush(snd, tick(snd)) == [(2000, 3000)]


def test_clear_leaves_no_deadline() -> None:
    snd = paced()
    flush(snd, 0.0)
    assert snd.next_deadline() < 0.01
    snd.clear()
    assert snd.next_deadline() == math.inf


def test_a_debt_made_at_a_low_rate_is_paid_at_the_rate_of_today() -> None:
    pacer = Pacer()
    pacer.take(50_000, 10_000.0, MSS, START)  # five seconds' worth
    assert pacer.allowance(2000, 100 * RATE, MSS, START + 0.002) == 2000


def test_no_rate_is_so_low_that_less_than_a_segment_goes_out_in_a_round_trip() -> None:
    snd = established()
    snd.cc.pacing_rate = 1.0
    snd.cc.cwnd = 10_000
    write(snd, 20_000)
    moments = []
    now, sent = 0.0, flush(snd, 0.0)
    while sent[-1][1] < 10_000:
        now = tick(snd) if snd._pacer.deadline < math.inf else now + 0.1
        sent += flush(snd, now)
        moments.append(now)
        ack(snd, sent[-1][1], now)
        snd.rtt.srtt, snd.cc.pacing_rate, snd.cc.cwnd = 0.1, 1.0, 10_000
    assert now < 1.5
