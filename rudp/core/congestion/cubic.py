"""CUBIC: the window as a cubic function of the time since the last loss. RFC 9438.

    cwnd                                              .
     |                                              .      convex: looking for more
     |  W_max  - - - - - - - - . . . . . . . . . .
     |                . .                                  concave: back to where it was
     |         .
     |    .
     +---------------------------------|---------------->  t
          0                            K

The window depends on time, not on the round-trip time, so long paths get their share. Where it
would grow more slowly than Reno's, it grows like Reno's (section 4.3). Windows are bytes here: C
and the K made of it are scaled by the segment size. Slow start is HyStart++ (`hystart`).
"""

from __future__ import annotations

from typing import Final

from rudp.core.congestion.base import INFINITE_SSTHRESH, AckSample
from rudp.core.congestion.hystart import HyStart
from rudp.core.congestion.window import OPEN, WindowBased
from rudp.core.subclassing import mypyc_attr

C: Final = 0.4
"""Segments per second cubed (section 5.1)."""
BETA: Final = 0.7
"""What a loss leaves of the window (section 4.6)."""
ALPHA: Final = 3 * (1 - BETA) / (1 + BETA)
"""Growth in segments a round trip that gets with BETA what Reno gets with a half (section 4.3)."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Cubic(WindowBased):
    """RFC 9438, with HyStart++ (RFC 9406) and PRR (RFC 9937)."""

    __slots__ = ("_credit", "_cwnd_prior", "_epoch", "_hystart", "_k", "_undo", "_w_est", "_w_max")

    def __init__(self, mss: int, initial_window: int) -> None:
        super().__init__(mss, initial_window)
        self._hystart = HyStart()
        self._w_max = 0.0  # W_max, bytes
        self._k = 0.0  # K, seconds
        self._epoch = -1.0  # t_epoch; negative: congestion avoidance has not begun yet
        self._w_est = 0.0  # W_est, bytes
        self._cwnd_prior = 0  # cwnd at the last reduction
        self._credit = 0.0  # fractions of a byte that cwnd is still due
        self._undo = (0.0, 0.0, -1.0, 0.0, 0)

    # -- growth ----------------------------------------------------------------------------------

    def grow(self, acked: int, sample: AckSample) -> None:
        if self.cwnd < self.ssthresh:
            if self.ssthresh == INFINITE_SSTHRESH:
                self._start(acked, sample)
                return
            acked = self.slow_start(acked)
        if acked > 0 and self._phase == OPEN:
            self._avoid(acked, sample)

    def _start(self, acked: int, sample: AckSample) -> None:
        # Section 4.10: the initial slow start, and only that (RFC 9406 section 4.3).
        self.cwnd += self._hystart.on_ack(acked, sample)
        if self._hystart.done:
            self.ssthresh = self._cwnd_prior = self.cwnd

    def _avoid(self, acked: int, sample: AckSample) -> None:
        cwnd = self.cwnd
        if self._epoch < 0.0:
            self._begin_epoch(sample.now)
        scale = C * self.mss
        since = sample.now - self._epoch - self._k
        w_cubic = scale * since * since * since + self._w_max  # Figure 1
        # Figure 4: W_est = W_est + alpha_cubic * segments_acked / cwnd, all in segments.
        alpha = ALPHA if self._w_est < self._cwnd_prior else 1.0
        self._w_est += alpha * acked * self.mss / cwnd
        if w_cubic < self._w_est:
            # Section 4.3: the Reno-friendly region.
            if self._w_est > cwnd:
                self.cwnd = int(self._w_est)
            return
        # Sections 4.4 and 4.5: towards where the curve will be a round trip from now, but by no
        # more than half the window; below the curve's start (after a shift) the window stays.
        since += sample.srtt
        target = min(scale * since * since * since + self._w_max, 1.5 * cwnd)
        if target > cwnd:
            self._credit += (target - cwnd) * acked / cwnd
            whole = int(self._credit)
            self._credit -= whole
            self.cwnd = cwnd + whole

    def _begin_epoch(self, now: float) -> None:
        """Congestion avoidance begins."""
        self._epoch = now
        self._credit = 0.0
        self._w_est = float(self.cwnd)
        if self._w_max > self.cwnd:
            self._k = ((self._w_max - self.cwnd) / (C * self.mss)) ** (1 / 3)  # Figure 2
        else:
            # Sections 4.8 and 4.10: after a timeout, or after slow start that ended without loss.
            self._k = 0.0
            self._w_max = float(self.cwnd)

    def resumed(self, pause: float) -> None:
        # Section 5.8: time in which the window was not used is no time to grow by.
        if self._epoch >= 0.0:
            self._epoch += pause

    # -- losses ----------------------------------------------------------------------------------

    def reduced(self, in_flight: int) -> int:
        # Section 4.7: a flow that did not get back to its last W_max gives room to new ones.
        cwnd = self.cwnd
        self._w_max = cwnd * (1 + BETA) / 2 if cwnd < self._w_max else float(cwnd)
        self._cwnd_prior = cwnd
        self._epoch = -1.0
        # Section 4.6: ssthresh = flight_size * beta_cubic, two segments at least.
        return max(int(in_flight * BETA), 2 * self.mss)

    def on_timeout(self, in_flight: int, first: bool, now: float) -> None:
        super().on_timeout(in_flight, first, now)
        # Section 4.8: the next curve begins at the window that slow start then ends with.
        self._w_max = 0.0
        self._epoch = -1.0

    def restarted(self) -> None:
        # Slow start again, and then a curve of its own, as after a timeout.
        self._w_max = 0.0
        self._epoch = -1.0

    # Section 4.9: a reduction that was for nothing is rolled back, the curve with it.

    def _remember(self) -> None:
        if self._phase == OPEN:
            self._undo = (self._w_max, self._k, self._epoch, self._w_est, self._cwnd_prior)
        super()._remember()

    def on_undo(self, now: float) -> None:
        if self._prior_cwnd:
            self._w_max, self._k, self._epoch, self._w_est, self._cwnd_prior = self._undo
        super().on_undo(now)
