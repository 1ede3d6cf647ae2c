"""The rows of the link benchmark: what the link does, who sends over it, and what is demanded.

A `Row` knows its link, runs a trial for one `Subject` (an implementation with a congestion
control), says the figures in words and judges them. The class is the kind of trial; ROWS has them
all, in the order of the table.

Not here: how a trial is run, which is `trial`, and the table, which is `link`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import trial
from linkemu import MTU, Conditions, Report
from trial import Crew, Figures

BEST_SHARE = 0.9
"""Least goodput of rudp, in terms of the better kernel's."""
LEAST_JAIN = 0.9
LEAST_SHARE, MOST_SHARE = 0.3, 0.7
MOST_INFLATION = 2.5
"""Most round-trip time under load of a model-based algorithm, in terms of the unloaded one."""
LEAST_KEPT = 0.8
SCAVENGER = "ledbat++"


@dataclass(frozen=True)
class Subject:
    """Who is measured."""

    label: str
    module: str
    congestion: str | None
    algorithm: str
    """The name of `congestion`, also where that is None: the default."""

    @property
    def is_rudp(self) -> bool:
        return self.module == "rudp"

    @property
    def is_default(self) -> bool:
        return self.is_rudp and self.congestion is None


KERNEL_CUBIC = Subject("kernel cubic", "asyncio", "cubic", "cubic")


@dataclass(frozen=True)
class Result:
    """The figures of a row and a subject: medians of its rounds, and every round."""

    row: Row
    subject: Subject
    figures: Figures
    rounds: list[Figures]
    trouble: str = ""
    """Why there are no figures, if there are none."""


@dataclass(frozen=True)
class Row:
    """One connection over a link; what counts is goodput."""

    name: str
    label: str
    forth: Conditions
    back: Conditions
    stretch: float = 1.0
    """This row takes so many times the seconds that were asked for."""
    seconds: float | None = None
    """This row takes so many seconds, whatever was asked for."""

    in_plot = True
    """Goodput is what this row is about."""

    def chosen(self, subjects: list[Subject]) -> list[Subject]:
        """Those of `subjects` that this row measures."""
        return subjects

    def run(self, subject: Subject, loop: str, seconds: float, seed: int) -> Any:
        """A coroutine: run one trial and return its figures and the link's report."""
        return self._run(subject, loop, self.seconds or self.stretch * seconds, seed)

    async def _run(
        self, subject: Subject, loop: str, seconds: float, seed: int
    ) -> tuple[Figures, Report]:
        crew = Crew(subject.module, subject.congestion, loop=loop)
        [figures], report = await trial.bulk(self.forth, self.back, [crew], seconds, seed)
        return figures, report

    def words(self, figures: Figures) -> str:
        """What the columns do not say."""
        return ""

    def verdict(self, result: Result, best: float) -> tuple[str, bool] | None:
        """What is demanded of this subject, and whether it was met; None if nothing is. `best` is
        the better kernel's goodput."""
        if not result.subject.is_default or math.isnan(best):
            return None
        met = result.figures["mbits"] >= BEST_SHARE * best
        return f"at least {BEST_SHARE:g} of the better kernel", met


@dataclass(frozen=True)
class Bloat(Row):
    """A queue that takes much longer to drain than the round trip."""

    def words(self, figures: Figures) -> str:
        return f"loaded round trip {figures['rtt'] / self.base:.1f} times the base"

    @property
    def base(self) -> float:
        """The round trip of a full packet and a small answer, without a queue."""
        return self.forth.delay + MTU / self.forth.rate + self.back.delay

    def verdict(self, result: Result, best: float) -> tuple[str, bool] | None:
        demands = [super().verdict(result, best)]
        if result.subject.is_rudp and result.subject.algorithm.startswith("bbr"):
            calm = result.figures["rtt"] <= MOST_INFLATION * self.base
            demands.append((f"round trip at most {MOST_INFLATION:g} times the base", calm))
        made = [one for one in demands if one is not None]
        return (", ".join(one[0] for one in made), all(one[1] for one in made)) if made else None


@dataclass(frozen=True)
class Outage(Row):
    """Total loss for a while, in mid-transfer."""

    in_plot = False

    async def _run(
        self, subject: Subject, loop: str, seconds: float, seed: int
    ) -> tuple[Figures, Report]:
        crew = Crew(subject.module, subject.congestion, loop=loop)
        return await trial.outage(self.forth, self.back, crew, seed)

    def words(self, figures: Figures) -> str:
        return f"data again after {figures['resumed']:.1f} s"

    def verdict(self, result: Result, best: float) -> tuple[str, bool] | None:
        if not result.subject.is_rudp:
            return None
        met = result.figures["resumed"] <= trial.RESUME_LIMIT
        return f"data again within {trial.RESUME_LIMIT:g} s", met


@dataclass(frozen=True)
class Brief(Row):
    """Many small connections."""

    connections: int = 50

    in_plot = False

    async def _run(
        self, subject: Subject, loop: str, seconds: float, seed: int
    ) -> tuple[Figures, Report]:
        crew = Crew(subject.module, subject.congestion, self.connections, loop)
        return await trial.brief(self.forth, self.back, crew, seed)

    def words(self, figures: Figures) -> str:
        arrived, slowest, total = (figures[name] for name in ("arrived", "slowest", "sum"))
        return f"{arrived:g} arrived, the slowest in {slowest:.1f} s, the sum is {total:.0f} s"

    def verdict(self, result: Result, best: float) -> tuple[str, bool] | None:
        if not result.subject.is_rudp:
            return None
        figures = result.figures
        met = figures["arrived"] == self.connections and not figures["failed"]
        limit = f"all {self.connections} within {trial.BRIEF_LIMIT:g} s"
        return limit, met and figures["slowest"] <= trial.BRIEF_LIMIT


@dataclass(frozen=True)
class Fairness(Row):
    """Two connections of the same kind."""

    in_plot = False

    async def _run(
        self, subject: Subject, loop: str, seconds: float, seed: int
    ) -> tuple[Figures, Report]:
        crew = Crew(subject.module, subject.congestion, 2, loop)
        [figures], report = await trial.bulk(self.forth, self.back, [crew], seconds, seed)
        return figures, report

    def words(self, figures: Figures) -> str:
        return f"Jain's index {figures['jain']:.2f}"

    def verdict(self, result: Result, best: float) -> tuple[str, bool] | None:
        if not result.subject.is_rudp:
            return None
        met = result.figures["jain"] >= LEAST_JAIN
        return f"Jain's index at least {LEAST_JAIN:g}", met


@dataclass(frozen=True)
class Share(Row):
    """A connection of rudp's and one of the kernel's."""

    in_plot = False

    def chosen(self, subjects: list[Subject]) -> list[Subject]:
        return [one for one in subjects if one.is_rudp and one.algorithm != SCAVENGER]

    async def _run(
        self, subject: Subject, loop: str, seconds: float, seed: int
    ) -> tuple[Figures, Report]:
        crews = [Crew(one.module, one.congestion, loop=loop) for one in (subject, KERNEL_CUBIC)]
        both, report = await trial.bulk(self.forth, self.back, crews, seconds, seed)
        share = both[0]["mbits"] / max(sum(one["mbits"] for one in both), 1e-9)
        return {**both[0], "share": share}, report

    def words(self, figures: Figures) -> str:
        return f"{figures['share']:.0%} beside kernel cubic"

    def verdict(self, result: Result, best: float) -> tuple[str, bool] | None:
        met = LEAST_SHARE <= result.figures["share"] <= MOST_SHARE
        return f"share from {LEAST_SHARE:.0%} to {MOST_SHARE:.0%}", met


@dataclass(frozen=True)
class Scavengers(Row):
    """Connections of rudp's that shall keep out of the way of one of the kernel's."""

    connections: int = 8

    in_plot = False

    def chosen(self, subjects: list[Subject]) -> list[Subject]:
        return [one for one in subjects if one.algorithm == SCAVENGER]

    async def _run(
        self, subject: Subject, loop: str, seconds: float, seed: int
    ) -> tuple[Figures, Report]:
        crews = [
            Crew(subject.module, subject.congestion, self.connections, loop),
            Crew(KERNEL_CUBIC.module, KERNEL_CUBIC.congestion, loop=loop),
        ]
        both, report = await trial.bulk(self.forth, self.back, crews, seconds, seed)
        return {**both[0], "kept": both[1]["mbits"] * 1e6 / 8 / self.forth.rate}, report

    def words(self, figures: Figures) -> str:
        return f"kernel cubic has {figures['kept']:.0%} of the rate"

    def verdict(self, result: Result, best: float) -> tuple[str, bool] | None:
        return f"kernel cubic keeps {LEAST_KEPT:.0%}", result.figures["kept"] >= LEAST_KEPT


def path(
    mbits: float, round_trip_ms: float, queue: float | None = None, **faults: Any
) -> tuple[Conditions, Conditions]:
    """Both directions alike. `queue` is in bytes, and what rate times round trip is by default."""
    rate = mbits * 1e6 / 8
    size = rate * round_trip_ms / 1e3 if queue is None else queue
    conditions = Conditions(rate, round_trip_ms / 2e3, int(size), **faults)
    return conditions, conditions


def losing_acks(mbits: float, round_trip_ms: float, loss: float) -> tuple[Conditions, Conditions]:
    forth, back = path(mbits, round_trip_ms)
    return forth, replace(back, loss=loss)


ROWS: list[Row] = [
    Row("clean", "100 Mbit/s, 40 ms", *path(100, 40)),
    Row("loss-0.1", "100 Mbit/s, 40 ms, 0.1 % loss", *path(100, 40, loss=0.001)),
    Row("loss-1", "100 Mbit/s, 40 ms, 1 % loss", *path(100, 40, loss=0.01)),
    Row("loss-3", "100 Mbit/s, 40 ms, 3 % loss", *path(100, 40, loss=0.03)),
    Row("long", "50 Mbit/s, 200 ms, 0.1 % loss", *path(50, 200, loss=0.001)),
    Row("small-queue", "10 Mbit/s, 30 ms, 3 %, 25 packets", *path(10, 30, 25 * MTU, loss=0.03)),
    Bloat("large-queue", "10 Mbit/s, 30 ms, queue of 1 s", *path(10, 30, 1.25e6), stretch=2),
    Row(
        "reordering",
        "50 Mbit/s, 40 ms, 2 % reordered, jitter 5 ms",
        *path(50, 40, reordering=0.02, jitter=0.005),
    ),
    Row("ack-loss", "50 Mbit/s, 40 ms, 20 % of ACKs lost", *losing_acks(50, 40, 0.2)),
    # Four whole cycles, of which the first is not counted.
    Row(
        "blackhole",
        "50 Mbit/s, 40 ms, 5 s on, 2 s off",
        *path(50, 40, blackhole=(5, 2)),
        seconds=28,
    ),
    Brief("connections", "10 Mbit/s, 40 ms, 30 % loss, 1 KiB each", *path(10, 40, loss=0.3)),
    Outage("outage", "50 Mbit/s, 40 ms, 20 s of total loss", *path(50, 40, outage=(5, 25))),
    Fairness("two-flows", "50 Mbit/s, 40 ms, two connections", *path(50, 40), stretch=2),
    Share("share", "50 Mbit/s, 40 ms, beside kernel cubic", *path(50, 40), stretch=2),
    # Whoever makes way by delay has to see it: LEDBAT++ aims at a queue of 60 ms, this one is 160.
    Scavengers("scavengers", "50 Mbit/s, 40 ms, 8 and kernel cubic", *path(50, 40, 1e6), stretch=2),
]
