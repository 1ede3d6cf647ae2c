"""Opening a connection: SYNs go out until they are answered, and what they agree on.

RFC 9293 sections 3.5, 3.10.7.2 (LISTEN) and 3.10.7.3 (SYN-SENT); RFC 7323 section 2 (window scale),
RFC 2018 section 2 (SACK-permitted), RFC 6298 section 5.7 (lost SYNs).

    SYN-SENT      a SYN that carries all that we offer
    SYN-RECEIVED  a SYN-ACK that carries what the peer's SYN offered as well
    ESTABLISHED   from SYN-SENT, while both sides are silent: the ACK of the SYN-ACK, again

What comes after, in the states that have sequence numbers, is in `arrival`.
"""

from __future__ import annotations

import errno
import math
from typing import TYPE_CHECKING, Final

from rudp.core import stray
from rudp.core.config import MIN_MSS
from rudp.core.receiver import MAX_WINDOW_FIELD
from rudp.core.segment import ACK, CWR, ECE, FIN, RST, SYN, Segment
from rudp.core.seq import unwrap
from rudp.core.state import SYN_RCVD, SYN_SENT
from rudp.core.timestamps import TICK

if TYPE_CHECKING:
    from rudp.core.connection import Connection

MAX_SHIFT: Final = 14
"""RFC 7323 section 2.3: a larger shift count is to be taken for this one."""

MAX_ANSWERS: Final = 3
"""Datagrams that a SYN is worth, SYN-ACKs for the most part. Its sender's address may be forged,
and no SYN-ACK is larger than its SYN: so whoever really has the address gets no more than three
times what was sent in his name (as RFC 9000 section 8)."""

CONFIRMING: Final = 60.0
"""Seconds for which the ACK that ends an active open is repeated: about as long as the peer may
wait for it, in SYN-RECEIVED."""

UNKNOWN: Final = math.inf
"""When a SYN-ACK went out of which nothing was kept."""

TIMESTAMP_BYTES: Final = 12
"""What the timestamps option takes in every header, with its padding."""


class Handshake:
    """When our SYN was sent, when it is due again, and when that is given up; later the same of the
    ACK that ends an active open."""

    __slots__ = (
        "allowance",
        "deadline",
        "due",
        "give_up",
        "interval",
        "max_retransmissions",
        "repeated",
        "retransmissions",
        "sent_at",
    )

    def __init__(
        self, now: float, timeout: float, max_retransmissions: float, allowance: float
    ) -> None:
        self.allowance = allowance  # datagrams that may go out unless the peer says something
        self.repeated = False  # because the peer's SYN came again
        self.due = False  # a SYN or SYN-ACK goes out at the next opportunity
        self.sent_at = now
        self.deadline = math.inf  # of the retransmission timer
        self.give_up = now + timeout
        self.interval = 0.0  # between two of the ACK
        self.max_retransmissions = max_retransmissions
        self.retransmissions = 0

    def begin(self, now: float, rto: float) -> None:
        """We have just entered SYN-SENT or SYN-RECEIVED."""
        self.due = True
        self.deadline = now + rto

    def on_sent(self, now: float, rto: float) -> None:
        """The SYN or SYN-ACK has gone out."""
        self.due = False
        self.allowance -= 1
        self.sent_at = now
        self.deadline = min(now + rto, max(now, self.give_up))

    def on_timeout(self, now: float, rto: float) -> bool:
        """The timer expired: True to go on, with another SYN if there may be one; False to give up.
        """
        if now >= self.give_up or self.retransmissions >= self.max_retransmissions:
            return False
        self.retransmissions += 1
        self.due = self.allowance > 0
        if not self.due:
            self.deadline = min(now + rto, max(now, self.give_up))
        return True

    def confirm(self, now: float, initial_rto: float) -> None:
        """We have just entered ESTABLISHED from SYN-SENT."""
        # Not the RTO: an answer to the second SYN-ACK makes it seconds, for data to be cautious.
        self.interval = initial_rto
        self.deadline = now + initial_rto
        self.give_up = now + CONFIRMING

    def on_repeated(self, now: float) -> None:
        """The ACK goes out again."""
        self.interval *= 2
        self.deadline = now + self.interval if now < self.give_up else math.inf

    def stop(self) -> None:
        """It is over, one way or the other."""
        self.due = False
        self.deadline = math.inf


def syn_segment(c: Connection) -> Segment:
    """SYN in SYN-SENT, SYN-ACK in SYN-RECEIVED, with the options offered or agreed on."""
    # RFC 3168 section 6.1.1: ECE and CWR in a SYN offer ECN, ECE alone in a SYN-ACK accepts it.
    if c.state is SYN_RCVD:
        flags = SYN | ACK | (ECE if c.ecn else 0)
    else:
        if c.handshake.retransmissions:
            c.ecn = False  # section 6.1.1.1: something on the way may not like the bits
        flags = SYN | (ECE | CWR if c.ecn else 0)
    # RFC 7323 section 2.2: the window of a SYN is never scaled.
    wnd = min(c.rcv.buffer, MAX_WINDOW_FIELD)
    seg = Segment(c.local_port, c.peer_port, c.snd.iss, c.rcv.nxt, flags, wnd)
    # Deviation: RFC 9293 section 3.7.1, SHLD-5, wants the MSS in every SYN. In answer to a SYN
    # without it a SYN-ACK would be larger than what it answers, and we an amplifier.
    seg.mss = c.mss if c.peer_mss is not None or not c.passive else None
    seg.window_scale = c.rcv_shift if c.window_scaling else None
    seg.sack_permitted = c.sack
    return seg


def accept_syn(c: Connection, seg: Segment, now: float) -> None:
    """A SYN for a listener, or for SYN-SENT by simultaneous open: enter SYN-RECEIVED.

    Data on the SYN is not taken: the acknowledgment tells the peer to send it again.
    """
    _negotiate(c, seg, now)
    c.snd.wnd = c.snd.max_wnd = seg.wnd
    c.snd.wl1 = seg.seq
    c.set_state(SYN_RCVD)
    c.handshake.begin(now, c.snd.rtt.rto)


def syn_ack_was_sent(c: Connection) -> None:
    """The SYN-ACK of `c`, in SYN-RECEIVED, went out before there was a `c` (`syn_cookie`)."""
    c.handshake.stop()
    c.handshake.sent_at = UNKNOWN
    c.last_ack_sent = c.rcv.nxt


def _negotiate(c: Connection, seg: Segment, now: float) -> None:
    """RCV.NXT, IRS and the options that this SYN brings. What it does not offer is not used."""
    c.rcv.start(seg.seq, min(c.rcv.buffer, MAX_WINDOW_FIELD))
    c.window_scaling = c.window_scaling and seg.window_scale is not None
    if c.window_scaling and seg.window_scale is not None:
        c.snd_shift = min(seg.window_scale, MAX_SHIFT)
    else:
        c.rcv_shift = 0  # RFC 7323 section 2.2: both or none
    c.sack = c.sack and seg.sack_permitted
    c.ecn = c.ecn and offers_ecn(seg)
    if seg.ts_val is None:
        c.timestamps = None
    if c.timestamps is not None and seg.ts_val is not None:
        c.timestamps.start(seg.ts_val, now)
    c.peer_mss = seg.mss


def offers_ecn(seg: Segment) -> bool:
    """An ECN-setup SYN, or an ECN-setup SYN-ACK (RFC 3168 section 6.1.1)."""
    return seg.flags & (ECE | CWR) == (ECE if seg.flags & ACK else ECE | CWR)


def syn_sent(c: Connection, seg: Segment, now: float) -> None:
    """SYN-SENT STATE, section 3.10.7.3."""
    snd = c.snd
    seg.ack = unwrap(seg.ack, snd.nxt)
    acceptable = False
    # "First, check the ACK bit"
    if seg.flags & ACK:
        if seg.ack <= snd.iss or seg.ack > snd.nxt:
            # "send a reset (unless the RST bit is set, if so drop the segment and return)"
            c.answer(stray.answer_closed(seg))
            return
        acceptable = True
    # "Second, check the RST bit"
    if seg.flags & RST:
        if acceptable:
            c.end(reset_error(errno.ECONNREFUSED, "Connection refused", seg))
        return
    # "Fourth, check the SYN bit". "Fifth, if neither of the SYN or RST bits is set, drop"
    if not seg.flags & SYN or seg.flags & FIN:
        return
    if not acceptable:
        # Simultaneous open: "Otherwise, enter SYN-RECEIVED, form a SYN,ACK segment".
        accept_syn(c, seg, now)
        return
    _negotiate(c, seg, now)
    c.last_heard = now
    establish(c, seg, seg.wnd, now)
    # "form an ACK segment <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK> and send it"; data may go with it.
    c.rcv.ack_soon = True
    c.handshake.confirm(now, c.config.initial_rto)


def timed_out(c: Connection, now: float) -> None:
    """The deadline has passed: the SYN goes out again, or the ACK of the SYN-ACK, or nothing."""
    snd, handshake = c.snd, c.handshake
    if c.state is SYN_SENT or c.state is SYN_RCVD:
        snd.rtt.back_off()
        if not handshake.on_timeout(now, snd.rtt.rto):
            c.end(OSError(errno.ETIMEDOUT, "Connection timed out: no answer to the SYN"))
    elif snd.wl1 > c.rcv.irs or snd.nxt > snd.iss + 1:
        # SND.WL1 has moved on from the SYN-ACK: the peer is in ESTABLISHED too. Or something of
        # ours is on its way: it carries the ACK, and its own timer sees to it that it arrives.
        handshake.stop()
    else:
        # RFC 9293 section 3.8.4: "ACK segments that contain no data are not reliably transmitted by
        # TCP". If ours was lost, the peer is in SYN-RECEIVED; and if its SYN-ACKs have come to an
        # end (ours do after `MAX_ANSWERS`), two that wait for each other's first word would do so
        # for ever. Deviation: so it is the client who asks, as in QUIC, RFC 9002 section 6.2.2.1.
        # A peer that has nothing to say does not answer; one that has forgotten us sends a RST.
        c.rcv.ack_now = True
        handshake.on_repeated(now)


def trim_syn(c: Connection, seg: Segment, now: float) -> bool:
    """A SYN in SYN-RECEIVED: the peer's again, alone or (simultaneous open) with an ACK.

    "In the following it is assumed that the segment is the idealized segment that begins at
    RCV.NXT": the SYN is trimmed off, since it was received. False if nothing is left.
    """
    if seg.seq != c.rcv.irs or seg.flags & RST:
        return True
    if not seg.flags & ACK:
        # It has not seen our SYN-ACK, which will echo the newer timestamp.
        c.handshake.allowance += MAX_ANSWERS
        if c.timestamps is not None and seg.ts_val is not None:
            c.timestamps.start(seg.ts_val, now)
        c.ecn = c.ecn and offers_ecn(seg)
        if c.may_challenge(now):
            c.handshake.due = c.handshake.repeated = True
        return False
    seg.flags &= ~SYN
    seg.seq += 1
    if seg.ack > c.snd.una:
        c.rcv.ack_now = True  # the peer's SYN-ACK wants its ACK
    return True


def establish(c: Connection, seg: Segment, wnd: int, now: float) -> None:
    """Our SYN is acknowledged by `seg`: enter ESTABLISHED. `wnd` is in bytes."""
    snd, handshake = c.snd, c.handshake
    # Not before: our SYN may have to be sent again, and its window is not scaled.
    c.rcv.max_window = MAX_WINDOW_FIELD << c.rcv_shift
    snd.una = snd.iss + 1
    snd.wnd = wnd
    snd.max_wnd = max(snd.max_wnd, wnd)
    snd.wl1, snd.wl2 = seg.seq, seg.ack
    lost = handshake.retransmissions > 0
    sent_at = handshake.sent_at
    if lost or handshake.repeated:
        sent_at = -1.0 if c.timestamps is None else c.timestamps.sent_at(seg.ts_ecr, now)
    if sent_at == UNKNOWN:
        pass  # no sample, but no loss either
    # An echo of an earlier SYN tells how long we waited, not how long the path is. And a peer whose
    # SYN-ACK, or whose ACK of ours, was lost and came again echoes what the lost one did: what took
    # an RTO may be the peer's own, and data would wait for seconds where some are lost again.
    elif sent_at >= handshake.sent_at - TICK and now - sent_at < c.config.initial_rto:
        snd.rtt.sample(now - sent_at)
    else:
        snd.rtt.restart_after_syn_timeout()
    # RFC 9293 section 3.7.1, MUST-16: the least of what the peer and our path can take.
    announced = c.default_mss if c.peer_mss is None else max(c.peer_mss, MIN_MSS)
    mss, overhead = min(announced, c.mss), option_bytes(c)
    snd.establish(mss, overhead, c.sack, lost, c.path_mss)
    c.established(now)


def option_bytes(c: Connection) -> int:
    """What options take in every segment."""
    return TIMESTAMP_BYTES if c.timestamps is not None else 0


def reset_error(number: int, sentence: str, seg: Segment) -> OSError:
    """The exception that a RST causes, with the reason it carries (SHLD-2), made printable."""
    text = bytes(seg.data[:128]).decode("ascii", "replace")
    reason = "".join(letter for letter in text if letter.isprintable()).strip()
    return OSError(number, f"{sentence}: {reason}" if reason else sentence)
