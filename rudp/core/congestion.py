"""Congestion control: how much may be in flight. Never which bytes: that is loss recovery.

RFC 5681 (slow start, congestion avoidance), RFC 6928 (initial window), RFC 3465 (byte counting).
All counts are bytes, so that super-segments and stretched ACKs change nothing.
"""

from __future__ import annotations

from typing import Final

INFINITE_SSTHRESH: Final = 1 << 62


class CongestionControl:
    """What the sender asks and tells. Subclass it for another algorithm.

    The sender keeps the bytes in flight (the *pipe* of RFC 6675) at or below `cwnd`. It calls
    the `on_...` methods; a subclass changes `cwnd` and `ssthresh` there, in bytes, and nothing
    else. `mss` is the size of a full segment, in bytes.
    """

    cwnd: int
    ssthresh: int
    mss: int

    def __init__(self, mss: int, initial_window: int) -> None:
        """`initial_window` is a number of segments."""
        self.mss = mss
        self.cwnd = initial_cwnd(mss, initial_window)
        self.ssthresh = INFINITE_SSTHRESH

    def on_ack(self, acked: int, cwnd_limited: bool, now: float) -> None:
        """`acked` bytes arrived at the peer; `cwnd_limited` if cwnd kept us from sending more."""
        raise NotImplementedError

    def on_loss(self, in_flight: int, now: float) -> None:
        """A loss was detected with `in_flight` bytes out: once for each window of data."""
        raise NotImplementedError

    def on_recovered(self, now: float) -> None:
        """All data that was in flight at the last `on_loss` has arrived."""

    def on_timeout(self, in_flight: int, first: bool, now: float) -> None:
        """The retransmission timer expired; `first` for the first time on this data."""
        raise NotImplementedError

    def on_idle(self, now: float) -> None:
        """Nothing was sent for at least an RTO: what cwnd says of the path is out of date."""


def initial_cwnd(mss: int, segments: int) -> int:
    # RFC 6928, equation (1): min (10*MSS, max (2*MSS, 14600)), for as many segments as are wanted.
    return min(segments * mss, max(2 * mss, segments * 1460))


class Reno(CongestionControl):
    """RFC 5681: slow start, congestion avoidance, half the window on loss."""

    def __init__(self, mss: int, initial_window: int) -> None:
        super().__init__(mss, initial_window)
        self._acked = 0  # bytes towards the next increase, in congestion avoidance
        self._restart_window = self.cwnd

    def on_ack(self, acked: int, cwnd_limited: bool, now: float) -> None:
        if not cwnd_limited:
            return  # RFC 5681 section 3.1 has cwnd tested by use; RFC 7661 says why.
        if self.cwnd < self.ssthresh:
            # RFC 5681 equation (2), by bytes. Deviation: no limit L (RFC 3465 section 2.2),
            # since one ACK rightly answers a whole super-segment; bursts are bounded elsewhere.
            grown = min(self.cwnd + acked, max(self.ssthresh, self.cwnd + self.mss))
            acked -= grown - self.cwnd
            self.cwnd = grown
        if acked > 0 and self.cwnd >= self.ssthresh:
            # RFC 5681 section 3.1: one full segment for each window of acknowledged data.
            self._acked += acked
            while self._acked >= self.cwnd:
                self._acked -= self.cwnd
                self.cwnd += self.mss

    def on_loss(self, in_flight: int, now: float) -> None:
        # RFC 5681 equation (4) and section 3.2; RFC 6675 section 5, step 4.2.
        self.ssthresh = max(in_flight // 2, 2 * self.mss)
        self.cwnd = self.ssthresh
        self._acked = 0

    def on_timeout(self, in_flight: int, first: bool, now: float) -> None:
        # RFC 5681 section 3.1: ssthresh is set once for each loss, cwnd to one segment.
        if first:
            self.ssthresh = max(in_flight // 2, 2 * self.mss)
        self.cwnd = self.mss
        self._acked = 0

    def on_idle(self, now: float) -> None:
        # RFC 5681 section 4.1: RW = min(IW, cwnd).
        self.cwnd = min(self.cwnd, self._restart_window)
        self._acked = 0


ALGORITHMS: Final[dict[str, type[CongestionControl]]] = {"reno": Reno}
"""The algorithms that `Config(congestion=...)` knows by name."""
