"""A sender on its own, and the peer's words put into its mouth. Numbers are stream offsets.

The first byte of the stream stands at `FIRST`, just below 2**32. The sender has measured one round
trip of 0.1 s, so that its RTO is 0.3 s; its segments have 1000 bytes and its initial window is ten
of them. It is not paced, unless a test asks for `congestion="reno"`.
"""

from __future__ import annotations

import math
from typing import Any

from rudp.core.config import Config
from rudp.core.congestion import AckSample, Reno
from rudp.core.segment import ACK, FIN, PSH, Segment
from rudp.core.sender import Sender
from rudp.core.timestamps import Timestamps

ISS = 2**32 - 2501
FIRST = ISS + 1
PEER = 77_000
"""SEG.SEQ of what the peer sends."""

MSS = 1000
RTO = 0.3

Sent = tuple[int, int]
"""Offsets: from, to."""


class Unpaced(Reno):
    """Reno that lets everything out at once that its window has room for."""

    def on_ack(self, sample: AckSample) -> None:
        super().on_ack(sample)
        self.pacing_rate = math.inf


def stream(start: int, end: int) -> bytes:
    """The bytes [start, end) that the application writes."""
    return bytes(i % 251 for i in range(start, end))


def established(
    wnd: int = 1 << 20, *, mss: int = MSS, sack: bool = True, avoid: bool = False, **config: Any
) -> Sender:
    """Just established; with `avoid` in congestion avoidance, where cwnd hardly moves."""
    config.setdefault("congestion", Unpaced)
    snd = Sender(Config(**config), ISS)
    snd.una = FIRST
    snd.wnd = snd.max_wnd = wnd
    snd.wl1, snd.wl2 = PEER, FIRST
    snd.establish(mss, 0, sack, syn_lost=False)
    snd.rtt.sample(0.1)
    if avoid:
        snd.cc.ssthresh = snd.cc.cwnd
    return snd


def write(snd: Sender, size: int) -> None:
    start = snd.buffer.end - FIRST
    snd.buffer.append(stream(start, start + size))


def segments(snd: Sender, now: float, more: bool = False) -> list[tuple[int, int, str]]:
    """All that goes out now: (from, to, flags); a FIN takes a number of its own, as in SEG.LEN."""
    out = []
    while (transmission := snd.next_transmission(now, more)) is not None:
        seq, data, flags = transmission
        start = seq - FIRST
        assert data == stream(start, start + len(data))
        letters = ("F" if flags & FIN else "") + ("P" if flags & PSH else "")
        out.append((start, start + len(data) + (flags & FIN), letters))
    return out


def flush(snd: Sender, now: float, more: bool = False) -> list[Sent]:
    """All that goes out now, without the flags."""
    return [(start, end) for start, end, _ in segments(snd, now, more)]


def ack(
    snd: Sender,
    offset: int,
    now: float,
    *sacked: Sent,
    wnd: int | None = None,
    data: bytes = b"",
    echoed: float | None = None,
) -> None:
    """The peer acknowledges `offset`, tells of `sacked`, and has a window of `wnd` bytes.

    With timestamps its ACK echoes that of a segment which went out at `echoed`.
    """
    timestamps = None if echoed is None else Timestamps(0)
    blocks = tuple((FIRST + left, FIRST + right) for left, right in sacked)
    seg = Segment(2, 1, PEER, FIRST + offset, ACK, 0, data, sack_blocks=blocks)
    if timestamps is not None and echoed is not None:
        seg.ts_val, seg.ts_ecr = 0, timestamps.clock(echoed)
    changed = snd.update_window(seg.seq, seg.ack, snd.wnd if wnd is None else wnd)
    snd.on_ack(seg, changed, timestamps, now)


def expire(snd: Sender) -> float:
    """The clock goes on to the next deadline and the timer expires there; returns that moment.

    The timers of RACK and of the tail loss probe are passed over: `tick` has them, too.
    """
    snd.loss_deadline = math.inf
    return tick(snd)


def tick(snd: Sender) -> float:
    """The clock goes on to the next deadline, whatever it is for; returns that moment."""
    now = snd.next_deadline()
    snd.on_loss_timer(now)
    if snd.rto_deadline <= now:
        snd.on_rto(now)
    if snd.persist_deadline <= now:
        snd.on_persist(now)
    return now
