"""Hosts and the paths between them: where the datagrams of a simulation go.

Each host has an IPv4 and an IPv6 address, and a name that `getaddrinfo` knows. Between any two
there is a path, two `Link`s, one each way; a host reaches itself without one. A program belongs to
the host that started it, and so do the tasks and the sockets that it makes.

    sendto -> Network.send -> Link.carry -> Network._arrive -> Socket.receive -> datagram_received

Not here: what a socket is, which is `sockets`; what runs on a host, which is `hosts`.
"""

from __future__ import annotations

import contextvars
import hashlib
from collections import deque
from collections.abc import Callable, Iterable
from random import Random
from typing import TYPE_CHECKING, Final

from rudp.sim.conditions import Conditions, Link
from rudp.sim.hosts import Host
from rudp.sim.loop import SimulationError

if TYPE_CHECKING:
    from rudp.sim.simulation import World
    from rudp.sim.sockets import Address, Socket

HEADERS: Final = {4: 20 + 8, 6: 40 + 8}
"""Bytes of IP and UDP header."""

TRACE_LINES: Final = 200


class Network:
    """The hosts of a simulation. Made by `Simulation`; the scenario gets it."""

    def __init__(self, loop: World, seed: int, conditions: Conditions) -> None:
        self.loop = loop
        self.seed = seed
        self.random = Random(seed)
        """For the scenario: chance that comes again with the seed."""
        self.hosts: dict[str, Host] = {}
        self.conditions = conditions
        """Of every path that `link` has said nothing of."""
        self.trace: deque[str] = deque(maxlen=TRACE_LINES)
        """The last that happened to datagrams, a line for each."""
        self.datagrams = 0
        self._links: dict[tuple[Host, Host], Link] = {}
        self._by_address: dict[str, Host] = {}
        self._parts: list[set[Host]] = []  # who is in one of these reaches only who is in the same
        self._digest = hashlib.blake2b(digest_size=16)
        self._outside = contextvars.copy_context()  # what is on its way belongs to no process

    # -- for the scenario ------------------------------------------------------------------------

    def host(self, name: str) -> Host:
        """The host of that name, a new one if there is none yet."""
        if name not in self.hosts:
            made = Host(self, name, len(self.hosts) + 1)
            self.hosts[name] = made
            self._by_address[made.ipv4] = self._by_address[made.ipv6] = made
        return self.hosts[name]

    def link(
        self, a: Host, b: Host, conditions: Conditions, back: Conditions | None = None
    ) -> tuple[Link, Link]:
        """Let the path from `a` to `b` have these conditions from now on, and that back `back` or
        the same."""
        links = self._link(a, b), self._link(b, a)
        links[0].conditions = conditions
        links[1].conditions = back or conditions
        return links

    def partition(self, *parts: Iterable[Host]) -> None:
        """Cut the network: no host of one part reaches one of another, until `heal`.

        A host that is in no part reaches all. What is on its way is lost.
        """
        self._parts = [set(part) for part in parts]

    def heal(self) -> None:
        """End a partition, and all faults of all links. What is slow stays slow."""
        self._parts = []
        self.conditions = self.conditions.healed()
        for link in self._links.values():
            link.conditions = link.conditions.healed()

    @property
    def trace_hash(self) -> str:
        """A digest of every datagram there was, when, and what became of it."""
        return self._digest.hexdigest()

    # -- for sockets -----------------------------------------------------------------------------

    @property
    def now(self) -> float:
        return self.loop.time()

    def at(self, moment: float, action: Callable[[], None]) -> None:
        self.loop.call_at(moment, action, context=self._outside)

    def host_at(self, address: str) -> Host | None:
        return self._by_address.get(address)

    def mtu(self, source: Host, target: Host) -> int:
        """Bytes of the largest packet that a host knows to be possible on that way."""
        if source is target:
            return 65535
        return source.known_mtus.get(target.name, source.mtu)

    def send(self, socket: Socket, payload: bytes, target: Host, address: Address) -> None:
        """Carry a datagram to `address` at `target`."""
        source = socket.host
        sender = socket.name_towards(address)
        if source is target:
            self._say("loops back", sender, address, payload)
            self.at(self.now, lambda: self._arrive(socket, payload, target, sender, address))
            return
        link = self._link(source, target)
        size = len(payload) + HEADERS[socket.version]
        conditions = link.conditions
        if size > conditions.mtu:
            self._say("is too large", sender, address, payload)
            if not conditions.black_hole:
                # RFC 1191 section 4: a router says what would have fitted.
                self.at(
                    self.now + 2 * conditions.delay,
                    lambda: socket.hear_too_big(address, conditions.mtu),
                )
        elif self._cut(source, target):
            self._say("is cut off", sender, address, payload)
        else:
            sent = link.carry(
                size, lambda: self._arrive(socket, payload, target, sender, address)
            )
            self._say("is sent" if sent else "is lost", sender, address, payload)

    def _arrive(
        self, origin: Socket, payload: bytes, target: Host, sender: Address, address: Address
    ) -> None:
        if not target.up or self._cut(origin.host, target):
            self._say("is lost", sender, address, payload)
            return
        receiver = target.socket_for(address, sender)
        if receiver is not None:
            taken = receiver.receive(payload, sender)
            self._say("arrives" if taken else "finds no room", sender, address, payload)
            return
        self._say("finds nobody", sender, address, payload)

        def refuse() -> None:
            # RFC 1122 section 4.1.3.1: ICMP port unreachable.
            if not self._cut(target, origin.host):
                origin.hear_refused(address)

        if origin.host is target:
            self.at(self.now, refuse)
        else:
            self._link(target, origin.host).carry(56, refuse)

    def _link(self, source: Host, target: Host) -> Link:
        if source is target:
            raise SimulationError(f"{source!r} reaches itself without a link")
        if (source, target) not in self._links:
            # Chance of its own for each link: what happens on one changes nothing on another.
            random = Random(f"{self.seed} {source.name} {target.name}")
            self._links[source, target] = Link(self, random, self.conditions)
        return self._links[source, target]

    def _cut(self, source: Host, target: Host) -> bool:
        inside = [(source in part, target in part) for part in self._parts]
        placed = any(one for one, _ in inside) and any(other for _, other in inside)
        return placed and not any(one and other for one, other in inside)

    def _say(self, what: str, source: Address, target: Address, payload: bytes) -> None:
        self.datagrams += what not in ("arrives", "finds no room", "finds nobody")
        line = (
            f"{self.now:14.9f}  {source[0]}:{source[1]} > {target[0]}:{target[1]}"
            f"  {len(payload):5} bytes  {what}"
        )
        self.trace.append(line)
        self._digest.update(line.encode() + payload)
