"""Make the UDP sockets that datagrams.py puts to work, and ask the system about the route.

Every socket that leaves here is non-blocking, has the largest buffers the kernel grants, and (on
Linux) sends with DF set, so that nothing of ours is ever fragmented: a datagram too big for the
path is refused with EMSGSIZE instead, which is what path MTU discovery needs (RFC 8899 section 4.1,
RFC 8085 section 3.2).

Nothing here waits for anything: addresses are numeric, as getaddrinfo() gives them.
"""

from __future__ import annotations

import socket
import sys
from typing import Any

from .surroundings import make_socket

__all__ = ["Address", "bind_socket", "connect_socket", "path_mtu", "take_socket"]

Address = tuple[Any, ...]
"""What the socket module calls an address: (host, port), or (host, port, flow info, scope id) for
IPv6."""

SOCKET_BUFFER = 4 * 1024 * 1024
"""Bytes asked for in each direction. The kernel grants what its own limits allow."""

MIN_SOCKET_BUFFER = 64 * 1024
"""Bytes below which it is not worth asking: every system gives more than that by default."""

MAX_PACKET = 65535
"""The largest IPv4 packet, header included (RFC 791 section 3.1: Total Length has 16 bits)."""

# Linux, include/uapi/linux/in.h and in6.h: (level, option) for each family. Python has names for
# few of them.
_LINUX = sys.platform == "linux"
MTU_DISCOVER = {
    socket.AF_INET: (socket.IPPROTO_IP, 10),
    socket.AF_INET6: (socket.IPPROTO_IPV6, 23),
}
_MTU = {
    socket.AF_INET: (socket.IPPROTO_IP, 14),
    socket.AF_INET6: (socket.IPPROTO_IPV6, 24),
}
PMTUDISC_DO = 2


def bind_socket(family: int, addr: Address, reuse_port: bool | None = None) -> socket.socket:
    """A UDP socket bound to a local address; port 0 lets the system choose.

    An IPv6 socket takes IPv6 only, as those of asyncio's create_server() do, so that 0.0.0.0 and ::
    can be bound side by side. SO_REUSEADDR is never set: on UDP it would let another program share
    the port. Raises OSError (EADDRINUSE, ...), and ValueError if reuse_port is asked for where
    there is no such thing.
    """
    sock = _make_socket(family)
    try:
        if reuse_port:
            _reuse_port(sock)
        _bind(sock, addr)
        _prepare(sock)
    except BaseException:
        sock.close()
        raise
    return sock


def connect_socket(family: int, remote: Address, local: Address | None = None) -> socket.socket:
    """A UDP socket that sends to, and receives from, `remote` only; from `local` if that is given.

    Nothing is sent: connecting a UDP socket fixes its peer and looks up the route. What it buys is
    that a dead port is reported (ECONNREFUSED) instead of being silent. Raises OSError
    (ENETUNREACH, ...).
    """
    sock = _make_socket(family)
    try:
        if local is not None:
            _bind(sock, local)
        sock.connect(remote)
        _prepare(sock)
    except BaseException:
        sock.close()
        raise
    return sock


def take_socket(sock: socket.socket) -> socket.socket:
    """Make a socket that the user brought ready for use, and return it.

    Bound and connected it stays as it is. Raises ValueError if it is no UDP socket; it is the
    user's to close then.
    """
    if sock.type != socket.SOCK_DGRAM or sock.family not in (socket.AF_INET, socket.AF_INET6):
        raise ValueError(
            "sock= must be a UDP socket: rudp carries its connections over UDP. Make it with "
            f"socket.socket(socket.AF_INET or AF_INET6, socket.SOCK_DGRAM); this one is {sock!r}"
        )
    _prepare(sock)
    return sock


def path_mtu(
    family: int, addr: Address, connected: socket.socket | None = None
) -> int | None:
    """The MTU (bytes, IP header included) of the route to `addr`; None if the system cannot tell.

    What the kernel knows now: the interface's MTU, or less if routers have complained. The path may
    still be narrower. `connected`, a socket that is connected to `addr` already, can be asked at
    once.
    Loopback's 65536 is given as 65535, because no packet can be larger.
    """
    if not _LINUX or family not in _MTU:
        return None
    option = _MTU[socket.AddressFamily(family)]
    try:
        if connected is not None:
            return min(connected.getsockopt(*option), MAX_PACKET)
        with make_socket(family) as sock:
            sock.setblocking(False)
            sock.connect(addr)
            return min(sock.getsockopt(*option), MAX_PACKET)
    except OSError:
        return None


def _make_socket(family: int) -> socket.socket:
    sock = make_socket(family)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return sock


def _bind(sock: socket.socket, addr: Address) -> None:
    try:
        sock.bind(addr)
    except OSError as exc:
        reason = (exc.strerror or str(exc)).lower()
        raise OSError(
            exc.errno, f"error while attempting to bind on address {addr!r}: {reason}"
        ) from None


def _reuse_port(sock: socket.socket) -> None:
    if not hasattr(socket, "SO_REUSEPORT"):
        raise ValueError(
            "reuse_port is not supported by this system: leave it out, or use another port"
        )
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def _prepare(sock: socket.socket) -> None:
    sock.setblocking(False)
    _enlarge(sock, socket.SO_RCVBUF)
    _enlarge(sock, socket.SO_SNDBUF)
    if _LINUX and sock.family in MTU_DISCOVER:
        sock.setsockopt(*MTU_DISCOVER[sock.family], PMTUDISC_DO)


def _enlarge(sock: socket.socket, option: int) -> None:
    """Ask for SOCKET_BUFFER bytes. Linux grants what it can; the BSDs refuse what they cannot."""
    size = SOCKET_BUFFER
    while size > max(MIN_SOCKET_BUFFER, sock.getsockopt(socket.SOL_SOCKET, option)):
        try:
            sock.setsockopt(socket.SOL_SOCKET, option, size)
            return
        except OSError:
            size //= 2
