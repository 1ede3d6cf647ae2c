"""From which of our addresses to answer.

A socket that is bound to all addresses of a host sends from the one that the kernel prefers for the
route. A peer that asked another one would not know the answer: its own socket is connected. So the
kernel is asked to which address each datagram came, and told from which the answers go (Linux:
IP_PKTINFO, ip(7); RFC 3542 section 6.2).
"""

from __future__ import annotations

import socket
import struct
import sys
from typing import Final

from .sockets import Address

# Linux, include/uapi/linux/in.h and in6.h: option, and struct in_pktinfo or in6_pktinfo.
_IP_PKTINFO: Final = 8
_IPV6_RECVPKTINFO: Final = 49
_IPV6_PKTINFO: Final = 50
_PKTINFO: Final = struct.Struct("=i4s4s")  # interface, local address, destination in the header
_PKTINFO6: Final = struct.Struct("=16si")  # local address, interface

MAX_PEERS: Final = 16384
"""Peers whose way in is remembered; the oldest makes room, and comes back with its next word."""

Ancillary = tuple[tuple[int, int, bytes], ...]


class LocalAddresses:
    """To which of our addresses each peer speaks, by the peer's address."""

    def __init__(self, family: int) -> None:
        self._ipv6 = family == socket.AF_INET6
        self._kind = _IPV6_PKTINFO if self._ipv6 else _IP_PKTINFO
        self._level = socket.IPPROTO_IPV6 if self._ipv6 else socket.IPPROTO_IP
        self._answers: dict[Address, Ancillary] = {}
        self.space = socket.CMSG_SPACE((_PKTINFO6 if self._ipv6 else _PKTINFO).size)

    def note(self, addr: Address, level: int, kind: int, value: bytes) -> None:
        """A datagram from `addr` came with this ancillary data."""
        if level != self._level or kind != self._kind:
            return
        if not self._ipv6:
            _, local, _ = _PKTINFO.unpack(value)
            value = _PKTINFO.pack(0, local, bytes(4))
        known = self._answers.get(addr)
        if known is not None and known[0][2] == value:
            return
        if known is None and len(self._answers) >= MAX_PEERS:
            del self._answers[next(iter(self._answers))]
        self._answers[addr] = ((self._level, self._kind, value),)

    def ancillary(self, addr: Address | None) -> Ancillary:
        """What has to go with a datagram to `addr`."""
        return self._answers.get(addr, ()) if addr is not None else ()


def local_addresses(sock: socket.socket) -> LocalAddresses | None:
    """For a socket that is bound to all addresses, where the system can tell; else None."""
    if sys.platform != "linux" or sock.getsockname()[0] not in ("0.0.0.0", "::"):
        return None
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    return LocalAddresses(sock.family)
