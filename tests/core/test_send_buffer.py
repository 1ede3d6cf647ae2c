"""The bytes to send, by sequence number."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rudp.core.send_buffer import JOIN_BELOW, SendBuffer

START = 2**32 - 10


def test_a_new_buffer_is_empty() -> None:
    buffer = SendBuffer(START)
    assert (buffer.start, buffer.end) == (START, START)


def test_small_writes_are_cut_out_as_one_piece() -> None:
    buffer = SendBuffer(START)
    buffer.append(b"hello ")
    buffer.append(b"world")
    assert buffer.end == START + 11
    assert bytes(buffer.slice(START + 3, START + 8)) == b"lo wo"


def test_a_large_write_is_not_copied() -> None:
    data = bytes(JOIN_BELOW + 1)
    buffer = SendBuffer(START)
    buffer.append(b"small")
    buffer.append(data)
    assert buffer.slice(START + 5, buffer.end) is data
    piece = buffer.slice(START + 6, START + 100)
    assert isinstance(piece, memoryview)
    assert piece.obj is data


def test_a_slice_over_several_chunks_is_joined() -> None:
    buffer = SendBuffer(START)
    for letter in b"abc":
        buffer.append(bytes([letter]) * JOIN_BELOW)
    data = buffer.slice(START + JOIN_BELOW - 1, START + 2 * JOIN_BELOW + 2)
    assert bytes(data) == b"a" + b"b" * JOIN_BELOW + b"cc"


def test_a_slice_stays_as_it_was_whatever_is_written_after() -> None:
    buffer = SendBuffer(START)
    buffer.append(b"first")
    piece = buffer.slice(START + 1, START + 4)
    buffer.append(b"second")
    buffer.release(START + 8)
    assert bytes(piece) == b"irs"


def test_what_was_released_is_out_of_reach_and_the_rest_is_not() -> None:
    buffer = SendBuffer(START)
    buffer.append(b"abcdef")
    buffer.release(START + 2)
    buffer.release(START + 1)  # an older acknowledgment changes nothing
    assert buffer.start == START + 2
    assert bytes(buffer.slice(START + 2, START + 6)) == b"cdef"
    with pytest.raises(AssertionError):
        buffer.slice(START + 1, START + 6)


def test_an_ack_of_the_fin_as_well_releases_all_and_no_more() -> None:
    buffer = SendBuffer(START)
    buffer.append(b"abc")
    buffer.release(START + 4)
    assert (buffer.start, buffer.end) == (START + 3, START + 3)


def test_clear_forgets_what_is_left_and_keeps_the_numbers() -> None:
    buffer = SendBuffer(START)
    buffer.append(b"abc")
    buffer.clear()
    assert (buffer.start, buffer.end) == (START + 3, START + 3)
    buffer.append(b"def")
    assert bytes(buffer.slice(START + 3, START + 6)) == b"def"


SIZES = st.integers(1, 40) | st.integers(JOIN_BELOW - 5, JOIN_BELOW + 5)
STEPS = st.lists(st.tuples(st.sampled_from("wwwrrss"), SIZES, st.floats(0, 1), st.floats(0, 1)))


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_the_buffer_agrees_with_a_bytearray(steps: list[tuple[str, int, float, float]]) -> None:
    buffer, model, base = SendBuffer(START), bytearray(), 0
    for number, (what, size, one, other) in enumerate(steps):
        if what == "w":
            data = bytes([number % 251 + 1]) * size
            buffer.append(data)
            model += data
        elif what == "r":
            base += int((len(model) - base) * one)
            buffer.release(START + base)
        elif base < len(model):
            first = base + int((len(model) - base - 1) * one)
            last = first + 1 + int((len(model) - first - 1) * other)
            assert buffer.slice(START + first, START + last) == model[first:last]
        assert (buffer.start, buffer.end) == (START + base, START + len(model))
