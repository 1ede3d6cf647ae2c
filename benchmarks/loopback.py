"""rudp beside asyncio's own TCP streams: the same program over both, on the loopback interface.

    python benchmarks/loopback.py [--rounds N] [--seconds S] [--only NAME] [--json FILE]
                                  [--config FIELD=VALUE ...]

Three things are measured, on every event loop that is installed, with default settings, or with
those of rudp.Config that are given (`--config busy_poll=0`):

    bulk       bytes one way, from the first write until the server confirms that it read them all
    echo       the round trip of 64 bytes: the median and the 99th percentile
    connect    connect, echo 64 bytes, close and wait until closed: one connection after the other,
               and 16 at once

One after the other, each step waits until the other process has been woken: that is a latency, in
another form. With 16 at once both have always something to do, and what counts is what it costs
them.

The server runs in a process of its own. Both sides read at most 64 KiB at a time. What changes
between two measurements that are compared is only the pair of functions in TRANSPORTS. The rounds
are interleaved (TCP, rudp; rudp, TCP; ...), so that whatever else the machine does meets both, and
each figure is the median of the rounds. Speeds differ between machines and by the hour: the last
column, rudp/tcp, is what to look at. It says nothing about other networks: loopback has no delay
and loses only what does not fit a buffer.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import contextlib
import functools
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

try:
    import rudp
except ModuleNotFoundError:  # From a checkout with nothing installed.
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    import rudp
from rudp._compiled import FORM

try:
    import uvloop
except ModuleNotFoundError:
    uvloop = None  # type: ignore[assignment, unused-ignore]

TRANSPORTS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "tcp": (asyncio.open_connection, asyncio.start_server),
    "rudp": (rudp.open_connection, rudp.start_server),
}
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
if uvloop is not None:
    LOOPS["uvloop"] = uvloop.new_event_loop

HOST = "127.0.0.1"
READ = 65536
CHUNK = bytes(READ)
MESSAGE = bytes(range(64))
AT_ONCE = 16
BULK, ECHO = b"B", b"E"  # The first byte of a connection says what the server shall do with it.

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], Awaitable[Streams]]


# The server's process


async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Count what comes until EOF and answer with the number."""
    total = 0
    while data := await reader.read(READ):
        total += len(data)
    writer.write(total.to_bytes(8, "big"))


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send every message back."""
    with contextlib.suppress(asyncio.IncompleteReadError):
        while True:
            writer.write(await reader.readexactly(len(MESSAGE)))


SERVICES = {BULK: count, ECHO: echo}


async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await SERVICES[await reader.readexactly(1)](reader, writer)
    await close(writer)


def setting(text: str) -> str:
    """An argument FIELD=VALUE, if rudp.Config takes it."""
    if "=" not in text:
        raise argparse.ArgumentTypeError(f"{text}: it has to be FIELD=VALUE")
    try:
        configuration([text])
    except (SyntaxError, TypeError, ValueError) as exc:
        raise argparse.ArgumentTypeError(f"{text}: {exc}") from None
    return text


def configuration(settings: list[str]) -> rudp.Config:
    fields = (text.partition("=") for text in settings)
    return rudp.Config(**{name: ast.literal_eval(value) for name, _, value in fields})


def configure(settings: list[str]) -> None:
    """Have both sides of rudp use these fields of rudp.Config."""
    config = configuration(settings)
    TRANSPORTS["rudp"] = (
        functools.partial(rudp.open_connection, config=config),
        functools.partial(rudp.start_server, config=config),
    )


async def serve(transport: str) -> None:
    """Print the port, then serve until standard input ends: with the parent, however that goes."""
    server = await TRANSPORTS[transport][1](handle, HOST, 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.buffer.read)
    server.close()


@contextlib.contextmanager
def server_process(transport: str, loop: str, settings: list[str]) -> Iterator[int]:
    command = [sys.executable, __file__, "--serve", transport, loop, "--config", *settings]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise SystemExit(f"the {transport} server on {loop} did not start")
            yield int(line)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()


# The client's side: each measurement returns its figures, in the order of FIGURES


async def measure_bulk(connect: Connect, seconds: float) -> list[float]:
    reader, writer = await connect()
    total, elapsed = await pour(reader, writer, seconds)
    await close(writer)
    return [total * 8 / elapsed / 1e9]


async def pour(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float
) -> tuple[int, float]:
    """Write for so long. How many bytes the server confirms, and the seconds until it did."""
    start = time.perf_counter()
    writer.write(BULK)
    total = 0
    while time.perf_counter() - start < seconds:
        writer.write(CHUNK)
        total += len(CHUNK)
        await writer.drain()
    writer.write_eof()
    confirmed = int.from_bytes(await reader.readexactly(8), "big")
    elapsed = time.perf_counter() - start
    if confirmed != total:
        raise RuntimeError(f"{total} bytes were sent, and {confirmed} arrived")
    return total, elapsed


async def measure_echo(connect: Connect, seconds: float) -> list[float]:
    reader, writer = await connect()
    writer.write(ECHO)
    times: list[float] = []
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end or len(times) < 2:
        writer.write(MESSAGE)
        await reader.readexactly(len(MESSAGE))
        times.append((time.perf_counter() - start) * 1e6)
    await close(writer)
    return [statistics.median(times), statistics.quantiles(times, n=100)[98]]


async def measure_connect(connect: Connect, seconds: float) -> list[float]:
    return [await connect_rate(connect, seconds, number) for number in (1, AT_ONCE)]


async def connect_rate(connect: Connect, seconds: float, at_once: int) -> float:
    """Connections a second, if there are always `at_once`."""
    done = 0
    start = time.perf_counter()

    async def repeat() -> None:
        nonlocal done
        while not done or time.perf_counter() - start < seconds:
            reader, writer = await connect()
            writer.write(ECHO + MESSAGE)
            await reader.readexactly(len(MESSAGE))
            await close(writer)
            done += 1

    await asyncio.gather(*(repeat() for _ in range(at_once)))
    return done / (time.perf_counter() - start)


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()


MEASUREMENTS: dict[str, Callable[[Connect, float], Awaitable[list[float]]]] = {
    "bulk": measure_bulk,
    "echo": measure_echo,
    "connect": measure_connect,
}
FIGURES = {
    "bulk": [("bulk, one way", "Gbit/s")],
    "echo": [("echo, median", "us"), ("echo, p99", "us")],
    "connect": [
        ("connect-echo-close, in turn", "1/s"),
        (f"connect-echo-close, {AT_ONCE} at once", "1/s"),
    ],
}


def run_one(measurement: str, transport: str, loop: str, port: int, seconds: float) -> list[float]:
    """One measurement on a loop of its own; raises TimeoutError when it takes much too long."""

    async def main() -> list[float]:
        async with asyncio.timeout(10 + 5 * seconds):
            return await MEASUREMENTS[measurement](
                lambda: TRANSPORTS[transport][0](HOST, port), seconds
            )

    try:
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            return runner.run(main())
    except Exception as exc:
        exc.add_note(f"This was {measurement} over {transport} on {loop}.")
        raise


# All of it


def run_all(
    names: list[str], rounds: int, seconds: float, settings: list[str]
) -> dict[tuple[str, str, str], Any]:
    """(measurement, loop, transport) -> a list of figures for each round."""
    results: dict[tuple[str, str, str], Any] = {}
    with contextlib.ExitStack() as stack:
        ports = {
            (transport, loop): stack.enter_context(server_process(transport, loop, settings))
            for loop in LOOPS
            for transport in TRANSPORTS
        }
        for number in range(rounds):
            # Who goes first takes turns as well.
            order = list(TRANSPORTS) if number % 2 == 0 else list(reversed(TRANSPORTS))
            for name in names:
                for loop in LOOPS:
                    for transport in order:
                        figures = run_one(name, transport, loop, ports[transport, loop], seconds)
                        results.setdefault((name, loop, transport), []).append(figures)
            progress(f"round {number + 1} of {rounds}")
    return results


def progress(message: str) -> None:
    if sys.stderr.isatty():
        print(message, file=sys.stderr)


def summarise(results: dict[tuple[str, str, str], Any], names: list[str]) -> list[dict[str, Any]]:
    """A row for each figure and loop: the medians of both transports, their ratio, every round."""
    rows = []
    for name in names:
        for index, (label, unit) in enumerate(FIGURES[name]):
            for loop in LOOPS:
                row: dict[str, Any] = {"measurement": label, "unit": unit, "loop": loop}
                for transport in TRANSPORTS:
                    values = [figures[index] for figures in results[name, loop, transport]]
                    row[transport] = statistics.median(values)
                    row[f"{transport}_rounds"] = values
                row["ratio"] = row["rudp"] / row["tcp"]
                rows.append(row)
    return rows


def machine() -> dict[str, Any]:
    return {
        "rudp": getattr(rudp, "__version__", "unknown"),
        "rudp_form": FORM,
        "rudp_path": str(Path(rudp.__file__ or "").parent),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "uvloop": getattr(uvloop, "__version__", None),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpus": os.cpu_count(),
    }


def print_table(rows: list[dict[str, Any]]) -> None:
    header = ("measurement", "unit", "loop", *TRANSPORTS, "rudp/tcp")
    body = [
        (
            row["measurement"],
            row["unit"],
            row["loop"],
            *(f"{row[transport]:.2f}" for transport in TRANSPORTS),
            f"{row['ratio']:.2f}",
        )
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(header, *body, strict=True)]
    for line in (header, *body):
        words = [line[i].ljust(widths[i]) if i < 3 else line[i].rjust(widths[i]) for i in range(6)]
        print("  ".join(words))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="rudp beside asyncio's TCP streams, on loopback.")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (default: 5)")
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="length of each measurement (default: 1)"
    )
    parser.add_argument("--only", choices=list(MEASUREMENTS), help="measure only this")
    parser.add_argument(
        "--config",
        nargs="*",
        type=setting,
        default=[],
        metavar="FIELD=VALUE",
        help="fields of rudp.Config, for both sides (default: none)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)  # The server's process.
    options = parser.parse_args()
    if options.rounds < 1 or options.seconds <= 0:
        parser.error("--rounds must be 1 or more, and --seconds more than 0")
    return options


def main() -> None:
    options = arguments()
    if options.config:
        configure(options.config)
    if options.serve:
        transport, loop = options.serve
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(serve(transport))
        return
    about = machine()
    print(f"rudp {about['rudp']} ({about['rudp_form']}) from {about['rudp_path']}")
    print(about["python"], end=", ")
    print(f"uvloop {about['uvloop']}" if about["uvloop"] else "uvloop is not installed")
    print(f"{about['system']}, {about['cpus']} CPUs, two processes, reads of at most 64 KiB")
    print(f"medians of {options.rounds} rounds of {options.seconds:g} s", *options.config)
    print(flush=True)
    names = [options.only] if options.only else list(MEASUREMENTS)
    rows = summarise(run_all(names, options.rounds, options.seconds, options.config), names)
    print_table(rows)
    if options.json:
        about.update(rounds=options.rounds, seconds=options.seconds, config=options.config)
        about.update(results=rows)
        options.json.write_text(json.dumps(about, indent=2) + "\n")


if __name__ == "__main__":
    main()
