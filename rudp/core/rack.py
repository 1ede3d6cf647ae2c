"""RACK: what is lost, told by time. RFC 8985 section 6.

If something has arrived that was sent later, then what was sent before it and is still missing
is late; and once it is late by more than the path reorders, it is lost. That finds the loss of a
retransmission as it finds any other, and takes reordering for what it is.

    newest  (RACK.xmit_ts)      the transmission, sent last, that has arrived
    rtt     (RACK.rtt)          how long that took
    window  (RACK.reo_wnd)      how much later others may come: a part of a round trip, which grows
                                while DSACKs show that it was too small

      lost if  sent_at + rtt + window  <=  now      for what was sent before the newest that arrived

Transmissions are counted, and which came first is told by their numbers, not by their moments.

Deviation: `deadline` is when the *first* of what is late will be lost; section 6.2 step 5 has one
timer for the last of them. The scoreboard keeps what is in flight in the order in which it was
sent, so the first is found without a look at the rest, however large the window is.

Here are no flights and no ACKs: the scoreboard has the ones and reads the others.
"""

from __future__ import annotations

import math
from typing import Final

from rudp.core.flight import Arrivals
from rudp.core.rtt import RttEstimator
from rudp.core.scoreboard import Scoreboard

ROUNDING: Final = 1e-7
"""Seconds: sums of moments are no more exact than that when a clock has run for months."""

PERSIST: Final = 16
"""How many recoveries a widened window outlives (section 6.2, step 4)."""


class Rack:
    """What RACK knows of a connection (RFC 8985 section 5.2)."""

    __slots__ = (
        "_dsack_round",
        "_fack",
        "_newest_end",
        "_persist",
        "deadline",
        "lost_again_at",
        "multiplier",
        "newest",
        "reordering_seen",
        "reorderings",
        "rtt",
    )

    def __init__(self) -> None:
        self.newest = 0  # in place of RACK.xmit_ts
        self._newest_end = 0  # RACK.end_seq
        self.rtt = 0.0  # RACK.rtt
        self._fack = 0  # RACK.fack: the end of the highest data that has arrived
        self.reordering_seen = False
        self.reorderings = 0  # how often
        self.multiplier = 1  # RACK.reo_wnd_mult
        self._persist = PERSIST  # RACK.reo_wnd_persist
        self._dsack_round = -1  # RACK.dsack_round; -1: none
        self.deadline = math.inf  # the reordering timer
        self.lost_again_at = -math.inf  # when the newest went out that was found lost *again*

    def on_arrivals(self, news: Arrivals, highest: int, now: float) -> None:
        """An ACK brought news. `highest`: the end of the highest data that the peer has."""
        # Section 6.2, step 2: "Update the state for the most recently sent segment". Where the RFC
        # passes over a segment because its first transmission may be what arrived, that counts.
        newest = news.newest
        if newest:
            self.rtt = now - news.newest_at
            if newest > self.newest:
                self.newest = newest
                self._newest_end = news.newest_end
            elif newest == self.newest and news.newest_end > self._newest_end:
                self._newest_end = news.newest_end
        # Step 3: "Detect data segment reordering": what was sent once arrives below what has.
        if news.lowest_once < self._fack:
            self.on_reordering()
        if highest > self._fack:
            self._fack = highest

    def on_reordering(self) -> None:
        """The path was seen to reorder."""
        self.reordering_seen = True
        self.reorderings += 1

    def adapt(self, una: int, nxt: int, dsack: bool, ended: bool) -> None:
        """Step 4: a DSACK came, or a recovery `ended`, or a round trip did."""
        if 0 <= self._dsack_round <= una:
            self._dsack_round = -1
        if dsack and self._dsack_round < 0:
            # "Grow the reordering window per round that sees DSACK."
            self._dsack_round = nxt
            self.multiplier += 1
            self._persist = PERSIST
        elif ended:
            # "Reset the window after 16 DSACK-free recoveries."
            self._persist -= 1
            if self._persist <= 0:
                self.multiplier = 1

    def window(self, rtt: RttEstimator, eager: bool) -> float:
        """RACK.reo_wnd in seconds. `eager`: in recovery, or DupThresh segments were SACKed."""
        if eager and not self.reordering_seen:
            return 0.0
        return min(rtt.min_rtt / 4 * self.multiplier, rtt.srtt)

    def detect(self, board: Scoreboard, window: float, now: float) -> int:
        """Step 5: mark what is lost by now, and set the timer for what will be.

        Returns the bytes marked.
        """
        marked = 0
        self.deadline = math.inf
        patience = self.rtt + window
        flight = board.oldest
        while flight is not None and flight.number <= self.newest:
            if flight.number == self.newest and flight.end > self._newest_end:
                break  # RACK_sent_after: of the same transmission, but behind what arrived
            due = flight.sent_at + patience
            if due > now + ROUNDING:
                self.deadline = due
                break
            newer = flight.newer
            if flight.retransmitted:
                self.lost_again_at = flight.sent_at
            marked += board.lose(flight)
            flight = newer
        return marked

    def on_timeout(self, board: Scoreboard, mss: int, rtt: RttEstimator, now: float) -> int:
        """RACK_mark_losses_on_RTO (section 6.3): the first segment, and all that is overdue.

        What went out less than a round trip ago stays in flight. Returns the bytes marked.
        """
        self.deadline = math.inf
        marked = 0
        # What arrives in order is not told to RACK, but measured it is.
        latest = now - max(self.rtt, rtt.latest) - self.window(rtt, True) + ROUNDING
        flight = board.oldest
        while flight is not None and flight.sent_at <= latest:
            newer = flight.newer
            marked += board.lose(flight)
            flight = newer
        return marked + board.mark_head_lost(mss)
