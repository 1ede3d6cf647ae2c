"""A snapshot of a connection, in the names that Linux gives to its `struct tcp_info`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rudp.core.state import State

if TYPE_CHECKING:
    from rudp.core.connection import Connection


@dataclass(frozen=True)
class TcpInfo:
    """What `transport.get_extra_info("tcp_info")` gives. Times are seconds, sizes bytes.

    Kernel names are kept; where the kernel counts microseconds or segments, this says seconds and
    bytes, as everything else here does.
    """

    state: State
    """The state of RFC 9293 section 3.3.2."""
    options: tuple[str, ...]
    """What the handshake agreed on, of "timestamps", "sack", "wscale" and "ecn"."""
    rto: float
    """Retransmission timeout with its back-off, in seconds."""
    rtt: float
    """Smoothed round-trip time (SRTT) in seconds; 0.0 before the first sample."""
    rttvar: float
    """Variation of the round-trip time (RTTVAR), in seconds."""
    min_rtt: float
    """Least round-trip time seen, in seconds; infinite before the first sample."""
    snd_mss: int
    """Most payload in a segment that we send, in bytes."""
    rcv_mss: int
    """Most payload seen in a segment from the peer, in bytes (an estimate of its MSS)."""
    snd_cwnd: int
    """Congestion window, in bytes."""
    snd_ssthresh: int
    """Slow-start threshold, in bytes; a very large number before the first loss."""
    snd_wnd: int
    """The peer's receive window, in bytes."""
    rcv_wnd: int
    """Our receive window as advertised, in bytes."""
    rcv_space: int
    """The receive buffer as tuned so far, in bytes."""
    unacked: int
    """Bytes sent and not yet acknowledged."""
    sacked: int
    """Bytes of these that the peer has selectively acknowledged."""
    lost: int
    """Bytes of these that are taken for lost and were not sent again yet."""
    reord_seen: int
    """How often the path was seen to reorder what we sent."""
    dsack_dups: int
    """Duplicates that the peer has reported (RFC 2883)."""
    delivered: int
    """Bytes that have arrived at the peer, as far as its ACKs and SACKs tell."""
    delivered_ce: int
    """Bytes of these whose ACK said that the path is congested (ECN-Echo)."""
    delivery_rate: float
    """Bytes per second, as the last ACK that could tell has measured; 0.0 if it could not."""
    delivery_rate_app_limited: bool
    """The rate is that of the application, which had too little to send; not that of the path."""
    pacing_rate: float
    """Bytes per second that we send at most; infinite if only the window limits."""
    total_rto: int
    """Retransmission timeouts, in all."""
    notsent_bytes: int
    """Bytes written that were never sent."""
    retransmits: int
    """Retransmission timeouts and window probes since the last progress."""
    total_retrans: int
    """Segments retransmitted, in all: a super-segment counts once."""
    bytes_sent: int
    """Bytes of data sent, retransmissions included."""
    bytes_retrans: int
    """Bytes of data retransmitted."""
    bytes_acked: int
    """Bytes of data that the peer has acknowledged."""
    bytes_received: int
    """Bytes of data received in order."""
    segs_out: int
    """Segments sent; a super-segment counts once."""
    segs_in: int
    """Segments received; a super-segment counts once."""

    @property
    def retrans(self) -> int:
        """The kernel's `retrans`: here the same as `retransmits`."""
        return self.retransmits


def snapshot(c: Connection) -> TcpInfo:
    """What `c` is like now."""
    snd, rcv = c.snd, c.rcv
    options = (
        ("timestamps", c.timestamps is not None),
        ("sack", c.sack),
        ("wscale", c.window_scaling),
        ("ecn", c.ecn),
    )
    established = snd.mss > 0
    return TcpInfo(
        state=c.state,
        options=tuple(name for name, agreed in options if agreed),
        rto=snd.rtt.rto,
        rtt=snd.rtt.srtt,
        rttvar=snd.rtt.rttvar,
        min_rtt=snd.rtt.min_rtt,
        snd_mss=snd.mss,
        rcv_mss=rcv.mss,
        snd_cwnd=snd.cc.cwnd if established else 0,
        snd_ssthresh=snd.cc.ssthresh if established else 0,
        snd_wnd=snd.wnd,
        rcv_wnd=rcv.wnd,
        rcv_space=rcv.buffer,
        unacked=snd.flight_size,
        sacked=snd.board.sacked,
        lost=snd.board.lost,
        reord_seen=snd.loss.rack.reorderings,
        dsack_dups=snd.loss.dsacks,
        delivered=snd.loss.rate.delivered,
        delivered_ce=snd.loss.delivered_ce,
        delivery_rate=snd.sample.delivery_rate,
        delivery_rate_app_limited=snd.sample.app_limited,
        pacing_rate=snd.cc.pacing_rate if established else math.inf,
        total_rto=snd.loss.timeouts,
        notsent_bytes=snd.unsent,
        retransmits=snd.timeouts if established else c.handshake.retransmissions,
        total_retrans=snd.total_retransmissions + c.handshake.retransmissions,
        bytes_sent=snd.bytes_sent,
        bytes_retrans=snd.loss.retransmitted,
        bytes_acked=max(0, min(snd.una, snd.buffer.end) - snd.iss - 1),
        bytes_received=rcv.bytes_received,
        segs_out=c.segs_out,
        segs_in=c.segs_in,
    )
