"""Whole programs over rudp's streams in `rudp.sim`: hosts, their network, and applications on them.

A server and up to three clients hold a few conversations, each with bytes both ways, while the
network falls into parts, links change, and hosts stand still. Half of the runs are *rough*: hosts
crash as well, and applications abort. The same two demands as for a pair, as an application sees
them:

- SAFETY: what is read is what was written, up to there; EOF comes once, after all of it;
- LIVENESS, once all is healed: every conversation ends within a bounded time, unless rough each of
  them whole and without an error; a `wait_closed()` that raised nothing was right; and when all
  have let go, nothing is left: no task, no timer, no socket.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final

import rudp
from rudp.sim.conditions import Conditions
from rudp.sim.hosts import Host
from rudp.sim.network import Network
from rudp.sim.simulation import Simulation
from rudp.sim.swarm.draws import draw_config
from rudp.sim.swarm.noted import NOTED
from rudp.sim.swarm.pair import Outcome
from rudp.sim.swarm.watch import Violation

_PORT: Final = 7000
_NUMBER: Final = 2
"""Bytes at the start of what a client writes: which conversation it is."""
_DORMANT_AFTER: Final = 0.01
"""Seconds: in many a pause a connection falls asleep."""
_PATIENCE: Final = 600.0
"""Seconds after the healing in which everything has to have come to an end."""
_REST: Final = 130.0
"""Seconds in which the last TIME-WAIT ends, and what is on its way arrives."""
_TRACE_LINES: Final = 40


@dataclass
class End:
    """One side of a conversation: what it does, and what came of it."""

    name: str
    write: bytes
    expect: bytes
    chunk: int
    write_pause: float
    read_size: int
    read_pause: float
    answer: bool = False
    """Write only after the other's EOF."""
    abort_at: float | None = None
    """Seconds after its connection is there."""
    read: int = 0
    eof: bool = False
    aborted: bool = False
    gone: bool = False
    """It has crashed, or never was there because the other has."""
    over: bool = False
    closed: bool = False
    """`wait_closed()` has returned, and raised nothing."""
    error: OSError | None = None

    def __str__(self) -> str:
        fate = "gone" if self.gone else "over" if self.over else "going on"
        return (
            f"{self.name}: {fate}, read {self.read} of {len(self.expect)}"
            f"{' and EOF' if self.eof else ''}{', aborted' if self.aborted else ''}, "
            f"error {self.error!r}"
        )


class Streams:
    """One run. Made from a seed alone."""

    def __init__(self, seed: int) -> None:
        self._random = random = Random(f"streams {seed}")
        self._rough = random.random() < 0.5
        self._seed = seed
        self.seen: set[str] = set()
        self._simulation = Simulation(seed, limit=3 * _PATIENCE)
        self._network = self._simulation.network
        self._network.trace = deque()
        self._conversations: list[tuple[Host, End, End]] = []
        self._violation: BaseException | None = None
        self._heal_at = random.uniform(1, 15)

    @property
    def trace(self) -> list[str]:
        """All that has happened to datagrams, a line for each."""
        return list(self._network.trace)

    def run(self) -> Outcome:
        """Run to the end, and return how it went. Any demand that is not met is an
        AssertionError."""
        try:
            seconds = self._simulation.run(self._scenario)
        except Exception as failure:
            tail = "\n".join(self.trace[-_TRACE_LINES:])
            raise AssertionError(
                f"{type(failure).__name__}: {failure}\n\n{tail}\n\n{self._describe()}\n\n"
                f"replay: python -m rudp.sim swarm --scenario streams --seed {self._seed}"
            ) from failure
        digest = hashlib.blake2b(self._simulation.trace_hash.encode(), digest_size=16)
        digest.update(self._describe().encode())
        for link in self._network._links.values():
            self.seen.update(f"network: {fault}" for fault in link.faults)
        seen = frozenset(f"streams: {what}" for what in self.seen)
        return Outcome(digest.hexdigest(), seconds, self._network.datagrams, seen=seen)

    def _describe(self) -> str:
        return "\n".join(f"{end}" for _, *ends in self._conversations for end in ends)

    # -- the whole of it -------------------------------------------------------------------------

    async def _scenario(self, network: Network) -> float:
        random, loop = self._random, asyncio.get_running_loop()
        server = network.host("server")
        clients = [network.host(f"client {number}") for number in range(random.randint(1, 3))]
        for client in clients:
            network.link(client, server, self._draw_link(), self._draw_link())
        for number in range(random.randint(1, 5)):
            self._conversations.append((random.choice(clients), *self._draw_ends(number)))
        stop = asyncio.Event()
        server.start(self._serve(stop))
        for client, ours, _ in self._conversations:
            client.start(self._call(ours))
        await self._weather(network, server, clients, stop)
        network.heal()
        limit = loop.time() + _PATIENCE
        while not all(end.over or end.gone for _, *ends in self._conversations for end in ends):
            self._give_up_what_cannot_be()
            if self._violation is not None:
                raise self._violation
            if loop.time() > limit:
                raise Violation(f"not over {_PATIENCE:g} s after the healing")
            await asyncio.sleep(0.5)
        seconds = loop.time()
        self._check_ends()
        stop.set()
        if self._violation is not None:
            raise self._violation
        while server.tasks:  # who does not know yet that its client is gone
            if loop.time() > limit:
                raise Violation(f"the server does not end: {server.tasks}")
            await asyncio.sleep(0.5)
        await asyncio.sleep(_REST)
        self._check_leftovers(network)
        return seconds

    async def _weather(
        self, network: Network, server: Host, clients: list[Host], stop: asyncio.Event
    ) -> None:
        """Until the moment of healing, one thing after the other."""
        random, loop = self._random, asyncio.get_running_loop()
        while (left := self._heal_at - loop.time()) > 0:
            await asyncio.sleep(min(left, random.expovariate(0.3)))
            span = min(random.choice((0.2, 2.0, 10.0)), max(0.0, self._heal_at - loop.time()))
            host = random.choice((server, *clients))
            match random.randrange(5 if self._rough else 3):
                case 0:
                    self.seen.add("partition")
                    network.partition([server], [random.choice(clients)])
                    await asyncio.sleep(span)
                    network.partition()
                case 1:
                    self.seen.add("frozen host")
                    host.freeze()
                    await asyncio.sleep(span)
                    host.thaw()
                case 2:
                    self.seen.add("another path")
                    network.link(random.choice(clients), server, self._draw_link())
                case _ if span:
                    self.seen.add("crash")
                    await self._crash(host, server, span, stop)

    async def _crash(self, host: Host, server: Host, span: float, stop: asyncio.Event) -> None:
        host.crash()
        for client, ours, theirs in self._conversations:
            end = theirs if host is server else ours
            if (host is server or host is client) and not end.over:
                end.gone = True
        await asyncio.sleep(span)
        host.boot()
        if host is server:
            server.start(self._serve(stop))

    # -- the applications ------------------------------------------------------------------------

    async def _serve(self, stop: asyncio.Event) -> None:
        config = self._config()
        server = await rudp.start_server(self._handle, "0.0.0.0", _PORT, config=config)
        await stop.wait()
        server.close()
        await server.wait_closed()

    async def _call(self, end: End) -> None:
        await asyncio.sleep(self._random.uniform(0.01, 3))
        config = self._config()
        try:
            reader, writer = await rudp.open_connection("server", _PORT, config=config)
        except OSError as error:
            end.error, end.over = error, True
            return
        await self._talk(end, reader, writer)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            number = int.from_bytes(await reader.readexactly(_NUMBER), "big")
        except (OSError, asyncio.IncompleteReadError) as error:
            # Its client has aborted or crashed, or all that came were its ghosts.
            if not self._rough:
                self._violation = Violation(f"a client did not say who it is: {error!r}")
            writer.close()
            return
        end = self._conversations[number][2]
        if end.gone:
            writer.transport.abort()  # it belongs to the server that was here before
            return
        end.read = _NUMBER
        await self._talk(end, reader, writer)

    async def _talk(
        self, end: End, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Both directions at once, as far as that goes, and the close."""
        heard = asyncio.get_running_loop().create_future()
        parts: list[Coroutine[Any, Any, None]] = [
            self._hear(end, reader, heard),
            self._say(end, writer, heard),
        ]
        if end.abort_at is not None:
            parts.append(self._abort(end, writer))
        for result in await asyncio.gather(*parts, return_exceptions=True):
            if isinstance(result, OSError):
                end.error = end.error or result
            elif isinstance(result, BaseException):
                self._violation = self._violation or result  # asyncio would only report it
        writer.close()
        try:
            await writer.wait_closed()
            end.closed = True
        except OSError as error:
            end.error = end.error or error
        end.over = True

    async def _hear(
        self, end: End, reader: asyncio.StreamReader, heard: asyncio.Future[None]
    ) -> None:
        try:
            while data := await reader.read(end.read_size):
                if data != end.expect[end.read : end.read + len(data)]:
                    raise Violation(f"{end.name} read at {end.read} what was not written there")
                end.read += len(data)
                if end.read_pause:
                    await asyncio.sleep(self._random.random() * end.read_pause)
            if end.aborted:
                return  # asyncio tells who has aborted by an EOF
            if end.read < len(end.expect):
                raise Violation(f"{end.name} has an EOF after {end.read} bytes")
            if not reader.at_eof() or await reader.read(1):
                raise Violation(f"{end.name} reads on after its EOF")
            end.eof = True
        finally:
            heard.set_result(None)

    async def _say(
        self, end: End, writer: asyncio.StreamWriter, heard: asyncio.Future[None]
    ) -> None:
        if end.answer:
            await heard
            self.seen.add("answer after the other's EOF")
        transport: Any = writer.transport
        for start in range(0, len(end.write), end.chunk):
            if transport.is_closing():
                return
            if transport._channel.awake is None:
                self.seen.add("woken")
            writer.write(end.write[start : start + end.chunk])
            await writer.drain()
            if end.write_pause:
                await asyncio.sleep(self._random.random() * end.write_pause)
        if not writer.transport.is_closing():
            writer.write_eof()

    async def _abort(self, end: End, writer: asyncio.StreamWriter) -> None:
        assert end.abort_at is not None
        await asyncio.sleep(end.abort_at)
        if not end.eof:
            self.seen.add("abort")
            end.aborted = True
            writer.transport.abort()

    # -- what is demanded at the end -------------------------------------------------------------

    def _give_up_what_cannot_be(self) -> None:
        """Where a client is over, or gone, before its server has heard of it, there is none."""
        for _, ours, theirs in self._conversations:
            if self._rough and (ours.over or ours.gone) and not theirs.read:
                theirs.gone = True

    def _check_ends(self) -> None:
        for _, *ends in self._conversations:
            for end, other in (ends, ends[::-1]):
                failed = end.error is not None or not end.closed or not end.eof
                if not self._rough and failed:
                    raise Violation(f"it should have ended well, {end}")
                unhurt = not (other.gone or other.aborted or other.error)
                if end.closed and not end.aborted and not end.error and unhurt and not other.eof:
                    raise Violation(f"wait_closed() said that all had arrived; but {other}")
                if end.error is not None:
                    self.seen.add(f"ends with {errno.errorcode.get(end.error.errno or 0, '-')}")

    def _check_leftovers(self, network: Network) -> None:
        loop: Any = network.loop
        if sockets := [repr(each) for host in network.hosts.values() for each in host.sockets]:
            raise Violation(f"sockets are left: {', '.join(sockets)}")
        timers = [timer for timer in loop._scheduled if not timer.cancelled()]
        if timers:
            raise Violation(f"timers are left: {timers}")
        tasks = [task for host in network.hosts.values() for task in host.tasks]
        if tasks:
            raise Violation(f"tasks are left: {tasks}")

    # -- what is drawn ---------------------------------------------------------------------------

    def _config(self) -> rudp.Config:
        config = draw_config(self._random)
        # A congestion control that is not rudp's own would keep connections awake.
        name = next(name for name, cls in NOTED.items() if cls is config.congestion)
        return replace(config, congestion=name, dormant_after=_DORMANT_AFTER, **self._nerves())

    def _nerves(self) -> dict[str, Any]:
        """How soon a host gives up: where others may be gone for good, soon."""
        if not self._rough:
            return {"user_timeout": None, "syn_ack_retransmissions": 30}
        keepalive = rudp.Keepalive(idle=1.0, interval=1.0, count=20)
        return {"keepalive": keepalive, "user_timeout": 30.0, "connect_timeout": 30.0}

    def _draw_link(self) -> Conditions:
        random = self._random
        return Conditions(
            rate=random.choice((30_000, 300_000, 3e6)),
            delay=random.choice((0.0001, 0.01, 0.1)),
            jitter=random.choice((0.0, 0.01)),
            mtu=random.choice((1500, 1500, 1280, 1000)),
            black_hole=random.random() < 0.5,
            loss=random.choice((0.0, 0.02, 0.2)),
            loss_burst=random.choice((1.0, 3.0)),
            reordering=random.choice((0.0, 0.2)),
            duplication=random.choice((0.0, 0.2)),
            corruption=random.choice((0.0, 0.02)),
        )

    def _draw_ends(self, number: int) -> tuple[End, End]:
        random = self._random
        sizes = [random.choice((0, 1, 2000, random.randrange(40_000))) for _ in "ab"]
        up = number.to_bytes(_NUMBER, "big") + random.randbytes(sizes[0])
        down = random.randbytes(sizes[1])
        client = self._draw_end(f"client of {number}", up, down)
        server = self._draw_end(f"server of {number}", down, up)
        server.answer = random.random() < 0.3
        if self._rough and random.random() < 0.7:
            random.choice((client, server)).abort_at = random.uniform(0, 5)
        return client, server

    def _draw_end(self, name: str, write: bytes, expect: bytes) -> End:
        random = self._random
        return End(
            name,
            write,
            expect,
            chunk=random.choice((100, 4000, 60_000)),
            write_pause=random.choice((0.0, 0.0, 0.05)),
            read_size=random.choice((1000, 65_536)),
            read_pause=random.choice((0.0, 0.0, 0.1)),
        )
