"""Out-of-order data: held once, given back in order, reported truthfully."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rudp.core.reassembly import JOIN, Reassembly

NXT = 2**32 - 20


def held(*pieces: tuple[int, bytes], limit: int = 100) -> Reassembly:
    store = Reassembly(limit)
    for offset, data in pieces:
        store.add(NXT + offset, data)
    return store


def blocks(store: Reassembly, count: int = 4) -> list[tuple[int, int]]:
    return [(left - NXT, right - NXT) for left, right in store.blocks(count)]


def test_an_empty_store_is_false_and_has_nothing_to_report() -> None:
    store = Reassembly(16)
    assert not store
    assert (store.bytes, store.blocks(4), store.take(NXT)) == (0, (), [])
    assert store.range_at(NXT) is None


def test_pieces_that_touch_are_one_range() -> None:
    store = held((10, b"ab"), (14, b"ef"), (12, b"cd"))
    assert blocks(store) == [(10, 16)]
    assert store.bytes == 6
    assert store.range_at(NXT + 15) == (NXT + 10, NXT + 16)
    assert store.range_at(NXT + 16) is None


def test_the_first_copy_of_a_byte_wins() -> None:
    store = held((12, b"CD"))
    assert store.add(NXT + 10, b"xxxxxx")
    assert b"".join(store.take(NXT + 10)) == b"xxCDxx"


def test_data_that_is_held_already_is_no_news() -> None:
    store = held((10, b"abcdef"))
    assert not store.add(NXT + 12, b"xx")
    assert store.bytes == 6
    assert not store.add(NXT + 30, b"")


def test_nothing_is_taken_while_the_gap_is_open() -> None:
    store = held((10, b"ab"))
    assert store.take(NXT + 9) == []
    assert store.bytes == 2


def test_taking_gives_the_pieces_up_to_the_next_gap() -> None:
    store = held((10, b"ab"), (12, b"cd"), (20, b"yz"))
    assert b"".join(store.take(NXT + 10)) == b"abcd"
    assert blocks(store) == [(20, 22)]
    assert store.bytes == 2


def test_small_pieces_are_joined_and_large_ones_are_kept_as_they_came() -> None:
    large = [bytes([number]) * JOIN for number in range(3)]
    store = held((10, b"a"), (11, b"b"), (12, large[0]), (12 + JOIN, large[1]))
    store.add(NXT + 9, b"z")
    store.add(NXT + 9 - JOIN, large[2])
    pieces = store.take(NXT + 9 - JOIN)
    assert pieces == [large[2], b"zab", large[0], large[1]]
    assert all(mine is theirs for mine, theirs in zip(pieces[2:], large, strict=False))


@pytest.mark.parametrize("order", ["ascending", "descending", "inwards"])
def test_ranges_that_become_one_keep_their_pieces_in_order(order: str) -> None:
    pieces = [bytes([number]) * (JOIN // 2 + 1) for number in range(40)]
    step = len(pieces[0])
    numbers = list(range(40))
    if order == "descending":
        numbers.reverse()
    elif order == "inwards":  # ten ranges, long and short, then what is between them
        numbers = [n for n in numbers if n % 10 < n // 10 + 2] + [
            n for n in numbers if n % 10 >= n // 10 + 2
        ]
    store = held(*((1 + number * step, pieces[number]) for number in numbers))
    assert store.take(NXT + 1) == pieces


def test_what_a_retransmission_covered_is_dropped_and_the_rest_is_taken() -> None:
    store = held((10, b"ab"), (14, b"efgh"), (30, b"z"))
    assert store.take(NXT + 16) == [b"gh"]
    assert store.bytes == 1
    assert blocks(store) == [(30, 31)]


def test_a_piece_that_ends_where_the_rest_begins_is_dropped_whole() -> None:
    store = held((10, b"ab"), (12, b"cd"))
    assert store.take(NXT + 12) == [b"cd"]
    assert not store


def test_the_block_that_changed_last_is_told_first_then_the_latest_told() -> None:
    # RFC 2018 section 4.
    store = held((10, b"a"), (20, b"b"), (30, b"c"), (21, b"d"))
    assert blocks(store) == [(20, 22), (30, 31), (10, 11)]
    assert blocks(store, 2) == [(20, 22), (30, 31)]
    assert blocks(store) == [(20, 22), (30, 31), (10, 11)]


def test_a_range_beyond_the_limit_is_not_held_but_the_others_may_grow() -> None:
    store = held((10, b"a"), (20, b"b"), limit=2)
    assert not store.add(NXT + 30, b"c")
    assert store.add(NXT + 11, b"a")
    assert store.add(NXT + 19, b"b")
    assert store.add(NXT + 12, b"1234567")
    assert blocks(store) == [(10, 21)]
    assert store.add(NXT + 30, b"c")


def test_clear_forgets_everything() -> None:
    store = held((10, b"a"), (20, b"b"))
    store.clear()
    assert not store
    assert (store.bytes, store.blocks(4)) == (0, ())


# The model: a dictionary of bytes.


def runs(model: dict[int, int]) -> list[tuple[int, int]]:
    """The maximal ranges of the keys."""
    found: list[tuple[int, int]] = []
    for seq in sorted(model):
        if found and found[-1][1] == seq:
            found[-1] = (found[-1][0], seq + 1)
        else:
            found.append((seq, seq + 1))
    return found


def model_add(model: dict[int, int], seq: int, data: bytes, limit: int) -> tuple[bool, int]:
    """Adds what is new, range by range; returns if any was, and up to where `data` is held now."""
    news, end = False, seq + len(data)
    fresh = {seq + i: byte for i, byte in enumerate(data) if seq + i not in model}
    for left, right in runs(fresh):
        alone = left - 1 not in model and right not in model
        if alone and len(runs(model)) >= limit:
            return news, left
        model.update({at: fresh[at] for at in range(left, right)})
        news = True
    return news, end


OPERATIONS = st.lists(
    st.tuples(st.just("add"), st.integers(0, 60), st.binary(max_size=12))
    | st.tuples(st.just("take"), st.integers(0, 6), st.just(b""))
    | st.tuples(st.just("tell"), st.integers(1, 4), st.just(b"")),
    max_size=40,
)


@pytest.mark.parametrize("limit", [3, 100])
@settings(max_examples=150, deadline=None)
@given(OPERATIONS)
def test_reassembly_agrees_with_a_dictionary_of_bytes(
    limit: int, operations: list[tuple[str, int, bytes]]
) -> None:
    store, model = Reassembly(limit), dict[int, int]()
    nxt, newest = NXT, None
    for what, number, data in operations:
        if what == "add":
            seq = nxt + 1 + number
            news, end = model_add(model, seq, data, limit)
            assert store.add(seq, data) == news
            newest = end - 1 if end > seq else newest
        elif what == "take":
            nxt += number
            expected = bytearray()
            model = {seq: byte for seq, byte in model.items() if seq >= nxt}
            while nxt in model:
                expected.append(model.pop(nxt))
                nxt += 1
            assert b"".join(store.take(nxt - len(expected))) == expected
        else:
            told = store.blocks(number)
            assert len(told) <= number
            assert len(set(told)) == len(told)
            assert set(told) <= set(runs(model))
            if newest in model:
                assert told[0][0] <= newest < told[0][1]
        assert store.bytes == len(model)
        assert bool(store) == bool(model)
        assert len(runs(model)) <= limit
        ranges = {store.range_at(seq) for seq in range(nxt, nxt + 80)} - {None}
        assert ranges == set(runs(model))
