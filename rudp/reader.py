"""The reading half of a stream: asyncio's StreamReader with a queue of chunks for its buffer.

asyncio's own class copies each byte twice, into a bytearray and out of it. Here a large chunk is
kept as the object it arrived as, and a read that it satisfies gets that object. Methods, errors,
limits and back-pressure are asyncio's own (CPython 3.11 to 3.14), so `isinstance` and every user of
the class go on working.

Not for: deciding what a connection delivers, or when. A protocol (asyncio.StreamReaderProtocol)
feeds this class; nothing in it knows of rudp. No RFC speaks of it; read asyncio/streams.py of the
running Python beside it.

The queue, with `_offset` bytes of the first chunk already read and `_size` bytes still to read:

    _chunks     [ bytes 64 KiB ][ bytes 64 KiB ][ bytearray: small pieces, gathered ]
                  ^ _offset

A chunk of at least ALONE bytes stays alone. Smaller ones are gathered in a bytearray, as asyncio
does with all of them: a peer that sends single bytes must not make us hold an object for each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from itertools import islice
from typing import SupportsIndex

__all__ = ["StreamReader"]

Separator = bytes | bytearray | memoryview

#: From this size on, handing a chunk over costs less than copying it does.
ALONE = 16 * 1024


class StreamReader(asyncio.StreamReader):
    """An asyncio.StreamReader that passes large chunks through uncopied.

    Everything reads as in asyncio, with one freedom used that read() always had: `read(n)` with an
    n of 16 KiB or more may return fewer bytes than are buffered, because it ends before a chunk of
    16 KiB or more that the next read(n) can return whole. readuntil() takes a tuple of separators
    on every Python, as asyncio's does from 3.13.
    """

    # There is no __init__ here: asyncio's own begins with an empty `_buffer`, which makes the queue
    # (see the setter), and the warnings it gives on behalf of its caller then point at the caller.
    _chunks: list[bytes | bytearray]  # a few; and a deque is large, also if it is empty
    _offset: int
    _size: int
    # What asyncio's class keeps, and this one goes on using.
    _limit: int
    _eof: bool
    _paused: bool
    _exception: Exception | None
    _transport: asyncio.ReadTransport | None
    _wakeup_waiter: Callable[[], None]
    _wait_for_data: Callable[[str], Awaitable[None]]

    def feed_data(self, data: Iterable[SupportsIndex]) -> None:
        """Append `data`; a bytes object is kept as it is, anything else is copied at once."""
        assert not self._eof, "feed_data after feed_eof"
        if not data:
            return
        self._append(data if type(data) is bytes else bytes(data))
        self._wakeup_waiter()
        if self._transport is None or self._paused or self._size <= 2 * self._limit:
            return
        try:
            self._transport.pause_reading()
        except NotImplementedError:
            # This transport can never be paused, so asking it again is of no use.
            self._transport = None
        else:
            self._paused = True

    def at_eof(self) -> bool:
        """True when the peer has ended the stream and everything has been read."""
        return self._eof and not self._size

    async def read(self, n: int = -1) -> bytes:
        """Up to `n` bytes, as soon as there are any; b"" at the end of the stream.

        With n < 0, everything up to the end. Raises the connection's error, if it has one.
        Cancelling takes nothing out of the stream, except that with n < 0 what was read so far is
        lost, as in asyncio.
        """
        if self._exception is not None:
            raise self._exception
        if n == 0:
            return b""
        if n < 0:
            pieces = []
            while piece := await self.read(self._limit):
                pieces.append(piece)
            return b"".join(pieces)
        if not self._size and not self._eof:
            await self._wait_for_data("read")
        data = self._take(self._portion(n))
        self._maybe_resume_transport()
        return data

    async def readexactly(self, n: int) -> bytes:
        """Exactly `n` bytes.

        Raises IncompleteReadError, with what there was, if the stream ends first, and the
        connection's error, if it has one. Cancelling takes nothing out of the stream.
        """
        if n < 0:
            raise ValueError(f"readexactly() of {n} bytes: the size is less than zero")
        if self._exception is not None:
            raise self._exception
        while self._size < n:
            if self._eof:
                raise asyncio.IncompleteReadError(self._take(self._size), n)
            # Waiting resumes a paused transport, so n may be larger than any limit.
            await self._wait_for_data("readexactly")
        if n == 0:
            return b""
        data = self._take(n)
        self._maybe_resume_transport()
        return data

    async def readline(self) -> bytes:
        """A line with its b"\\n"; without it where the stream ends; b"" at the end.

        Raises ValueError for a line longer than the limit, and discards as much of that line as is
        buffered. Cancelling takes nothing out of the stream.
        """
        try:
            return await self.readuntil(b"\n")
        except asyncio.IncompleteReadError as error:
            return error.partial
        except asyncio.LimitOverrunError as error:
            # `consumed` is where the newline stands, or the end of the buffer if it holds none.
            self._take(min(error.consumed + 1, self._size))
            self._maybe_resume_transport()
            raise ValueError(error.args[0]) from None

    # The type checker's asyncio is that of Python 3.11, whose readuntil() has no tuples yet.
    async def readuntil(  # type: ignore[override]
        self, separator: Separator | tuple[Separator, ...] = b"\n"
    ) -> bytes:
        """Everything up to and including `separator`, or the one of several that ends first.

        Raises LimitOverrunError, and takes nothing, where more than the limit comes before it, and
        IncompleteReadError with all that is left where the stream ends without it. Cancelling takes
        nothing out of the stream.
        """
        # Shortest first: of two that end at the same byte, the shorter is the one that matched.
        separators = sorted(separator, key=len) if isinstance(separator, tuple) else [separator]
        if not separators:
            raise ValueError("Separator should contain at least one element: the tuple is empty")
        if not len(separators[0]):
            raise ValueError("Separator should be one byte or more")
        if self._exception is not None:
            raise self._exception

        longest = len(separators[-1])
        scanned = 0
        while (match := self._search(separators, longest, scanned)) is None:
            # A separator may have begun in the last bytes; those before need no second look.
            scanned = max(0, self._size + 1 - longest)
            if scanned > self._limit:
                raise asyncio.LimitOverrunError(
                    f"Separator is not found in the first {scanned} bytes (limit {self._limit})",
                    scanned,
                )
            if self._eof:
                raise asyncio.IncompleteReadError(self._take(self._size), None)
            await self._wait_for_data("readuntil")

        start, end = match
        if start > self._limit:
            raise asyncio.LimitOverrunError(
                f"Separator is found, but after {start} bytes (limit {self._limit})", start
            )
        data = self._take(end)
        self._maybe_resume_transport()
        return data

    @property
    def _buffer(self) -> bytearray:
        """A copy of what is buffered, for those who look at the bytearray of asyncio's class."""
        buffer = bytearray().join(self._chunks)
        del buffer[: self._offset]
        return buffer

    @_buffer.setter
    def _buffer(self, data: Iterable[SupportsIndex]) -> None:
        self._chunks = []
        self._offset = 0
        self._size = 0
        if data:
            self._append(bytes(data))

    def _maybe_resume_transport(self) -> None:
        if self._paused and self._size <= self._limit:
            self._paused = False
            if self._transport is not None:
                self._transport.resume_reading()

    def _append(self, chunk: bytes) -> None:
        chunks = self._chunks
        self._size += len(chunk)
        if not chunks or len(chunk) >= ALONE or len(chunks[-1]) >= ALONE:
            chunks.append(chunk)
            return
        last = chunks[-1]
        if isinstance(last, bytes):
            last = chunks[-1] = bytearray(last)
        last += chunk

    def _portion(self, n: int) -> int:
        """How many bytes one read(n) hands out: n if there are as many, fewer to save a copy."""
        chunks = self._chunks
        if not chunks:
            return 0
        total = len(chunks[0]) - self._offset
        if total >= ALONE:
            return min(total, n)
        for chunk in islice(chunks, 1, None):
            # A large chunk is left for a read of its own, where that read would get it whole.
            if total >= n or ALONE <= len(chunk) <= n:
                break
            total += len(chunk)
        return min(total, n)

    def _take(self, n: int) -> bytes:
        """Remove and return the first `n` bytes, which are there; each is copied once at most."""
        assert n <= self._size
        chunks = self._chunks
        self._size -= n
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

    def _search(
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
        position = self._size
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
