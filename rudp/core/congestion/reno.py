"""Reno: RFC 5681, by bytes (RFC 3465)."""

from __future__ import annotations

from rudp.core.congestion.base import AckSample
from rudp.core.congestion.window import WindowBased
from rudp.core.subclassing import mypyc_attr


@mypyc_attr(allow_interpreted_subclasses=True)
class Reno(WindowBased):
    """RFC 5681: slow start, congestion avoidance, half the window on loss."""

    __slots__ = ("_acked",)

    def __init__(self, mss: int, initial_window: int) -> None:
        super().__init__(mss, initial_window)
        self._acked = 0  # bytes towards the next increase, in congestion avoidance

    def grow(self, acked: int, sample: AckSample) -> None:
        if self.cwnd < self.ssthresh:
            self._acked = 0
            acked = self.slow_start(acked)
        if acked > 0 and self.cwnd >= self.ssthresh:
            # RFC 5681 section 3.1: one full segment for each window of acknowledged data.
            self._acked += acked
            while self._acked >= self.cwnd:
                self._acked -= self.cwnd
                self.cwnd += self.mss

    def restarted(self) -> None:
        self._acked = 0

    def reduced(self, in_flight: int) -> int:
        # RFC 5681 equation (4) and section 3.2; RFC 6675 section 5, step 4.2.
        self._acked = 0
        return max(in_flight // 2, 2 * self.mss)
