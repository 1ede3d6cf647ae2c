"""The send half of a connection: what to send next, and what an acknowledgment means.

RFC 9293 section 3.8 (data communication), RFC 6298 (the retransmission timer).

    `write` -> `SendBuffer` -> `next_transmission` -> segments -> `on_ack` -> released

Loss recovery (`recovery`) decides *what* goes out (lost data first, then new data), congestion
control *how much* (the pipe stays within cwnd), pacing *how fast*, the peer's window *how far*. The
sender knows neither the connection nor the receive half; `Connection` turns what it returns into
segments.
"""

from __future__ import annotations

import math
from typing import Final

from rudp.core.config import MIN_MSS, Config
from rudp.core.congestion import AckSample
from rudp.core.pacing import QUANTUM
from rudp.core.pmtud import PathMtu
from rudp.core.recovery import Recovery
from rudp.core.segment import CWR, ECE, FIN, PSH, Buffer, Segment
from rudp.core.send_buffer import SendBuffer
from rudp.core.send_state import LOSS_PROBE, WINDOW_PROBE, SendState
from rudp.core.skip_test import FIRST
from rudp.core.timestamps import Timestamps
from rudp.core.undo import FRTO_NEW_DATA, FRTO_OFF

MAX_SUPER: Final = 65000
"""Most bytes of data in one super-segment of several: with its headers it fits one GSO send."""


def super_size(mss: int) -> int:
    """Most payload of a super-segment: whole segments, one at least."""
    return max(1, MAX_SUPER // mss) * mss


class Sender(SendState):
    """What goes out, and what comes of an acknowledgment."""

    __slots__ = (
        "_ceiling", "_limited_until", "_overhead", "_quiet_since", "_super", "bytes_sent", "cc",
        "path", "probe_path_at", "sample", "total_retransmissions",
    )

    def __init__(self, config: Config, iss: int) -> None:
        super().__init__(config, iss)
        self._super = 0  # most payload of a super-segment: whole segments
        self.path: PathMtu | None = None  # the search, once it has begun
        self.probe_path_at = math.inf  # when it goes on, if there is enough to send
        self._ceiling = 0  # where it ends: payload of a segment; 0: nothing is to be found out
        self._overhead = 0  # options in each segment, in bytes
        self.sample = AckSample()  # what congestion control is told
        self._limited_until = -1  # SND.NXT when cwnd kept something back last
        self._quiet_since = -math.inf  # when the last progress was
        self.bytes_sent = 0
        self.total_retransmissions = 0

    def establish(
        self, mss: int, overhead: int, sack: bool, syn_lost: bool, begin: int = 0
    ) -> None:
        """The options are agreed: `mss` bytes at most, `overhead` of them options in each.

        `begin`: what the path is known to carry of them, if the rest is to be found out; else 0.
        Without SACK nobody could answer a probe, and the path has to be taken at its word.
        """
        # RFC 6691 section 2: options come out of the announced size.
        self.mss = mss - overhead
        self._overhead = overhead
        if begin:
            self._ceiling = self.mss
            if begin < mss and sack:
                self.mss = begin - overhead
                self.probe_path_at = -math.inf
        self._super = super_size(self.mss)
        algorithm = self.config.congestion_control()
        # RFC 5681 section 3.1: after a lost SYN the initial window is one segment.
        self.cc = algorithm(self.mss, 1 if syn_lost else self.config.initial_window)
        self.loss.establish(self.mss, sack, self.cc)
        if sack:
            self._skip_at = self.una + FIRST
            self._opening_rtt = self.rtt.srtt

    # -- what the path carries -------------------------------------------------------------------

    def lower_mss(self, mss: int) -> None:
        """From now on segments hold at most `mss` bytes, be they new or sent again."""
        mss = max(mss, MIN_MSS)
        if self.path is not None:
            self.path.lower(mss)
            self._on_path(self.path)
        self._ceiling = min(self._ceiling, mss)
        if mss < self.mss:
            self._set_mss(mss)

    def _set_mss(self, mss: int) -> None:
        self.mss = self.loss.mss = mss
        self.cc.on_mss(mss)
        self._super = super_size(mss)

    def _begin_search(self) -> PathMtu:
        """Only now: most connections are over, or idle, before there is anything to search for."""
        path = self.path = PathMtu(self.mss, self._ceiling, self._overhead)
        return path

    def _on_path(self, path: PathMtu) -> None:
        """The search has got on: heed it."""
        if self.loss.sack:
            self.probe_path_at = path.next_at
        if path.size != self.mss:
            self._set_mss(path.size)

    def path_probe(self, now: float) -> int:
        """The size of a probe of the path that goes out now, as octets up to SND.UNA; 0: none.

        Only asked for from `probe_path_at` on, while there is more under way than a segment: else
        nobody needs to know.
        """
        if self.timeouts:
            return 0  # first of all something has to get through
        path = self.path or self._begin_search()
        size = path.due(now)
        if size:
            path.on_sent(self.una - size, self.una, now, self.rtt.rto)
        self._on_path(path)
        return size

    def _leave_black_hole(self) -> None:
        """RFC 8899 section 4.3: what goes out again does so in segments that every path carries."""
        path = self.path or self._begin_search()
        if path.on_black_hole(self.nxt - self.una, self.timeouts):
            self._on_path(path)

    # -- acknowledgments -------------------------------------------------------------------------

    def on_ack(
        self, seg: Segment, window_changed: bool, timestamps: Timestamps | None, now: float
    ) -> bool:
        """An acceptable acknowledgment: SND.UNA =< SEG.ACK =< SND.NXT. False: it is a lie.

        `timestamps`: to read the echo in `seg` by; None if they were not agreed on.
        """
        loss, ack, nxt = self.loss, seg.ack, self.nxt
        simple = loss.calm and not seg.sack_blocks and not seg.flags & ECE
        if simple and ack > self.una and self.persist_deadline == math.inf:
            self._on_ack_in_order(ack, now)
            return True
        if self._caught(seg):
            return False
        if self.path is not None and seg.sack_blocks:
            left, right = seg.sack_blocks[0]
            if self.path.answers(left, right, now):
                self._on_path(self.path)
                seg.sack_blocks = seg.sack_blocks[1:]  # to loss recovery it says nothing
                if ack == self.una and not window_changed and not seg.sack_blocks:
                    return True  # without that it looks like the answer to a tail loss probe
        una = self.una
        if una == nxt and not window_changed and not seg.sack_blocks and loss.probe.end < 0:
            return True  # nothing is under way, and nothing was said: it came to bring data
        before = loss.in_flight()
        progress = ack > una
        shut = self.persist_deadline < math.inf  # then it answers a window probe
        # RFC 5681 section 2: data is outstanding, the ACK carries nothing and changes nothing.
        duplicate = ack == una and seg.len == 0 and not window_changed and not shut
        ece = loss.ecn and seg.flags & ECE != 0
        loss.on_ack(seg, una, nxt, duplicate, ece, timestamps, now)
        board = self.board
        assert board.pipe + board.lost + board.sacked == nxt - (ack if progress else una)
        assert 0 <= board.pipe <= nxt - una
        if progress:
            self.una = ack
            self.buffer.release(ack)
            self.timeouts = 0
            # RFC 6298 sections 5.2 and 5.3
            self.rto_deadline = math.inf if ack == nxt else now + self.rtt.rto
            self.give_up_deadline = math.inf
            self._quiet_since = now
        if loss.delivered or loss.newly_lost or ece:
            self._tell(before, una, ece, now)
        self._arm(now, heard=True, probe=progress)
        return True

    def _on_ack_in_order(self, ack: int, now: float) -> None:
        """All that is out was sent once, and an ACK advances in it: as nearly always.

        The same as the rest of `on_ack` does, without what such an ACK cannot bring: recovery
        learns nothing from it.
        """
        loss, rtt, board, told = self.loss, self.rtt, self.board, self.sample
        told.prior_in_flight = board.pipe
        newest = board.on_ack_in_order(ack)
        assert board.pipe == self.nxt - ack  # all of it, since nothing is lost or SACKed
        told.rtt = now - newest.sent_at
        rtt.sample(told.rtt)
        told.now = now
        told.acked = ack - self.una
        told.progress = True
        told.newly_lost = 0
        told.in_flight = board.pipe
        told.srtt = rtt.srtt
        told.min_rtt = rtt.min_rtt
        told.cwnd_limited = self.una < self._limited_until
        told.recovering = told.ece = False
        loss.rate.on_delivered(told.acked, newest.stamp, now, told)
        self.una = ack
        self.buffer.release(ack)
        self.cc.on_ack(told)
        self.timeouts = 0
        self._quiet_since = now
        # RFC 6298 sections 5.2 and 5.3
        self.rto_deadline = self.give_up_deadline = self.loss_deadline = math.inf
        if ack < self.nxt and self.wnd:
            self._watch(now)
        elif ack < self.buffer.end or self.fin_queued:
            self._arm(now, heard=True)

    def _tell(self, before: int, una: int, ece: bool, now: float) -> None:
        """Let congestion control know of an ACK, or of what a timer has marked.

        `before` and `una`: the pipe and SND.UNA as they were.
        """
        loss, rtt, told = self.loss, self.rtt, self.sample
        told.now = now
        told.acked = loss.delivered
        told.progress = self.una > una
        told.newly_lost = loss.newly_lost
        told.prior_in_flight = before
        told.in_flight = loss.in_flight()
        told.rtt = loss.sample
        told.srtt = rtt.srtt
        told.min_rtt = rtt.min_rtt
        told.cwnd_limited = una < self._limited_until
        told.recovering = loss.state is not Recovery.OPEN
        told.ece = ece
        stamp = self.board.lost_stamp
        if loss.newly_lost and stamp is not None:
            loss.rate.tell_lost(stamp, told)
        loss.newly_lost = 0
        loss.measure(told, now)
        self.cc.on_ack(told)

    # -- what to send ----------------------------------------------------------------------------

    def next_transmission(self, now: float, more: bool) -> tuple[int, Buffer, int] | None:
        """What to send now: (SEQ, data, flags FIN, PSH and CWR), at most a super-segment; or None.

        Called until it returns None. The data counts as sent. `more`: what does not fill a segment
        can wait.
        """
        self.held_back = False
        self._pacer.deadline = math.inf
        unsent = self.buffer.end - self.nxt
        if 0 < unsent <= self.mss and self.una == self.nxt and self._simple(unsent, more):
            return self._send_alone(unsent, now)
        if self._probe:
            probe, self._probe = self._probe, 0
            return self._window_probe(now) if probe == WINDOW_PROBE else self._loss_probe(now)
        if self.board.lost and self.persist_deadline == math.inf:
            if self.loss.undo.frto == FRTO_NEW_DATA:
                new = self._new_data(now, more) if self._pending else None
                if new is not None or self.nxt > self.loss.point:
                    return new
                # RFC 5682 section 3.1, step 2b: without new data to send, recover as ever.
                self.loss.undo.frto = FRTO_OFF
            if self._withheld is None or self._stop_withholding(self._withheld, now):
                return self._retransmit(now)
        return self._new_data(now, more) if self._pending else None

    def _simple(self, unsent: int, more: bool) -> bool:
        """Nothing is in flight, and `unsent` bytes, one segment, may go out without ado."""
        return (
            self.loss.calm
            and not more
            and not self.fin_queued
            and unsent <= self.wnd
            and unsent <= self.config.send_buffer
            and self.persist_deadline == math.inf
        )

    def _send_alone(self, unsent: int, now: float) -> tuple[int, Buffer, int]:
        """The small message of which an echo is made: the same as `_new_data` would do."""
        loss, cc, start = self.loss, self.cc, self.nxt
        if self._quiet_since >= 0.0:
            cc.on_restart(now - self._quiet_since, self.rtt.rto, now)
        end = self.nxt = start + unsent
        self.board.on_sent(start, end, now, loss.rate.on_sent(0, unsent, now))
        cc.on_sent(unsent, unsent, now)
        if unsent < cc.cwnd:
            loss.rate.mark_app_limited(unsent)
        self.bytes_sent += unsent
        self._watch(now)
        return start, self.buffer.slice(start, end), PSH

    def _retransmit(self, now: float) -> tuple[int, Buffer, int] | None:
        loss, mss = self.loss, self.mss
        flight = self.board.next_lost()
        assert flight is not None
        # What was written in small pieces goes out again in full segments.
        length = self.board.lost_run(flight, self._super) - flight.start
        before = loss.in_flight()
        room = self.cc.cwnd - before
        forced = loss.force or not self.board.pipe
        if room < min(length, mss):
            if not forced:
                self._limited_until = self.nxt
                return None
            length = min(length, mss)
        else:
            length = min(length, max(mss, room // mss * mss))
        # SHLD-16: data that a shrunken window no longer covers waits for the window. RFC 9293
        # section 3.8.6: the first segment may always be tried.
        usable = self.una + self.wnd - flight.start
        length = min(length, usable if flight.start > self.una else max(mss, usable))
        if not forced and length > 0:
            length = self._paced(length, now)
        if length <= 0:
            return None
        stamp = loss.rate.on_sent(before, length, now)
        loss.on_retransmitted(flight, flight.start + length, stamp, now)
        self.cc.on_sent(length, before + length, now)
        self.total_retransmissions += 1
        if flight.start == self.una:
            # The timer watches over the first segment: from its last transmission on, as in Linux.
            # RFC 6298 section 5 leaves it running, for a second round trip at most.
            self.rto_deadline = now + self.rtt.rto
        return self._emit(flight.start, flight.end, now)

    def _new_data(self, now: float, more: bool) -> tuple[int, Buffer, int] | None:
        if self.nxt >= self._skip_at:
            self._withhold(now)
        nxt, mss, loss, cc = self.nxt, self.mss, self.loss, self.cc
        if nxt == self.una and self._quiet_since >= 0.0:
            cc.on_restart(now - self._quiet_since, self.rtt.rto, now)
        before = loss.in_flight()
        usable = min(self.wnd, self.config.send_buffer) - (nxt - self.una)
        unsent = self.buffer.end - nxt
        if usable <= 0:
            self._arm(now)
            return None
        room = cc.cwnd - before
        if before and room < mss and room < unsent:
            self._limited_until = nxt
            return None
        length = unsent
        if length > mss or length > usable:
            length = min(unsent, usable, max(mss, room // mss * mss), self._super)
        if length != mss and unsent:
            length = self._avoid_silly_window(length, unsent, more)
            if not length:
                self._arm(now)
                return None
        if unsent:
            length = self._paced(length, now)
            if not length:
                return None
        end = nxt + length
        if self.fin_queued and length == unsent and length < usable:
            end += 1  # the FIN goes with the last byte
        return self._send_new(end, before, now)

    def _send_new(self, end: int, before: int, now: float) -> tuple[int, Buffer, int]:
        """New data up to `end` goes out, on top of `before` bytes in flight."""
        loss, start = self.loss, self.nxt
        size = end - start
        assert self.una <= start < end <= self.buffer.end + self.fin_queued
        self.nxt = end
        self.board.on_sent(start, end, now, loss.rate.on_sent(before, size, now))
        self.cc.on_sent(size, before + size, now)
        if loss.dup_acks and loss.state is Recovery.OPEN:
            loss.limited += size  # RFC 5681 section 3.2, step 2: no part of FlightSize
        if end >= self.buffer.end and before + size < self.cc.cwnd and not self.board.lost:
            loss.rate.mark_app_limited(before + size)
        return self._emit(start, end, now, new=True)

    def _paced(self, length: int, now: float) -> int:
        """How much of `length` bytes goes out now: congestion control sets a rate, too."""
        rate = self.cc.pacing_rate
        if rate * QUANTUM >= self.cc.cwnd:
            return length  # a whole window in one burst: the ACKs do the pacing
        return self._pacer.allowance(length, self._floored(rate), self.mss, now)

    def _floored(self, rate: float) -> float:
        """No less than a segment in a round trip: no window is less (RFC 5681 section 3.1, LW).

        An algorithm may have nothing better than what a single octet's round trip told it.
        """
        srtt = self.rtt.srtt
        return rate if rate * srtt >= self.mss or not srtt else self.mss / srtt

    def _window_probe(self, now: float) -> tuple[int, Buffer, int] | None:
        """RFC 9293 section 3.8.6.1: at least one octet goes into a window that is shut."""
        loss = self.loss
        # Deviation from draft-ietf-ccwg-bbr section 4.1.1.3.1: what a probe delivers tells how the
        # peer reads, not what the path carries.
        loss.rate.mark_app_limited(self.board.pipe)
        usable = min(self.wnd, self.config.send_buffer) - self.flight_size
        if usable > 0 and self._pending and self.nxt == self.una:
            # Rule 4 of the sender's SWS avoidance: the timeout overrides, send what fits.
            length = min(usable, self.unsent, self.mss)
        elif self.nxt > self.una:
            flight = self.board.first
            loss.window_opened()
            if flight is None or self.board.next_lost() is not flight:
                return None
            stamp = loss.rate.on_sent(self.board.pipe, 1, now)
            loss.on_retransmitted(flight, min(flight.end, self.una + 1), stamp, now)
            self.total_retransmissions += 1
            return self._emit(flight.start, flight.end, now)
        else:
            length = min(self.unsent, 1)
        # With no data left, the octet is the FIN.
        return self._send_new(self.nxt + max(length, 1), self.board.pipe, now)

    def _loss_probe(self, now: float) -> tuple[int, Buffer, int] | None:
        """TLP_send_probe (RFC 8985 section 7.3), whatever cwnd and the pacing say."""
        loss, before = self.loss, self.loss.in_flight()
        if self.nxt == self.una:
            return None
        # "re-arm the RTO timer": the probe gets all of its time.
        self.rto_deadline = now + self.rtt.rto
        usable = min(self.wnd, self.config.send_buffer) - self.flight_size
        length = min(self.unsent, usable, self.mss)
        if length > 0:
            # "If an unsent segment exists AND the receive window allows new data to be sent"
            end = self.nxt + length
            end += self.fin_queued and end == self.buffer.end and length < usable
            loss.on_probe_of_new_data(end)
            return self._send_new(end, before, now)
        # "Retransmit the highest-sequence segment sent so far."
        flight = self.board.last_segment(self.buffer.end, self.mss)
        if flight is None:
            return None
        loss.on_probed(flight, self.nxt, loss.rate.on_sent(before, 0, now), now)
        self.total_retransmissions += 1
        return self._emit(flight.start, flight.end, now)

    def _emit(self, start: int, end: int, now: float, new: bool = False) -> tuple[int, Buffer, int]:
        """[start, end) goes out at `now`: cut it from the buffer and see to the timers."""
        limit = self.buffer.end
        flags = PSH if start < limit <= end else 0  # the last byte there is (MUST-61)
        if self.fin_queued and end > limit:
            flags |= FIN
            end = limit
        data = self.buffer.slice(start, end) if end > start else b""
        size = len(data)
        if new and self.loss.cwr and size:
            # RFC 3168 section 6.1.2: "the first new data packet sent after the window reduction"
            self.loss.cwr = False
            flags |= CWR
        self.bytes_sent += size
        rate = self.cc.pacing_rate
        if rate * QUANTUM < self.cc.cwnd:
            self._pacer.take(size, self._floored(rate), self.mss, now)
        if self.loss.calm and self.wnd and self.persist_deadline == math.inf:
            self._watch(now)
        else:
            self._arm(now, probe=new)
        return start, data, flags

    # -- timers ----------------------------------------------------------------------------------

    def on_loss_timer(self, now: float) -> None:
        """RACK's reordering timer or the probe's has expired, or pacing lets go on."""
        loss = self.loss
        if self._pacer.deadline <= now:
            self._pacer.deadline = math.inf
        if self.loss_deadline > now:
            return
        self.loss_deadline = math.inf
        if loss.rack.deadline <= now:
            before = loss.in_flight()
            loss.on_reordering_timer(self.una, self.nxt, now)
            if loss.newly_lost:
                self._tell(before, self.una, False, now)
            self.loss_deadline = loss.rack.deadline
        elif self.nxt > self.una:
            # The probe takes the place of the RTO, if that is due too: its time begins anew.
            self._probe = LOSS_PROBE
            self.rto_deadline = now + self.rtt.rto

    def on_rto(self, now: float) -> None:
        """The retransmission timer expired: RFC 6298 section 5.4 to 5.6, RFC 5681 section 3.1."""
        first = self.timeouts == 0
        self.timeouts += 1
        self.rtt.back_off()
        # With the loss probe before the first timeout, two attempts were in vain by now.
        if self._ceiling and (not first or self.loss.probe.end >= 0):
            self._leave_black_hole()
        self.loss.on_timeout(self.una, self.nxt, first, now)
        self.loss_deadline = math.inf
        self._probe = 0
        self.rto_deadline = now + self.rtt.rto

    def clear(self) -> None:
        """Nothing more will be sent: the connection is over."""
        self._disarm()
        self._pacer.deadline = math.inf
        self.loss.clear()
        self.buffer = SendBuffer(min(self.nxt, self.buffer.end))
