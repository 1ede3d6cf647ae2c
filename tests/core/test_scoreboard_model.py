"""The scoreboard against a model in which each byte has a state of its own."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from rudp.core.flight import IN_FLIGHT, LOST, SACKED, Arrivals
from rudp.core.scoreboard import Scoreboard
from tests.core.scoreboards import MSS, UNA, acked, again, order, send


class Byte:
    def __init__(self, sent_at: float) -> None:
        self.state = IN_FLIGHT
        self.sent_at = sent_at
        self.again = False
        self.reneged = False  # when it went out is not known any more


class ScoreboardMachine(RuleBasedStateMachine):
    """Random sends, SACKs true and false, ACKs, losses and retransmissions."""

    def __init__(self) -> None:
        super().__init__()
        self.board = Scoreboard(10**6)
        self.una = self.nxt = UNA
        self.bytes: dict[int, Byte] = {}
        self.now = 0.0

    def take(self, seqs: list[int], state: int | None) -> tuple[int, float]:
        """These are with the peer: how many is that news for, and sent when, if sent once?"""
        news = [self.bytes[seq] for seq in seqs if self.bytes[seq].state != SACKED]
        times = [byte.sent_at for byte in news if not byte.again]
        for seq in seqs:
            if state is None:
                del self.bytes[seq]
            else:
                self.bytes[seq].state = state
        return len(news), max(times, default=-1.0)

    @rule(length=st.integers(1, 4 * MSS))
    def send(self, length: int) -> None:
        if len(self.bytes) > 300:
            return
        self.now += 1.0
        send(self.board, self.nxt, self.nxt + length, self.now)
        for seq in range(self.nxt, self.nxt + length):
            self.bytes[seq] = Byte(self.now)
        self.nxt += length

    @precondition(lambda self: self.bytes)
    @rule(data=st.data())
    def peer_acknowledges(self, data: st.DataObject) -> None:
        una = data.draw(st.integers(self.una + 1, self.nxt))
        passed = list(range(self.una, una))
        ambiguous = any(self.bytes[seq].again for seq in passed if self.bytes[seq].state != SACKED)
        delivered, sent_at = self.take(passed, None)
        # What was sent once may have waited at the peer for what was sent again.
        assert acked(self.board, una) == (delivered, -1.0 if ambiguous else sent_at)
        self.una = una

    @precondition(lambda self: self.bytes)
    @rule(data=st.data())
    def peer_tells_blocks(self, data: st.DataObject) -> None:
        true = st.tuples(st.integers(self.una + 1, self.nxt), st.integers(1, 3 * MSS)).map(
            lambda pair: (pair[0], min(self.nxt, sum(pair)))
        )
        anywhere = st.integers(self.una - 2 * MSS, self.nxt + 2 * MSS)
        blocks = data.draw(st.lists(true | st.tuples(anywhere, anywhere), max_size=6))
        delivered, sent_at = 0, -1.0
        for left, right in blocks[:4]:
            if self.una < left < right <= self.nxt:
                news, when = self.take(list(range(left, right)), SACKED)
                delivered += news
                sent_at = max(sent_at, when)
        news = Arrivals()
        self.board.on_sack(blocks, self.una, self.nxt, news)
        assert (news.size, news.sampled_at) == (delivered, sent_at)

    @precondition(lambda self: self.board.oldest)
    @rule(count=st.integers(1, 3))
    def the_oldest_are_lost(self, count: int) -> None:
        for _ in range(count):
            flight = self.board.oldest
            if flight is None:
                return
            lost = [self.bytes[seq] for seq in range(flight.start, flight.end)]
            assert self.board.lose(flight) == len(lost)
            for byte in lost:
                byte.state = LOST

    @rule()
    def nothing_was_lost(self) -> None:
        for byte in self.bytes.values():
            if byte.state == LOST:
                byte.state = IN_FLIGHT
        self.board.revive()

    @precondition(lambda self: not any(byte.state == SACKED for byte in self.bytes.values()))
    @rule()
    def head_is_lost(self) -> None:
        """Only ever asked without SACK."""
        length = 0
        if self.bytes and self.bytes[self.una].state == IN_FLIGHT:
            length = min(MSS, self.board.flights[0].end - self.una)
        assert self.board.mark_head_lost(MSS) == length
        for seq in range(self.una, self.una + length):
            self.bytes[seq].state = LOST

    @rule()
    def timer_expires(self) -> None:
        reneged = bool(self.bytes) and self.bytes[self.una].state == SACKED
        for byte in self.bytes.values():
            if byte.state == SACKED and reneged:
                byte.again = byte.reneged = True
                byte.state = LOST
            if byte.state == IN_FLIGHT:
                byte.state = LOST
        self.board.mark_all_lost()

    @rule(most=st.integers(1, 3 * MSS))
    def retransmit(self, most: int) -> None:
        self.now += 1.0
        lost = [seq for seq, byte in self.bytes.items() if byte.state == LOST]
        flight = self.board.next_lost()
        if not lost:
            assert flight is None
            return
        assert flight is not None
        assert flight.start == min(lost)
        end = self.board.lost_run(flight, most)
        run = next((seq for seq in range(flight.start, self.nxt) if seq not in lost), self.nxt)
        assert end == min(run, flight.start + most)
        for seq in range(flight.start, end):
            byte = self.bytes[seq]
            assert byte.state == LOST
            byte.state, byte.again, byte.sent_at = IN_FLIGHT, True, self.now
            byte.reneged = False
        again(self.board, flight, end, self.now)

    @invariant()
    def flights_fill_the_space_from_una_to_nxt(self) -> None:
        edges = [edge for flight in self.board.flights for edge in (flight.start, flight.end)]
        if edges:
            assert [edges[0], *edges[2::2]] == [self.una, *edges[1:-1:2]]
            assert edges[-1] == self.nxt
        else:
            assert self.una == self.nxt

    @invariant()
    def each_byte_has_the_fate_of_its_flight(self) -> None:
        for flight in self.board.flights:
            assert flight.start < flight.end
            for seq in range(flight.start, flight.end):
                byte = self.bytes[seq]
                assert byte.state == flight.state
                if byte.state != SACKED:
                    assert byte.again == flight.retransmitted
                    if not byte.reneged and (flight.state == IN_FLIGHT or not byte.again):
                        assert byte.sent_at == flight.sent_at

    @invariant()
    def what_is_in_flight_is_in_the_order_of_transmission(self) -> None:
        linked = order(self.board)
        flights = {f.start - UNA: f for f in self.board.flights if f.state == IN_FLIGHT}
        assert sorted(start for start, _ in linked) == sorted(flights)
        moments = [(flights[start].sent_at, end) for start, end in linked]
        assert moments == sorted(moments)

    @invariant()
    def sums_are_true(self) -> None:
        states = [byte.state for byte in self.bytes.values()]
        assert self.board.pipe == states.count(IN_FLIGHT)
        assert self.board.lost == states.count(LOST)
        assert self.board.sacked == states.count(SACKED)

    @invariant()
    def sacked_neighbours_are_one(self) -> None:
        states = [flight.state for flight in self.board.flights]
        assert (SACKED, SACKED) not in set(pairwise(states))


def test_the_scoreboard_agrees_with_a_model_byte_by_byte() -> None:
    run_state_machine_as_test(
        ScoreboardMachine,
        settings=settings(
            max_examples=40,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
