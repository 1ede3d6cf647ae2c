"""A path in figures, and a BBRv3 that hears its ACKs.

It delivers 1 MB/s in 100 ms: 100 segments of 1000 bytes are its BDP.
"""

from __future__ import annotations

from typing import Any

from rudp.core.congestion import AckSample, Bbr
from rudp.core.congestion.bbr_model import STARTUP
from tests.core.acks import heard

MSS = 1000
RATE = 1_000_000.0
RTT = 0.1
BDP = 100_000


class Path:
    """A flow whose ACKs come as this path would have them; `state` may be set to begin with."""

    def __init__(self, state: int = STARTUP) -> None:
        self.cc = cc = Bbr(MSS, 10)
        self.now = 10.0
        self.delivered = 0
        self.rate = RATE
        cc.on_sent(10 * MSS, 10 * MSS, self.now)
        if state != STARTUP:
            self.round()
            cc.full_bw_reached = True
            cc.state = state
            cc.cwnd = 2 * BDP
            cc.cycle_stamp = self.now
            cc.bw_probe_wait = 2.5

    def ack(self, acked: int = 10 * MSS, **said: Any) -> AckSample:
        """The next ACK, a tenth of a round trip later."""
        self.now += RTT / 10
        self.delivered += acked
        fields = {
            "rtt": RTT,
            "srtt": RTT,
            "min_rtt": RTT,
            "delivered": self.delivered,
            "prior_delivered": max(self.delivered - BDP, 0),
            "delivery_rate": self.rate,
            "in_flight": BDP,
            "tx_in_flight": BDP,
            "cwnd_limited": False,
        }
        fields |= said
        if fields.get("newly_lost"):
            # Nothing else is said: what is lost went out together with what arrived.
            lost = {
                "lost_tx_in_flight": fields["tx_in_flight"],
                "lost_since": fields.get("lost", fields["newly_lost"]),
                "lost_prior_delivered": fields["prior_delivered"],
            }
            fields = lost | fields
        return heard(self.cc, acked, self.now, **fields)

    def round(self, **said: Any) -> None:
        for _ in range(10):
            self.ack(**said)
