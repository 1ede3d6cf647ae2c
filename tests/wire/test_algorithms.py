"""What each congestion control lets out: how many segments in a round trip, and at which moments.

CUBIC (RFC 9438), HyStart++ (RFC 9406), pacing, BBR (draft-ietf-ccwg-bbr) and LEDBAT++
(draft-irtf-iccrg-ledbat-plus-plus). Reno is in `test_congestion` and `test_recovery`.

Segments carry 1000 bytes, the initial window is ten of them, and there is always more to send.
"""

from __future__ import annotations

from itertools import pairwise

import pytest

from rudp.core.config import Config
from rudp.core.congestion import Bbr, CongestionControl
from tests.wire.echo import Echo
from tests.wire.runs import run, sack
from tests.wire.scripted import Script

RTT = 0.04


def opened(script: Script, congestion: str | type[CongestionControl], rtt: float = RTT) -> None:
    """The handshake took `rtt`, and 5 MB are written."""
    script.active(Config(congestion=congestion), ecn=True)
    script.expect("> SEW 0:0(0)")
    script.advance(rtt)
    script.inject("< S.E 0:0(0) ack 1 win 65535 <mss 1000,sackOK,nop,wscale 8>")
    script.expect("> . 1:1(0) ack 1")
    script.write(bytes(5_000_000))


# -- CUBIC -----------------------------------------------------------------------------------------


def test_a_loss_leaves_cubic_seven_tenths_and_reno_a_half(script: Script) -> None:
    script.established(mss=1000, config=Config(congestion="cubic"))
    script.write(bytes(10_000))
    script.expect(*run(1, 10_001, push=True))
    script.inject(sack(1, "1001:10001"))
    script.expect("> . 1:1001(1000) ack 1")
    script.inject("< . 1:1(0) ack 10001")
    script.write(bytes(100_000))
    script.expect(*run(10_001, 17_001))  # with Reno it is five


def test_cubic_returns_to_the_old_window_waits_there_and_then_goes_beyond(script: Script) -> None:
    """From 21 segments down to 14.7: W_max = 21 and K = 2.507 s (RFC 9438 figures 1 and 2), and
    then W(t) = 0.4 * (t - K)**3 + 21. On a path of 0.8 s Reno would be at 18 in the end."""
    opened(script, "cubic", rtt=0.8)
    echo = Echo(script, rtt=0.8)
    assert echo.flights(2) == [10, 20]
    echo.marked = True
    assert echo.flights(7) == [14, 17, 19, 20, 21, 22, 26]
    assert echo.flights(3) == [32, 43, 60]


# -- HyStart++ -------------------------------------------------------------------------------------


def test_a_delay_that_rises_by_an_eighth_slows_slow_start_for_five_rounds_and_ends_it(
    script: Script,
) -> None:
    opened(script, "cubic")
    echo = Echo(script, rtt=RTT)
    assert echo.flights(2) == [10, 20]
    echo.rtt = RTT + 0.006
    # The first segments of the third flight were out already: its least round trip is as before.
    assert echo.flights(2) == [40, 80]
    # Seven ACKs as in slow start; the eighth tells, and the rest of them count for a quarter.
    assert echo.flights(1) == [7 * 2 + 73 + 73 // 4]
    assert echo.flights(4) == [131, 164, 205, 256]
    assert echo.flights(2) == [257, 258]  # congestion avoidance


def test_if_the_delay_falls_back_slow_start_goes_on(script: Script) -> None:
    opened(script, "cubic")
    echo = Echo(script, rtt=RTT)
    assert echo.flights(2) == [10, 20]
    echo.rtt = RTT + 0.006
    assert echo.flights(3) == [40, 80, 105]
    echo.rtt = RTT
    # Seven ACKs of the second flight count for a quarter more, the others for a segment each.
    assert echo.flights(2) == [131, 131 + 7 // 4 + 125]
    assert echo.flights(1) == [514]


def test_a_delay_that_rises_less_changes_nothing(script: Script) -> None:
    opened(script, "cubic")
    echo = Echo(script, rtt=RTT)
    assert echo.flights(2) == [10, 20]
    echo.rtt = RTT + 0.0048
    assert echo.flights(4) == [40, 80, 160, 320]


# -- pacing ----------------------------------------------------------------------------------------


def test_a_window_goes_out_two_segments_at_a_time_at_twice_the_window_in_a_round_trip(
    script: Script,
) -> None:
    """A window of 20 000 bytes in 40 ms: 1 MB/s in slow start, 2000 bytes in 2 ms."""
    opened(script, "reno")
    script.expect(*run(1, 10_001))
    script.advance(RTT)
    script.inject("< . 1:1(0) ack 10001")
    script.expect(*run(10_001, 15_001))  # two segments, and 3 ms to catch up
    for at in range(15_001, 29_001, 2000):
        script.expect_after(0.002, *run(at, at + 2000))
    script.expect_after(0.001, *run(29_001, 30_001))
    script.advance(0.01)


# -- BBR -------------------------------------------------------------------------------------------


def test_startup_is_paced_at_2_77_times_the_rate_of_the_first_flight(script: Script) -> None:
    """10 000 bytes in 40 ms are 250 kB/s; 2000 bytes at 2.77 times that take 2.888 ms."""
    opened(script, Bbr)
    script.expect(*run(1, 10_001))
    script.advance(RTT)
    script.inject("< . 1:1(0) ack 10001")
    script.expect(*run(10_001, 14_001))
    script.advance(0.002888 - 77 / 692_500)  # three milliseconds to catch up were 2077 bytes
    for at in range(14_001, 28_001, 2000):
        script.expect(*run(at, at + 2000))
        script.expect_after(0.00278, *())
        script.advance(0.000108)
    script.expect(*run(28_001, 30_001))


def test_startup_doubles_until_the_rate_stays_and_drain_halves_the_rate(script: Script) -> None:
    """A bottleneck of 250 kB/s, a segment every 4 ms; with it the path holds eleven segments."""
    opened(script, Bbr)
    echo = Echo(script, rtt=RTT, rate=250_000)
    assert echo.flights(3) == [10, 19, 27]
    first, last = echo.log[10][0], echo.log[28][0]
    assert last - first == pytest.approx(9 * 0.004, abs=0.0005)  # twice what is delivered
    assert echo.flights(2) == [27, 27]  # the rate has not grown for three rounds
    echo.flights(2)
    drain = sorted({moment for moment, _, _ in echo.log if 0.45 < moment < 0.5})
    gaps = [after - before for before, after in pairwise(drain)]
    # Two segments at half of 99 % of the rate.
    assert gaps == [pytest.approx(2000 / (0.5 * 0.99 * 250_000), abs=1e-4)] * len(gaps)
    assert len(gaps) >= 2
    assert echo.flights(3)[-1] == 12


def test_after_five_seconds_with_a_queue_probe_rtt_has_half_a_bdp_in_flight_for_200_ms(
    script: Script,
) -> None:
    opened(script, Bbr)
    echo = Echo(script, rtt=RTT, rate=250_000)
    echo.run(4.9)
    spell = longest = 0.0
    while script.now < 6.5:
        echo.run(0.005)
        spell = spell + 0.005 if echo.in_flight <= 5000 else 0.0
        longest = max(longest, spell)
    assert 0.2 <= longest <= 0.3


# -- LEDBAT++ --------------------------------------------------------------------------------------


def test_ledbat_begins_with_two_segments_and_grows_by_a_third_of_slow_start(script: Script) -> None:
    """GAIN = 1 / ceil(2 * 60 ms / 40 ms) = 1/3."""
    opened(script, "ledbat++")
    assert Echo(script, rtt=RTT).flights(9) == [2, 2, 3, 4, 5, 7, 9, 12, 16]


def test_ledbat_leaves_slow_start_at_45_ms_of_delay_and_slows_down_two_round_trips_later(
    script: Script,
) -> None:
    opened(script, "ledbat++")
    echo = Echo(script, rtt=RTT)
    assert echo.flights(9)[-1] == 16
    echo.rtt = RTT + 0.046
    assert echo.flights(3) == [21, 19, 19]
    assert echo.flights(2) == [2, 2]  # for two round trips
    assert echo.flights(9) == [2, 3, 4, 5, 7, 9, 12, 16, 22]


def behind_a_queue(script: Script) -> Echo:
    """LEDBAT++ has opened its window in nine round trips; from now on there is a queue."""
    opened(script, "ledbat++")
    echo = Echo(script, rtt=RTT)
    echo.flights(9)
    echo.rtt = RTT + 0.046
    return echo


def test_ledbat_waits_nine_times_as_long_as_a_slowdown_took_before_the_next(
    script: Script,
) -> None:
    echo = behind_a_queue(script)
    moments: list[float] = []  # when the flight became small and when it was large again
    while len(moments) < 3:
        echo.run(0.01)
        small = echo.in_flight <= 2000
        if (small and len(moments) % 2 == 0) or (echo.in_flight >= 23_000 and len(moments) == 1):
            moments.append(script.now)
    began, ended, again = moments
    # The flight becomes small a round trip after the window does.
    slowdown = ended - (began - echo.rtt)
    assert (again - echo.rtt - ended) / slowdown == pytest.approx(9, rel=0.05)


def test_ledbat_halves_the_flight_in_each_round_trip_with_twice_the_delay_aimed_at(
    script: Script,
) -> None:
    echo = behind_a_queue(script)
    assert echo.flights(16)[-1] == 24  # the first slowdown is over
    echo.rtt = RTT + 0.12
    # The present delay is the least of four samples, so that the first flight ends a little above.
    assert echo.flights(6) == [24, 14, 7, 4, 2, 2]
