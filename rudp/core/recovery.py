"""Loss recovery: what an ACK says of the data in flight, what is lost, and when that is over.

    OPEN      all is well, as far as anybody knows
    CWR       the network marked something (ECN): a window of data goes by, nothing was lost
    FAST      something was lost: RACK found it (RFC 8985), or duplicate ACKs did without SACK
              (RFC 6582)
    TIMEOUT   the retransmission timer expired (RFC 5681 section 3.1, RFC 6298 section 5)

Outside of OPEN, `point` has to be acknowledged, and congestion control has been told once. It is
told again when a retransmission is lost too (RFC 5681 section 4.3: "lowered twice").

`LossRecovery` decides; `rack` (what is lost), `tlp` (the probe) and `undo` (whether it was all a
mistake) report to it, and the scoreboard remembers. It knows nothing of windows, of the
application's data and of timers other than RACK's: those are the sender's, as are SND.UNA and
SND.NXT, which are told to it.
"""

from __future__ import annotations

import enum
import math
from typing import Final

from rudp.core.congestion import AckSample, CongestionControl
from rudp.core.delivery_rate import DeliveryRate, Stamp
from rudp.core.flight import SACKED, Arrivals, Flight
from rudp.core.rack import ROUNDING, Rack
from rudp.core.rtt import RttEstimator
from rudp.core.scoreboard import Scoreboard
from rudp.core.segment import Segment
from rudp.core.timestamps import TICK, Timestamps
from rudp.core.tlp import LossProbe, Verdict
from rudp.core.undo import FRTO_NEW_DATA, FRTO_OFF, FRTO_REPEATED, Undo

DUP_THRESH: Final = 3
"""RFC 5681 section 3.2, RFC 8985 section 6.2: so much evidence needs no reordering window."""


class Recovery(enum.Enum):
    """What loss recovery is at. Outside of OPEN, `point` has to be acknowledged."""

    OPEN = "open"
    CWR = "cwr"
    FAST = "fast"
    TIMEOUT = "timeout"


class LossRecovery:
    """One connection's. `cc` and `mss` are there once the options are agreed on."""

    __slots__ = (
        "_credit", "_echoed", "_ecn_point", "_reduced_at", "_undone", "board", "calm",
        "calm_from", "cc", "cwr", "delivered", "delivered_ce", "dsack_bytes", "dsacks", "dup_acks",
        "ecn", "force", "limited", "mss", "newly_lost", "news", "point", "probe", "rack", "rate",
        "retransmitted", "rtt", "sack", "sample", "state", "timeouts", "undo",
    )

    cc: CongestionControl

    def __init__(self, limit: int, rtt: RttEstimator, point: int) -> None:
        self.board = Scoreboard(limit)
        self.rack = Rack()
        self.probe = LossProbe()
        self.undo = Undo()
        self.rate = DeliveryRate()
        self.news = Arrivals()
        self.rtt = rtt
        self.sack = False
        self.mss = 0
        self.state = Recovery.OPEN
        self.point = point  # RecoveryPoint of RFC 6675, recover of RFC 6582
        self.calm = True  # all in flight was sent once, and nothing but cumulative ACKs came for it
        self.calm_from = -1  # from this SND.UNA on it is calm again, unless something else happens
        self.dup_acks = 0
        self.limited = 0  # bytes sent by limited transmit since the last progress
        self.force = False  # one lost segment may go out whatever cwnd says
        self.newly_lost = 0  # bytes, since congestion control heard of them
        self.delivered = 0  # bytes that the last ACK is the first to tell of
        self.sample = -1.0  # the round-trip time that it measured; -1.0: none
        self._echoed = -1.0  # when what the last ACK echoes went out; -1.0: not known
        self._credit = 0  # bytes that duplicate ACKs without SACK told of in advance
        self._reduced_at = -math.inf  # when congestion control was told of a loss last
        # SND.NXT at the last undo. Until that is acknowledged there is no other: it costs a look at
        # all that is in flight, and a peer would have a recovery begin and undone by every ACK.
        self._undone = -1
        # ECN (RFC 3168)
        self.ecn = False
        self.cwr = False  # CWR is to go out with the next new data
        self._ecn_point = point
        # Counters
        self.delivered_ce = 0  # bytes
        self.dsacks = 0
        self.dsack_bytes = 0
        self.retransmitted = 0  # bytes
        self.timeouts = 0

    def establish(self, mss: int, sack: bool, cc: CongestionControl) -> None:
        """The options are agreed."""
        self.mss = mss
        self.sack = sack
        self.cc = cc

    def in_flight(self) -> int:
        """Bytes that are in the network, as far as can be told."""
        pipe = self.board.pipe
        if self.dup_acks and not self.sack and self.state is not Recovery.TIMEOUT:
            # RFC 5681 section 3.2: each duplicate ACK says that a segment has left; RFC 3042 lets
            # the first two send new data too.
            return max(0, pipe - self.dup_acks * self.mss)
        return pipe

    # -- acknowledgments -------------------------------------------------------------------------

    def on_ack(
        self,
        seg: Segment,
        una: int,
        nxt: int,
        duplicate: bool,
        ece: bool,
        timestamps: Timestamps | None,
        now: float,
    ) -> None:
        """An ACK of data in flight. `una` is SND.UNA as it was; `duplicate` by RFC 5681 section 2.

        Tells congestion control of what begins and ends here, but not of the ACK itself.
        """
        ack, progress = seg.ack, seg.ack > una
        flight_size = nxt - una - self.limited
        self._read(seg, una, nxt, timestamps, now)
        dsack = self._read_dsack(seg) if seg.sack_blocks and self.sack else None
        self._count(progress, duplicate, una)
        verdict = self.probe.on_ack(ack, dsack, duplicate and not seg.sack_blocks)
        if verdict is Verdict.REPAIRED and self.state is Recovery.OPEN:
            # RFC 8985 section 7.4.2: "Invoke congestion control" as for a loss that is over.
            self.cc.on_loss(flight_size, now)
            self.cc.on_recovered(now)
        if self.undo.going_on and ack > self._undone and self._mistaken(
            seg, una, dsack, timestamps
        ):
            self._undone = nxt
            self._undo(now)
        ended = self._end(ack, now)
        if self.sack:
            self.rack.on_arrivals(self.news, max(self.board.high_sacked, ack), now)
            # A network that duplicates sends DSACKs too, and so may a liar: no more of them count
            # than there were retransmissions. The one of a needless probe says nothing of order.
            late = dsack is not None and self.dsack_bytes <= self.retransmitted
            self.rack.adapt(ack, nxt, late and verdict is not Verdict.NEEDLESS, ended)
            self._judge(nxt, flight_size, now)
        else:
            self._judge_without_sack(progress, ack, nxt, flight_size, now)
        if ece and self.state is Recovery.OPEN and ack > self._ecn_point:
            self._on_ecn(nxt, flight_size, now)
        if progress:
            self.limited = 0
        board = self.board
        clean = self.state is Recovery.OPEN and not self.dup_acks and self.probe.end < 0
        if self.calm or board.first is None or 0 <= self.calm_from <= ack:
            self.calm = clean and not board.sacked and not board.lost and not self.cwr

    def _read(
        self, seg: Segment, una: int, nxt: int, timestamps: Timestamps | None, now: float
    ) -> None:
        """Put the ACK onto the scoreboard, and measure the round trip."""
        board, news, ack = self.board, self.news, seg.ack
        # RFC 8985 section 6.2, step 2: what was sent again less than a round trip ago, or after
        # what the ACK echoes, may have arrived as the original.
        trusted = now - self.rtt.min_rtt + ROUNDING
        echoed = -1.0
        if timestamps is not None:
            echoed = timestamps.sent_at(seg.ts_ecr, now)
            if 0.0 <= echoed < trusted - TICK:
                trusted = echoed + TICK
        news.clear(trusted)
        self._echoed = echoed
        sent_at = -1.0
        if ack > una:
            first = board.first
            assert first is not None
            first_sent_at = first.sent_at
            board.on_ack(ack, news)
            if news.sampled_at < 0.0 and echoed >= first_sent_at - TICK:
                # RFC 7323 section 4: timestamps measure retransmissions too; but an echo of what
                # was sent before the last retransmission tells how long we waited.
                sent_at = echoed
        if seg.sack_blocks and self.sack:
            board.on_sack(seg.sack_blocks, ack, nxt, news)
        sent_at = max(sent_at, news.sampled_at)
        self.sample = -1.0
        if sent_at >= 0.0:
            self.sample = now - sent_at
            self.rtt.sample(self.sample)

    def _read_dsack(self, seg: Segment) -> tuple[int, int] | None:
        """The duplicate that the ACK reports: RFC 2883 section 4."""
        left, right = first = seg.sack_blocks[0]
        if left >= right:
            return None
        if right > seg.ack:
            if len(seg.sack_blocks) < 2:
                return None
            outer = seg.sack_blocks[1]
            if not outer[0] <= left < right <= outer[1]:
                return None
        self.dsacks += 1
        self.dsack_bytes += right - left
        return first

    def _count(self, progress: bool, duplicate: bool, una: int) -> None:
        """Duplicate ACKs, and how much this ACK says has arrived."""
        size = self.news.size
        self.delivered = size
        if self.sack:
            # RFC 6675 section 2: a duplicate ACK SACKs something new.
            self.dup_acks = 0 if progress else self.dup_acks + (size > 0)
        elif progress:
            # RFC 9937 section 6: "the change in SND.UNA minus 1 SMSS for each preceding duplicate".
            self.delivered = max(0, size - self._credit)
            self._credit = max(0, self._credit - size)
        elif duplicate and self._counts(una):
            # RFC 5681 section 3.2, steps 1 and 4: a segment has left the network. As with SACK,
            # it leaves the pipe, and new data may take its place.
            self.dup_acks += 1
            if self.state is not Recovery.TIMEOUT and self._credit < self.board.pipe:
                self.delivered = self.mss
                self._credit += self.mss

    def _counts(self, una: int) -> bool:
        """There are no more duplicates than segments that can cause them, whatever is claimed."""
        if self.state is Recovery.FAST:
            return self.dup_acks * self.mss < self.point - una
        return self.dup_acks < DUP_THRESH  # RFC 3042: two let new data out, the third is a loss

    def measure(self, sample: AckSample, now: float) -> None:
        """Fill the delivery rate into the sample of this ACK."""
        stamp = self.news.stamp
        if self.delivered and stamp is not None:
            self.rate.on_delivered(self.delivered, stamp, now, sample)
        else:
            self.rate.delivered += self.delivered  # by duplicate ACKs: when sent, is not known
            self.rate.on_nothing(sample)
        if sample.ece:
            self.delivered_ce += self.delivered

    # -- losses ----------------------------------------------------------------------------------

    def _judge(self, nxt: int, flight_size: int, now: float) -> None:
        """RACK has its say: RFC 8985 section 6.2, steps 4 and 5."""
        state = self.state
        eager = (
            state is Recovery.FAST
            or state is Recovery.TIMEOUT
            or self.dup_acks >= DUP_THRESH
            or self.board.sacked > (DUP_THRESH - 1) * self.mss
        )
        marked = self.rack.detect(self.board, self.rack.window(self.rtt, eager), now)
        if not marked:
            return
        self._lost(marked)
        if state is Recovery.OPEN or state is Recovery.CWR:
            self._begin(nxt, flight_size, now)
        elif self.rack.lost_again_at >= self._reduced_at:
            # RFC 5681 section 4.3: "the loss of a retransmission, should be taken as two
            # indications of congestion and, therefore, cwnd (and ssthresh) MUST be lowered twice".
            self.undo.end()
            self.state = Recovery.FAST
            # Much of FlightSize was SACKed by now; half of it would be no reduction.
            self._reduce(nxt, min(flight_size, self.cc.ssthresh), now)

    def _judge_without_sack(
        self, progress: bool, ack: int, nxt: int, flight_size: int, now: float
    ) -> None:
        """RFC 6582: the third duplicate ACK names a loss, and a partial ACK the next."""
        if progress and self.state is Recovery.FAST:
            # RFC 6582 section 3.2, step 3. It takes back as much of the inflation as it
            # acknowledges, less a segment.
            self.dup_acks = max(0, self.dup_acks - self.news.size // self.mss + 1)
            self._lost(self.board.mark_head_lost(self.mss))
            self.force = True
        elif progress:
            self.dup_acks = 0
        open_ = self.state is Recovery.OPEN or self.state is Recovery.CWR
        # RFC 6582 section 3.2, step 2: duplicates at `point` may answer what was sent twice.
        fresh = ack > self.point or self.state is Recovery.CWR
        if open_ and fresh and self.dup_acks >= DUP_THRESH:
            self._lost(self.board.mark_head_lost(self.mss))
            self._begin(nxt, flight_size, now)

    def _lost(self, marked: int) -> None:
        self.newly_lost += marked
        self.rate.on_lost(marked)

    def _begin(self, nxt: int, flight_size: int, now: float) -> None:
        """Fast recovery: RFC 5681 section 3.2, RFC 6675 section 5, step 4."""
        told = self.state is Recovery.CWR  # RFC 3168 section 6.1.2: once for a window of data
        self.state = Recovery.FAST
        self.undo.begin()
        self.probe.cancel()
        if told:
            self.point = nxt
            self.undo.end()
            self.force = True
        else:
            self._reduce(nxt, flight_size, now)

    def _reduce(self, nxt: int, flight_size: int, now: float) -> None:
        # FlightSize is what it was before this ACK.
        self.cc.on_loss(flight_size, now)
        self.point = nxt
        self.force = True
        self.cwr = self.ecn
        self._reduced_at = now

    def _on_ecn(self, nxt: int, flight_size: int, now: float) -> None:
        """ECN-Echo: RFC 3168 section 6.1.2, at most once for each window of data."""
        self.cc.on_ecn(flight_size, now)
        self.state = Recovery.CWR
        self.point = self._ecn_point = nxt
        self.cwr = True

    def _end(self, ack: int, now: float) -> bool:
        """All that was out has arrived: True if that ends a recovery of losses."""
        if self.state is Recovery.OPEN or ack < self.point:
            return False
        repaired = self.state is not Recovery.CWR
        self.cc.on_recovered(now)
        self.state = Recovery.OPEN
        self.undo.frto = FRTO_OFF
        return repaired

    # -- mistakes --------------------------------------------------------------------------------

    def _mistaken(
        self,
        seg: Segment,
        una: int,
        dsack: tuple[int, int] | None,
        timestamps: Timestamps | None,
    ) -> bool:
        """The ACK proves that nothing had been lost."""
        undo, progress = self.undo, seg.ack > una
        if dsack is not None:
            if self.state is Recovery.TIMEOUT and progress:
                # RFC 3522 section 3.3: the originals were there, and all their ACKs were lost.
                # "Such a timeout is unavoidable. It should therefore not be considered spurious."
                undo.end()
                return False
            if undo.on_dsack(dsack[0], dsack[1]):
                return True
        if self.state is Recovery.OPEN:
            return False  # only a DSACK may still come
        # RFC 3522 section 3.2, steps (1) to (5): what counts is the ACK of what this recovery sent
        # again first. It answers what went out before that.
        first = progress and una <= undo.first_start < seg.ack
        if first and timestamps is not None and timestamps.precedes(seg.ts_ecr, undo.first_at):
            return True
        return undo.frto != FRTO_OFF and self._frto(seg.ack, progress)

    def _frto(self, ack: int, progress: bool) -> bool:
        """RFC 5682 section 3.1, steps 2 and 3. True: the timeout was spurious."""
        undo = self.undo
        if undo.frto == FRTO_REPEATED:
            # Step 2b: a part of what was out has arrived; new data will tell. 2a: anything else.
            undo.frto = FRTO_NEW_DATA if progress and ack < self.point else FRTO_OFF
            return False
        if not self.news.size and self.sack:
            return False  # step 3c: it says nothing
        undo.frto = FRTO_OFF
        if ack > self.point or self.board.high_sacked > self.point or not self.news.size:
            return False  # step 3a: the new data is there, and what was before it is not
        return self.news.lowest_once < self.point  # step 3b

    def _undo(self, now: float) -> None:
        """Nothing had been lost: let congestion control have its window back."""
        if self.state is Recovery.TIMEOUT:
            sent_at = max(self._echoed, self.news.sampled_at)
            if sent_at >= 0.0:
                self.rtt.on_spurious_timeout(now - sent_at)
        elif self.sack:
            self.rack.on_reordering()
        self.cc.on_undo(now)
        self.undo.end()
        self.board.revive()
        self.state = Recovery.OPEN
        self.force = False

    # -- what we did, and the clock --------------------------------------------------------------

    def on_retransmitted(self, flight: Flight, end: int, stamp: Stamp, now: float) -> None:
        """The lost `flight` goes out again, up to `end`."""
        self.undo.on_retransmitted(flight.start, end, now)
        self.board.on_retransmitted(flight, end, now, stamp)
        self.retransmitted += end - flight.start
        self.calm = self.force = False
        # What was only withheld (see `skip_test`) was not lost.
        withheld = flight.first == flight.number
        self.calm_from = self.board.flights[-1].end if withheld else -1

    def on_probed(self, flight: Flight, nxt: int, stamp: Stamp, now: float) -> None:
        """The loss probe goes out: `flight`, the last one, once more."""
        self.board.on_probed(flight, now, stamp)
        self.probe.on_sent(nxt, True)
        self.retransmitted += flight.end - flight.start
        self.calm = False
        self.calm_from = -1

    def on_probe_of_new_data(self, nxt: int) -> None:
        """The loss probe goes out as new data, up to `nxt`."""
        self.probe.on_sent(nxt, False)
        self.calm = False

    def on_reordering_timer(self, una: int, nxt: int, now: float) -> None:
        """What was late is lost now, if nothing has come (RFC 8985 section 6.2, step 5)."""
        self.delivered = 0
        self.sample = -1.0
        self._judge(nxt, nxt - una - self.limited, now)

    def on_timeout(self, una: int, nxt: int, first: bool, now: float) -> None:
        """The retransmission timer expired; `first` since the last progress."""
        board = self.board
        fresh = self.state is Recovery.OPEN or self.state is Recovery.CWR
        first = first and self.state is not Recovery.TIMEOUT
        if fresh:
            self.undo.begin()
        # RFC 5682 section 3.1, step 1: not if the timer expires in a recovery.
        self.undo.frto = FRTO_REPEATED if fresh and first else FRTO_OFF
        head = board.first
        reneged = head is not None and head.state == SACKED
        if self.sack and not reneged:
            self._lost(self.rack.on_timeout(board, self.mss, self.rtt, now))
        else:
            self._lost(board.mark_all_lost())
        self.state = Recovery.TIMEOUT
        self.point = nxt
        self.dup_acks = 0
        self._credit = 0
        self.probe.cancel()
        self.timeouts += 1
        self.cc.on_timeout(nxt - una, first, now)
        self.force = True
        self.calm = False
        self.calm_from = -1
        self.cwr = self.ecn
        self._reduced_at = now

    def window_opened(self) -> None:
        """What was sent into a shut window was not taken, which says nothing of the network."""
        if self.board.mark_all_lost():
            self.calm = False

    def clear(self) -> None:
        """Nothing more will be sent."""
        self.board.clear()
        self.probe.cancel()
        self.undo.end()
        self.rack.deadline = math.inf
        self.state = Recovery.OPEN
