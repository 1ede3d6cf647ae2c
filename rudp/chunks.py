"""What a stream has received and nobody has read yet: a queue of chunks, large ones uncopied.

asyncio's StreamReader copies each byte twice, into a bytearray and out of it. Here a large chunk is
kept as the object it arrived as, and a read that it satisfies gets that object.

    _chunks     [ bytes 64 KiB ][ bytes 64 KiB ][ bytearray: small pieces, gathered ]
                  ^ _offset

`_offset` bytes of the first chunk have been read already. A chunk of at least ALONE bytes stays
alone. Smaller ones are gathered in a bytearray, as asyncio does with all of them: a peer that sends
single bytes must not make us hold an object for each.

It is a list, and no deque: an idle connection shall be small, an empty deque is not, and a reader
pauses its transport long before there are so many chunks that it would matter.

Not here: waiting, limits and errors, which are the reader's.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

Separator = bytes | bytearray | memoryview

ALONE: Final = 16 * 1024
"""From this size on, handing a chunk over costs less than copying it does."""


class Chunks:
    """`size` bytes, first in, first out."""

    __slots__ = ("_chunks", "_offset", "size")

    def __init__(self) -> None:
        self._chunks: list[bytes | bytearray] = []
        self._offset = 0
        self.size = 0

    def __bytes__(self) -> bytes:
        """A copy of all that is here."""
        return b"".join(self._chunks)[self._offset :]

    def append(self, chunk: bytes) -> None:
        """Put `chunk`, which is not empty, at the end."""
        chunks = self._chunks
        self.size += len(chunk)
        if not chunks or len(chunk) >= ALONE or len(chunks[-1]) >= ALONE:
            chunks.append(chunk)
            return
        last = chunks[-1]
        if isinstance(last, bytes):
            last = chunks[-1] = bytearray(last)
        last += chunk

    def portion(self, n: int) -> int:
        """How many bytes one read(n) hands out: n if there are as many, fewer to save a copy."""
        chunks = self._chunks
        if not chunks:
            return 0
        total = len(chunks[0]) - self._offset
        if total >= ALONE or len(chunks) == 1:
            return min(total, n)
        for chunk in islice(chunks, 1, None):
            # A large chunk is left for a read of its own, where that read would get it whole.
            if total >= n or ALONE <= len(chunk) <= n:
                break
            total += len(chunk)
        return min(total, n)

    def take(self, n: int) -> bytes:
        """Remove and return the first `n` bytes, which are there; each is copied once at most."""
        assert n <= self.size
        chunks = self._chunks
        self.size -= n
        if n and isinstance(first := chunks[0], bytes):
            # Nearly every read ends in the chunk it begins in.
            start = self._offset
            end = start + n
            if end < len(first):
                self._offset = end
                return first[start:end]
            if end == len(first):
                chunks.pop(0)
                self._offset = 0
                return first[start:] if start else first
        pieces = []
        while n:
            first, start = chunks[0], self._offset
            end = min(len(first), start + n)
            n -= end - start
            pieces.append(memoryview(first)[start:end])
            if end == len(first):
                chunks.pop(0)
                self._offset = 0
            else:
                self._offset = end
        return b"".join(pieces)

    def search(
        self, separators: list[Separator], longest: int, scanned: int
    ) -> tuple[int, int] | None:
        """Where the separator that ends first starts and ends, looking from byte `scanned` on."""
        if scanned == 0 and len(separators) == 1 and self._chunks:
            # Nearly every line ends in the chunk it begins in.
            first, offset = self._chunks[0], self._offset
            start = first.find(separators[0], offset) - offset
            if start >= 0:
                return start, start + longest
            scanned = max(0, len(first) - offset + 1 - longest)
        # The last bytes seen, as many as a separator can have before a boundary of chunks.
        tail = b""
        for position, chunk in self._chunks_from(scanned):
            begin = max(scanned - position, 0)
            if tail:
                # Only the first chunk looked at can begin before `scanned`; this is a later one.
                seam = tail + chunk[: longest - 1]
                if match := _first_match(seam, separators, 0):
                    base = position - len(tail)
                    return base + match[0], base + match[1]
            if match := _first_match(chunk, separators, begin):
                return position + match[0], position + match[1]
            if longest > 1:
                tail = (tail + chunk[max(begin, len(chunk) + 1 - longest) :])[1 - longest :]
        return None

    def _chunks_from(self, scanned: int) -> Iterator[tuple[int, bytes | bytearray]]:
        """Each chunk that has bytes from `scanned` on, with its position (the first's is -offset).

        The queue is entered from the end that is nearer: a search goes on where new chunks came in.
        """
        position = -self._offset
        if self._chunks and scanned <= position + len(self._chunks[0]):
            for chunk in self._chunks:
                yield position, chunk
                position += len(chunk)
            return
        newest_first = []
        position = self.size
        for chunk in reversed(self._chunks):
            position -= len(chunk)
            newest_first.append((position, chunk))
            if position <= scanned:
                break
        yield from reversed(newest_first)


def _first_match(
    data: bytes | bytearray, separators: list[Separator], begin: int
) -> tuple[int, int] | None:
    """Where in `data`, from `begin` on, the separator that ends first starts and ends."""
    best: tuple[int, int] | None = None
    for separator in separators:
        start = data.find(separator, begin)
        if start >= 0 and (best is None or start + len(separator) < best[1]):
            best = start, start + len(separator)
    return best
