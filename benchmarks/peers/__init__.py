"""The libraries that `compare` holds side by side, each behind the same small interface.

A `Peer` opens and serves connections that look like asyncio's streams to a program: `read`,
`readexactly`, `write`, `drain`, `write_eof`, `close`, `wait_closed`. So one program runs over all
of them. Each library is used as it comes, with the settings that its own documentation begins with;
where a module differs from that it says so. Nothing is imported before it is used: that a library
is missing is a fact about it, not an error.

Not here: what is measured over the connections, which is `sides`, and the table, which is
`compare`.
"""

from __future__ import annotations

import asyncio
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any, ClassVar

HOST = "127.0.0.1"
PURE = "rudp-pure"
"""The name of rudp as plain Python, where it is compiled: a line of its own."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Order:
    """What the two ends of a measurement have to do."""

    program: str
    peer: str
    loop: str = "asyncio"
    seconds: float = 1.0
    connections: int = 1
    mss: int | None = None
    """`rudp.Config.mss`; no other peer has it."""
    window: int | None = None
    """`rudp.Config.send_buffer` and `receive_buffer`; no other peer has them."""
    certificate: str = ""
    """A directory with cert.pem and key.pem, for the peers that encrypt."""
    port: int = 0
    """Where the server is, told to the client."""


class Peer(ABC):
    """A library, or the kernel."""

    name: str
    module: str
    """What has to be importable."""
    distribution: str | None = None
    """The name that its version is found by; None: it has none of its own."""
    cannot: ClassVar[Mapping[str, str]] = {}
    """The rows that it is left out of, each with the reason."""
    most_idle: int | None = None
    """How many idle connections are enough; None: as many as the row has."""
    encrypts = False

    def missing(self) -> str | None:
        """Why it cannot run here, as a sentence; None if it can."""
        if importlib.util.find_spec(self.module) is None:
            return f"{self.name} is not installed (the extra `bench` has it)"
        return None

    def version(self) -> str:
        assert self.distribution is not None
        return metadata.version(self.distribution)

    @abstractmethod
    async def serve(self, handler: Handler, order: Order) -> int:
        """Serve until the process ends; returns the port."""

    @abstractmethod
    async def connect(self, order: Order) -> Streams:
        """A connection on which `order.port` answers."""


def tasks_of(handler: Handler) -> Callable[[Any, Any], None]:
    """A plain callback that runs `handler` as a task, for libraries that ask for one."""
    running: set[asyncio.Task[None]] = set()

    async def run(reader: Any, writer: Any) -> None:
        await handler(reader, writer)

    def callback(reader: Any, writer: Any) -> None:
        task = asyncio.get_running_loop().create_task(run(reader, writer))
        running.add(task)
        task.add_done_callback(running.discard)

    return callback


def all_peers() -> dict[str, Peer]:
    """By name, in the order of the table."""
    from peers.enet import ENet
    from peers.kcp import Kcp
    from peers.native import PureRudp, Rudp, Tcp
    from peers.quic import Quic

    peers = [Tcp(), Rudp(), PureRudp(), Quic("aioquic"), Quic("qh3"), Kcp(), ENet()]
    return {peer.name: peer for peer in peers}
