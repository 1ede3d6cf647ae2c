"""ENet by pyenet, its host served by the event loop: when its socket can be read, at the end of a
turn in which something was sent, and every few milliseconds for its retransmissions."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from peers import HOST, Handler, Order, Peer, Streams, tasks_of
from peers.messages import MessageChannel
from peers.paced import window_for

INTERVAL = 0.005
LARGEST = 65536
MOST_PEERS = 4000


class ENet(Peer):
    name = distribution = "pyenet"
    module = "enet"
    cannot: ClassVar[Mapping[str, str]] = {
        "small": "its datagrams are small in any case, so the row `bulk` has it",
        "idle": "a host has 4095 connections at most, all of them allocated at the start",
        "windows": "its window is not among its settings",
        "crowd": "a host has 4095 connections at most",
    }

    def __init__(self) -> None:
        self._client: EventHost | None = None
        self._server: EventHost | None = None

    async def serve(self, handler: Handler, order: Order) -> int:
        library = importlib.import_module("enet")
        handle = tasks_of(handler)
        host = library.Host(library.Address(HOST.encode(), 0), MOST_PEERS, 1, 0, 0)
        self._server = EventHost(library, host, order, lambda channel: handle(*channel.streams))
        return int(host.address.port)

    async def connect(self, order: Order) -> Streams:
        if self._client is None:
            library = importlib.import_module("enet")
            host = library.Host(None, MOST_PEERS, 1, 0, 0)
            self._client = EventHost(library, host, order, lambda channel: None)
        return (await self._client.connect(order.port)).streams


class EventHost:
    """A host of ENet's on the running event loop."""

    def __init__(
        self, library: Any, host: Any, order: Order, opened: Callable[[EnetChannel], None]
    ) -> None:
        self.library = library
        self._host = host
        self._opened = opened
        self._window = window_for(order.connections)
        self._channels: dict[int, EnetChannel] = {}
        self._connecting: dict[int, asyncio.Future[EnetChannel]] = {}
        self._soon: asyncio.Handle | None = None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(host.socket.fileno(), self._serve)
        self._tick()

    async def connect(self, port: int) -> EnetChannel:
        peer = self._host.connect(self.library.Address(HOST.encode(), port), 1)
        waiter: asyncio.Future[EnetChannel] = self._loop.create_future()
        self._connecting[peer.incomingPeerID] = waiter
        self.serve_soon()
        return await waiter

    def serve_soon(self) -> None:
        if self._soon is None:
            self._soon = self._loop.call_soon(self._serve)

    def _tick(self) -> None:
        self._serve()
        self._loop.call_later(INTERVAL, self._tick)

    def _serve(self) -> None:
        self._soon = None
        while (event := self._host.service(0)).type != self.library.EVENT_TYPE_NONE:
            number = event.peer.incomingPeerID
            if event.type == self.library.EVENT_TYPE_CONNECT:
                channel = EnetChannel(self, event.peer, self._window)
                self._channels[number] = channel
                self._opened(channel)
                if number in self._connecting:
                    self._connecting.pop(number).set_result(channel)
            elif number in self._channels:
                self._happened(self._channels[number], number, event)

    def _happened(self, channel: EnetChannel, number: int, event: Any) -> None:
        if event.type == self.library.EVENT_TYPE_RECEIVE:
            channel.received(event.packet.data)
        elif event.type == self.library.EVENT_TYPE_DISCONNECT:
            del self._channels[number]
            channel.ended()
            channel.closed.set()


class EnetChannel(MessageChannel):
    def __init__(self, owner: EventHost, peer: Any, window: int) -> None:
        super().__init__(window, LARGEST)
        self.closed = asyncio.Event()
        self._owner = owner
        self._peer = peer

    def send_message(self, message: bytes) -> None:
        if self.closed.is_set():
            return  # What was the peer may already be that of another connection.
        library = self._owner.library
        self._peer.send(0, library.Packet(message, library.PACKET_FLAG_RELIABLE))
        self._owner.serve_soon()

    async def close(self) -> None:
        # It goes when everything sent is acknowledged; either side's call is enough for both.
        if not self.closed.is_set():
            self._peer.disconnect_later()
            self._owner.serve_soon()
        await self.closed.wait()
