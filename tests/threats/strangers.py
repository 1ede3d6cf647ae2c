"""What the tests of strangers share: a server, and datagrams with forged senders for it.

A forged sender is an address of 127.0.0.0/8: what the server answers stays on this host, and nobody
hears it. The datagrams are handed to the engine as its socket would hand them over.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator
from typing import Any

import rudp
from rudp.core.codec import encode
from rudp.core.segment import SYN, Segment
from rudp.core.state import State
from tests.peers import HOST, Address, channels, echo

PORT = 80
"""The TCP port of the server."""

FULL_SYN = {"mss": 1452, "sack_permitted": True, "ts_val": 77, "window_scale": 7}
"""The options of a SYN as every system sends it: 40 bytes with its header."""


class Tally:
    """A tap that counts what comes and goes, in segments and in bytes."""

    def __init__(self) -> None:
        self.came = self.went = self.bytes_came = self.bytes_went = 0
        self.sent: list[Segment] = []

    def __call__(self, direction: str, segment: Segment, state: State, now: float) -> None:
        size = len(encode(segment))
        if direction == "<":
            self.came += 1
            self.bytes_came += size
        else:
            self.went += 1
            self.bytes_went += size
            self.sent.append(segment)


@contextlib.asynccontextmanager
async def serving(
    callback: Any = echo, *, tap: Any = None, backlog: int | None = None, **config: Any
) -> AsyncIterator[rudp.Endpoint]:
    """An endpoint with a server on TCP port PORT."""
    endpoint = await rudp.Endpoint.open((HOST, 0), config=rudp.Config(**config), tap=tap)
    await endpoint.start_server(callback, PORT, backlog=backlog)
    try:
        yield endpoint
    finally:
        endpoint.abort()


def forged_addresses(rng: random.Random, count: int) -> list[Address]:
    return [
        (f"127.{rng.randrange(1, 255)}.{rng.randrange(256)}.{rng.randrange(1, 255)}",
         rng.randrange(1024, 65536))
        for _ in range(count)
    ]


def forge(endpoint: rudp.Endpoint, datagrams: list[tuple[bytes, Address]]) -> None:
    """Hand these to the endpoint, as one wake-up brings them."""
    engine = endpoint.engine
    engine.datagrams_received(datagrams, engine.clock())


def syns(rng: random.Random, count: int, **options: Any) -> list[bytes]:
    """SYNs from random ports, with random numbers, for the server."""
    return [
        encode(
            Segment(rng.randrange(2, 65536), PORT, rng.randrange(2**32), 0, SYN, 65535, **options)
        )
        for _ in range(count)
    ]


def fill_backlog(endpoint: rudp.Endpoint, backlog: int) -> None:
    """From now on every SYN gets a cookie."""
    rng = random.Random("backlog")
    flood = syns(rng, backlog, **FULL_SYN)
    forge(endpoint, list(zip(flood, forged_addresses(rng, backlog), strict=True)))
    assert channels(endpoint) >= backlog
