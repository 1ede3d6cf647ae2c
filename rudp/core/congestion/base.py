"""What the sender asks of congestion control and tells it: the extension point.

Loss recovery decides *which* bytes go out, congestion control *how many*. The sender transmits
while the bytes in flight (the *pipe* of RFC 6675 section 2) are fewer than `cwnd`, and no faster
than `pacing_rate`. It says what happens by calling the `on_...` methods; an algorithm answers by
setting these two numbers.

Everything is counted in bytes, never in ACKs or segments (RFC 3465), so that super-segments and
stretched ACKs change nothing. Times are seconds; `now` is a moment of a monotonic clock.

Beside it: `window` for what loss-based algorithms have in common, `rudp.core.delivery_rate` for
where the rates in a sample come from.
"""

from __future__ import annotations

import math
from typing import Final

from rudp.core.subclassing import mypyc_attr

INFINITE_SSTHRESH: Final = 1 << 62
"""A slow-start threshold that no window reaches: no loss was seen yet."""


def initial_cwnd(mss: int, segments: int) -> int:
    """The initial window in bytes, for as many segments as are wanted."""
    # RFC 6928, equation (1): min (10*MSS, max (2*MSS, 14600)), for any number in place of 10.
    return min(segments * mss, max(2 * mss, segments * 1460))


class AckSample:
    """What one ACK said. There is one object for each connection, filled anew for each ACK.

    An algorithm must copy what it wants to keep.
    """

    __slots__ = (
        "acked",
        "app_limited",
        "cwnd_limited",
        "delivered",
        "delivery_rate",
        "ece",
        "in_flight",
        "interval",
        "lost",
        "lost_app_limited",
        "lost_prior_delivered",
        "lost_since",
        "lost_tx_in_flight",
        "min_rtt",
        "newly_lost",
        "now",
        "prior_delivered",
        "prior_in_flight",
        "progress",
        "recovering",
        "rtt",
        "srtt",
        "total_lost",
        "tx_in_flight",
    )

    def __init__(self) -> None:
        self.now: float = 0.0
        # What arrived, and what did not.
        self.acked: int = 0
        """Bytes that this ACK, cumulatively or by SACK, is the first to say have arrived."""
        self.progress: bool = False
        """SND.UNA moved: the ACK is no duplicate."""
        self.newly_lost: int = 0
        """Bytes that were marked lost since the sample before."""
        self.prior_in_flight: int = 0
        """The pipe before this ACK."""
        self.in_flight: int = 0
        """The pipe after it, and after the marking of losses."""
        # Round-trip times, in seconds.
        self.rtt: float = -1.0
        """This ACK's own measurement; -1.0: it gave none."""
        self.srtt: float = 0.0
        """Smoothed; 0.0: there was no measurement yet."""
        self.min_rtt: float = math.inf
        """The least that the connection ever saw; infinite: there was no measurement yet."""
        # The state that the sender is in.
        self.cwnd_limited: bool = False
        """At some moment of the last round trip it was cwnd that kept us from sending more: not the
        application, not the peer's window, and not the pacing rate (C.is_cwnd_limited)."""
        self.recovering: bool = False
        """A recovery (after a loss, a timeout or ECN's CE) goes on after this ACK."""
        self.ece: bool = False
        """The ACK carried ECN-Echo (RFC 3168 section 6.1.2)."""
        # The delivery rate: draft-ietf-ccwg-bbr section 4.1, filled by `DeliveryRate`.
        self.delivered: int = 0
        """C.delivered: bytes delivered in all, this ACK's included."""
        self.prior_delivered: int = 0
        """P.delivered: the same when the newest data acknowledged here was sent."""
        self.delivery_rate: float = 0.0
        """RS.delivery_rate in bytes per second; 0.0: the ACK gave no valid sample."""
        self.interval: float = 0.0
        """RS.interval: the seconds that the rate was measured over."""
        self.app_limited: bool = False
        """RS.is_app_limited: there was too little to send for the rate to tell of the path."""
        self.tx_in_flight: int = 0
        """RS.tx_in_flight: the pipe right after that newest data was sent."""
        self.lost: int = 0
        """RS.lost: bytes marked lost between that moment and now."""
        self.total_lost: int = 0
        """C.lost: bytes marked lost in all."""
        # If `newly_lost` is not 0, of the newest data that was marked lost: it may have been sent
        # long before what is acknowledged here.
        self.lost_prior_delivered: int = 0
        """C.delivered when it was sent."""
        self.lost_tx_in_flight: int = 0
        """The pipe right after that."""
        self.lost_since: int = 0
        """Bytes marked lost between that moment and now, its own included."""
        self.lost_app_limited: bool = False
        """There was too little to send then."""


@mypyc_attr(allow_interpreted_subclasses=True)
class CongestionControl:
    """How much may be in flight. Subclass it, or `WindowBased`, for an algorithm of your own.

    A direct subclass has to override `on_ack`, `on_loss` and `on_timeout`. All of them set `cwnd`
    (bytes; never below one segment), `ssthresh` (bytes) and `pacing_rate` (bytes per second;
    infinite: not paced), and nothing else that is the sender's. `mss` is the payload of a full
    segment, in bytes.
    """

    __slots__ = ("cwnd", "mss", "pacing_rate", "ssthresh")

    cwnd: int
    ssthresh: int
    mss: int
    pacing_rate: float

    def __init__(self, mss: int, initial_window: int) -> None:
        """`initial_window` is a number of segments."""
        self.mss = mss
        self.cwnd = initial_cwnd(mss, initial_window)
        self.ssthresh = INFINITE_SSTHRESH
        self.pacing_rate = math.inf

    def on_ack(self, sample: AckSample) -> None:
        """After each ACK that delivered something, marked something lost, or carried ECN-Echo.

        Also after a timer has marked something lost: then `sample.acked` is 0. On the ACK that
        begins or ends a recovery, `on_loss` or `on_recovered` comes first.
        """
        raise NotImplementedError

    def on_loss(self, in_flight: int, now: float) -> None:
        """A loss was detected: once for each window of data. `in_flight` is FlightSize before."""
        raise NotImplementedError

    def on_timeout(self, in_flight: int, first: bool, now: float) -> None:
        """The retransmission timer expired; `first` for the first time on this data.

        `in_flight` is FlightSize before everything in flight was taken for lost.
        """
        raise NotImplementedError

    def on_ecn(self, in_flight: int, now: float) -> None:
        """The network marked data (CE) instead of dropping it: once for each window of data."""
        # RFC 3168 section 6.1.2: the response must be essentially that to a single loss.
        self.on_loss(in_flight, now)

    def on_recovered(self, now: float) -> None:
        """All that was in flight at the last on_loss, on_ecn or on_timeout has arrived."""

    def on_undo(self, now: float) -> None:
        """The last on_loss or on_timeout was wrong: nothing had been lost. It ends the recovery."""

    def on_sent(self, size: int, in_flight: int, now: float) -> None:
        """`size` bytes went out, be they new or sent again; `in_flight` includes them."""

    def on_restart(self, idle: float, rto: float, now: float) -> None:
        """Before a transmission, after nothing was in flight for `idle` seconds.

        Not before anything was acknowledged. `rto` is the retransmission timeout.
        """

    def on_mss(self, mss: int) -> None:
        """A full segment holds `mss` bytes from now on."""
        self.mss = mss
        # RFC 5681 section 3.1: no window is less than a segment.
        self.cwnd = max(self.cwnd, mss)
