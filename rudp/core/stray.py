"""Answers to segments that belong to no connection (RFC 9293 sections 3.10.7.1 and 3.10.7.2)."""

from __future__ import annotations

from rudp.core.segment import ACK, FIN, RST, SYN, Segment


def answer_closed(seg: Segment) -> Segment | None:
    """The answer where there is neither a connection nor a listener: a RST, or None to a RST.

    It has no data and no options, so that it is never larger than what it answers.
    """
    # "An incoming segment containing a RST is discarded."
    if seg.flags & RST:
        return None
    # "If the ACK bit is on, <SEQ=SEG.ACK><CTL=RST>"
    if seg.flags & ACK:
        return Segment(seg.dst_port, seg.src_port, seg.ack, 0, RST, 0)
    # "If the ACK bit is off, sequence number zero is used,
    # <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>"
    return Segment(seg.dst_port, seg.src_port, 0, seg.seq + seg.len, RST | ACK, 0)


def answer_listen(seg: Segment) -> Segment | None:
    """The answer of a listener to anything but an acceptable SYN; None also if it is one."""
    # First, "an incoming RST should be ignored". Second, "any acknowledgment is bad if it arrives
    # on a connection still in the LISTEN state": RST. Fourth, what has no SYN is dropped.
    return answer_closed(seg) if seg.flags & ACK else None


def opens(seg: Segment) -> bool:
    """Third: this segment asks a listener for a connection.

    SYN with FIN has no meaning in any dialogue of RFC 9293; it comes from scanners only.
    """
    return seg.flags & (SYN | ACK | RST | FIN) == SYN
