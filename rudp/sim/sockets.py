"""A UDP socket of a simulated host, and the asyncio transport over it.

`Socket` has of `socket.socket` what can be asked of a UDP socket without sending by it; what sends
and receives is `DatagramTransport`, which `loop.create_datagram_endpoint` makes.
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
import os
import socket as system
from typing import TYPE_CHECKING, Any, Final

from rudp.sim.network import HEADERS

if TYPE_CHECKING:
    from rudp.sim.hosts import Host

Address = tuple[Any, ...]

DEFAULT_BUFFER: Final = 212_992
"""SO_RCVBUF and SO_SNDBUF of a socket that has not asked for more, in bytes."""

_MTU_OPTIONS: Final = ((system.IPPROTO_IP, 14), (system.IPPROTO_IPV6, 24))  # as on Linux
_PER_DATAGRAM: Final = 256
"""Bytes that a datagram takes of a receive buffer beside its own."""


class Socket:
    """A UDP socket. Made by the loop's `make_socket`, on the host whose program asks for it."""

    type = system.SOCK_DGRAM
    proto = system.IPPROTO_UDP

    def __init__(self, host: Host, family: int) -> None:
        self.host = host
        self.family = system.AddressFamily(family)
        self.version = 6 if family == system.AF_INET6 else 4
        self.transport: DatagramTransport | None = None
        self._options: dict[tuple[int, int], int] = {}
        self._local: Address = ("::" if self.version == 6 else "0.0.0.0", 0)
        self._peer: Address | None = None
        self._closed = False
        self._unread = 0  # bytes of the receive buffer that are taken

    # -- socket.socket's -------------------------------------------------------------------------

    def bind(self, address: Address) -> None:
        host, port = address[0] or self._local[0], address[1]
        if not self.host.has(host):
            raise _os_error(errno.EADDRNOTAVAIL)
        self._local = (host, self.host.take_port(self, port, self.shares))

    def connect(self, address: Address) -> None:
        self._target(address)
        if not self._local[1]:
            self.bind((self._local[0], 0))
        self._peer = (address[0], address[1])
        self._local = (self.name_towards(address)[0], self._local[1])

    def getsockname(self) -> Address:
        return self._named(self._local)

    def getpeername(self) -> Address:
        if self._peer is None:
            raise _os_error(errno.ENOTCONN)
        return self._named(self._peer)

    def setsockopt(self, level: int, option: int, value: int) -> None:
        self._options[level, option] = value

    def getsockopt(self, level: int, option: int, buflen: int = 0) -> int:
        if (level, option) in _MTU_OPTIONS and self._peer is not None:
            return self.host.network.mtu(self.host, self._target(self._peer))
        buffers = (system.SO_RCVBUF, system.SO_SNDBUF)
        default = DEFAULT_BUFFER if level == system.SOL_SOCKET and option in buffers else 0
        return self._options.get((level, option), default)

    def setblocking(self, flag: bool) -> None:
        """Nothing ever waits here."""

    def fileno(self) -> int:
        """-1: there is no file descriptor."""
        return -1

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            if self._local[1]:
                self.host.leave_port(self, self._local[1])

    def __enter__(self) -> Socket:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Socket {self.host.name} {self._local} to {self._peer}>"

    # -- for the network -------------------------------------------------------------------------

    @property
    def shares(self) -> bool:
        """SO_REUSEPORT."""
        option = getattr(system, "SO_REUSEPORT", -1)
        return bool(self._options.get((system.SOL_SOCKET, option)))

    def name_towards(self, address: Address) -> Address:
        """The address that `address` sees us by."""
        host = self._local[0]
        if host in ("0.0.0.0", "::"):
            if address[0] in ("127.0.0.1", "::1"):
                host = address[0]
            else:
                host = self.host.ipv6 if self.version == 6 else self.host.ipv4
        return self._named((host, self._local[1]))

    def takes(self, address: Address, sender: Address) -> bool:
        """It is open to what `sender` sends to `address`."""
        if self.transport is None or self._local[0] not in (address[0], "0.0.0.0", "::"):
            return False
        return self._peer is None or self._peer == sender[:2]

    def receive(self, payload: bytes, sender: Address) -> bool:
        """A datagram has come; False if the receive buffer is full."""
        size = len(payload) + _PER_DATAGRAM
        limit = self.getsockopt(system.SOL_SOCKET, system.SO_RCVBUF)
        if self.transport is None or self._unread + size > limit:
            return False
        self._unread += size
        self.transport.call_soon(self._hand_over, payload, sender, size)
        return True

    def _hand_over(self, payload: bytes, sender: Address, size: int) -> None:
        self._unread -= size
        if self.transport is not None and not self._closed:
            self.transport.protocol.datagram_received(payload, sender)

    def hear_too_big(self, address: Address, mtu: int) -> None:
        """ICMP: a packet to `address` did not fit. What is sent next meets EMSGSIZE."""
        target = self._target(address)
        known = self.host.network.mtu(self.host, target)
        self.host.known_mtus[target.name] = min(known, mtu)
        if self._peer is not None:
            self._hear(_os_error(errno.EMSGSIZE))

    def hear_refused(self, address: Address) -> None:
        """ICMP: nobody has that port. Only a connected socket is told."""
        if self._peer == address[:2]:
            self._hear(_os_error(errno.ECONNREFUSED))

    def _hear(self, error: OSError) -> None:
        if self.transport is not None and not self._closed:
            self.transport.call_soon(self.transport.protocol.error_received, error)

    def vanish(self) -> None:
        """The host has crashed."""
        self.close()
        self.transport = None

    def send(self, payload: bytes, address: Address | None) -> None:
        """Send a datagram to `address`, or to the peer that the socket is connected to."""
        if self._closed:
            raise _os_error(errno.EBADF)
        if address is None:
            address = self._peer
        if address is None:
            raise _os_error(errno.EDESTADDRREQ)
        target = self._target(address)
        if not self._local[1]:
            self.bind((self._local[0], 0))
        if len(payload) + HEADERS[self.version] > self.host.network.mtu(self.host, target):
            raise _os_error(errno.EMSGSIZE)  # nothing is ever fragmented
        self.host.network.send(self, payload, target, address)

    def _target(self, address: Address) -> Host:
        if (":" in address[0]) != (self.version == 6):
            raise _os_error(errno.EAFNOSUPPORT)
        if address[0] in ("127.0.0.1", "::1"):
            return self.host
        target = self.host.network.host_at(address[0])
        if target is None:
            raise _os_error(errno.ENETUNREACH)
        return target

    def _named(self, address: Address) -> Address:
        return (address[0], address[1], 0, 0) if self.version == 6 else address[:2]


class DatagramTransport(asyncio.DatagramTransport):
    """What `loop.create_datagram_endpoint` returns. Sending never has to wait: links drop."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sock: Socket, protocol: asyncio.DatagramProtocol
    ) -> None:
        super().__init__()
        self.protocol = protocol
        self._loop = loop
        self._sock = sock
        self._context = contextvars.copy_context()
        self._closing = False
        sock.transport = self

    def call_soon(self, callback: Any, *args: Any) -> None:
        """Call the protocol from the loop, for the program that made the transport."""
        self._loop.call_soon(callback, *args, context=self._context)

    def sendto(self, data: Any, addr: Any = None) -> None:
        if self._closing:
            return
        try:
            self._sock.send(bytes(data), addr)
        except OSError as exc:
            self.protocol.error_received(exc)

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "socket":
            return self._sock
        if name == "sockname":
            return self._sock.getsockname()
        if name == "peername" and self._sock._peer is not None:
            return self._sock.getpeername()
        return default

    def is_closing(self) -> bool:
        return self._closing

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.DatagramProtocol)
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._sock.close()
            self._sock.transport = None
            self.call_soon(self.protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()


def _os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
