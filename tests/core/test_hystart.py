"""HyStart++ (RFC 9406): leaving slow start because the delay grows, and not because of jitter."""

from __future__ import annotations

from rudp.core.congestion import INFINITE_SSTHRESH, Cubic
from tests.core.acks import heard

MSS = 1000


class Path:
    """A flow in its first slow start; each round is ten ACKs of a tenth of the window."""

    def __init__(self) -> None:
        self.cc = Cubic(MSS, 10)
        self.delivered = 0
        self.now = 0.0

    def round(self, *rtts: float, acks: int = 10) -> None:
        """A round trip; its samples are `rtts`, the last of them again and again."""
        prior, size = self.delivered, self.cc.cwnd // acks
        for n in range(acks):
            self.now += 0.01
            self.delivered += size
            rtt = rtts[min(n, len(rtts) - 1)]
            heard(
                self.cc,
                size,
                self.now,
                rtt=rtt,
                srtt=rtt,
                delivered=self.delivered,
                prior_delivered=prior,
            )

    @property
    def in_slow_start(self) -> bool:
        return self.cc.ssthresh == INFINITE_SSTHRESH


def test_as_long_as_the_delay_stays_slow_start_doubles() -> None:
    path = Path()
    for n in range(1, 6):
        path.round(0.1)
        assert path.cc.cwnd == 10 * MSS << n


def test_a_delay_an_eighth_longer_than_in_the_round_before_slows_growth_to_a_quarter() -> None:
    path = Path()
    path.round(0.1)
    path.round(0.113)  # 100 ms / 8 = 12.5 ms; the eighth sample tells, and counts a quarter
    # 7 of 10 ACKs count in full, 3 by a quarter: 20 + 14 + 6/4
    assert path.cc.cwnd == 35_500
    before = path.cc.cwnd
    path.round(0.113)
    assert path.cc.cwnd == before + 10 * (before // 10 // 4)


def test_exactly_an_eighth_counts() -> None:
    """RFC 9406 section 4.2: currentRoundMinRTT >= lastRoundMinRTT + RttThresh."""
    path = Path()
    path.round(1 / 16)
    path.round(1 / 16 + 1 / 128)
    assert path.cc.cwnd == 35_500


def test_acks_that_measure_nothing_are_no_samples() -> None:
    path = Path()
    path.round(0.1)
    path.round(-1.0, -1.0, -1.0, 0.113)  # seven samples
    assert path.cc.cwnd == 40 * MSS


def test_a_smaller_growth_of_the_delay_changes_nothing() -> None:
    path = Path()
    path.round(0.1)
    path.round(0.112)
    assert path.cc.cwnd == 40 * MSS


def test_four_milliseconds_are_the_least_growth_that_counts() -> None:
    path = Path()
    path.round(0.01)
    path.round(0.0139)
    assert path.cc.cwnd == 40 * MSS
    path.round(0.0180)
    assert path.cc.cwnd < 80 * MSS


def test_sixteen_milliseconds_always_count() -> None:
    path = Path()
    path.round(0.5)
    path.round(0.5161)
    assert path.cc.cwnd < 40 * MSS


def test_it_is_the_least_delay_of_a_round_that_counts() -> None:
    path = Path()
    path.round(0.1)
    path.round(0.3, 0.3, 0.3, 0.1, 0.3)
    assert path.cc.cwnd == 40 * MSS


def test_fewer_than_eight_samples_tell_nothing() -> None:
    path = Path()
    path.round(0.1)
    path.round(0.3, acks=5)
    assert path.cc.cwnd == 40 * MSS


def test_five_rounds_of_slow_growth_end_slow_start() -> None:
    path = Path()
    path.round(0.1)
    path.round(0.12)  # the rest of this round is the first of the five
    for _ in range(4):
        assert path.in_slow_start
        path.round(0.12)
    assert path.in_slow_start
    path.round(0.12, acks=1)
    assert not path.in_slow_start
    # Its first ACK ends the fifth round and slow start.
    assert path.cc.ssthresh == path.cc.cwnd


def test_if_the_delay_falls_back_slow_start_goes_on() -> None:
    path = Path()
    path.round(0.1)
    path.round(0.12)
    path.round(0.12)
    before = path.cc.cwnd
    path.round(0.1)  # the eighth sample tells that it was jitter
    size = before // 10
    assert path.cc.cwnd == before + 7 * (size // 4) + 3 * size
    before = path.cc.cwnd
    path.round(0.1)
    assert path.cc.cwnd == before + 10 * (before // 10)


def test_only_the_first_slow_start_is_watched() -> None:
    path = Path()
    path.cc.on_timeout(64 * MSS, True, 0.0)
    path.cc.on_recovered(0.0)
    path.cc.cwnd = 10 * MSS
    path.round(0.1)
    path.round(0.3)
    assert path.cc.cwnd == 40 * MSS
