"""The two programs at the ends of an emulated link: who sends, and who receives.

    python benchmarks/ends.py ROLE ORDER          ROLE is one of ROLES, ORDER an `Order` as JSON

They are asyncio stream programs, the same for TCP and for rudp: only the module that
`open_connection` and `start_server` come from changes, and for kernel TCP the socket option
TCP_CONGESTION is set. Each prints a line of JSON now and then, and runs until standard input ends:
with the process that started it, however that goes. All moments are CLOCK_MONOTONIC's, which the
two ends share.

Not here: the link between the two, which is `linkemu`, and who looks at the lines, which is `link`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

try:
    import rudp
except ModuleNotFoundError:  # From a checkout with nothing installed.
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    import rudp

try:
    import uvloop
except ModuleNotFoundError:
    uvloop = None  # type: ignore[assignment, unused-ignore]

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
if uvloop is not None:
    LOOPS["uvloop"] = uvloop.new_event_loop

CHUNK = bytes(65536)
SAMPLE_INTERVAL = 0.1
BRIEF = 1024
"""Bytes that a brief connection carries; the first eight are the moment when it was begun."""

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Order:
    """What an end has to do."""

    host: str
    port: int
    module: str = "rudp"
    """Where the streams come from: "rudp" or "asyncio", which is kernel TCP."""
    congestion: str | None = None
    """Congestion control by name; None: the default."""
    connections: int = 1
    loop: str = "asyncio"


async def open_connection(order: Order) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if order.module == "rudp":
        config = rudp.Config()
        if order.congestion is not None:
            config = replace(config, congestion=order.congestion)
        return await rudp.open_connection(order.host, order.port, config=config)
    reader, writer = await asyncio.open_connection(order.host, order.port)
    if order.congestion is not None:
        tcp: socket.socket = writer.get_extra_info("socket")
        name = order.congestion.encode()
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name)
    return reader, writer


@contextlib.asynccontextmanager
async def serving(order: Order, handler: Handler) -> AsyncIterator[None]:
    start = rudp.start_server if order.module == "rudp" else asyncio.start_server
    server: Any = await start(handler, order.host, order.port)
    try:
        say(ready=True)
        yield
    finally:
        server.close()


def say(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


# Bulk: bytes one way, for as long as it is wanted. Both ends report CPU time, the receiver bytes.


async def receive_bulk(order: Order) -> None:
    totals: list[int] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        flow = len(totals)
        totals.append(0)
        while data := await reader.read(len(CHUNK)):
            totals[flow] += len(data)

    async with serving(order, handle):
        await report(totals)


async def send_bulk(order: Order) -> None:
    async def send() -> None:
        _reader, writer = await open_connection(order)
        while True:
            writer.write(CHUNK)
            await writer.drain()

    await asyncio.gather(report([]), *(send() for _ in range(order.connections)))


async def report(totals: list[int]) -> None:
    """The moment, the CPU time used so far, and the bytes of each connection; again and again."""
    while True:
        say(at=time.monotonic(), cpu=time.process_time(), totals=totals)
        await asyncio.sleep(SAMPLE_INTERVAL)


# Brief: many connections at once that each bring BRIEF bytes one way, and close


async def receive_brief(order: Order) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.read(-1)  # until EOF
        if len(data) == BRIEF:
            (begun,) = struct.unpack_from("d", data)
            say(took=time.monotonic() - begun)
        writer.close()
        await writer.wait_closed()

    async with serving(order, handle):
        await asyncio.Event().wait()


async def send_brief(order: Order) -> None:
    async def send() -> None:
        begun = time.monotonic()
        try:
            _reader, writer = await open_connection(order)
            writer.write(struct.pack("d", begun).ljust(BRIEF, b"."))
            writer.close()
            await writer.wait_closed()
        except OSError as exc:
            say(failed=f"{type(exc).__name__}: {exc}")
        else:
            say(closed=time.monotonic() - begun)

    await asyncio.gather(*(send() for _ in range(order.connections)))
    await asyncio.Event().wait()


ROLES: dict[str, Callable[[Order], Awaitable[None]]] = {
    "receive_bulk": receive_bulk,
    "send_bulk": send_bulk,
    "receive_brief": receive_brief,
    "send_brief": send_brief,
}


def end_with_standard_input() -> None:
    sys.stdin.buffer.read()
    # Nothing is left to be done in good order, and a full send buffer would have to drain first.
    os._exit(0)


async def play(role: str, order: Order) -> None:
    await ROLES[role](order)


def main() -> None:
    role, text = sys.argv[1:]
    order = Order(**json.loads(text))
    # What a bad link gives cause to warn of is what is measured here.
    logging.getLogger("rudp").setLevel(logging.ERROR)
    threading.Thread(target=end_with_standard_input, daemon=True).start()
    with asyncio.Runner(loop_factory=LOOPS[order.loop]) as runner:
        runner.run(play(role, order))


if __name__ == "__main__":
    main()
