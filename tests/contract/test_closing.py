"""close(), abort(), resets and half-closes; what wait_closed() and drain() then say."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import warnings
from typing import Any

import pytest

from tests.conftest import LOOPS

from .net import HOST, Net, Recorder, RudpNet, TcpNet, connected, port_of, round_trips, streams

MEGABYTE = b"m" * 2**20


async def test_close_sends_all_that_was_written_before(net: Net) -> None:
    async with connected(net) as (client, server):
        for _ in range(4):
            client.transport.write(MEGABYTE)
        client.transport.close()
        await server.until("lost")
        await client.until("lost")
    assert server.data == MEGABYTE * 4
    assert client.lost_with == server.lost_with == [None]


async def test_close_waits_for_a_peer_that_reads_slowly(net: Net) -> None:
    async with connected(net) as (client, server):
        server.transport.pause_reading()
        while not client.paused:
            client.transport.write(MEGABYTE)
            await asyncio.sleep(0)
        client.transport.close()
        await round_trips(net, 3)
        assert client.events == ["made", "pause"]
        server.transport.resume_reading()
        await client.until("lost")
        await server.until("lost")
    assert len(server.data) % len(MEGABYTE) == 0
    assert client.lost_with == server.lost_with == [None]


async def test_abort_drops_what_waits(net: Net) -> None:
    async with connected(net) as (client, server):
        server.transport.pause_reading()
        written = 0
        while not client.paused:
            client.transport.write(MEGABYTE)
            written += len(MEGABYTE)
            await asyncio.sleep(0)
        client.transport.abort()
        await client.until("lost")
        server.transport.resume_reading()
        await server.until("lost")
    assert client.lost_with == [None]
    assert len(server.data) < written


async def test_abort_after_close_ends_at_once(net: Net) -> None:
    async with connected(net) as (client, server):
        server.transport.pause_reading()
        while not client.paused:
            client.transport.write(MEGABYTE)
            await asyncio.sleep(0)
        client.transport.close()
        client.transport.abort()
        await client.until("lost")
    assert client.lost_with == [None]


@pytest.mark.parametrize("call", ["close", "abort"])
async def test_a_transport_is_closing_from_the_call_on(net: Net, call: str) -> None:
    async with connected(net) as (client, _):
        assert client.transport.is_closing() is False
        getattr(client.transport, call)()
        assert client.transport.is_closing() is True
        await client.until("lost")
        assert client.transport.is_closing() is True


async def test_both_sides_may_close_at_once(net: Net) -> None:
    async with connected(net) as (client, server):
        client.transport.write(b"from the client")
        server.transport.write(b"from the server")
        await client.received(b"from the server")
        await server.received(b"from the client")
        client.transport.close()
        server.transport.close()
        await client.until("lost")
        await server.until("lost")
    assert client.lost_with == server.lost_with == [None]


async def test_both_sides_may_half_close_at_once(net: Net) -> None:
    both = Recorder(half_open=True), Recorder(half_open=True)
    async with connected(net, *both) as (client, server):
        client.transport.write(b"from the client")
        client.transport.write_eof()
        server.transport.write(b"from the server")
        server.transport.write_eof()
        await client.until("eof")
        await server.until("eof")
        assert (client.data, server.data) == (b"from the server", b"from the client")
        client.transport.close()
        server.transport.close()
        await client.until("lost")
        await server.until("lost")
    assert client.lost_with == server.lost_with == [None]


@pytest.mark.parametrize("call", ["close", "abort"])
async def test_a_connection_with_both_ends_of_stream_lasts_until_it_is_closed(
    net: Net, call: str
) -> None:
    both = Recorder(half_open=True), Recorder(half_open=True)
    async with connected(net, *both) as (client, server):
        client.transport.write_eof()
        await server.until("eof")
        server.transport.write_eof()
        await client.until("eof")
        await round_trips(net, 3)
        for side in both:
            assert side.events == ["made", "eof"]
            assert not side.transport.is_closing()
            getattr(side.transport, call)()
            await side.until("lost")
            assert side.lost_with == [None]


async def test_the_server_may_half_close_and_go_on_reading(net: Net) -> None:
    async with connected(net, client=Recorder(half_open=True)) as (client, server):
        server.transport.write_eof()
        await client.until("eof")
        client.transport.write(MEGABYTE)
        client.transport.close()
        await server.until("lost")
    assert server.data == MEGABYTE


async def test_a_closed_side_answers_data_with_a_reset(net: Net) -> None:
    async with connected(net, server=Recorder(half_open=True)) as (client, server):
        client.transport.close()
        await client.until("lost")
        await server.until("eof")
        while not server.lost_with:
            server.transport.write(b"is anybody there?")
            await asyncio.sleep(0)
    (error,) = server.lost_with
    # A kernel says so as EPIPE from the second write on.
    assert isinstance(error, ConnectionResetError | BrokenPipeError)


async def test_closing_with_unread_data_resets_the_connection(net: Net) -> None:
    async with connected(net) as (client, server):
        server.transport.pause_reading()
        while not client.paused:
            client.transport.write(MEGABYTE)
            await asyncio.sleep(0)
        await round_trips(net, 3)
        server.transport.close()
        await client.until("lost")
    (error,) = client.lost_with
    assert isinstance(error, ConnectionResetError | BrokenPipeError)


async def test_streams_see_a_reset_in_every_call(net: Net) -> None:
    async with streams(net) as ((reader, writer), (_, peer)):
        reading = asyncio.create_task(reader.read(1))
        await asyncio.sleep(0)
        net.reset(peer.transport)
        with pytest.raises(ConnectionResetError) as caught:
            await reading
        assert caught.value.errno == errno.ECONNRESET
        calls: list[Any] = [reader.read(), reader.readline(), reader.readexactly(1)]
        for call in [*calls, writer.drain(), writer.wait_closed()]:
            with pytest.raises(ConnectionResetError):
                await call
        assert writer.is_closing()


async def test_a_write_after_a_reset_is_dropped_and_the_next_drain_says_so(net: Net) -> None:
    async with streams(net) as ((reader, writer), (_, peer)):
        net.reset(peer.transport)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        if net.expect.drops_writes_after_loss:
            writer.write(b"dropped")
        with pytest.raises(ConnectionResetError):
            await writer.drain()


async def test_a_reset_ends_a_drain_that_waits(net: Net) -> None:
    async with streams(net) as ((_, writer), (_, peer)):
        peer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(MEGABYTE * 16)
        draining = asyncio.create_task(writer.drain())
        await round_trips(net, 3)
        assert not draining.done()
        net.reset(peer.transport)
        with pytest.raises(ConnectionError):
            await draining


async def test_a_local_abort_is_the_end_of_the_stream_for_the_reader(net: Net) -> None:
    async with streams(net) as ((reader, writer), _):
        reading = asyncio.create_task(reader.read())
        await asyncio.sleep(0)
        writer.transport.abort()
        assert await reading == b""
        with pytest.raises(ConnectionResetError, match="Connection lost"):
            await writer.drain()
        await writer.wait_closed()


async def test_wait_closed_returns_when_the_connection_ended_well(net: Net) -> None:
    async with streams(net) as ((reader, writer), (peer_reader, peer)):
        writer.write(MEGABYTE)
        writer.close()
        assert writer.is_closing()
        waiting = [asyncio.create_task(writer.wait_closed()) for _ in range(3)]
        assert await peer_reader.read() == MEGABYTE
        peer.close()
        await asyncio.gather(*waiting)
        await writer.wait_closed()
        await peer.wait_closed()
        assert await reader.read() == b""


async def test_wait_closed_needs_no_close_of_the_peer(net: Net) -> None:
    async with streams(net) as ((_, writer), (peer_reader, _)):
        writer.write(b"last words")
        writer.close()
        await writer.wait_closed()
        assert await peer_reader.read() == b"last words"


async def test_drain_after_close_gives_the_loop_a_turn(net: Net) -> None:
    async with streams(net) as ((_, writer), _):
        turns: list[int] = []
        writer.close()
        asyncio.get_running_loop().call_soon(turns.append, 1)
        # The connection may be lost by then, or not yet.
        with contextlib.suppress(ConnectionResetError):
            await writer.drain()
        assert turns == [1]


async def test_a_writer_that_is_forgotten_warns_and_closes(net: Net) -> None:
    listener = await net.start_server(lambda reader, writer: accepted.set_result(writer), HOST, 0)
    accepted: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()
    reader, writer = await net.open_connection(HOST, port_of(listener))
    peer = await accepted
    transport = writer.transport
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del writer
        gc.collect()
    assert [w.category for w in caught] == [ResourceWarning]
    assert str(caught[0].message).startswith("unclosed <StreamWriter")
    assert transport.is_closing()
    assert await reader.read() == b""
    peer.close()
    await peer.wait_closed()
    listener.close()


@pytest.mark.parametrize("loop_name", LOOPS)
@pytest.mark.parametrize("kind", [TcpNet, RudpNet])
def test_a_transport_left_open_when_its_loop_ends_warns(kind: Any, loop_name: str) -> None:
    async def leave_open() -> None:
        net = kind(loop_name)
        listener = await net.create_server(Recorder, HOST, 0)
        await net.create_connection(Recorder, HOST, port_of(listener))
        await round_trips(net, 2)  # until it is accepted
        listener.close()

    loop = LOOPS[loop_name]()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loop.run_until_complete(leave_open())
        loop.close()
        del loop
        gc.collect()
    messages = [str(w.message) for w in caught if w.category is ResourceWarning]
    assert any("unclosed" in message for message in messages)


@pytest.mark.parametrize("loop_name", LOOPS)
@pytest.mark.parametrize("kind", [TcpNet, RudpNet])
def test_transports_closed_in_time_leave_no_warning(kind: Any, loop_name: str) -> None:
    async def tidy() -> None:
        async with connected(kind(loop_name)) as (client, server):
            client.transport.close()
            await client.until("lost")
            await server.until("lost")

    with warnings.catch_warnings(record=True) as caught:
        # What an earlier test left behind is not to be counted here.
        warnings.simplefilter("ignore")
        gc.collect()
        warnings.simplefilter("always")
        with asyncio.Runner(loop_factory=LOOPS[loop_name]) as runner:
            runner.run(tidy())
        gc.collect()
    assert [str(w.message) for w in caught if w.category is ResourceWarning] == []
