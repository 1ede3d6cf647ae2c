"""asyncio's TCP streams, and rudp's: both are asyncio streams already."""

from __future__ import annotations

import asyncio
import platform

import rudp
from peers import HOST, PURE, Handler, Order, Peer, Streams
from rudp._compiled import COMPILED, FORM


class Tcp(Peer):
    """asyncio's streams over the kernel's TCP, as they come."""

    name = "tcp"
    module = "asyncio"

    def version(self) -> str:
        return f"{platform.system()} {platform.release()}"

    async def serve(self, handler: Handler, order: Order) -> int:
        server = await asyncio.start_server(handler, HOST, 0)
        return int(server.sockets[0].getsockname()[1])

    async def connect(self, order: Order) -> Streams:
        return await asyncio.open_connection(HOST, order.port)


class Rudp(Peer):
    """rudp with its defaults, but for what a row is about.

    The connections that rest are a client's with one UDP socket for all of them, a
    `rudp.Endpoint`: who has so many has no use for a file descriptor each.
    """

    name = "rudp"
    module = "rudp"

    def __init__(self) -> None:
        self._endpoint: rudp.Endpoint | None = None

    def version(self) -> str:
        return f"{rudp.__version__} ({FORM})"

    async def serve(self, handler: Handler, order: Order) -> int:
        server = await rudp.start_server(handler, HOST, 0, config=config(order))
        return int(server.sockets[0].getsockname()[1])

    async def connect(self, order: Order) -> Streams:
        if order.program != "idle":
            return await rudp.open_connection(HOST, order.port, config=config(order))
        if self._endpoint is None:
            self._endpoint = await rudp.Endpoint.open((HOST, 0), config=config(order))
        return await self._endpoint.open_connection(HOST, order.port)


class PureRudp(Rudp):
    """The same, in a process that finds only its source: see `interpreted`."""

    name = PURE

    def missing(self) -> str | None:
        if not COMPILED:
            return f"{self.name}: rudp is not compiled here, so there is no other form of it"
        return None

    def version(self) -> str:
        return f"{rudp.__version__} (pure Python)"


def config(order: Order) -> rudp.Config | None:
    if order.window is None:
        return None if order.mss is None else rudp.Config(mss=order.mss)
    return rudp.Config(mss=order.mss, send_buffer=order.window, receive_buffer=order.window)
