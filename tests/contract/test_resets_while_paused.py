"""A reset while reading is paused: what came before it is not lost, and the error still comes."""

from __future__ import annotations

import asyncio

import pytest

from .net import Net, round_trips, streams


async def test_a_paused_reader_gets_what_came_before_a_reset(net: Net) -> None:
    async with streams(net) as ((reader, writer), (_, peer)):
        writer.transport.pause_reading()
        peer.write(b"before the end")
        await peer.drain()
        await round_trips(net, 3)
        net.reset(peer.transport)
        await round_trips(net, 3)
        writer.transport.resume_reading()
        assert await reader.readexactly(14) == b"before the end"
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
