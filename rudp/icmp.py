"""What ICMP says of datagrams that an unconnected socket has sent: its error queue (Linux).

A connected socket hears ICMP's errors by itself, since they can only be about its peer. One that is
not hears nothing, unless IP_RECVERR is set; then each error waits in a queue of the socket, with
the address that the datagram had gone to. The price: whatever is done with the socket next fails
once with the error, whomever it was about.

See ip(7), IP_RECVERR; RFC 1122 section 4.1.3.3 (errors are passed to the application).
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from typing import Any, Final

from .sockets import Address

# Linux, include/uapi/linux/in.h and in6.h: (level, option) for each family.
_RECVERR: Final[dict[int, tuple[int, int]]] = {
    int(socket.AF_INET): (int(socket.IPPROTO_IP), 11),
    int(socket.AF_INET6): (int(socket.IPPROTO_IPV6), 25),
}
_EXTENDED_ERROR: Final = struct.Struct("=IBBBBII")  # include/uapi/linux/errqueue.h
_SPACE: Final = 512  # for the error, the address of the router, and the fields of the IP header

MAX_ERRORS: Final = 64
"""Errors that are taken out of the queue at a time."""


def hear_errors(sock: socket.socket) -> bool:
    """From now on `sock` keeps what ICMP says of its datagrams. False where it cannot."""
    if sys.platform != "linux" or int(sock.family) not in _RECVERR:
        return False
    try:
        sock.setsockopt(*_RECVERR[int(sock.family)], 1)
    except OSError:
        return False
    return True


def read_errors(sock: socket.socket) -> list[tuple[OSError, Address]]:
    """What ICMP has said since the last time: each error, and where the datagram had gone to."""
    found: list[tuple[OSError, Address]] = []
    for _ in range(MAX_ERRORS):
        try:
            _, ancillary, _, addr = sock.recvmsg(0, _SPACE, socket.MSG_ERRQUEUE)
        except OSError:
            break  # it is empty
        number = _errno(ancillary)
        if number and addr:
            found.append((OSError(number, os.strerror(number)), addr))
    return found


def _errno(ancillary: list[tuple[int, int, bytes]]) -> int:
    for level, kind, value in ancillary:
        if (level, kind) in _RECVERR.values() and len(value) >= _EXTENDED_ERROR.size:
            fields: tuple[Any, ...] = _EXTENDED_ERROR.unpack_from(value)
            return int(fields[0])
    return 0
