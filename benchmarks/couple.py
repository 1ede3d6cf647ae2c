"""One measurement of a comparison: start a server and a client, and read off what they say.

`measure` starts both sides as processes of their own, passes the client's marks on to the server,
and returns the figures with what each end spent between the marks:

    client, server              CPU time between the last two marks, in seconds per second
    cpu                         CPU time of both ends between the last two marks, in seconds
    client_memory, server_memory    growth of resident memory between the marks that have it, bytes

It is bounded in time, and leaves no process behind, also when cancelled.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from peers import PURE, Order

SIDES = Path(__file__).with_name("sides.py")
INTERPRETED = Path(__file__).with_name("interpreted.py")
LIMIT, PER_SECOND, PER_CONNECTION = 20.0, 8.0, 0.012
"""Seconds that a measurement may take: for itself, for each second of it, for each connection."""

Figures = dict[str, float]


class TrialError(Exception):
    """It did not come to a figure; the message says why."""


class Side:
    """A process, spoken to in lines of JSON."""

    def __init__(self, process: asyncio.subprocess.Process, name: str) -> None:
        self._process = process
        self._name = name
        self._last_words = ""

    async def read_errors(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self._last_words = line.decode(errors="replace").strip() or self._last_words

    async def hear(self) -> Any:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            # The last words may still be on their way.
            await asyncio.sleep(0.1)
            raise TrialError(f"the {self._name} ended: {self._last_words or 'without a word'}")
        return json.loads(line)

    async def tell(self, **words: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(words).encode() + b"\n")
        with contextlib.suppress(ConnectionError):  # Whoever hears it next finds out.
            await self._process.stdin.drain()


@contextlib.asynccontextmanager
async def side(name: str, order: Order) -> AsyncIterator[Side]:
    command = [sys.executable, str(SIDES), name, json.dumps(asdict(order))]
    if order.peer == PURE:
        command.insert(1, str(INTERPRETED))
    pipe = asyncio.subprocess.PIPE
    # A session of its own: Ctrl-C is for this process, which then ends the others.
    process = await asyncio.create_subprocess_exec(
        *command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
    )
    one = Side(process, name)
    errors = asyncio.create_task(one.read_errors())
    try:
        yield one
    finally:
        # Not process.kill(): that reaps a process which has just ended, before the event loop does.
        with contextlib.suppress(ProcessLookupError):
            if process.returncode is None:
                os.kill(process.pid, signal.SIGKILL)
        await process.wait()
        await errors


async def measure(order: Order) -> Figures:
    """Raises TrialError if it comes to nothing, or not in time."""
    limit = LIMIT + PER_SECOND * order.seconds + PER_CONNECTION * order.connections
    try:
        async with asyncio.timeout(limit), side("server", order) as server:
            port = (await server.hear())["port"]
            async with side("client", replace(order, port=port)) as client:
                return await attend(client, server)
    except TimeoutError:
        raise TrialError(f"nothing came of it in {limit:.0f} s") from None


async def attend(client: Side, server: Side) -> Figures:
    marks: list[tuple[dict[str, float], dict[str, float]]] = []
    while "mark" in (word := await client.hear()):
        await server.tell(memory="memory" in word["mark"])
        marks.append((word["mark"], await server.hear()))
        await client.tell(go=True)
    return {**word["figures"], **spent(*marks[-2:]), **grown(marks)}


def spent(before: tuple[Any, Any], after: tuple[Any, Any]) -> Figures:
    cpu = [after[end]["cpu"] - before[end]["cpu"] for end in (0, 1)]
    shares = [cpu[end] / (after[end]["at"] - before[end]["at"]) for end in (0, 1)]
    return {"cpu": sum(cpu), "client": shares[0], "server": shares[1]}


def grown(marks: list[tuple[dict[str, float], dict[str, float]]]) -> Figures:
    known = [mark for mark in marks if "memory" in mark[0]]
    if len(known) < 2:
        return {}
    return {
        name: known[-1][end]["memory"] - known[0][end]["memory"]
        for end, name in enumerate(("client_memory", "server_memory"))
    }
