"""One trial: open an emulated link, let crews send over it, and read off what arrived.

A `Crew` is a sender on host A and a receiver on host B, processes of their own, with one or more
connections. `bulk`, `outage` and `brief` run a trial and return its figures; all of them are
bounded in time and leave nothing behind, also when cancelled.

Figures are floats by name:

    mbits          goodput in Mbit/s at the receiver, over the steady part, of the whole crew
    least, jain    the least of the crew's connections in Mbit/s, and Jain's index over them
    cpu_send       CPU time per second of the sender's process, over the steady part
    cpu_receive    the same of the receiver's
    rtt            median seconds that packets spent on the link, forth plus back, while loaded
    emulator       CPU time per second of the process that carried them

The steady part is all but the first quarter of the time, counted from the first byte at the
receiver.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ends import Order
from linkemu import HOST_B, Conditions, Link, Report

ENDS = Path(__file__).with_name("ends.py")
PORT = 9000
CONNECT_TIMEOUT = 60.0
WARM_UP = 0.25
RESUME_LIMIT = 25.0
"""Seconds after an outage within which delivery has to go on. RTO doubles: the next retransmission
is at most about as far away as the outage was long, which is 20 s."""
BRIEF_LIMIT = 300.0

Figures = dict[str, float]


class TrialError(Exception):
    """It did not come to a figure; the message says why."""


@dataclass(frozen=True)
class Crew:
    """Who sends: `connections` of kernel TCP (module "asyncio") or of rudp."""

    module: str
    congestion: str | None
    connections: int = 1
    loop: str = "asyncio"

    def order(self, port: int) -> str:
        return json.dumps(
            asdict(Order(HOST_B, port, self.module, self.congestion, self.connections, self.loop))
        )


# Processes on the hosts


class End:
    """A process on a host, and the facts that it has told so far."""

    def __init__(self, process: asyncio.subprocess.Process, role: str) -> None:
        self.facts: list[dict[str, Any]] = []
        self._process = process
        self._role = role

    async def read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.facts.append(json.loads(line))

    def check(self) -> None:
        if self._process.returncode is not None:
            raise TrialError(f"{self._role} ended with status {self._process.returncode}")

    def samples(self, start: float = -math.inf, end: float = math.inf) -> list[dict[str, Any]]:
        return [fact for fact in self.facts if "at" in fact and start <= fact["at"] <= end]

    def first_byte(self) -> float:
        return next((fact["at"] for fact in self.samples() if sum(fact["totals"])), math.inf)


@contextlib.asynccontextmanager
async def end(namespace: str, role: str, order: str) -> AsyncIterator[End]:
    command = ["ip", "netns", "exec", namespace, sys.executable, str(ENDS), role, order]
    pipe = asyncio.subprocess.PIPE
    # A session of its own: Ctrl-C is for this process, which then ends the others.
    process = await asyncio.create_subprocess_exec(
        *command, stdin=pipe, stdout=pipe, start_new_session=True, limit=1 << 20
    )
    one = End(process, role)
    reading = asyncio.create_task(one.read())
    try:
        yield one
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        await reading


Ends = list[tuple[End, End]]
"""Sender and receiver of each crew."""


@contextlib.asynccontextmanager
async def working(link: Link, crews: Sequence[Crew], what: str) -> AsyncIterator[Ends]:
    """All crews at work; the senders begin when the last receiver is ready."""
    async with contextlib.AsyncExitStack() as stack:
        orders = [crew.order(PORT + number) for number, crew in enumerate(crews)]
        receivers = [
            await stack.enter_async_context(end(link.b, f"receive_{what}", order))
            for order in orders
        ]
        await until(lambda: all(one.facts for one in receivers), receivers, CONNECT_TIMEOUT)
        senders = [
            await stack.enter_async_context(end(link.a, f"send_{what}", order)) for order in orders
        ]
        yield list(zip(senders, receivers, strict=True))


async def until(condition: Callable[[], bool], ends: Sequence[End], seconds: float) -> None:
    """Wait until `condition()`; raises TrialError if an end dies or `seconds` pass before."""
    limit = time.monotonic() + seconds
    while not condition():
        for one in ends:
            one.check()
        if time.monotonic() > limit:
            raise TrialError(f"nothing came of it in {seconds:g} s")
        await asyncio.sleep(0.05)


def everyone(ends: Ends) -> list[End]:
    return [one for crew in ends for one in crew]


# Trials


async def bulk(
    forth: Conditions, back: Conditions, crews: Sequence[Crew], seconds: float, seed: int
) -> tuple[list[Figures], Report]:
    """All crews send at once for `seconds`. The figures of each crew, and the link's report."""
    with Link(forth, back, seed) as link:
        async with working(link, crews, "bulk") as ends:
            receivers = [receiver for _, receiver in ends]
            await until(
                lambda: all(one.first_byte() < math.inf for one in receivers),
                everyone(ends),
                CONNECT_TIMEOUT,
            )
            begin = max(one.first_byte() for one in receivers)
            stop = begin + seconds
            await until(lambda: time.monotonic() >= stop, everyone(ends), seconds + 10)
    window = begin + WARM_UP * seconds, stop
    shared = {"rtt": round_trip(link.report, *window), "emulator": link.report.cpu_share}
    return [
        {
            **goodput(receiver, *window),
            **shared,
            "cpu_send": cpu(sender, *window),
            "cpu_receive": cpu(receiver, *window),
        }
        for sender, receiver in ends
    ], link.report


async def outage(
    forth: Conditions, back: Conditions, crew: Crew, seed: int
) -> tuple[Figures, Report]:
    """Everything is dropped for a while; `resumed` is how many seconds after that data comes again,
    and `mbits` the goodput of the two seconds from then on."""
    assert forth.outage is not None
    lasts = forth.outage[1]
    with Link(forth, back, seed) as link:
        async with working(link, [crew], "bulk") as ends:
            [(sender, receiver)] = ends
            await until(lambda: receiver.first_byte() < math.inf, [sender, receiver], lasts)
            # The link's own clock started some milliseconds before the first byte came.
            limit = receiver.first_byte() + lasts + RESUME_LIMIT + 2

            def over() -> bool:
                resumed = resumes(receiver, receiver.first_byte() + lasts)
                return time.monotonic() >= min(resumed + 2, limit)

            await until(over, [sender, receiver], limit - time.monotonic() + 10)
    ended = link.report.origin + lasts
    resumed = resumes(receiver, ended)
    if resumed == math.inf:
        return {"mbits": 0.0, "resumed": math.inf}, link.report
    figures = {
        **goodput(receiver, resumed, math.inf),
        "resumed": resumed - ended,
        "emulator": link.report.cpu_share,
        "cpu_send": cpu(sender, resumed, math.inf),
        "cpu_receive": cpu(receiver, resumed, math.inf),
    }
    return figures, link.report


async def brief(
    forth: Conditions, back: Conditions, crew: Crew, seed: int
) -> tuple[Figures, Report]:
    """Connections that are begun at once and bring 1 KiB each. `arrived` counts those whose bytes
    and EOF reached the receiver, `failed` those that the sender saw fail; `slowest` and `sum` are
    seconds from the beginning to the EOF at the receiver, of one and of all."""
    with Link(forth, back, seed) as link:
        async with working(link, [crew], "brief") as ends:
            [(sender, receiver)] = ends

            def over() -> bool:
                return len(sender.facts) == crew.connections <= arrived() + failed()

            def failed() -> int:
                return sum("failed" in fact for fact in sender.facts)

            def arrived() -> int:
                return sum("took" in fact for fact in receiver.facts)

            with contextlib.suppress(TrialError):  # Who is not done by then has failed.
                await until(over, [sender, receiver], BRIEF_LIMIT)
    took = [fact["took"] for fact in receiver.facts if "took" in fact]
    figures = {
        "arrived": float(len(took)),
        "failed": float(failed()),
        "slowest": max(took, default=math.inf),
        "sum": sum(took),
        "closed": float(sum("closed" in fact for fact in sender.facts)),
    }
    return figures, link.report


# Reading off


def goodput(receiver: End, start: float, stop: float) -> Figures:
    first, last = edges(receiver, start, stop)
    totals = last["totals"]
    before = first["totals"] + [0] * (len(totals) - len(first["totals"]))
    seconds = last["at"] - first["at"]
    flows = [(b - a) * 8e-6 / seconds for a, b in zip(before, totals, strict=True)]
    return {"mbits": sum(flows), "least": min(flows), "jain": jain(flows)}


def cpu(one: End, start: float, stop: float) -> float:
    first, last = edges(one, start, stop)
    return float((last["cpu"] - first["cpu"]) / (last["at"] - first["at"]))


def edges(one: End, start: float, stop: float) -> tuple[dict[str, Any], dict[str, Any]]:
    samples = one.samples(start, stop)
    if len(samples) < 2:
        raise TrialError("too short: there is nothing to measure between two samples")
    return samples[0], samples[-1]


def jain(flows: Sequence[float]) -> float:
    """Jain's fairness index: 1 if all are equal, 1/n if one has everything."""
    squares = sum(flow * flow for flow in flows)
    return sum(flows) ** 2 / (len(flows) * squares) if squares else 0.0


def round_trip(report: Report, start: float, stop: float) -> float:
    """The median time in the link, forth and back, of packets sent between the two moments."""
    return sum(
        statistics.median(
            [taken for offered, taken, _ in samples if start <= offered + report.origin <= stop]
            or [math.nan]
        )
        for samples in (report.samples_forth, report.samples_back)
    )


def resumes(receiver: End, after: float) -> float:
    """The moment at which the total is first seen above what it was at `after`."""
    before = max((sum(fact["totals"]) for fact in receiver.samples(end=after)), default=0)
    later = receiver.samples(start=after)
    return next((fact["at"] for fact in later if sum(fact["totals"]) > before), math.inf)
