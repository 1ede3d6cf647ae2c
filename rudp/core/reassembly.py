"""Out-of-order data, held until the gap before it is filled; and the SACK blocks that report it.

RFC 9293 SHLD-31, RFC 2018. Pieces are kept as they came, in order and without overlap: the first
copy of a byte wins, so nobody can change what was received. Pieces that touch form a *range*,
which is what a SACK block reports.

     nxt
      |   gap   | piece | piece |  gap  | piece |
                 \\_____ range __/          range
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Final

MAX_RECENT: Final = 4
"""SACK blocks that can be reported at a time (RFC 2018 section 3)."""


class Reassembly:
    """Data above `rcv.nxt`, by sequence number."""

    __slots__ = ("_ends", "_lefts", "_pieces", "_recent", "_starts", "bytes", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit  # most ranges
        self.bytes = 0
        self._starts: list[int] = []  # of the pieces, ascending
        self._pieces: list[bytes] = []
        self._lefts: list[int] = []  # of the ranges, ascending
        self._ends: list[int] = []
        self._recent: list[int] = []  # left edges as told, the newest first; may be out of date

    def __bool__(self) -> bool:
        return bool(self._starts)

    def add(self, seq: int, data: bytes) -> bool:
        """Hold `data` at `seq`, less what is held already. False if no byte of it was new."""
        news = False
        start, end = seq, seq + len(data)
        while seq < end:
            at = bisect_right(self._lefts, seq)
            if at and self._ends[at - 1] > seq:
                self._tell(self._lefts[at - 1])  # RFC 2883 section 4, rule (4)
                seq = self._ends[at - 1]  # held already: the first copy wins
                continue
            stop = min(end, self._lefts[at]) if at < len(self._lefts) else end
            if not self._insert(at, seq, data[seq - start : stop - start]):
                return news
            news = True
            seq = stop
        return news

    def _insert(self, at: int, seq: int, piece: bytes) -> bool:
        """Put a piece that overlaps none before range `at`, as part of its neighbours or alone."""
        end = seq + len(piece)
        touches_left = at > 0 and self._ends[at - 1] == seq
        touches_right = at < len(self._lefts) and self._lefts[at] == end
        if not touches_left and not touches_right and len(self._lefts) >= self.limit:
            return False  # too many ranges: the peer will send it again
        index = bisect_left(self._starts, seq)
        self._starts.insert(index, seq)
        self._pieces.insert(index, piece)
        self.bytes += len(piece)
        if touches_left and touches_right:
            self._ends[at - 1] = self._ends.pop(at)
            del self._lefts[at]
        elif touches_left:
            self._ends[at - 1] = end
        elif touches_right:
            self._lefts[at] = seq
        else:
            self._lefts.insert(at, seq)
            self._ends.insert(at, end)
        self._tell(seq)
        return True

    def take(self, nxt: int) -> list[bytes]:
        """The pieces that continue at `nxt`, removed; and whatever lies below `nxt` is dropped."""
        if not self._lefts or self._lefts[0] > nxt:
            return []
        taken: list[bytes] = []
        # `nxt` may have passed whole ranges: a retransmission covered them.
        while self._lefts and self._lefts[0] <= nxt:
            end = self._ends.pop(0)
            del self._lefts[0]
            count = bisect_left(self._starts, end)
            for start, piece in zip(self._starts[:count], self._pieces[:count], strict=True):
                self.bytes -= len(piece)
                if start + len(piece) > nxt:
                    taken.append(piece[max(0, nxt - start) :])
                    nxt = start + len(piece)
            del self._starts[:count]
            del self._pieces[:count]
        return taken

    def range_at(self, seq: int) -> tuple[int, int] | None:
        """The range that holds `seq`."""
        at = bisect_right(self._lefts, seq) - 1
        if at < 0 or self._ends[at] <= seq:
            return None
        return self._lefts[at], self._ends[at]

    def overlap(self, start: int, end: int) -> tuple[int, int] | None:
        """The first part of [start, end) that is held already."""
        at = bisect_right(self._ends, start)
        if at == len(self._lefts) or self._lefts[at] >= end:
            return None
        return max(start, self._lefts[at]), min(end, self._ends[at])

    def blocks(self, count: int) -> tuple[tuple[int, int], ...]:
        """Up to `count` ranges for a SACK option, the one that last changed first.

        RFC 2018 section 4: then the most recently reported ones, so that each is told several
        times.
        """
        blocks: list[tuple[int, int]] = []
        for seq in self._recent:
            found = self.range_at(seq)
            if found is not None and found not in blocks:
                blocks.append(found)
        self._recent = [left for left, _ in blocks]
        for left, end in zip(self._lefts, self._ends, strict=True):
            if len(blocks) >= count:
                break
            if (left, end) not in blocks:
                blocks.append((left, end))
        return tuple(blocks[:count])

    def _tell(self, seq: int) -> None:
        """The range that holds `seq` goes first in the next report."""
        if seq in self._recent:
            self._recent.remove(seq)
        self._recent.insert(0, seq)
        del self._recent[4 * MAX_RECENT :]

    def clear(self) -> None:
        """Forget everything."""
        self.bytes = 0
        for each in (self._starts, self._pieces, self._lefts, self._ends, self._recent):
            each.clear()
