"""Proportional Rate Reduction: how fast to send while a loss is repaired. RFC 9937.

A reduction from one window to a smaller one is spread over the ACKs of a round trip. While more is
in flight than ssthresh allows, the sender puts out ssthresh/RecoverFS of what arrives; below that
it puts out what arrives (PRR-CRB), and a segment more on each ACK that shows good progress
(PRR-SSRB, the *SafeACK*), until the flight is as large as ssthresh.

Volumes are bytes. What counts as in flight is the sender's business (RFC 6675 or RACK).
"""

from __future__ import annotations


class Prr:
    """The counters of one recovery (RFC 9937 section 6)."""

    __slots__ = ("delivered", "out", "recover_fs")

    def __init__(self) -> None:
        self.delivered = 0  # prr_delivered
        self.out = 0  # prr_out
        self.recover_fs = 0  # RecoverFS

    def begin(self, flight_size: int) -> None:
        """A recovery begins, with `flight_size` bytes sent and not acknowledged before this ACK.

        Deviation: RecoverFS is FlightSize. The RFC takes off what had been SACKed before, which
        is at most some segments of reordering; it makes us slower by as much.
        """
        self.delivered = 0
        self.out = 0
        self.recover_fs = max(flight_size, 1)

    def on_ack(self, delivered: int, in_flight: int, ssthresh: int, safe: bool, smss: int) -> int:
        """Returns cwnd: `in_flight` and what may be sent now (sndcnt).

        `delivered` is DeliveredData; `safe` is SafeACK: SND.UNA advanced and the ACK told of no
        further loss.
        """
        self.delivered += delivered
        if in_flight > ssthresh:
            # CEIL(prr_delivered * ssthresh / RecoverFS) - prr_out
            sndcnt = -(-self.delivered * ssthresh // self.recover_fs) - self.out
        else:
            # PRR-CRB by default, PRR-SSRB when recovery is in good progress.
            sndcnt = max(self.delivered - self.out, delivered)
            if safe:
                sndcnt += smss
            sndcnt = min(ssthresh - in_flight, sndcnt)
        if sndcnt <= 0:
            # Force a fast retransmit upon entering recovery.
            sndcnt = smss if self.out == 0 else 0
        return in_flight + sndcnt
