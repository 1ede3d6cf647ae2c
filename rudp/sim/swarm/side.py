"""One side of a pair: a connection, its user, and what the endpoint would do for both.

The user writes chunks, reads with pauses and closes, as a `Plan` says. What must hold of a
connection after every input is demanded here; what must hold on the wire, by `watch`.
"""

from __future__ import annotations

import errno
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final, Protocol

from rudp.core import codec
from rudp.core.config import Config
from rudp.core.connection import Connection, open_active, open_passive
from rudp.core.dormant import at_rest
from rudp.core.events import Event
from rudp.core.invariants import check
from rudp.core.recovery import Recovery
from rudp.core.segment import CE, RST, Segment, SegmentError
from rudp.core.seq import MASK
from rudp.core.state import State
from rudp.core.stray import answer_closed, opens
from rudp.sim.swarm.network import Markable, Marked, Simulation
from rudp.sim.swarm.notation import Line, Origin
from rudp.sim.swarm.watch import Violation, Watch

_CLOSED: Final = (State.CLOSED, State.TIME_WAIT)
_MAX_SPINS: Final = 100
_RETRY: Final = 0.005
"""Seconds until a user who found too much unsent looks again."""
_SOCKET_BUFFER: Final = 200
"""Datagrams that wait for a process which stands still; what comes then is dropped."""


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
    leave_at: float = math.inf
    """When the user closes, whatever is still to be written or read."""


class Stage(Protocol):
    """What the sides of a pair share."""

    simulation: Simulation
    random: Random
    path_mss: int
    may_fail: bool
    seen: set[str]

    def say(self, who: str, what: str | Line, raw: bytes = b"") -> None:
        """Put a line into the trace, and it with `raw` into the digest."""

    def describe(self) -> str:
        """Both sides in a line each."""


class Side:
    """One connection, its user, and what the endpoint would do for it."""

    def __init__(
        self,
        pair: Stage,
        name: str,
        config: Config,
        plan: Plan,
        streams: tuple[bytes, bytes],
        iss: tuple[int, int],
        mss: int,
        *,
        batching: float,
        lateness: float,
        ecn: bool,
    ) -> None:
        """`streams` are what this side writes and what it is to read, `iss` its own and its peer's.
        `batching`, `lateness` and `ecn` as for `Pair`."""
        self.name = name
        self.config = config
        self.plan = plan
        self.events: list[Event] = []
        self.transmit: Callable[[bytes], None]
        self.peer: Side
        self.read_bytes = 0
        self.written = 0
        self.eof_written = False
        self.eof_read = False
        self.closed = False
        self.frozen_until = -math.inf
        """Until then its process stands still."""
        self.on_rest: Callable[[Connection], Connection] | None = None
        """Asked at each moment of rest which connection goes on: the same, or one made of it."""
        self._pair = pair
        self._simulation = pair.simulation
        self._stream, self._expected = streams
        self._iss, self._mss, self._ecn = iss[0], mss, ecn
        self._batching, self._lateness = batching, lateness
        self._ports = (40000, 9000) if name == "a" else (9000, 40000)
        self._watch = Watch(config, Origin(*iss), self._stream, pair.seen)
        self._connection: Connection | None = None
        self._inbox: list[bytes] = []
        self._deadline = math.inf
        self._spins = 0
        self._numbers = (0, 0, 0, 0)
        self._state = State.CLOSED
        self._recovery = Recovery.OPEN
        self._send_mss = 0
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
            return self._pair.may_fail  # An attempt may be over before its first SYN arrives.
        if connection.state not in _CLOSED or Event.RELEASED not in self.events:
            return False
        if self._pair.may_fail:
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

    @property
    def last(self) -> int:
        """Bytes after which its FIN stands."""
        return self.written if self.closed else len(self._stream)

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
            ecn=self._ecn,
        )
        self._begin()
        self._pump()

    def freeze(self, seconds: float) -> None:
        """Stand still: nothing runs, time goes on, and what arrives waits, as far as it fits."""
        self.frozen_until = self._simulation.now + seconds

    def arrive(self, datagram: bytes) -> None:
        """A datagram is in the socket's buffer; the loop wakes up for it a little later."""
        if len(self._inbox) >= _SOCKET_BUFFER and self._frozen:
            self._pair.seen.add("socket buffer full")
            return
        self._inbox.append(datagram)
        if len(self._inbox) == 1:
            self._book(self._pair.random.random() * self._batching, self._wake)

    @property
    def _frozen(self) -> bool:
        return self._simulation.now < self.frozen_until

    def _book(self, seconds: float, action: Callable[[], None]) -> None:
        self._simulation.after(seconds, lambda: self._run(action))

    def _run(self, action: Callable[[], None]) -> None:
        """What a process that stands still has to do, it does when it goes on."""
        if self._frozen:
            self._pair.seen.add("frozen with something to do")
            self._simulation.at(self.frozen_until, lambda: self._run(action))
        else:
            action()

    def _wake(self) -> None:
        datagrams, self._inbox = self._inbox, []
        if len(datagrams) > 1:
            self._pair.seen.add("several datagrams at once")
        for datagram in datagrams:
            try:
                segment = codec.decode(datagram)
            except SegmentError:
                continue
            if (segment.dst_port, segment.src_port) == self._ports:
                self._pair.say(self.name, self._watch.received(datagram), datagram)
        for marked, run in itertools.groupby(datagrams, lambda each: type(each) is Marked):
            for segment in codec.coalesce(list(run))[0]:
                if (segment.dst_port, segment.src_port) == self._ports:
                    segment.ecn = CE if marked else 0
                    self._receive(segment)
        self._pump()

    def _receive(self, segment: Segment) -> None:
        now, connection = self._simulation.now, self._connection
        if connection is None and opens(segment):
            self._connection = open_passive(
                self.config,
                iss=self._iss,
                syn=segment,
                now=now,
                mss=self._mss,
                path_mss=self._pair.path_mss,
                ts_offset=self._pair.random.randrange(2**32),
                ecn=self._ecn,
            )
            self._begin()
        elif connection is None or connection.state is State.CLOSED:
            # The listener takes one connection; whatever else comes has none.
            answer = answer_closed(segment)
            if answer is not None:
                self._pair.seen.add("answered without a connection")
                self._transmit(codec.encode(answer))
        else:
            self._note_age(connection, segment)
            connection.receive(segment, now)

    def _note_age(self, connection: Connection, segment: Segment) -> None:
        timestamps = connection.timestamps
        if timestamps is None or segment.ts_val is None or segment.flags & RST:
            return
        if connection.state is not State.SYN_SENT and (
            (segment.ts_val - timestamps.recent) & MASK >= 1 << 31
        ):
            self._pair.seen.add("PAWS")

    def _pump(self) -> None:
        """Segments, events, deadline, in this order, after every input."""
        connection, simulation = self._connection, self._simulation
        if connection is None:
            return
        for segment in connection.segments_to_send(simulation.now):
            for header, payload in codec.split(segment, connection.send_mss or codec.MAX_SUPER):
                datagram = bytes(header) + bytes(payload)
                self._transmit(Markable(datagram) if segment.ecn else datagram)
        while (event := connection.next_event()) is not None:
            self._note(event)
        self._check(connection)
        deadline = connection.next_deadline()
        if deadline < self._deadline:
            self._deadline = deadline
            late = self._pair.random.random() * self._lateness if self._lateness else 0.0
            self._book(deadline - simulation.now + late, self._fire)
        if self.on_rest is not None and at_rest(connection):
            self._connection = self.on_rest(connection)

    def _fire(self) -> None:
        """The one lazy timer: it may come early, and then it is booked again."""
        now, connection = self._simulation.now, self.connection
        if now < self._deadline:
            return  # It was booked for an earlier deadline, which has been served.
        self._deadline = math.inf
        if connection.next_deadline() <= now:
            connection.handle_timeout(now)
        self._pump()
        self._spins = self._spins + 1 if connection.next_deadline() <= now else 0
        if self._spins > _MAX_SPINS:
            raise Violation(
                f"the deadline of {self.name} stays where it was: {self._pair.describe()}"
            )
        if connection.snd.loss.probe.end >= 0:
            self._pair.seen.add("tail loss probe")
        if connection.snd.timeouts:
            self._pair.seen.add("retransmission timeout")
        if connection.handshake.interval > self.config.initial_rto:
            self._pair.seen.add("the ACK of a SYN-ACK again")

    def _transmit(self, datagram: bytes) -> None:
        self._pair.say(self.name, self._watch.sent(datagram, self._withheld()), datagram)
        self.transmit(datagram)

    def _withheld(self) -> tuple[int, int] | None:
        """What of our numbers the connection keeps back, counted from our ISS."""
        snd = self.connection.snd
        flight = snd._withheld
        return None if flight is None else (flight.start - snd.iss, flight.end - snd.iss)

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
        elif event is Event.RELEASED and (error := self.connection.error) is not None:
            self._pair.seen.add(f"ends with {errno.errorcode[error.errno or 0]}")
        elif event is Event.TROUBLE:
            self._pair.seen.add("R1 retransmissions")

    def _check(self, connection: Connection) -> None:
        """What must hold of a connection after every input."""
        if connection.readable > self.config.receive_buffer:
            raise Violation(f"{self.name} holds {connection.readable} bytes unread")
        if connection.unsent > self.written:
            raise Violation(f"{self.name} has {connection.unsent} of {self.written} bytes unsent")
        snd, rcv = connection.snd, connection.rcv
        numbers = (snd.una, snd.nxt, rcv.nxt, rcv.edge)
        if numbers != self._numbers:
            if any(new < old for new, old in zip(numbers, self._numbers, strict=True)):
                raise Violation(f"{self.name} goes back from {self._numbers} to {numbers}")
            self._numbers = numbers
        if connection.state is not self._state:
            self._pair.seen.add(f"state: {self._state.value} to {connection.state.value}")
            self._state = connection.state
        if snd.loss.state is not self._recovery:
            self._recovery = snd.loss.state
            self._pair.seen.add(f"recovery: {self._recovery.value}")
        if connection.send_mss != self._send_mss:
            if self._send_mss:
                wider = connection.send_mss > self._send_mss
                self._pair.seen.add("larger segments" if wider else "smaller segments")
            self._send_mss = connection.send_mss
        check(connection)

    # The user's part ---------------------------------------------------------------------

    def _begin(self) -> None:
        plan = self.plan
        if plan.abort_at < math.inf:
            self._book(plan.abort_at, self._abort)
        if plan.leave_at < math.inf:
            self._book(plan.leave_at, self._leave)
        if plan.read_from:
            self._reading = True
            self._book(plan.read_from, self._read)

    def _book_write(self, pause: float) -> None:
        if not self._writing and not self.eof_written:
            self._writing = True
            self._book(pause, self._write)

    def _book_read(self, pause: float) -> None:
        if not self._reading and not self.eof_read:
            self._reading = True
            self._book(pause, self._read)

    def _write(self) -> None:
        self._writing = False
        connection, plan, random = self.connection, self.plan, self._pair.random
        if Event.RELEASED in self.events or self.closed:
            return
        if self.written == len(self._stream):
            if not plan.answer or self.eof_read:
                self._finish()
            return
        if connection.unsent >= plan.unsent_limit:
            self._book_write(_RETRY)
            return
        size = random.randint(*plan.chunk)
        connection.write(self._stream[self.written : self.written + size])
        self.written = min(self.written + size, len(self._stream))
        if self.eof_read:
            self._pair.seen.add("writes after the peer's FIN")
        self._book_write(random.random() * plan.write_pause)
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
        if data and self.eof_written:
            self._pair.seen.add("reads after its own FIN")
        if connection.readable:
            self._book_read(random.random() * plan.read_pause)
        elif Event.EOF in self.events:
            if self.read_bytes != self.peer.last:
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
        if self.connection.readable:
            self._pair.seen.add("closes with data unread")
        self._pair.say(self.name, "close")
        self.connection.close()

    def _abort(self) -> None:
        if self.connection.state is State.CLOSED:
            return
        self._pair.seen.add("aborts")
        self.closed = True
        self._pair.say(self.name, "abort")
        self.connection.abort("enough")
        self._pump()

    def _leave(self) -> None:
        if self.closed or self.connection.state is State.CLOSED:
            return
        if self.written < len(self._stream):
            self._pair.seen.add("closes with more to write")
        self._watch.ends_at(self.written)
        self._close()
        self._pump()
