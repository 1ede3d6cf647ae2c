"""TIME-WAIT: what is left of a connection for 2 MSL after both FINs were acknowledged.

RFC 9293 sections 3.6 and 3.10.7.4; RFC 1337 (a RST must not end it early); RFC 6191 (when a new SYN
may). A record of a few numbers, since a busy client or server has thousands of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rudp.core.receiver import MAX_WINDOW_FIELD
from rudp.core.segment import ACK, FIN, RST, SYN, Segment
from rudp.core.seq import unwrap
from rudp.core.state import TIME_WAIT
from rudp.core.timestamps import Timestamps

if TYPE_CHECKING:
    from rudp.core.connection import Connection


class TimeWait:
    """Answers late segments of a finished connection until `deadline`."""

    __slots__ = (
        "deadline",
        "local_port",
        "msl",
        "next_answer",
        "peer_port",
        "rcv_nxt",
        "rcv_wnd",
        "snd_nxt",
        "timestamps",
    )

    def __init__(
        self,
        local_port: int,
        peer_port: int,
        snd_nxt: int,
        rcv_nxt: int,
        rcv_wnd: int,
        timestamps: Timestamps | None,
        msl: float,
        now: float,
    ) -> None:
        """`rcv_wnd` is as on the wire; `timestamps` None where they were not agreed on."""
        self.local_port = local_port
        self.peer_port = peer_port
        self.snd_nxt = snd_nxt
        self.rcv_nxt = rcv_nxt
        self.rcv_wnd = rcv_wnd
        self.timestamps = timestamps
        self.msl = msl
        self.deadline = now + 2 * msl
        self.next_answer = now

    def reopens(self, seg: Segment) -> bool:
        """May this SYN begin a new connection at once? (RFC 6191 section 2, MAY-2)"""
        if seg.flags & (SYN | ACK | RST | FIN) != SYN:
            return False
        known = self.timestamps
        if known is not None and seg.ts_val is not None:
            newer = unwrap(seg.ts_val, known.recent)
            if newer != known.recent:
                return newer > known.recent
        # Without timestamps, or with equal ones, the sequence number has to be beyond the old.
        return unwrap(seg.seq, self.rcv_nxt) > self.rcv_nxt

    def receive(self, seg: Segment, now: float) -> Segment | None:
        """The answer to a late segment, if any."""
        # RFC 1337 section 3, fix F1: a RST is ignored in TIME-WAIT.
        if seg.flags & RST:
            return None
        if seg.flags & FIN and seg.flags & ACK and unwrap(seg.end, self.rcv_nxt) == self.rcv_nxt:
            # "The only thing that can arrive in this state is a retransmission of the remote FIN.
            # Acknowledge it, and restart the 2 MSL timeout."
            self.deadline = now + 2 * self.msl
        elif now < self.next_answer:
            # Two such records would answer each other for ever: at most two ACKs in a second.
            return None
        else:
            self.next_answer = now + 0.5
        ack = Segment(
            self.local_port, self.peer_port, self.snd_nxt, self.rcv_nxt, ACK, self.rcv_wnd
        )
        if self.timestamps is not None:
            ack.ts_val = self.timestamps.clock(now)
            ack.ts_ecr = self.timestamps.recent
        return ack


def remember(c: Connection, now: float) -> TimeWait:
    """The record of `c`, which is in TIME-WAIT."""
    assert c.state is TIME_WAIT
    wnd = min(c.rcv.wnd >> c.rcv_shift, MAX_WINDOW_FIELD)
    ports, numbers = (c.local_port, c.peer_port), (c.snd.nxt, c.rcv.nxt)
    record = TimeWait(*ports, *numbers, wnd, c.timestamps, c.config.msl, now)
    record.deadline = c.end_deadline
    return record
