"""HyStart++: leave slow start before it overflows the path. RFC 9406.

The least round-trip time of one round against that of the round before tells that a queue is
building. Then *conservative slow start* (CSS) grows at a quarter of the pace for at most five
rounds: if the delay falls back meanwhile it was jitter, and slow start goes on; else it was the
queue, and slow start is over.

The first sign comes late: a flight that is too large shows in the delay of the next, which is out
in full by then and twice as large. So a queue of less than some three bandwidth-delay products
overflows as it does without.

A round ends when something is acknowledged that was sent after it began; what the RFC tells by
sequence numbers (windowEnd) is told here by how much had been delivered (`AckSample.delivered`,
`prior_delivered`), which retransmissions do not blur.
"""

from __future__ import annotations

import math
from typing import Final

from rudp.core.congestion.base import AckSample

# RFC 9406 section 4.3, seconds.
MIN_RTT_THRESH: Final = 0.004
MAX_RTT_THRESH: Final = 0.016
MIN_RTT_DIVISOR: Final = 8
N_RTT_SAMPLE: Final = 8
CSS_GROWTH_DIVISOR: Final = 4
CSS_ROUNDS: Final = 5


class HyStart:
    """The initial slow start of one connection. `done` tells that it is over."""

    __slots__ = (
        "_baseline",
        "_css_rounds",
        "_current_min",
        "_last_min",
        "_round_end",
        "_samples",
        "done",
    )

    def __init__(self) -> None:
        self.done = False
        self._round_end = 0
        self._last_min = math.inf  # lastRoundMinRTT
        self._current_min = math.inf  # currentRoundMinRTT
        self._samples = 0  # rttSampleCount
        self._baseline = math.inf  # cssBaselineMinRtt; infinite: not in CSS
        self._css_rounds = 0

    def on_ack(self, acked: int, sample: AckSample) -> int:
        """Returns by how much cwnd grows for `acked` bytes.

        L of RFC 9406 section 4.2 is infinite, as it should be for a sender that paces.
        """
        if sample.prior_delivered >= self._round_end:
            self._next_round(sample.delivered)
        if sample.rtt >= 0.0:
            self._current_min = min(self._current_min, sample.rtt)
            self._samples += 1
            if self._samples >= N_RTT_SAMPLE:
                self._judge()
        return acked // CSS_GROWTH_DIVISOR if self._baseline < math.inf else acked

    def _next_round(self, delivered: int) -> None:
        self._round_end = delivered
        self._last_min = self._current_min
        self._current_min = math.inf
        self._samples = 0
        if self._baseline < math.inf:
            self._css_rounds += 1
            # The round that CSS began in, though it was not whole, counts as one.
            self.done = self._css_rounds >= CSS_ROUNDS

    def _judge(self) -> None:
        if self._baseline < math.inf:
            if self._current_min < self._baseline:
                self._baseline = math.inf  # it was jitter
        elif self._last_min < math.inf:
            threshold = min(max(MIN_RTT_THRESH, self._last_min / MIN_RTT_DIVISOR), MAX_RTT_THRESH)
            if self._current_min >= self._last_min + threshold:
                self._baseline = self._current_min
                self._css_rounds = 0
