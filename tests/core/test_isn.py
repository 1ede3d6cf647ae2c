"""Initial sequence numbers by RFC 6528: ISN = M + F(sockets, secret)."""

from __future__ import annotations

import pytest

from rudp.core.isn import initial_numbers

SECRET = bytes(range(32))
Pair = tuple[tuple[str, int], int, int]
LOCAL = ("10.0.0.1", 9000)
PAIR: Pair = (("10.0.0.2", 4000), 80, 4000)
OTHERS: list[Pair] = [
    (("10.0.0.2", 4000), 80, 4001),
    (("10.0.0.2", 4000), 81, 4000),
    (("10.0.0.2", 4001), 80, 4000),
    (("10.0.0.3", 4000), 80, 4000),
]


def initial_sequence_number(
    secret: bytes, pair: Pair, now: float, local: tuple[str, int] = LOCAL
) -> int:
    return initial_numbers(secret, local, pair, now)[0]


def timestamp_offset(secret: bytes, pair: Pair, now: float = 0.0) -> int:
    return initial_numbers(secret, LOCAL, pair, now)[1]


def test_for_one_pair_it_rises_by_one_every_four_microseconds() -> None:
    first = initial_sequence_number(SECRET, PAIR, 1000.0)
    later = initial_sequence_number(SECRET, PAIR, 1001.0)
    assert (later - first) % 2**32 == pytest.approx(250_000, abs=1)


def test_it_wraps_after_four_hours_and_three_quarters() -> None:
    first = initial_sequence_number(SECRET, PAIR, 1000.0)
    later = initial_sequence_number(SECRET, PAIR, 1000.0 + 2**32 * 4e-6)
    assert min((later - first) % 2**32, (first - later) % 2**32) <= 1


def test_pairs_and_secrets_have_spaces_of_their_own() -> None:
    numbers = {
        initial_sequence_number(SECRET, PAIR, 1000.0),
        initial_sequence_number(SECRET[::-1], PAIR, 1000.0),
        initial_sequence_number(SECRET, PAIR, 1000.0, local=("10.0.0.1", 9001)),
        initial_sequence_number(SECRET, PAIR, 1000.0, local=("10.0.0.9", 9000)),
        *(initial_sequence_number(SECRET, other, 1000.0) for other in OTHERS),
    }
    assert len(numbers) == 8


def test_it_fits_the_field() -> None:
    for i in range(2000):
        assert 0 <= initial_sequence_number(SECRET, (("10.0.0.2", i), 80, 4000), i * 1e5) < 2**32


def test_the_timestamp_offset_stays_the_same_for_a_pair() -> None:
    offset = timestamp_offset(SECRET, PAIR)
    assert offset == timestamp_offset(SECRET, PAIR, 1000.0)
    assert 0 <= offset < 2**32
    assert offset != timestamp_offset(SECRET, OTHERS[0])
    assert offset != timestamp_offset(SECRET[::-1], PAIR)


def test_the_timestamp_offset_does_not_give_the_isn_away() -> None:
    assert timestamp_offset(SECRET, PAIR) != initial_sequence_number(SECRET, PAIR, 0.0)
