"""Out-of-order data, held until the gap before it is filled; and the SACK blocks that report it.

RFC 9293 SHLD-31, RFC 2018. Pieces are kept in order and without overlap: the first copy of a byte
wins, so nobody can change what was received. Pieces that touch form a *range*, which is what a SACK
block reports.

     nxt
      |   gap   | piece | piece |  gap  | piece |
                 \\_____ range __/          range

What a peer sends in whatever order costs little more than data in order (CVE-2018-5390 and its
like): ranges are found by bisection, and there is a limit to their number; a range grows at either
end, and two become one, without a look at what they hold. Small pieces are joined, since an object
for each byte would be fifty times its size.

When there are too many ranges, the newest piece is refused. To make room by dropping the farthest
would take back what a SACK has said (RFC 2018 section 8: "SHOULD NOT"), and is not needed: data at
RCV.NXT never comes here.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import Final

JOIN: Final = 1024
"""Neighbours are joined up to this size: a segment of usual size is never copied for that."""

RANGE_COST: Final = 512
"""Bytes of receive buffer for each range: holding one costs half of that, beside its data."""

MAX_RECENT: Final = 4
"""SACK blocks that can be reported at a time (RFC 2018 section 3)."""


class Pieces:
    """The pieces of one range. None is empty, and two neighbours are more than `JOIN` together."""

    __slots__ = ("_back", "_front")

    def __init__(self, piece: bytes) -> None:
        self._front: list[bytes] | None = None  # what came before, the first one last
        self._back = [piece]

    def __len__(self) -> int:
        return len(self._back) + (0 if self._front is None else len(self._front))

    def __iter__(self) -> Iterator[bytes]:
        if self._front is not None:
            yield from reversed(self._front)
        yield from self._back

    def append(self, piece: bytes) -> None:
        """`piece` comes after them."""
        back = self._back
        if len(back[-1]) + len(piece) <= JOIN:
            back[-1] += piece
        else:
            back.append(piece)

    def prepend(self, piece: bytes) -> None:
        """`piece` comes before them."""
        if self._front:
            at, pieces = -1, self._front
        else:
            at, pieces = 0, self._back
        if len(pieces[at]) + len(piece) <= JOIN:
            pieces[at] = piece + pieces[at]
        elif self._front is None:
            self._front = [piece]
        else:
            self._front.append(piece)

    def followed_by(self, other: Pieces) -> Pieces:
        """Both in one; what moves are the pieces of the shorter."""
        if len(other) <= len(self):
            for piece in other:
                self.append(piece)
            return self
        for piece in reversed(list(self)):
            other.prepend(piece)
        return other


class Reassembly:
    """Data above `rcv.nxt`, by sequence number."""

    __slots__ = ("_ends", "_lefts", "_pieces", "_recent", "bytes", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit  # most ranges
        self.bytes = 0
        # Of the ranges, ascending: left edges, right edges, and what they hold
        self._lefts: list[int] = []
        self._ends: list[int] = []
        self._pieces: list[Pieces] = []
        self._recent: list[int] = []  # left edges as told, the newest first; may be out of date

    def __bool__(self) -> bool:
        return bool(self._lefts)

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
            # Compiled code copies even if a slice is all there is.
            piece = data if stop - seq == len(data) else data[seq - start : stop - start]
            if not self._insert(at, seq, piece):
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
        self.bytes += len(piece)
        if touches_left:
            self._pieces[at - 1].append(piece)
            self._ends[at - 1] = end
            if touches_right:
                self._ends[at - 1] = self._ends.pop(at)
                del self._lefts[at]
                self._pieces[at - 1] = self._pieces[at - 1].followed_by(self._pieces.pop(at))
        elif touches_right:
            self._pieces[at].prepend(piece)
            self._lefts[at] = seq
        else:
            self._lefts.insert(at, seq)
            self._ends.insert(at, end)
            self._pieces.insert(at, Pieces(piece))
        self._tell(seq)
        return True

    def take(self, nxt: int) -> list[bytes]:
        """The pieces that continue at `nxt`, removed; and whatever lies below `nxt` is dropped."""
        if not self._lefts or self._lefts[0] > nxt:
            return []
        taken: list[bytes] = []
        # `nxt` may have passed whole ranges: a retransmission covered them.
        while self._lefts and self._lefts[0] <= nxt:
            start = self._lefts.pop(0)
            del self._ends[0]
            for piece in self._pieces.pop(0):
                end = start + len(piece)
                self.bytes -= len(piece)
                if end > nxt:
                    taken.append(piece if start >= nxt else piece[nxt - start :])
                    nxt = end
                start = end
        return taken

    @property
    def end(self) -> int:
        """Where the last of what is held ends; 0 if nothing is."""
        return self._ends[-1] if self._ends else 0

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
        self._pieces.clear()
        for each in (self._lefts, self._ends, self._recent):
            each.clear()
