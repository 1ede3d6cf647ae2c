"""Hypothesis against two cores: `python -m tests.fuzz.machines --seconds 1800`.

Two state machines, whose rules are what a user, the clock and a network may do to a pair of
connections, in any order. Both call for the invariants of the core after each step.

- `Adversary` has everything in its hands that is under way: it delivers in any order, alone or many
  at once, as often as it likes, or never, and forges what must be seen through (RFC 5961). What is
  on the wire is watched as in the swarm. In the end the network behaves, and all has to arrive.
- `Liar` spoils what it delivers, too, and forges whatever it likes: as one who knows all numbers,
  it can break a stream. It must break nothing else: no exception, no invariant, no limit; and in
  the end each side comes to CLOSED by itself.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import replace
from random import Random

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule, run_state_machine_as_test

from rudp.core import codec
from rudp.core.config import Config
from rudp.core.events import Event
from rudp.core.invariants import check
from rudp.core.segment import ACK, RST, SYN, Segment, SegmentError
from rudp.core.seq import MASK
from rudp.core.state import SYNCHRONIZED, State
from tests.fuzz.pair import NEAR, SIDES, WHICH, End, Pair, executed

FOR_EVER = 1e6
"""Seconds: nobody gives up while the adversary is at work, and data has a fiftieth of that."""
STEPS = 3000


class Adversary(Pair):
    """All that is under way is in its hands, and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.rude = False  # somebody has left or aborted

    def config(self, random: Random) -> Config:
        return replace(
            super().config(random),
            r2=FOR_EVER / 50,
            user_timeout=None,
            keepalive=None,
            connect_timeout=FOR_EVER,
            syn_ack_retransmissions=1000,
            fin_wait_2_timeout=FOR_EVER,
            msl=FOR_EVER,
        )

    @rule(name=SIDES, sure=st.integers(0, 9), abort=st.booleans())
    def leaves(self, name: str, sure: int, abort: bool) -> None:
        end = self.ends[name]
        if sure or end.connection is None:
            return  # one in ten will do: what comes after is less
        self.rude = True
        if abort:
            end.connection.abort("enough")
        else:
            end.connection.close()
        self.pump(end)

    @rule(name=SIDES, off=NEAR, kind=st.integers(0, 3), size=st.integers(0, 100))
    def forge(self, name: str, off: int, kind: int, size: int) -> None:
        """What must be seen through by who has a connection: RFC 5961 sections 3 to 5."""
        end = self.ends[name]
        c = end.connection
        if c is None or c.state not in SYNCHRONIZED:
            return
        src, dst = end.ports[1], end.ports[0]
        nxt, una, beyond = c.rcv.nxt, c.snd.una, c.snd.nxt
        match kind:
            case 0:
                forged = Segment(src, dst, (nxt + (off or 1)) & MASK, una & MASK, RST | ACK, 0)
            case 1:
                forged = Segment(src, dst, (nxt + off) & MASK, una & MASK, SYN, 1000)
            case 2:
                ack = beyond + abs(off) + 1
                forged = Segment(src, dst, nxt & MASK, ack & MASK, ACK, 1000, bytes(size))
            case _:
                ack = una - c.snd.max_wnd - abs(off) - 1
                forged = Segment(src, dst, nxt & MASK, ack & MASK, ACK, 1000, bytes(size))
        if c.timestamps is not None:
            forged.ts_val, forged.ts_ecr = c.timestamps.recent & MASK, 0
        self.receive(end, codec.decode(codec.encode(forged)))
        self.pump(end)

    @invariant()
    def what_is_read_is_what_was_written(self) -> None:
        if not self.ends:
            return
        for end, peer in (("a", "b"), ("b", "a")):
            read = self.ends[end].read
            assert self.ends[peer].written.startswith(read)

    def teardown(self) -> None:
        if not self.ends:
            return
        if all(Event.ESTABLISHED in end.events for end in self.ends.values()):
            executed["established by the adversary"] += 1
        for _ in range(STEPS):
            for end in self.ends.values():
                self.use(end)
            if all(end.ended for end in self.ends.values()):
                break
            if self.rude and not self.under_way and self.nobody_is_left():
                break
            if self.under_way:
                name, datagram = self.under_way.pop(0)
                self.now += 0.001
                self.hand_over(self.ends[name], [datagram])
            else:
                self.go_on()
            self.all_is_well()
        else:
            raise AssertionError(f"no end: {self.describe()}")
        self.what_is_read_is_what_was_written()
        if self.rude:
            return
        for end, peer in (("a", "b"), ("b", "a")):
            assert self.ends[end].connection.error is None, self.describe()
            assert self.ends[peer].read == self.ends[end].written, self.describe()
            assert self.ends[end].events.count(Event.EOF) == 1

    def use(self, end: End) -> None:
        """The user reads all there is, has nothing more to write, and closes when it is over."""
        c = end.connection
        if c is None:
            return
        if not c.user_closed:
            self.reads(end.name, 1 << 20, True)
            if c.state is not State.SYN_SENT:
                self.write_eof(end.name)
            if c.at_eof or self.rude:
                c.close()
                self.pump(end)

    def nobody_is_left(self) -> bool:
        """Who has left before the other was there has left nobody."""
        return all(end.connection is None or end.ended for end in self.ends.values())

    def go_on(self) -> None:
        """To the next deadline of anybody."""
        due = [end for end in self.ends.values() if end.connection is not None]
        first = min(due, key=lambda end: end.connection.next_deadline())
        assert first.connection.next_deadline() < math.inf, f"all is quiet: {self.describe()}"
        self.now = max(self.now, first.connection.next_deadline())
        self.tick(first)

    def describe(self) -> str:
        return "; ".join(
            f"{end.name}: {end.connection.state.value if end.connection else '-'}, wrote"
            f" {len(end.written)}, read {len(end.read)}, events"
            f" {[event.name for event in end.events]},"
            f" error {end.connection.error if end.connection else None!r}"
            for end in self.ends.values()
        )


class Liar(Pair):
    """It knows every number, and says what it likes."""

    watched = False

    @rule(name=SIDES)
    def closes(self, name: str) -> None:
        end = self.ends[name]
        if end.connection is not None:
            end.connection.close()
            self.pump(end)

    @precondition(lambda self: self.under_way)
    @rule(which=WHICH, at=st.integers(0, 80), value=st.integers(0, 255), cut=st.integers(0, 99))
    def spoil(self, which: int, at: int, value: int, cut: int) -> None:
        name, datagram = self.under_way.pop(which % len(self.under_way))
        spoilt = bytearray(datagram)
        if at < len(spoilt):
            spoilt[at] = value
        if cut < 20:
            del spoilt[-cut:]
        self.hand_over(self.ends[name], [bytes(spoilt)])

    @rule(
        name=SIDES,
        seq=NEAR,
        ack=NEAR,
        flags=st.one_of(
            st.sampled_from((ACK, ACK | 8, ACK | 1, RST, RST | ACK, SYN, SYN | ACK)),
            st.integers(0, 255),
        ),
        window=st.sampled_from((0, 1, 100, 65_535)),
        size=st.sampled_from((0, 1, 100, 1440, 20_000)),
        blocks=st.lists(st.tuples(NEAR, NEAR), max_size=4),
        age=st.one_of(st.none(), NEAR),
        mss=st.one_of(st.none(), st.integers(0, 65_535)),
        shift=st.one_of(st.none(), st.integers(0, 255)),
    )
    def forge(
        self,
        name: str,
        seq: int,
        ack: int,
        flags: int,
        window: int,
        size: int,
        blocks: list[tuple[int, int]],
        age: int | None,
        mss: int | None,
        shift: int | None,
    ) -> None:
        end = self.ends[name]
        c = end.connection
        near = (c.rcv.nxt, c.snd.una) if c is not None else (end.iss, end.iss)
        forged = Segment(
            end.ports[1],
            end.ports[0],
            (near[0] + seq) & MASK,
            (near[1] + ack) & MASK,
            flags,
            window,
            bytes(size),
        )
        forged.sack_blocks = tuple(
            ((near[1] + left) & MASK, (near[1] + right) & MASK) for left, right in blocks
        )
        if flags & SYN:
            forged.mss, forged.window_scale, forged.sack_permitted = mss, shift, bool(blocks)
        if age is not None:
            recent = c.timestamps.recent if c is not None and c.timestamps is not None else 0
            forged.ts_val, forged.ts_ecr = (recent + age) & MASK, (end.iss + age) & MASK
        try:
            arrived = codec.decode(codec.encode(forged))
        except SegmentError:
            return
        self.receive(end, arrived)
        self.pump(end)

    def teardown(self) -> None:
        """Alone with itself, and closed by its user, each side comes to its end."""
        if any(Event.ESTABLISHED in end.events for end in self.ends.values()):
            executed["established by the liar"] += 1
        for end in self.ends.values():
            c = end.connection
            if c is None:
                continue
            c.close()
            self.pump(end)
            for _ in range(STEPS):
                if c.state is State.CLOSED:
                    break
                assert c.next_deadline() < math.inf, f"{c.state.value} for ever"
                self.now = max(self.now, c.next_deadline())
                self.tick(end)
                check(c)
            assert c.state is State.CLOSED
            assert end.events.count(Event.RELEASED) == 1


MACHINES = (Adversary, Liar)


def run(machine: type[Pair], examples: int, steps: int, derandomize: bool) -> None:
    """So many examples, of at most so many steps each."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=derandomize,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Two cores against Hypothesis.")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (default 60)")
    parser.add_argument("--steps", type=int, default=60, help="in an example (default 60)")
    arguments = parser.parse_args()
    stop = time.monotonic() + arguments.seconds
    while time.monotonic() < stop:
        for machine in MACHINES:
            run(machine, 100, arguments.steps, derandomize=False)
        print(", ".join(f"{count} {name}" for name, count in executed.items()), flush=True)
    print("nothing found")


if __name__ == "__main__":
    main()
