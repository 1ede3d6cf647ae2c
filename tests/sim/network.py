"""A simulated network in virtual time: a heap of things to happen, and links that fail by seed.

A `Simulation` is a clock and a heap. A `Link` carries datagrams one way, at a rate, through a
drop-tail queue, with delay and jitter, and loses, overtakes, repeats and damages them as often as
its `Conditions` say. All chance comes from the `random.Random` it is given: the same seed, the same
datagrams, the same result.

Damage: the receiving UDP discards a datagram whose checksum is wrong, and so does this link. What
passes a UDP checksum and still is no segment of the connection is `junk`: bytes from a stranger,
headers cut short, options without an end.

Not here: who talks to whom, which is `pair`.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Final


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


@dataclass(frozen=True)
class Conditions:
    """What a link does to what it carries. Probabilities are for each datagram."""

    rate: float = math.inf
    """Bytes a second."""
    queue: int = 1 << 18
    """Bytes that may wait for the link; what comes then is dropped (drop-tail)."""
    mark: float = math.inf
    """Bytes that may wait before what comes, and can be marked, is marked."""
    delay: float = 0.01
    """Seconds from the link's end of sending to arrival."""
    jitter: float = 0.0
    """Most seconds of delay that come and go. Order is kept: this is a queue further on."""
    loss: float = 0.0
    reordering: float = 0.0
    duplication: float = 0.0
    corruption: float = 0.0
    junk: float = 0.0
    """How often something that is no segment of the connection arrives as well."""
    late: float = 0.05
    """Most seconds by which a reordered or repeated datagram comes after its time."""

    def healed(self) -> Conditions:
        """The same link without faults. What is slow stays slow."""
        return replace(self, loss=0.0, reordering=0.0, duplication=0.0, corruption=0.0, junk=0.0)


class Link:
    """One direction of a path. `deliver` gets each datagram that arrives."""

    def __init__(
        self,
        simulation: Simulation,
        random: Random,
        conditions: Conditions,
        deliver: Callable[[bytes], None],
    ) -> None:
        self.conditions = conditions
        self.carried = 0
        self.dropped = 0
        self.marked = 0
        self._simulation = simulation
        self._random = random
        self._deliver = deliver
        self._free_at = 0.0
        self._last_arrival = 0.0

    def heal(self) -> None:
        """From now on without faults."""
        self.conditions = self.conditions.healed()

    def send(self, datagram: bytes) -> None:
        """Carry `datagram`, or do to it what the conditions say."""
        link, random, now = self.conditions, self._random, self._simulation.now
        starts = max(now, self._free_at)
        if starts - now > link.queue / link.rate:
            self.dropped += 1
            return
        if isinstance(datagram, Markable) and starts - now > link.mark / link.rate:
            self.marked += 1
            datagram = Marked(datagram)
        self._free_at = starts + len(datagram) / link.rate
        arrival = self._free_at + link.delay + random.random() * link.jitter
        # A damaged datagram does not pass the receiver's UDP checksum (RFC 768).
        if random.random() < link.loss + link.corruption:
            self.dropped += 1
        elif random.random() < link.reordering:
            # It comes late, and does not hold up what was sent after it.
            self._arrive(arrival + random.random() * link.late, datagram)
        else:
            self._last_arrival = arrival = max(arrival, self._last_arrival)
            self._arrive(arrival, datagram)
        if random.random() < link.duplication:
            self._arrive(arrival + random.random() * link.late, datagram)
        if random.random() < link.junk:
            self._arrive(arrival, make_junk(random, datagram))

    def _arrive(self, moment: float, datagram: bytes) -> None:
        self.carried += 1
        self._simulation.at(moment, lambda: self._deliver(datagram))


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
