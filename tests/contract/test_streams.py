"""Streams: the read methods, half-closes, back-pressure, and as much data as makes a difference."""

from __future__ import annotations

import asyncio
import hashlib
import random
from typing import Any

import pytest

from .net import Net, round_trips, streams

CHUNK = b"c" * 2**16


async def test_streams_are_asyncios_own_classes(net: Net) -> None:
    async with streams(net) as ends:
        for reader, writer in ends:
            assert isinstance(reader, asyncio.StreamReader)
            assert isinstance(writer, asyncio.StreamWriter)
            assert writer.can_write_eof() is True


async def test_a_question_gets_its_answer(net: Net) -> None:
    async with streams(net) as ((reader, writer), (peer_reader, peer)):
        writer.write(b"question\n")
        await writer.drain()
        assert await peer_reader.readline() == b"question\n"
        peer.writelines([b"ans", b"wer\n"])
        await peer.drain()
        assert await reader.readline() == b"answer\n"


async def test_each_read_method_takes_its_part(net: Net) -> None:
    async with streams(net) as ((reader, _), (_, peer)):
        peer.write(b"line\nexactly12345until;rest")
        peer.write_eof()
        assert await reader.readline() == b"line\n"
        assert await reader.readexactly(12) == b"exactly12345"
        assert await reader.readuntil(b";") == b"until;"
        assert await reader.read(1) == b"r"
        assert not reader.at_eof()
        assert await reader.read() == b"est"
        assert reader.at_eof()
        assert await reader.read() == await reader.read(1) == await reader.readline() == b""


async def test_a_reader_is_iterated_line_by_line(net: Net) -> None:
    async with streams(net) as ((reader, _), (_, peer)):
        peer.write(b"one\ntwo\n\nlast")
        peer.close()
        assert [line async for line in reader] == [b"one\n", b"two\n", b"\n", b"last"]


async def test_a_stream_that_ends_early_gives_what_there_was(net: Net) -> None:
    async with streams(net) as ((reader, _), (_, peer)):
        peer.write(b"short")
        peer.close()
        with pytest.raises(asyncio.IncompleteReadError) as caught:
            await reader.readexactly(10)
        assert (caught.value.partial, caught.value.expected) == (b"short", 10)
        with pytest.raises(asyncio.IncompleteReadError) as caught:
            await reader.readuntil(b"\n")
        assert (caught.value.partial, caught.value.expected) == (b"", None)


async def test_a_line_over_the_limit_is_an_error_of_its_own(net: Net) -> None:
    async with streams(net, limit=100) as ((reader, _), (_, peer)):
        peer.write(b"x" * 150 + b"\nnext\n")
        with pytest.raises(asyncio.LimitOverrunError):
            await reader.readuntil(b"\n")
        with pytest.raises(ValueError):
            await reader.readline()
        peer.close()
        # Whether all of it had come when the line was discarded depends on the net.
        assert (await reader.read()).endswith(b"next\n")


async def test_readexactly_takes_more_than_the_limit(net: Net) -> None:
    async with streams(net, limit=1000) as ((reader, _), (_, peer)):
        peer.write(b"x" * 2**20)
        assert await reader.readexactly(2**20) == b"x" * 2**20


async def test_only_one_read_waits_at_a_time(net: Net) -> None:
    async with streams(net) as ((reader, _), _):
        waiting = asyncio.create_task(reader.readline())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="already waiting"):
            await reader.readline()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_a_cancelled_read_leaves_the_data_to_the_next(net: Net) -> None:
    async with streams(net) as ((reader, _), (_, peer)):
        waiting = asyncio.create_task(reader.readexactly(8))
        peer.write(b"half")
        await round_trips(net, 3)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        peer.write(b"full")
        assert await reader.readexactly(8) == b"halffull"


@pytest.mark.parametrize("first", ["client", "server"])
async def test_either_side_may_half_close_and_go_on_reading(net: Net, first: str) -> None:
    async with streams(net) as ends:
        (reader, writer), (peer_reader, peer) = ends if first == "client" else reversed(ends)
        writer.write(b"all I had to say")
        writer.write_eof()
        assert await peer_reader.read() == b"all I had to say"
        assert not peer.is_closing()
        peer.write(b"a long answer" * 10_000)
        await peer.drain()
        peer.write(b"the end")
        peer.write_eof()
        assert await reader.read() == b"a long answer" * 10_000 + b"the end"
        for end in (writer, peer):
            end.close()
            await end.wait_closed()


async def test_four_megabytes_both_ways_at_once_arrive_as_they_were_sent(net: Net) -> None:
    ours, theirs = (random.Random(seed).randbytes(4 * 2**20) for seed in (1, 2))

    async def send(writer: asyncio.StreamWriter, data: bytes) -> None:
        for start in range(0, len(data), 50_000):
            writer.write(data[start : start + 50_000])
            await writer.drain()
        writer.write_eof()

    async def digest(reader: asyncio.StreamReader) -> bytes:
        whole = hashlib.sha256()
        while data := await reader.read(2**16):
            whole.update(data)
        return whole.digest()

    async with streams(net) as ((reader, writer), (peer_reader, peer)):
        _, _, got, peer_got = await asyncio.gather(
            send(writer, ours), send(peer, theirs), digest(reader), digest(peer_reader)
        )
    assert got == hashlib.sha256(theirs).digest()
    assert peer_got == hashlib.sha256(ours).digest()


async def test_an_echo_of_four_megabytes_comes_back_whole(net: Net) -> None:
    data = random.Random(3).randbytes(4 * 2**20)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(2**16):
            writer.write(piece)
            await writer.drain()
        writer.write_eof()

    async def send(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        writer.write_eof()

    async with streams(net) as ((reader, writer), peer), asyncio.TaskGroup() as tasks:
        tasks.create_task(echo(*peer))
        tasks.create_task(send(writer))
        assert await reader.read() == data


async def test_many_small_writes_arrive_in_order(net: Net) -> None:
    async with streams(net) as ((reader, _), (_, peer)):
        for number in range(5000):
            peer.write(b"%d\n" % number)
            if number % 100 == 0:
                await peer.drain()
        peer.close()
        assert [int(line) async for line in reader] == list(range(5000))


async def test_a_thousand_questions_and_answers_in_turn(net: Net) -> None:
    async with streams(net) as ((reader, writer), (peer_reader, peer)):
        for number in range(1000):
            writer.write(b"%d?\n" % number)
            assert await peer_reader.readline() == b"%d?\n" % number
            peer.write(b"%d!\n" % number)
            assert await reader.readline() == b"%d!\n" % number


async def fill(net: Net, writer: Any, peer: Any) -> tuple[int, asyncio.Task[None]]:
    """Write until the peer stops reading and drain() waits: the bytes written, and that drain."""
    written = 0
    while True:
        writer.write(CHUNK)
        written += len(CHUNK)
        # A kernel may hold some megabytes for both sides; no net may hold all it is given.
        assert written < 64 * 2**20
        draining = asyncio.create_task(writer.drain())
        await asyncio.sleep(0)
        while not draining.done() and peer.transport.is_reading():
            await round_trips(net, 1)
        await round_trips(net, 3)
        if not draining.done():
            return written, draining
        await draining


async def test_a_slow_reader_makes_the_writer_wait_and_then_gets_everything(net: Net) -> None:
    async with streams(net) as ((_, writer), (peer_reader, peer)):
        written, draining = await fill(net, writer, peer)
        waiting = writer.transport.get_write_buffer_size()
        assert 2**16 < waiting <= 2**16 + len(CHUNK)
        # The reader stops its transport above twice its limit, give or take one delivery.
        buffered: Any = peer_reader._buffer  # type: ignore[attr-defined]
        assert 2**17 < len(buffered) <= 2**17 + 2**18
        assert await peer_reader.readexactly(written) == CHUNK * (written // len(CHUNK))
        await draining
        writer.write(b"afterwards")
        assert await peer_reader.readexactly(10) == b"afterwards"


async def test_all_drains_that_wait_go_on_together(net: Net) -> None:
    async with streams(net) as ((_, writer), (peer_reader, peer)):
        written, draining = await fill(net, writer, peer)
        drains = [draining, *(asyncio.create_task(writer.drain()) for _ in range(3))]
        await asyncio.sleep(0)
        assert not any(drain.done() for drain in drains)
        await peer_reader.readexactly(written)
        await asyncio.gather(*drains)


async def test_drain_without_back_pressure_returns_at_once(net: Net) -> None:
    async with streams(net) as ((_, writer), _):
        turns: list[int] = []
        asyncio.get_running_loop().call_soon(turns.append, 1)
        writer.write(b"little")
        await writer.drain()
        assert turns == []


async def test_with_a_high_limit_of_zero_drain_waits_until_nothing_is_left(net: Net) -> None:
    async with streams(net) as ((_, writer), (peer_reader, _)):
        transport: Any = writer.transport
        transport.set_write_buffer_limits(high=0)
        sender = asyncio.create_task(peer_reader.readexactly(100 * len(CHUNK)))
        for _ in range(100):
            writer.write(CHUNK)
            await writer.drain()
            assert transport.get_write_buffer_size() == 0
        await sender


async def test_a_writer_tells_about_its_connection(net: Net) -> None:
    async with streams(net) as ((_, writer), (_, peer)):
        assert writer.get_extra_info("peername") == peer.get_extra_info("sockname")
        assert writer.get_extra_info("sockname") == peer.get_extra_info("peername")
        assert writer.get_extra_info("no such thing") is None
        assert writer.get_extra_info("no such thing", 42) == 42
