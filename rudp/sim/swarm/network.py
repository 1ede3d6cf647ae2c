"""The simplest network in virtual time: a heap of things to happen, and `rudp.sim`'s links.

A `Simulation` is a clock and a heap. To what the links of `rudp.sim` do, these add what a pair of
cores can bear: they mark (RFC 3168) or swallow what could be marked, they swallow what is large,
they can be cut for a while, and they bring `junk`, which passes a UDP checksum and still is no
segment of the connection: bytes from a stranger, headers cut short, options without an end.

Not here: who talks to whom, which is `pair`.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Final, Self

from rudp import sim


class Simulation:
    """Virtual time. Things happen in the order of their moments, and of their booking at the same
    one."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._booked = 0

    def at(self, moment: float, action: Callable[[], None]) -> None:
        """Book `action` for `moment`, or for now if that has passed."""
        heapq.heappush(self._heap, (max(moment, self.now), self._booked, action))
        self._booked += 1

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Book `action` for `seconds` from now."""
        self.at(self.now + seconds, action)

    def next_moment(self) -> float:
        """When the next thing happens; infinity if nothing does."""
        return self._heap[0][0] if self._heap else math.inf

    def step(self) -> bool:
        """Let the next thing happen. False if there is none."""
        if not self._heap:
            return False
        self.now, _, action = heapq.heappop(self._heap)
        action()
        return True


class Markable(bytes):
    """A datagram whose IP header says ECT(0): the sender knows what a mark means (RFC 3168)."""


class Marked(bytes):
    """The same datagram after a router has put CE there."""


@dataclass(frozen=True, kw_only=True)
class Conditions(sim.Conditions):
    """A link, with a few more things that it may do."""

    mark: float = math.inf
    """Bytes that may wait before what comes, and can be marked, is marked."""
    swallows_ect: bool = False
    """What could be marked vanishes, as on paths that take these bits for something else."""
    largest: int = 1 << 16
    """Bytes of the largest datagram that it carries; what is larger vanishes."""
    junk: float = 0.0
    """How often something that is no segment of the connection arrives as well."""

    def healed(self) -> Self:
        return replace(super().healed(), junk=0.0)


class Link(sim.Link):
    """One direction of a path. `deliver` gets each datagram that arrives."""

    conditions: Conditions

    def __init__(
        self,
        simulation: Simulation,
        random: Random,
        conditions: Conditions,
        deliver: Callable[[bytes], None],
    ) -> None:
        super().__init__(simulation, random, conditions)
        self.marked = 0
        self.cut = False
        """Nothing gets through."""
        self._simulation = simulation
        self._deliver = deliver

    def heal(self) -> None:
        """From now on without faults."""
        self.conditions = self.conditions.healed()
        self.cut = False

    def send(self, datagram: bytes) -> None:
        """Carry `datagram`, or do to it what the conditions say."""
        link = self.conditions
        if hole := self._hole(datagram):
            self.dropped += 1
            self.faults[hole] += 1
            return
        full = self.waiting > link.queue / link.rate
        if not full and isinstance(datagram, Markable) and self.waiting > link.mark / link.rate:
            self.marked += 1
            datagram = Marked(datagram)
        self.carry(len(datagram), lambda: self._deliver(datagram))
        if not full and self._random.random() < link.junk:
            self.faults["junk"] += 1
            junk = make_junk(self._random, datagram)
            self._book(self._free_at + link.delay, lambda: self._deliver(junk))

    def _hole(self, datagram: bytes) -> str:
        """Why `datagram` gets no further than this; empty if it does."""
        link = self.conditions
        if self.cut:
            return "cut off"
        if len(datagram) > link.largest:
            return "too large"
        return "swallowed for ECT" if link.swallows_ect and isinstance(datagram, Markable) else ""


_HEADER: Final = 20


def make_junk(random: Random, datagram: bytes) -> bytes:
    """Something like `datagram`, or not at all like it, that no connection may take for its own."""
    kind = random.randrange(5)
    if kind == 0:  # Anything, but not with our ports.
        noise = bytearray(random.randbytes(random.randrange(100)))
        noise[:4] = bytes(min(4, len(noise)))
        return bytes(noise)
    if kind == 1:  # Cut within the header.
        return datagram[: random.randrange(_HEADER)]
    header = bytearray(datagram[:_HEADER])
    if kind == 2:  # A data offset that cannot be.
        header[12] = random.choice((0x00, 0x40, 0xF0))
        return bytes(header)
    # An option that runs past the end of the header, or whose length cannot be.
    header[12] = 0x60
    option = bytes((random.choice((2, 3, 4, 5, 8, 30, 254)), random.choice((0, 1, 9, 255)), 1, 1))
    if kind == 3:
        return bytes(header) + option
    header[12] = 0x70
    return bytes(header) + b"\x01" * 3 + option + b"\x08"
