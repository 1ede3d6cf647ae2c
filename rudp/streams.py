"""asyncio's streams over rudp: `open_connection` and `start_server`.

The reader is `rudp.reader.StreamReader`, which passes chunks through uncopied; the writer is
asyncio's own `StreamWriter`. What they do, and what they raise, is asyncio's.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any, Final

from rudp.reader import StreamReader
from rudp.transport import Transport

DEFAULT_LIMIT: Final = 2**16
"""Bytes that a reader holds before it pauses its transport is twice this; asyncio's default."""

ClientCallback = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]
Create = Callable[
    [Callable[[], asyncio.StreamReaderProtocol]],
    Awaitable[tuple[Transport, asyncio.StreamReaderProtocol]],
]


class StreamProtocol(asyncio.StreamReaderProtocol):
    """asyncio's, which takes less for each connection and for each message."""

    _drain_waiters: list[asyncio.Future[None]]

    def __init__(
        self,
        reader: StreamReader,
        connected: ClientCallback | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(reader, connected, loop)
        # Of the tasks that wait in drain(). asyncio's deque takes 760 bytes, also if none do.
        self._drain_waiters = []

    def data_received(self, data: bytes) -> None:
        # asyncio finds it by a property.
        weak = self._stream_reader_wr  # type: ignore[attr-defined]
        if weak is not None and (reader := weak()) is not None:
            reader.feed_data(data)


async def streams_over(
    create: Create, limit: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """The streams of the connection that `create` makes for a protocol factory."""
    loop = asyncio.get_running_loop()
    reader = StreamReader(limit=limit, loop=loop)
    transport, protocol = await create(lambda: StreamProtocol(reader, loop=loop))
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


def streams_served_by(
    callback: ClientCallback, limit: int
) -> Callable[[], asyncio.StreamReaderProtocol]:
    """A protocol factory whose connections come to `callback(reader, writer)`.

    An exception in the callback is reported to the loop's exception handler and closes the
    connection, on every Python as on 3.14.
    """
    if not callable(callback):
        raise TypeError(f"client_connected_cb has to be callable, not {callback!r}")
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()  # the loop itself keeps only weak references

    def connected(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            result = callback(reader, writer)
        except Exception as exc:
            failed(writer, exc)
            return
        if asyncio.iscoroutine(result):
            task = loop.create_task(result)
            tasks.add(task)
            task.add_done_callback(functools.partial(ended, writer))

    def ended(writer: asyncio.StreamWriter, task: asyncio.Task[None]) -> None:
        tasks.discard(task)
        if task.cancelled():
            writer.close()
        elif isinstance(exc := task.exception(), Exception):
            failed(writer, exc)

    def failed(writer: asyncio.StreamWriter, exc: Exception) -> None:
        loop.call_exception_handler(
            {
                "message": "Unhandled exception in client_connected_cb",
                "exception": exc,
                "transport": writer.transport,
            }
        )
        writer.close()

    def factory() -> asyncio.StreamReaderProtocol:
        reader = StreamReader(limit=limit, loop=loop)
        return StreamProtocol(reader, connected, loop)

    return factory
