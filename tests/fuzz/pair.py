"""What the state machines of `machines` have in common: two connections, what their users and the
clock may do to them, what an honest network may do with what is under way, and what has to hold.

It does for each connection what the endpoint does, as `rudp.sim.swarm.side` does; but nothing here
happens by itself: each move is a rule, for Hypothesis to choose.
"""

from __future__ import annotations

import itertools
from collections import Counter
from random import Random

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rudp.core import codec
from rudp.core.config import Config
from rudp.core.connection import Connection, open_active, open_passive
from rudp.core.events import Event
from rudp.core.invariants import check
from rudp.core.pmtud import BASE_MSS
from rudp.core.segment import CE, Segment
from rudp.core.state import State
from rudp.core.stray import answer_closed, opens
from rudp.sim.swarm.draws import draw_config, draw_iss, draw_mss
from rudp.sim.swarm.network import Markable
from rudp.sim.swarm.notation import Origin
from rudp.sim.swarm.watch import Watch

MOST_UNDER_WAY = 300

SEEDS = st.integers(0, 2**32 - 1)
SIDES = st.sampled_from("ab")
WHICH = st.integers(0, MOST_UNDER_WAY - 1)
NEAR = st.one_of(st.integers(-3, 3), st.integers(-70_000, 70_000))
EVER = st.sampled_from((0.001, 0.01, 0.05, 0.3, 1.5, 70.0))

executed: Counter[str] = Counter()
"""Examples of each machine, steps of both, and how many examples got as far as a connection."""


class End:
    """One side: a connection, what its user has written and read, and who watches its wire."""

    def __init__(self, name: str, config: Config, iss: tuple[int, int], mss: int) -> None:
        self.name = name
        self.config = config
        self.iss, self.mss = iss[0], mss
        self.ports = (40_000, 9000) if name == "a" else (9000, 40_000)
        self.connection: Connection | None = None
        self.written = bytearray()
        self.read = bytearray()
        self.events: list[Event] = []
        self.watch: Watch | None = Watch(config, Origin(*iss), self.written)  # type: ignore[arg-type]
        self.numbers = (0, 0, 0, 0)

    @property
    def may_write(self) -> bool:
        c = self.connection
        return c is not None and not c.snd.fin_queued and not c.released and not c.user_closed

    @property
    def ended(self) -> bool:
        c = self.connection
        return c is not None and c.state in (State.CLOSED, State.TIME_WAIT) and c.released


class Pair(RuleBasedStateMachine):
    """What both machines have in common."""

    watched = True

    def __init__(self) -> None:
        super().__init__()
        self.now = 1024.0
        self.under_way: list[tuple[str, bytes]] = []  # to whom
        self.ends: dict[str, End] = {}
        self.path_mss = 0
        executed[type(self).__name__] += 1

    def config(self, random: Random) -> Config:
        return draw_config(random)

    @initialize(seed=SEEDS, opens=st.sampled_from((True, True, False)))
    def begin(self, seed: int, opens: bool) -> None:
        """With a handshake that nobody disturbs, if it `opens`: else few examples get beyond it."""
        random = Random(seed)
        iss = draw_iss(random)
        self.path_mss = random.choice((0, BASE_MSS))
        self.ecn = random.random() < 0.5
        for name, numbers in (("a", iss), ("b", iss[::-1])):
            self.ends[name] = End(name, self.config(random), numbers, draw_mss(random))
            if not self.watched:
                self.ends[name].watch = None
        a = self.ends["a"]
        a.connection = open_active(
            a.config,
            local_port=a.ports[0],
            peer_port=a.ports[1],
            iss=a.iss,
            now=self.now,
            mss=a.mss,
            path_mss=self.path_mss,
            ts_offset=random.randrange(2**32),
            ecn=self.ecn,
        )
        self.pump(a)
        while opens and self.under_way:
            name, datagram = self.under_way.pop(0)
            self.hand_over(self.ends[name], [datagram])

    # -- what the endpoint does ------------------------------------------------------------------

    def pump(self, end: End) -> None:
        c = end.connection
        if c is None:
            return
        for segment in c.segments_to_send(self.now):
            for header, payload in codec.split(segment, c.send_mss or codec.MAX_SUPER):
                datagram = bytes(header) + bytes(payload)
                self.send(end, Markable(datagram) if segment.ecn else datagram)
        while (event := c.next_event()) is not None:
            assert event in (Event.READABLE, Event.TROUBLE) or event not in end.events
            end.events.append(event)

    def send(self, end: End, datagram: bytes) -> None:
        if end.watch is not None:
            end.watch.sent(datagram)
        if len(self.under_way) < MOST_UNDER_WAY:
            self.under_way.append(("b" if end.name == "a" else "a", datagram))

    def hand_over(self, end: End, datagrams: list[bytes], ce: bool = False) -> None:
        for datagram in datagrams:
            if end.watch is not None:
                end.watch.received(datagram)
        for markable, run in itertools.groupby(datagrams, lambda each: type(each) is Markable):
            for segment in codec.coalesce(list(run))[0]:
                segment.ecn = CE if ce and markable else 0
                if (segment.dst_port, segment.src_port) == end.ports:
                    self.receive(end, segment)
        self.pump(end)

    def receive(self, end: End, segment: Segment) -> None:
        c = end.connection
        if c is None and opens(segment):
            end.connection = open_passive(
                end.config,
                iss=end.iss,
                syn=segment,
                now=self.now,
                mss=end.mss,
                path_mss=self.path_mss,
                ts_offset=end.iss,
                ecn=self.ecn,
            )
        elif c is None or c.state is State.CLOSED:
            answer = answer_closed(segment)
            if answer is not None:
                self.send(end, codec.encode(answer))
        else:
            c.receive(segment, self.now)

    # -- what a user does ------------------------------------------------------------------------

    @rule(name=SIDES, size=st.one_of(st.integers(1, 300), st.integers(1, 20_000)), seed=SEEDS)
    def write(self, name: str, size: int, seed: int) -> None:
        end = self.ends[name]
        if end.may_write and len(end.written) < 200_000:
            data = Random(seed).randbytes(size)
            end.written += data
            end.connection.write(data)
            self.pump(end)

    @rule(name=SIDES, size=st.one_of(st.integers(1, 300), st.just(1 << 20)), all_=st.booleans())
    def reads(self, name: str, size: int, all_: bool) -> None:
        end = self.ends[name]
        if end.connection is None or end.connection.user_closed:
            return
        while data := end.connection.read(size):
            end.read += data
            if not all_:
                break
        self.pump(end)

    @rule(name=SIDES)
    def write_eof(self, name: str) -> None:
        end = self.ends[name]
        if end.connection is not None:
            end.connection.write_eof()
            self.pump(end)

    @rule(name=SIDES, mss=st.integers(0, 3000))
    def lower_mss(self, name: str, mss: int) -> None:
        end = self.ends[name]
        if end.connection is not None:
            end.connection.lower_mss(mss)
            self.pump(end)

    # -- what the clock does ---------------------------------------------------------------------

    @rule(seconds=EVER)
    def passes(self, seconds: float) -> None:
        self.now += seconds
        for end in self.ends.values():
            self.tick(end)

    @rule(name=SIDES)
    def is_due(self, name: str) -> None:
        end = self.ends[name]
        if end.connection is None:
            return
        deadline = end.connection.next_deadline()
        if deadline < self.now + 100.0:  # not to the end of all patience
            self.now = max(self.now, deadline)
            self.tick(end)

    def tick(self, end: End) -> None:
        """Too early is harmless."""
        if end.connection is not None:
            end.connection.handle_timeout(self.now)
            self.pump(end)

    # -- what the network does -------------------------------------------------------------------

    @precondition(lambda self: self.under_way)
    @rule(which=WHICH, ce=st.booleans())
    def deliver(self, which: int, ce: bool) -> None:
        name, datagram = self.under_way.pop(which % len(self.under_way))
        self.hand_over(self.ends[name], [datagram], ce)

    @precondition(lambda self: self.under_way)
    @rule(name=SIDES, count=st.integers(1, 100))
    def deliver_in_order(self, name: str, count: int) -> None:
        picked = [each for each in self.under_way if each[0] == name][:count]
        self.under_way = [
            each for each in self.under_way if not any(each is other for other in picked)
        ]
        self.hand_over(self.ends[name], [datagram for _, datagram in picked])

    @precondition(lambda self: self.under_way)
    @rule(which=WHICH)
    def drop(self, which: int) -> None:
        self.under_way.pop(which % len(self.under_way))

    @precondition(lambda self: self.under_way)
    @rule(which=WHICH)
    def duplicate(self, which: int) -> None:
        name, datagram = self.under_way[which % len(self.under_way)]
        self.hand_over(self.ends[name], [datagram])

    # -- what has to hold ------------------------------------------------------------------------

    @invariant()
    def all_is_well(self) -> None:
        executed["steps"] += 1
        for end in self.ends.values():
            c = end.connection
            if c is None:
                continue
            check(c)
            assert c.readable <= end.config.receive_buffer
            numbers = (c.snd.una, c.snd.nxt, c.rcv.nxt, c.rcv.edge)
            assert all(new >= old for new, old in zip(numbers, end.numbers, strict=True))
            end.numbers = numbers
