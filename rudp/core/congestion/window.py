"""What the algorithms that adjust a window upon loss have in common.

    OPEN      the window grows: `grow`, which is the subclass's own
    REDUCING  after a loss or CE: PRR (RFC 9937) brings the flight down to ssthresh
    REPAIRING after a timeout: slow start from one segment (RFC 5681 section 3.1)

A window that was not used says nothing about the path, so it does not grow, and does not last for
ever (RFC 7661). A loss that turns out to have been none is undone.
"""

from __future__ import annotations

import math
from typing import Final

from rudp.core.congestion.base import AckSample, CongestionControl
from rudp.core.congestion.prr import Prr
from rudp.core.subclassing import mypyc_attr

OPEN: Final = 0
REDUCING: Final = 1
REPAIRING: Final = 2

NON_VALIDATED_PERIOD: Final = 300.0
"""RFC 7661 section 4.4: how long a window may stay that is not used, in seconds."""

SLOW_START_PACING: Final = 2.0
AVOIDANCE_PACING: Final = 1.2
"""Pacing above cwnd/SRTT leaves room for growth, and for making good what a late timer missed.
They are Linux's tcp_pacing_ss_ratio and tcp_pacing_ca_ratio."""


@mypyc_attr(allow_interpreted_subclasses=True)
class WindowBased(CongestionControl):
    """A window that grows by ACKs and shrinks by losses.

    A subclass overrides `grow` and `reduced`. The rest of `CongestionControl` is done here:
    recovery, timeout, undo, restart after idleness, the pacing rate.
    """

    __slots__ = (
        "_ended", "_held", "_initial", "_paused_at", "_phase", "_prior_cwnd", "_prior_ssthresh",
        "_prr",
    )

    def __init__(self, mss: int, initial_window: int) -> None:
        super().__init__(mss, initial_window)
        self._phase = OPEN
        self._prr = Prr()
        self._initial = self.cwnd
        self._held = 0  # bytes SACKed in order to count once SND.UNA moves
        self._ended = False  # the ACK being handled ended a recovery
        self._paused_at = math.inf  # since when it does not
        self._prior_cwnd = 0
        self._prior_ssthresh = 0

    # -- for subclasses --------------------------------------------------------------------------

    def grow(self, acked: int, sample: AckSample) -> None:
        """Open the window: `acked` bytes arrived while it was what limited us, in no recovery.

        While repairing after a timeout too, but only in slow start.
        """
        raise NotImplementedError

    def reduced(self, in_flight: int) -> int:
        """The new ssthresh after a loss, in bytes; `in_flight` is FlightSize before."""
        raise NotImplementedError

    def resumed(self, pause: float) -> None:
        """For `pause` seconds, up to now, the window was not what limited us."""

    def restarted(self) -> None:
        """After a long pause, cwnd was taken back to the initial window."""

    def slow_start(self, acked: int) -> int:
        """Grow by `acked` up to ssthresh; returns the bytes that are left for avoidance."""
        # RFC 5681 equation (2), by bytes. Deviation: no limit L (RFC 3465 section 2.2), since one
        # ACK rightly answers a whole super-segment; bursts are bounded by pacing.
        grown = min(self.cwnd + acked, max(self.ssthresh, self.cwnd + self.mss))
        left = self.cwnd + acked - grown
        self.cwnd = grown
        return left

    # -- acknowledgments -------------------------------------------------------------------------

    def on_ack(self, sample: AckSample) -> None:
        if self._phase == OPEN:
            if sample.cwnd_limited:
                self._open(sample)
            elif self._paused_at == math.inf:
                self._paused_at = sample.now
            elif sample.now - self._paused_at > NON_VALIDATED_PERIOD:
                self._shrink_unused(sample.now)
        elif self._phase == REDUCING:
            safe = sample.progress and sample.newly_lost == 0
            self.cwnd = max(
                self._prr.on_ack(sample.acked, sample.in_flight, self.ssthresh, safe, self.mss),
                self.mss,
            )
        elif sample.progress and sample.cwnd_limited and self.cwnd < self.ssthresh:
            # RFC 3465 section 2.3: L = 1 SMSS then; much of it left the network long ago.
            self.grow(min(sample.acked, self.mss), sample)
        self._ended = False
        if sample.srtt > 0.0:
            # As Linux (tcp_update_pacing_rate): the higher gain while cwnd can still double.
            window = self.cwnd
            gain = SLOW_START_PACING if window < self.ssthresh >> 1 else AVOIDANCE_PACING
            if window < sample.in_flight:
                window = sample.in_flight
            if self._phase == REDUCING and window < self.ssthresh:
                window = self.ssthresh  # PRR has the flight grow to that, as fast as ACKs come
            self.pacing_rate = gain * window / sample.srtt

    def _open(self, sample: AckSample) -> None:
        if self._paused_at < math.inf:
            self.resumed(sample.now - self._paused_at)
            self._paused_at = math.inf
        if self._ended:
            return  # this ACK has set cwnd to ssthresh; the next ones open it again
        if not sample.progress:
            # RFC 3042 section 2, RFC 6675 section 5: cwnd stays as it is on duplicates. If they
            # come from reordering, what they tell of counts on the next ACK that moves SND.UNA.
            self._held += sample.acked
            return
        acked = sample.acked + self._held
        self._held = 0
        if acked:
            self.grow(acked, sample)

    def on_sent(self, size: int, in_flight: int, now: float) -> None:
        if self._phase == REDUCING:
            self._prr.out += size

    # -- losses ----------------------------------------------------------------------------------

    def on_loss(self, in_flight: int, now: float) -> None:
        self._remember()
        self.ssthresh = self.reduced(in_flight)
        self.cwnd = self.ssthresh  # until PRR says what it is in this round trip
        self._prr.begin(in_flight)
        self._phase = REDUCING

    def on_recovered(self, now: float) -> None:
        if self._phase == REDUCING:
            # RFC 9937 section 6: at the end of recovery, cwnd = ssthresh.
            self.cwnd = self.ssthresh
            self._ended = True
        self._phase = OPEN

    def on_timeout(self, in_flight: int, first: bool, now: float) -> None:
        # RFC 5681 section 3.1: ssthresh is set once for each loss, cwnd to one segment.
        if first:
            self._remember()
            self.ssthresh = self.reduced(in_flight)
        self.cwnd = self.mss
        self._held = 0
        self._phase = REPAIRING

    def on_undo(self, now: float) -> None:
        # RFC 4015 section 3.2 has the window back as it was; whatever it grew by meanwhile stays.
        if self._prior_cwnd:
            self.cwnd = max(self.cwnd, self._prior_cwnd)
            self.ssthresh = max(self.ssthresh, self._prior_ssthresh)
        self._prior_cwnd = 0
        self._phase = OPEN

    def _remember(self) -> None:
        """Keep what `on_undo` restores, unless a recovery goes on: then it is kept already."""
        self._held = 0
        if self._phase == OPEN:
            self._prior_cwnd = self.cwnd
            self._prior_ssthresh = self.ssthresh

    # -- a window that is not used ---------------------------------------------------------------

    def on_restart(self, idle: float, rto: float, now: float) -> None:
        if idle >= rto:
            # RFC 5681 section 4.1: after an RTO without sending, RW = min(IW, cwnd).
            if self.cwnd > self._initial and idle < math.inf:
                # RFC 7661 section 4.4.3: ssthresh remembers three quarters of what the path took.
                self.ssthresh = max(self.ssthresh, 3 * self.cwnd // 4)
                self.cwnd = self._initial
                self._held = 0
                self.restarted()
        elif self._paused_at == math.inf:
            self.resumed(idle)

    def on_mss(self, mss: int) -> None:
        super().on_mss(mss)
        self._initial = max(self._initial, mss)
        self.ssthresh = max(self.ssthresh, 2 * mss)  # RFC 5681 section 3.1, equation 4

    def _shrink_unused(self, now: float) -> None:
        # RFC 7661 section 4.4.3: at the end of the non-validated period.
        if self.cwnd > self._initial:
            self.ssthresh = max(self.ssthresh, 3 * self.cwnd // 4)
            self.cwnd = max(self.cwnd // 2, self._initial)
        self._paused_at = now
