"""What an engine keeps for each of its connections and for each of its listeners."""

from __future__ import annotations

import asyncio
import contextvars
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from rudp.core.connection import Connection
from rudp.core.dormant import pack, unpack
from rudp.datagrams import Address

if TYPE_CHECKING:
    from rudp.dormancy import Dormancy
    from rudp.transport import Transport

Key = tuple[Address, int, int]
"""What identifies a connection of an endpoint: the peer's UDP address, TCP port of ours, its
own."""

PIECE: Final = 262144
"""Most bytes that one `data_received` gets."""


class Channel:
    """A connection as the endpoint knows it, and whom it concerns.

    A connection at rest may be *dormant*: there is only what it was packed into. Whoever uses it
    asks for `connection`, which wakes it up, or, where each message comes by, for `awake or
    connection`, which is the same and saves a call. Whoever only wants to know something asks
    for `view()`.
    """

    __slots__ = (
        "_config",
        "_dormancy",
        "_packed",
        "addr",
        "armed",
        "asleep_since",
        "awake",
        "context",
        "feed",
        "finished",
        "key",
        "last_output",
        "listener",
        "protocol_paused",
        "rest",
        "touched",
        "transport",
        "waiter",
    )

    def __init__(self, connection: Connection, addr: Address) -> None:
        self.awake: Connection | None = connection  # None: it is dormant
        self._packed = b""  # if it is
        self._dormancy: Dormancy | None = None  # which has put it to sleep
        self._config = connection.config
        self.asleep_since = -math.inf
        self.rest = 0.0  # seconds of it that have to come before sleep, if more than usual
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

    @property
    def connection(self) -> Connection:
        """The connection, awake."""
        connection = self.awake
        if connection is None:
            connection = self.awake = unpack(self._packed, self._config)
            self._packed = b""
            assert self._dormancy is not None
            self._dormancy.woken(self)
        return connection

    def view(self) -> Connection:
        """The connection as it is, to be looked at and not touched: it may be a copy."""
        return self.awake or unpack(self._packed, self._config)

    def sleep(self, dormancy: Dormancy, now: float) -> None:
        """Become dormant. The connection has to be at rest, and nobody may hold on to it."""
        assert self.awake is not None
        self._packed = pack(self.awake)
        self.asleep_since = now
        self._dormancy = dormancy
        self.awake = None

    def deliver(self) -> None:
        """Hand over what has arrived: to `feed`, or to the transport, which knows all the cases."""
        connection = self.awake or self.connection
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
