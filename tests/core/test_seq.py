"""Sequence numbers cross the edge between 32 bits and unbounded integers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rudp.core.seq import HALF, MODULUS, unwrap, wrap

WIRE = st.integers(0, MODULUS - 1)
INSIDE = st.integers(-(2**40), 2**70)


def test_wrap_keeps_the_lowest_32_bits() -> None:
    assert [wrap(seq) for seq in (0, 2**32 - 1, 2**32, 2**32 + 7, -1)] == [
        0,
        2**32 - 1,
        0,
        7,
        2**32 - 1,
    ]


@pytest.mark.parametrize(
    ("wire", "near", "expected"),
    [
        (2**32 - 10, 2**32 - 10, 2**32 - 10),
        (5, 2**32 - 10, 2**32 + 5),
        (2**32 - 10, 2**32 + 5, 2**32 - 10),
        (7, 5 * 2**32 + 100, 5 * 2**32 + 7),
        (2**32 - 1, 5 * 2**32, 5 * 2**32 - 1),
    ],
)
def test_unwrap_finds_the_nearest_across_a_wrap(wire: int, near: int, expected: int) -> None:
    assert unwrap(wire, near) == expected


def test_just_before_a_small_number_is_negative() -> None:
    assert unwrap(2**32 - 1, 5) == -1


def test_of_two_equally_near_the_older_is_taken() -> None:
    near = 3 * 2**32
    assert unwrap(wrap(near + HALF), near) == near - HALF
    assert unwrap(wrap(near + HALF - 1), near) == near + HALF - 1


@given(WIRE, INSIDE)
def test_unwrap_is_congruent_and_nearest(wire: int, near: int) -> None:
    seq = unwrap(wire, near)
    assert wrap(seq) == wire
    assert -HALF <= seq - near < HALF


@given(INSIDE, st.integers(-HALF, HALF - 1))
def test_unwrap_undoes_wrap_within_half_the_space(near: int, distance: int) -> None:
    assert unwrap(wrap(near + distance), near) == near + distance


@given(st.integers(), INSIDE)
def test_unwrapping_twice_is_unwrapping_once(seq: int, near: int) -> None:
    once = unwrap(seq, near)
    assert unwrap(once, near) == once
