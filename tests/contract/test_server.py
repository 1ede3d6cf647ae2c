"""The Server object: its sockets, its beginning, its end, and what becomes of its connections."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from .net import HOST, Net, Recorder, connected, port_of, round_trips


@contextlib.asynccontextmanager
async def serving(
    net: Net, **options: Any
) -> AsyncIterator[tuple[Any, list[Recorder], list[Recorder]]]:
    """A server with two connections: the server, its clients, and its own sides of them."""
    accepted: list[Recorder] = []

    def factory() -> Recorder:
        accepted.append(Recorder())
        return accepted[-1]

    server = await net.create_server(factory, HOST, 0, **options)
    clients = []
    try:
        for number in range(2):
            _, client = await net.create_connection(Recorder, HOST, port_of(server))
            clients.append(client)
            while len(accepted) <= number:
                await asyncio.sleep(0)
            await accepted[number].until("made")
        yield server, clients, accepted
    finally:
        server.close()
        for protocol in clients + accepted:
            if "lost" not in protocol.events:
                protocol.transport.abort()
                await protocol.until("lost")


async def refuses(net: Net, port: int) -> bool:
    try:
        transport, protocol = await net.create_connection(Recorder, HOST, port)
    except ConnectionRefusedError:
        return True
    transport.abort()
    await protocol.until("lost")
    return False


async def test_a_server_serves_from_its_creation_to_its_close(net: Net) -> None:
    server = await net.create_server(Recorder, HOST, 0)
    assert server.is_serving() is True
    assert server.get_loop() is asyncio.get_running_loop()
    server.close()
    assert server.is_serving() is False
    await server.wait_closed()


async def test_the_sockets_of_a_server_tell_where_it_listens(net: Net) -> None:
    server = await net.create_server(Recorder, HOST, 0)
    (sock,) = server.sockets
    host, port = sock.getsockname()
    assert (host, sock.family.name) == (HOST, "AF_INET")
    assert not await refuses(net, port)
    server.close()
    assert len(server.sockets) == 0


async def test_closing_a_server_twice_is_once(net: Net) -> None:
    server = await net.create_server(Recorder, HOST, 0)
    server.close()
    server.close()
    await server.wait_closed()
    await server.wait_closed()


async def test_a_closed_server_refuses_and_its_port_is_free(net: Net) -> None:
    server = await net.create_server(Recorder, HOST, 0)
    port = port_of(server)
    server.close()
    await server.wait_closed()
    assert await refuses(net, port)
    again = await net.create_server(Recorder, HOST, port)
    assert port_of(again) == port
    again.close()


async def test_closing_a_server_leaves_its_connections(net: Net) -> None:
    async with serving(net) as (server, clients, accepted):
        port = port_of(server)
        server.close()
        assert await refuses(net, port)
        for client, ours in zip(clients, accepted, strict=True):
            client.transport.write(b"still there?")
            await ours.received(b"still there?")
            ours.transport.write(b"yes")
            ours.transport.close()
            await client.until("lost")
            assert client.data == b"yes"


async def test_wait_closed_waits_for_close_and_for_the_last_connection(net: Net) -> None:
    if not net.expect.server_waits_for_clients:
        pytest.skip("TCP on this loop and Python does not wait")
    async with serving(net) as (server, clients, _):
        waiting = asyncio.create_task(server.wait_closed())
        await round_trips(net, 1)
        assert not waiting.done()
        server.close()
        clients[0].transport.close()
        await clients[0].until("lost")
        await round_trips(net, 3)
        assert not waiting.done()
        clients[1].transport.close()
        await waiting
        await server.wait_closed()


async def test_wait_closed_returns_when_there_were_no_connections(net: Net) -> None:
    server = await net.create_server(Recorder, HOST, 0)
    server.close()
    await server.wait_closed()


async def test_close_clients_closes_them_after_what_they_wrote(net: Net) -> None:
    if not net.expect.server_ends_clients:
        pytest.skip("TCP on this loop and Python has no close_clients()")
    async with serving(net) as (server, clients, accepted):
        for ours in accepted:
            ours.transport.write(b"x" * 2**20)
        server.close()
        server.close_clients()
        for protocol in clients + accepted:
            await protocol.until("lost")
            assert protocol.lost_with == [None]
        assert [len(client.data) for client in clients] == [2**20] * 2
        await server.wait_closed()


async def test_abort_clients_ends_them_at_once(net: Net) -> None:
    if not net.expect.server_ends_clients:
        pytest.skip("TCP on this loop and Python has no abort_clients()")
    async with serving(net) as (server, clients, accepted):
        for client, ours in zip(clients, accepted, strict=True):
            client.transport.pause_reading()
            while not ours.paused:
                ours.transport.write(b"x" * 2**20)
                await asyncio.sleep(0)
        server.close()
        server.abort_clients()
        for ours in accepted:
            await ours.until("lost")
            assert ours.lost_with == [None]
        await server.wait_closed()
        for client in clients:
            client.transport.resume_reading()
            await client.until("lost")


async def test_a_server_that_does_not_serve_yet_refuses(net: Net) -> None:
    server = await net.create_server(Recorder, HOST, 0, start_serving=False)
    assert server.is_serving() is False
    port = port_of(server)
    assert await refuses(net, port)
    await server.start_serving()
    await server.start_serving()
    assert server.is_serving() is True
    assert not await refuses(net, port)
    server.close()


async def test_the_context_of_a_server_closes_it(net: Net) -> None:
    async with await net.create_server(Recorder, HOST, 0) as server:
        port = port_of(server)
        assert server.is_serving()
    assert not server.is_serving()
    assert await refuses(net, port)


async def test_serve_forever_serves_until_it_is_cancelled(net: Net) -> None:
    server = await net.create_server(Recorder, HOST, 0, start_serving=False)
    port = port_of(server)
    serving_forever = asyncio.create_task(server.serve_forever())
    while not server.is_serving():
        await asyncio.sleep(0)
    assert not await refuses(net, port)
    serving_forever.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving_forever
    assert not server.is_serving()
    assert await refuses(net, port)


async def test_a_serve_forever_that_is_cancelled_closes_the_connections(net: Net) -> None:
    if not net.expect.cancelled_serve_forever_closes_clients:
        pytest.skip("TCP on this loop and Python leaves them, or waits for them")
    async with serving(net) as (server, clients, accepted):
        serving_forever = asyncio.create_task(server.serve_forever())
        await asyncio.sleep(0)
        for ours in accepted:
            ours.transport.write(b"x" * 2**20)
        serving_forever.cancel()
        await asyncio.wait([serving_forever])
        assert serving_forever.cancelled()
        for protocol in clients + accepted:
            await protocol.until("lost")
            assert protocol.lost_with == [None]
        assert [len(client.data) for client in clients] == [2**20] * 2


async def test_serve_forever_runs_once_at_a_time(net: Net) -> None:
    server = await net.create_server(Recorder, HOST, 0)
    first = asyncio.create_task(server.serve_forever())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError):
        await server.serve_forever()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_closing_a_server_ends_serve_forever(net: Net) -> None:
    if not net.expect.close_ends_serve_forever:
        pytest.skip("TCP on this loop waits on")
    server = await net.create_server(Recorder, HOST, 0)
    running = asyncio.create_task(server.serve_forever())
    await asyncio.sleep(0)
    server.close()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_closed_server_serves_no_more(net: Net) -> None:
    server = await net.create_server(Recorder, HOST, 0)
    server.close()
    with pytest.raises(RuntimeError):
        await server.serve_forever()
    # asyncio's own servers find out by accident, as a TypeError.
    with pytest.raises((RuntimeError, TypeError)):
        await server.start_serving()
    await server.wait_closed()


async def test_many_clients_at_once_are_all_served(net: Net) -> None:
    class Echo(Recorder):
        def data_received(self, data: bytes) -> None:
            self.transport.write(data)

    async def talk(number: int) -> None:
        transport, client = await net.create_connection(Recorder, HOST, port_of(server))
        message = b"%d" % number * 1000
        transport.write(message)
        await client.received(message)
        transport.close()
        await client.until("lost")

    server = await net.create_server(Echo, HOST, 0, backlog=100)
    await asyncio.gather(*(talk(number) for number in range(50)))
    server.close()


async def test_two_servers_side_by_side_do_not_mix(net: Net) -> None:
    async with connected(net) as (a, b), connected(net) as (c, d):
        a.transport.write(b"from a")
        c.transport.write(b"from c")
        await b.received(b"from a")
        await d.received(b"from c")


# --- start_server() and its callback --------------------------------------------------------------


async def test_the_callback_may_be_a_coroutine_function_which_becomes_a_task(net: Net) -> None:
    tasks = []

    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.current_task())
        writer.write((await reader.readline()).upper())
        writer.close()
        await writer.wait_closed()

    async with await net.start_server(shout, HOST, 0) as server:
        reader, writer = await net.open_connection(HOST, port_of(server))
        writer.write(b"hello\n")
        assert await reader.read() == b"HELLO\n"
        writer.close()
        await writer.wait_closed()
        await asyncio.gather(*tasks)
    assert len(tasks) == 1


async def test_the_limit_of_start_server_is_that_of_its_readers(net: Net) -> None:
    seen: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def read_a_line(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readline()
        except ValueError as error:
            seen.set_result(type(error).__name__)
        writer.close()

    async with await net.start_server(read_a_line, HOST, 0, limit=10) as server:
        reader, writer = await net.open_connection(HOST, port_of(server))
        writer.write(b"a line of more than ten bytes\n")
        assert await seen == "ValueError"
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("plain", [False, True])
async def test_an_error_in_a_callback_is_reported_and_closes_the_connection(
    net: Net, loop_errors: list[dict[str, Any]], plain: bool
) -> None:
    if not net.expect.reports_callback_errors:
        pytest.skip("asyncio on this Python loses it until the task is collected")
    if plain and not net.expect.reports_plain_callback_errors:
        pytest.skip("TCP on this Python leaves the connection open")
    error = ZeroDivisionError("in the callback")

    def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise error

    async def broken_later(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise error

    async with await net.start_server(broken if plain else broken_later, HOST, 0) as server:
        reader, writer = await net.open_connection(HOST, port_of(server))
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
    (report,) = loop_errors
    assert report["message"] == "Unhandled exception in client_connected_cb"
    assert report["exception"] is error
    loop_errors.clear()


async def test_a_cancelled_callback_reports_nothing(
    net: Net, loop_errors: list[dict[str, Any]]
) -> None:
    if not net.expect.allows_cancelled_callbacks:
        pytest.skip("asyncio on this Python trips over it")
    started: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        started.set_result((asyncio.current_task(), writer))
        await reader.read()

    server = await net.start_server(wait, HOST, 0)
    _, writer = await net.open_connection(HOST, port_of(server))
    task, peer = await started
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for end in (peer, writer):
        end.close()
        await end.wait_closed()
    server.close()
    assert loop_errors == []
