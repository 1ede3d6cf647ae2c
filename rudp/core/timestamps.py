"""The timestamps option of one connection: round trips measured, old duplicates kept out.

RFC 7323 sections 3 to 5. The clock ticks in milliseconds and starts at a random offset, so that it
tells nobody for how long the machine has been up (section 7.1).
"""

from __future__ import annotations

from typing import Final

from rudp.core.segment import Segment
from rudp.core.seq import MASK, unwrap

TICK: Final = 0.001

MAX_AGE: Final = 600_000
"""Ticks: an echo of anything older makes no sense."""

STALE_AFTER: Final = 24 * 86400.0
"""RFC 7323 section 5.5: TS.Recent means nothing after 24 days of silence."""


class Timestamps:
    """TS.Recent and our timestamp clock. All values are in ticks of a millisecond."""

    __slots__ = ("_recent_at", "offset", "recent")

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.recent = 0
        self._recent_at = 0.0

    def clock(self, now: float) -> int:
        """TSval for a segment that goes out now."""
        return (int(now / TICK) + self.offset) & MASK

    def sent_at(self, echo: int, now: float) -> float:
        """When the segment went out that carried `echo` as TSval; -1.0 if that makes no sense."""
        ticks = (self.clock(now) - echo) & MASK
        return now - ticks * TICK if ticks < MAX_AGE else -1.0

    def precedes(self, echo: int, moment: float) -> bool:
        """`echo` is the TSval of something that went out before `moment`, by a tick at least."""
        return 0 < (self.clock(moment) - echo) & MASK < MAX_AGE

    def start(self, value: int, now: float) -> None:
        """The peer's SYN carried `value`."""
        self.recent = value
        self._recent_at = now

    def is_old(self, seg: Segment, now: float) -> bool:
        """PAWS, RFC 7323 section 5.3 R1: SEG.TSval < TS.Recent. Unwraps `seg.ts_val`."""
        assert seg.ts_val is not None
        seg.ts_val = unwrap(seg.ts_val, self.recent)
        return seg.ts_val < self.recent and now - self._recent_at < STALE_AFTER

    def update(self, seg: Segment, last_ack_sent: int, now: float) -> None:
        """RFC 7323 section 4.3 (2): SEG.TSval >= TS.Recent and SEG.SEQ <= Last.ACK.sent."""
        assert seg.ts_val is not None
        if seg.seq <= last_ack_sent and (
            seg.ts_val >= self.recent or now - self._recent_at >= STALE_AFTER
        ):
            self.recent = seg.ts_val
            self._recent_at = now
