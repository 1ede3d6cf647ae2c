"""Where a connection may go, and how large its segments may be there (RFC 9293 3.7.1)."""

from __future__ import annotations

import errno
import functools
import ipaddress
import socket
import sys
from typing import Final

from rudp.core.codec import HEADER
from rudp.core.pmtud import BASE_MSS, PathMtu
from rudp.datagrams import Address, path_mtu
from rudp.sockets import MAX_PACKET

UDP_HEADER: Final = 8

UNKNOWN_MTU: Final = 1280
"""Taken where the system does not tell the route's MTU: what every IPv6 path carries."""

MAX_HOSTS: Final = 1024
"""Hosts that are remembered: whoever forges addresses must not make this grow."""


class Routes:
    """The routes of one address family, as the system knows them."""

    def __init__(self, family: int, discovery: bool) -> None:
        """`discovery`: what a path really carries is found out by probes (`core.pmtud`)."""
        self._family = family
        # Only Linux is told never to fragment, and what is fragmented says nothing of the path.
        self._discovery = discovery and sys.platform == "linux"
        ipv6 = family == socket.AF_INET6
        self._overhead = (40 if ipv6 else 20) + UDP_HEADER + HEADER
        self.default_mss = 1220 if ipv6 else 536  # of a peer that announces none (MUST-15)
        self._mtus: dict[object, int] = {}
        self._found: dict[object, int] = {}

    def forget(self, addr: Address) -> None:
        """What was known of the way to `addr` is out of date."""
        self._mtus.pop(addr[0], None)

    def mss(self, addr: Address, connected: socket.socket | None = None) -> int:
        """What the route to `addr` leaves for TCP payload and options, in bytes.

        `connected`: a UDP socket that is connected to `addr` already, if there is one.
        """
        host = addr[0]
        mtu = self._mtus.get(host)
        if mtu is None:
            mtu = path_mtu(self._family, addr, connected)
            if mtu is None:
                return UNKNOWN_MTU - self._overhead  # it may tell the next time
            if len(self._mtus) >= MAX_HOSTS:
                self._mtus.clear()
            self._mtus[host] = mtu
        return mtu - self._overhead

    def path_mss(self, addr: Address) -> int:
        """What the path to `addr` is known to carry of `mss`; 0: there is nothing to find out.

        To be asked after `mss`. Only this host itself is reached by a route of MAX_PACKET, and
        on the way there is no router.
        """
        host = addr[0]
        if not self._discovery or self._mtus.get(host) == MAX_PACKET:
            return 0
        return self._found.get(host, BASE_MSS)

    def learn(self, addr: Address, path: PathMtu | None) -> None:
        """A connection to `addr` has ended: what it has found out is where the next begins."""
        if path is not None and path.found:
            if len(self._found) >= MAX_HOSTS:
                self._found.clear()
            self._found[addr[0]] = path.found


def refuse_group(host: str) -> None:
    """RFC 9293 section 3.9.1.1, MUST-46: no OPEN to a broadcast or multicast address."""
    if _is_group(host):
        raise OSError(errno.ENETUNREACH, f"cannot connect to {host}: it is not a single host")


@functools.lru_cache(MAX_HOSTS)
def _is_group(host: str) -> bool:
    address = ipaddress.ip_address(host.partition("%")[0])
    return address.is_multicast or str(address) == "255.255.255.255"
