"""`rudp demo`: one connection from its SYN to TIME-WAIT, shown, measured and checked.

An echo server and a client, each with its own `rudp.Endpoint`, share one event loop and talk over
loopback. Each part below is one step of the connection's life, and each ends in checks: the demo
is right if all of them are. Read beside it: RFC 9293, sections 3.5 (opening) and 3.6 (closing).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

import rudp
from rudp.console import Console
from rudp.console import size as in_words
from rudp.core.state import State
from rudp.ladder import LEFT, RIGHT, Ladder, Rung, lines

HOST = "127.0.0.1"
_CHUNK = 64 << 10  # bytes in one read or write; larger ones gain nothing
_ROUND_TRIPS = 200
_PING = 64  # bytes
_FAREWELL = 1 << 20  # bytes that the server sends after the client's half-close
_DIGEST = hashlib.sha256().digest_size
_TIME_LIMIT = 60.0  # seconds for all of it: a demo that stands still says so

HANDSHAKE = (
    ("SYN", LEFT, State.SYN_SENT, State.SYN_RCVD),
    ("SYN+ACK", RIGHT, State.ESTABLISHED, State.SYN_RCVD),
    ("ACK", LEFT, State.ESTABLISHED, State.ESTABLISHED),
)
CLOSE = (
    ("FIN+ACK", LEFT, State.FIN_WAIT_1, State.CLOSE_WAIT),
    ("ACK", RIGHT, State.FIN_WAIT_2, State.CLOSE_WAIT),
    ("FIN+ACK", RIGHT, State.TIME_WAIT, State.LAST_ACK),
    ("ACK", LEFT, State.TIME_WAIT, State.CLOSED),
)


def run(console: Console, transfer_size: int) -> bool:
    """Run the demo on uvloop if it is installed, and say whether all of it was right."""
    loop_name, loop_factory = _choose_loop()
    demo = _Demo(console, transfer_size)
    demo.measured["Event loop"] = loop_name
    try:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(_within(_TIME_LIMIT, demo))
    except OSError as error:
        demo.check(False, f"no error on the way: {error}")
    return demo.conclude()


async def _within(seconds: float, demo: _Demo) -> None:
    try:
        async with asyncio.timeout(seconds) as limit:
            await demo.play()
    except TimeoutError:
        if not limit.expired():
            raise  # the connection's own, which says more
        demo.check(False, f"all of it took less than {seconds:.0f} seconds")


def _choose_loop() -> tuple[str, Callable[[], asyncio.AbstractEventLoop] | None]:
    python = f"Python {platform.python_version()}"
    try:
        import uvloop
    except ImportError:
        return f"asyncio, {python}", None
    version = importlib.metadata.version("uvloop")
    return f"uvloop {version}, {python}", uvloop.new_event_loop


class _EchoServer:
    """Echoes until the client has sent its FIN, then goes on sending: half-closed is not closed."""

    def __init__(self) -> None:
        self.accepted = asyncio.Event()
        self.finished = asyncio.Event()
        self.info: rudp.TcpInfo | None = None
        self.error: OSError | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, and keep what it was like at the end."""
        self.accepted.set()
        try:
            while chunk := await reader.read(_CHUNK):
                writer.write(chunk)
                await writer.drain()
            farewell = os.urandom(_FAREWELL)
            writer.write(farewell + hashlib.sha256(farewell).digest())
            await writer.drain()
            self.info = writer.get_extra_info("tcp_info")
        except OSError as error:
            self.error = error
        writer.close()
        try:
            await writer.wait_closed()
        except OSError as error:
            self.error = self.error or error
        self.finished.set()


@dataclass
class _Demo:
    """The steps in their order, what they measured, and what was wrong."""

    console: Console
    transfer_size: int
    ladder: Ladder = field(default_factory=Ladder)
    measured: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    start: float = 0.0  # when the SYN was sent: zero on the ladders

    def check(self, right: bool, claim: str) -> None:
        """Print what is claimed and whether it is so."""
        marks = "✓✗" if self.console.unicode else "+!"
        mark = (f"  {marks[0]} ", "green") if right else (f"  {marks[1]} NOT SO: ", "bold red")
        self.console.say(mark, claim)
        if not right:
            self.wrong.append(claim)

    def conclude(self) -> bool:
        """Print what was measured and the verdict."""
        self.console.table("Measured", list(self.measured.items()))
        self.console.say()
        if self.wrong:
            self.console.say((f"Not right: {len(self.wrong)} of the checks failed.", "bold red"))
        else:
            self.console.say(("All of it was right.", "bold green"))
        return not self.wrong

    async def play(self) -> None:
        """Open, exchange, half-close and close one connection."""
        started = time.monotonic()
        server = _EchoServer()
        async with _endpoints(self.ladder) as (ours, theirs):
            listener = await theirs.start_server(server.serve)
            reader, writer = await self.open(ours, theirs.sockname[1], server)
            try:
                await self.exchange(reader, writer)
                await self.half_close(reader, writer)
                await self.close(writer, server)
            finally:
                writer.transport.abort()  # which does nothing to a connection that has ended
                listener.close()
        self.measured["All of it"] = f"{time.monotonic() - started:.2f} s"

    async def open(
        self, ours: rudp.Endpoint, port: int, server: _EchoServer
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The three-way handshake."""
        self.console.heading("Opening: the three-way handshake")
        started = time.monotonic()
        reader, writer = await ours.open_connection(HOST, port)
        self.measured["Handshake"] = f"{(time.monotonic() - started) * 1e3:.2f} ms"
        await server.accepted.wait()
        rungs = self.ladder.take()
        self.ladder.watching = False
        self.start = rungs[0].at if rungs else 0.0
        self.draw(rungs, State.CLOSED, State.LISTEN)
        self.check(climbs(rungs, HANDSHAKE), "SYN, SYN+ACK, ACK; both sides are ESTABLISHED")
        return reader, writer

    async def exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Small messages there and back for the delay, then much at once for the throughput."""
        self.console.heading(f"Sending {in_words(self.transfer_size)} through the echo and back")
        round_trip = await _round_trip(reader, writer)
        self.measured[f"Echo of {_PING} bytes"] = (
            f"{round_trip * 1e3:.3f} ms (median of {_ROUND_TRIPS})"
        )
        sent = os.urandom(self.transfer_size)
        started = time.monotonic()
        received = await self.transfer(sent, reader, writer)
        seconds = time.monotonic() - started
        self.measured["Transfer"] = f"{in_words(len(sent))} there and back in {seconds:.2f} s"
        self.measured["Throughput"] = (
            f"{in_words(len(sent) / seconds)}/s each way, both ways at once "
            f"({len(sent) * 8 / seconds / 1e9:.2f} Gbit/s)"
        )
        there = hashlib.sha256(sent).hexdigest()
        back = hashlib.sha256()
        for chunk in received:
            back.update(chunk)
        self.console.say(f"  SHA-256 sent     {there}")
        self.console.say(f"  SHA-256 received {back.hexdigest()}")
        self.check(there == back.hexdigest(), "what came back is what was sent")

    async def transfer(
        self, data: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> list[bytes]:
        """Send `data` while reading it back, with a progress bar; return the chunks received."""

        async def send() -> None:
            for offset in range(0, len(data), _CHUNK):
                writer.write(data[offset : offset + _CHUNK])
                await writer.drain()

        received: list[bytes] = []
        count = shown = 0
        step = max(len(data) // 100, 1)
        sending = asyncio.create_task(send())
        try:
            with self.console.progress("  echo", len(data)) as advance:
                while count < len(data):
                    chunk = await reader.read(min(_CHUNK, len(data) - count))
                    if not chunk:
                        break
                    received.append(chunk)
                    count += len(chunk)
                    if count - shown >= step or count == len(data):
                        shown = count
                        advance(count)
            if count == len(data):
                await sending
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        return received

    async def half_close(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """End our direction and keep receiving on the other."""
        self.console.heading("Half-close: our side has ended, the other goes on sending")
        self.note_path(writer)
        self.ladder.watching = True
        writer.write_eof()
        farewell = await reader.read(-1)
        data, digest = farewell[:-_DIGEST], farewell[-_DIGEST:]
        self.check(
            len(data) == _FAREWELL and hashlib.sha256(data).digest() == digest,
            f"{in_words(_FAREWELL)} received after our FIN, SHA-256 as the server computed it",
        )

    def note_path(self, writer: asyncio.StreamWriter) -> None:
        """Keep what the connection knows about its path, before the FIN changes its counts."""
        info = writer.get_extra_info("tcp_info")
        self.measured["Smoothed RTT"] = (
            f"{info.rtt * 1e3:.3f} ms, RTTVAR {info.rttvar * 1e3:.3f} ms, "
            f"RTO {info.rto * 1e3:.0f} ms"
        )
        self.measured["Window"] = f"cwnd {in_words(info.snd_cwnd)}, MSS {info.snd_mss} bytes"
        self.measured["Retransmissions"] = f"client: {_retransmissions(info)}"

    async def close(self, writer: asyncio.StreamWriter, server: _EchoServer) -> None:
        """The rest of the four-way close, down to TIME-WAIT on the side that closed first."""
        writer.close()
        try:
            await writer.wait_closed()
        except OSError as error:
            self.check(False, f"the client's connection ended without an error: {error}")
        await server.finished.wait()
        rungs = self.ladder.take()
        self.console.heading("Closing: the four-way close, with the half-close in its middle")
        self.draw(rungs, State.ESTABLISHED, State.ESTABLISHED)
        controls = [rung for rung in rungs if rung.control]
        self.check(climbs(controls, CLOSE), "FIN, ACK, FIN, ACK; the client is in TIME-WAIT")
        self.check(server.error is None, f"the server saw no error{_because(server.error)}")
        if server.info is not None:
            self.measured["Retransmissions"] += f"; server: {_retransmissions(server.info)}"

    def draw(self, rungs: Sequence[Rung], left: State, right: State) -> None:
        """Print a ladder under the names of its sides and the states in which they were."""
        self.console.say((f"{LEFT:>23}{'':45}{RIGHT}", "bold"))
        self.console.say(f"{left.value:>23}{'':45}{right.value}")
        drawn = lines(rungs, self.start, unicode=self.console.unicode)
        for rung, line in zip(rungs, drawn, strict=True):
            self.console.say((line, "cyan" if rung.control else "dim"))


@contextlib.asynccontextmanager
async def _endpoints(ladder: Ladder) -> AsyncIterator[tuple[rudp.Endpoint, rudp.Endpoint]]:
    """The client's and the server's endpoint, both watched by `ladder`."""
    async with (
        await rudp.Endpoint.open(local_addr=(HOST, 0), tap=ladder.tap(LEFT)) as ours,
        await rudp.Endpoint.open(local_addr=(HOST, 0), tap=ladder.tap(RIGHT)) as theirs,
    ):
        yield ours, theirs


async def _round_trip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> float:
    """Seconds from writing a small message to reading its echo: the median of many."""
    spans = []
    for _ in range(_ROUND_TRIPS):
        started = time.monotonic()
        writer.write(bytes(_PING))
        await reader.readexactly(_PING)
        spans.append(time.monotonic() - started)
    return statistics.median(spans)


def climbs(rungs: Sequence[Rung], expected: Sequence[tuple[str, str, State, State]]) -> bool:
    """Whether these rungs and no others were seen, each acknowledging what it should. What was
    sent again does not count.

    SYN and FIN occupy one sequence number each (RFC 9293 section 3.4), so each ACK is the end of
    the last SYN or FIN of the other side.
    """
    ends: dict[str, int] = {}
    rungs = [rung for rung in rungs if not rung.again]
    for rung in rungs:
        other = RIGHT if rung.sender == LEFT else LEFT
        if "ACK" in rung.control and other in ends and rung.ack != ends[other]:
            return False
        if rung.control != "ACK":
            ends[rung.sender] = rung.end
    return [(rung.control, rung.sender, rung.left, rung.right) for rung in rungs] == list(expected)


def _retransmissions(info: rudp.TcpInfo) -> str:
    return f"{info.total_retrans} of {info.segs_out} segments"


def _because(error: OSError | None) -> str:
    return f": {error}" if error else ""
