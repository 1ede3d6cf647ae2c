"""The rows of the comparison: what both ends do, which figures come of it, what is demanded.

A `Row` is one order to both ends; the rows of one `name` are selected together. A `Figure` is
read off a measurement, and carries its `Demand`s: least or greatest ratios of rudp's figure to
another one of the same loop. Where the demand names a row, it is rudp's own figure there.

Not here: how it is measured, which is `couple` and `sides`, and the table, which is `compare`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from peers import PURE

KIB, MIB = 1 << 10, 1 << 20
SMALL_SEGMENT = 1452
WINDOWS = (64 * KIB, MIB, 8 * MIB, 64 * MIB)
CROWDS = (1, 10, 100, 1000, 10000)
AT_ONCE = 16

Figures = Mapping[str, float]


@dataclass(frozen=True)
class Demand:
    """A limit for the ratio of rudp's figure to `peer`'s, or to its own in the row `label`."""

    limits: Mapping[str, float]
    """By event loop."""
    at_least: bool
    peer: str | None = None
    label: str | None = None

    def met(self, ratio: float, loop: str) -> bool:
        return ratio >= self.limits[loop] if self.at_least else ratio <= self.limits[loop]

    def words(self, loop: str) -> str:
        other = f" of {self.label}" if self.label else ""
        return f"at {'least' if self.at_least else 'most'} {self.limits[loop]:g}{other}"


def at_least(peer: str, asyncio: float, uvloop: float) -> Demand:
    return Demand({"asyncio": asyncio, "uvloop": uvloop}, True, peer)


def at_most(limit: float, peer: str | None = None, label: str | None = None) -> Demand:
    return Demand({"asyncio": limit, "uvloop": limit}, False, peer, label)


@dataclass(frozen=True)
class Figure:
    label: str
    unit: str
    of: Callable[[Figures], float]
    demands: tuple[Demand, ...] = ()


def named(name: str) -> Callable[[Figures], float]:
    return lambda figures: figures[name]


def kib_each(*names: str) -> Callable[[Figures], float]:
    return lambda figures: sum(figures[n] for n in names) / KIB / figures["connections"]


def ns_per_byte(figures: Figures) -> float:
    return figures["cpu"] * 1e9 / figures["bytes"]


@dataclass(frozen=True)
class Row:
    name: str
    program: str
    figures: tuple[Figure, ...]
    order: Mapping[str, Any] = field(default_factory=dict)
    """What the order has beside the program; see `peers.Order`."""
    peers: tuple[str, ...] | None = None
    """Who takes part; None: everyone who can."""


def gbits(label: str, *demands: Demand) -> tuple[Figure, ...]:
    return (Figure(label, "Gbit/s", named("gbits"), demands),)


def window_row(window: int) -> Row:
    demands = () if window < WINDOWS[-1] else (at_most(1.3, label=window_label(WINDOWS[0])),)
    figure = Figure(window_label(window), "ns/byte", ns_per_byte, demands)
    return Row("windows", "bulk", (figure,), {"window": window}, ("rudp",))


def window_label(window: int) -> str:
    return f"window of {window // KIB} KiB" if window < MIB else f"window of {window // MIB} MiB"


def crowd_row(connections: int) -> Row:
    label = f"{connections} connections in turn" if connections > 1 else "1 connection"
    figure = Figure(label, "ns/byte", ns_per_byte)
    return Row("crowd", "crowd", (figure,), {"connections": connections}, ("tcp", "rudp"))


def connect_row(label: str, connections: int) -> Row:
    figure = Figure(label, "1/s", named("rate"), (at_least("tcp", 0.5, 0.5),))
    return Row("connect", "connect", (figure,), {"connections": connections})


ROWS: list[Row] = [
    Row(
        "bulk",
        "bulk",
        gbits(
            "bulk, one way",
            at_least("tcp", 1.0, 0.8),
            at_least("aioquic", 50, 50),
            at_least("qh3", 20, 20),
        ),
    ),
    Row("both", "both", gbits("bulk, both ways")),
    Row(
        "small",
        "bulk",
        gbits(f"bulk, segments of {SMALL_SEGMENT}", at_least("tcp", 0.35, 0.35)),
        {"mss": SMALL_SEGMENT},
        ("tcp", "rudp", PURE),
    ),
    Row(
        "echo",
        "echo",
        (
            Figure("echo of 64 bytes, median", "us", named("median"), (at_most(1.5, "tcp"),)),
            Figure("echo of 64 bytes, p99", "us", named("p99")),
        ),
    ),
    Row(
        "many",
        "many",
        (
            *gbits("100 connections sharing"),
            Figure("100 connections, evenness", "Jain", named("jain")),
        ),
        {"connections": 100},
    ),
    connect_row("connect, echo, close", 1),
    connect_row(f"the same, {AT_ONCE} at once", AT_ONCE),
    Row(
        "idle",
        "idle",
        (
            Figure(
                "idle connection, both ends",
                "KiB",
                kib_each("client_memory", "server_memory"),
                (at_most(1.5, "tcp"),),
            ),
            Figure("idle connection, client", "KiB", kib_each("client_memory")),
            Figure("idle connection, server", "KiB", kib_each("server_memory")),
        ),
        {"connections": 10000},
    ),
    *(window_row(window) for window in WINDOWS),
    *(crowd_row(connections) for connections in CROWDS),
]
