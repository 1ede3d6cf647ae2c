"""Reading through a transport: pausing, resuming, BufferedProtocol, and a change of protocol."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from .net import BufferedRecorder, Net, Recorder, connected, round_trips

DATA = bytes(range(256)) * 4096


async def test_a_transport_reads_from_the_beginning(net: Net) -> None:
    async with connected(net) as (client, server):
        assert client.transport.is_reading() is True
        assert server.transport.is_reading() is True


async def test_pausing_and_resuming_are_idempotent(net: Net) -> None:
    async with connected(net) as (client, server):
        for _ in range(2):
            server.transport.pause_reading()
            assert server.transport.is_reading() is False
        client.transport.write(b"data")
        await round_trips(net, 3)
        assert server.events == ["made"]
        for _ in range(2):
            server.transport.resume_reading()
            assert server.transport.is_reading() is True
        await server.received(b"data")


async def test_resuming_what_was_not_paused_changes_nothing(net: Net) -> None:
    async with connected(net) as (client, server):
        server.transport.resume_reading()
        client.transport.write(b"data")
        await server.received(b"data")


async def test_data_comes_after_resume_reading_has_returned(net: Net) -> None:
    async with connected(net) as (client, server):
        server.transport.pause_reading()
        client.transport.write(b"data")
        await round_trips(net, 3)
        server.transport.resume_reading()
        assert server.events == ["made"]
        await server.received(b"data")


async def test_pausing_inside_data_received_stops_the_data_at_once(net: Net) -> None:
    class OneAtATime(Recorder):
        calls = 0

        def data_received(self, data: bytes) -> None:
            assert self.transport.is_reading()
            self.calls += 1
            self.transport.pause_reading()
            super().data_received(data)

    async with connected(net, server=OneAtATime()) as (client, server):
        client.transport.write(DATA)
        await server.until("data")
        await round_trips(net, 3)
        assert server.calls == 1
        while len(server.data) < len(DATA):
            calls = server.calls
            server.transport.resume_reading()
            assert server.calls == calls
            await server.until(lambda calls=calls: server.calls > calls)
            assert server.calls == calls + 1
    assert server.data == DATA


async def test_pausing_and_resuming_inside_data_received_loses_nothing(net: Net) -> None:
    class Undecided(Recorder):
        inside = False

        def data_received(self, data: bytes) -> None:
            assert not self.inside
            self.inside = True
            super().data_received(data)
            self.transport.pause_reading()
            self.transport.resume_reading()
            self.inside = False

    async with connected(net, server=Undecided()) as (client, server):
        client.transport.write(DATA)
        await server.received(DATA)


async def test_pausing_in_connection_made_holds_the_first_data_back(net: Net) -> None:
    if not net.expect.pauses_in_connection_made:
        pytest.skip("TCP on this loop begins to read after connection_made() all the same")

    class Patient(Recorder):
        def connection_made(self, transport: Any) -> None:
            transport.pause_reading()
            super().connection_made(transport)

    async with connected(net, server=Patient()) as (client, server):
        client.transport.write(b"data")
        await round_trips(net, 3)
        assert server.events == ["made"]
        server.transport.resume_reading()
        await server.received(b"data")


async def test_the_end_of_the_stream_waits_behind_data_that_is_paused(net: Net) -> None:
    async with connected(net) as (client, server):
        server.transport.pause_reading()
        client.transport.write(b"data")
        client.transport.close()
        await client.until("lost")
        await round_trips(net, 3)
        assert server.events == ["made"]
        server.transport.resume_reading()
        await server.until("lost")
    assert server.data == b"data"
    assert server.events == ["made", "data", "eof", "lost"]


async def test_a_reader_that_pauses_makes_the_writer_pause(net: Net) -> None:
    async with connected(net) as (client, server):
        server.transport.pause_reading()
        written = 0
        # A writer may pause for a moment only; this one stays paused.
        while not client.paused:
            client.transport.write(DATA)
            written += len(DATA)
            assert written < 64 * 2**20
            await round_trips(net, 3)
        waiting = client.transport.get_write_buffer_size()
        assert 2**16 < waiting <= 2**16 + len(DATA)
        await round_trips(net, 10)
        assert client.paused
        server.transport.resume_reading()
        await client.until("resume")
        await server.until(lambda: len(server.data) == written)
    assert server.data == DATA * (written // len(DATA))


async def test_nothing_is_received_after_close(net: Net) -> None:
    async with connected(net) as (client, server):
        server.transport.pause_reading()
        client.transport.write(DATA)
        await round_trips(net, 1)
        server.transport.resume_reading()
        server.transport.close()
        await server.until("lost")
        await client.until("lost")
    assert server.events == ["made", "lost"]


async def test_closing_inside_data_received_stops_the_data_at_once(net: Net) -> None:
    class ClosesAtOnce(Recorder):
        calls = 0

        def data_received(self, data: bytes) -> None:
            self.calls += 1
            super().data_received(data)
            self.transport.close()

    async with connected(net, server=ClosesAtOnce()) as (client, server):
        client.transport.write(DATA)
        await server.until("lost")
        await client.until("lost")
    assert server.calls == 1
    assert server.events == ["made", "data", "lost"]


async def test_pausing_and_resuming_after_close_is_allowed(net: Net) -> None:
    async with connected(net) as (client, _):
        client.transport.close()
        assert client.transport.is_reading() is False
        client.transport.pause_reading()
        client.transport.resume_reading()
        await client.until("lost")
    assert client.events == ["made", "lost"]


@pytest.mark.parametrize("size", [1, 1000, 2**18])
async def test_a_buffered_protocol_gets_the_data_in_its_own_buffer(net: Net, size: int) -> None:
    data = DATA if size > 1 else DATA[:100]
    async with connected(net, server=BufferedRecorder(size=size)) as (client, server):
        client.transport.write(data)
        await server.received(data)
        client.transport.close()
        await server.until("lost")
    assert server.events == ["made", "data", "eof", "lost"]


async def test_a_buffered_protocol_can_pause_in_buffer_updated(net: Net) -> None:
    class OneAtATime(BufferedRecorder):
        calls = 0

        def buffer_updated(self, nbytes: int) -> None:
            self.calls += 1
            self.transport.pause_reading()
            super().buffer_updated(nbytes)

    async with connected(net, server=OneAtATime(size=2**16)) as (client, server):
        client.transport.write(DATA)
        await server.until("data")
        await round_trips(net, 3)
        assert server.calls == 1
        while len(server.data) < len(DATA):
            calls = server.calls
            server.transport.resume_reading()
            await server.until(lambda calls=calls: server.calls > calls)
    assert server.data == DATA


async def test_a_buffered_protocol_is_half_open_as_any_other(net: Net) -> None:
    server = BufferedRecorder(half_open=True)
    async with connected(net, BufferedRecorder(), server) as (client, server):
        client.transport.write_eof()
        await server.until("eof")
        server.transport.write(b"answer")
        server.transport.close()
        await client.until("lost")
    assert client.data == b"answer"


@pytest.mark.parametrize("where", ["get_buffer", "buffer_updated"])
async def test_an_error_in_a_buffered_protocol_is_reported_and_ends_the_connection(
    net: Net, loop_errors: list[dict[str, Any]], where: str
) -> None:
    error = ZeroDivisionError(where)

    class Broken(BufferedRecorder):
        def get_buffer(self, sizehint: int) -> bytearray:
            if where == "get_buffer":
                raise error
            return super().get_buffer(sizehint)

        def buffer_updated(self, nbytes: int) -> None:
            raise error

    async with connected(net, server=Broken()) as (client, server):
        client.transport.write(b"x")
        await server.until("lost")
        await client.until("lost")
    assert [report["exception"] for report in loop_errors] == server.lost_with
    if where == "buffer_updated" or net.expect.reports_get_buffer_errors:
        assert server.lost_with == [error]
    loop_errors.clear()


async def test_an_empty_buffer_is_an_error_of_the_protocol(
    net: Net, loop_errors: list[dict[str, Any]]
) -> None:
    async with connected(net, server=BufferedRecorder(size=0)) as (client, server):
        client.transport.write(b"x")
        await server.until("lost")
        await client.until("lost")
    assert isinstance(server.lost_with[0], RuntimeError)
    assert [report["exception"] for report in loop_errors] == server.lost_with
    loop_errors.clear()


@pytest.mark.parametrize("kind", [Recorder, BufferedRecorder])
async def test_a_transport_can_change_its_protocol(net: Net, kind: Any) -> None:
    async with connected(net) as (client, first):
        client.transport.write(b"to the first")
        await first.received(b"to the first")
        second = kind()
        second.transport = first.transport
        assert first.transport.get_protocol() is first
        first.transport.set_protocol(second)
        assert first.transport.get_protocol() is second
        client.transport.write(b"to the second")
        await second.received(b"to the second")
        client.transport.close()
        await second.until("lost")
        assert second.events == ["data", "eof", "lost"]
        assert first.events == ["made", "data"]
        first.transport = None


async def test_a_protocol_changed_inside_data_received_gets_what_follows(net: Net) -> None:
    second = Recorder()

    class HandsOver(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            second.transport = self.transport
            self.transport.set_protocol(second)
            self.transport = None

    async with connected(net, server=HandsOver()) as (client, first):
        client.transport.write(DATA)
        client.transport.close()
        await second.until("lost")
    assert first.data + second.data == DATA
    assert first.events == ["made", "data"]
    assert second.events[-2:] == ["eof", "lost"]


async def test_a_transport_is_an_asyncio_transport(net: Net) -> None:
    async with connected(net) as (client, server):
        for transport in (client.transport, server.transport):
            assert isinstance(transport, asyncio.Transport) == net.expect.is_asyncio_transport
