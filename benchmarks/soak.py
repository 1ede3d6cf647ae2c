"""Soak: connections opened, used and closed for as long as asked, and nothing may be left of them.

    python benchmarks/soak.py --seconds 1800                as root: over an emulated link (linkemu)
    python benchmarks/soak.py --seconds 1800 --simulated    in the simulated network and its time

A client keeps connections of many kinds going to a server: of a byte and of some hundred thousand,
with half-closes, aborted by either side, idle for a while, read slowly, a crowd at once. Each end
draws its bytes from a seed; all that arrives is compared by digest. Every PERIOD seconds the client
pauses until nothing should be left, collects garbage, and both ends are sampled. A line says how
they stand; in the end comes a verdict, by this rule:

- what can be counted (file descriptors, tasks, endpoints, connections, endpoints with
  TIME-WAIT, deadlines, timers, datagrams held back) is at every sample what it was at the first;
- what cannot (resident memory, allocated blocks, objects that the garbage collector knows) grows
  over the second half by no more than NOISE: the median of the last quarter of the samples against
  that of the third quarter;
- every digest was right, and nothing failed that was not meant to.

The exit status is 0 only if all of that holds. TIME-WAIT is short here (Config.msl), so that a
pause can see its end.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import hashlib
import json
import logging
import os
import random
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

from ends import LOOPS
from linkemu import HOST_B, Conditions, Link, missing

import rudp
from rudp import sim
from rudp.engine import Engine

PORT = 7000
CONFIG = rudp.Config(
    msl=5.0,
    fin_wait_2_timeout=10.0,
    # A RST is not sent again: where one was lost nobody is left to answer. These end what waits.
    user_timeout=10.0,
    keepalive=rudp.Keepalive(idle=5.0, interval=1.0, count=3),
)
SETTLE = 30.0
"""Seconds after which nothing should be left, not even of TIME-WAIT: as long waits the first
sample."""
WORKERS = 8
CROWD = 25
PERIOD = 60.0
QUIET = 60.0
"""Seconds that another sample waits at most until as little is left as at the first."""
RATE, DELAY, QUEUE = 2.5e6, 0.01, 200_000
CHUNK = 65536

COUNTED = (
    "fds",
    "tasks",
    "endpoints",
    "connections",
    "time_waits",
    "deadlines",
    "overtaken",
    "timers",
    "held_back",
)
NOISE = {"rss": (1 << 20, 0.01), "blocks": (1000, 0.01), "objects": (500, 0.01)}
"""What may be measured in vain: so much, or this share."""

Sample = dict[str, int]
Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter


class SoakError(Exception):
    """What arrived is not what was sent, or the connection ended as it should not."""


# What is left


def sample() -> Sample:
    """What this process has, now."""
    engines = [each for each in gc.get_objects() if type(each) is Engine and not each.closed]
    return {
        "fds": len(os.listdir("/dev/fd")) if os.path.exists("/dev/fd") else 0,
        "tasks": len(asyncio.all_tasks()),
        "endpoints": len(engines),
        "connections": sum(len(each.channels) for each in engines),
        "time_waits": sum(len(each.time_waits) for each in engines),
        "deadlines": sum(each._deadlines._live for each in engines),
        # Entries of the heap for deadlines that have moved; they may be half of it.
        "overtaken": sum(
            max(0, len(each._deadlines._heap) - 2 * each._deadlines._live) for each in engines
        ),
        "timers": sum(each._deadlines._timer is not None for each in engines),
        "held_back": sum(len(each._unsent) + len(each._stalled) for each in engines),
        "rss": resident(),
        "blocks": sys.getallocatedblocks(),
        "objects": len(gc.get_objects()),
    }


def resident() -> int:
    """Bytes of resident memory; 0 where the system does not tell (no /proc)."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return 0


async def quiet_sample(baseline: Sample | None) -> Sample:
    """A sample when what can be counted is as in `baseline`, or as it is after a while."""
    loop = asyncio.get_running_loop()
    until = loop.time() + (SETTLE if baseline is None else QUIET)
    while loop.time() < until:
        await asyncio.sleep(0.25)
        if baseline is not None and counted(sample()) == counted(baseline):
            break
    gc.collect()
    return sample()


def counted(one: Sample) -> Sample:
    return {name: one[name] for name in COUNTED}


# The server


def content(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


class Soaked:
    """The server's end: it does what the first line of each connection says."""

    def __init__(self) -> None:
        self._baseline: Sample | None = None

    async def serve(self, host: str, announce: bool = False) -> None:
        server = await rudp.start_server(self._handle, host, PORT, config=CONFIG)
        if announce:
            print("ready", flush=True)
        async with server:
            await server.serve_forever()

    async def _handle(self, reader: Reader, writer: Writer) -> None:
        # It may be an abort: the client knows whether it was meant.
        with contextlib.suppress(OSError):
            await self._answer(reader, writer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def _answer(self, reader: Reader, writer: Writer) -> None:
        order: dict[str, Any] = json.loads(await reader.readline())
        if order["kind"] == "sample":
            one = await quiet_sample(self._baseline)
            self._baseline = self._baseline or one
            writer.write(json.dumps(one).encode() + b"\n")
            return
        if order["kind"] == "talk":
            while question := await reader.readline():
                writer.write(digest(question).encode() + b"\n")
            return
        got = hashlib.blake2b(digest_size=16)
        left = order["up"]
        while left and (data := await reader.read(min(CHUNK, left))):
            got.update(data)
            left -= len(data)
            if order["kind"] == "slow":
                await asyncio.sleep(0.05)
        if order["kind"] == "half-close" and await reader.read(1):
            raise SoakError("more came than was announced")
        if order["kind"] == "refused":
            writer.transport.abort()
            return
        writer.write(got.hexdigest().encode() + b"\n" + content(order["seed"], order["down"]))
        await writer.drain()


# The client


class Client:
    """Connections of all kinds, some at a time, for as long as asked."""

    def __init__(self, host: str, seconds: float, period: float, seed: int) -> None:
        self._host = host
        self._period = period
        self._random = random.Random(seed)
        self._seconds = seconds
        self._now = asyncio.get_running_loop().time
        self._began = self._now()
        self._baseline: Sample | None = None
        self.samples: list[tuple[Sample, Sample]] = []
        self.done: Counter[str] = Counter()
        self.opened = 0
        self.bytes = 0
        self.failures: list[str] = []

    async def run(self) -> None:
        for _ in range(max(1, round(self._seconds / self._period))):
            stop = self._now() + self._period
            await asyncio.gather(*(self._work(stop) for _ in range(WORKERS)))
            await self._sample()

    async def _work(self, stop: float) -> None:
        while self._now() < stop:
            kind = self._random.choice(list(KINDS))
            try:
                await KINDS[kind](self)
            except (OSError, SoakError, asyncio.IncompleteReadError) as exc:
                self.failures.append(f"{kind}: {type(exc).__name__}: {exc}")
            self.done[kind] += 1

    async def _open(self, kind: str, **order: Any) -> tuple[Reader, Writer]:
        reader, writer = await rudp.open_connection(self._host, PORT, config=CONFIG)
        self.opened += 1
        writer.write(json.dumps({"kind": kind, **order}).encode() + b"\n")
        return reader, writer

    async def _sample(self) -> None:
        reader, writer = await self._open("sample")
        theirs: Sample = json.loads(await reader.readline())
        await close(writer)
        ours = await quiet_sample(self._baseline)
        self._baseline = self._baseline or ours
        self.samples.append((ours, theirs))
        print(self._line(ours, theirs), flush=True)

    def _line(self, ours: Sample, theirs: Sample) -> str:
        both = "   ".join(
            f"{name} {one['rss'] / 2**20:.1f} MiB, {one['blocks']} blocks, {one['fds']} fds, "
            f"{one['tasks']} tasks, {one['connections']} connections, {one['time_waits']} "
            f"TIME-WAIT, {one['deadlines']} deadlines"
            for name, one in (("client", ours), ("server", theirs))
        )
        seconds = self._now() - self._began
        so_far = f"{self.opened:7} opened  {self.bytes / 1e6:8.1f} MB"
        return f"{seconds:6.0f} s  {so_far}  {both}"

    # Kinds of use

    async def exchange(self, kind: str, most: int) -> None:
        """Bytes up, their digest and bytes down."""
        up, down = (int(most ** self._random.random()) for _ in "ud")
        seed = self._random.randrange(2**32)
        data = content(seed ^ 1, up)
        reader, writer = await self._open(kind, up=up, down=down, seed=seed)
        for start in range(0, up, CHUNK):
            writer.write(data[start : start + CHUNK])
            await writer.drain()
        if kind == "half-close":
            writer.write_eof()
        if kind == "refused":
            with contextlib.suppress(ConnectionResetError, TimeoutError):
                if await reader.read(-1):
                    raise SoakError("an answer came where a reset was due")
                raise SoakError("the connection ended in good order where a reset was due")
            await close(writer)
            return
        if kind == "idle":
            await asyncio.sleep(self._random.uniform(1.0, 3.0))
        if kind == "abort":
            await asyncio.sleep(self._random.uniform(0.0, 0.1))
            writer.transport.abort()
            await close(writer)
            return
        told = (await reader.readline()).decode().strip()
        if kind == "slow":
            await asyncio.sleep(0.5)
        got = await reader.read(-1)
        if told != digest(data) or got != content(seed, down):
            raise SoakError(f"{up} bytes up or {down} down arrived as others")
        self.bytes += up + down
        writer.close()
        await writer.wait_closed()

    async def talk(self) -> None:
        """Questions and answers, one after another."""
        reader, writer = await self._open("talk")
        for _ in range(self._random.randrange(1, 20)):
            question = b"%x\n" % self._random.getrandbits(8 * self._random.randrange(1, 200))
            writer.write(question)
            if (await reader.readline()).decode().strip() != digest(question):
                raise SoakError("another answer came")
            self.bytes += len(question)
        writer.close()
        await writer.wait_closed()

    async def crowd(self) -> None:
        """Many at once, small ones."""
        await asyncio.gather(*(self.exchange("plain", 1000) for _ in range(CROWD)))


def exchange(kind: str, most: int) -> Callable[[Client], Awaitable[None]]:
    return lambda client: client.exchange(kind, most)


KINDS: dict[str, Callable[[Client], Awaitable[None]]] = {
    "plain": exchange("plain", 300_000),
    "half-close": exchange("half-close", 300_000),
    "idle": exchange("idle", 10_000),
    "slow": exchange("slow", 200_000),
    "abort": exchange("abort", 100_000),
    "refused": exchange("refused", 1_000),
    "talk": Client.talk,
    "crowd": Client.crowd,
}


async def close(writer: Writer) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


# The verdict


def complaints(client: Client) -> list[str]:
    """What speaks against it, a sentence each."""
    found = [f"failed: {failure}" for failure in client.failures[:10]]
    if len(client.failures) > 10:
        found.append(f"and {len(client.failures) - 10} more failures")
    if len(client.samples) < 4:
        found.append("too short: there are less than four samples")
        return found
    for end, name in enumerate(("client", "server")):
        samples = [pair[end] for pair in client.samples]
        found += [f"{name}: {each}" for each in uneven(samples) + growing(samples)]
    return found


def uneven(samples: list[Sample]) -> list[str]:
    return [
        f"{name} is {one[name]} at sample {number}, and was {samples[0][name]}"
        for number, one in enumerate(samples, 1)
        for name in COUNTED
        if one[name] != samples[0][name]
    ]


def growing(samples: list[Sample]) -> list[str]:
    half, last = len(samples) // 2, len(samples) - max(1, len(samples) // 4)
    found = []
    for name, (amount, share) in NOISE.items():
        before = statistics.median(one[name] for one in samples[half:last])
        after = statistics.median(one[name] for one in samples[last:])
        if after - before > max(amount, share * before):
            found.append(f"{name} grew from {before:.0f} to {after:.0f} in the second half")
    return found


def judge(client: Client) -> int:
    print(f"{client.opened} connections, {client.bytes} bytes with their digests")
    print("uses: " + ", ".join(f"{count} {kind}" for kind, count in sorted(client.done.items())))
    found = complaints(client)
    print(*found, "NOT FLAT" if found else "flat, and every digest was right", sep="\n")
    return 1 if found else 0


# How it is run


def simulated(arguments: argparse.Namespace) -> int:
    """Both ends in one process, and in virtual time."""

    async def scenario(network: sim.Network) -> int:
        server, host = network.host("server"), network.host("client")
        server.start(Soaked().serve("0.0.0.0"))
        return await host.run(drive("server", arguments))

    path = sim.Conditions(rate=RATE, delay=DELAY, queue=QUEUE, loss=arguments.loss)
    return sim.run(scenario, arguments.seed, conditions=path, limit=1e9)


def emulated(arguments: argparse.Namespace) -> int:
    """The two ends as processes in two namespaces."""
    if (reason := missing()) is not None:
        print(f"{reason}; --simulated needs nothing", file=sys.stderr)
        return 2
    way = Conditions(rate=RATE, delay=DELAY, queue=QUEUE, loss=arguments.loss)
    with Link(way, way, arguments.seed) as link:
        program = [sys.executable, str(Path(__file__).resolve()), *sys.argv[1:]]
        serve = ["ip", "netns", "exec", link.b, *program, "--end", "server"]
        server = subprocess.Popen(serve, stdout=subprocess.PIPE)
        assert server.stdout is not None
        server.stdout.readline()  # it listens
        try:
            run = ["ip", "netns", "exec", link.a, *program, "--end", "client"]
            status = subprocess.run(run, check=False).returncode
        finally:
            server.terminate()
            server.wait(10)
    for name, counts in (("up", link.report.forth), ("down", link.report.back)):
        print(f"{name}: {counts.offered} packets, {counts.lost} lost")
    return status


def run_end(arguments: argparse.Namespace) -> int:
    with asyncio.Runner(loop_factory=LOOPS[arguments.loop]) as runner:
        if arguments.end == "server":
            return runner.run(_ended(Soaked().serve(HOST_B, announce=True)))
        return runner.run(drive(HOST_B, arguments))


async def drive(host: str, arguments: argparse.Namespace) -> int:
    client = Client(host, arguments.seconds, arguments.period, arguments.seed)
    await client.run()
    return judge(client)


async def _ended(program: Coroutine[Any, Any, None]) -> int:
    await program
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Open, use and close connections, and look back.")
    parser.add_argument(
        "--seconds", type=float, default=1800.0, help="how long, without the pauses (1800)"
    )
    parser.add_argument("--period", type=float, help=f"between two samples ({PERIOD:.0f})")
    parser.add_argument("--loop", choices=sorted(LOOPS), default="asyncio")
    parser.add_argument("--loss", type=float, default=0.01, help="of packets, each way (0.01)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--simulated", action="store_true", help="in the simulated network")
    parser.add_argument("--end", choices=("server", "client"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.seconds <= 0 or not 0 <= arguments.loss < 1:
        parser.error("--seconds has to be more than 0, and --loss from 0 to less than 1")
    if arguments.period is None:
        arguments.period = min(PERIOD, arguments.seconds / 8)
    return arguments


def main() -> int:
    arguments = parse()
    logging.getLogger("rudp").setLevel(logging.ERROR)  # losses are what it is about
    if arguments.simulated:
        return simulated(arguments)
    return run_end(arguments) if arguments.end else emulated(arguments)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
