"""Get UDP datagrams in and out of an event loop, many at a time: what the layer above sees.

This is the layer between the endpoint and the kernel. It knows sockets and the loop; it does not
know what a segment is, and it never looks into a datagram. Two classes with one surface
(DatagramLayer):

    Datagrams        datagrams.py: our own non-blocking socket under loop.add_reader(), with UDP
                     segmentation offload (GSO, GRO) where the kernel has it
    LoopDatagrams    loop_datagrams.py, over loop.create_datagram_endpoint(), for loops without
                     add_reader() (Windows' proactor)

`await open_datagrams(...)` picks the right one. The sockets are made by sockets.py.

What UDP promises is little, and this layer promises no more: a datagram the kernel refuses (no
route, a firewall, too big for the path) was dropped by the network as far as the layers above are
concerned. It is counted in `dropped`, the error is reported to the receiver, and nothing is raised.
Only back-pressure is different: when the socket's buffer is full, `blocked` turns true, the rest of
that one send() is kept, and the receiver's writable() says when to go on. Nothing here grows with
what a peer or the network does.

UDP checksums stay on: they are what protects the segment, whose own checksum field is not used.

Read beside it: RFC 8085 (UDP usage guidelines) sections 3.2, 3.4 and 5.2; RFC 8899 section 4.1.
"""

from __future__ import annotations

import asyncio
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from .sockets import Address

if TYPE_CHECKING:
    from .core.segment import Buffer

__all__ = ["DatagramLayer", "Receiver"]


class Receiver(Protocol):
    """What the layer above provides. It is called from the loop, never from inside send()."""

    def datagrams_received(
        self, datagrams: list[tuple[bytes, Address]], now: float, ce: bool = False
    ) -> None:
        """Datagrams in the order of arrival, and the clock as it stood when the loop woke us.

        `ce`: each of them was marked by a router (Congestion Experienced, RFC 3168 section 5).
        """

    def error_received(self, exc: OSError, addr: Address | None = None) -> None:
        """The network refused something: an ICMP error on a connected socket, or a send to
        `addr`."""

    def writable(self) -> None:
        """The socket takes datagrams again; `blocked` is false."""


class Nobody:
    """The receiver of a layer that is closed: the one above may go, in no cycle with it."""

    def datagrams_received(
        self, datagrams: list[tuple[bytes, Address]], now: float, ce: bool = False
    ) -> None:
        """Drop them."""

    def error_received(self, exc: OSError, addr: Address | None = None) -> None:
        """It concerns no one."""

    def writable(self) -> None:
        """There is nothing to send."""


NOBODY: Final = Nobody()


class DatagramLayer(ABC):
    """One UDP socket. What the endpoint sees, whichever class is behind it."""

    sock: socket.socket
    sockname: Any
    receive_buffer: int
    """Bytes of receive buffer the kernel granted; it counts whole buffers, not payload."""
    blocked: bool
    """The socket's send buffer is full: send nothing until the receiver's writable() is called."""
    dropped: int
    """Datagrams that never left: refused by the kernel, or sent while `blocked` or when closed."""
    ecn: bool
    """The socket gives access to the ECN field: `send` can set it, marks are told."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        receiver: Receiver,
        clock: Callable[[], float],
    ) -> None:
        self.sock = sock
        self.sockname = sock.getsockname()
        self.receive_buffer = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        self.blocked = False
        self.dropped = 0
        self.ecn = False
        self._loop = loop
        self._receiver = receiver
        self._clock = clock
        self._closed = False
        self._kept: list[tuple[bytes, Buffer]] = []  # the rest of the send() that met a full buffer
        self._kept_addr: Address | None = None
        self._kept_ect = False
        # Errors on their way to the receiver: errno and address.
        self._reports: set[tuple[int | None, Address | None]] = set()

    def send(
        self, pairs: Sequence[tuple[bytes, Buffer]], addr: Address | None, ect: bool = False
    ) -> None:
        """Send each (header, payload) as one datagram to `addr`; None means the connected peer.

        Never raises what the network says: see the module's first lines. The payloads may be views
        of a buffer that changes afterwards; what has to be kept is copied. `ect`, only if `ecn`:
        routers may mark them instead of dropping them (RFC 3168 section 5, ECT(0)).
        """
        if self.blocked or self._closed:
            self.dropped += len(pairs)
            return
        done = self._push(pairs, addr, ect)
        if done < len(pairs):
            self._kept = [(header, bytes(payload)) for header, payload in pairs[done:]]
            self._kept_addr, self._kept_ect = addr, ect
            self._block()

    def hear_errors(self) -> None:  # noqa: B027 - where the system cannot, nobody hears
        """Tell the receiver what ICMP says of datagrams that an unconnected socket has sent."""

    @abstractmethod
    def close(self) -> None:
        """Stop receiving, try once more to send what was kept, and close the socket. Idempotent."""

    def drain(self) -> None:  # noqa: B027 - asyncio's own transport cannot be asked
        """Hand over what has arrived, without waiting for the loop to ask for it."""

    def expect_answer(self, addr: Address | None) -> None:  # noqa: B027 - sleeping does no harm
        """What was sent to `addr` last may be answered in a moment; None means the connected
        peer."""

    @abstractmethod
    def abort(self) -> None:
        """Close the socket and forget what was kept. Idempotent."""

    @abstractmethod
    def _push(
        self, pairs: Sequence[tuple[bytes, Buffer]], addr: Address | None, ect: bool
    ) -> int:
        """Hand datagrams to the system; return how many it took or refused before it was full."""

    @abstractmethod
    def _block(self) -> None:
        """Note that the send buffer is full, and arrange for what was kept to be sent."""

    def _push_kept(self) -> bool:
        """Send what was kept; return whether all of it is gone."""
        done = self._push(self._kept, self._kept_addr, self._kept_ect)
        del self._kept[:done]
        return not self._kept

    def _forget_kept(self) -> None:
        self.dropped += len(self._kept)
        self._kept.clear()

    def _report(self, exc: OSError, addr: Address | None) -> None:
        """Tell the receiver about a failed send.

        The loop does it, because send() is called from within the receiver's own work. A burst of
        datagrams into the same wall is reported once per turn of the loop, not once for each.
        """
        report = (exc.errno, addr)
        if report not in self._reports:
            self._reports.add(report)
            self._loop.call_soon(self._deliver_report, exc, addr)

    def _deliver_report(self, exc: OSError, addr: Address | None) -> None:
        self._reports.discard((exc.errno, addr))
        if not self._closed:
            self._receiver.error_received(exc, addr)
            self._watch()

    def _watch(self) -> None:  # noqa: B027 - most have nothing to do
        """Have the loop watch the socket, again if it has stopped."""
