"""What a simulated link does to what it carries: `Conditions`, and `Link`, which does it.

A link goes one way. Datagrams wait for it in a drop-tail queue, take their time at its rate, and
then its delay. On the way they are lost, overtaken, repeated and damaged as often as the
`Conditions` say. All chance comes from the `random.Random` that the link is given.

Not here: who sends what to whom, which is `network`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Protocol, Self


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """A link, for better or worse. Probabilities are for each datagram.

    Raises `ValueError` naming the field that cannot be. `dataclasses.replace` varies it.
    """

    rate: float = math.inf
    """Bytes a second."""
    queue: int = 1 << 18
    """Bytes that may wait for the link; what comes then is dropped (drop-tail)."""
    delay: float = 0.01
    """Seconds from the link's end of sending to arrival."""
    jitter: float = 0.0
    """Most seconds of delay that come and go. Order is kept: this is a queue further on."""
    mtu: int = 1500
    """Bytes of the largest IP packet."""
    black_hole: bool = False
    """What exceeds the MTU vanishes. Without it the sender hears of it (ICMP, EMSGSIZE)."""
    loss: float = 0.0
    loss_burst: float = 1.0
    """Datagrams that a spell of losses lasts on average, with `loss` of all lost in the long run
    (Gilbert-Elliott). 1: each on its own."""
    reordering: float = 0.0
    duplication: float = 0.0
    corruption: float = 0.0
    """Damage. The receiver's UDP checksum finds it (RFC 768), so the datagram is lost."""
    late: float = 0.05
    """Most seconds by which a reordered or repeated datagram comes after its time."""

    def __post_init__(self) -> None:
        for each in ("loss", "reordering", "duplication", "corruption"):
            if not 0 <= getattr(self, each) <= 1:
                raise ValueError(f"{each} has to be from 0 to 1, not {getattr(self, each)!r}")
        for each in ("queue", "delay", "jitter", "late"):
            if not getattr(self, each) >= 0:
                raise ValueError(f"{each} has to be 0 or more, not {getattr(self, each)!r}")
        if not self.rate > 0:
            raise ValueError(f"rate has to be more than 0 bytes a second, not {self.rate!r}")
        if not self.mtu >= 576:
            raise ValueError(f"mtu has to be 576 bytes or more, not {self.mtu!r}")
        if not self.loss_burst >= 1:
            raise ValueError(f"loss_burst has to be 1 datagram or more, not {self.loss_burst!r}")
        most = self.loss_burst / (1 + self.loss_burst)  # one datagram gets through in between
        if self.loss_burst > 1 and self.loss > most:
            raise ValueError(
                f"loss has to be {most:.3f} or less for bursts of {self.loss_burst:g}, "
                f"not {self.loss!r}"
            )

    def healed(self) -> Self:
        """The same link without faults. What is slow stays slow, what is narrow narrow."""
        return replace(
            self, loss=0.0, reordering=0.0, duplication=0.0, corruption=0.0, black_hole=False
        )


class Clock(Protocol):
    """Virtual time, in seconds."""

    @property
    def now(self) -> float:
        """This moment."""

    def at(self, moment: float, action: Callable[[], None]) -> None:
        """Do `action` at `moment`; those of one moment in the order of asking."""


class Link:
    """One direction of a path."""

    def __init__(self, clock: Clock, random: Random, conditions: Conditions) -> None:
        self.conditions = conditions
        self.carried = 0
        """Datagrams that arrived or will, counted as often as they do."""
        self.dropped = 0
        """Datagrams that did not fit the queue, were lost or were damaged."""
        self.faults: Counter[str] = Counter()
        """How often which fault has come to pass: "full" (the queue), "lost", "damaged", "late",
        "repeated"."""
        self._clock = clock
        self._random = random
        self._free_at = 0.0  # when what waits now is sent
        self._last_arrival = 0.0
        self._spell = False  # of losses

    @property
    def waiting(self) -> float:
        """Seconds until what is sent now would be on its way."""
        return max(0.0, self._free_at - self._clock.now)

    def carry(self, size: int, arrive: Callable[[], None]) -> bool:
        """Send a datagram of `size` bytes: `arrive` is called when, and as often as, it arrives.

        False if it does not arrive at all.
        """
        link, random, now = self.conditions, self._random, self._clock.now
        if self.waiting > link.queue / link.rate:
            self.dropped += 1
            self.faults["full"] += 1
            return False
        self._free_at = max(now, self._free_at) + size / link.rate
        arrival = self._free_at + link.delay + random.random() * link.jitter
        fault = self._fault()
        lost = fault != ""
        if lost:
            self.dropped += 1
            self.faults[fault] += 1
        elif random.random() < link.reordering:
            # It comes late, and does not hold up what was sent after it.
            self.faults["late"] += 1
            self._book(arrival + random.random() * link.late, arrive)
        else:
            self._last_arrival = arrival = max(arrival, self._last_arrival)
            self._book(arrival, arrive)
        if random.random() < link.duplication:
            self.faults["repeated"] += 1
            self._book(arrival + random.random() * link.late, arrive)
            lost = False
        return not lost

    def _fault(self) -> str:
        """What keeps the next datagram from arriving; empty if nothing does."""
        link, chance = self.conditions, self._random.random()
        if link.loss_burst == 1:
            if chance >= link.loss + link.corruption:
                return ""
            return "lost" if chance < link.loss else "damaged"
        # Two states. In one of them all is lost, and it lasts `loss_burst` datagrams on average;
        # the other lasts so long that `loss` of all datagrams fall into the first.
        if self._spell:
            self._spell = link.loss > 0 and chance >= 1 / link.loss_burst
        else:
            self._spell = chance < link.loss / (link.loss_burst * (1 - link.loss))
        if self._spell:
            return "lost"
        return "damaged" if self._random.random() < link.corruption else ""

    def _book(self, moment: float, arrive: Callable[[], None]) -> None:
        self.carried += 1
        self._clock.at(moment, arrive)
