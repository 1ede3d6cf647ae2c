"""The surface of datagram_layer.py over loop.create_datagram_endpoint(), which every loop has.

It is slower: one datagram per turn of the loop, one call of the receiver for each.

asyncio keeps what the socket does not take in a buffer without limit, and has to be watched: beyond
MAX_WAITING bytes this layer is `blocked`. asyncio's own signals for that, pause_writing() and
resume_writing(), cannot be relied on. CPython 3.13.0 to 3.13.5 count 8 bytes for each buffered
datagram that they never take off again (python/cpython issue 135444), and the proactor forgets to
resume after a failed write (issue 156698). So the size of the buffer is asked for and set right
here, while blocked once in POLL seconds.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .datagram_layer import DatagramLayer, Receiver
from .sockets import Address

if TYPE_CHECKING:
    from .core.segment import Buffer

__all__ = ["LoopDatagrams", "open_loop_datagrams"]

MAX_WAITING = 64 * 1024
"""Bytes that may wait in the transport's buffer; one datagram more when it is reached."""

POLL = 0.001
"""Seconds between two looks at the transport's buffer while it is full."""

_ASYNCIO_LEAKS = (3, 13) <= sys.version_info < (3, 13, 6)
_LEAK = 8


class LoopDatagrams(DatagramLayer, asyncio.DatagramProtocol):
    """Made by open_loop_datagrams(). Takes the socket over and closes it."""

    transport: Any  # an asyncio.DatagramTransport, except that uvloop's is none by its class

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        receiver: Receiver,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(loop, sock, receiver, clock)
        self._sending = False
        self._to: Address | None = None  # where what is being sent goes
        self._leak = 0  # bytes that the transport never takes off for a datagram it has buffered
        self._leaked = 0
        self._poll_handle: asyncio.TimerHandle | None = None

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._stop_polling()
        # The transport goes on until its buffer is empty. What it gets is the rest of one send().
        for header, payload in self._kept:
            self.transport.sendto(b"".join((header, payload)), self._kept_addr)
        self._kept.clear()
        self.transport.close()

    def abort(self) -> None:
        self._closed = True
        self._stop_polling()
        self._forget_kept()
        self.transport.abort()

    def _push(
        self, pairs: Sequence[tuple[bytes, Buffer]], addr: Address | None, ect: bool
    ) -> int:
        self._sending, self._to = True, addr
        try:
            for index, pair in enumerate(pairs):
                before = self.transport.get_write_buffer_size()
                self.transport.sendto(b"".join(pair), addr)
                after = self.transport.get_write_buffer_size()
                if after > before:
                    self._leaked += self._leak
                    if after - self._leaked > MAX_WAITING:
                        self._block()
                        return index + 1
        finally:
            self._sending = False
        return len(pairs)

    def _block(self) -> None:
        self.blocked = True
        self._stop_polling()
        self._poll_handle = self._loop.call_later(POLL, self._poll)

    def _stop_polling(self) -> None:
        if self._poll_handle is not None:
            self._poll_handle.cancel()
            self._poll_handle = None

    def _poll(self) -> None:
        if self.transport.get_write_buffer_size() - self._leaked > MAX_WAITING // 4:
            self._block()
        else:
            self._unblock()

    def _unblock(self) -> None:
        self._stop_polling()
        if self.blocked and not self._closed:
            self.blocked = False
            if not self._push_kept():
                self._block()
            elif not self.blocked:
                self._receiver.writable()

    # asyncio.DatagramProtocol

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        if _ASYNCIO_LEAKS and isinstance(transport, asyncio.DatagramTransport):
            self._leak = _LEAK

    def datagram_received(self, data: bytes, addr: Address) -> None:
        if not self._closed:
            self._receiver.datagrams_received([(data, addr)], self._clock())

    def error_received(self, exc: Exception) -> None:
        if self._sending:
            self.dropped += 1
        if isinstance(exc, OSError):
            self._report(exc, self._to if self._sending else None)
        if self.blocked:
            # The transport has let go of a datagram, and may need another one to carry on.
            self._loop.call_soon(self._unblock)

    def connection_lost(self, exc: Exception | None) -> None:
        if isinstance(exc, OSError):
            self._report(exc, None)


async def open_loop_datagrams(
    loop: asyncio.AbstractEventLoop,
    sock: socket.socket,
    receiver: Receiver,
    clock: Callable[[], float] = time.monotonic,
) -> LoopDatagrams:
    """As open_datagrams(), by loop.create_datagram_endpoint() even if the loop has add_reader()."""
    layer = LoopDatagrams(loop, sock, receiver, clock)
    try:
        await loop.create_datagram_endpoint(lambda: layer, sock=sock)
    except BaseException:
        sock.close()
        raise
    return layer
