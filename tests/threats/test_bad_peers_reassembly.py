"""Row 12: a peer that sends its data in the order that costs most (CVE-2018-5390, 2018-6922).

Each byte may be sent by itself, in any order, as often as one likes. What a segment costs stays
within three times that of one in order, and what is held within twice the receive buffer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

import pytest

from rudp.core import invariants
from rudp.core.config import Config
from rudp.core.connection import Connection, open_passive
from rudp.core.reassembly import JOIN
from rudp.core.segment import ACK, SYN, Segment
from tests.threats.cost import counted, kept, steps

BUFFER = 16384
IRS = 2**32 - 1000
NXT = IRS + 1
NOW = 50.0

Pieces = Iterator[tuple[int, int]]
"""What the peer sends: offsets from, to."""


def established(buffer: int = BUFFER) -> Connection:
    """A server's connection, nothing read; SACK and timestamps as ever."""
    config = Config(receive_buffer=buffer, receive_autotuning=False, window_scaling=False)
    syn = Segment(1, 2, IRS, 0, SYN, 65535, mss=1460, sack_permitted=True, ts_val=1)
    c = open_passive(config, iss=7, syn=syn, now=NOW, mss=1460)
    c.segments_to_send(NOW)
    arrive(c, 0, 0)
    return c


def arrive(c: Connection, start: int, end: int) -> None:
    """The peer's segment, and what we answer."""
    data = bytes(at * 7 % 251 for at in range(start, end))
    seg = Segment(1, 2, NXT + start, 8, ACK, 65535, data, ts_val=1, ts_ecr=0)
    c.receive(seg, NOW)
    c.segments_to_send(NOW)


def in_order(size: int, count: int) -> Pieces:
    return ((at * size, at * size + size) for at in range(count))


def every_other(size: int, count: int) -> Pieces:
    return ((at, at + size) for at in range(size, 2 * size * count, 2 * size))


def descending(size: int, count: int) -> Pieces:
    return ((at, at + size) for at in range(size * count, 0, -size))


def every_other_descending(size: int, count: int) -> Pieces:
    return ((at, at + size) for at in range(2 * size * count, 0, -2 * size))


def ascending(size: int, count: int) -> Pieces:
    """All but the first byte: one range that grows."""
    return ((1 + at * size, 1 + at * size + size) for at in range(count))


def overlapping(size: int, count: int) -> Pieces:
    return ((1 + at, 1 + at + 2 * size + 30) for at in range(count))


def the_same_again(size: int, count: int) -> Pieces:
    return ((1 + at % 2 * 4 * size, 1 + (at % 2 * 4 + 1) * size) for at in range(count))


def at_random(size: int, count: int) -> Pieces:
    random = Random(12)
    return ((at, at + size) for at in (random.randrange(1, BUFFER - size) for _ in range(count)))


def from_both_ends(size: int, count: int) -> Pieces:
    """Two ranges grow towards each other, again and again in another place."""
    for place in range(count // 20):
        low = 1 + place * 21 * size
        for at in range(10):
            yield low + at * size, low + (at + 1) * size
            yield low + (19 - at) * size, low + (20 - at) * size


def in_order_below_many_ranges(size: int, count: int) -> Pieces:
    yield from ((at, at + 1) for at in range(BUFFER - 2, BUFFER - 150, -2))
    yield from in_order(size, count)


PATTERNS = [
    every_other,
    descending,
    every_other_descending,
    ascending,
    overlapping,
    the_same_again,
    at_random,
    from_both_ends,
    in_order_below_many_ranges,
]


@counted
@pytest.mark.parametrize("size", [1, 64])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_threat_12_a_segment_costs_at_most_three_times_one_in_order(
    pattern: Callable[[int, int], Pieces], size: int
) -> None:
    count = 100
    plain = established()
    usual = steps(lambda: [arrive(plain, *piece) for piece in in_order(size, count)])
    bad = established()
    pieces = list(pattern(size, count))
    cost = steps(lambda: [arrive(bad, *piece) for piece in pieces])
    invariants.check(bad)
    assert cost / len(pieces) <= 3 * usual / count


@counted
def test_threat_12_a_segment_costs_as_much_when_all_ranges_are_taken() -> None:
    plain = established()
    usual = steps(lambda: [arrive(plain, *piece) for piece in in_order(1, 100)])
    bad = established()
    for piece in every_other(2, 300):
        arrive(bad, *piece)
    # More ranges, the gaps between them, what is there, and all at once.
    for low, high in ((5000, 5001), (1, 2), (2, 3), (3, 140)):
        cost = steps(lambda low=low, high=high: arrive(bad, low, high))
        most = 3 if high - low == 1 else 3 + 32  # thirty ranges end with the last
        assert cost <= most * usual / 100, (low, high)
    invariants.check(bad)


@pytest.mark.parametrize("pattern", [in_order, *PATTERNS])
def test_threat_12_what_is_held_takes_at_most_twice_the_receive_buffer(
    pattern: Callable[[int, int], Pieces],
) -> None:
    c = established()
    pieces = list(pattern(2, 2000))
    grown = kept(lambda: [arrive(c, *piece) for piece in pieces])
    assert grown <= 2 * BUFFER
    invariants.check(c)


def test_threat_12_a_full_buffer_of_single_bytes_is_read_as_it_was_sent() -> None:
    c = established()
    random = Random(3)
    offsets = list(range(8_000))
    random.shuffle(offsets)
    for at in offsets:
        arrive(c, at, at + 1)
    for at in range(8_000):
        if c.rcv.nxt - NXT <= at:  # what found no room among the ranges is sent again
            arrive(c, at, at + 1)
    assert len(c.rcv._ready) <= 2 * 8_000 // JOIN + 1
    read = b"".join(iter(lambda: c.read(777), b""))
    assert read == bytes(at * 7 % 251 for at in range(8_000))


def test_threat_12_there_are_never_more_ranges_than_the_receive_buffer_pays_for() -> None:
    c = established()
    for piece in every_other(1, 300):
        arrive(c, *piece)
    assert len(c.rcv._held._lefts) == BUFFER // 512
    few = established(buffer=2048)
    for piece in every_other(1, 900):
        arrive(few, *piece)
    assert len(few.rcv._held._lefts) == 4
    invariants.check(few)
