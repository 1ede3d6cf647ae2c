"""Path MTU discovery over real sockets, where the kernel would let large datagrams through.

What a path that swallows them does to it: tests/simulation/test_path_mtu.py.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import rudp
from rudp.core.segment import Segment
from rudp.core.state import State

HOST = "127.0.0.1"
DATA = bytes(range(256)) * 8000


async def count(reader: rudp.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that answers with how many bytes it got."""
    total = 0
    while data := await reader.read(1 << 20):
        total += len(data)
    writer.write(b"%d" % total)
    writer.close()
    await writer.wait_closed()


@contextlib.asynccontextmanager
async def two(config: rudp.Config | None = None) -> AsyncIterator[tuple[rudp.Endpoint, int, Sizes]]:
    """A client's endpoint, the port of a server, and what the client sends."""
    sizes = Sizes()
    async with (
        await rudp.start_server(count, HOST, 0) as server,
        await rudp.Endpoint.open((HOST, 0), config=config, tap=sizes) as endpoint,
    ):
        yield endpoint, server.sockets[0].getsockname()[1], sizes


class Sizes(list[int]):
    """The bytes of data in each segment that went out: a tap."""

    def __call__(self, direction: str, segment: Segment, state: State, now: float) -> None:
        if direction == ">" and segment.data:
            self.append(segment.wire_len or len(segment.data))


async def upload(endpoint: rudp.Endpoint, port: int) -> tuple[int, int]:
    """Send DATA; the size of segments before and after."""
    reader, writer = await endpoint.open_connection(HOST, port)
    before = writer.get_extra_info("tcp_info").snd_mss
    writer.write(DATA)
    writer.write_eof()
    assert await reader.read() == b"%d" % len(DATA)
    after = writer.get_extra_info("tcp_info").snd_mss
    writer.close()
    await writer.wait_closed()
    return before, after


async def test_within_this_host_segments_are_as_large_as_can_be_at_once() -> None:
    async with two() as (endpoint, port, sizes):
        before, after = await upload(endpoint, port)
        assert before == after > 60_000
        assert sizes[0] > 60_000


async def test_a_large_mtu_is_used_after_the_first_round_trips_and_then_at_once() -> None:
    async with two() as (endpoint, port, sizes):
        # As if loopback were a wire with an MTU of its own, and not this host itself.
        endpoint.engine.routes._mtus[HOST] = 65_000
        before, after = await upload(endpoint, port)
        assert before == 1180 - 12
        assert after == 65_000 - 28 - 20 - 12
        # An initial window, the probe; and the next that goes out is as large.
        assert [size > 60_000 for size in sizes[:4]].count(True) >= 2
        assert await upload(endpoint, port) == (after, after)


async def test_without_discovery_the_route_is_taken_at_its_word() -> None:
    async with two(rudp.Config(path_mtu_discovery=False)) as (endpoint, port, _):
        endpoint.engine.routes._mtus[HOST] = 9000
        assert await upload(endpoint, port) == (9000 - 28 - 20 - 12,) * 2
