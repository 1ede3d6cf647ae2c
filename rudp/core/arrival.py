"""SEGMENT ARRIVES: RFC 9293 section 3.10.7, step by step and in its order.

    first     sequence number (and PAWS, RFC 7323 section 5)
    second    RST     (RFC 5961 section 3)
    third     security: does not exist here
    fourth    SYN     (RFC 5961 section 4)
    fifth     ACK     (RFC 5961 section 5)
    sixth     URG     ignored: the bytes are delivered in line (RFC 6093 section 3)
    seventh   segment text
    eighth    FIN

Each check is a function of its own that says whether to go on. CLOSED and LISTEN are in `stray`,
SYN-SENT in `handshake`.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from rudp.core import stray
from rudp.core.handshake import establish, reset_error, syn_sent, trim_syn
from rudp.core.segment import ACK, CE, CWR, FIN, RST, SYN, Segment
from rudp.core.seq import unwrap
from rudp.core.state import (
    CLOSED,
    ESTABLISHED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    SYN_RCVD,
    SYN_SENT,
    TIME_WAIT,
)

if TYPE_CHECKING:
    from rudp.core.connection import Connection

TAKES_TEXT: Final = (ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2)
"""States in which the peer may still send data."""


def segment_arrives(c: Connection, seg: Segment, now: float) -> None:
    """Take `seg` through all the steps, or as far as it gets."""
    if c.state is SYN_SENT:
        syn_sent(c, seg, now)
        return
    if c.state is CLOSED:
        c.answer(stray.answer_closed(seg))
        return
    seg.seq = unwrap(seg.seq, c.rcv.nxt)
    seg.ack = unwrap(seg.ack, c.snd.una)
    shift = c.snd_shift
    if c.state is SYN_RCVD and seg.flags & SYN:
        shift = 0  # RFC 7323 section 2.2: the window of a SYN-ACK is not scaled
        if not trim_syn(c, seg, now):
            return
    if not _check_sequence(c, seg, now):
        return
    if seg.flags & RST:
        _check_rst(c, seg, now)
        return
    if seg.flags & SYN:
        _check_syn(c, seg, now)
        return
    if not _check_ack(c, seg, shift, now):
        return
    c.last_heard = now
    if seg.data:
        _process_text(c, seg, now)
    if seg.flags & FIN:
        _process_fin(c, seg, now)
    elif c.rcv.fin_seq is not None:
        _finish(c, now)


# -- 3.10.7.4: other states ----------------------------------------------------------------------


def _check_sequence(c: Connection, seg: Segment, now: float) -> bool:
    """First, check sequence number."""
    rcv = c.rcv
    if c.timestamps is not None and not seg.flags & RST:
        if seg.ts_val is None:
            # RFC 7323 section 3.2: SHOULD silently drop the segment; but RFC 5961 section 4 wants
            # an answer to any SYN, which may be of a peer that has restarted without timestamps.
            if seg.flags & SYN:
                c.challenge(now)
            return False
        if c.timestamps.is_old(seg, now):
            _refuse(c, seg, now)  # RFC 7323 section 5.3, R1
            return False
    if rcv.acceptable(seg.seq, seg.len):
        return True
    if seg.flags & RST:
        # "unless the RST bit is set, if so drop the segment and return"; but a shut window keeps
        # no RST out (MUST-66), and neither does the text that it may carry (SHLD-2).
        return seg.seq == rcv.nxt
    if rcv.wnd == 0 and seg.seq == rcv.nxt:
        # "If the RCV.WND is zero, no segments will be acceptable, but special allowance should be
        # made to accept valid ACKs": a window probe is answered, its octet is not taken.
        seg.data = b""
        seg.flags &= ~FIN
        rcv.ack_now = True
        return True
    if c.state is SYN_RCVD and _is_keepalive(c, seg):
        # The peer is in ESTABLISHED, and its ACK of our SYN-ACK was lost. As above.
        seg.seq = rcv.nxt
        seg.data = b""
        rcv.ack_now = True
        return True
    _refuse(c, seg, now)
    if c.state is TIME_WAIT and seg.flags & FIN:
        c.wait_out(now)  # "Acknowledge it, and restart the 2 MSL timeout."
    return False


def _is_keepalive(c: Connection, seg: Segment) -> bool:
    """RFC 9293 section 3.8.4: SEG.SEQ = SND.NXT-1, with or without an octet of garbage."""
    only_ack = seg.flags & (ACK | SYN | FIN) == ACK
    return only_ack and seg.seq == c.rcv.nxt - 1 and seg.len <= 1 and seg.ack == c.snd.nxt


def _refuse(c: Connection, seg: Segment, now: float) -> None:
    """ "An acknowledgment should be sent in reply", at once to data, seldom to anything else.

    Segments without data can be such answers themselves: two sides that disagree would answer
    each other for ever (the ACK storm of RFC 5961 section 7).
    """
    if (seg.data or seg.flags & FIN) and not seg.flags & SYN:
        c.rcv.on_duplicate(seg.seq, len(seg.data))
    else:
        c.challenge(now)


def _check_rst(c: Connection, seg: Segment, now: float) -> None:
    """Second, check the RST bit, which is set: RFC 5961 section 3."""
    if c.state is TIME_WAIT:
        return  # RFC 1337 section 3, fix F1: a RST does not end it, and gets no answer
    if seg.seq != c.rcv.nxt:
        c.challenge(now)  # "3) ... TCP endpoints MUST send an acknowledgment (challenge ACK)"
    elif c.state is SYN_RCVD:
        # Passive: "return this connection to LISTEN state": nobody has heard of it yet.
        c.end(reset_error(errno.ECONNREFUSED, "Connection refused", seg))
    else:
        c.end(reset_error(errno.ECONNRESET, "Connection reset by peer", seg))


def _check_syn(c: Connection, seg: Segment, now: float) -> None:
    """Fourth, check the SYN bit, which is set: RFC 5961 section 4."""
    if c.state is SYN_RCVD and c.passive:
        # "If the connection was initiated with a passive OPEN, then return to the LISTEN state"
        c.end(reset_error(errno.ECONNRESET, "Connection reset by peer", seg))
    else:
        c.challenge(now)


def _check_ack(c: Connection, seg: Segment, shift: int, now: float) -> bool:
    """Fifth, check the ACK field. SEG.WND is to be scaled by `shift`."""
    snd = c.snd
    if not seg.flags & ACK:
        return False  # "if the ACK bit is off, drop the segment and return"
    if c.state is SYN_RCVD:
        if not snd.una < seg.ack <= snd.nxt:
            # "form a reset segment <SEQ=SEG.ACK><CTL=RST> and send it"
            c.answer(Segment(c.local_port, c.peer_port, seg.ack, 0, RST, 0))
            return False
        establish(c, seg, seg.wnd << shift, now)
    if not snd.una - snd.max_wnd <= seg.ack <= snd.nxt:
        # RFC 5961 section 5: "MUST be discarded and an ACK sent back"
        c.challenge(now)
        return False
    if c.timestamps is not None:
        c.timestamps.update(seg, c.last_ack_sent, now)
    if seg.ack < snd.una:
        return True  # "If the ACK is a duplicate (SEG.ACK =< SND.UNA), it can be ignored"
    changed = snd.update_window(seg.seq, seg.ack, seg.wnd << shift)
    if seg.sack_blocks:
        near = snd.una
        seg.sack_blocks = tuple(
            (unwrap(left, near), unwrap(right, near)) for left, right in seg.sack_blocks
        )
    if not snd.on_ack(seg, changed, c.timestamps, now):
        lie = "the peer acknowledged what was never sent"
        c.abort(lie, ConnectionAbortedError(errno.ECONNABORTED, f"Connection aborted: {lie}"))
        return False
    if now - c.rcv.tuned_at >= snd.rtt.srtt:
        c.rcv.tune(snd.rtt.srtt, now)
    if c.reset_when_flushed and not snd.fin_queued and snd.una == snd.buffer.end:
        c.flushed()
    elif snd.fin_queued and snd.fin_acked:
        # FIN-WAIT-1 to FIN-WAIT-2, CLOSING to TIME-WAIT, LAST-ACK to CLOSED
        c.fin_acked(now)
    return c.state is not CLOSED


def _process_text(c: Connection, seg: Segment, now: float) -> None:
    """Seventh, process the segment text."""
    rcv = c.rcv
    if c.state not in TAKES_TEXT:
        return  # "This should not occur since a FIN has been received. Ignore the segment text."
    if c.user_closed and seg.seq + len(seg.data) > rcv.nxt:
        # RFC 9293 section 3.6.1, SHLD-3: new data after CLOSE is answered with a RST, here when
        # our own data has arrived; until then it is not acknowledged.
        c.lose_data()
        if c.snd.fin_acked:
            c.flushed()
        elif c.snd.timeouts >= max(1, c.config.r1):
            # It goes on and acknowledges nothing: it has closed too, and takes no more than we do.
            c.out.append(c.reset(c.snd.una))
            c.end(OSError(errno.ECONNRESET, "Connection reset: both sides have closed"))
        return
    if c.ecn:
        rcv.on_ecn(seg.flags & CWR > 0, seg.ecn == CE)
    before = rcv.readable
    data = seg.data if isinstance(seg.data, bytes) else bytes(seg.data)
    rcv.on_data(seg.seq, data, seg.wire_len or len(data), now)
    if rcv.readable > before:
        c.tell_readable()


def _process_fin(c: Connection, seg: Segment, now: float) -> None:
    """Eighth, check the FIN bit."""
    if c.state is CLOSED or c.rcv.discarding:
        return
    if c.rcv.fin_received or seg.end > c.rcv.edge:
        return  # it came before, or lies outside the window
    c.rcv.on_fin(seg.end - 1)
    _finish(c, now)


def _finish(c: Connection, now: float) -> None:
    """If all data before the peer's FIN is here, so is the FIN."""
    if c.rcv.finish():
        c.fin_received(now)
