"""The two programs at the ends of a comparison: a server, and the client that measures.

    python benchmarks/sides.py SIDE ORDER     SIDE: server or client, ORDER: a peers.Order as JSON

Both print facts as lines of JSON. The server first says its port, and then answers each line on
standard input with its `Facts`. The client says its facts at each moment that matters, a *mark*,
and waits for a line before it goes on: so the server's facts of the same moment can be had, and
what both ends spent lies between the same two marks. The last line has its figures. Both run until
standard input ends: with the process that started them, however that goes.

Not here: who starts the two and reads the lines, which is `couple`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import math
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from ends import LOOPS, say  # It also finds rudp, in a checkout with nothing installed.
from loopback import CHUNK, ECHO, MESSAGE, READ, SERVICES, close, connect_rate, pour
from loopback import measure_echo as loopback_echo
from peers import Order, Peer, Streams, all_peers
from trial import jain

BOTH, PIECES = b"2", b"P"
AT_ONCE = 50
"""Connections that are opened at the same time: less than a listener's backlog."""
REST = 5.0
"""Seconds after which connections that have said nothing count as idle."""
STATM = Path("/proc/self/statm")

Figures = dict[str, float]


def facts(memory: bool) -> dict[str, float]:
    """The moment, the CPU time used so far and, if asked for, the resident memory in bytes."""
    found = {"at": time.monotonic(), "cpu": time.process_time()}
    if memory:
        gc.collect()
        pages = int(STATM.read_text().split()[1])
        found["memory"] = pages * os.sysconf("SC_PAGE_SIZE")
    return found


# The server


async def serve_both(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send until EOF comes, and then how many bytes had come before it."""
    counting = asyncio.create_task(count(reader))
    while not counting.done():
        writer.write(CHUNK)
        await writer.drain()
        await asyncio.sleep(0)
    writer.write(counting.result().to_bytes(8, "big"))
    writer.write_eof()


async def count(reader: asyncio.StreamReader) -> int:
    total = 0
    while data := await reader.read(READ):
        total += len(data)
    return total


async def serve_pieces(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer every piece of READ bytes with a message."""
    with contextlib.suppress(asyncio.IncompleteReadError):
        while True:
            await reader.readexactly(READ)
            writer.write(MESSAGE)


ALL_SERVICES = SERVICES | {BOTH: serve_both, PIECES: serve_pieces}


async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    # The measurement may end, and the client with it, before a connection does.
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        await ALL_SERVICES[await reader.readexactly(1)](reader, writer)
        await close(writer)


async def server(peer: Peer, order: Order) -> None:
    def answer() -> None:
        for line in sys.stdin:
            say(**facts(json.loads(line)["memory"]))
        # Nothing is left to be done in good order: what was to be known is known.
        os._exit(0)

    say(port=await peer.serve(handle, order))
    threading.Thread(target=answer, daemon=True).start()
    await asyncio.Event().wait()


# The client. Each program returns figures; `mark` stands before and after what is measured.


class Client:
    def __init__(self, peer: Peer, order: Order) -> None:
        self._peer = peer
        self._order = order
        self.seconds = order.seconds
        self.connections = order.connections

    async def mark(self, memory: bool = False) -> None:
        say(mark=facts(memory))
        if not await asyncio.to_thread(sys.stdin.readline):
            os._exit(0)

    async def connect(self) -> Streams:
        return await self._peer.connect(self._order)

    async def connect_all(self, first: bytes, answer: int) -> list[Streams]:
        """All connections that were ordered, each with `first` sent and `answer` bytes read."""
        opened: list[Streams] = []

        async def open_one() -> None:
            reader, writer = await self.connect()
            writer.write(first)
            await reader.readexactly(answer)
            opened.append((reader, writer))

        for start in range(0, self.connections, AT_ONCE):
            number = min(AT_ONCE, self.connections - start)
            await asyncio.gather(*(open_one() for _ in range(number)))
        return opened


async def bulk(client: Client) -> Figures:
    reader, writer = await client.connect()
    await client.mark()
    total, elapsed = await pour(reader, writer, client.seconds)
    await client.mark()
    return {"gbits": total * 8e-9 / elapsed, "bytes": total}


async def both(client: Client) -> Figures:
    reader, writer = await client.connect()
    await client.mark()
    start = time.perf_counter()
    writer.write(BOTH)
    receiving = asyncio.create_task(receive(reader))
    sent = 0
    while time.perf_counter() - start < client.seconds:
        writer.write(CHUNK)
        sent += len(CHUNK)
        await writer.drain()
        await asyncio.sleep(0)
    writer.write_eof()
    received, last = await receiving
    elapsed = time.perf_counter() - start
    await client.mark()
    if last != sent:
        raise RuntimeError(f"{sent} bytes were sent, and {last} arrived")
    return {"gbits": (sent + received) * 8e-9 / elapsed, "bytes": sent + received}


async def receive(reader: asyncio.StreamReader) -> tuple[int, int]:
    """How many bytes come until EOF, and the number that the last eight are."""
    total, tail = 0, b""
    while data := await reader.read(READ):
        total += len(data)
        tail = data if len(data) >= 8 else tail + data
    return total - 8, int.from_bytes(tail[-8:], "big")


async def many(client: Client) -> Figures:
    opened = await client.connect_all(b"", 0)
    await client.mark()
    poured = await asyncio.gather(*(pour(*streams, client.seconds) for streams in opened))
    await client.mark()
    total = sum(one for one, _ in poured)
    longest = max(elapsed for _, elapsed in poured)
    return {
        "gbits": total * 8e-9 / longest,
        "bytes": total,
        "jain": jain([one / elapsed for one, elapsed in poured]),
    }


async def echo(client: Client) -> Figures:
    await client.mark()
    median, p99 = await loopback_echo(client.connect, client.seconds)
    await client.mark()
    return {"median": median, "p99": p99}


async def connect(client: Client) -> Figures:
    await client.mark()
    rate = await connect_rate(client.connect, client.seconds, client.connections)
    await client.mark()
    return {"rate": rate}


async def idle(client: Client) -> Figures:
    await client.mark(memory=True)
    opened = await client.connect_all(ECHO + MESSAGE, len(MESSAGE))
    await asyncio.sleep(REST)
    await client.mark(memory=True)
    await client.mark()
    await asyncio.sleep(client.seconds)
    await client.mark()
    return {"connections": len(opened)}


async def crowd(client: Client) -> Figures:
    opened = await client.connect_all(PIECES + CHUNK, len(MESSAGE))
    await client.mark()
    total = await take_turns(opened, client.seconds)
    await client.mark()
    return {"bytes": total}


async def take_turns(opened: Sequence[Streams], seconds: float) -> int:
    """One piece after the other, each over the next connection, and answered before the next."""
    total, turn, end = 0, 0, time.perf_counter() + seconds
    while time.perf_counter() < end or not total:
        reader, writer = opened[turn % len(opened)]
        writer.write(CHUNK)
        await reader.readexactly(len(MESSAGE))
        total += len(CHUNK)
        turn += 1
    return total


PROGRAMS: dict[str, Callable[[Client], Awaitable[Figures]]] = {
    "bulk": bulk,
    "both": both,
    "many": many,
    "echo": echo,
    "connect": connect,
    "idle": idle,
    "crowd": crowd,
}


async def client(peer: Peer, order: Order) -> None:
    figures = await PROGRAMS[order.program](Client(peer, order))
    say(figures={name: value for name, value in figures.items() if math.isfinite(value)})
    # What is open is closed by the end of both processes; a full queue would have to drain first.
    os._exit(0)


def raise_file_limit() -> None:
    with contextlib.suppress(ImportError, OSError):
        import resource

        _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main() -> None:
    side, text = sys.argv[1:]
    order = Order(**json.loads(text))
    # What a full buffer gives cause to warn of is what is measured here.
    for name in ("rudp", "quic", "qh3"):
        logging.getLogger(name).setLevel(logging.ERROR)
    raise_file_limit()
    with asyncio.Runner(loop_factory=LOOPS[order.loop]) as runner:
        runner.run({"server": server, "client": client}[side](all_peers()[order.peer], order))


if __name__ == "__main__":
    main()
