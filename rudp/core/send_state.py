"""The state of the send half: its variables and its timers. What is done with them: `sender`.

RFC 9293 sections 3.3.1 (SND.UNA and the others) and 3.8.6.1 (the persist timer); RFC 6298 section
5 (the retransmission timer); RFC 8985 section 8 (RACK's timer and the probe's).

    rto_deadline        something is in flight: it has to be acknowledged by then
    loss_deadline       before that: RACK's reordering window ends, or the tail loss probe is due
    persist_deadline    in place of both: the window is shut, the next window probe
    give_up_deadline    no word from the peer until then ends the connection

Timers are moments, infinite when off. `_arm` lets just those run that the situation asks for.
"""

from __future__ import annotations

import math
from typing import Final

from rudp.core.config import Config
from rudp.core.flight import NONE, Flight
from rudp.core.pacing import Pacer
from rudp.core.recovery import LossRecovery, Recovery
from rudp.core.rtt import RttEstimator
from rudp.core.segment import Segment
from rudp.core.send_buffer import SendBuffer
from rudp.core.skip_test import FIRST, SkipTest
from rudp.core.tlp import probe_timeout

# What a timer has asked for.
WINDOW_PROBE: Final = 1
LOSS_PROBE: Final = 2


class SendState:
    """SND.UNA, SND.NXT, SND.WND and what hangs on them. Sequence numbers are unbounded."""

    __slots__ = (
        "_opening_rtt", "_pacer", "_patience", "_persist_interval", "_probe", "_skip", "_skip_at",
        "_starved_at", "_starved_end", "_starved_una", "_withheld", "board", "buffer", "config",
        "fin_queued", "give_up_deadline", "held_back", "iss", "loss", "loss_deadline", "max_wnd",
        "mss", "nodelay", "nxt", "orphaned", "persist_deadline", "rto_deadline", "rtt", "timeouts",
        "una", "wl1", "wl2", "wnd",
    )

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
        self.buffer = SendBuffer(iss + 1)
        self.nodelay = config.nodelay
        self.fin_queued = False
        self.orphaned = False  # the application has closed for good
        self.rtt = RttEstimator(
            config.initial_rto, config.min_rto, config.max_rto, config.linear_timeouts
        )
        self.loss = LossRecovery(config.max_flight_ranges, self.rtt, iss)
        self.board = self.loss.board
        self._pacer = Pacer()
        # The skip test: the SND.NXT at which to look whether it is time, and what is withheld
        self._skip_at = NONE
        self._opening_rtt = 0.0
        self._skip: SkipTest | None = None
        self._withheld: Flight | None = None
        self.held_back = False  # the last `next_transmission` had something that can wait
        # Timers: moments, infinite when off
        self.rto_deadline = math.inf
        self.loss_deadline = math.inf  # RACK's reordering timer, or the tail loss probe
        self.persist_deadline = math.inf
        self.give_up_deadline = math.inf
        self._persist_interval = 0.0
        # Seconds until a peer that says nothing is given up: RFC 5482, else R2.
        self._patience = config.user_timeout or config.r2
        # Since when the window was too small, and SND.UNA and the end of what was written then
        self._starved_at = 0.0
        self._starved_una = self._starved_end = iss
        self._probe = 0  # a timer allows one transmission
        self.timeouts = 0  # expiries since the last progress

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
            or self._probe > 0
        )

    @property
    def _pending(self) -> bool:
        """There is something that never went out, and it might: the handshake is over."""
        end = self.buffer.end
        return self.mss > 0 and (self.nxt < end or (self.fin_queued and self.nxt == end))

    # -- windows --------------------------------------------------------------------------------

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

    def _avoid_silly_window(self, length: int, unsent: int, more: bool = False) -> int:
        """How much of `length` bytes to send: RFC 9293 section 3.8.6.2.1 and Nagle (3.7.4)."""
        tail = length % self.mss
        if not tail:
            return length
        idle = self.nxt == self.una
        if self.board.full:
            # A peer that acknowledges nothing must not have us keep a record for each byte.
            return length - tail
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

    # -- the skip test ---------------------------------------------------------------------------

    def _withhold(self, now: float) -> None:
        """SND.NXT is at `_skip_at`: pass over the next segment, if it is time."""
        nxt, mss, loss, cwnd = self.nxt, self.mss, self.loss, self.loss.cc.cwnd
        begun = self._skip is not None
        skip = self._skip = self._skip or SkipTest(self._opening_rtt, self.iss)
        self._skip_at = skip.next_look(nxt, cwnd, now)
        if not begun or not skip.due(nxt, cwnd, self.rtt.srtt, now):
            return  # the first look is always at the same place: anybody can be honest there
        usable = min(self.wnd, self.config.send_buffer) - (nxt - self.una)
        room = min(min(usable, self.buffer.end - nxt) - mss, cwnd - self.board.pipe)
        if not loss.calm or room < mss:
            # There is enough to repair, or nothing would follow what is withheld: later.
            self._skip_at = nxt if loss.calm else nxt + FIRST
            return
        stamp = loss.rate.on_sent(self.board.pipe, 0, now)
        self._withheld = self.board.on_withheld(nxt, nxt + mss, now, stamp)
        self.nxt = nxt + mss
        loss.calm = False

    def _caught(self, seg: Segment) -> bool:
        """`seg` acknowledges what was withheld, be it by SACK."""
        if self._withheld is None:
            return False
        start = self._withheld.start
        return seg.ack > start or any(
            left <= start < right <= self.nxt for left, right in seg.sack_blocks
        )

    def _stop_withholding(self, withheld: Flight, now: float) -> bool:
        """False while nobody misses `withheld` and nothing else has happened. Else it goes out now,
        whatever cwnd says: like what is lost, but this is its first time."""
        board = self.board
        alone = board.lost == withheld.end - withheld.start and not board.sacked
        if alone and self.loss.state is Recovery.OPEN and not self._probe:
            return False
        if self._skip is not None and board.sacked:
            self._skip.passed(self.rtt.srtt)
        self._withheld = None
        withheld.first, withheld.first_sent_at = board.sends + 1, now
        self.loss.force = True
        return True

    # -- timers ----------------------------------------------------------------------------------

    def next_deadline(self) -> float:
        deadline = self.rto_deadline
        if self.loss_deadline < deadline:
            deadline = self.loss_deadline
        if self.persist_deadline < deadline:
            deadline = self.persist_deadline
        if self.give_up_deadline < deadline:
            deadline = self.give_up_deadline
        if self._pacer.deadline < deadline:
            deadline = self._pacer.deadline
        return deadline

    def on_persist(self, now: float) -> None:
        """The persist timer expired: let one probe out and wait twice as long (SHLD-30)."""
        self._probe = WINDOW_PROBE
        self.timeouts += 1
        self._persist_interval = min(self._persist_interval * 2, self.config.max_rto)
        self.persist_deadline = now + self._persist_interval

    def _arm(self, now: float, heard: bool = False, probe: bool = False) -> None:
        """Let just the timer run that the situation asks for; `heard` from the peer just now.

        `probe`: time for the tail loss probe begins anew.
        """
        outstanding = self.nxt > self.una
        if not outstanding and not self._pending:
            self._disarm()
            return
        if self._stuck():
            self._persist(now, heard)
            return
        if self.persist_deadline < math.inf:
            self._leave_persist(heard)
        if not outstanding:
            self.rto_deadline = self.loss_deadline = self.give_up_deadline = math.inf
            return
        if self.rto_deadline == math.inf:
            self.rto_deadline = now + self.rtt.rto  # RFC 6298 section 5.1
        if self.give_up_deadline == math.inf:
            self.give_up_deadline = now + self._patience
        if self.loss.sack:
            self._arm_for_loss(now, probe)

    def _watch(self, now: float) -> None:
        """As `_arm`, for data that went out, or was acknowledged, just now and in perfect order."""
        rto = self.rtt.rto
        if self.rto_deadline == math.inf:
            self.rto_deadline = now + rto  # RFC 6298 section 5.1
        if self.give_up_deadline == math.inf:
            self.give_up_deadline = now + self._patience
        if self.loss.sack:
            # RFC 8985 section 7.2: the probe's time begins anew.
            deadline = now + probe_timeout(self.rtt.srtt, self.nxt - self.una <= self.mss)
            last = self.rto_deadline
            self.loss_deadline = deadline if deadline < last else last

    def _arm_for_loss(self, now: float, probe: bool) -> None:
        """RFC 8985 section 8: one timer for RACK's reordering window and for the probe."""
        loss, board = self.loss, self.board
        deadline = loss.rack.deadline
        # Section 7.2: not in recovery, nothing SACKed, no probe out.
        quiet = loss.state is Recovery.OPEN and not board.sacked and not board.lost
        if deadline == math.inf and quiet and loss.probe.end < 0 and not self.timeouts:
            if not probe:
                return  # as it is
            pto = probe_timeout(self.rtt.srtt, self.nxt - self.una <= self.mss)
            deadline = min(now + pto, self.rto_deadline)
        self.loss_deadline = deadline

    def _persist(self, now: float, heard: bool) -> None:
        """The window is shut: let the persist timer run, and no other."""
        if self.persist_deadline == math.inf:
            # SHLD-29: the first probe comes when the window was shut for an RTO.
            self._persist_interval = self.rtt.rto
            self.persist_deadline = now + self._persist_interval
            self.give_up_deadline = math.inf
            if self._probe == LOSS_PROBE:
                self._probe = 0
        # MUST-37: as long as it answers, the peer may keep its window shut for ever, unless
        # the user set a limit, or has closed: then nobody else could end it.
        limited = self.config.user_timeout is not None or self.orphaned
        if self.give_up_deadline == math.inf or (heard and not limited):
            self.give_up_deadline = self._end_of_patience(limited, now)
        self.rto_deadline = self.loss_deadline = math.inf

    def _end_of_patience(self, limited: bool, now: float) -> float:
        """When a peer is given up whose window is shut now, and may not stay so if `limited`."""
        patience = self._patience
        goes_on = self.una < self._starved_end and self.una - self._starved_una < self.mss
        if goes_on and limited:
            # It takes an octet now and then: of what was there in the beginning something is still
            # not acknowledged, and what is has not made up a segment.
            return self._starved_at + patience
        self._starved_at, self._starved_una, self._starved_end = now, self.una, self.buffer.end
        after_probe = self.persist_deadline + min(patience, self._persist_interval)
        return max(now + patience, after_probe)

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
        self._probe = 0
        if heard and self.timeouts:
            # Only what a probe has shown not to be taken: a peer that opens and shuts its window
            # with each ACK would have us send all of it again each time.
            self.loss.window_opened()
        self.timeouts = 0

    def _disarm(self) -> None:
        self.rto_deadline = self.loss_deadline = math.inf
        self.persist_deadline = self.give_up_deadline = math.inf
        self._probe = 0
        self.timeouts = 0
