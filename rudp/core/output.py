"""What goes out: the segments that are due, put together from what the two halves say.

`Sender` says which data, `Receiver` what to acknowledge and how far the window reaches; timestamps
and ECN's marks join them here. Not here: whether anything is due, and when.

RFC 9293 sections 3.8.6 and 3.10.7, RFC 7323 section 3 (timestamps), RFC 2018 (SACK), RFC 3168
(ECN).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rudp.core import handshake
from rudp.core.receiver import MAX_WINDOW_FIELD
from rudp.core.segment import ACK, ECE, ECT0, Buffer, Segment

if TYPE_CHECKING:
    from rudp.core.connection import Connection

MAX_DUPLICATE_ACKS: Final = 10
"""Most duplicate ACKs at a time towards a peer without SACK, which counts them."""


def send_acknowledged(c: Connection, now: float, more: bool) -> None:
    """Data, and an ACK of its own where no data carries it. `more` as for `segments_to_send`."""
    rcv, snd = c.rcv, c.snd
    if rcv.ack_now and rcv.has_sack:
        # Blocks go into a segment of their own: beside data they would make its size vary.
        _send_ack(c, now)
    new = snd.nxt  # what lies below is sent again
    transmission = snd.next_transmission(now, more)
    while transmission is not None:
        seq, data, flags = transmission
        seg = segment(c, seq, flags | ACK, data, now)
        if c.ect and data and new <= seq <= snd.una + snd.wnd - len(data):
            # RFC 3168 sections 6.1.4 to 6.1.6: not pure ACKs, nor what is sent again, nor window
            # probes.
            seg.ecn = ECT0
        c.out.append(seg)
        rcv.on_ack_sent()
        new = snd.nxt
        transmission = snd.next_transmission(now, more)
    if snd.probe_path_at <= now and snd.nxt - snd.una > snd.mss:
        _probe_path(c, now)
    if rcv.ack_now or (rcv.ack_soon and not more):
        _send_ack(c, now)


def _probe_path(c: Connection, now: float) -> None:
    """RFC 8899 section 4.1: octets that the peer has had, in one datagram of the size to try."""
    size = c.snd.path_probe(now)
    if size:
        probe = segment(c, c.snd.una - size, ACK, bytes(size), now)
        probe.wire_len = size
        c.out.append(probe)


def _send_ack(c: Connection, now: float) -> None:
    # <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>
    ack = segment(c, c.snd.nxt, ACK, b"", now)
    repeats = 0
    if c.sack:
        ack.sack_blocks = c.rcv.sack_blocks(3 if c.timestamps is not None else 4)
    else:
        repeats = min(c.rcv.duplicate_acks, MAX_DUPLICATE_ACKS) - 1
    c.out.append(ack)
    while repeats > 0:
        c.out.append(ack)
        repeats -= 1
    c.rcv.on_ack_sent()


def send_syn(c: Connection, now: float) -> None:
    """SYN or SYN-ACK."""
    seg = handshake.syn_segment(c)
    _stamp(c, seg, now)
    c.out.append(seg)
    c.handshake.on_sent(now, c.snd.rtt.rto)


def segment(c: Connection, seq: int, flags: int, data: Buffer, now: float) -> Segment:
    """A segment of an established connection, with all that every such segment says."""
    rcv = c.rcv
    wnd = rcv.advance_window() >> c.rcv_shift
    if wnd > MAX_WINDOW_FIELD:
        wnd = MAX_WINDOW_FIELD
    if rcv.echo_ce:
        flags |= ECE
    seg = Segment(c.local_port, c.peer_port, seq, rcv.nxt, flags, wnd, data)
    _stamp(c, seg, now)
    return seg


def _stamp(c: Connection, seg: Segment, now: float) -> None:
    timestamps = c.timestamps
    if timestamps is not None:
        seg.ts_val = timestamps.clock(now)
        seg.ts_ecr = timestamps.recent
        c.last_ack_sent = seg.ack
