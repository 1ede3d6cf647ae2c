"""KCP by the package kcp: its protocol object, with a datagram endpoint of the event loop's.

The package's own server looks for what it has to send only once in so many milliseconds, and its
client runs threads. Here what there is to send goes out at the end of the loop's turn, which is
the quickest that the protocol object allows, with KCP's settings for speed: no delay, 10 ms,
retransmission after two later acknowledgments, no congestion control.
"""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from peers import HOST, Handler, Order, Peer, Streams, tasks_of
from peers.messages import MessageChannel
from peers.paced import window_for

INTERVAL = 0.010
CONVERSATION = 1
LARGEST = 16384
"""A message must not have more fragments than a window has segments."""
SETTINGS = {
    "no_delay": True,
    "update_interval": 10,
    "resend_count": 2,
    "no_congestion_control": True,
    "send_window_size": 128,
    "receive_window_size": 128,
}


class Kcp(Peer):
    name = module = distribution = "kcp"
    cannot: ClassVar[Mapping[str, str]] = {
        "small": "its datagrams are small in any case, so the row `bulk` has it",
        "many": "with no congestion control a hundred of its connections drown the server's socket",
        "connect": "it has neither an opening nor a closing handshake",
        "idle": "it has no idle connections: each is to be called every 10 ms",
        "windows": "its window is counted in segments, and it has no default to grow from",
        "crowd": "each connection is to be called every 10 ms",
    }

    async def serve(self, handler: Handler, order: Order) -> int:
        handle = tasks_of(handler)
        protocol = await endpoint(order, lambda channel: handle(*channel.streams), (HOST, 0), None)
        return int(protocol.transport.get_extra_info("sockname")[1])

    async def connect(self, order: Order) -> Streams:
        protocol = await endpoint(order, lambda channel: None, None, (HOST, order.port))
        return protocol.channel_to(None).streams


async def endpoint(
    order: Order,
    opened: Callable[[KcpChannel], None],
    local: tuple[str, int] | None,
    remote: tuple[str, int] | None,
) -> KcpEndpoint:
    _transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: KcpEndpoint(window_for(order.connections), opened),
        local_addr=local,
        remote_addr=remote,
    )
    return protocol


class KcpEndpoint(asyncio.DatagramProtocol):
    """A socket, and a channel for each address that something came from."""

    def __init__(self, window: int, opened: Callable[[KcpChannel], None]) -> None:
        self.transport: Any = None
        self._window = window
        self._opened = opened
        self._channels: dict[Any, KcpChannel] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        key = addr if self.transport.get_extra_info("peername") is None else None
        self.channel_to(key).datagram_received(data)

    def channel_to(self, address: Any) -> KcpChannel:
        """`address` is None for a connected socket, which needs none."""
        channel = self._channels.get(address)
        if channel is None:
            channel = self._channels[address] = KcpChannel(self, address, self._window)
            self._opened(channel)
        return channel

    def forget(self, address: Any) -> None:
        del self._channels[address]
        if address is None:
            self.transport.close()


class KcpChannel(MessageChannel):
    def __init__(self, owner: KcpEndpoint, address: Any, window: int) -> None:
        super().__init__(window, LARGEST)
        self._owner = owner
        self._address = address
        self._loop = asyncio.get_running_loop()
        self._core = importlib.import_module("kcp").KCP(CONVERSATION, **SETTINGS)
        self._core.include_outbound_handler(self._send_datagram)
        self._flushing: asyncio.Handle | None = None
        self._core.update(milliseconds())
        self._timer = self._loop.call_later(INTERVAL, self._update)

    def datagram_received(self, data: bytes) -> None:
        self._core.receive(data)
        for message in self._core.get_all_received():
            self.received(bytes(message))
        self._flush_soon()

    def send_message(self, message: bytes) -> None:
        self._core.enqueue(message)
        self._flush_soon()

    async def close(self) -> None:
        self._flush()
        self._timer.cancel()
        if self._flushing is not None:
            self._flushing.cancel()
        self._owner.forget(self._address)

    def _send_datagram(self, _core: Any, data: bytes) -> None:
        self._owner.transport.sendto(data, self._address)

    def _flush_soon(self) -> None:
        if self._flushing is None:
            self._flushing = self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = None
        self._core.flush()

    def _update(self) -> None:
        self._core.update(milliseconds())
        self._timer = self._loop.call_later(INTERVAL, self._update)


def milliseconds() -> int:
    return int(time.monotonic() * 1000) & 0xFFFFFFFF
