"""`rudp.Endpoint`: one UDP socket that listens and connects, for many connections over one port."""

from __future__ import annotations

import asyncio
import contextvars
import errno
import socket
from collections.abc import Callable
from typing import Any, TypeVar

from rudp.core.config import DEFAULT_CONFIG, Config
from rudp.datagrams import Address, bind_socket, take_socket
from rudp.engine import Engine, Tap
from rudp.linger import keeper
from rudp.server import Server
from rudp.streams import DEFAULT_LIMIT, ClientCallback, streams_over, streams_served_by
from rudp.transport import Transport

_P = TypeVar("_P", bound=asyncio.BaseProtocol)


class Endpoint:
    """One UDP socket, any number of rudp connections, both ways.

        endpoint = await rudp.Endpoint.open(("0.0.0.0", 9000))
        server = await endpoint.start_server(callback)
        reader, writer = await endpoint.open_connection("192.0.2.1", 9000)

    `open_connection`, `start_server` and the functions of the same names use endpoints of their
    own. As a context manager it closes on the way out and waits for its connections to end.
    """

    def __init__(self, engine: Engine) -> None:
        """Not to be called: use `await Endpoint.open(...)`."""
        self.engine = engine
        self.config = engine.config
        engine.on_idle = self._on_idle
        engine.owned = True
        self._loop = engine.loop
        self._owned = True
        self._closed = False
        self._ended = engine.loop.create_future()
        self._last_addr: Address = ()  # one object for all connections to the same peer

    @classmethod
    async def open(
        cls,
        local_addr: tuple[str, int] | None = None,
        *,
        sock: socket.socket | None = None,
        family: int = socket.AF_UNSPEC,
        reuse_port: bool | None = None,
        config: Config | None = None,
        tap: Tap | None = None,
    ) -> Endpoint:
        """Bind a UDP socket to `local_addr` (host, port), or take the UDP socket `sock`.

        Port 0, and no `local_addr` at all, let the system choose a port. `tap` is called as
        `tap(direction, segment, state, now)` for each (super-)segment: direction "<" after it was
        received or ">" as it is sent, the connection's state by then, seconds.

        Raises `OSError` if the address cannot be bound, `ValueError` for a socket that is not UDP.
        """
        loop = asyncio.get_running_loop()
        if sock is not None:
            return await cls.over(take_socket(sock), config, tap)
        host, port = local_addr or ("", 0)
        infos = await loop.getaddrinfo(
            host or None,
            port,
            family=family or (socket.AF_UNSPEC if host else socket.AF_INET),
            type=socket.SOCK_DGRAM,
            flags=socket.AI_PASSIVE,
        )
        keeper(loop).make_way(infos[0][4][0], int(infos[0][4][1]))
        return await cls.over(bind_socket(infos[0][0], infos[0][4], reuse_port), config, tap)

    @classmethod
    async def over(
        cls,
        sock: socket.socket,
        config: Config | None = None,
        tap: Tap | None = None,
        connected: Address | None = None,
    ) -> Endpoint:
        """An endpoint over a socket that was made ready; `connected` is its only peer, if it has
        one.

        If it is cancelled or fails, the socket is closed.
        """
        loop = asyncio.get_running_loop()
        engine = Engine(loop, config or DEFAULT_CONFIG, tap)
        await engine.start(sock, connected)
        await keeper(loop).add(engine)
        return cls(engine)

    @property
    def sockname(self) -> Address:
        """The UDP socket's own address."""
        address: Address = self.engine.datagrams.sockname
        return address

    # -- connections -----------------------------------------------------------------------------

    async def create_connection(
        self,
        protocol_factory: Callable[[], _P],
        host: str,
        port: int,
        *,
        udp_port: int | None = None,
        local_port: int = 0,
    ) -> tuple[Transport, _P]:
        """Connect to TCP port `port` at `host`, over its UDP port `udp_port` (default: the same).

        `local_port` 0 takes a random TCP port; giving it allows a simultaneous open. Raises
        `OSError` as `rudp.create_connection` does. Cancelling resets the half-open connection.
        """
        addr = await self._resolve(host, port if udp_port is None else udp_port)
        return await self.connect(protocol_factory, addr, port, local_port)

    async def open_connection(
        self,
        host: str,
        port: int,
        *,
        limit: int = DEFAULT_LIMIT,
        udp_port: int | None = None,
        local_port: int = 0,
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Like `create_connection`, with streams: see `rudp.open_connection`."""

        async def create(factory: Callable[[], _P]) -> tuple[Transport, _P]:
            return await self.create_connection(
                factory, host, port, udp_port=udp_port, local_port=local_port
            )

        return await streams_over(create, limit)

    async def create_server(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        port: int | None = None,
        *,
        backlog: int | None = None,
        start_serving: bool = True,
    ) -> Server:
        """Listen on TCP port `port` of this endpoint; None or 0: that of its UDP socket.

        Raises `OSError` (`EADDRINUSE`) if a server has that port. The endpoint stays open when the
        server is closed.
        """
        self._check_open()
        backlog = backlog or self.config.backlog
        server = Server(self._loop, [self], port, protocol_factory, backlog, owns=False)
        if start_serving:
            server.listen()
        return server

    async def start_server(
        self,
        client_connected_cb: ClientCallback,
        port: int | None = None,
        *,
        limit: int = DEFAULT_LIMIT,
        backlog: int | None = None,
        start_serving: bool = True,
    ) -> Server:
        """Like `create_server`, with streams: see `rudp.start_server`."""
        factory = streams_served_by(client_connected_cb, limit)
        return await self.create_server(
            factory, port, backlog=backlog, start_serving=start_serving
        )

    async def connect(
        self,
        protocol_factory: Callable[[], _P],
        addr: Address,
        port: int,
        local_port: int = 0,
    ) -> tuple[Transport, _P]:
        """Connect to TCP port `port` at the UDP address `addr`, which needs no resolving."""
        self._check_open()
        channel = self.engine.connect(addr, port, local_port)
        assert channel.waiter is not None
        context = contextvars.copy_context()
        try:
            await channel.waiter
            channel.waiter = None
            protocol = protocol_factory()
            transport = Transport(self.engine, channel, protocol, context)
            transport.start()
        except ConnectionRefusedError as exc:
            raise _connect_failed(exc, channel.addr[0], port) from None
        except BaseException:
            channel.connection.abort()
            self.engine.output(channel)
            raise
        return transport, protocol

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("the endpoint is closed: open a new one")

    async def _resolve(self, host: str, udp_port: int) -> Address:
        infos = await self._loop.getaddrinfo(
            host, udp_port, family=self.engine.family, type=socket.SOCK_DGRAM
        )
        if infos[0][4] != self._last_addr:
            self._last_addr = infos[0][4]
        return self._last_addr

    # -- the end ---------------------------------------------------------------------------------

    def close(self) -> None:
        """Take no new connections; the socket is closed when the last has ended. Idempotent.

        Servers of the endpoint stop listening. TIME-WAIT goes on in the background.
        """
        self._closed = True
        for listener in list(self.engine.listeners.values()):
            self.engine.stop_listening(listener)
        self.disown()

    def abort(self) -> None:
        """Reset every connection and close the socket at once."""
        for channel in self.engine.channels:
            channel.connection.abort()
            self.engine.output(channel)
        self._closed = True
        for listener in list(self.engine.listeners.values()):
            self.engine.stop_listening(listener)
        self._owned = self.engine.owned = False
        keeper(self._loop).shut(self.engine)
        self._finish()

    async def wait_closed(self) -> None:
        """Wait until the endpoint is closed and its last connection has ended."""
        await asyncio.shield(self._ended)

    def disown(self) -> None:
        """Nobody will use the endpoint for anything new: close it when it is idle."""
        self._owned = self.engine.owned = False
        self._on_idle()

    def _on_idle(self) -> None:
        """The engine has no listener and no connection, or nobody owns the endpoint any more."""
        if self._owned or not self.engine.idle:
            return
        self._loop.call_soon(self._rest)

    def _rest(self) -> None:
        if self.engine.idle and not self.engine.closed:
            keeper(self._loop).rest(self.engine)
        self._finish()

    def _finish(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)

    async def __aenter__(self) -> Endpoint:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()
        await self.wait_closed()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.sockname}>"


def _connect_failed(exc: OSError, host: Any, port: int) -> ConnectionRefusedError:
    _, _, reason = str(exc.strerror).partition(": ")
    sentence = f"Connect call failed {(host, port)}"
    return ConnectionRefusedError(
        errno.ECONNREFUSED, f"{sentence}: {reason}" if reason else sentence
    )
