"""What an engine keeps for each of its connections and for each of its listeners."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from rudp.core.connection import Connection
from rudp.datagrams import Address

if TYPE_CHECKING:
    from rudp.transport import Transport

Key = tuple[Address, int, int]
"""What identifies a connection of an endpoint: the peer's UDP address, TCP port of ours, its
own."""


class Channel:
    """A connection as the endpoint knows it, and whom it concerns."""

    __slots__ = (
        "addr",
        "armed",
        "connection",
        "finished",
        "key",
        "last_output",
        "listener",
        "touched",
        "transport",
        "waiter",
    )

    def __init__(self, connection: Connection, addr: Address) -> None:
        self.connection = connection
        self.addr = addr
        self.key: Key = (addr, connection.local_port, connection.peer_port)
        self.transport: Transport | None = None
        self.waiter: asyncio.Future[None] | None = None  # of an active open
        self.finished: asyncio.Future[None] | None = None  # CLOSED or TIME-WAIT, if one asks
        self.listener: Listener | None = None  # of a passive open, until it is accepted
        self.armed = math.inf  # the earliest moment that the endpoint's heap has for it
        self.touched = False  # it will be pumped before the loop's turn ends
        self.last_output = -math.inf


class Listener:
    """LISTEN: a TCP port of the endpoint that takes connections."""

    __slots__ = ("accept", "backlog", "cookies_until", "half_open", "port")

    def __init__(self, port: int, backlog: int, accept: Callable[[Channel], None]) -> None:
        self.port = port
        self.backlog = backlog
        self.accept = accept
        self.half_open = 0  # connections whose handshake is not complete
        self.cookies_until = -math.inf  # when the last SYN cookie is stale
