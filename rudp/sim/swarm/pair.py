"""Two connections that talk to each other over a simulated link, in virtual time.

    Pair(seed=7, config_a=Config(), config_b=Config(), link=Conditions(loss=0.2)).run()

Each side has a user who writes chunks, reads with pauses and closes, as its `Plan` says (`side`).
The pair does for each what the endpoint does: it hands over what arrived, asks for segments, events
and the next deadline, and answers for a port without a connection. Two demands are made:

- SAFETY, at every step: what was delivered is what was sent, up to there; what `watch` says about
  the wire; numbers that may only grow do; every limit holds; no event comes twice or too late.
- LIVENESS, once the link is healed: within a bounded time all data has arrived, both FINs have, and
  both sides are CLOSED.

Whatever happens follows from the seed. The message of a failure has the line that runs it again.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from functools import partial
from random import Random
from struct import Struct
from typing import Final

from rudp.core.config import Config
from rudp.core.events import Event
from rudp.core.state import State
from rudp.sim.swarm.network import Conditions, Link, Simulation
from rudp.sim.swarm.notation import Line, brief
from rudp.sim.swarm.noted import NOTED
from rudp.sim.swarm.side import Plan, Side
from rudp.sim.swarm.watch import Violation

_MAX_STEPS: Final = 2_000_000
_TRACE_LINES: Final = 60
_MOMENT: Final = Struct("!d")
_LARGE: Final = 500_000
"""Bytes that are worth the name."""

__all__ = ["Outcome", "Pair", "Plan", "Weather"]


@dataclass(frozen=True)
class Weather:
    """What befalls a pair on the way. Moments are seconds from the start."""

    outages: tuple[tuple[float, float, str], ...] = ()
    """From when, for how long, and which way nothing gets through: "forth", "back" or "both"."""
    changes: tuple[tuple[float, Conditions, Conditions], ...] = ()
    """When the path becomes another one, forth and back."""
    freezes: tuple[tuple[float, float, str], ...] = ()
    """From when, for how long, and which side stands still: "a" or "b"."""


@dataclass
class Outcome:
    """How a run ended."""

    digest: str
    """The same for the same seed: a hash over all that was sent, when, and what came of it."""
    seconds: float
    """Virtual time until both sides were done."""
    datagrams: int
    errors: dict[str, OSError | None] = field(default_factory=dict)
    seen: frozenset[str] = frozenset()
    """What has happened in it, by the names of `sightings`."""


class Pair:
    """Two connections, their users and the path between them."""

    def __init__(
        self,
        seed: int,
        config_a: Config | None = None,
        config_b: Config | None = None,
        link: Conditions | None = None,
        *,
        link_back: Conditions | None = None,
        plan_a: Plan | None = None,
        plan_b: Plan | None = None,
        mss: tuple[int, int] = (1452, 1452),
        path_mss: int = 0,
        iss: tuple[int, int] = (2**32 - 3000, 2**32 - 2000),
        ecn: bool = False,
        simultaneous: bool = False,
        batching: float = 0.0005,
        lateness: float = 0.0,
        weather: Weather | None = None,
        may_fail: bool = False,
        heal_at: float = math.inf,
        within: float = 600.0,
        replay: str = "",
    ) -> None:
        """`within` is how many seconds after `heal_at`, or after the start if it never heals,
        both sides have to be done; `may_fail`: that may be by an error. `batching` is the most
        seconds for which what arrived waits for a wake-up, `lateness` the most by which a timer is
        late. `path_mss`: what both believe to get through for certain, if they are to find out the
        rest; else 0. `ecn`: both have access to the ECN field. `replay` is the command that runs
        this again."""
        self.simulation = Simulation(1024.0)
        self.random = Random(seed)
        self.seen: set[str] = set()
        self.path_mss = path_mss
        self._lines: list[tuple[float, str, str | Line]] = []
        self._digest = hashlib.blake2b(digest_size=16)
        self._simultaneous = simultaneous
        self._heal_at = heal_at
        self._within = within
        self._replay = replay or f"seed {seed}"
        self._start = self.simulation.now
        forth = link or Conditions()
        back = link_back or forth
        plans = (plan_a or Plan(), plan_b or Plan())
        self.may_fail = may_fail or any(
            min(plan.abort_at, plan.leave_at) < math.inf for plan in plans
        )
        written = [self.random.randbytes(plan.total) for plan in plans]
        streams = (written[0], written[1])
        self.a = Side(
            self, "a", config_a or Config(), plans[0], streams, iss, mss[0],
            batching=batching, lateness=lateness, ecn=ecn,
        )  # fmt: skip
        self.b = Side(
            self, "b", config_b or Config(), plans[1], streams[::-1], iss[::-1], mss[1],
            batching=batching, lateness=lateness, ecn=ecn,
        )  # fmt: skip
        self.a.peer, self.b.peer = self.b, self.a
        self._links = {
            "forth": Link(self.simulation, Random(self.random.random()), forth, self.b.arrive),
            "back": Link(self.simulation, Random(self.random.random()), back, self.a.arrive),
        }
        self.a.transmit, self.b.transmit = (link.send for link in self._links.values())
        self._book(weather or Weather())

    def _book(self, weather: Weather) -> None:
        """Let come what has to come."""
        at, start = self.simulation.at, self._start
        for moment, seconds, way in weather.outages:
            links = [link for name, link in self._links.items() if way in (name, "both")]
            at(start + moment, partial(self._cut, links, True))
            if seconds < math.inf:
                at(start + moment + seconds, partial(self._cut, links, False))
        for moment, forth, back in weather.changes:
            at(start + moment, partial(self._change, (forth, back)))
        for moment, seconds, name in weather.freezes:
            at(start + moment, partial((self.a if name == "a" else self.b).freeze, seconds))

    def _cut(self, links: list[Link], cut: bool) -> None:
        for link in links:
            link.cut = cut
        self.say("-", "nothing gets through" if cut else "it gets through again")

    def _change(self, both: tuple[Conditions, Conditions]) -> None:
        self.say("-", "the path changes")
        self.seen.add("another path")
        for link, conditions in zip(self._links.values(), both, strict=True):
            link.conditions = conditions

    @property
    def trace(self) -> list[str]:
        """All that has happened, a line for each."""
        return [
            f"{moment:10.6f}  {who}  {what if isinstance(what, str) else brief(what)}"
            for moment, who, what in self._lines
        ]

    def run(self) -> Outcome:
        """Run to the end, and return how it went. Any demand that is not met is an
        AssertionError."""
        try:
            return self._run()
        except Exception as failure:
            tail = "\n".join(self.trace[-_TRACE_LINES:])
            raise AssertionError(
                f"{type(failure).__name__}: {failure}\n\n{tail}\n\nreplay: {self._replay}"
            ) from failure

    def _run(self) -> Outcome:
        simulation = self.simulation
        self.a.open_active()
        if self._simultaneous:
            self.b.open_active()
        if self._heal_at < math.inf:
            simulation.at(self._start + self._heal_at, self._heal)
        healed = self._heal_at if self._heal_at < math.inf else 0.0
        limit = self._start + healed + self._within
        for _ in range(_MAX_STEPS):
            if self.a.done and self.b.done:
                break
            if not simulation.step():
                raise Violation(f"all is quiet, and nothing is booked: {self.describe()}")
            if simulation.now > limit:
                raise Violation(f"not done in {self._within} s: {self.describe()}")
        else:
            raise Violation(f"{_MAX_STEPS} steps, and no end: {self.describe()}")
        seconds = simulation.now - self._start
        self._drain()
        return Outcome(
            self._digest.hexdigest(),
            seconds,
            sum(link.carried + link.dropped for link in self._links.values()),
            {side.name: side.connection.error for side in (self.a, self.b) if side.opened},
            self._sightings(),
        )

    def _sightings(self) -> frozenset[str]:
        """What was seen on the way, and what the counters tell now."""
        seen = self.seen
        for link in self._links.values():
            seen.update(f"network: {fault}" for fault in link.faults)
            if link.marked:
                seen.add("network: marked")
        for side in (self.a, self.b):
            if not side.opened:
                continue
            info = side.connection.tcp_info()
            if info.bytes_acked > 10 * info.snd_mss:
                algorithm = side.config.congestion_control()
                seen.update(
                    f"congestion: {name}" for name, one in NOTED.items() if algorithm is one
                )
            if getattr(getattr(side.connection.snd, "cc", None), "undone", False):
                seen.add("recovery: undone")
            if info.reord_seen:
                seen.add("reordering is noticed")
            if info.bytes_received > _LARGE:
                seen.add("a large transfer")
        return frozenset(seen)

    def _drain(self) -> None:
        """Go on until nothing happens any more: TIME-WAIT has its end, and what is closed is
        silent."""
        limit = self.simulation.now + 20 * (self.a.config.msl + self.b.config.msl) + self._within
        while self.simulation.step():
            if self.simulation.now > limit:
                raise Violation(f"it does not come to rest: {self.describe()}")
        for side in (self.a, self.b):
            if not side.opened:
                continue
            if side.connection.state is not State.CLOSED or Event.CLOSED not in side.events:
                raise Violation(f"{side.name} has not come to CLOSED: {self.describe()}")

    def _heal(self) -> None:
        self.say("-", "the link is healed")
        for link in self._links.values():
            link.heal()

    def describe(self) -> str:
        """Both sides in a line each."""
        return f"\n{self.a.describe()}\n{self.b.describe()}"

    def say(self, who: str, what: str | Line, raw: bytes = b"") -> None:
        """Put a line into the trace, and it with `raw` into the digest."""
        moment = self.simulation.now - self._start
        self._lines.append((moment, who, what))
        raw = raw or str(what).encode()
        self._digest.update(_MOMENT.pack(moment) + who.encode() + raw)
