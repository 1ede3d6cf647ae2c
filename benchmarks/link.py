"""rudp beside kernel TCP over the same emulated links: loss, queues, reordering, outages, fairness.

    sudo python benchmarks/link.py [--only ROW]... [--algorithm NAME]... [--seconds S] [--rounds N]
                                   [--loop LOOP] [--json FILE] [--svg FILE]

It needs Linux and root, for network namespaces and TUN devices, and iproute2; where one of these is
missing it says so and ends with status 2, having done nothing. The same asyncio stream program runs
over kernel TCP with CUBIC, with BBR, over rudp as it is by default, and over rudp with each
algorithm that is asked for, one after the other, each over a fresh link. Sender and receiver are
processes of their own, each on a host (a namespace) of its own, and a third carries the packets.

Goodput is counted at the receiver, over all but the first quarter of the time from the first byte
on. The loss that a row names holds in both directions, the queue is a bandwidth-delay product
unless the row says another. The round trip is measured by the link: the median time that packets
took forth and back. CPU is that of the sender and of the receiver, in per cent of a core; what the
kernel does for TCP outside of their system calls is not in it. The rounds of a row are interleaved
(cubic, bbr, rudp; rudp, bbr, cubic; ...), and each figure is the median of them.

Whether rudp reaches what is demanded of it is in the last column; the demands are in `rows`. The
exit status says only whether everything could be measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import linkemu
import plot
from ends import LOOPS  # It also finds rudp, in a checkout with nothing installed.
from rows import ROWS, SCAVENGER, Result, Row, Scavengers, Share, Subject
from trial import Figures, TrialError

import rudp
from rudp.core.congestion import ALGORITHMS

AVAILABLE = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")
KERNELS = ("cubic", "bbr")
TABLE_HEADER = ("link", "over", "Mbit/s", "of best", "rtt ms", "CPU %", "result")


# Who is measured


def subjects(asked: list[str], rows: list[Row]) -> list[Subject]:
    """The kernel's, rudp's default, and rudp with what is asked for or what a row is about. What
    is not to be had is named on standard error, and left out."""
    found = [
        Subject(f"kernel {name}", "asyncio", name, name) for name in KERNELS if kernel_has(name)
    ]
    default = str(rudp.Config().congestion)
    found.append(Subject("rudp", "rudp", None, default))
    wanted = [*asked]
    if any(isinstance(row, Scavengers) for row in rows):
        wanted.append(SCAVENGER)
    if any(isinstance(row, Share) for row in rows):
        wanted.append("cubic")
    for name in dict.fromkeys(wanted):
        if name not in ALGORITHMS:
            known = ", ".join(ALGORITHMS)
            warn(f"rudp has no congestion control {name!r} (it has {known}): skipped")
        elif name != default:
            found.append(Subject(f"rudp {name}", "rudp", name, name))
    return found


def kernel_has(name: str) -> bool:
    if name not in AVAILABLE.read_text().split() and shutil.which("modprobe"):
        command = ["modprobe", "--quiet", f"tcp_{name}"]
        subprocess.run(command, stderr=subprocess.DEVNULL, check=False)
    if name in AVAILABLE.read_text().split():
        return True
    warn(f"this kernel has no congestion control {name!r}: skipped")
    return False


def measured_by(row: Row, everyone: list[Subject], asked: list[str]) -> list[Subject]:
    """An algorithm that only one row is about does not run in the others."""
    return [
        one
        for one in row.chosen(everyone)
        if not one.is_rudp
        or one.is_default
        or one.congestion in asked
        or isinstance(row, Share | Scavengers)
    ]


# Measuring


async def measure(row: Row, who: list[Subject], options: argparse.Namespace) -> list[Result]:
    rounds: dict[Subject, list[Figures]] = {subject: [] for subject in who}
    trouble: dict[Subject, str] = {}
    for number in range(options.rounds):
        for subject in who if number % 2 == 0 else reversed(who):
            progress(f"{row.name}: {subject.label}, round {number + 1} of {options.rounds}")
            try:
                # All subjects of a round meet the same sequence of chances.
                figures, report = await row.run(subject, options.loop, options.seconds, number)
            except TrialError as exc:
                trouble[subject] = str(exc)
                continue
            rounds[subject].append(figures | lateness(report))
    return [
        Result(row, one, medians(rounds[one]), rounds[one], trouble.get(one, "")) for one in who
    ]


def lateness(report: linkemu.Report) -> Figures:
    """How punctual the link was: by how many seconds what it delivered was late."""
    late = sorted(one[2] for one in report.samples_forth + report.samples_back)
    if not late:
        return {}
    return {"late_median": late[len(late) // 2], "late_p99": late[len(late) * 99 // 100]}


def medians(rounds: list[Figures]) -> Figures:
    names = rounds[0] if rounds else ()
    return {name: statistics.median(one.get(name, math.nan) for one in rounds) for name in names}


# Saying it


def best_kernel(results: list[Result]) -> float:
    """The better kernel's goodput, in Mbit/s; NaN if there is none."""
    kernels = [
        one.figures["mbits"]
        for one in results
        if not one.subject.is_rudp and "mbits" in one.figures
    ]
    return max(kernels, default=math.nan)


def verdict(result: Result, best: float) -> dict[str, Any]:
    if result.trouble:
        return {"criterion": "comes to an end", "met": False}
    judged = result.row.verdict(result, best)
    return {"criterion": judged[0], "met": judged[1]} if judged else {}


def lines(results: list[Result]) -> Iterator[tuple[str, ...]]:
    best = best_kernel(results)
    for result in results:
        figures, row = result.figures, result.row
        ratio = figures.get("mbits", math.nan) / best if row.in_plot and best else math.nan
        words = [f"no figures: {result.trouble}" if result.trouble else row.words(figures)]
        judged = verdict(result, best)
        if judged:
            words.append(f"{'pass' if judged['met'] else 'FAIL'} ({judged['criterion']})")
        yield (
            row.label,
            result.subject.label,
            number(figures.get("mbits"), ".2f"),
            number(ratio, ".2f"),
            number(figures.get("rtt", math.nan) * 1e3, ".1f"),
            f"{number(figures.get('cpu_send'), '.0%')} {number(figures.get('cpu_receive'), '.0%')}",
            "; ".join(filter(None, words)),
        )


def number(value: float | None, form: str) -> str:
    return "-" if value is None or not math.isfinite(value) else format(value, form).rstrip("%")


def print_lines(table: Iterator[tuple[str, ...]] | list[tuple[str, ...]]) -> None:
    widths = (max(len(row.label) for row in ROWS), 14, 7, 7, 7, 7, 0)
    for line in table:
        words = [
            word.ljust(width) if index in (0, 1, 6) else word.rjust(width)
            for index, (word, width) in enumerate(zip(line, widths, strict=True))
        ]
        print("  ".join(words).rstrip(), flush=True)


def as_json(results: list[Result]) -> list[dict[str, Any]]:
    best = best_kernel(results)
    return [
        {
            "row": one.row.name,
            "link": one.row.label,
            "forth": asdict(one.row.forth),
            "back": asdict(one.row.back),
            "subject": one.subject.label,
            "algorithm": one.subject.algorithm,
            "figures": one.figures,
            "rounds": one.rounds,
            "trouble": one.trouble,
            **verdict(one, best),
        }
        for one in results
    ]


def as_plot(results: list[Result]) -> str:
    groups: dict[str, dict[str, float]] = {}
    for one in results:
        if one.row.in_plot and "mbits" in one.figures:
            groups.setdefault(one.row.label, {})[one.subject.label] = one.figures["mbits"]
    return plot.bars("Goodput over an emulated link", "Mbit/s", groups)


def machine() -> dict[str, Any]:
    return {
        "rudp": rudp.__version__,
        "default": str(rudp.Config().congestion),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpus": os.cpu_count(),
    }


def warn(message: str) -> None:
    print(message, file=sys.stderr)


def progress(message: str) -> None:
    if sys.stderr.isatty():
        print(message, file=sys.stderr)


# The command


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="rudp beside kernel TCP, over an emulated link.")
    parser.add_argument(
        "--only",
        action="append",
        choices=[row.name for row in ROWS],
        metavar="ROW",
        help=f"measure only this (repeatable): {', '.join(row.name for row in ROWS)}",
    )
    parser.add_argument(
        "--algorithm",
        action="append",
        default=[],
        metavar="NAME",
        help="run rudp with this congestion control as well (repeatable)",
    )
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (default: 3)")
    parser.add_argument(
        "--seconds", type=float, default=16.0, help="length of a measurement (default: 16)"
    )
    parser.add_argument("--loop", choices=list(LOOPS), default="asyncio", help="the event loop")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the goodput there")
    options = parser.parse_args()
    if options.rounds < 1 or not options.seconds >= 0.5:
        parser.error("--rounds must be 1 or more, and --seconds 0.5 or more")
    return options


async def run(rows: list[Row], options: argparse.Namespace) -> list[Result]:
    # Whoever ends this process lets it clean up first. SIGINT too: a shell has the jobs that it
    # puts into the background ignore it, and asyncio leaves that as it is.
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    everyone = subjects(options.algorithm, rows)
    print_lines([TABLE_HEADER])
    results = []
    for row in rows:
        measured = await measure(row, measured_by(row, everyone, options.algorithm), options)
        print_lines(lines(measured))
        results += measured
    return results


def main() -> int:
    options = arguments()
    if (reason := linkemu.missing()) is not None:
        warn(f"{reason}; nothing was measured")
        return 2
    rows = [row for row in ROWS if not options.only or row.name in options.only]
    about = machine()
    print(f"rudp {about['rudp']}, by default with {about['default']}, {about['python']}", end=", ")
    print(f"on {options.loop}\n{about['system']}, {about['cpus']} CPUs")
    print(f"medians of {options.rounds} rounds of {options.seconds:g} s\n", flush=True)
    try:
        results = asyncio.run(run(rows, options))
    except (KeyboardInterrupt, asyncio.CancelledError):
        warn("interrupted; all is cleaned up")
        return 130
    if options.json:
        about |= {"rounds": options.rounds, "seconds": options.seconds, "loop": options.loop}
        about["results"] = [line for row in rows for line in as_json(of(row, results))]
        options.json.write_text(json.dumps(about, indent=2) + "\n")
    if options.svg:
        options.svg.write_text(as_plot(results))
    return 1 if any(result.trouble for result in results) else 0


def of(row: Row, results: list[Result]) -> list[Result]:
    return [result for result in results if result.row is row]


if __name__ == "__main__":
    sys.exit(main())
