"""write() and its relatives: what they take, refuse and drop, and the limits of writing."""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import Any

import pytest

from .net import Net, Recorder, connected, round_trips

CHUNK = 2**18


async def write_until_paused(client: Recorder, server: Recorder) -> int:
    """Write while the peer does not read, until the transport says stop: the bytes written."""
    server.transport.pause_reading()
    written = 0
    while not client.paused:
        client.transport.write(b"x" * CHUNK)
        written += CHUNK
        await asyncio.sleep(0)
        assert written < 64 * 2**20
    return written


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
async def test_write_takes_bytes_and_whatever_looks_like_them(net: Net, kind: Any) -> None:
    async with connected(net) as (client, server):
        client.transport.write(kind(b"data"))
        await server.received(b"data")


@pytest.mark.parametrize("data", ["text", None, 7, [1, 2]])
async def test_write_refuses_other_types_and_goes_on(net: Net, data: Any) -> None:
    if data is None and not net.expect.write_refuses_none:
        pytest.skip("TCP on this loop takes None for no data")
    async with connected(net) as (client, server):
        with pytest.raises(TypeError):
            client.transport.write(data)
        client.transport.write(b"data")
        await server.received(b"data")


async def test_writing_nothing_sends_nothing(net: Net) -> None:
    async with connected(net) as (client, server):
        client.transport.write(b"")
        client.transport.write(bytearray())
        client.transport.writelines([])
        client.transport.writelines([b"", b""])
        await round_trips(net, 1)
        assert server.events == ["made"]
        client.transport.write(b"data")
        await server.received(b"data")


async def test_a_memoryview_of_several_dimensions_is_written_flat(net: Net) -> None:
    async with connected(net) as (client, server):
        view = memoryview(bytes(range(24))).cast("B", (2, 3, 4))
        client.transport.write(view)
        client.transport.write(b"after")
        await server.received(bytes(range(24)) + b"after")


async def test_a_memoryview_of_wide_items_is_written_as_its_bytes(net: Net) -> None:
    async with connected(net) as (client, server):
        client.transport.write(memoryview(bytes(range(16))).cast("I"))
        client.transport.write(b"after")
        await server.received(bytes(range(16)) + b"after")


async def test_a_slice_of_a_memoryview_is_written_as_its_bytes(net: Net) -> None:
    async with connected(net) as (client, server):
        client.transport.write(memoryview(b"0123456789")[3:7])
        await server.received(b"3456")


async def test_a_mutable_buffer_is_copied_by_write(net: Net) -> None:
    if not net.expect.copies_mutable_buffers:
        pytest.skip("TCP on this loop and Python keeps a view of the buffer it is given")
    async with connected(net) as (client, server):
        written = await write_until_paused(client, server)
        data = bytearray(b"before")
        client.transport.write(data)
        client.transport.write(memoryview(data))
        client.transport.writelines([data])
        data[:] = b"after!"
        server.transport.resume_reading()
        await server.received(b"x" * written + b"before" * 3)


async def test_a_bytearray_may_be_resized_once_it_is_sent(net: Net) -> None:
    async with connected(net) as (client, server):
        data = bytearray(b"x" * 100)
        client.transport.write(data)
        await server.received(b"x" * 100)
        data += b"y"


async def test_writelines_writes_all_in_order(net: Net) -> None:
    pieces = [b"one ", bytearray(b"two "), memoryview(b"three "), b"", b"four" * 10_000]
    async with connected(net) as (client, server):
        client.transport.writelines(pieces)
        client.transport.writelines(piece for piece in (b"and", b"five"))
        await server.received(b"".join(pieces) + b"andfive")


async def test_more_pieces_than_one_system_call_takes_arrive_in_order(net: Net) -> None:
    pieces = [b"%d," % i for i in range(5000)]
    async with connected(net) as (client, server):
        client.transport.writelines(pieces)
        for piece in pieces:
            client.transport.write(piece)
        await server.received(b"".join(pieces) * 2)


async def test_write_after_write_eof_is_refused(net: Net) -> None:
    async with connected(net, server=Recorder(half_open=True)) as (client, server):
        client.transport.write(b"data")
        client.transport.write_eof()
        with pytest.raises(RuntimeError, match=r"write_eof"):
            client.transport.write(b"more")
        with pytest.raises(RuntimeError, match=r"write_eof"):
            client.transport.writelines([b"more"])
        await server.until("eof")
        assert server.data == b"data"


async def test_write_eof_twice_is_once(net: Net) -> None:
    async with connected(net, server=Recorder(half_open=True)) as (client, server):
        assert client.transport.can_write_eof() is True
        client.transport.write_eof()
        client.transport.write_eof()
        await server.until("eof")
        server.transport.write(b"still open")
        await client.received(b"still open")
    assert server.events == ["made", "eof", "lost"]


async def test_write_eof_comes_after_all_that_was_written(net: Net) -> None:
    async with connected(net, server=Recorder(half_open=True)) as (client, server):
        written = await write_until_paused(client, server)
        client.transport.write_eof()
        server.transport.resume_reading()
        await server.until("eof")
        assert len(server.data) == written


async def test_write_eof_after_close_is_nothing(net: Net) -> None:
    async with connected(net) as (client, server):
        client.transport.close()
        client.transport.write_eof()
        await client.until("lost")
        await server.until("lost")
    assert client.lost_with == server.lost_with == [None]


@pytest.mark.parametrize("call", ["close", "abort"])
async def test_writes_after_the_end_are_dropped_and_a_warning_comes_after_five(
    net: Net, call: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(net) as (client, server):
        client.transport.write(b"data")
        await server.received(b"data")
        getattr(client.transport, call)()
        with caplog.at_level(logging.WARNING):
            for _ in range(4):
                client.transport.write(b"dropped")
            assert not caplog.records
            for _ in range(4):
                client.transport.write(b"dropped")
            assert bool(caplog.records) == net.expect.warns_of_dropped_writes
        await client.until("lost")
        if net.expect.drops_writes_after_loss:
            client.transport.write(b"dropped")
        await server.until("lost")
    assert server.data == b"data"


async def test_writes_after_close_are_dropped_while_older_data_still_waits(net: Net) -> None:
    if not net.expect.drops_writes_after_close:
        pytest.skip("TCP appends them to the data that waits")
    async with connected(net) as (client, server):
        written = await write_until_paused(client, server)
        client.transport.close()
        client.transport.write(b"dropped")
        server.transport.resume_reading()
        await server.until("lost")
    assert server.data == b"x" * written


async def test_the_write_limits_default_to_64_kib_and_a_quarter(net: Net) -> None:
    async with connected(net) as (client, _):
        assert client.transport.get_write_buffer_limits() == net.expect.write_limits
        assert client.transport.get_write_buffer_size() == 0


async def test_the_write_limits_can_be_set_by_either_end(net: Net) -> None:
    async with connected(net) as (client, _):
        transport = client.transport
        transport.set_write_buffer_limits(high=1000)
        assert transport.get_write_buffer_limits() == (250, 1000)
        transport.set_write_buffer_limits(low=1000)
        assert transport.get_write_buffer_limits() == (1000, 4000)
        transport.set_write_buffer_limits(high=10, low=5)
        assert transport.get_write_buffer_limits() == (5, 10)
        transport.set_write_buffer_limits(high=0)
        assert transport.get_write_buffer_limits() == (0, 0)
        transport.set_write_buffer_limits()
        assert transport.get_write_buffer_limits() == (2**14, 2**16)


@pytest.mark.parametrize("limits", [{"high": 1, "low": 2}, {"high": -1}, {"low": -1}])
async def test_write_limits_that_make_no_sense_are_refused(
    net: Net, limits: dict[str, int]
) -> None:
    async with connected(net) as (client, _):
        with pytest.raises(ValueError):
            client.transport.set_write_buffer_limits(**limits)


async def test_a_writer_is_paused_above_the_high_limit_and_resumed_at_the_low_one(
    net: Net,
) -> None:
    sizes = []

    class Measuring(Recorder):
        def resume_writing(self) -> None:
            sizes.append(self.transport.get_write_buffer_size())
            super().resume_writing()

    async with connected(net, client=Measuring()) as (client, server):
        client.transport.set_write_buffer_limits(high=300_000, low=100_000)
        written = await write_until_paused(client, server)
        assert client.transport.get_write_buffer_size() > 300_000
        assert client.events == ["made", "pause"]
        client.transport.write(b"x")
        assert client.events == ["made", "pause"]
        server.transport.resume_reading()
        await client.until("resume")
        assert sizes[0] <= 100_000
        await server.received(b"x" * (written + 1))
    # Every pause is followed by one resume.
    assert client.events[1:-1] == ["pause", "resume"] * client.events.count("pause")


async def test_with_a_high_limit_of_zero_the_writer_is_paused_whenever_anything_waits(
    net: Net,
) -> None:
    async with connected(net) as (client, server):
        client.transport.set_write_buffer_limits(high=0)
        server.transport.pause_reading()
        written = 0
        for _ in itertools.count():
            client.transport.write(b"x" * CHUNK)
            written += CHUNK
            assert client.paused == (client.transport.get_write_buffer_size() > 0)
            await round_trips(net, 1)
            if client.paused:
                break
        server.transport.resume_reading()
        await client.until(lambda: not client.paused)
        assert client.transport.get_write_buffer_size() == 0
        await server.received(b"x" * written)


async def test_pause_writing_comes_inside_the_write_that_goes_over_the_limit(net: Net) -> None:
    # drain() looks at it right after write(), with no turn of the loop between.
    async with connected(net) as (client, server):
        server.transport.pause_reading()
        while not client.paused:
            client.transport.write(b"x" * CHUNK)
            waiting = client.transport.get_write_buffer_size()
            assert client.paused == (waiting > 2**16)
            await asyncio.sleep(0)


async def test_a_writer_whose_limits_are_raised_is_not_paused_by_the_next_write(net: Net) -> None:
    async with connected(net) as (client, server):
        client.transport.set_write_buffer_limits(high=2**28)
        server.transport.pause_reading()
        for _ in range(128):
            client.transport.write(b"x" * CHUNK)
        assert not client.paused
        assert client.transport.get_write_buffer_size() > 2**16
