"""What outlives its owner: data on its way when a program ends, TIME-WAIT, half-finished openings.

And what must not: sockets, tasks and timers of what was given up, peers that have vanished.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

import rudp
from rudp.core.segment import ACK, FIN, RST, SYN
from rudp.engine import Engine

from . import peers
from .conftest import LOOPS
from .peers import (
    HOST,
    Accepted,
    Hand,
    RawPeer,
    asked,
    channels,
    closed,
    dropped,
    echo,
    engines,
    files,
    free_udp_port,
    kinds,
    relay_to,
)
from .udp import until

quiet_loop = peers.quiet_loop

FAST = {"min_rto": 0.01, "initial_rto": 0.01}
ROOT = Path(__file__).parent.parent


@contextlib.asynccontextmanager
async def listening(callback: Any, **config: Any) -> AsyncIterator[rudp.Endpoint]:
    endpoint = await rudp.Endpoint.open((HOST, 0), config=rudp.Config(**config))
    await endpoint.start_server(callback)
    try:
        yield endpoint
    finally:
        endpoint.abort()


# -- the end of a program ------------------------------------------------------------------------

PROGRAM = """
import asyncio, sys
import rudp

async def main():
    reader, writer = await rudp.open_connection("127.0.0.1", int(sys.argv[1]))
    writer.write(bytes(range(256)) * 8192)
    if sys.argv[2] == "close":
        writer.close()
    else:
        writer.write_eof()

if sys.argv[3] == "uvloop":
    import uvloop
    uvloop.run(main())
else:
    asyncio.run(main())
"""


async def run_program(*arguments: object) -> tuple[int, str]:
    """Run PROGRAM as a user does, and return its exit status and what it complained about."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, *map(str, arguments)),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=asyncio.subprocess.PIPE,
    )
    _, complaints = await process.communicate()
    assert process.returncode is not None
    return process.returncode, complaints.decode()


async def test_a_program_that_ends_right_after_close_still_delivers() -> None:
    loop = "uvloop" if "uvloop" in type(asyncio.get_running_loop()).__module__ else "asyncio"
    accepted = Accepted()
    async with listening(accepted) as endpoint:
        program = asyncio.create_task(run_program(endpoint.sockname[1], "close", loop))
        reader, writer = await accepted.next()
        data = await reader.read()
        await closed((reader, writer))
        assert await program == (0, "")
    expected = bytes(range(256)) * 8192
    assert len(data) == len(expected)
    assert hashlib.sha256(data).digest() == hashlib.sha256(expected).digest()


def run_to_the_end(loop: str, main: Callable[[], Any]) -> tuple[Any, float]:
    """What `asyncio.run` does, with the seconds that it took to end after `main` had."""
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        result = runner.run(main())
        started = time.monotonic()
    return result, time.monotonic() - started


@pytest.mark.parametrize("loop", LOOPS)
def test_the_end_of_a_loop_waits_for_a_silent_peer_no_longer_than_linger(loop: str) -> None:
    async def main() -> None:
        async with RawPeer.open() as peer:
            config = rudp.Config(linger=0.2)
            connecting = asyncio.create_task(rudp.open_connection(*peer.addr, config=config))
            await Hand.accept(peer)
            _, writer = await connecting
            writer.write(b"nobody takes this")
            writer.close()

    _, seconds = run_to_the_end(loop, main)
    assert 0.15 <= seconds < 1


@pytest.mark.parametrize("loop", LOOPS)
def test_the_end_of_a_loop_does_not_wait_where_nothing_is_open(loop: str) -> None:
    async def main() -> list[Engine]:
        async with await rudp.start_server(echo, HOST, 0) as server:
            stream = await rudp.open_connection(*server.sockets[0].getsockname())
            await asked(stream, b"hello")
            await closed(stream)  # and TIME-WAIT is ours for a minute
        return engines()

    left, seconds = run_to_the_end(loop, main)
    assert seconds < 0.5
    assert left
    assert all(engine.closed for engine in left)


@pytest.mark.parametrize("loop", LOOPS)
def test_the_end_of_a_loop_resets_what_could_not_be_finished(loop: str) -> None:
    raw = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    async def main() -> int:
        async with listening(Accepted(), linger=0.05) as endpoint:
            raw.bind((HOST, 0))
            async with RawPeer.open() as peer:
                config = rudp.Config(linger=0.05)
                connecting = asyncio.create_task(rudp.open_connection(*peer.addr, config=config))
                await Hand.accept(peer)
                _, writer = await connecting
                writer.close()
                port = int(peer.addr[1])
            assert channels(endpoint) == 0
        # From here on the test's own socket stands where the peer was.
        raw.close()
        return port

    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sock, asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        port = runner.run(main())
        sock.bind((HOST, port))
        sock.settimeout(2)
        runner.close()
        flags = [sock.recv(2048)[13]]
        while not flags[-1] & RST:
            flags.append(sock.recv(2048)[13])
    assert not [each for each in flags[:-1] if not each & FIN]


# -- a cancelled attempt to connect --------------------------------------------------------------


async def test_a_cancelled_attempt_resets_what_it_began_and_leaves_nothing() -> None:
    async with RawPeer.open() as peer:
        before, tasks = files(), asyncio.all_tasks()
        connecting = asyncio.create_task(rudp.open_connection(*peer.addr))
        syn = await peer.next()
        assert files() == before + 1
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        reset = await peer.next()
        assert kinds([reset]) == ["R"]
        assert reset.seq == (syn.seq + 1) % 2**32
        assert (reset.src_port, reset.dst_port) == (syn.src_port, syn.dst_port)
        await until(lambda: files() == before)
        del connecting
        assert asyncio.all_tasks() == tasks
        await until(lambda: not engines())
        assert peer.received == []


async def test_an_attempt_that_is_bounded_by_a_timeout_leaves_nothing_either() -> None:
    async with RawPeer.open() as peer:
        before = files()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await rudp.open_connection(*peer.addr)
        await until(lambda: files() == before)
        await until(lambda: [s for s in peer.received if s.flags & RST])


async def test_an_attempt_may_be_cancelled_at_any_moment() -> None:
    started: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        started.append(task)
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    async with listening(serve) as endpoint:
        before = files()
        for turns in range(40):
            connecting = asyncio.create_task(rudp.open_connection(*endpoint.sockname))
            for _ in range(turns):
                await asyncio.sleep(0)
            if connecting.done():
                await dropped(connecting.result())
                break
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting
        assert turns > 3
        await until(lambda: files() == before)
        await until(lambda: channels(endpoint) == 0)
        await until(lambda: all(task.done() for task in started))
        del connecting
        await until(lambda: len(engines()) == 1)


async def test_a_cancelled_attempt_of_a_shared_endpoint_leaves_the_endpoint() -> None:
    async with listening(echo) as ours, RawPeer.open() as peer:
        connecting = asyncio.create_task(ours.open_connection(*peer.addr))
        syn = await peer.next()
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        assert (await peer.next()).flags == RST
        assert channels(ours) == 0
        # The SYN-ACK that was on its way belongs to nothing.
        late = Hand(peer, ours.sockname, syn.dst_port, syn.src_port)
        late.took(syn)
        answers = await peer.answers(ours.sockname, late.segment(SYN | ACK))
        assert kinds(answers) == ["R"]
        stream = await ours.open_connection(*ours.sockname)
        assert await asked(stream, b"goes on") == b"goes on"
        await closed(stream)


async def test_a_failed_attempt_leaves_nothing() -> None:
    before = files()
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            await rudp.open_connection(HOST, free_udp_port())
    await until(lambda: files() == before)
    await until(lambda: not engines())


# -- a peer that vanishes ------------------------------------------------------------------------


@pytest.mark.parametrize("unsent", [b"", b"x" * 30_000_000])
async def test_wait_closed_raises_when_the_peer_has_vanished(unsent: bytes) -> None:
    accepted = Accepted()
    config = rudp.Config(user_timeout=0.15, **FAST)
    async with listening(accepted) as endpoint, relay_to(endpoint.sockname) as relay:
        stream = await rudp.open_connection(
            HOST, endpoint.sockname[1], udp_port=relay.port, config=config
        )
        server_side = await accepted.next()
        relay.deaf = True
        stream[1].write(unsent)
        stream[1].close()
        started = time.monotonic()
        with pytest.raises(TimeoutError) as exc:
            await stream[1].wait_closed()
        assert 0.1 <= time.monotonic() - started < 2
        assert exc.value.errno == errno.ETIMEDOUT
        await dropped(server_side)


async def test_wait_closed_raises_when_the_peer_never_reads() -> None:
    accepted = Accepted()
    config = rudp.Config(user_timeout=0.15, **FAST)
    async with listening(accepted, receive_buffer=4096) as endpoint:
        stream = await rudp.open_connection(*endpoint.sockname, config=config)
        reader, writer = await accepted.next()
        writer.transport.pause_reading()
        stream[1].write(b"x" * 1_000_000)
        stream[1].close()
        with pytest.raises(TimeoutError) as exc:
            await stream[1].wait_closed()
        assert exc.value.errno == errno.ETIMEDOUT
        await dropped((reader, writer))


async def test_wait_closed_raises_when_the_peer_resets_what_was_written() -> None:
    accepted = Accepted()
    async with listening(accepted) as endpoint:
        stream = await rudp.open_connection(*endpoint.sockname)
        reader, writer = await accepted.next()
        writer.transport.pause_reading()
        stream[1].write(b"x" * 1_000_000)
        stream[1].close()
        await until(lambda: writer.get_extra_info("tcp_info").bytes_received)
        writer.transport.abort()
        with pytest.raises(ConnectionResetError):
            await stream[1].wait_closed()
        await dropped((reader, writer))


async def test_a_closed_connection_does_not_wait_for_ever_for_the_peers_fin() -> None:
    async with RawPeer.open() as peer, listening(echo, fin_wait_2_timeout=0.1) as endpoint:
        connecting = asyncio.create_task(endpoint.open_connection(*peer.addr))
        hand = await Hand.accept(peer)
        stream = await connecting
        stream[1].close()
        await hand.next(lambda segment: segment.flags & FIN)
        hand.send(ACK)
        await stream[1].wait_closed()
        assert channels(endpoint) == 1
        await until(lambda: channels(endpoint) == 0)
        answers = await peer.answers(endpoint.sockname, hand.segment(FIN | ACK))
        assert kinds(answers) == ["R"]


async def test_a_connection_that_was_half_closed_waits_as_long_as_it_takes() -> None:
    # RFC 9293 section 3.6, MUST-12 and its note: the limit is for connections closed in full.
    async with RawPeer.open() as peer, listening(echo, fin_wait_2_timeout=0.03) as endpoint:
        connecting = asyncio.create_task(endpoint.open_connection(*peer.addr))
        hand = await Hand.accept(peer)
        stream = await connecting
        stream[1].write_eof()
        await hand.next(lambda segment: segment.flags & FIN)
        hand.send(ACK)
        await asyncio.sleep(0.1)
        await hand.write(b"late, but here")
        await hand.fin()
        assert await stream[0].read() == b"late, but here"
        await closed(stream)


async def test_reading_does_not_hang_when_the_peer_vanishes_while_we_write() -> None:
    accepted = Accepted()
    config = rudp.Config(user_timeout=0.1, **FAST)
    async with listening(accepted) as endpoint, relay_to(endpoint.sockname) as relay:
        stream = await rudp.open_connection(
            HOST, endpoint.sockname[1], udp_port=relay.port, config=config
        )
        server_side = await accepted.next()
        relay.deaf = True
        stream[1].write(b"hello?")
        for call in (stream[0].read, stream[1].drain, stream[1].wait_closed):
            with pytest.raises(OSError) as exc:
                await call()
            assert isinstance(exc.value, TimeoutError)
        await dropped(stream, server_side)
