"""Row 13: a peer whose SACKs are made to cost (CVE-2019-11477, -11478 and -11479).

Plain is an ACK of two segments that lets two more out: decoded, taken in, and what it lets out put
on the wire. Whatever an ACK says, it costs no more than three of these, and as much again for each
segment that goes out for it.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from rudp.core import invariants
from rudp.core.config import MIN_MSS, Config
from rudp.core.connection import open_passive
from rudp.core.flight import SACKED
from rudp.core.scoreboard import MAX_RUN
from rudp.core.segment import ACK, SYN, Segment
from rudp.core.undo import MAX_OWED
from tests.core.scoreboards import again, lose, sent
from tests.threats.cost import counted, steps
from tests.threats.flooding import FIRST, ISS, MSS, Server

COUNT = 400
"""Segments under way."""

Turn = Callable[[Server, int], None]


def plain_cost() -> int:
    s = Server(COUNT)

    def turn(at: int) -> None:
        s.c.write(b"y" * 2 * MSS)
        s.ack((at + 1) * 2 * MSS)

    turn(0)
    return steps(lambda: [turn(at) for at in range(1, 11)]) // 10


def every_other(s: Server, first: int = 1) -> None:
    """The peer has every other segment, and our path is slow enough for none to be late."""
    for at in range(first, COUNT - 4, 2):
        s.ack(s.una, (at * MSS, (at + 1) * MSS))


def holes(s: Server, turn: int) -> None:
    at = (6 * turn + 1) * MSS
    s.ack(0, *((at + 2 * n * MSS, at + (2 * n + 1) * MSS) for n in range(3)))


def single_bytes(s: Server, turn: int) -> None:
    at = COUNT * MSS - 20 - 6 * turn
    s.ack(0, *((at + 2 * n, at + 2 * n + 1) for n in range(3)))


def shards_everywhere(s: Server, turn: int) -> None:
    random = Random(turn)
    left = [random.randrange(1, COUNT * MSS - 400) for _ in range(3)]
    s.ack(0, *((at, at + 300) for at in left))


def growing_blocks(s: Server, turn: int) -> None:
    s.ack(0, *((n * 9000 + 5000 - 7 * turn, n * 9000 + 5000 + 7 * turn + 1) for n in range(3)))


def outside(s: Server, turn: int) -> None:
    s.ack(0, (s.nxt, s.nxt + 1), (s.nxt - 1, s.nxt + 1), (10**8, 10**9))


def upside_down(s: Server, turn: int) -> None:
    s.ack(0, (9000, 4000), (4000, 4000), (-4000, 4000))


def dsacks(s: Server, turn: int) -> None:
    s.ack(0, (-turn - 2, 0), (1000, 2000), (3000, 4000))


def window_open_and_shut(s: Server, turn: int) -> None:
    s.ack(0, wnd=0 if turn % 2 else 65535)


def taken_back(s: Server, turn: int) -> None:
    """What was SACKed is acknowledged in part, and never told of again (reneging)."""
    if turn % 2:
        s.ack(s.una + 1)
    else:
        s.ack(s.una, (s.una + 1, s.una + 5000))


def undone_by_echo(s: Server, turn: int) -> None:
    """One byte that went out last is SACKed: all before it is lost. Then an echo from long ago
    says that nothing was."""
    s.now += 1.0
    if turn % 2:
        undo = s.c.snd.loss.undo
        s.ack(max(s.una, undo.first_start - FIRST) + 1, echo=s.now - 50)
    else:
        board = s.c.snd.board
        flights = [each for each in board.flights if each.state != SACKED]
        newest = max(flights, key=lambda each: (each.number, each.start))
        at = newest.start - FIRST + 10
        s.ack(s.una, (at, at + 1))


def lost_far_and_near(s: Server, turn: int) -> None:
    """The first is lost again and again, and the next that is lost is far away."""
    s.now += 1.0
    board = s.c.snd.board
    newest = board.newest
    assert newest is not None
    at = newest.end - FIRST - 1
    s.ack(s.una, (at, at + 1))


@counted
@pytest.mark.parametrize(
    "turn",
    [
        holes,
        single_bytes,
        shards_everywhere,
        growing_blocks,
        outside,
        upside_down,
        dsacks,
        window_open_and_shut,
        taken_back,
        undone_by_echo,
        lost_far_and_near,
    ],
)
@pytest.mark.parametrize("cwnd", [2 * MSS, 1 << 20])
def test_threat_13_no_ack_costs_more_than_three_plain_ones(turn: Turn, cwnd: int) -> None:
    s = Server(COUNT)
    rack = s.c.snd.loss.rack
    rack.reordering_seen, rack.multiplier = True, 1 << 20  # as DSACKs make it
    s.c.snd.rtt.srtt = 100.0
    if turn not in (holes, single_bytes, shards_everywhere, growing_blocks):
        every_other(s)
    s.limit(cwnd)
    turn(s, 0)
    turn(s, 1)
    turn(s, 2)
    out = s.c.segs_out
    turns = 12
    cost = steps(lambda: [turn(s, at) for at in range(3, 3 + turns)])
    invariants.check(s.c)
    assert cost <= 3 * plain_cost() * (turns + s.c.segs_out - out)


@counted
def test_threat_13_tiny_segments_that_are_lost_cost_no_more_while_the_window_is_full() -> None:
    s = Server(3000, size=1)
    s.limit(MSS)
    s.ack(0, (2999, 3000))
    assert s.c.snd.board.lost > MAX_RUN
    cost = steps(lambda: [s.ack(0, (2999, 3000)) for _ in range(10)])
    assert cost <= 30 * plain_cost()


@counted
def test_threat_13_the_next_lost_range_is_found_at_once_however_far_it_is() -> None:
    costs = []
    for count in (100, 1000):
        board = sent(*range(MSS, (count + 1) * MSS, MSS))
        lose(board, 0, (count - 1) * MSS)
        for _ in range(3):
            first = board.next_lost()
            assert first is not None
            again(board, first, first.end, 5000.0)
            lose(board, 0)
        again(board, first, first.end, 5000.0)
        costs.append(steps(board.next_lost))
        far = board.next_lost()
        assert far is board.flights[-1]
    assert costs[1] < 1.5 * costs[0]


def test_threat_13_a_window_that_opens_and_shuts_has_nothing_sent_again() -> None:
    # RFC 9293 section 3.8.6: a shrunken window says nothing of what is under way.
    s = Server(50)
    every = s.datagrams
    for _ in range(10):
        s.ack(0, wnd=0)
        s.ack(0, wnd=65535)
    assert s.datagrams == every
    invariants.check(s.c)


def test_threat_13_at_most_four_blocks_of_an_ack_are_looked_at() -> None:
    s = Server(40)
    blocks = tuple((FIRST + at * 2000, FIRST + at * 2000 + 1000) for at in range(1, 12))
    seg = Segment(1, 2, 78, FIRST, ACK, 65535, b"", sack_blocks=blocks, ts_val=1, ts_ecr=0)
    s.c.receive(seg, s.now)
    assert s.c.snd.board.sacked == 4 * MSS


@pytest.mark.parametrize("announced", [0, 1, 48, MIN_MSS - 1])
def test_threat_13_no_segment_size_below_the_floor_is_used(announced: int) -> None:
    syn = Segment(1, 2, 77, 0, SYN, 65535, mss=announced)
    c = open_passive(Config(), iss=ISS, syn=syn, now=1.0, mss=1460)
    c.segments_to_send(1.0)
    c.receive(Segment(1, 2, 78, FIRST, ACK, 65535), 1.0)
    assert c.send_mss == MIN_MSS


def test_threat_13_sacks_cut_what_is_in_flight_into_no_more_pieces_than_the_limit() -> None:
    s = Server(8, max_flight_ranges=16)
    s.limit(MSS)  # hardly anything goes out again
    for at in range(0, 8000, 10):
        s.ack(0, (at + 3, at + 5))
    assert len(s.c.snd.board.flights) <= 16
    invariants.check(s.c)
    s.ack(8000)
    assert not s.c.snd.board.flights


def test_threat_13_small_writes_of_a_peer_that_acknowledges_nothing_are_joined_at_the_limit() -> (
    None
):
    s = Server(100, size=1, max_flight_ranges=16)
    assert len(s.c.snd.board.flights) == 16
    assert s.c.snd.unsent == 84
    s.ack(3)
    assert [(len(each.data), each.seq - FIRST) for each in s.out] == [(84, 16)]
    invariants.check(s.c)


def test_threat_13_places_of_lost_data_do_not_pile_up() -> None:
    s = Server(20)
    s.limit(MSS)
    s.now += 1.0
    s.ack(0, (19_999, 20_000))
    for at in range(19_900, 5_000, -10):
        s.ack(0, (at, at + 5))  # each cuts what is lost, and in part is joined again
        s.ack(0, (at, 20_000))
    invariants.check(s.c)
    assert len(s.c.snd.board._lost_at) < 200


def test_threat_13_dsacks_cannot_cut_what_undo_remembers_without_end() -> None:
    s = Server(60)
    s.now += 1.0
    s.ack(0, (59_000, 60_000))
    undo = s.c.snd.loss.undo
    assert undo.going_on
    for at in range(1000, 50_000, 20):
        s.ack(0, (at, at + 10), (0, s.nxt))
    invariants.check(s.c)
    assert len(undo._starts) <= MAX_OWED
