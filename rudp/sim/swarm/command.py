"""`python -m rudp.sim swarm`: rudp in thousands of bad networks, each drawn from a seed.

    python -m rudp.sim swarm --seeds 50000 --jobs 2         many runs, and what came of them
    python -m rudp.sim swarm --scenario narrow --seed 17    one run, and all that happened in it

Exit status: 0, nothing was violated; 1, something was; 2, the arguments made no sense; 130,
interrupted, and nothing was violated until then.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import logging
import multiprocessing
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Final

from rudp.console import Console, open_console
from rudp.sim.swarm.interrupt import Interrupt, deaf
from rudp.sim.swarm.scenarios import SCENARIOS, of_the_mix, replay_line
from rudp.sim.swarm.sightings import SIGHTINGS

_LOT: Final = 20
"""Runs that a worker does at a time."""
_AHEAD: Final = 4
"""Lots for each worker that are handed out, so that none waits for work."""


@dataclass
class Tally:
    """What came of some runs."""

    seeds: Counter[str] = field(default_factory=Counter)
    """By scenario."""
    datagrams: int = 0
    seconds: float = 0.0
    """Of virtual time."""
    seen: Counter[str] = field(default_factory=Counter)
    """In how many runs each thing has happened."""
    violations: list[tuple[str, int, str]] = field(default_factory=list)
    """Scenario, seed, and what was violated."""
    digest: int = 0
    """Of all runs, in whatever order they were done."""

    def add(self, other: Tally) -> None:
        """Let `other` be a part of this."""
        self.seeds.update(other.seeds)
        self.datagrams += other.datagrams
        self.seconds += other.seconds
        self.seen.update(other.seen)
        self.violations += other.violations
        self.digest = (self.digest + other.digest) % 2**128


def run_lot(
    scenario: str | None, seeds: Sequence[int], interrupt: Interrupt | None = None
) -> Tally:
    """Run these, of one scenario or as they come in the mix, until there is an `interrupt`."""
    tally = Tally()
    for seed in seeds:
        if interrupt is not None and interrupt.came:
            break
        name = scenario or of_the_mix(seed)
        tally.seeds[name] += 1
        try:
            outcome = SCENARIOS[name](seed).run()
        except AssertionError as failure:
            tally.violations.append((name, seed, str(failure).partition("\n")[0]))
            continue
        tally.datagrams += outcome.datagrams
        tally.seconds += outcome.seconds
        tally.seen.update(outcome.seen)
        # A sum, so that it does not matter which worker is done first.
        one = hashlib.blake2b(f"{name} {seed} {outcome.digest}".encode(), digest_size=16).digest()
        tally.digest = (tally.digest + int.from_bytes(one, "big")) % 2**128
    return tally


def main(argv: Sequence[str]) -> int:
    """Run one command line and return its exit status."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if not __debug__:
        parser.error("without -O, please: what is violated is found by assertions")
    _be_quiet()
    try:
        if arguments.seed is not None:
            return _show(arguments.scenario or of_the_mix(arguments.seed), arguments.seed)
        return _run(open_console(), arguments)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read the output has seen enough; what Python flushes at exit goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m rudp.sim")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    swarm = commands.add_parser(
        "swarm",
        help="rudp itself in bad networks, by seed",
        description="Run rudp in simulated networks that are drawn from seeds, check at each step "
        "that nothing happens that may not, and afterwards, when the network is healed, that all "
        "arrives. Exit status 0 only if nothing was violated.",
    )
    swarm.add_argument("--seeds", type=_positive, default=1000, help="how many (default: 1000)")
    swarm.add_argument("--first", type=int, default=0, help="the first of them (default: 0)")
    swarm.add_argument("--jobs", type=_positive, default=1, help="processes (default: 1)")
    swarm.add_argument(
        "--scenario", choices=sorted(SCENARIOS), help="this one only (default: a mix of all)"
    )
    swarm.add_argument("--seed", type=int, help="this one only, and all that happens in it")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not 1 or more")
    return number


def _show(name: str, seed: int) -> int:
    """One run, whole."""
    run = SCENARIOS[name](seed)
    try:
        outcome = run.run()
    except AssertionError as failure:
        print(*run.trace, sep="\n")
        print(str(failure).partition("\n")[0])
        return 1
    print(*run.trace, sep="\n")
    print(f"{outcome.seconds:.3f} s, {outcome.datagrams} datagrams, {outcome.digest}")
    return 0


def _run(console: Console, arguments: argparse.Namespace) -> int:
    total = Tally()
    started = time.monotonic()
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    lots = [seeds[start : start + _LOT] for start in range(0, len(seeds), _LOT)]
    interrupt = Interrupt()
    tallies = _tallies(arguments.scenario, lots, arguments.jobs, interrupt)
    with interrupt.noted():
        console.say(f"{len(seeds)} runs, of {arguments.scenario or 'all scenarios'}")
        with console.progress("  swarm", len(seeds), _runs) as advance, contextlib.closing(tallies):
            for tally in tallies:
                total.add(tally)
                advance(total.seeds.total())
                for name, seed, what in tally.violations:
                    console.say((f"{replay_line(name, seed)}  # {what}", "bold red"))
    interrupted = interrupt.came and total.seeds.total() < len(seeds)
    _report(console, total, time.monotonic() - started, interrupted)
    if total.violations:
        return 1
    return 130 if interrupted else 0


def _tallies(
    scenario: str | None, lots: list[range], jobs: int, interrupt: Interrupt
) -> Generator[Tally, None, None]:
    """What came of each lot, as they are done: in this process, or in `jobs` others."""
    if jobs == 1:
        for lot in lots:
            if interrupt.came:
                return
            yield run_lot(scenario, lot, interrupt)
        return
    # Not by fork: a progress bar has a thread.
    context = multiprocessing.get_context("spawn")
    waiting = iter(lots)
    with ProcessPoolExecutor(jobs, context, _begin_worker) as pool:
        try:
            running: set[Future[Tally]] = set()
            while not interrupt.came:
                with deaf():
                    for lot in waiting:
                        running.add(pool.submit(run_lot, scenario, lot))
                        if len(running) >= jobs * _AHEAD:
                            break
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _begin_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent alone
    _be_quiet()


def _be_quiet() -> None:
    """rudp warns of each bad path, and asyncio of what a host had under way that has crashed."""
    for name in ("rudp", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _runs(count: float) -> str:
    return f"{count:.0f} runs"


def _report(console: Console, total: Tally, elapsed: float, interrupted: bool) -> None:
    runs = total.seeds.total()
    scenarios = ", ".join(f"{count} {name}" for name, count in total.seeds.most_common())
    rows = [
        ("Runs", f"{runs}{' until interrupted' if interrupted else ''}: {scenarios}"),
        ("Datagrams", f"{total.datagrams}"),
        ("Virtual time", f"{total.seconds:.0f} s"),
        ("Real time", f"{elapsed:.1f} s, {runs / max(elapsed, 1e-9):.0f} runs a second"),
        ("Digest", "-" if interrupted else f"{total.digest:032x}"),
    ]
    console.table("Swarm", rows)
    if runs:
        known = [name for names in SIGHTINGS.values() for name in names]
        names = sorted({*known, *total.seen})
        shown = [(name, f"in {total.seen[name]} runs") for name in names]
        console.table("What has happened", shown)
    console.say()
    if total.violations:
        console.say((f"Violated in {len(total.violations)} of {runs} runs.", "bold red"))
    else:
        console.say((f"{runs} runs, and nothing was violated.", "bold green"))
