"""What an engine keeps for each of its connections and for each of its listeners."""

from __future__ import annotations

import asyncio
import contextvars
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from rudp.core.connection import Connection
from rudp.datagrams import Address

if TYPE_CHECKING:
    from rudp.transport import Transport

Key = tuple[Address, int, int]
"""What identifies a connection of an endpoint: the peer's UDP address, TCP port of ours, its
own."""

PIECE: Final = 262144
"""Most bytes that one `data_received` gets."""


class Channel:
    """A connection as the endpoint knows it, and whom it concerns."""

    __slots__ = (
        "addr",
        "armed",
        "connection",
        "context",
        "feed",
        "finished",
        "key",
        "last_output",
        "listener",
        "protocol_paused",
        "touched",
        "transport",
        "waiter",
    )

    def __init__(self, connection: Connection, addr: Address) -> None:
        self.connection = connection
        self.addr = addr
        self.key: Key = (addr, connection.local_port, connection.peer_port)
        self.transport: Transport | None = None
        # Of the transport: in which context its protocol is called, the protocol's data_received
        # while that is how data is delivered, and whether the protocol has been told to pause
        self.context: contextvars.Context
        self.feed: Callable[[bytes], object] | None = None
        self.protocol_paused = False
        self.waiter: asyncio.Future[None] | None = None  # of an active open
        self.finished: asyncio.Future[None] | None = None  # CLOSED or TIME-WAIT, if one asks
        self.listener: Listener | None = None  # of a passive open, until it is accepted
        self.armed = math.inf  # the earliest moment that the endpoint's heap has for it
        self.touched = False  # it will be pumped before the loop's turn ends
        self.last_output = -math.inf

    def deliver(self) -> None:
        """Hand over what has arrived: to `feed`, or to the transport, which knows all the cases."""
        connection = self.connection
        while connection.readable and self.feed is not None:
            try:
                self.context.run(self.feed, connection.read(PIECE))
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as exc:
                assert self.transport is not None
                self.transport.fail(exc, "data_received")
        if self.transport is not None and (self.feed is None or connection.at_eof):
            self.transport.deliver()


class Listener:
    """LISTEN: a TCP port of the endpoint that takes connections."""

    __slots__ = ("accept", "backlog", "cookies_until", "half_open", "port")

    def __init__(self, port: int, backlog: int, accept: Callable[[Channel], None]) -> None:
        self.port = port
        self.backlog = backlog
        self.accept = accept
        self.half_open = 0  # connections whose handshake is not complete
        self.cookies_until = -math.inf  # when the last SYN cookie is stale
