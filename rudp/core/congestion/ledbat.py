"""LEDBAT++: use what others leave over. RFC 6817, and draft-irtf-iccrg-ledbat-plus-plus-01.

For transfers in the background. The queueing delay, the difference between the present round-trip
time and the least in ten minutes, is kept at TARGET: below it the window grows more slowly than
Reno's, above it shrinks in proportion. As soon as somebody else fills the queue, we give way.

What LEDBAT++ adds to LEDBAT: the round-trip time instead of one-way delays, which needs nothing of
the peer; a GAIN that makes it slower than Reno (section 4.2); multiplicative decrease (4.3); slow
start that watches the delay (4.1); a TARGET of 60 ms (4.5); and *slowdowns* (4.4), in which the
window is all but closed for two round trips now and then, so that the base delay can be seen, by us
and by other LEDBAT flows. A slowdown that takes D, until the window is back, is followed by 9 D
without: it costs a tenth at most.
"""

from __future__ import annotations

import math
from typing import Final

from rudp.core.congestion.base import INFINITE_SSTHRESH, AckSample
from rudp.core.congestion.window import OPEN, WindowBased
from rudp.core.subclassing import mypyc_attr

TARGET: Final = 0.060
"""Queueing delay that is aimed at, in seconds."""
MAX_GAIN_DIVISOR: Final = 16
EXIT_SHARE: Final = 0.75
"""The part of TARGET at which the first slow start ends."""
MIN_SEGMENTS: Final = 2
"""The least window, and the initial one."""
CURRENT_FILTER: Final = 4  # RFC 6817 section 2.4.2: samples that the present delay is the least of
BASE_HISTORY: Final = 10  # RFC 6817 section 2.4.2: minutes that the base delay is the least of
MINUTE: Final = 60.0
SLOWDOWN_ROUNDS: Final = 2
SLOWDOWN_PAUSE: Final = 9

STARTING: Final = 0  # the first slow start
STEADY: Final = 1
FROZEN: Final = 2  # in a slowdown, at the least window
RAMPING: Final = 3  # in a slowdown, on the way back


@mypyc_attr(allow_interpreted_subclasses=True)
class Ledbat(WindowBased):
    """LEDBAT++: a scavenger that stays out of everybody's way."""

    __slots__ = (
        "_began", "_credit", "_gain", "_minute_ends", "_minutes", "_mode", "_recent",
        "_slowdown_at", "_thaw", "_turn", "base_delay",
    )

    def __init__(self, mss: int, initial_window: int) -> None:
        super().__init__(mss, min(initial_window, MIN_SEGMENTS))
        self._mode = STARTING
        self._recent = [math.inf] * CURRENT_FILTER  # the last samples, in turns
        self._turn = 0
        self._minutes = [math.inf]  # the least of each minute, the present one last
        self._minute_ends = -math.inf
        self.base_delay = math.inf
        self._gain = 1.0
        self._credit = 0.0  # fractions of a byte that cwnd is still due
        self._slowdown_at = math.inf  # when the next one begins
        self._began = 0.0  # when the present one did
        self._thaw = math.inf  # when it stops to be frozen

    # -- delays ----------------------------------------------------------------------------------

    @property
    def queueing_delay(self) -> float:
        """In seconds; 0.0 before the first sample."""
        current = min(self._recent)
        return max(current - self.base_delay, 0.0) if current < math.inf else 0.0

    def _measure(self, rtt: float, now: float) -> None:
        self._recent[self._turn] = rtt
        self._turn = (self._turn + 1) % CURRENT_FILTER
        if now >= self._minute_ends:
            if self._minute_ends > -math.inf:
                self._minutes.append(math.inf)
                del self._minutes[:-BASE_HISTORY]
            self._minute_ends = now + MINUTE
        elif rtt >= self._minutes[-1]:
            return
        self._minutes[-1] = min(self._minutes[-1], rtt)
        self.base_delay = max(min(self._minutes), 1e-6)
        # Section 4.2, "Slower than Reno increase": GAIN = 1 / min(16, CEIL(2 * TARGET / base)).
        self._gain = 1 / min(MAX_GAIN_DIVISOR, math.ceil(2 * TARGET / self.base_delay))

    # -- growth ----------------------------------------------------------------------------------

    def on_ack(self, sample: AckSample) -> None:
        now = sample.now
        if sample.rtt >= 0.0:
            self._measure(sample.rtt, now)
        if now >= self._slowdown_at and self._phase == OPEN and self._mode == STEADY:
            self._slow_down(now, sample.srtt)
        elif self._mode == FROZEN and now >= self._thaw:
            self._mode = RAMPING
        super().on_ack(sample)

    def grow(self, acked: int, sample: AckSample) -> None:
        if self._mode == FROZEN:
            return
        if self.cwnd < self.ssthresh:
            self._ramp(acked, sample)
        elif self._phase == OPEN:
            self._avoid(acked)

    def _ramp(self, acked: int, sample: AckSample) -> None:
        """Modified slow start: GAIN of what arrived, up to ssthresh."""
        if self._mode == STARTING and self.queueing_delay > EXIT_SHARE * TARGET:
            # Section 4.1: only in the first one. Later ones end where the window was before.
            self.ssthresh = self.cwnd
            self._leave_start(sample.now, sample.srtt)
            return
        self._add(acked * self._gain)
        if self.cwnd >= self.ssthresh:
            self.cwnd = max(self.ssthresh, MIN_SEGMENTS * self.mss)
            if self._mode == RAMPING:
                self._end_slowdown(sample.now)

    def _avoid(self, acked: int) -> None:
        share = acked / self.cwnd  # of a round trip
        delay = self.queueing_delay
        if delay <= TARGET:
            self._add(self._gain * self.mss * share)
            return
        # Section 4.3, "Multiplicative decrease":
        # W += max(GAIN - Constant * W * (delay/target - 1), -W/2)
        # in each round trip, with a Constant of 1.
        change = self._gain * self.mss - self.cwnd * (delay / TARGET - 1)
        self._add(max(change, -self.cwnd / 2) * min(share, 1.0))
        self.cwnd = max(self.cwnd, MIN_SEGMENTS * self.mss)
        self.ssthresh = min(self.ssthresh, self.cwnd)  # no slow start back up

    def _add(self, volume: float) -> None:
        self._credit += volume
        whole = int(self._credit)
        self._credit -= whole
        self.cwnd += whole

    # -- slowdowns -------------------------------------------------------------------------------

    def _leave_start(self, now: float, srtt: float) -> None:
        # Section 4.4, "Initial slowdown": two round trips after the first slow start.
        self._mode = STEADY
        self._slowdown_at = now + SLOWDOWN_ROUNDS * srtt

    def _slow_down(self, now: float, srtt: float) -> None:
        self._mode = FROZEN
        self._began = now
        self._thaw = now + SLOWDOWN_ROUNDS * srtt
        self._slowdown_at = math.inf
        self.ssthresh = max(self.cwnd, MIN_SEGMENTS * self.mss)
        self.cwnd = MIN_SEGMENTS * self.mss

    def _end_slowdown(self, now: float) -> None:
        # Section 4.4, "Periodic slowdown": nine times as long without.
        self._mode = STEADY
        self._slowdown_at = now + SLOWDOWN_PAUSE * (now - self._began)

    # -- losses ----------------------------------------------------------------------------------

    def reduced(self, in_flight: int) -> int:
        # RFC 6817 section 2.4.2: at most once a round trip, cwnd is halved.
        return max(in_flight // 2, MIN_SEGMENTS * self.mss)

    def on_loss(self, in_flight: int, now: float) -> None:
        super().on_loss(in_flight, now)
        self._interrupt(now)

    def on_timeout(self, in_flight: int, first: bool, now: float) -> None:
        super().on_timeout(in_flight, first, now)
        self._interrupt(now)

    def _interrupt(self, now: float) -> None:
        """A loss ends slow start, and a slowdown."""
        if self._mode == STARTING:
            latest = min(self._recent)
            self._leave_start(now, latest if latest < math.inf else 1.0)
        elif self._mode != STEADY:
            self._end_slowdown(now)

    def on_undo(self, now: float) -> None:
        super().on_undo(now)
        if self.ssthresh == INFINITE_SSTHRESH:
            self._mode = STARTING
            self._slowdown_at = math.inf
