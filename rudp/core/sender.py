"""The send half of a connection: what to send next, and what an acknowledgment means.

RFC 9293 section 3.8 (data communication), RFC 5681 and 6675 (loss recovery), RFC 6298 (timer).

    `write` -> `SendBuffer` -> `next_transmission` -> segments -> `on_ack` -> released

Loss recovery decides *what* goes out (lost data first, then new data), congestion control *how
much* (the pipe stays within cwnd), the peer's window *how far*. The sender knows neither the
connection nor the receive half; `Connection` turns what it returns into segments.
"""

from __future__ import annotations

import enum
import math
from typing import Final

from rudp.core.config import MIN_MSS, Config
from rudp.core.congestion import AckSample
from rudp.core.rtt import RttEstimator
from rudp.core.scoreboard import DUP_THRESH, Scoreboard
from rudp.core.segment import FIN, PSH, Buffer, Segment
from rudp.core.send_buffer import SendBuffer
from rudp.core.timestamps import TICK, Timestamps

MAX_SUPER: Final = 65000
"""Most bytes of data in one super-segment of several: with its headers it fits one GSO send."""


def super_size(mss: int) -> int:
    """Most payload of a super-segment: whole segments, one at least."""
    return max(1, MAX_SUPER // mss) * mss


class Recovery(enum.Enum):
    """What loss recovery is at. Outside of OPEN, `snd.recovery_point` has to be acknowledged."""

    OPEN = "open"
    FAST = "fast"  # RFC 6675, RFC 6582: after duplicate acknowledgments
    TIMEOUT = "timeout"  # RFC 5681 section 3.1: slow start after the retransmission timer


class Sender:
    """SND.UNA, SND.NXT, SND.WND and what hangs on them. Sequence numbers are unbounded."""

    def __init__(self, config: Config, iss: int) -> None:
        self.config = config
        self.iss = iss
        self.una = iss
        self.nxt = iss + 1  # the SYN takes the first sequence number
        self.wnd = 0
        self.wl1 = 0
        self.wl2 = 0
        self.max_wnd = 0  # MAX.SND.WND of RFC 5961 section 5
        self.mss = 0  # payload of a full segment, in bytes; set by `establish`
        self._super = 0  # most payload of a super-segment: whole segments
        self.sack = False
        self.buffer = SendBuffer(iss + 1)
        self.board = Scoreboard(config.max_flight_ranges)
        self._sample = AckSample()
        self.rtt = RttEstimator(config.initial_rto, config.min_rto, config.max_rto)
        self.nodelay = config.nodelay
        self.fin_queued = False
        # Loss recovery
        self.recovery = Recovery.OPEN
        self.recovery_point = iss
        self.dup_acks = 0
        self._limited = 0  # bytes sent by limited transmit since the last progress
        self._force = False  # one lost segment may go out whatever cwnd says
        self._cwnd_limited = False
        self.held_back = False  # the last `next_transmission` had something that can wait
        # Timers: moments, infinite when off
        self.rto_deadline = math.inf
        self.persist_deadline = math.inf
        self.give_up_deadline = math.inf
        self._persist_interval = 0.0
        self._probe = False  # the persist timer allows one transmission
        self._last_sent = -math.inf
        self.timeouts = 0  # expiries since the last progress
        # Counters
        self.bytes_sent = 0
        self.bytes_retransmitted = 0
        self.total_retransmissions = 0

    def establish(self, mss: int, overhead: int, sack: bool, syn_lost: bool) -> None:
        """The options are agreed: `mss` bytes at most, `overhead` of them options in each."""
        # RFC 6691 section 2: options come out of the announced size.
        self.mss = mss - overhead
        self._super = super_size(self.mss)
        self.sack = sack
        algorithm = self.config.congestion_control()
        # RFC 5681 section 3.1: after a lost SYN the initial window is one segment.
        self.cc = algorithm(self.mss, 1 if syn_lost else self.config.initial_window)

    def lower_mss(self, mss: int) -> None:
        """From now on segments hold at most `mss` bytes, be they new or sent again."""
        self.mss = min(self.mss, max(mss, MIN_MSS))
        self.cc.on_mss(self.mss)
        self._super = super_size(self.mss)

    # -- facts -----------------------------------------------------------------------------------

    @property
    def flight_size(self) -> int:
        """FlightSize of RFC 5681: sent and not yet cumulatively acknowledged."""
        return self.nxt - self.una

    @property
    def unsent(self) -> int:
        """Bytes written that never went out."""
        return max(0, self.buffer.end - self.nxt)

    @property
    def fin_sent(self) -> bool:
        return self.fin_queued and self.nxt > self.buffer.end

    @property
    def fin_acked(self) -> bool:
        return self.fin_queued and self.una > self.buffer.end

    @property
    def wants_to_send(self) -> bool:
        """There is something to send, though it may not be allowed yet."""
        end = self.buffer.end
        return self.mss > 0 and (
            self.nxt < end
            or (self.fin_queued and self.nxt == end)
            or self.board.lost > 0
            or self._probe
        )

    @property
    def _pending(self) -> bool:
        """There is something that never went out."""
        return self.nxt < self.buffer.end or (self.fin_queued and self.nxt == self.buffer.end)

    # -- acknowledgments -------------------------------------------------------------------------

    def update_window(self, seq: int, ack: int, wnd: int) -> bool:
        """Take the peer's window if this segment is the newest word on it. `wnd` is in bytes."""
        # RFC 9293 section 3.10.7.4, fifth: SND.WL1 and SND.WL2 keep old segments out. Deviation: a
        # segment that acknowledges new data is no old one, even if it fills a gap below SND.WL1;
        # its ACK with the old window would move the right edge beyond what the peer ever said.
        if self.wl1 < seq or (self.wl1 == seq and self.wl2 <= ack) or ack > self.una:
            changed = wnd != self.wnd
            self.wl1 = max(seq, self.wl1)
            self.wl2 = ack
            self.wnd = wnd
            if wnd > self.max_wnd:
                self.max_wnd = wnd
            return changed
        return False

    def on_ack(
        self, seg: Segment, window_changed: bool, timestamps: Timestamps | None, now: float
    ) -> None:
        """An acceptable acknowledgment: SND.UNA =< SEG.ACK =< SND.NXT.

        `timestamps`: to read the echo in `seg` by; None if they were not agreed on.
        """
        board = self.board
        flight_size, ack = self.nxt - self.una, seg.ack
        progress = ack > self.una
        if not flight_size and not window_changed:
            return  # nothing is under way, and nothing was said: it came to bring data
        delivered, sent_at = 0, -1.0
        if progress:
            first_sent_at = board.flights[0].sent_at
            delivered, sent_at = board.on_ack(ack)
            self.una = ack
            self.buffer.release(ack)
            if sent_at < 0.0 and timestamps is not None:
                # RFC 7323 section 4: timestamps measure retransmissions too; but an echo of what
                # was sent before the last retransmission tells how long we waited.
                echoed = timestamps.sent_at(seg.ts_ecr, now)
                sent_at = echoed if echoed >= first_sent_at - TICK else -1.0
        if seg.sack_blocks and self.sack:
            news, when = board.on_sack(seg.sack_blocks, self.una, self.nxt)
            delivered += news
            sent_at = max(sent_at, when)
        if sent_at >= 0.0:
            self.rtt.sample(now - sent_at)
        if progress:
            self._on_progress(now)
        elif self.sack:
            self.dup_acks += delivered > 0  # RFC 6675 section 2: it SACKs something new
        else:
            self._count_duplicate(seg, window_changed)
        before = self.recovery
        if progress and before is Recovery.OPEN:
            delivered = flight_size - (self.nxt - self.una)  # what was SACKed before counts now
        if not progress and before is not Recovery.FAST:
            delivered = 0  # RFC 3042 section 2: cwnd stays as it is
        self._recover(delivered, progress, flight_size - self._limited, now)
        if progress:
            self._limited = 0
        self._arm(now, heard=True)

    def _on_progress(self, now: float) -> None:
        self.timeouts = 0
        if self.una == self.nxt:
            self.rto_deadline = math.inf  # RFC 6298 section 5.2
        else:
            self.rto_deadline = now + self.rtt.rto  # RFC 6298 section 5.3
        self.give_up_deadline = math.inf

    def _count_duplicate(self, seg: Segment, window_changed: bool) -> None:
        # RFC 5681 section 2: data is outstanding, the ACK carries nothing and changes nothing.
        shut = self.persist_deadline < math.inf  # then it answers a window probe
        if seg.len == 0 and not window_changed and seg.ack == self.una and not shut:
            limit = self.recovery_point - self.una
            self.dup_acks += self.recovery is not Recovery.FAST or self.dup_acks * self.mss < limit
            # RFC 5681 section 3.2, steps 1 and 4: a segment has left the network. As with SACK,
            # it leaves the pipe, and new data may take its place.

    def _recover(self, delivered: int, progress: bool, flight_size: int, now: float) -> None:
        """Loss detection, and the word to congestion control."""
        if self.recovery is not Recovery.OPEN and self.una >= self.recovery_point:
            self.cc.on_recovered(now)
            self.recovery = Recovery.OPEN
        if progress and self.recovery is Recovery.FAST and not self.sack:
            # RFC 6582 section 3.2, step 3: a partial ACK names the next loss. It takes back as much
            # of the inflation as it acknowledges, less a segment.
            self.dup_acks = max(0, self.dup_acks - delivered // self.mss + 1)
            self.board.mark_head_lost(self.mss)
            self._force = True
        elif progress:
            self.dup_acks = 0
        marked = self.board.mark_lost(self.mss) if self.board.sacked else 0
        fresh = self.sack or self.una > self.recovery_point  # RFC 6582 section 3.2, step 2
        if not marked and fresh and self.dup_acks >= DUP_THRESH and self.recovery is Recovery.OPEN:
            marked = self.board.mark_head_lost(self.mss)
        if marked and self.recovery is Recovery.OPEN:
            # RFC 6675 section 5, step 4; FlightSize is what it was before this ACK.
            self.recovery = Recovery.FAST
            self.recovery_point = self.nxt
            self.cc.on_loss(flight_size, now)
            self._force = True
        elif delivered and self.recovery is not Recovery.FAST:
            sample = self._sample
            sample.now = now
            sample.acked = delivered
            sample.delivered += delivered
            sample.progress = progress
            sample.in_flight = self.board.pipe
            sample.srtt = self.rtt.srtt
            sample.min_rtt = self.rtt.min_rtt
            sample.cwnd_limited = self._cwnd_limited
            sample.recovering = self.recovery is not Recovery.OPEN
            self.cc.on_ack(sample)

    # -- what to send ----------------------------------------------------------------------------

    def next_transmission(self, now: float, more: bool) -> tuple[int, Buffer, int] | None:
        """What to send now: (SEQ, data, flags FIN and PSH), at most a super-segment; or None.

        Called until it returns None. The data counts as sent. `more`: what does not fill a segment
        can wait.
        """
        self.held_back = False
        if self.board.lost and self.persist_deadline == math.inf:
            return self._retransmit(now)
        if self._probe:
            return self._window_probe(now)
        return self._new_data(now, more) if self._pending else None

    def _retransmit(self, now: float) -> tuple[int, Buffer, int] | None:
        flight = self.board.next_lost()
        assert flight is not None
        length = min(flight.end - flight.start, self._super)
        room = self._room()
        if room < min(length, self.mss):
            if not self._force and self.board.pipe > 0:
                self._cwnd_limited = True
                return None
            length = min(length, self.mss)
        else:
            length = min(length, max(self.mss, room // self.mss * self.mss))
        # SHLD-16: data that a shrunken window no longer covers waits for the window. RFC 9293
        # section 3.8.6: the first segment may always be tried.
        usable = self.una + self.wnd - flight.start
        length = min(length, usable if flight.start > self.una else max(self.mss, usable))
        if length <= 0:
            return None
        self._force = False
        self.board.on_retransmitted(flight, flight.start + length, now)
        self.bytes_retransmitted += length
        self.total_retransmissions += 1
        return self._emit(flight.start, flight.end, now)

    def _new_data(self, now: float, more: bool) -> tuple[int, Buffer, int] | None:
        nxt, mss = self.nxt, self.mss
        pipe = self.board.pipe
        if not pipe and self._last_sent + self.rtt.rto < now:
            self.cc.on_restart(now - self._last_sent, self.rtt.rto, now)  # RFC 5681 section 4.1
        usable = min(self.wnd, self.config.send_buffer) - (nxt - self.una)
        unsent = self.buffer.end - nxt
        if usable <= 0:
            self._cwnd_limited = False
            self._arm(now)
            return None
        room = self._room()
        if pipe and room < mss and room < unsent:
            self._cwnd_limited = True
            return None
        length = unsent
        if length > mss or length > usable:
            length = min(unsent, usable, max(mss, room // mss * mss), self._super)
        if length != mss and unsent:
            length = self._avoid_silly_window(length, unsent, more)
            if not length:
                self._cwnd_limited = False
                self._arm(now)
                return None
        end = nxt + length
        if self.fin_queued and length == unsent and length < usable:
            end += 1  # the FIN goes with the last byte
        self.nxt = end
        self.board.on_sent(nxt, end, now)
        if self.recovery is Recovery.OPEN and self.dup_acks:
            self._limited += end - nxt  # RFC 5681 section 3.2, step 2: no part of FlightSize
        self._cwnd_limited = False
        return self._emit(nxt, end, now)

    def _avoid_silly_window(self, length: int, unsent: int, more: bool = False) -> int:
        """How much of `length` bytes to send: RFC 9293 section 3.8.6.2.1 and Nagle (3.7.4)."""
        tail = length % self.mss
        if not tail:
            return length
        idle = self.nxt == self.una
        if length == unsent:
            # Rule 2: all that there is. Nagle holds a small segment while data is on its way;
            # nothing follows a FIN, so nothing is worth waiting for.
            if self.fin_queued or idle or self.nodelay:
                if not more or self.fin_queued:
                    return length
                self.held_back = True
        elif 0 < length < self.mss and length >= min(self.max_wnd, self.config.send_buffer) // 2:
            return length  # Rule 3: half of the largest window the peer ever had.
        return length - tail

    def _window_probe(self, now: float) -> tuple[int, Buffer, int] | None:
        """RFC 9293 section 3.8.6.1: at least one octet goes into a window that is shut."""
        self._probe = False
        usable = min(self.wnd, self.config.send_buffer) - self.flight_size
        if usable > 0 and self._pending and self.nxt == self.una:
            # Rule 4 of the sender's SWS avoidance: the timeout overrides, send what fits.
            length = min(usable, self.unsent, self.mss)
        elif self.nxt > self.una:
            flight = self.board.flights[0]
            self.board.mark_all_lost()
            if self.board.next_lost() is not flight:
                return None
            end = min(flight.end, self.una + 1)
            self.board.on_retransmitted(flight, end, now)
            self.bytes_retransmitted += end - flight.start
            self.total_retransmissions += 1
            return self._emit(flight.start, flight.end, now)
        else:
            length = min(self.unsent, 1)
        start = self.nxt
        self.nxt = start + max(length, 1)  # with no data left, the octet is the FIN
        self.board.on_sent(start, self.nxt, now)
        return self._emit(start, self.nxt, now)

    def _emit(self, start: int, end: int, now: float) -> tuple[int, Buffer, int]:
        """[start, end) goes out at `now`: cut it from the buffer and see to the timers."""
        limit = self.buffer.end
        flags = PSH if start < limit <= end else 0  # the last byte there is (MUST-61)
        if self.fin_queued and end > limit:
            flags |= FIN
            end = limit
        data = self.buffer.slice(start, end) if end > start else b""
        self.bytes_sent += len(data)
        self._last_sent = now
        self._arm(now)
        return start, data, flags

    def _room(self) -> int:
        """Bytes that congestion control lets into the network."""
        room = self.cc.cwnd - self.board.pipe
        if not self.sack and self.recovery is not Recovery.TIMEOUT:
            # RFC 5681 section 3.2: each duplicate ACK says that a segment has left; RFC 3042
            # lets the first two send new data too.
            room += min(self.dup_acks * self.mss, self.board.pipe)
        return room

    # -- timers ----------------------------------------------------------------------------------

    def next_deadline(self) -> float:
        return min(self.rto_deadline, self.persist_deadline, self.give_up_deadline)

    def on_rto(self, now: float) -> None:
        """The retransmission timer expired: RFC 6298 section 5.4 to 5.6, RFC 5681 section 3.1."""
        in_flight = self.nxt - self.una
        first = self.timeouts == 0 and self.recovery is not Recovery.TIMEOUT
        self.timeouts += 1
        self.rtt.back_off()
        self.board.mark_all_lost()
        self.dup_acks = 0
        self.recovery = Recovery.TIMEOUT
        self.recovery_point = self.nxt
        self.cc.on_timeout(in_flight, first, now)
        self._force = True
        self.rto_deadline = now + self.rtt.rto

    def on_persist(self, now: float) -> None:
        """The persist timer expired: let one probe out and wait twice as long (SHLD-30)."""
        self._probe = True
        self.timeouts += 1
        self._persist_interval = min(self._persist_interval * 2, self.config.max_rto)
        self.persist_deadline = now + self._persist_interval

    def _arm(self, now: float, heard: bool = False) -> None:
        """Let just the timer run that the situation asks for; `heard` from the peer just now."""
        outstanding = self.nxt > self.una
        if not outstanding and not self._pending:
            self._disarm()
            return
        if self._stuck():
            if self.persist_deadline == math.inf:
                # SHLD-29: the first probe comes when the window was shut for an RTO.
                self._persist_interval = self.rtt.rto
                self.persist_deadline = now + self._persist_interval
                self.give_up_deadline = math.inf
            # MUST-37: as long as it answers, the peer may keep its window shut for ever, unless
            # the user set a limit.
            if self.give_up_deadline == math.inf or (heard and self.config.user_timeout is None):
                patience = self._patience()
                after_probe = self.persist_deadline + min(patience, self._persist_interval)
                self.give_up_deadline = max(now + patience, after_probe)
            self.rto_deadline = math.inf
            return
        if self.persist_deadline < math.inf:
            self._leave_persist(heard)
        if not outstanding:
            self.rto_deadline = self.give_up_deadline = math.inf
            return
        if self.rto_deadline == math.inf:
            self.rto_deadline = now + self.rtt.rto  # RFC 6298 section 5.1
        if self.give_up_deadline == math.inf:
            self.give_up_deadline = now + self._patience()

    def _stuck(self) -> bool:
        """Only a probe can get on: the window is shut, or too small to be worth a segment."""
        if self.wnd == 0:
            return True
        if self.nxt > self.una or not self._pending:
            return False
        usable = min(self.wnd, self.config.send_buffer)
        unsent = self.buffer.end - self.nxt
        length = min(unsent, usable)
        return unsent > 0 and length < self.mss and not self._avoid_silly_window(length, unsent)

    def _leave_persist(self, heard: bool) -> None:
        """Back to normal; `heard` if because the window opened, not because a probe went out."""
        self.persist_deadline = math.inf
        self.give_up_deadline = math.inf
        self._probe = False
        self.timeouts = 0
        if heard:
            self.board.mark_all_lost()  # what was sent into the shut window was not taken

    def _disarm(self) -> None:
        self.rto_deadline = self.persist_deadline = self.give_up_deadline = math.inf
        self._probe = False
        self.timeouts = 0

    def _patience(self) -> float:
        """Seconds until a peer that says nothing is given up: RFC 5482, else R2."""
        return self.config.user_timeout or self.config.r2

    def clear(self) -> None:
        """Nothing more will be sent: the connection is over."""
        self._disarm()
        self.board.clear()
        self.buffer = SendBuffer(min(self.nxt, self.buffer.end))
