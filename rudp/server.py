"""A listening server: asyncio's `Server`, as of Python 3.14, on every Python."""

from __future__ import annotations

import asyncio
import contextvars
import errno
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rudp.channel import Channel, Listener
from rudp.engine import Engine
from rudp.transport import Transport

if TYPE_CHECKING:
    from rudp.endpoint import Endpoint


class Server(asyncio.AbstractServer):
    """Made by `start_server` and `create_server`. Not to be made by hand.

    `close()` stops listening and leaves the connections alone. `wait_closed()` returns when the
    server is closed and its last connection has ended; `close_clients()` and `abort_clients()` end
    them. As a context manager it closes on the way out and waits.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        endpoints: Sequence[Endpoint],
        tcp_port: int | None,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        backlog: int,
        owns: bool,
    ) -> None:
        """`tcp_port` None or 0: on each endpoint that of its UDP socket. `owns`: the endpoints go
        when the server is closed and its last connection has ended."""
        self._loop = loop
        self._endpoints = tuple(endpoints)
        self._tcp_port = tcp_port
        self._factory = protocol_factory
        self._backlog = backlog
        self._owns = owns
        self._context = contextvars.copy_context()
        self._clients: set[Transport] = set()
        self._listening: list[tuple[Engine, Listener]] = []
        self._closed = False
        self._waiters: list[asyncio.Future[None]] = []
        self._serving_forever: asyncio.Future[None] | None = None

    @property
    def sockets(self) -> tuple[ListenerView, ...]:
        """One view for each UDP socket, with `family`, `getsockname()` and the like; () if
        closed."""
        if self._closed:
            return ()
        return tuple(
            ListenerView(endpoint.engine, self._port_of(endpoint.engine))
            for endpoint in self._endpoints
        )

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that the server runs on."""
        return self._loop

    def is_serving(self) -> bool:
        """True while new connections are accepted."""
        return any(
            engine.listeners.get(listener.port) is listener for engine, listener in self._listening
        )

    async def start_serving(self) -> None:
        """Accept connections. Idempotent; `RuntimeError` once closed, `OSError` if a port is
        taken."""
        self.listen()

    def listen(self) -> None:
        """What `start_serving` does."""
        if self._closed:
            raise RuntimeError(f"server {self!r} is closed")
        if self._listening:
            return
        for endpoint in self._endpoints:
            engine = endpoint.engine
            port = self._port_of(engine)
            if port in engine.listeners:
                self._stop_listening()
                raise OSError(errno.EADDRINUSE, f"TCP port {port} of {engine!r} is in use")
            listener = Listener(port, self._backlog, self._acceptor(engine))
            engine.listeners[port] = listener
            self._listening.append((engine, listener))

    async def serve_forever(self) -> None:
        """Accept connections until cancelled; then close, close the connections, wait for them,
        and re-raise.

        Raises `RuntimeError` if it runs already or the server is closed.
        """
        if self._serving_forever is not None:
            raise RuntimeError(f"server {self!r} is already being awaited on serve_forever()")
        self.listen()
        self._serving_forever = self._loop.create_future()
        try:
            await self._serving_forever
        except asyncio.CancelledError:
            try:
                self.close()
                self.close_clients()
                await self.wait_closed()
            finally:
                raise
        finally:
            self._serving_forever = None

    def close(self) -> None:
        """Stop accepting. Connections go on; handshakes that are not complete are refused."""
        if self._closed:
            return
        self._closed = True
        self._stop_listening()
        if self._serving_forever is not None and not self._serving_forever.done():
            self._serving_forever.cancel()
        if self._owns:
            for endpoint in self._endpoints:
                endpoint.disown()
        self._wake_up()

    def close_clients(self) -> None:
        """Close every connection: what was written is delivered first."""
        for transport in list(self._clients):
            transport.close()

    def abort_clients(self) -> None:
        """Reset every connection."""
        for transport in list(self._clients):
            transport.abort()

    async def wait_closed(self) -> None:
        """Wait until the server is closed and none of its connections is left.

        Cancelling it changes nothing else.
        """
        if self._closed and not self._clients:
            return
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    # -- inside ----------------------------------------------------------------------------------

    def _port_of(self, engine: Engine) -> int:
        port: int = self._tcp_port or engine.datagrams.sockname[1]
        return port

    def _stop_listening(self) -> None:
        for engine, listener in self._listening:
            engine.stop_listening(listener)
        self._listening.clear()

    def _acceptor(self, engine: Engine) -> Callable[[Channel], None]:
        def accept(channel: Channel) -> None:
            """A handshake is complete: make the protocol and its transport."""
            context = self._context.copy()
            try:
                protocol = context.run(self._factory)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as exc:
                channel.connection.abort()
                self._loop.call_exception_handler(
                    {"message": "Error on transport creation for incoming connection",
                     "exception": exc}
                )
                return
            transport = Transport(engine, channel, protocol, context, self._detach)
            self._clients.add(transport)
            self._loop.call_soon(transport.start)

        return accept

    def _detach(self, transport: Transport) -> None:
        self._clients.discard(transport)
        self._wake_up()

    def _wake_up(self) -> None:
        if not self._closed or self._clients:
            return
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} sockets={self.sockets!r}>"


class ListenerView:
    """What of a listening socket a user may look at; `getsockname()` has the TCP port to connect
    to."""

    type = socket.SOCK_STREAM
    proto = socket.IPPROTO_TCP

    def __init__(self, engine: Engine, port: int) -> None:
        self._engine = engine
        self._port = port

    @property
    def family(self) -> int:
        return self._engine.family

    def getsockname(self) -> tuple[Any, ...]:
        """The address, with the TCP port inside."""
        sockname = self._engine.datagrams.sockname
        return (sockname[0], self._port, *sockname[2:])

    def fileno(self) -> int:
        """The UDP socket's file descriptor."""
        return self._engine.datagrams.sock.fileno()

    def getsockopt(self, level: int, option: int, buflen: int = 0) -> int:
        """An option of the UDP socket."""
        return self._engine.datagrams.sock.getsockopt(level, option)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.getsockname()}>"
