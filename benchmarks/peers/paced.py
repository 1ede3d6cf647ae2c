"""Streams with a `drain` that waits, over libraries that queue without limit whatever is written.

None of aioquic, qh3, kcp and pyenet tells a program when to stop writing: what is written faster
than it is sent stays in memory. So a program over them counts by itself. Here the reading side
says, as a *credit*, how many bytes its program has read, and `drain` waits while more than
`window` bytes are not covered by a credit. A library says how the three things that cross it are
sent: data, the end of the data, and credits.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod

TOTAL_WINDOW = 1 << 20
LEAST_WINDOW = 1 << 16


def window_for(connections: int) -> int:
    """Bytes that one of so many connections may have under way."""
    return max(LEAST_WINDOW, TOTAL_WINDOW // connections)


class Channel(ABC):
    """What a library does for a stream of bytes."""

    @abstractmethod
    def send(self, data: bytes) -> None: ...

    @abstractmethod
    def send_eof(self) -> None: ...

    @abstractmethod
    def send_credit(self, total: int) -> None: ...

    @abstractmethod
    async def close(self) -> None:
        """Close, and wait as long as the library has it."""


class Reader:
    """The part of asyncio.StreamReader that programs use; credits go out as they read."""

    def __init__(self, inner: asyncio.StreamReader, channel: Channel, window: int) -> None:
        self._inner = inner
        self._channel = channel
        self._step = window // 4
        self._read = 0
        self._said = 0

    async def read(self, n: int) -> bytes:
        return self._count(await self._inner.read(n))

    async def readexactly(self, n: int) -> bytes:
        return self._count(await self._inner.readexactly(n))

    def _count(self, data: bytes) -> bytes:
        self._read += len(data)
        if self._read - self._said >= self._step:
            self._said = self._read
            self._channel.send_credit(self._read)
        return data


class Writer:
    """The part of asyncio.StreamWriter that programs use."""

    def __init__(self, channel: Channel, window: int) -> None:
        self._channel = channel
        self._window = window
        self._written = 0
        self._credit = 0
        self._room: asyncio.Future[None] | None = None
        self._ended = False

    def write(self, data: bytes) -> None:
        self._written += len(data)
        self._channel.send(data)

    async def drain(self) -> None:
        while self._written - self._credit > self._window:
            self._room = asyncio.get_running_loop().create_future()
            await self._room

    def credit(self, total: int) -> None:
        """The other side has read so many bytes."""
        self._credit = max(self._credit, total)
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def write_eof(self) -> None:
        if not self._ended:
            self._ended = True
            self._channel.send_eof()

    def close(self) -> None:
        self.write_eof()

    async def wait_closed(self) -> None:
        await self._channel.close()
