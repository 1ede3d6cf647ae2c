"""What became of the data in flight: the scoreboard alone, and against a model byte by byte."""

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

from rudp.core.scoreboard import IN_FLIGHT, LOST, SACKED, Scoreboard

UNA = 2**32 - 35
MSS = 10


def sent(*ends: int, limit: int = 1000) -> Scoreboard:
    """A scoreboard where [UNA, UNA + end) went out in pieces, one each second from 1.0 on."""
    board, start = Scoreboard(limit), 0
    for moment, end in enumerate(ends, 1):
        board.on_sent(UNA + start, UNA + end, float(moment))
        start = end
    return board


def sack(board: Scoreboard, *blocks: tuple[int, int], una: int = 0) -> tuple[int, float]:
    nxt = board.flights[-1].end
    told = [(UNA + left, UNA + right) for left, right in blocks]
    return board.on_sack(told, UNA + una, nxt)


def picture(board: Scoreboard) -> str:
    """The flights as `0-10 flight, 10-20 sacked`."""
    names = {IN_FLIGHT: "flight", LOST: "lost", SACKED: "sacked"}
    return ", ".join(f"{f.start - UNA}-{f.end - UNA} {names[f.state]}" for f in board.flights)


def test_what_is_sent_is_in_the_pipe() -> None:
    board = sent(10, 30)
    assert picture(board) == "0-10 flight, 10-30 flight"
    assert (board.pipe, board.lost, board.sacked) == (30, 0, 0)
    assert board.next_lost() is None


def test_an_ack_takes_out_whole_flights_and_cuts_the_next() -> None:
    board = sent(10, 30, 40)
    assert board.on_ack(UNA + 15) == (15, 2.0)
    assert picture(board) == "15-30 flight, 30-40 flight"
    assert board.pipe == 25


def test_an_ack_of_everything_leaves_nothing() -> None:
    board = sent(10, 30)
    assert board.on_ack(UNA + 30) == (30, 2.0)
    assert (board.flights, board.pipe) == ([], 0)


def test_a_sack_cuts_a_flight_and_takes_its_bytes_out_of_the_pipe() -> None:
    board = sent(40)
    assert sack(board, (10, 20)) == (10, 1.0)
    assert picture(board) == "0-10 flight, 10-20 sacked, 20-40 flight"
    assert (board.pipe, board.sacked) == (30, 10)


def test_sacked_neighbours_are_joined_whatever_they_were_sent_as() -> None:
    board = sent(10, 20, 30, 40)
    assert sack(board, (10, 20), (30, 40)) == (20, 4.0)
    assert sack(board, (20, 30)) == (10, 3.0)
    assert picture(board) == "0-10 flight, 10-40 sacked"


def test_a_block_told_again_is_no_news() -> None:
    board = sent(40)
    sack(board, (10, 30))
    assert sack(board, (10, 30)) == (0, -1.0)
    assert sack(board, (15, 25)) == (0, -1.0)
    assert picture(board) == "0-10 flight, 10-30 sacked, 30-40 flight"


def test_blocks_that_cannot_be_true_are_passed_over_and_the_others_are_taken() -> None:
    board = sent(40)
    below, backwards, beyond = (-9, 5), (30, 20), (30, 41)
    assert sack(board, below, backwards, beyond, (35, 40)) == (5, 1.0)
    assert picture(board) == "0-35 flight, 35-40 sacked"


def test_a_block_that_begins_at_snd_una_contradicts_the_ack_it_came_with() -> None:
    board = sent(40)
    assert sack(board, (0, 10), (20, 20)) == (0, -1.0)
    assert picture(board) == "0-40 flight"


def test_no_more_than_four_blocks_are_looked_at() -> None:
    board = sent(100)
    assert sack(board, (10, 11), (20, 21), (30, 31), (40, 41), (50, 51)) == (4, 1.0)


def test_an_ack_after_a_sack_is_news_only_for_the_rest() -> None:
    board = sent(10, 20, 30)
    sack(board, (10, 20))
    assert board.on_ack(UNA + 30) == (20, 3.0)
    assert (board.pipe, board.sacked) == (0, 0)


def test_sacks_cut_no_more_than_the_limit() -> None:
    board = sent(100, limit=16)
    told = [(left, left + 1) for left in range(2, 90, 2)]
    for block in told:
        sack(board, block)
    assert len(board.flights) <= 16
    assert 0 < board.sacked < len(told)


# RFC 6675 section 4, IsLost().


def test_more_than_two_segments_sacked_above_make_a_loss() -> None:
    board = sent(60)
    sack(board, (20, 40))
    assert board.mark_lost(MSS) == 0
    sack(board, (40, 41))
    assert board.mark_lost(MSS) == 20
    assert picture(board) == "0-20 lost, 20-41 sacked, 41-60 flight"
    assert (board.pipe, board.lost, board.sacked) == (19, 20, 21)


def test_three_separate_ranges_above_make_a_loss_however_small() -> None:
    board = sent(60)
    sack(board, (10, 11), (20, 21))
    assert board.mark_lost(MSS) == 0
    sack(board, (30, 31))
    assert board.mark_lost(MSS) == 10
    assert picture(board).startswith("0-10 lost, 10-11 sacked, 11-20 flight")


def test_a_loss_is_marked_once_and_not_again_after_its_retransmission() -> None:
    board = sent(60)
    sack(board, (20, 50))
    assert board.mark_lost(MSS) == 20
    assert board.mark_lost(MSS) == 0
    flight = board.next_lost()
    assert flight is not None
    board.on_retransmitted(flight, flight.end, 9.0)
    sack(board, (50, 60))
    assert board.mark_lost(MSS) == 0
    assert (board.pipe, board.lost) == (20, 0)


def test_new_data_sent_in_recovery_can_be_lost_too() -> None:
    board = sent(60)
    sack(board, (20, 60))
    board.mark_lost(MSS)
    board.on_sent(UNA + 60, UNA + 120, 9.0)
    sack(board, (70, 100))
    assert board.mark_lost(MSS) == 10
    assert picture(board) == "0-20 lost, 20-60 sacked, 60-70 lost, 70-100 sacked, 100-120 flight"


# What was sent again.


def test_lost_data_comes_up_lowest_first_and_in_the_pieces_it_is_sent_in() -> None:
    board = sent(25, 40)
    board.mark_all_lost()
    order = []
    while (flight := board.next_lost()) is not None:
        end = min(flight.end, flight.start + MSS)
        order.append((flight.start - UNA, end - UNA))
        board.on_retransmitted(flight, end, 9.0)
    assert order == [(0, 10), (10, 20), (20, 25), (25, 35), (35, 40)]
    assert (board.pipe, board.lost) == (40, 0)


def test_an_ack_of_what_was_sent_twice_measures_nothing() -> None:
    board = sent(10, 20)
    board.mark_head_lost(MSS)
    flight = board.next_lost()
    assert flight is not None
    board.on_retransmitted(flight, flight.end, 9.0)
    assert board.on_ack(UNA + 10) == (10, -1.0)
    assert board.on_ack(UNA + 20) == (10, 2.0)


def test_a_sack_of_what_was_sent_twice_measures_nothing() -> None:
    board = sent(10, 20)
    board.mark_all_lost()
    while (flight := board.next_lost()) is not None:
        board.on_retransmitted(flight, flight.end, 9.0)
    assert sack(board, (10, 20)) == (10, -1.0)


def test_lost_data_that_arrived_after_all_leaves_the_lost() -> None:
    board = sent(40)
    board.mark_all_lost()
    assert sack(board, (10, 20))[0] == 10
    assert board.on_ack(UNA + 5)[0] == 5
    assert (board.pipe, board.lost, board.sacked) == (0, 25, 10)
    flight = board.next_lost()
    assert flight is not None
    assert flight.start == UNA + 5


def test_without_sack_one_segment_at_snd_una_is_lost() -> None:
    board = sent(35)
    assert board.mark_head_lost(MSS) == 10
    assert picture(board) == "0-10 lost, 10-35 flight"
    assert board.mark_head_lost(MSS) == 0
    assert Scoreboard(16).mark_head_lost(MSS) == 0


# Timeouts and reneging.


def test_a_timeout_spares_what_the_peer_has() -> None:
    board = sent(40)
    sack(board, (10, 20))
    board.mark_all_lost()
    assert picture(board) == "0-10 lost, 10-20 sacked, 20-40 lost"


def test_a_peer_that_reneged_is_believed_nothing_at_a_timeout() -> None:
    board = sent(40)
    sack(board, (10, 20), (30, 40))
    board.on_ack(UNA + 10)  # ... and not to 20, as it said before
    assert picture(board) == "10-20 sacked, 20-30 flight, 30-40 sacked"
    board.mark_all_lost()
    assert picture(board) == "10-20 lost, 20-30 lost, 30-40 lost"
    assert (board.pipe, board.lost, board.sacked) == (0, 30, 0)
    assert board.on_ack(UNA + 20) == (10, -1.0)


def test_nothing_in_flight_can_be_lost() -> None:
    board = Scoreboard(16)
    board.mark_all_lost()
    assert board.mark_lost(MSS) == 0
    assert (board.flights, board.lost) == ([], 0)


def test_clear_forgets_everything() -> None:
    board = sent(40)
    sack(board, (10, 20))
    board.mark_all_lost()
    board.clear()
    assert (board.flights, board.pipe, board.lost, board.sacked) == ([], 0, 0, 0)
    assert board.next_lost() is None


# The model: each byte has a state of its own, and the RFC's text is computed by looking at all.


class Byte:
    def __init__(self, sent_at: float) -> None:
        self.state = IN_FLIGHT
        self.sent_at = sent_at
        self.again = False


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

    def is_lost(self, seq: int) -> bool:
        """RFC 6675 section 4, to the letter."""
        ranges = above = 0
        for other in range(seq + 1, self.nxt):
            if self.bytes[other].state == SACKED:
                above += 1
                ranges += self.bytes[other - 1].state != SACKED
        return ranges >= 3 or above > (3 - 1) * MSS

    @rule(length=st.integers(1, 4 * MSS))
    def send(self, length: int) -> None:
        if len(self.bytes) > 300:
            return
        self.now += 1.0
        self.board.on_sent(self.nxt, self.nxt + length, self.now)
        for seq in range(self.nxt, self.nxt + length):
            self.bytes[seq] = Byte(self.now)
        self.nxt += length

    @precondition(lambda self: self.bytes)
    @rule(data=st.data())
    def peer_acknowledges(self, data: st.DataObject) -> None:
        una = data.draw(st.integers(self.una + 1, self.nxt))
        acked = list(range(self.una, una))
        ambiguous = any(self.bytes[seq].again for seq in acked if self.bytes[seq].state != SACKED)
        delivered, sent_at = self.take(acked, None)
        # What was sent once may have waited at the peer for what was sent again.
        assert self.board.on_ack(una) == (delivered, -1.0 if ambiguous else sent_at)
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
        assert self.board.on_sack(blocks, self.una, self.nxt) == (delivered, sent_at)

    @rule()
    def losses_are_found(self) -> None:
        lost = [
            byte
            for seq, byte in self.bytes.items()
            if byte.state == IN_FLIGHT and not byte.again and self.is_lost(seq)
        ]
        assert self.board.mark_lost(MSS) == len(lost)
        for byte in lost:
            byte.state = LOST

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
                byte.again = True
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
        end = min(flight.end, flight.start + most)
        for seq in range(flight.start, end):
            byte = self.bytes[seq]
            assert byte.state == LOST
            byte.state, byte.again, byte.sent_at = IN_FLIGHT, True, self.now
        self.board.on_retransmitted(flight, end, self.now)

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
                    if flight.state == IN_FLIGHT or not byte.again:
                        assert byte.sent_at == flight.sent_at  # reneged data has none

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
