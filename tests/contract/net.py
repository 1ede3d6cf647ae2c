"""The two nets the contract is tested on, and the protocols and pairs that the tests share.

A net has open_connection, start_server, create_connection and create_server with asyncio's own
signatures, and the few things that no API has in common: how to send a reset, an address that
refuses, an address that never answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from .expectations import expectations

HOST = "127.0.0.1"

#: An aborted connection is lost at once; one that is not must not hang the test's clean-up.
ABORTED_IN = 2.0

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Net:
    """What both nets have in common."""

    name: str
    kind: socket.SocketKind
    open_connection: Callable[..., Awaitable[Stream]]
    create_connection: Callable[..., Awaitable[Any]]
    _create_server: Callable[..., Awaitable[Any]]
    _start_server: Callable[..., Awaitable[Any]]

    def __init__(self, loop: str) -> None:
        self.expect = expectations(self.name, loop)
        self._servers: list[Any] = []

    async def create_server(self, *args: Any, **kwargs: Any) -> Any:
        self._servers.append(await self._create_server(*args, **kwargs))
        return self._servers[-1]

    async def start_server(self, *args: Any, **kwargs: Any) -> Any:
        self._servers.append(await self._start_server(*args, **kwargs))
        return self._servers[-1]

    def close(self) -> None:
        """Close what a test that failed left open: uvloop's loops hang in the end with a server."""
        for server in self._servers:
            server.close()

    def refusing_address(self) -> tuple[str, int]:
        """An address at which nobody listens."""
        with socket.socket(socket.AF_INET, self.kind) as sock:
            sock.bind((HOST, 0))
            return sock.getsockname()


class TcpNet(Net):
    name = "tcp"
    kind = socket.SOCK_STREAM
    open_connection = staticmethod(asyncio.open_connection)
    _start_server = staticmethod(asyncio.start_server)

    async def create_connection(self, *args: Any, **kwargs: Any) -> Any:
        return await asyncio.get_running_loop().create_connection(*args, **kwargs)

    async def _create_server(self, *args: Any, **kwargs: Any) -> Any:
        return await asyncio.get_running_loop().create_server(*args, **kwargs)

    def reset(self, transport: Any) -> None:
        # With a linger time of zero the kernel answers close() with RST instead of FIN.
        linger = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()

    @contextlib.contextmanager
    def silent_address(self) -> Iterator[tuple[str, int]]:
        """An address that answers no SYN: a listener whose queue is full."""
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(socket.socket())
            listener.bind((HOST, 0))
            listener.listen(0)
            for _ in range(2):
                filler = stack.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())
            yield listener.getsockname()


class RudpNet(Net):
    name = "rudp"
    kind = socket.SOCK_DGRAM

    def __init__(self, loop: str) -> None:
        super().__init__(loop)
        import rudp

        self.open_connection = rudp.open_connection
        self._start_server = rudp.start_server
        self.create_connection = rudp.create_connection
        self._create_server = rudp.create_server

    def reset(self, transport: Any) -> None:
        transport.abort()

    @contextlib.contextmanager
    def silent_address(self) -> Iterator[tuple[str, int]]:
        """An address that answers no SYN: a socket that nobody reads."""
        with socket.socket(socket.AF_INET, self.kind) as sock:
            sock.bind((HOST, 0))
            yield sock.getsockname()


class Recording:
    """The part of a protocol that records every callback and lets a test wait for what it needs."""

    def __init__(self, *, half_open: bool = False) -> None:
        self.half_open = half_open
        self.transport: Any = None
        #: The callbacks in order; several data_received in a row count as one.
        self.events: list[str] = []
        self.data = bytearray()
        self.paused = False
        self.lost_with: list[Exception | None] = []
        self._waiters: list[asyncio.Future[None]] = []

    def note(self, event: str) -> None:
        if event != "data" or self.events[-1:] != ["data"]:
            self.events.append(event)
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    async def until(self, condition: str | Callable[[], object]) -> None:
        """Wait for a callback of that name, or until a callback makes the condition true."""
        event = condition
        check = (lambda: event in self.events) if isinstance(condition, str) else condition
        while not check():
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    async def received(self, data: bytes) -> None:
        """Wait for as many bytes as `data` has; they must be those."""
        await self.until(lambda: len(self.data) >= len(data))
        assert self.data == data

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.note("made")

    def eof_received(self) -> bool:
        self.note("eof")
        return self.half_open

    def connection_lost(self, error: Exception | None) -> None:
        self.lost_with.append(error)
        self.note("lost")

    def pause_writing(self) -> None:
        self.paused = True
        self.note("pause")

    def resume_writing(self) -> None:
        self.paused = False
        self.note("resume")


class Recorder(Recording, asyncio.Protocol):
    def data_received(self, data: bytes) -> None:
        self.data += data
        self.note("data")


class BufferedRecorder(Recording, asyncio.BufferedProtocol):
    def __init__(self, *, size: int = 1000, **options: Any) -> None:
        super().__init__(**options)
        self.buffer = bytearray(size)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data += self.buffer[:nbytes]
        self.note("data")


def port_of(server: Any) -> int:
    return int(server.sockets[0].getsockname()[1])


@contextlib.asynccontextmanager
async def connected(
    net: Net, client: Any = None, server: Any = None, **options: Any
) -> AsyncIterator[tuple[Any, Any]]:
    """The two protocols of one connection, Recorders unless given. Both are gone afterwards."""
    client = client or Recorder()
    server = server or Recorder()
    listener = await net.create_server(lambda: server, HOST, 0)
    try:
        await net.create_connection(lambda: client, HOST, port_of(listener), **options)
        await server.until("made")
        yield client, server
    finally:
        listener.close()
        for side in (client, server):
            if side.transport is not None and "lost" not in side.events:
                side.transport.abort()
                async with asyncio.timeout(ABORTED_IN):
                    await side.until("lost")


@contextlib.asynccontextmanager
async def streams(
    net: Net, *, limit: int = 2**16, **options: Any
) -> AsyncIterator[tuple[Stream, Stream]]:
    """The client's and the server's streams of one connection. Both are closed afterwards."""
    accepted: asyncio.Future[Stream] = asyncio.get_running_loop().create_future()

    def accept(*stream: Any) -> None:
        accepted.set_result(stream)

    listener = await net.start_server(accept, HOST, 0, limit=limit)
    ends: list[Stream] = []
    try:
        ends.append(await net.open_connection(HOST, port_of(listener), limit=limit, **options))
        ends.append(await accepted)
        yield ends[0], ends[1]
    finally:
        listener.close()
        for _, writer in ends:
            writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                async with asyncio.timeout(ABORTED_IN):
                    await writer.wait_closed()


async def round_trips(net: Net, count: int) -> None:
    """Let the event loop and the network do the work of `count` round trips on another connection.

    Whatever was ready to happen by then has happened: this is the tests' clock.
    """
    async with connected(net) as (client, server):
        for i in range(count):
            client.transport.write(b"?")
            await server.until(lambda i=i: len(server.data) > i)
            server.transport.write(b"!")
            await client.until(lambda i=i: len(client.data) > i)
