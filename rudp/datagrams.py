"""Our own UDP socket in an event loop: `Datagrams`, and `open_datagrams`, which picks the class.

Why our own socket: asyncio's datagram transport reads one datagram per turn of the loop, which
costs more than everything TCP does with it. Here one wake-up drains what has arrived, up to a
budget, so that a flood at one socket cannot starve the rest of the loop.

What a layer of datagrams promises stands in datagram_layer.py. The functions of sockets.py are
handed on from here, so that the layer above needs only this module.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Final

from .busy_poll import BusyPoll
from .datagram_layer import NOBODY, DatagramLayer, Receiver
from .ecn import ecn_field
from .icmp import hear_errors, read_errors
from .local_addresses import Ancillary, local_addresses
from .loop_datagrams import open_loop_datagrams
from .sockets import SOCKET_BUFFER, Address, bind_socket, connect_socket, path_mtu, take_socket

if TYPE_CHECKING:
    from .core.segment import Buffer

__all__ = [
    "Address",
    "DatagramLayer",
    "Datagrams",
    "Receiver",
    "bind_socket",
    "connect_socket",
    "open_datagrams",
    "path_mtu",
    "take_socket",
]

logger = logging.getLogger("rudp")

MAX_DATAGRAM: Final = 65536
"""Bytes of buffer for one read: more than any UDP payload, alone or joined by GRO."""

READ_BUDGET: Final = 64
BYTE_BUDGET: Final = 1024 * 1024
MIN_COST: Final = 1024
"""One wake-up makes at most READ_BUDGET system calls and takes in about BYTE_BUDGET bytes. A
datagram counts for no less than MIN_COST: with GRO one read may hand out 64 tiny ones, and the work
is per datagram."""

KEPT_MEMORY: Final = 4 * BYTE_BUDGET
"""What a wake-up takes in is allocated twice, as it came and without its headers, and freed a
moment later. glibc hands free memory at the top of the heap back to the system from 128 KiB on, and
the next wake-up has it made and cleared again, page by page, which costs as much as all else
that is done with it. Once a block of this size has been allocated and freed, glibc keeps up to
twice as much (mallopt(3), "dynamic mmap threshold"); elsewhere that does nothing."""

LOOK_AGAIN: Final = 32
"""To find nothing costs as much as to read a datagram. Where nothing was left the last time, a
wake-up reads just once, and each LOOK_AGAINth looks for more; the loop wakes us again if there
is."""

# Linux, include/uapi/linux/udp.h. Python's socket module has no names for them.
SOL_UDP: Final = 17
UDP_SEGMENT: Final = 103
UDP_GRO: Final = 104
MAX_GSO_SEGMENTS: Final = 64
MAX_GSO_BYTES: Final = 65507
"""An IPv4 packet has at most 65535 bytes, 20 of them IP header and 8 UDP header. IPv6 takes 20
more."""

# As enums they would cost more than the whole test.
_MSG_TRUNC: Final = int(getattr(socket, "MSG_TRUNC", 0))
_SEGMENT_SIZE: Final = struct.Struct("=H")
_GRO_SIZE: Final = struct.Struct("=i")
_GRO_SPACE: Final = socket.CMSG_SPACE(_GRO_SIZE.size) if hasattr(socket, "CMSG_SPACE") else 0

# Linux, include/uapi/asm-generic/socket.h: datagrams that found the receive buffer full are told
# of with those that come after them.
SO_RXQ_OVFL: Final = 40
_SOL_SOCKET: Final = int(socket.SOL_SOCKET)
_DROPS: Final = struct.Struct("=I")

_hinted = False  # that the receive buffers are too small has been said once
_keeps_memory = False  # the allocator has been told once

MAX_GSO_REFUSALS: Final = 1024
"""How many destinations are remembered as unable to take GSO. Forgetting one costs one refused
call."""


class Datagrams(DatagramLayer):
    """A non-blocking socket of our own under loop.add_reader() and loop.add_writer().

    Takes the socket over and closes it. `offload` false leaves GSO and GRO off where the kernel has
    them: a packet capture on the same host then shows single datagrams instead of what the kernel
    joined. `busy_poll` is Config's. Raises NotImplementedError where the loop has no add_reader()
    or the socket no sendmsg() (Windows).
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        receiver: Receiver,
        clock: Callable[[], float] = time.monotonic,
        *,
        offload: bool = True,
        busy_poll: float = 0.0,
    ) -> None:
        if not hasattr(sock, "sendmsg"):
            raise NotImplementedError("this system's sockets have no sendmsg()")
        super().__init__(loop, sock, receiver, clock)
        _keep_memory()
        self.gso = offload and _has_gso(sock)
        self.gro = offload and _switch_gro_on(sock)
        self._gso_refused: set[Address | None] = set()
        try:
            # A connected socket has one peer; no need to build its address for each datagram.
            self._peer: Address | None = sock.getpeername()
        except OSError:
            self._peer = None
        self._hears = False  # it keeps ICMP's errors, and may answer any call with one
        self._fd = sock.fileno()
        # A connected socket has just one way, which the kernel knows.
        self._locals = local_addresses(sock) if self._peer is None else None
        self._field = ecn_field(sock)
        self.ecn = self._field is not None
        self._marked: list[tuple[bytes, Address]] = []  # what came with CE, in this wake-up
        self._busy_poll = BusyPoll(loop, busy_poll)
        self._singles = 0  # wake-ups since something was left after the first read
        self._space = _GRO_SPACE + (0 if self._locals is None else self._locals.space)
        if self._field is not None:
            self._space += self._field.space
        if self.receive_buffer // 2 < SOCKET_BUFFER and _count_overflows(sock, True):
            self._space += socket.CMSG_SPACE(_DROPS.size)
        self._plain = not (self.gro or self.ecn or self._locals is not None)
        loop.add_reader(self._fd, self._on_readable)

    def hear_errors(self) -> None:
        if self._peer is None and not self._hears:
            self._hears = hear_errors(self.sock)

    def _watch(self) -> None:
        # libuv stops watching a socket that has an error, and uvloop does not tell: without this,
        # one ICMP error would make the connection deaf. Elsewhere it changes nothing.
        if self._hears and not self._closed:
            for error, addr in read_errors(self.sock):
                self._receiver.error_received(error, addr)
        if self._closed:
            return
        self._loop.remove_reader(self._fd)
        self._loop.add_reader(self._fd, self._on_readable)
        if self.blocked:
            self._loop.remove_writer(self._fd)
            self._loop.add_writer(self._fd, self._on_writable)

    def close(self) -> None:
        if not self._closed and self._kept:
            self._push_kept()
        self.abort()

    def abort(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._busy_poll.close()
        self._forget_kept()
        self._loop.remove_reader(self._fd)
        if self.blocked:
            self._loop.remove_writer(self._fd)
        self.sock.close()
        self._receiver = NOBODY

    # Receiving

    def expect_answer(self, addr: Address | None) -> None:
        self._busy_poll.expect(addr)

    def drain(self) -> None:
        if not self._closed:
            self._take_in(READ_BUDGET)

    def _on_readable(self) -> None:
        self._singles += 1
        self._take_in(READ_BUDGET if self._singles % LOOK_AGAIN == 0 or self._singles < 2 else 1)

    def _take_in(self, reads: int) -> None:
        """Read so many times at most, and hand over what has come."""
        now = self._clock()
        datagrams: list[tuple[bytes, Address]] = []
        failure: OSError | None = None
        budget = BYTE_BUDGET
        for count in range(reads):
            try:
                budget -= self._read(datagrams)
            except BlockingIOError:
                break
            except OSError as exc:
                # One error per wake-up: the kernel forgets it in telling, and one that lasts must
                # not spin.
                failure = exc
                break
            if count:
                self._singles = 0
            if budget <= 0 or self._marked:
                break
        if datagrams:
            self._busy_poll.heard(datagrams)
            self._receiver.datagrams_received(datagrams, now)
        if self._marked and not self._closed:
            marked, self._marked = self._marked, []
            self._busy_poll.heard(marked)
            self._receiver.datagrams_received(marked, now, ce=True)
        if failure is not None and not self._closed:
            self._loop.call_soon(self._watch)  # uvloop stops after this callback, not before
            self._receiver.error_received(failure)

    def _read(self, datagrams: list[tuple[bytes, Address]]) -> int:
        """One system call; returns what it takes out of the wake-up's budget."""
        if not self._plain:
            return self._read_joined(datagrams)
        if self._peer is not None:
            datagrams.append((self.sock.recv(MAX_DATAGRAM), self._peer))
        else:
            datagrams.append(self.sock.recvfrom(MAX_DATAGRAM))
        return max(len(datagrams[-1][0]), MIN_COST)

    def _read_joined(self, datagrams: list[tuple[bytes, Address]]) -> int:
        """As `_read`, with what the system says of it.

        With UDP_GRO that is one datagram, or several of one size, the last maybe shorter. What came
        with CE goes to `_marked` instead.
        """
        data, ancillary, flags, source = self.sock.recvmsg(MAX_DATAGRAM, self._space)
        if flags & _MSG_TRUNC:
            return MAX_DATAGRAM  # Cut off, so not UDP as we know it: no segment to be trusted.
        addr = self._peer or source
        size = 0
        for level, kind, value in ancillary:
            if level == SOL_UDP and kind == UDP_GRO:
                (size,) = _GRO_SIZE.unpack(value)
            elif self._field is not None and self._field.is_ce(kind, value):
                datagrams = self._marked
            elif level == _SOL_SOCKET and kind == SO_RXQ_OVFL:
                self._hint()
            elif self._locals is not None:
                self._locals.note(addr, level, kind, value)
        if not 0 < size < len(data):
            datagrams.append((data, addr))
            return max(len(data), MIN_COST)
        starts = range(0, len(data), size)
        datagrams.extend([(data[start : start + size], addr) for start in starts])
        return max(len(data), len(starts) * MIN_COST)

    def _hint(self) -> None:
        """Datagrams found the receive buffer full, and it would be larger if that were allowed."""
        global _hinted
        _count_overflows(self.sock, False)
        if not _hinted:
            _hinted = True
            logger.warning(
                "The kernel drops datagrams: a receive buffer of %d bytes is too small. Allow "
                "larger ones: sysctl -w net.core.rmem_max=%d",
                self.receive_buffer // 2,
                SOCKET_BUFFER,
            )

    # Sending

    def _push(
        self, pairs: Sequence[tuple[bytes, Buffer]], addr: Address | None, ect: bool
    ) -> int:
        fields: Ancillary = self._field.ect0 if ect and self._field is not None else ()
        if self._locals is not None:
            fields += self._locals.ancillary(addr)
        if len(pairs) == 1 or not self.gso or addr in self._gso_refused:
            return self._push_singly(pairs, 0, len(pairs), addr, fields)
        start = 0
        while start < len(pairs):
            end, size = _equal_run(pairs, start)
            if end - start == 1:
                done = self._push_singly(pairs, start, end, addr, fields)
            else:
                done = self._push_joined(pairs, start, end, size, addr, fields)
            if done < end:
                return done
            start = end
        return start

    def _push_singly(
        self,
        pairs: Sequence[tuple[bytes, Buffer]],
        start: int,
        end: int,
        addr: Address | None,
        fields: Ancillary,
    ) -> int:
        for index in range(start, end):
            try:
                self.sock.sendmsg(pairs[index], fields, 0, addr)
            except BlockingIOError:
                return index
            except OSError as exc:
                if not self._send_again(pairs[index], fields, addr, exc):
                    self.dropped += 1
        return end

    def _push_joined(
        self,
        pairs: Sequence[tuple[bytes, Buffer]],
        start: int,
        end: int,
        size: int,
        addr: Address | None,
        fields: Ancillary,
    ) -> int:
        """Send pairs[start:end], a run from _equal_run(), in one call; the system cuts it up."""
        buffers = list(chain.from_iterable(pairs[start:end]))
        cut: Ancillary = ((SOL_UDP, UDP_SEGMENT, _SEGMENT_SIZE.pack(size)), *fields)
        try:
            self.sock.sendmsg(buffers, cut, 0, addr)
        except BlockingIOError:
            return start
        except OSError as exc:
            if exc.errno not in (errno.EIO, errno.EINVAL):
                if not self._send_again(buffers, cut, addr, exc):
                    self.dropped += end - start
                return end
            # The route cannot cut (EIO: no checksum offload or IPsec), or a piece is bigger than
            # its MTU (EINVAL). Which one it is shows when the pieces are sent one by one.
            dropped = self.dropped
            done = self._push_singly(pairs, start, end, addr, fields)
            if self.dropped == dropped and done > start:
                self._refuse_gso(addr)
            return done
        return end

    def _send_again(
        self,
        buffers: Sequence[Buffer],
        ancillary: Ancillary,
        addr: Address | None,
        first: OSError,
    ) -> bool:
        """Return whether a send that failed gets through at the second attempt.

        A socket that hears ICMP answers a send with what was said about an earlier one, and sends
        nothing. Without this, forged ICMP errors could hold up a connection that they must not
        harm (RFC 5927). If the socket is not connected, the earlier one may have gone elsewhere.
        """
        if addr is not None and not self._hears:
            self._report(first, addr)
            return False
        self._report(first, None)
        try:
            self.sock.sendmsg(buffers, ancillary, 0, addr)
        except BlockingIOError:
            return False
        except OSError as exc:
            self._report(exc, addr)
            return False
        return True

    def _refuse_gso(self, addr: Address | None) -> None:
        if len(self._gso_refused) >= MAX_GSO_REFUSALS:
            self._gso_refused.clear()
        self._gso_refused.add(addr)

    def _block(self) -> None:
        self.blocked = True
        self._loop.add_writer(self._fd, self._on_writable)

    def _on_writable(self) -> None:
        if self._push_kept():
            self._loop.remove_writer(self._fd)
            self.blocked = False
            self._receiver.writable()


async def open_datagrams(
    loop: asyncio.AbstractEventLoop,
    sock: socket.socket,
    receiver: Receiver,
    clock: Callable[[], float] = time.monotonic,
    *,
    offload: bool = True,
    busy_poll: float = 0.0,
) -> DatagramLayer:
    """Put a socket to work in the way the loop allows.

    It comes from bind_socket(), connect_socket() or take_socket(), and belongs to what is returned
    from here on. If this raises or is cancelled, it is closed.
    """
    try:
        return Datagrams(loop, sock, receiver, clock, offload=offload, busy_poll=busy_poll)
    except NotImplementedError:
        return await open_loop_datagrams(loop, sock, receiver, clock)
    except BaseException:
        sock.close()
        raise


def _keep_memory() -> None:
    """See KEPT_MEMORY. The block is never touched, so it costs no memory."""
    global _keeps_memory
    if not _keeps_memory:
        _keeps_memory = True
        bytes(KEPT_MEMORY)


def _has_gso(sock: socket.socket) -> bool:
    """Whether the kernel knows UDP_SEGMENT (Linux 4.18)."""
    if sys.platform != "linux":
        return False
    try:
        sock.getsockopt(SOL_UDP, UDP_SEGMENT)
    except OSError:
        return False
    return True


def _switch_gro_on(sock: socket.socket) -> bool:
    """Let the kernel join datagrams (Linux 5.0). From here on only recvmsg() can read them."""
    if sys.platform != "linux":
        return False
    try:
        sock.setsockopt(SOL_UDP, UDP_GRO, 1)
    except OSError:
        return False
    return True


def _count_overflows(sock: socket.socket, on: bool) -> bool:
    """Have the kernel tell of what it drops because the receive buffer is full (Linux)."""
    if sys.platform != "linux":
        return False
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, on)
    except OSError:
        return False
    return True


def _equal_run(pairs: Sequence[tuple[bytes, Buffer]], start: int) -> tuple[int, int]:
    """The end of the run from `start` that one GSO send may carry, and the size of its datagrams.

    All are of one size, but the last may be shorter: the kernel cuts at multiples of the size.
    """
    header, payload = pairs[start]
    size = total = len(header) + len(payload)
    end = start + 1
    for header, payload in pairs[end : start + MAX_GSO_SEGMENTS]:
        length = len(header) + len(payload)
        total += length
        if length > size or total > MAX_GSO_BYTES:
            break
        end += 1
        if length < size:
            break
    return end, size
