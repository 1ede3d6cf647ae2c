"""The bytes that the application wrote and the peer has not acknowledged, by sequence number.

Chunks are kept as they were written, so that a large write is never copied here; small ones are
joined, so that their number stays small. Nothing is known of what has been sent.

          start                                      end
            |  chunk 0   |  chunk 1  |   chunk 2      |
            +------------+-----------+----------------+
            una (released up to here)                 next byte written
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

from rudp.core.segment import Buffer

JOIN_BELOW: Final = 16384
"""Writes are joined while the chunk stays below this: above it a join costs more than a chunk."""


class SendBuffer:
    """Bytes [`start`, `end`) in sequence space."""

    __slots__ = ("_chunks", "_starts", "end", "start")

    def __init__(self, start: int) -> None:
        self.start = start
        self.end = start
        self._chunks: list[bytes] = []
        self._starts: list[int] = []

    def append(self, data: bytes) -> None:
        """Take `data` at the end. It must not change any more."""
        if self._chunks and len(self._chunks[-1]) + len(data) <= JOIN_BELOW:
            # Slices handed out before keep the old object alive: bytes do not change.
            self._chunks[-1] += data
        else:
            self._starts.append(self.end)
            self._chunks.append(data)
        self.end += len(data)

    def slice(self, start: int, end: int) -> Buffer:
        """The bytes [start, end), uncopied if one chunk holds them all."""
        assert self.start <= start < end <= self.end
        if end == self.end and start == self._starts[-1]:
            return self._chunks[-1]  # a message by itself
        index = bisect_right(self._starts, start) - 1
        chunk = self._chunks[index]
        offset = start - self._starts[index]
        length = end - start
        if offset + length <= len(chunk):
            return chunk if length == len(chunk) else memoryview(chunk)[offset : offset + length]
        parts: list[Buffer] = [memoryview(chunk)[offset:]]
        missing = length - (len(chunk) - offset)
        while missing:
            index += 1
            chunk = self._chunks[index]
            parts.append(chunk if len(chunk) <= missing else memoryview(chunk)[:missing])
            missing -= min(len(chunk), missing)
        return b"".join(parts)

    def release(self, start: int) -> None:
        """Forget the bytes before `start`: they were acknowledged, and maybe a FIN after them."""
        if start <= self.start:
            return
        if start >= self.end:
            self.clear()
            return
        self.start = start
        keep = bisect_right(self._starts, start) - 1
        if keep:
            del self._chunks[:keep]
            del self._starts[:keep]

    def clear(self) -> None:
        """Forget everything."""
        self.start = self.end
        self._chunks.clear()
        self._starts.clear()
