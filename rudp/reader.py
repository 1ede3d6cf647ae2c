"""The reading half of a stream: asyncio's StreamReader with `Chunks` for its buffer.

asyncio's own class copies each byte twice, into a bytearray and out of it. Here a large chunk is
kept as the object it arrived as, and a read that it satisfies gets that object. Methods, errors,
limits and back-pressure are asyncio's own (CPython 3.11 to 3.14), so `isinstance` and every user of
the class go on working.

Not for: deciding what a connection delivers, or when. A protocol (asyncio.StreamReaderProtocol)
feeds this class; nothing in it knows of rudp. No RFC speaks of it; read asyncio/streams.py of the
running Python beside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import SupportsIndex

from rudp.chunks import Chunks, Separator

__all__ = ["StreamReader"]


class _Buffered(bytearray):
    """A copy of all that is in `chunks`, which are emptied with it.

    asyncio's start_tls() gives TLS what its reader holds, and clears that buffer (CPython 3.14.4).
    """

    def __init__(self, chunks: Chunks) -> None:
        super().__init__(bytes(chunks))
        self._chunks = chunks

    def clear(self) -> None:
        super().clear()
        self._chunks.take(self._chunks.size)


class StreamReader(asyncio.StreamReader):
    """An asyncio.StreamReader that passes large chunks through uncopied.

    Everything reads as in asyncio, with one freedom used that read() always had: `read(n)` with an
    n of 16 KiB or more may return fewer bytes than are buffered, because it ends before a chunk of
    16 KiB or more that the next read(n) can return whole. readuntil() takes a tuple of separators
    on every Python, as asyncio's does from 3.13.
    """

    # There is no __init__ here: asyncio's own begins with an empty `_buffer`, which makes the queue
    # (see the setter), and the warnings it gives on behalf of its caller then point at the caller.
    _chunks: Chunks
    # What asyncio's class keeps, and this one goes on using.
    _limit: int
    _eof: bool
    _paused: bool
    _exception: Exception | None
    _transport: asyncio.ReadTransport | None
    _waiter: asyncio.Future[None] | None
    _loop: asyncio.AbstractEventLoop

    def feed_data(self, data: Iterable[SupportsIndex]) -> None:
        """Append `data`; a bytes object is kept as it is, anything else is copied at once."""
        assert not self._eof, "feed_data after feed_eof"
        if not data:
            return
        self._chunks.append(data if type(data) is bytes else bytes(data))
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.cancelled():
                waiter.set_result(None)
        if self._transport is None or self._paused or self._chunks.size <= 2 * self._limit:
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
        return self._eof and not self._chunks.size

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
        if not self._chunks.size and not self._eof:
            await self._more("read")
        data = self._chunks.take(self._chunks.portion(n))
        if self._paused:
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
        while self._chunks.size < n:
            if self._eof:
                raise asyncio.IncompleteReadError(self._chunks.take(self._chunks.size), n)
            await self._more("readexactly")
        if n == 0:
            return b""
        data = self._chunks.take(n)
        if self._paused:
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
            self._chunks.take(min(error.consumed + 1, self._chunks.size))
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
        while (match := self._chunks.search(separators, longest, scanned)) is None:
            # A separator may have begun in the last bytes; those before need no second look.
            scanned = max(0, self._chunks.size + 1 - longest)
            if scanned > self._limit:
                raise asyncio.LimitOverrunError(
                    f"Separator is not found in the first {scanned} bytes (limit {self._limit})",
                    scanned,
                )
            if self._eof:
                raise asyncio.IncompleteReadError(self._chunks.take(self._chunks.size), None)
            await self._more("readuntil")

        start, end = match
        if start > self._limit:
            raise asyncio.LimitOverrunError(
                f"Separator is found, but after {start} bytes (limit {self._limit})", start
            )
        data = self._chunks.take(end)
        if self._paused:
            self._maybe_resume_transport()
        return data

    @property
    def _buffer(self) -> bytearray:
        """A copy of what is buffered, for those who look at the bytearray of asyncio's class.

        The one change that they can make to it is to clear it.
        """
        return _Buffered(self._chunks)

    @_buffer.setter
    def _buffer(self, data: Iterable[SupportsIndex]) -> None:
        self._chunks = Chunks()
        if data:
            self._chunks.append(bytes(data))

    def _more(self, name: str) -> asyncio.Future[None]:
        """What is done when there is more to read, or the end; for one reader at a time. asyncio
        has a coroutine here. Whoever gave up has left a cancelled future, which is in nobody's way.
        """
        if self._waiter is not None and not self._waiter.done():
            raise RuntimeError(
                f"{name}() called while another coroutine is already waiting for incoming data"
            )
        assert not self._eof, "nothing can come after the end"
        if self._paused:
            # What is asked for may be more than any limit.
            self._paused = False
            assert self._transport is not None
            self._transport.resume_reading()
        waiter = self._waiter = self._loop.create_future()
        return waiter

    def _maybe_resume_transport(self) -> None:
        if self._paused and self._chunks.size <= self._limit:
            self._paused = False
            if self._transport is not None:
                self._transport.resume_reading()
