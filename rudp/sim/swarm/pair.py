"""Two connections that talk to each other over a simulated link, in virtual time.

    Pair(seed=7, config_a=Config(), config_b=Config(), link=Conditions(loss=0.2)).run()

Each side has a user who writes chunks, reads with pauses and closes, as its `Plan` says. The pair
does for each what the endpoint does: it hands over what arrived, asks for segments, events and the
next deadline, and answers for a port without a connection. Two demands are made:

- SAFETY, at every step: what was delivered is what was sent, up to there; what `watch` says about
  the wire; numbers that may only grow do; every limit holds; no event comes twice or too late.
- LIVENESS, once the link is healed: within a bounded time all data has arrived, both FINs have, and
  both sides are CLOSED.

Whatever happens follows from the seed. The message of a failure has the line that runs it again.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final

from rudp.core import codec
from rudp.core.config import Config
from rudp.core.connection import Connection, open_active, open_passive
from rudp.core.events import Event
from rudp.core.segment import Segment, SegmentError
from rudp.core.state import State
from rudp.core.stray import answer_closed, opens
from rudp.sim.swarm.network import Conditions, Link, Simulation
from rudp.sim.swarm.notation import Origin, brief
from rudp.sim.swarm.watch import Violation, Watch

_CLOSED: Final = (State.CLOSED, State.TIME_WAIT)
_MAX_STEPS: Final = 2_000_000
_MAX_SPINS: Final = 100
_RETRY: Final = 0.005
"""Seconds until a user who found too much unsent looks again."""
_TRACE_LINES: Final = 60


@dataclass(frozen=True)
class Plan:
    """What a user does with a connection."""

    total: int = 20_000
    """Bytes to write."""
    chunk: tuple[int, int] = (1, 4000)
    """Least and most bytes of one write."""
    write_pause: float = 0.0
    """Most seconds between two writes."""
    unsent_limit: int = 65536
    """Writing waits while as much is unsent."""
    read_size: tuple[int, int] = (1, 65536)
    read_pause: float = 0.0
    """Most seconds between two reads."""
    read_from: float = 0.0
    """When reading begins: until then the window fills."""
    answer: bool = False
    """Close only after the peer has: half of the connection is closed meanwhile."""
    full_close: bool = False
    """Use close() in place of write_eof() to send the FIN. For one who expects no more data."""
    abort_at: float = math.inf
    """When the user aborts."""


@dataclass
class Outcome:
    """How a run ended."""

    digest: str
    """The same for the same seed: a hash over all that was sent, when, and what came of it."""
    seconds: float
    """Virtual time until both sides were done."""
    datagrams: int
    errors: dict[str, OSError | None] = field(default_factory=dict)


class Pair:
    """Two connections, their users and the path between them."""

    def __init__(
        self,
        seed: int,
        config_a: Config | None = None,
        config_b: Config | None = None,
        link: Conditions | None = None,
        *,
        link_back: Conditions | None = None,
        plan_a: Plan | None = None,
        plan_b: Plan | None = None,
        mss: tuple[int, int] = (1452, 1452),
        path_mss: int = 0,
        iss: tuple[int, int] = (2**32 - 3000, 2**32 - 2000),
        simultaneous: bool = False,
        batching: float = 0.0005,
        heal_at: float = math.inf,
        within: float = 600.0,
        replay: str = "",
    ) -> None:
        """`within` is how many seconds after `heal_at`, or after the start if it never heals,
        both sides have to be done. `batching` is the most seconds for which what arrived waits for
        a wake-up. `path_mss`: what both believe to get through for certain, if they are to find out
        the rest; else 0. `replay` is the command that runs this again."""
        self.simulation = Simulation(1024.0)
        self.random = Random(seed)
        self.trace: list[str] = []
        self._digest = hashlib.blake2b(digest_size=16)
        self.path_mss = path_mss
        self._simultaneous = simultaneous
        self._heal_at = heal_at
        self._within = within
        self._replay = replay or f"seed {seed}"
        self._start = self.simulation.now
        forth = link or Conditions()
        back = link_back or forth
        plans = (plan_a or Plan(), plan_b or Plan())
        self.aborting = any(plan.abort_at < math.inf for plan in plans)
        streams = [self.random.randbytes(plan.total) for plan in plans]
        self.a = Side(self, "a", config_a or Config(), plans[0], streams, iss, mss[0], batching)
        self.b = Side(
            self, "b", config_b or Config(), plans[1], streams[::-1], iss[::-1], mss[1], batching
        )
        self._links = (
            Link(self.simulation, Random(self.random.random()), forth, self.b.arrive),
            Link(self.simulation, Random(self.random.random()), back, self.a.arrive),
        )
        self.a.transmit, self.b.transmit = (link.send for link in self._links)

    def run(self) -> Outcome:
        """Run to the end, and return how it went. Any demand that is not met is an AssertionError.
        Run to the end, and return how it went. Any demand that is not met is an AssertionError."""
        try:
            return self._run()
        except Exception as failure:
            tail = "\n".join(self.trace[-_TRACE_LINES:])
            raise AssertionError(
                f"{type(failure).__name__}: {failure}\n\n{tail}\n\nreplay: {self._replay}"
            ) from failure

    def _run(self) -> Outcome:
        simulation = self.simulation
        self.a.open_active()
        if self._simultaneous:
            self.b.open_active()
        if self._heal_at < math.inf:
            simulation.at(self._start + self._heal_at, self._heal)
        healed = self._heal_at if self._heal_at < math.inf else 0.0
        limit = self._start + healed + self._within
        for _ in range(_MAX_STEPS):
            if self.a.done and self.b.done:
                break
            if not simulation.step():
                raise Violation(f"all is quiet, and nothing is booked: {self.describe()}")
            if simulation.now > limit:
                raise Violation(f"not done in {self._within} s: {self.describe()}")
        else:
            raise Violation(f"{_MAX_STEPS} steps, and no end: {self.describe()}")
        seconds = simulation.now - self._start
        self._drain()
        return Outcome(
            self._digest.hexdigest(),
            seconds,
            sum(link.carried + link.dropped for link in self._links),
            {side.name: side.connection.error for side in (self.a, self.b) if side.opened},
        )

    def _drain(self) -> None:
        """Go on until nothing happens any more: TIME-WAIT has its end, and what is closed is
        silent."""
        limit = self.simulation.now + 20 * (self.a.config.msl + self.b.config.msl) + self._within
        while self.simulation.step():
            if self.simulation.now > limit:
                raise Violation(f"it does not come to rest: {self.describe()}")
        for side in (self.a, self.b):
            if not side.opened:
                continue
            if side.connection.state is not State.CLOSED or Event.CLOSED not in side.events:
                raise Violation(f"{side.name} has not come to CLOSED: {self.describe()}")

    def _heal(self) -> None:
        self.say("-", "the link is healed")
        for link in self._links:
            link.heal()

    def describe(self) -> str:
        """Both sides in a line each."""
        return f"\n{self.a.describe()}\n{self.b.describe()}"

    def say(self, who: str, what: str, raw: bytes = b"") -> None:
        """Put a line into the trace, and it with `raw` into the digest."""
        line = f"{self.simulation.now - self._start:10.6f}  {who}  {what}"
        self.trace.append(line)
        self._digest.update(line.encode() + raw)


class Side:
    """One connection, its user, and what the endpoint would do for it."""

    def __init__(
        self,
        pair: Pair,
        name: str,
        config: Config,
        plan: Plan,
        streams: list[bytes],
        iss: tuple[int, int],
        mss: int,
        batching: float,
    ) -> None:
        self.name = name
        self.config = config
        self.plan = plan
        self.events: list[Event] = []
        self.transmit: Callable[[bytes], None]
        self.read_bytes = 0
        self.written = 0
        self.eof_written = False
        self.eof_read = False
        self.closed = False
        self._pair = pair
        self._simulation = pair.simulation
        self._stream, self._expected = streams
        self._iss, self._mss, self._batching = iss[0], mss, batching
        self._ports = (40000, 9000) if name == "a" else (9000, 40000)
        self._watch = Watch(config, Origin(*iss), self._stream)
        self._connection: Connection | None = None
        self._inbox: list[bytes] = []
        self._deadline = math.inf
        self._spins = 0
        self._numbers = (0, 0, 0)
        self._reading = self._writing = False

    @property
    def connection(self) -> Connection:
        """The connection; there is none before the first SYN."""
        assert self._connection is not None
        return self._connection

    @property
    def opened(self) -> bool:
        """There is, or was, a connection."""
        return self._connection is not None

    @property
    def done(self) -> bool:
        """All that this side can do is done."""
        connection = self._connection
        if connection is None:
            return self._pair.aborting  # An attempt may be aborted before its first SYN arrives.
        if connection.state not in _CLOSED or Event.RELEASED not in self.events:
            return False
        if self._pair.aborting:
            return True
        if connection.error is not None:
            raise Violation(f"{self.name} ended with {connection.error!r}")
        if self.plan.full_close:
            return True  # This user has not waited to see the other's EOF.
        return self.eof_read and self.eof_written and self.read_bytes == len(self._expected)

    def describe(self) -> str:
        """State and progress, for a failure's message."""
        connection = self._connection
        if connection is None:
            return f"{self.name}: no connection"
        return (
            f"{self.name}: {connection.state.name}, wrote {self.written} of {len(self._stream)}"
            f"{' and EOF' if self.eof_written else ''}, read {self.read_bytes} of"
            f" {len(self._expected)}{' and EOF' if self.eof_read else ''},"
            f" unsent {connection.unsent}, readable {connection.readable}, error"
            f" {connection.error!r}, deadline in"
            f" {connection.next_deadline() - self._simulation.now:.3f} s,"
            f" events {[event.name for event in self.events]}"
        )

    # The endpoint's part -----------------------------------------------------------------

    def open_active(self) -> None:
        """Active OPEN."""
        self._connection = open_active(
            self.config,
            local_port=self._ports[0],
            peer_port=self._ports[1],
            iss=self._iss,
            now=self._simulation.now,
            mss=self._mss,
            path_mss=self._pair.path_mss,
            ts_offset=self._pair.random.randrange(2**32),
        )
        self._begin()
        self._pump()

    def arrive(self, datagram: bytes) -> None:
        """A datagram is in the socket's buffer; the loop wakes up for it a little later."""
        self._inbox.append(datagram)
        if len(self._inbox) == 1:
            self._simulation.after(self._pair.random.random() * self._batching, self._wake)

    def _wake(self) -> None:
        datagrams, self._inbox = self._inbox, []
        for datagram in datagrams:
            try:
                segment = codec.decode(datagram)
            except SegmentError:
                continue
            if (segment.dst_port, segment.src_port) == self._ports:
                self._pair.say(self.name, brief(self._watch.received(datagram)))
        for segment in codec.coalesce(datagrams)[0]:
            if (segment.dst_port, segment.src_port) == self._ports:
                self._receive(segment)
        self._pump()

    def _receive(self, segment: Segment) -> None:
        now = self._simulation.now
        if self._connection is None and opens(segment):
            self._connection = open_passive(
                self.config,
                iss=self._iss,
                syn=segment,
                now=now,
                mss=self._mss,
                path_mss=self._pair.path_mss,
                ts_offset=self._pair.random.randrange(2**32),
            )
            self._begin()
        elif self._connection is None or self._connection.state is State.CLOSED:
            # The listener takes one connection; whatever else comes has none.
            answer = answer_closed(segment)
            if answer is not None:
                self._transmit(codec.encode(answer))
        else:
            self._connection.receive(segment, now)

    def _pump(self) -> None:
        """Segments, events, deadline, in this order, after every input."""
        connection, simulation = self._connection, self._simulation
        if connection is None:
            return
        for segment in connection.segments_to_send(simulation.now):
            for header, payload in codec.split(segment, connection.send_mss or codec.MAX_SUPER):
                self._transmit(bytes(header) + bytes(payload))
        while (event := connection.next_event()) is not None:
            self._note(event)
        self._check()
        deadline = connection.next_deadline()
        self._spins = self._spins + 1 if deadline <= simulation.now else 0
        if self._spins > _MAX_SPINS:
            raise Violation(f"the deadline of {self.name} stays where it was: {self.describe()}")
        if deadline < self._deadline:
            self._deadline = deadline
            simulation.at(deadline, self._fire)

    def _fire(self) -> None:
        """The one lazy timer: it may come early, and then it is booked again."""
        now = self._simulation.now
        if now < self._deadline:
            return  # It was booked for an earlier deadline, which has been served.
        self._deadline = math.inf
        if self.connection.next_deadline() <= now:
            self.connection.handle_timeout(now)
        self._pump()

    def _transmit(self, datagram: bytes) -> None:
        line = self._watch.sent(datagram)
        self._pair.say(self.name, brief(line), datagram)
        self.transmit(datagram)

    def _note(self, event: Event) -> None:
        once = event not in (Event.READABLE, Event.TROUBLE)
        if once and event in self.events:
            raise Violation(f"{event.name} comes twice")
        if Event.CLOSED in self.events and event is not Event.RELEASED:
            raise Violation(f"{event.name} comes after CLOSED")
        if once or event not in self.events:
            self.events.append(event)
        self._pair.say(self.name, f"event {event.name}, {self.connection.state.name}")
        if event is Event.READABLE or event is Event.EOF:
            self._book_read(0.0)
        elif event is Event.ESTABLISHED:
            self._book_write(0.0)

    def _check(self) -> None:
        """What must hold of a connection after every input."""
        connection = self.connection
        if connection.readable > self.config.receive_buffer:
            raise Violation(f"{self.name} holds {connection.readable} bytes unread")
        if connection.unsent > self.written:
            raise Violation(f"{self.name} has {connection.unsent} of {self.written} bytes unsent")
        numbers = (connection.snd.una, connection.snd.nxt, connection.rcv.nxt)
        if any(new < old for new, old in zip(numbers, self._numbers, strict=True)):
            raise Violation(f"{self.name} goes back from {self._numbers} to {numbers}")
        self._numbers = numbers

    # The user's part ---------------------------------------------------------------------

    def _begin(self) -> None:
        plan = self.plan
        if plan.abort_at < math.inf:
            self._simulation.after(plan.abort_at, self._abort)
        if plan.read_from:
            self._reading = True
            self._simulation.after(plan.read_from, self._read)

    def _book_write(self, pause: float) -> None:
        if not self._writing and not self.eof_written:
            self._writing = True
            self._simulation.after(pause, self._write)

    def _book_read(self, pause: float) -> None:
        if not self._reading and not self.eof_read:
            self._reading = True
            self._simulation.after(pause, self._read)

    def _write(self) -> None:
        self._writing = False
        connection, plan, random = self.connection, self.plan, self._pair.random
        if Event.RELEASED in self.events or self.closed:
            return
        if self.written == len(self._stream):
            if not plan.answer or self.eof_read:
                self._finish()
            return
        if connection.unsent < plan.unsent_limit:
            size = random.randint(*plan.chunk)
            connection.write(self._stream[self.written : self.written + size])
            self.written = min(self.written + size, len(self._stream))
            self._book_write(random.random() * plan.write_pause)
        else:
            self._book_write(_RETRY)
        self._pump()

    def _finish(self) -> None:
        """Everything is written: send the FIN."""
        self.eof_written = True
        if self.plan.full_close:
            self._close()
        else:
            self._pair.say(self.name, "write_eof")
            self.connection.write_eof()
            self._close_if_done()
        self._pump()

    def _read(self) -> None:
        self._reading = False
        connection, plan, random = self.connection, self.plan, self._pair.random
        if self.closed:
            return
        data = connection.read(random.randint(*plan.read_size))
        start = self.read_bytes
        self.read_bytes += len(data)
        if data != self._expected[start : self.read_bytes]:
            raise Violation(f"{self.name} read at {start} what was not written there")
        if connection.readable:
            self._book_read(random.random() * plan.read_pause)
        elif Event.EOF in self.events:
            if self.read_bytes < len(self._expected):
                raise Violation(f"{self.name} has an EOF after {self.read_bytes} bytes")
            self.eof_read = True
            self._book_write(0.0)
            self._close_if_done()
        self._pump()

    def _close_if_done(self) -> None:
        """Both directions are done with; the user lets go."""
        if self.eof_read and self.eof_written and not self.closed:
            self._close()

    def _close(self) -> None:
        self.closed = True
        self._pair.say(self.name, "close")
        self.connection.close()

    def _abort(self) -> None:
        if self.connection.state is State.CLOSED:
            return
        self.closed = True
        self._pair.say(self.name, "abort")
        self.connection.abort("enough")
        self._pump()
