"""The round-trip time as measured, and the retransmission timeout made of it.

RFC 6298, by its numbers. What is measured is decided elsewhere: `scoreboard` gives a sample only
for data that was sent once (Karn's algorithm, RFC 6298 section 3).
"""

from __future__ import annotations

import math
from typing import Final

ALPHA: Final = 1 / 8
BETA: Final = 1 / 4
K: Final = 4
MIN_SAMPLE: Final = 1e-6
GRANULARITY: Final = 0.001
"""G of RFC 6298 section 2: event loops wake up by the millisecond."""


LINEAR_RTO: Final = 0.5
"""Seconds at which the back-off pauses, see Config.linear_timeouts."""


class RttEstimator:
    """SRTT, RTTVAR and RTO of one connection, all in seconds.

    `srtt` is 0.0 until the first sample. `rto` includes the back-off of past timeouts.
    """

    __slots__ = (
        "_backoff",
        "_base",
        "_linear_left",
        "_linear_timeouts",
        "latest",
        "max_rto",
        "min_rto",
        "min_rtt",
        "rto",
        "rttvar",
        "srtt",
    )

    def __init__(
        self, initial_rto: float, min_rto: float, max_rto: float, linear_timeouts: int = 0
    ) -> None:
        self.srtt = 0.0
        self.rttvar = 0.0
        self.latest = 0.0
        self.min_rtt = math.inf
        self.min_rto = min_rto
        self.max_rto = max_rto
        self._base = initial_rto  # the RTO without back-off
        self._backoff = 1
        self.rto = min(initial_rto, max_rto)
        self._linear_timeouts = linear_timeouts
        self._linear_left = linear_timeouts  # of this row of timeouts

    def sample(self, rtt: float) -> None:
        """Take a new measurement, in seconds; ends the back-off."""
        if rtt < MIN_SAMPLE:
            rtt = MIN_SAMPLE
        self.latest = rtt
        if rtt < self.min_rtt:
            self.min_rtt = rtt
        if self.srtt == 0.0:
            # RFC 6298 section 2.2
            self.srtt = rtt
            self.rttvar = rtt / 2
        else:
            # RFC 6298 section 2.3; RTTVAR first, since it uses the old SRTT.
            self.rttvar += BETA * (abs(self.srtt - rtt) - self.rttvar)
            self.srtt += ALPHA * (rtt - self.srtt)
        self._estimate()

    def _estimate(self) -> None:
        """The RTO that SRTT and RTTVAR make, without back-off."""
        variation = K * self.rttvar
        rto = self.srtt + (variation if variation > GRANULARITY else GRANULARITY)
        # RFC 6298 sections 2.4 and 2.5. Deviation: the floor is 0.2 s by default, see
        # Config.min_rto.
        if rto < self.min_rto:
            rto = self.min_rto
        elif rto > self.max_rto:
            rto = self.max_rto
        self._base = self.rto = rto
        self._backoff = 1
        self._linear_left = self._linear_timeouts

    def on_spurious_timeout(self, rtt: float) -> None:
        """A timeout came too early: the answer was under way, and took `rtt` seconds."""
        # RFC 4015 section 3.2, step (5): SRTT <- max(SRTT_prev, RTT-SAMPLE) and so on, so that the
        # next timeout is not as wrong. The back-off ends.
        if self._linear_timeouts and rtt > LINEAR_RTO:
            # Deviation: an outage that took ACKs away looks like a path that was so slow for once,
            # and to wait twice as long for the next answer would make the outage three times as
            # long. A path that is so slow says so by its next samples.
            rtt = LINEAR_RTO
        self.srtt = max(self.srtt, rtt)
        self.rttvar = max(self.rttvar, rtt / 2)
        self._estimate()

    def back_off(self) -> None:
        """Double the RTO (RFC 6298 section 5.5)."""
        if self._linear_left and self._base < LINEAR_RTO < 2 * self._base * self._backoff:
            # Deviation: for a while it stays at half a second, see Config.linear_timeouts.
            self._linear_left -= 1
            self.rto = LINEAR_RTO
            return
        if self._base * self._backoff < self.max_rto:
            self._backoff *= 2
        self.rto = min(self._base * self._backoff, self.max_rto)

    def restart_after_syn_timeout(self) -> None:
        """RFC 6298 section 5.7: a lost SYN makes the RTO 3 seconds when data begins."""
        if self.srtt == 0.0:
            self._base = min(max(3.0, self._base), self.max_rto)
        self._backoff = 1
        self.rto = self._base
