"""Small programs for simulated hosts, and how to run them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import rudp
from rudp import sim

T = TypeVar("T")
PORT = 7000


def simulate(
    scenario: Callable[[sim.Network, sim.Host, sim.Host], Awaitable[T]],
    seed: int = 0,
    **options: Any,
) -> T:
    """Run a scenario with two hosts, "a" and "b"."""

    async def with_hosts(network: sim.Network) -> T:
        return await scenario(network, network.host("a"), network.host("b"))

    return sim.run(with_hosts, seed, **options)


def now() -> float:
    return asyncio.get_running_loop().time()


async def echo_server(host: str = "0.0.0.0", port: int = PORT) -> None:
    """Send back all that comes, for ever."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await rudp.start_server(handle, host, port) as server:
        await server.serve_forever()


async def ask(host: str, data: bytes, port: int = PORT) -> bytes:
    """Send `data` and EOF, and return all that comes back."""
    reader, writer = await rudp.open_connection(host, port)
    writer.write(data)
    writer.write_eof()
    answer = await reader.read(-1)
    writer.close()
    await writer.wait_closed()
    return answer


class Datagrams(asyncio.DatagramProtocol):
    """Keeps what comes: (virtual time, data, address), and errors."""

    def __init__(self) -> None:
        self.received: list[tuple[float, bytes, Any]] = []
        self.errors: list[int | None] = []
        self.transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.DatagramTransport)
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.received.append((now(), data, addr))

    def error_received(self, exc: Exception) -> None:
        assert isinstance(exc, OSError)
        self.errors.append(exc.errno)


async def open_udp(host: sim.Host, **addresses: Any) -> Datagrams:
    """A UDP socket on `host`: `local_addr=`, `remote_addr=`."""

    async def make() -> Datagrams:
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_datagram_endpoint(Datagrams, **addresses)
        return protocol

    return await host.run(make())
