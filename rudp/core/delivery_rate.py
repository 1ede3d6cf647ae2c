"""How fast the path delivers, measured on each ACK: draft-ietf-ccwg-bbr section 4.1.

Data that is sent carries a `Stamp`: how much had been delivered by then. When it is acknowledged,
what was delivered in between, over the time that it took, is a sample of the rate. The time is the
longer of that between the ACKs and that between the transmissions, so that compressed ACKs do not
make a path look faster than it is (section 4.1.1.2).

    delivered      100 ............. 140          rate = (140 - 100) / max(send, ack elapsed)
    our end    ----send P------------ack of P-->

A transmission of many segments (a super-segment) has one stamp, as the draft advises in section
4.1.3.1, and the parts that a SACK cuts it into share it.
"""

from __future__ import annotations

from rudp.core.congestion.base import AckSample


class Stamp:
    """The state of the connection when something was sent: the draft's P."""

    __slots__ = (
        "app_limited",
        "delivered",
        "delivered_at",
        "first_sent_at",
        "lost",
        "sent_at",
        "tx_in_flight",
    )

    def __init__(
        self,
        sent_at: float,
        delivered: int,
        delivered_at: float,
        first_sent_at: float,
        app_limited: bool,
        tx_in_flight: int,
        lost: int,
    ) -> None:
        self.sent_at = sent_at
        self.delivered = delivered
        self.delivered_at = delivered_at
        self.first_sent_at = first_sent_at
        self.app_limited = app_limited
        self.tx_in_flight = tx_in_flight
        self.lost = lost


class DeliveryRate:
    """The connection's counters (the draft's C), and the samples made of them."""

    __slots__ = ("app_limited", "delivered", "delivered_at", "first_sent_at", "lost")

    def __init__(self) -> None:
        self.delivered = 0  # C.delivered: bytes in all
        self.delivered_at = 0.0  # C.delivered_time
        self.first_sent_at = 0.0  # C.first_send_time: when the newest delivered data was sent
        self.lost = 0  # C.lost: bytes in all
        self.app_limited = 0  # C.app_limited: until this much is delivered; 0: we are not

    def on_sent(self, in_flight_before: int, size: int, now: float) -> Stamp:
        """`size` bytes go out, new or again, on top of `in_flight_before`: their stamp."""
        if in_flight_before == 0:
            self.first_sent_at = self.delivered_at = now
        return Stamp(
            now,
            self.delivered,
            self.delivered_at,
            self.first_sent_at,
            self.app_limited != 0,
            in_flight_before + size,
            self.lost,
        )

    def on_delivered(self, size: int, newest: Stamp, now: float, sample: AckSample) -> None:
        """An ACK says that `size` more bytes arrived; the last sent of them bore `newest`.

        Fills the delivery rate into the sample, where `min_rtt` has to stand already.
        """
        delivered = self.delivered + size
        self.delivered = delivered
        self.delivered_at = now
        self.first_sent_at = newest.sent_at
        # The bubble is gone when all that was in flight with it has been delivered.
        if self.app_limited and delivered > self.app_limited:
            self.app_limited = 0
        interval = max(newest.sent_at - newest.first_sent_at, now - newest.delivered_at)
        sample.delivered = delivered
        sample.prior_delivered = newest.delivered
        sample.interval = interval
        sample.app_limited = newest.app_limited
        sample.tx_in_flight = newest.tx_in_flight
        sample.lost = self.lost - newest.lost
        sample.total_lost = self.lost
        # A shorter interval than the least RTT comes from the ACK of the original of what was sent
        # again; it would overestimate.
        if interval > 0.0 and interval >= sample.min_rtt:
            sample.delivery_rate = (delivered - newest.delivered) / interval
        else:
            sample.delivery_rate = 0.0

    def on_nothing(self, sample: AckSample) -> None:
        """An ACK, or a timer, that delivered nothing: the sample holds no rate."""
        sample.delivered = sample.prior_delivered = self.delivered
        sample.interval = sample.delivery_rate = 0.0
        sample.app_limited = False
        sample.tx_in_flight = sample.lost = 0
        sample.total_lost = self.lost

    def on_lost(self, size: int) -> None:
        """`size` bytes were marked lost."""
        self.lost += size

    def tell_lost(self, newest: Stamp, sample: AckSample) -> None:
        """What was marked lost since the last sample; the last sent of it bore `newest`."""
        sample.lost_prior_delivered = newest.delivered
        sample.lost_tx_in_flight = newest.tx_in_flight
        sample.lost_since = self.lost - newest.lost
        sample.lost_app_limited = newest.app_limited

    def mark_app_limited(self, in_flight: int) -> None:
        """There is nothing to send, though cwnd has room: section 4.1.2.4.

        To be called before each write, each ACK and each timer, if all of this holds: no unsent
        data, fewer bytes in flight than cwnd, nothing lost that was not sent again.
        """
        self.app_limited = max(self.delivered + in_flight, 1)
