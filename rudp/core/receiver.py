"""The receive half of a connection: reassembly, the window, and when to acknowledge.

RFC 9293 section 3.8.6 (window), RFC 5681 section 4.2 (when to ACK), RFC 2018 and 2883 (what a
SACK reports), RFC 7323 section 2 (scaling).

      read by the application | readable |        window          |
    --------------------------+----------+------------------------+-----------
                                        nxt   out of order       edge

The receive buffer holds what is readable and what is out of order. The advertised right edge never
moves back (SHLD-14), and moves on only by steps worth a segment (section 3.8.6.2.2).
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

from rudp.core.config import Config
from rudp.core.reassembly import JOIN, RANGE_COST, Reassembly

INITIAL_BUFFER: Final = 131072
"""Receive buffer that autotuning starts with, in bytes."""

DEFAULT_MSS: Final = 536
"""What a full-sized segment is taken for until one was seen (RFC 9293 section 3.7.1)."""

QUICK_SEGMENTS: Final = 16
"""Full-sized segments at the beginning of a connection that are acknowledged one by one."""

MAX_WINDOW_FIELD: Final = 65535
"""What the window field can say, unscaled."""

DRAIN_TIME: Final = 0.004
"""Seconds that an event loop may take to come back to its socket."""

_NOTHING: Final[deque[bytes]] = deque()
"""What is ready where nothing ever was: idle connections shall be small, and a deque is not."""


class Receiver:
    """RCV.NXT, RCV.WND and what hangs on them. Sequence numbers are unbounded."""

    __slots__ = (
        "_dsack", "_held", "_offset", "_ready", "_socket_buffer", "_tuned_bytes", "_unacked",
        "ack_deadline", "ack_now", "ack_soon", "buffer", "bytes_read", "bytes_received", "config",
        "discarding", "duplicate_acks", "echo_ce", "edge", "fin_received", "fin_seq", "irs",
        "max_window", "mss", "nxt", "readable", "tuned_at",
    )

    def __init__(self, config: Config, mss: int, socket_buffer: int) -> None:
        """`mss` is what we announce; `socket_buffer` what the UDP socket below can hold."""
        self.config = config
        # A full-sized segment is the largest seen so far: the path may be narrower than `mss`.
        self.mss = min(mss, DEFAULT_MSS)
        self.irs = 0
        self.nxt = 0
        self.edge = 0  # the right edge as advertised: RCV.NXT + RCV.WND
        self.fin_seq: int | None = None
        self.fin_received = False
        self.readable = 0
        self.discarding = False  # nobody will read: window and buffer stay as they are
        self._ready = _NOTHING
        self._offset = 0  # bytes of the first ready piece that were read
        self._held = Reassembly(
            min(config.max_reassembly_ranges, config.receive_buffer // RANGE_COST)
        )
        self._socket_buffer = socket_buffer
        self.max_window = MAX_WINDOW_FIELD  # what the window field can say, scaled
        self.buffer = config.receive_buffer
        if config.receive_autotuning:
            self.buffer = min(self.buffer, max(INITIAL_BUFFER, min(4 * mss, socket_buffer)))
        self.tuned_at = 0.0
        self._tuned_bytes = 0
        # Acknowledgments owed
        self.ack_now = False
        self.ack_soon = False  # what the application is about to do may carry it
        self.ack_deadline = math.inf
        self.duplicate_acks = 0  # without SACK each out-of-order segment is told by one
        self._unacked = 0  # bytes received in order since the last ACK went out
        self._dsack: tuple[int, int] | None = None
        self.echo_ce = False  # ECE goes into every ACK, until the peer says CWR
        # Counters
        self.bytes_received = 0
        self.bytes_read = 0

    def start(self, irs: int, window: int) -> None:
        """The peer's SYN has come; `window` is what our SYN or SYN-ACK says, in bytes."""
        self.irs = irs
        self.nxt = irs + 1
        self.edge = self.nxt + window

    @property
    def wnd(self) -> int:
        """RCV.WND: what the peer may send from `nxt` on, as it was told."""
        return self.edge - self.nxt

    # -- segments come in ------------------------------------------------------------------------

    def acceptable(self, seq: int, length: int) -> bool:
        """RFC 9293 section 3.10.7.4, table 6.

        Deviation: an empty segment may also stand at the right edge, where a peer that filled the
        window acknowledges from while what it sent is lost (section 3.10.7.4 and appendix A.2).
        And if the window is shut, one octet further: the peer has sent that as a probe.
        """
        nxt, edge = self.nxt, self.edge
        if length == 0:
            return nxt <= seq <= edge or (edge == nxt and seq == edge + 1)
        return edge > nxt and (nxt <= seq < edge or nxt <= seq + length - 1 < edge or (
            seq < nxt and seq + length >= edge))

    def on_data(self, seq: int, data: bytes, wire_len: int, now: float) -> None:
        """Segment text at `seq`, some of it inside the window, in segments of `wire_len` bytes."""
        end = seq + len(data)
        if wire_len > self.mss:
            self.mss = wire_len
        if seq == self.nxt and end <= self.edge and self.fin_seq is None:
            self._in_order(data, now)
            return
        if self.fin_seq is not None and end > self.fin_seq:
            data = data[: max(0, self.fin_seq - seq)]  # nothing can follow a FIN
            end = seq + len(data)
        if seq < self.nxt:
            self._report_duplicate(seq, min(end, self.nxt))
            data = data[self.nxt - seq :]
            seq = self.nxt
        if end > self.edge:
            data = data[: self.edge - seq]
            end = self.edge
            self.ack_now = True
        if not data:
            return
        if seq == self.nxt:
            self._in_order(data, now)
        else:
            self._out_of_order(seq, data)

    def _in_order(self, data: bytes, now: float) -> None:
        self.duplicate_acks = 0  # they would repeat an ACK that is out of date now
        if self._held.bytes:
            data = self._beside_held(data)
        self._queue(data)
        length = len(data)
        if self._held.bytes:
            # RFC 5681 section 4.2: a segment that fills a gap is acknowledged at once.
            self.ack_now = True
            for piece in self._held.take(self.nxt + length):
                self._queue(piece)
                length += len(piece)
        self.nxt += length
        assert self.nxt <= self.edge
        self.readable += length
        self.bytes_received += length
        self._unacked += length
        # RFC 5681 section 4.2: at least every second full-sized segment is acknowledged. In the
        # beginning each is: the peer's window may be so small that it waits for it.
        owed = self.mss
        if self.bytes_received >= QUICK_SEGMENTS * owed:
            owed *= 2
        delay = self.config.delayed_ack
        if self._unacked >= owed or not delay:
            self.ack_now = True
        elif self.ack_deadline == math.inf:
            self.ack_deadline = now + delay

    def _queue(self, data: bytes) -> None:
        """`data` can be read. Small pieces that wait are joined: see `reassembly.JOIN`."""
        ready = self._ready
        if ready is _NOTHING:
            ready = self._ready = deque()
        if ready and len(ready[-1]) + len(data) <= JOIN:
            ready[-1] += data
        else:
            ready.append(data)

    def _beside_held(self, data: bytes) -> bytes:
        """What of `data` at RCV.NXT comes before all that is held; the rest joins that."""
        overlap = self._held.overlap(self.nxt, self.nxt + len(data))
        if overlap is None:
            return data
        self._report_duplicate(*overlap)
        size = overlap[0] - self.nxt
        self._held.add(overlap[0], data[size:])  # the first copy of a byte wins
        return data[:size]

    def _out_of_order(self, seq: int, data: bytes) -> None:
        overlap = self._held.overlap(seq, seq + len(data))
        self._held.add(seq, data)
        if overlap is not None:
            self._report_duplicate(*overlap)
        self.ack_now = True
        self.duplicate_acks += max(1, -(-len(data) // self.mss))

    def on_ecn(self, reduced: bool, marked: bool) -> None:
        """New data came: `reduced` with CWR set, `marked` with CE in the IP header."""
        # RFC 3168 section 6.1.3: ECE in every ACK from CE to CWR, which may come again with CE.
        self.echo_ce = marked or (self.echo_ce and not reduced)

    def on_duplicate(self, seq: int, length: int) -> None:
        """A segment that brings nothing new: the peer missed our ACK."""
        self._report_duplicate(seq, min(seq + length, self.nxt))
        self.ack_now = True

    def _report_duplicate(self, left: int, right: int) -> None:
        # RFC 2883 section 4: the first block of the next ACK says what came twice.
        if right > left:
            self._dsack = (left, right)
        self.ack_now = True

    def on_fin(self, seq: int) -> None:
        """The peer's FIN stands at `seq`; `finish` says when all before it has been received.

        One before what has come already contradicts that, and is none.
        """
        if self.fin_seq is None and seq >= self.nxt and seq >= self._held.end:
            self.fin_seq = seq
        self.ack_soon = True

    def finish(self) -> bool:
        """True, once, when the data up to the peer's FIN is complete; RCV.NXT passes the FIN."""
        if self.fin_received or self.fin_seq is None or self.nxt < self.fin_seq:
            return False
        self.fin_received = True
        self.nxt = self.fin_seq + 1
        self.edge = max(self.edge, self.nxt)
        self._held.clear()
        self.ack_soon = True
        return True

    # -- the application reads -------------------------------------------------------------------

    def read(self, max_bytes: int) -> bytes:
        """The next bytes in order, at most `max_bytes`: one received piece, not a joined copy."""
        if not self._ready:
            return b""
        data = self._ready[0]
        offset = self._offset
        if len(data) - offset > max_bytes:
            self._offset = offset + max_bytes
            data = data[offset : offset + max_bytes]
        else:
            self._offset = 0
            self._ready.popleft()
            if offset:
                data = data[offset:]
        self.readable -= len(data)
        self.bytes_read += len(data)
        if not self.ack_now and not self.fin_received and self._worth_an_update():
            self.ack_now = True
        return data

    def _worth_an_update(self) -> bool:
        """The peer should hear at once how much more room there is."""
        gain = self.nxt + min(self.buffer - self.readable, self.max_window) - self.edge
        if gain >= self.buffer // 2:
            # What a SYN could not say for want of scaling is no news to who has sent little.
            return self.bytes_read >= min(self.mss, self.buffer // 4)
        return gain >= self.mss and self.edge - self.nxt < 2 * self.mss

    def tune(self, srtt: float, now: float) -> None:
        """Dynamic right-sizing, once a round trip: see that the window is not what limits.

        If the application took more than half of the buffer within a round trip, the peer may
        well be limited by the window: double it.
        """
        taken = self.bytes_read - self._tuned_bytes
        self.tuned_at = now
        self._tuned_bytes = self.bytes_read
        if 2 * taken < self.buffer or not self.config.receive_autotuning:
            return
        # The bytes wait in the socket's buffer until the loop comes round; what the network can
        # deliver in that time has to fit there, or the kernel drops it.
        ceiling = self._socket_buffer * max(1.0, srtt / DRAIN_TIME)
        self.buffer = max(
            self.buffer, int(min(2 * self.buffer, self.config.receive_buffer, ceiling))
        )

    # -- acknowledgments go out ------------------------------------------------------------------

    def advance_window(self) -> int:
        """Move the right edge as far as the buffer allows; returns RCV.WND."""
        if self.discarding:
            return self.edge - self.nxt
        window = self.buffer - self.readable
        if window > self.max_window:
            window = self.max_window
        gain = self.nxt + window - self.edge
        if gain >= self.mss or gain >= self.buffer // 2:
            # RFC 9293 section 3.8.6.2.2: steps of min( Fr * RCV.BUFF, Eff.snd.MSS ), Fr = 1/2.
            self.edge += gain
        assert self.edge >= self.nxt
        return self.edge - self.nxt

    def sack_blocks(self, count: int) -> tuple[tuple[int, int], ...]:
        """What a SACK option should say, in up to `count` blocks; a DSACK is said once."""
        dsack = self._dsack
        if dsack is None:
            return self._held.blocks(count) if self._held else ()
        self._dsack = None
        # RFC 2883 section 4.2: the range that a duplicate is part of follows it.
        return (dsack, *self._held.blocks(count - 1))

    @property
    def has_sack(self) -> bool:
        return bool(self._held) or self._dsack is not None

    def on_ack_sent(self) -> None:
        """An ACK of everything has gone out."""
        self.ack_now = self.ack_soon = False
        self.ack_deadline = math.inf
        self.duplicate_acks = 0
        self._unacked = 0

    def clear(self) -> None:
        """Nobody will read what is here."""
        self._ready.clear()
        self._offset = 0
        self._held.clear()
        self.readable = 0
        self._dsack = None


def window_shift(buffer: int) -> int:
    """RFC 7323 section 2.3: the least shift that lets the window field say all of `buffer`."""
    shift = 0
    while buffer >> shift > MAX_WINDOW_FIELD:
        shift += 1
    return shift
