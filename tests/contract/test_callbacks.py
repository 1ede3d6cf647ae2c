"""Which callbacks a protocol gets, in which order, and what their results and errors lead to."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import weakref
from typing import Any

import pytest

from .net import HOST, Net, Recorder, connected, port_of, round_trips

BYE = b"bye"


async def test_a_connection_that_the_client_closes_calls_back_in_order(net: Net) -> None:
    async with connected(net) as (client, server):
        client.transport.write(b"hello")
        await server.received(b"hello")
        server.transport.write(BYE)
        await client.received(BYE)
        client.transport.close()
        await client.until("lost")
        await server.until("lost")
    assert client.events == ["made", "data", "lost"]
    assert server.events == ["made", "data", "eof", "lost"]
    assert client.lost_with == server.lost_with == [None]


async def test_a_connection_that_the_server_closes_calls_back_in_order(net: Net) -> None:
    async with connected(net) as (client, server):
        server.transport.write(BYE)
        server.transport.close()
        await client.until("lost")
        await server.until("lost")
    assert client.events == ["made", "data", "eof", "lost"]
    assert server.events == ["made", "lost"]
    assert client.lost_with == server.lost_with == [None]


async def test_connection_made_comes_before_create_connection_returns(net: Net) -> None:
    listener = await net.create_server(Recorder, HOST, 0)
    transport, client = await net.create_connection(Recorder, HOST, port_of(listener))
    assert client.events == ["made"]
    assert client.transport is transport
    transport.close()
    await client.until("lost")
    listener.close()


async def test_a_server_calls_its_factory_once_for_each_connection(net: Net) -> None:
    made: list[Recorder] = []

    def factory() -> Recorder:
        made.append(Recorder())
        return made[-1]

    listener = await net.create_server(factory, HOST, 0)
    clients = []
    for number in range(3):
        transport, client = await net.create_connection(Recorder, HOST, port_of(listener))
        transport.write(b"%d" % number)
        clients.append(client)
    while len(made) < 3:
        await asyncio.sleep(0)
    for server in made:
        await server.until("data")
        server.transport.write(server.data)
    for number, client in enumerate(clients):
        await client.received(b"%d" % number)
    for protocol in clients + made:
        protocol.transport.close()
        await protocol.until("lost")
    listener.close()


async def test_data_sent_from_connection_made_arrives(net: Net) -> None:
    class Greeter(Recorder):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            transport.write(b"welcome")

    async with connected(net, Greeter(), Greeter()) as (client, server):
        await client.received(b"welcome")
        await server.received(b"welcome")


@pytest.mark.parametrize("call", ["close", "abort"])
async def test_ending_a_connection_calls_back_later_and_once(net: Net, call: str) -> None:
    async with connected(net) as (client, _):
        getattr(client.transport, call)()
        getattr(client.transport, call)()
        client.transport.abort()
        assert client.events == ["made"]
        await client.until("lost")
        await round_trips(net, 3)
    assert client.events == ["made", "lost"]
    assert client.lost_with == [None]


async def test_writing_calls_nobody_back_but_for_flow_control(net: Net) -> None:
    class Echo(Recorder):
        writing = False

        def data_received(self, data: bytes) -> None:
            assert not self.writing
            super().data_received(data)
            if len(self.data) < 100:
                self.writing = True
                self.transport.write(data)
                self.writing = False

    async with connected(net, Echo(), Echo()) as (client, server):
        client.writing = True
        client.transport.write(b"ball")
        client.writing = False
        await client.until(lambda: len(client.data) >= 96)
        await server.until(lambda: len(server.data) >= 96)


async def test_eof_received_returning_false_closes_the_transport(net: Net) -> None:
    async with connected(net, server=Recorder(half_open=False)) as (client, server):
        client.transport.write_eof()
        await client.until("lost")
        await server.until("lost")
    assert client.events == ["made", "eof", "lost"]
    assert server.events == ["made", "eof", "lost"]
    assert client.lost_with == server.lost_with == [None]


async def test_eof_received_returning_true_keeps_the_other_direction_open(net: Net) -> None:
    async with connected(net, server=Recorder(half_open=True)) as (client, server):
        client.transport.write(b"question")
        client.transport.write_eof()
        await server.until("eof")
        assert server.data == b"question"
        await round_trips(net, 3)
        assert not server.transport.is_closing()
        server.transport.write(b"answer")
        server.transport.close()
        await client.until("lost")
        assert client.data == b"answer"
    assert server.events == ["made", "data", "eof", "lost"]
    assert client.events == ["made", "data", "eof", "lost"]
    assert client.lost_with == server.lost_with == [None]


async def test_data_written_before_a_false_eof_received_still_arrives(net: Net) -> None:
    size = 2**20

    class AnswersAtEof(Recorder):
        def eof_received(self) -> bool:
            self.transport.write(b"a" * size)
            return super().eof_received()

    async with connected(net, server=AnswersAtEof()) as (client, server):
        client.transport.write_eof()
        await client.until("lost")
        await server.until("lost")
    assert len(client.data) == size


async def test_connection_lost_after_a_reset_has_the_error(net: Net) -> None:
    async with connected(net) as (client, server):
        net.reset(client.transport)
        await server.until("lost")
        assert server.transport.is_closing()
    assert client.lost_with == [None]
    assert server.events == ["made", "lost"]
    (error,) = server.lost_with
    assert isinstance(error, ConnectionResetError)
    assert error.errno


async def test_abort_is_seen_by_the_peer(net: Net) -> None:
    async with connected(net) as (client, server):
        client.transport.abort()
        await server.until("lost")
    (error,) = server.lost_with
    if net.expect.abort_resets:
        assert isinstance(error, ConnectionResetError)
    else:
        assert server.events == ["made", "eof", "lost"]
        assert error is None


async def test_an_error_in_data_received_is_reported_and_ends_the_connection(
    net: Net, loop_errors: list[dict[str, Any]]
) -> None:
    error = ZeroDivisionError("in data_received")

    class Broken(Recorder):
        def data_received(self, data: bytes) -> None:
            raise error

    async with connected(net, server=Broken()) as (client, server):
        client.transport.write(b"x")
        await server.until("lost")
        await client.until("lost")
    assert server.lost_with == [error]
    (report,) = loop_errors
    assert report["exception"] is error
    assert report["transport"] is server.transport
    assert report["protocol"] is server
    assert report["message"]
    loop_errors.clear()


async def test_an_error_in_eof_received_is_reported_and_ends_the_connection(
    net: Net, loop_errors: list[dict[str, Any]]
) -> None:
    error = ZeroDivisionError("in eof_received")

    class Broken(Recorder):
        def eof_received(self) -> bool:
            raise error

    async with connected(net, server=Broken()) as (client, server):
        client.transport.write_eof()
        await server.until("lost")
        await client.until("lost")
    assert server.lost_with == [error]
    assert [report["exception"] for report in loop_errors] == [error]
    loop_errors.clear()


@pytest.mark.parametrize("callback", ["pause_writing", "resume_writing"])
async def test_an_error_in_flow_control_is_reported_and_the_connection_goes_on(
    net: Net, loop_errors: list[dict[str, Any]], callback: str
) -> None:
    error = ZeroDivisionError(callback)

    class Broken(Recorder):
        def pause_writing(self) -> None:
            super().pause_writing()
            if callback == "pause_writing":
                raise error

        def resume_writing(self) -> None:
            super().resume_writing()
            if callback == "resume_writing":
                raise error

    async with connected(net, client=Broken()) as (client, server):
        server.transport.pause_reading()
        written = 0
        while not client.paused:
            client.transport.write(b"x" * 2**18)
            written += 2**18
            await asyncio.sleep(0)
        server.transport.resume_reading()
        await client.until("resume")
        await server.until(lambda: len(server.data) == written)
    assert {report["exception"] for report in loop_errors} == {error}
    assert loop_errors[0]["transport"] is client.transport
    assert loop_errors[0]["protocol"] is client
    loop_errors.clear()


async def test_an_error_in_connection_lost_is_reported(
    net: Net, loop_errors: list[dict[str, Any]]
) -> None:
    error = ZeroDivisionError("in connection_lost")

    class Broken(Recorder):
        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            raise error

    async with connected(net, client=Broken()) as (client, server):
        client.transport.close()
        await server.until("lost")
        await client.until("lost")
        await round_trips(net, 1)
    assert [report["exception"] for report in loop_errors] == [error]
    loop_errors.clear()


async def test_the_transport_lets_go_of_the_protocol_after_connection_lost(net: Net) -> None:
    async with connected(net) as (client, _):
        transport = client.transport
        transport.close()
        await client.until("lost")
        client.transport = None
    protocol = weakref.ref(client)
    del client
    while protocol() is not None:
        await asyncio.sleep(0)
        gc.collect()
    assert transport.is_closing()


async def test_each_connection_calls_back_in_the_context_it_was_made_in(net: Net) -> None:
    variable = contextvars.ContextVar("variable", default="none")

    class Seeing(Recorder):
        def __init__(self) -> None:
            super().__init__()
            self.seen: set[str] = set()

        def note(self, event: str) -> None:
            self.seen.add(variable.get())
            super().note(event)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            # What close() leads to runs in the context of its caller, so it is called from here.
            self.transport.close()

    accepted: list[Seeing] = []

    def factory() -> Seeing:
        accepted.append(Seeing())
        return accepted[-1]

    async def connect(value: str) -> Seeing:
        variable.set(value)
        _, client = await net.create_connection(Seeing, HOST, port_of(listener))
        return client

    variable.set("server")
    listener = await net.create_server(factory, HOST, 0)
    variable.set("test")
    # Each task has a context of its own.
    first = await asyncio.create_task(connect("first"))
    second = await asyncio.create_task(connect("second"))
    while len(accepted) < 2:
        await asyncio.sleep(0)
    for server in accepted:
        server.transport.write(b"data")
        await server.until("lost")
        assert server.events == ["made", "eof", "lost"]
    for client in (first, second):
        await client.until("lost")
        assert client.events == ["made", "data", "lost"]
    assert [first.seen, second.seen] == [{"first"}, {"second"}]
    assert [server.seen for server in accepted] == [{"server"}, {"server"}]
    listener.close()
