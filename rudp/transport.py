"""`asyncio.Transport` over a connection: what protocols, and so other libraries, plug into.

The contract is asyncio's own: callbacks come from the loop and never from inside a call of the
user; `connection_made`, then `data_received` as often as there is data, `eof_received` at most
once, `connection_lost` once. Back-pressure ends at the application on both sides: a paused reader
leaves bytes in the receive buffer, which closes the window; unsent bytes pause the writer.

Not here: anything of TCP. The transport asks its `Connection`, and has its `Engine` send.
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
import logging
import math
import socket
import warnings
from asyncio import constants
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, cast

from rudp.channel import PIECE, Channel

if TYPE_CHECKING:
    from rudp.engine import Engine

logger = logging.getLogger("rudp")

HIGH_WATER: Final = 65536
"""Unsent bytes above which `pause_writing` is called; asyncio's default."""

_BYTES_LIKE: Final = (bytes, bytearray, memoryview)

_NO_EXTRA: Final[Mapping[str, Any]] = MappingProxyType({})
"""What asyncio's base class would have a dict of its own for."""

LOG_AFTER: Final = 5
"""Writes into a connection that has ended before a warning is logged, as in asyncio."""


class Transport(asyncio.Transport):
    """One rudp connection. Made by `create_connection` and `create_server`."""

    __slots__ = (
        "__dict__", "__weakref__", "_buffered", "_channel", "_closing", "_ending",
        "_engine", "_eof_told", "_error", "_high", "_loop", "_lost", "_low", "_on_lost", "_paused",
        "_protocol", "_started", "_writes_in_vain",
    )  # fmt: skip

    # asyncio's start_tls() and sendfile() look for these; the latter needs a file descriptor.
    _start_tls_compatible = True
    _sendfile_compatible = constants._SendfileMode.UNSUPPORTED

    def __init__(
        self,
        engine: Engine,
        channel: Channel,
        protocol: asyncio.BaseProtocol,
        context: contextvars.Context,
        on_lost: Callable[[Transport], None] | None = None,
    ) -> None:
        super().__init__(_NO_EXTRA)
        self._engine = engine
        self._channel = channel
        self._loop = engine.loop
        self._on_lost = on_lost
        self._closing = False
        self._started = False
        self._paused = False
        self._eof_told = False
        self._lost = False
        self._ending = False  # it has ended, but a paused reader has not got all that came before
        self._error: BaseException | None = None
        self._writes_in_vain = 0
        self._high = HIGH_WATER
        self._low = HIGH_WATER // 4
        channel.transport = self
        channel.context = context
        self.set_protocol(protocol)

    # -- BaseTransport ---------------------------------------------------------------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`peername` and `sockname` (the inner TCP ports), `udp_peername`, `udp_sockname` (the
        outer ones), `socket` (a small view of the connection) and `tcp_info` (a fresh
        `rudp.TcpInfo`)."""
        if name == "tcp_info":
            return self._channel.view().tcp_info()
        if name == "socket":
            return self._view()
        if name == "peername":
            return self._view().getpeername()
        if name == "sockname":
            return self._view().getsockname()
        if name == "udp_peername":
            return self._channel.addr
        if name == "udp_sockname":
            return self._engine.datagrams.sockname
        return default

    def _view(self) -> SocketView:
        return SocketView(self._engine, self._channel)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol
        self._buffered = isinstance(protocol, asyncio.BufferedProtocol)
        self._set_feed()

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        """Send what was written and a FIN, read no more; then `connection_lost(None)`.

        `connection_lost` comes when the peer has acknowledged all of it, or gets an `OSError` if it
        never does.
        """
        if self._ending:
            self._end()
        if self._closing:
            return
        self._begin_closing()
        self._channel.connection.close()
        self._engine.output(self._channel)

    def abort(self, reason: str = "") -> None:
        """Drop what was not delivered and reset the connection; `reason` is shown to the peer."""
        if self._ending:
            self._end()
        if self._lost:
            return
        self._begin_closing()
        self._channel.connection.abort(reason)
        self._engine.output(self._channel)

    def _force_close(self, exc: BaseException | None) -> None:
        """asyncio.sslproto calls this: end at once, and let `connection_lost` have `exc`."""
        if self._lost:
            return
        self._begin_closing()
        self._error = exc
        self._channel.connection.abort()
        self._engine.output(self._channel)

    def _begin_closing(self) -> None:
        self._closing = True
        self._set_feed()

    # -- WriteTransport --------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send `data`. Never blocks; what cannot be sent yet waits, without limit: mind
        `pause_writing`. A mutable buffer is copied, so that it may change afterwards.

        Raises `TypeError` unless it is bytes-like, `RuntimeError` after `write_eof`. After
        `close`, or once the connection has ended, it is dropped, as asyncio's transports do.
        """
        if type(data) is not bytes and not isinstance(data, _BYTES_LIKE):
            raise TypeError(
                f"data argument must be a bytes-like object, not {type(data).__name__!r}"
            )
        channel = self._channel
        connection = channel.awake or channel.connection
        if connection.snd.fin_queued and not self._closing:
            raise RuntimeError("Cannot call write() after write_eof()")
        if not data:
            return
        if self._closing:
            self._writes_in_vain += 1
            if self._writes_in_vain == LOG_AFTER:
                logger.warning("write() to a connection that was closed or lost")
            return
        connection.write(data if type(data) is bytes else bytes(data))
        self._engine.output(channel)
        if connection.unsent > self._high and not channel.protocol_paused:
            self._pause_protocol()

    def write_eof(self) -> None:
        """Send a FIN after what was written: the peer reads EOF. Reading goes on. Idempotent."""
        if self._closing:
            return
        self._channel.connection.write_eof()
        self._engine.output(self._channel)

    def can_write_eof(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        """Bytes not sent yet. What is in flight does not count: it would cap the throughput."""
        connection = self._channel.awake
        return 0 if connection is None else connection.unsent

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Pause the protocol above `high` unsent bytes, resume it at `low` or below."""
        if high is None:
            high = HIGH_WATER if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self._high, self._low = high, low
        if self.get_write_buffer_size() > high and not self._channel.protocol_paused:
            self._pause_protocol()

    def _pause_protocol(self) -> None:
        self._channel.protocol_paused = True
        self._tell("pause_writing")

    def resume_protocol(self) -> None:
        """The protocol is paused: call `resume_writing` if there is room again."""
        if self._lost or self.get_write_buffer_size() > self._low:
            return
        if not self._engine.pumping:
            self._loop.call_soon(self._resume_soon)
            return
        self._resume_soon()

    def _resume_soon(self) -> None:
        paused = self._channel.protocol_paused and not self._lost
        if paused and self.get_write_buffer_size() <= self._low:
            self._channel.protocol_paused = False
            self._tell("resume_writing")

    def _tell(self, name: str) -> None:
        """Flow control: called as asyncio calls it, and what it raises is only reported."""
        try:
            getattr(self._protocol, name)()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._report(exc, name)

    # -- ReadTransport ---------------------------------------------------------------------------

    def is_reading(self) -> bool:
        return not self._closing and not self._paused

    def pause_reading(self) -> None:
        """Deliver nothing more. Bytes stay in the receive buffer, and the window closes."""
        if not self._closing:
            self._paused = True
            self._set_feed()

    def resume_reading(self) -> None:
        if not self._paused or (self._closing and not self._ending):
            return
        self._paused = False
        self._set_feed()
        self._loop.call_soon(self._deliver_soon)

    def _deliver_soon(self) -> None:
        self.deliver()
        channel = self._channel
        connection = channel.view()
        if self._ending and not connection.readable:
            self._end()
        # While something was unread it could not fall asleep, and maybe nobody looks after it.
        unwatched = channel.awake is not None and channel.armed == math.inf
        if connection.ack_due or unwatched:
            self._engine.output(channel)

    def deliver(self) -> None:
        """Hand over what has arrived, and the EOF after it, unless reading is paused."""
        connection = self._channel.awake or self._channel.view()
        while connection.readable and self._can_deliver():
            if self._buffered:
                self._fill_buffer()
            else:
                self._call("data_received", connection.read(PIECE))
        if connection.at_eof and not self._eof_told and self._can_deliver():
            self._eof_told = True
            keep_open = self._call("eof_received")
            # "If this returns a false value (including None), the transport will close itself."
            if not keep_open:
                self.close()

    def _can_deliver(self) -> bool:
        return self._started and not self._paused and (not self._closing or self._ending)

    def _set_feed(self) -> None:
        """Have the channel give what arrives to the protocol itself, while it wants any."""
        plain = self._started and not self._paused and not self._closing and not self._buffered
        self._channel.feed = getattr(self._protocol, "data_received", None) if plain else None

    def _fill_buffer(self) -> None:
        """BufferedProtocol: the protocol gives the buffer."""
        buffer = self._call("get_buffer", -1)
        if self._closing:
            return  # get_buffer() failed
        view = memoryview(buffer).cast("B")
        if not len(view):
            self.fail(RuntimeError("get_buffer() returned an empty buffer"))
            return
        data = self._channel.connection.read(len(view))
        view[: len(data)] = data
        self._call("buffer_updated", len(data))

    # -- callbacks -------------------------------------------------------------------------------

    def start(self) -> None:
        """From the loop: `connection_made`, then what has arrived so far."""
        self._call("connection_made", self)
        self._started = True
        self._set_feed()
        self._deliver_soon()

    def release(self, error: BaseException | None) -> None:
        """The connection has ended: `connection_lost` follows.

        A reader that has paused gets what came before first, when it resumes, as over TCP.
        """
        if self._lost:
            return
        self._error = self._error or error
        self._ending = self._paused and not self._closing and self._channel.view().readable > 0
        self._begin_closing()
        if not self._ending:
            self._end()

    def _end(self) -> None:
        self._ending = False
        self._lost = True
        self._loop.call_soon(self._connection_lost)

    def _connection_lost(self) -> None:
        if not self._started:
            self._loop.call_soon(self._connection_lost)  # connection_made is on its way
            return
        try:
            error = cast("Exception | None", self._error)
            self._channel.context.run(self._protocol.connection_lost, error)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._report(exc, "connection_lost")
        if self._on_lost is not None:
            self._on_lost(self)
        self._protocol = _NO_PROTOCOL
        self._channel.transport = None  # leave the garbage collector no cycle

    def _call(self, name: str, *args: Any) -> Any:
        """Call the protocol in its own context. What it raises ends the connection, not the
        loop."""
        try:
            return self._channel.context.run(getattr(self._protocol, name), *args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self.fail(exc, name)
            return None

    def fail(self, exc: BaseException, name: str = "get_buffer") -> None:
        self._report(exc, name)
        self._force_close(exc)

    def _report(self, exc: BaseException, name: str) -> None:
        self._loop.call_exception_handler(
            {
                "message": f"Fatal error: protocol.{name}() call failed.",
                "exception": exc,
                "transport": self,
                "protocol": self._protocol,
            }
        )

    def __del__(self) -> None:
        if not self._closing:
            message = f"unclosed transport {self!r}"
            warnings.warn(message, ResourceWarning, stacklevel=1, source=self)

    def __repr__(self) -> str:
        state = self._channel.view().state.value
        here, there = self._view().getsockname(), self._channel.addr
        return f"<{type(self).__name__} {here} {state} to {there}>"


class _NoProtocol(asyncio.Protocol):
    """What a transport has when its own protocol has heard `connection_lost`."""


_NO_PROTOCOL: Final = _NoProtocol()


class SocketView:
    """What of a socket a user may look at: not the UDP socket, which carries other connections too.

    It says that it is a TCP socket, since that is how it behaves and what libraries test for.
    """

    __slots__ = ("_channel", "_engine")

    type = socket.SOCK_STREAM
    proto = socket.IPPROTO_TCP

    def __init__(self, engine: Engine, channel: Channel) -> None:
        self._engine = engine
        self._channel = channel

    @property
    def family(self) -> int:
        return self._engine.family

    def getsockname(self) -> tuple[Any, ...]:
        """Our address with the TCP port inside, which is the connection's own."""
        sockname = self._engine.datagrams.sockname
        return (sockname[0], self._channel.key[1], *sockname[2:])

    def getpeername(self) -> tuple[Any, ...]:
        """The peer's address with its TCP port."""
        addr = self._channel.addr
        return (addr[0], self._channel.key[2], *addr[2:])

    def fileno(self) -> int:
        """-1: no file descriptor is this connection's alone."""
        return -1

    def getsockopt(self, level: int, option: int, buflen: int = 0) -> int:
        """TCP_NODELAY, SO_TYPE and SO_ERROR; `OSError` with `ENOPROTOOPT` for the rest."""
        if (level, option) == (socket.IPPROTO_TCP, socket.TCP_NODELAY):
            return int(self._channel.view().snd.nodelay)
        if (level, option) == (socket.SOL_SOCKET, socket.SO_TYPE):
            return socket.SOCK_STREAM
        if (level, option) == (socket.SOL_SOCKET, socket.SO_ERROR):
            return 0
        raise OSError(errno.ENOPROTOOPT, "rudp has no such socket option: see rudp.Config")

    def setsockopt(self, level: int, option: int, value: Any, optlen: int | None = None) -> None:
        """TCP_NODELAY switches Nagle's algorithm; `OSError` with `ENOPROTOOPT` for the rest."""
        if (level, option) != (socket.IPPROTO_TCP, socket.TCP_NODELAY):
            raise OSError(errno.ENOPROTOOPT, "rudp has no such socket option: see rudp.Config")
        self._channel.connection.snd.nodelay = bool(value)
        self._engine.output(self._channel)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.getsockname()} to {self.getpeername()}>"
