"""rudp beside TCP, QUIC, KCP and ENet in Python: one table, one run, on the loopback interface.

    python benchmarks/compare.py [--only ROW]... [--peer NAME]... [--loop LOOP]... [--rounds N]
                                 [--seconds S] [--json FILE] [--svg FILE]

The others come with the extra `bench`; one that is not installed is named and left out, and so is
one that cannot do what a row is about. Where rudp is compiled, `rudp-pure` is the same in plain
Python. All run the same asyncio stream program (see `peers`), with
their own default settings, on every event loop that is installed. Sender and receiver are processes
of their own, fresh for each measurement. The rounds of a row are interleaved (tcp, rudp, aioquic,
...; ..., aioquic, rudp, tcp), so that whatever else the machine does meets all, and each figure is
the median of the rounds, with the least and the greatest beside it. The rows:

    bulk       bytes one way, until the server confirms that it has read them all
    both       the same in both directions at once, over one connection; the sum of the two
    small      rudp with segments of 1452 bytes, beside TCP as it is
    echo       the round trip of 64 bytes: the median and the 99th percentile
    many       100 connections that send at once: the sum, and Jain's index of evenness over them
    connect    connect, echo 64 bytes, close and wait until closed: one connection after the other,
               and 16 at once
    idle       10,000 connections that have echoed once and then rested for 5 s: growth of resident
               memory
    windows    processor time of both ends per byte, by rudp's send and receive buffer
    crowd      the same by the number of connections that 64 KiB go over in turn, each answered

CPU is that of the client's and of the server's process, in per cent of a core, over what the row
measures; for `idle` it is that of resting. What the kernel does for TCP outside of their system
calls, and the memory that it holds for a connection, are not in it. "rudp/it" is rudp's figure as
a multiple of the line's; where a ratio is demanded, the last column says whether it was met.
Speeds differ between machines and by the hour: look at the ratios. Loopback has no delay, so a
window is seldom full here, and it says nothing about other networks.

The exit status says only whether everything that was tried could be measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import platform
import signal
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import plot
from certificate import write_certificate
from contests import ROWS, Demand, Figure, Row
from couple import Figures, TrialError, measure
from ends import LOOPS  # It also finds rudp, in a checkout with nothing installed.
from peers import Order, Peer, all_peers
from sides import STATM

NAMES = list(dict.fromkeys(row.name for row in ROWS))
HEADER = ("measurement", "unit", "loop", "over", "median", "spread", "CPU %", "rudp/it", "demanded")
SPARE_FILES = 100
"""File descriptors that a process has open beside its connections."""


@dataclass(frozen=True)
class Result:
    """A row, a loop and a peer, with what every round found."""

    row: Row
    loop: str
    peer: str
    rounds: list[Figures]
    trouble: str = ""
    """Why a round is missing, if one is."""


@dataclass(frozen=True)
class Line:
    """A line of the table: one figure of a result."""

    result: Result
    figure: Figure

    @property
    def values(self) -> list[float]:
        return [self.figure.of(one) for one in self.result.rounds]

    @property
    def median(self) -> float:
        return statistics.median(self.values) if self.values else math.nan

    def cpu(self, end: str) -> float:
        shares = [one[end] for one in self.result.rounds]
        return statistics.median(shares) if shares else math.nan


# Who takes part


def present(asked: list[str]) -> dict[str, Peer]:
    """Those that are asked for and installed; the others are named."""
    found = {}
    for name, peer in all_peers().items():
        if not asked or name in asked:
            if (reason := peer.missing()) is not None:
                warn(f"{reason}: skipped")
            else:
                found[name] = peer
    return found


def measured_by(row: Row, peers: dict[str, Peer]) -> list[Peer]:
    """Those who can do what the row is about."""
    able = []
    for peer in peers.values():
        if row.name not in peer.cannot and (row.peers is None or peer.name in row.peers):
            able.append(peer)
    return able


def name_the_unable(rows: list[Row], peers: dict[str, Peer]) -> None:
    """Those who cannot do what a row is about, each with the reason, on standard error."""
    for name in dict.fromkeys(row.name for row in rows):
        for peer in peers.values():
            if name in peer.cannot:
                warn(f"{name}: {peer.name} is left out: {peer.cannot[name]}")


def impossible(row: Row) -> str | None:
    """Why this system cannot have the row, as a sentence; None if it can."""
    if row.name == "idle" and not STATM.exists():
        return "this system has no /proc that tells resident memory"
    needed = row.order.get("connections", 1) + SPARE_FILES
    if needed > (limit := file_limit()):
        return f"it needs {needed} file descriptors, and RLIMIT_NOFILE allows {limit:g}"
    return None


def file_limit() -> float:
    try:
        import resource
    except ModuleNotFoundError:
        return math.inf
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return math.inf if hard == resource.RLIM_INFINITY else hard


# Measuring


async def measure_row(
    row: Row, peers: list[Peer], options: argparse.Namespace, certificate: str
) -> list[Result]:
    results = {
        (loop, peer.name): Result(row, loop, peer.name, [])
        for loop in options.loop
        for peer in peers
    }
    for number in range(options.rounds):
        for loop in options.loop:
            for peer in peers if number % 2 == 0 else reversed(peers):
                progress(f"{row.figures[0].label}: {peer.name} on {loop}, round {number + 1}")
                order = order_for(row, peer, loop, options.seconds, certificate)
                one = results[loop, peer.name]
                try:
                    one.rounds.append(await measure(order))
                except TrialError as exc:
                    results[loop, peer.name] = replace(one, trouble=str(exc))
    return list(results.values())


def order_for(row: Row, peer: Peer, loop: str, seconds: float, certificate: str) -> Order:
    extra = dict(row.order)
    if row.name == "idle" and peer.most_idle is not None:
        extra["connections"] = min(extra["connections"], peer.most_idle)
    return Order(row.program, peer.name, loop, seconds, certificate=certificate, **extra)


# Saying it


def lines_of(results: list[Result]) -> list[Line]:
    """The figures of a row one below the other, each by loop and peer."""
    return [Line(one, figure) for figure in results[0].row.figures for one in results]


def rudp_ratio(line: Line, lines: list[Line]) -> float:
    """rudp's figure as a multiple of this one; NaN where there is none."""
    for other in lines:
        same = other.figure is line.figure and other.result.loop == line.result.loop
        if same and other.result.peer == "rudp" and line.median:
            return other.median / line.median
    return math.nan


def verdicts(line: Line, lines: list[Line]) -> Iterator[tuple[Demand, float]]:
    """The demands that concern this line, each with the ratio that was measured."""
    for demand in line.figure.demands:
        if demand.peer == line.result.peer:
            yield demand, rudp_ratio(line, lines)
        elif demand.label is not None and line.result.peer == "rudp":
            for other in lines:
                if (other.figure.label, other.result.loop) == (demand.label, line.result.loop):
                    yield demand, line.median / other.median


def words(line: Line, lines: list[Line]) -> str:
    loop, said = line.result.loop, []
    if line.result.trouble:
        said.append(f"{len(line.values)} rounds only: {line.result.trouble}")
    for demand, ratio in verdicts(line, lines):
        if not math.isnan(ratio):
            result = "pass" if demand.met(ratio, loop) else "FAIL"
            shown = f"{number(ratio)}, " if demand.label else ""
            said.append(f"{result} ({shown}{demand.words(loop)})")
    wanted = line.result.row.order.get("connections", 0)
    if line.result.rounds and (had := line.result.rounds[0].get("connections", wanted)) < wanted:
        said.append(f"of {had:g} connections")
    return "; ".join(said)


def cells(line: Line, lines: list[Line]) -> tuple[str, ...]:
    result, values = line.result, line.values
    ratio = rudp_ratio(line, lines) if result.peer != "rudp" else math.nan
    return (
        line.figure.label,
        line.figure.unit,
        result.loop,
        result.peer,
        number(line.median),
        f"{number(min(values))}-{number(max(values))}" if values else "-",
        " ".join(number(100 * line.cpu(end), ".0f") for end in ("client", "server")),
        number(ratio),
        words(line, lines),
    )


def number(value: float, form: str = "") -> str:
    """Three digits, or all before the point."""
    if not math.isfinite(value):
        return "-"
    return format(value, form or (".0f" if abs(value) >= 100 else ".3g"))


def print_line(line: tuple[str, ...]) -> None:
    widths = (max(len(figure.label) for row in ROWS for figure in row.figures), 7, 7, 9, 7, 13, 7)
    said = [
        word.ljust(width) if index < 4 else word.rjust(width)
        for index, (word, width) in enumerate(zip(line, (*widths, 7, 0), strict=True))
    ]
    print("  ".join(said).rstrip(), flush=True)


def as_json(line: Line, lines: list[Line]) -> dict[str, Any]:
    result, ratio = line.result, rudp_ratio(line, lines)
    return {
        "row": result.row.name,
        "measurement": line.figure.label,
        "unit": line.figure.unit,
        "loop": result.loop,
        "peer": result.peer,
        "median": finite(line.median),
        "values": line.values,
        "cpu_client": finite(line.cpu("client")),
        "cpu_server": finite(line.cpu("server")),
        "rudp_ratio": finite(ratio),
        "rounds": result.rounds,
        "trouble": result.trouble,
        "demands": [
            {**asdict(demand), "ratio": one, "met": demand.met(one, result.loop)}
            for demand, one in verdicts(line, lines)
            if not math.isnan(one)
        ],
    }


def finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def as_plot(lines: list[Line]) -> str:
    """A chart for each unit but Jain's index, which is no amount."""
    charts: dict[str, dict[str, dict[str, float]]] = {}
    for line in lines:
        if line.figure.unit != "Jain" and line.values:
            group = f"{line.figure.label}, {line.result.loop}"
            chart = charts.setdefault(line.figure.unit, {})
            chart.setdefault(group, {})[line.result.peer] = line.median
    return plot.column([(TITLES[unit], unit, groups) for unit, groups in charts.items()])


TITLES = {
    "Gbit/s": "Throughput on loopback (more is better)",
    "us": "Round trip on loopback (less is better)",
    "1/s": "Connections on loopback (more is better)",
    "KiB": "Memory of an idle connection (less is better)",
    "ns/byte": "Processor time of both ends (less is better)",
}


def machine(peers: dict[str, Peer]) -> dict[str, Any]:
    loops = {name: metadata.version(name) for name in LOOPS if name != "asyncio"}
    return {
        "versions": {name: peer.version() for name, peer in peers.items()} | loops,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpus": os.cpu_count(),
    }


def print_heading(about: dict[str, Any], options: argparse.Namespace) -> None:
    print(", ".join(f"{name} {version}" for name, version in about["versions"].items()))
    print(f"{about['python']}, {about['system']}, {about['cpus']} CPUs, two processes on loopback")
    print(f"medians of {options.rounds} rounds of {options.seconds:g} s\n", flush=True)


def warn(message: str) -> None:
    print(message, file=sys.stderr)


def progress(message: str) -> None:
    if sys.stderr.isatty():
        print(message, file=sys.stderr)


# The command


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="rudp beside its peers, on loopback.")
    for flag, metavar, known, what in (
        ("--only", "ROW", NAMES, "measure only this"),
        ("--peer", "NAME", list(all_peers()), "only over this"),
        ("--loop", "LOOP", list(LOOPS), "only on this event loop"),
    ):
        parser.add_argument(
            flag,
            action="append",
            choices=known,
            metavar=metavar,
            help=f"{what} (repeatable): {', '.join(known)}",
        )
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (default: 3)")
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="length of each measurement (default: 1)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw them there as bar charts")
    options = parser.parse_args()
    if options.rounds < 1 or not 0 < options.seconds <= 60:
        parser.error("--rounds must be 1 or more, and --seconds more than 0 and at most 60")
    options.loop = [name for name in LOOPS if not options.loop or name in options.loop]
    return options


async def run(rows: list[Row], peers: dict[str, Peer], options: argparse.Namespace) -> list[Line]:
    # Whoever ends this process lets it clean up first. SIGINT too: a shell has the jobs that it
    # puts into the background ignore it, and asyncio leaves that as it is.
    task = asyncio.current_task()
    assert task is not None
    for one in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(one, task.cancel)
    lines: list[Line] = []
    with ExitStack() as stack:
        certificate = ""
        if any(peer.encrypts for peer in peers.values()):
            certificate = stack.enter_context(tempfile.TemporaryDirectory(prefix="rudp-compare-"))
            write_certificate(Path(certificate))
        print_line(HEADER)
        for row in rows:
            if (reason := impossible(row)) is not None:
                warn(f"{row.figures[0].label}: {reason}: skipped")
            elif able := measured_by(row, peers):
                more = lines_of(await measure_row(row, able, options, certificate))
                lines += more
                for line in more:
                    print_line(cells(line, lines))
    return lines


def main() -> int:
    options = arguments()
    rows = [row for row in ROWS if not options.only or row.name in options.only]
    peers = present(options.peer or [])
    name_the_unable(rows, peers)
    about = machine(peers)
    print_heading(about, options)
    try:
        lines = asyncio.run(run(rows, peers, options))
    except (KeyboardInterrupt, asyncio.CancelledError):
        warn("interrupted; all is cleaned up")
        return 130
    if options.json:
        about |= {"rounds": options.rounds, "seconds": options.seconds}
        about["results"] = [as_json(line, lines) for line in lines]
        options.json.write_text(json.dumps(about, indent=2) + "\n")
    if options.svg:
        options.svg.write_text(as_plot(lines))
    return 1 if any(line.result.trouble for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
