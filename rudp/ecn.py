"""The ECN field of the IP header, where a socket gives access to it (RFC 3168 section 5).

Linux hands the field of each datagram over as ancillary data, and takes that of a datagram to send
in the same way (ip(7), ipv6(7)). Elsewhere ECN is off: connections do not offer it.
"""

from __future__ import annotations

import socket
import struct
import sys
from typing import Final

from .local_addresses import Ancillary

# Linux, include/uapi/linux/in.h and in6.h. Python has no names for the first.
_IP_TOS: Final = 1
_IP_RECVTOS: Final = 13
_IPV6_RECVTCLASS: Final = 66
_IPV6_TCLASS: Final = 67
_INT: Final = struct.Struct("=i")

_LOWEST: Final = 0 if sys.byteorder == "little" else -1
_MASK: Final = 3
_ECT0: Final = 2
_CE: Final = 3


class EcnField:
    """How the field of one socket's datagrams is read and set."""

    def __init__(self, ipv6: bool) -> None:
        self._level = int(socket.IPPROTO_IPV6 if ipv6 else socket.IPPROTO_IP)
        self._kind = _IPV6_TCLASS if ipv6 else _IP_TOS
        self.space = socket.CMSG_SPACE(_INT.size)
        self.ect0: Ancillary = ((self._level, self._kind, _INT.pack(_ECT0)),)
        """What goes with a datagram that routers may mark instead of dropping it."""

    def is_ce(self, kind: int, value: bytes) -> bool:
        """This ancillary data says that a router has marked the datagram: congestion ahead.

        Asked for each datagram. No other kind of ancillary data that we ask for has this number.
        """
        # IPv4 gives a byte, IPv6 an int.
        return kind == self._kind and value[_LOWEST] & _MASK == _CE


def ecn_field(sock: socket.socket) -> EcnField | None:
    """Have `sock` tell the field of what it receives; None where it cannot."""
    if sys.platform != "linux":
        return None
    ipv6 = sock.family == socket.AF_INET6
    try:
        if ipv6:
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVTCLASS, 1)
        elif sock.family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_IP, _IP_RECVTOS, 1)
        else:
            return None
    except OSError:
        return None
    return EcnField(ipv6)
