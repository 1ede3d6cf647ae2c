"""rudp.reader against asyncio's own class: CPython's tests, our own, and random reads on both.

What is counted here is operations and bytes touched, never time.
"""

from __future__ import annotations

import asyncio
import importlib.util
import sys
import unittest
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rudp import chunks as chunks_module
from rudp.chunks import ALONE
from rudp.reader import StreamReader

if importlib.util.find_spec("test") and importlib.util.find_spec("test.test_asyncio"):
    from test.test_asyncio.test_streams import StreamTests as CPythonStreamTests
else:
    # Some systems pack CPython's tests apart from it.
    CPythonStreamTests = unittest.TestCase


@pytest.mark.skipif(
    CPythonStreamTests is unittest.TestCase, reason="this Python comes without its `test` package"
)
@pytest.mark.filterwarnings("ignore")
class TestAsCPythonTestsItsOwn(CPythonStreamTests):
    """CPython's tests of asyncio's streams, run with our class in the place of asyncio's."""

    @pytest.fixture(autouse=True)
    def _our_reader_instead_of_asyncios(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(asyncio, "StreamReader", StreamReader)
        monkeypatch.setattr(asyncio.streams, "StreamReader", StreamReader)

    def test_the_reader_under_test_is_ours(self) -> None:
        assert asyncio.StreamReader is asyncio.streams.StreamReader is StreamReader


del CPythonStreamTests


class Transport:
    """Records what the reader asks of it."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def pause_reading(self) -> None:
        self.calls.append("pause")

    def resume_reading(self) -> None:
        self.calls.append("resume")


class UnpausableTransport(Transport):
    def pause_reading(self) -> None:
        super().pause_reading()
        raise NotImplementedError


def reader_with(*chunks: bytes, limit: int = 2**16, eof: bool = False) -> StreamReader:
    reader = StreamReader(limit=limit)
    for chunk in chunks:
        reader.feed_data(chunk)
    if eof:
        reader.feed_eof()
    return reader


async def test_a_large_chunk_passes_through_a_read_as_the_object_it_came_as() -> None:
    chunks = [bytes([i]) * ALONE for i in range(3)]
    reader = reader_with(*chunks)
    for chunk in chunks:
        assert await reader.read(2**16) is chunk


async def test_a_chunk_that_a_read_satisfies_exactly_passes_through() -> None:
    chunk = b"x" * 100
    reader = reader_with(chunk)
    assert await reader.readexactly(100) is chunk
    reader.feed_data(chunk)
    assert await reader.read(100) is chunk
    reader.feed_data(chunk)
    assert await reader.read(101) is chunk


async def test_small_chunks_are_joined_up_to_the_size_of_the_read() -> None:
    reader = reader_with(*[bytes([i]) * 10 for i in range(100)])
    whole = b"".join(bytes([i]) * 10 for i in range(100))
    assert await reader.read(333) == whole[:333]
    assert await reader.read(2**16) == whole[333:]


async def test_small_chunks_before_a_large_one_do_not_make_it_a_copy() -> None:
    large = b"l" * ALONE
    reader = reader_with(b"a", b"b", large, b"c")
    assert await reader.read(2**16) == b"ab"
    assert await reader.read(2**16) is large
    assert await reader.read(2**16) == b"c"


async def test_a_read_that_could_not_return_the_large_chunk_whole_fills_up_from_it() -> None:
    reader = reader_with(b"ab", b"l" * ALONE)
    assert await reader.read(10) == b"ab" + b"l" * 8


async def test_slices_of_a_chunk_leave_the_rest_of_it_where_it_is() -> None:
    # A copy of the rest after each read would make this quadratic in the chunk's size.
    chunk = bytes(range(256)) * 1024
    reader = reader_with(chunk)
    parts = []
    while len(parts) < 1023:
        parts.append(await reader.read(256))
        assert reader._chunks._chunks[0] is chunk
    parts.append(await reader.readexactly(256))
    assert b"".join(parts) == chunk
    assert not reader._chunks._chunks


async def test_single_bytes_are_gathered_in_few_objects() -> None:
    reader = reader_with(*[b"x"] * (3 * ALONE))
    assert len(reader._chunks._chunks) == 3
    assert await reader.readexactly(3 * ALONE) == b"x" * (3 * ALONE)


class CountingBytearray(bytearray):
    """Counts the bytes that find() may have had to look at."""

    looked_at = 0

    def find(self, sub: Any, start: int = 0, *rest: Any) -> int:
        found = super().find(sub, start, *rest)
        end = len(self) if found < 0 else found + len(sub)
        CountingBytearray.looked_at += end - start
        return found


class CountingBytes(bytes):
    find = CountingBytearray.find


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], int]]:
    monkeypatch.setattr(chunks_module, "bytearray", CountingBytearray, raising=False)
    monkeypatch.setattr(CountingBytearray, "looked_at", 0)

    def find(self: bytes, sub: bytes, start: int = 0) -> int:
        found = bytes.find(self, sub, start)
        CountingBytearray.looked_at += (len(self) if found < 0 else found + len(sub)) - start
        return found

    monkeypatch.setattr(CountingBytes, "find", find)
    return lambda: CountingBytearray.looked_at


@pytest.mark.parametrize("separator", [b"\n", b"\r\n", (b"\n", b"END")])
async def test_readuntil_fed_byte_by_byte_looks_at_each_byte_a_bounded_number_of_times(
    looked_at: Callable[[], int], separator: bytes | tuple[bytes, ...]
) -> None:
    reader = reader_with(b"xx")
    size = 20_000
    task = asyncio.create_task(reader.readuntil(separator))
    await asyncio.sleep(0)
    for _ in range(size):
        reader.feed_data(b"x")
        await asyncio.sleep(0)
    reader.feed_data(b"\r\n")
    assert await task == b"xx" + b"x" * size + b"\r\n"
    # Each byte is new once, and stands among the last (longest - 1) for so many rounds.
    separators = separator if isinstance(separator, tuple) else (separator,)
    assert looked_at() <= 3 * len(separators) * (size + 4)


async def test_lines_of_many_large_chunks_are_found_looking_at_each_byte_twice_at_most(
    looked_at: Callable[[], int],
) -> None:
    line = b"x" * 999 + b"\n"
    reader = StreamReader(limit=2**30)
    for _ in range(64):
        # feed_data() would make plain bytes of them.
        reader._chunks.append(CountingBytes(line * 30 + b"y" * 500))
    size = reader._chunks.size
    reader.feed_eof()
    assert sum([len(found) async for found in reader]) == size
    assert looked_at() <= 2 * size


async def test_readexactly_over_chunks_takes_whole_chunks_and_a_part_of_the_last() -> None:
    first, second = b"a" * ALONE, b"b" * ALONE
    reader = reader_with(first, second)
    assert await reader.readexactly(ALONE + 10) == first + b"b" * 10
    assert reader._chunks._chunks[0] is second
    assert await reader.readexactly(ALONE - 10) == b"b" * (ALONE - 10)


@pytest.mark.parametrize("name", ["read", "readexactly", "readuntil"])
async def test_who_may_not_wait_too_does_not_disturb_who_waits(name: str) -> None:
    reader = StreamReader()
    waiting = asyncio.create_task(reader.readexactly(4))
    await asyncio.sleep(0)
    arguments = () if name == "readuntil" else (4,)
    with pytest.raises(RuntimeError, match="already waiting"):
        await getattr(reader, name)(*arguments)
    reader.feed_data(b"word")
    async with asyncio.timeout(10):
        assert await waiting == b"word"


async def test_who_begins_to_wait_before_the_last_has_woken_up_is_not_forgotten() -> None:
    reader = StreamReader()
    late = asyncio.create_task(reader.readexactly(4))
    await asyncio.sleep(0)

    async def read_twice() -> bytes:
        return await reader.read(4) + await reader.read(4)

    quick = asyncio.create_task(read_twice())
    reader.feed_data(b"wo")  # wakes the first, but the second has its turn before
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        with pytest.raises(RuntimeError, match="already waiting"):
            await late
        reader.feed_data(b"rd")
        assert await quick == b"word"


async def test_a_mutable_buffer_is_copied_when_it_is_fed() -> None:
    data = bytearray(b"before")
    reader = StreamReader()
    reader.feed_data(data)
    data[:] = b"after!"
    reader.feed_data(memoryview(data))
    data[:] = b"later!"
    assert await reader.readexactly(12) == b"beforeafter!"


async def test_the_transport_is_paused_above_twice_the_limit_and_resumed_at_the_limit() -> None:
    transport = Transport()
    reader = StreamReader(limit=100)
    reader.set_transport(transport)  # type: ignore[arg-type]
    reader.feed_data(b"x" * 200)
    assert transport.calls == []
    reader.feed_data(b"x")
    assert transport.calls == ["pause"]
    reader.feed_data(b"x")
    assert await reader.read(101) == b"x" * 101
    assert transport.calls == ["pause"]
    assert await reader.readexactly(1) == b"x"
    assert transport.calls == ["pause", "resume"]


async def test_a_read_that_needs_more_than_the_limit_resumes_the_transport() -> None:
    transport = Transport()
    reader = StreamReader(limit=10)
    reader.set_transport(transport)  # type: ignore[arg-type]
    reader.feed_data(b"x" * 21)
    task = asyncio.create_task(reader.readexactly(42))
    await asyncio.sleep(0)
    assert transport.calls == ["pause", "resume"]
    reader.feed_data(b"x" * 21)
    assert await task == b"x" * 42
    assert transport.calls == ["pause", "resume", "pause", "resume"]


async def test_a_transport_that_cannot_pause_is_asked_once() -> None:
    transport = UnpausableTransport()
    reader = StreamReader(limit=10)
    reader.set_transport(transport)  # type: ignore[arg-type]
    reader.feed_data(b"x" * 21)
    reader.feed_data(b"x" * 21)
    assert transport.calls == ["pause"]
    assert await reader.readexactly(42) == b"x" * 42


@pytest.mark.parametrize(
    "chunks",
    [[b"a-", b"--b"], [b"a-", b"-", b"-b"], [b"a", b"-", b"-", b"-", b"b"], [b"a---b", b"c"]],
)
@pytest.mark.parametrize("size", [0, ALONE])
async def test_a_separator_across_chunks_is_found(chunks: list[bytes], size: int) -> None:
    # With `size` more bytes in the first and last, these are not gathered: the boundaries stay.
    chunks = [b"<" * size + chunks[0], *chunks[1:-1], chunks[-1] + b">" * size]
    before, separator, after = b"".join(chunks).partition(b"---")
    reader = reader_with(*chunks, eof=True)
    assert await reader.readuntil(b"---") == before + separator
    assert await reader.read() == after


async def test_of_several_separators_the_one_that_ends_first_counts() -> None:
    reader = reader_with(b"longXYshortZ", eof=True)
    assert await reader.readuntil((b"Z", b"XY")) == b"longXY"
    reader = reader_with(b"aXYZb", b"Z", eof=True)
    assert await reader.readuntil((b"XYZ", b"Y", b"Z")) == b"aXY"
    assert await reader.readuntil((b"XYZ", b"bZ", b"Z")) == b"Z"
    assert await reader.readuntil((b"XYZ", b"bZ")) == b"bZ"


async def test_a_line_over_the_limit_is_discarded_and_the_next_one_is_read() -> None:
    reader = reader_with(b"x" * 20 + b"\nnext\n", limit=10)
    with pytest.raises(ValueError, match="limit 10"):
        await reader.readline()
    assert await reader.readline() == b"next\n"


async def test_a_line_over_the_limit_without_its_end_discards_all() -> None:
    reader = reader_with(b"x" * 20, limit=10)
    with pytest.raises(ValueError, match="limit 10"):
        await reader.readline()
    assert not reader.at_eof()
    assert reader._buffer == b""


async def test_an_exception_wakes_the_read_that_waits_and_all_later_ones() -> None:
    reader = reader_with(b"unread")
    task = asyncio.create_task(reader.readexactly(7))
    await asyncio.sleep(0)
    reader.set_exception(ConnectionResetError("gone"))
    for read in (task, reader.read(1), reader.readexactly(1), reader.readline(), reader.read()):
        with pytest.raises(ConnectionResetError):
            await read
    assert isinstance(reader.exception(), ConnectionResetError)


async def test_eof_ends_each_kind_of_read_its_own_way() -> None:
    assert await reader_with(eof=True).read(1) == b""
    assert await reader_with(b"rest", eof=True).readline() == b"rest"
    with pytest.raises(asyncio.IncompleteReadError) as exactly:
        await reader_with(b"rest", eof=True).readexactly(5)
    assert (exactly.value.partial, exactly.value.expected) == (b"rest", 5)
    with pytest.raises(asyncio.IncompleteReadError) as until:
        await reader_with(b"rest", eof=True).readuntil(b"\n")
    assert (until.value.partial, until.value.expected) == (b"rest", None)


async def test_at_eof_only_when_all_is_read() -> None:
    reader = reader_with(b"ab")
    assert not reader.at_eof()
    reader.feed_eof()
    assert not reader.at_eof()
    assert await reader.read() == b"ab"
    assert reader.at_eof()


async def test_feeding_after_eof_is_a_bug_that_shows_at_once() -> None:
    with pytest.raises(AssertionError):
        reader_with(eof=True).feed_data(b"x")


async def test_a_cancelled_read_takes_nothing() -> None:
    reader = reader_with(b"half a li")
    for waiting in (reader.readline(), reader.readexactly(100), reader.readuntil(b"!!")):
        task = asyncio.create_task(waiting)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    reader.feed_data(b"ne\n")
    assert await reader.readline() == b"half a line\n"


async def test_the_buffer_attribute_shows_what_is_buffered_and_replaces_it() -> None:
    reader = reader_with(b"a" * ALONE, b"bc")
    assert await reader.readexactly(ALONE - 1) == b"a" * (ALONE - 1)
    assert reader._buffer == bytearray(b"abc")
    reader._buffer = bytearray(b"new")
    assert await reader.readexactly(3) == b"new"
    assert reader._buffer == bytearray()


async def test_clearing_the_buffer_attribute_takes_out_what_is_buffered() -> None:
    # As asyncio's start_tls() does from 3.14.4, once it has given the bytes to TLS.
    reader = reader_with(b"a" * ALONE, b"bc")
    assert await reader.readexactly(1) == b"a"
    buffer = reader._buffer
    buffer.clear()
    assert buffer == reader._buffer == bytearray()
    reader.feed_data(b"new")
    assert await reader.read(2**16) == b"new"


async def test_it_is_an_asyncio_stream_reader_with_its_repr() -> None:
    reader = reader_with(b"four")
    assert isinstance(reader, asyncio.StreamReader)
    assert repr(reader) == "<StreamReader 4 bytes>"


Step = tuple[Any, ...]
# Few letters, so that separators occur, also across chunks, and large chunks now and then.
text = st.text(alphabet="ab\n", max_size=12).map(str.encode)
chunk = st.one_of(text, st.builds(lambda t, n: t * n, text, st.sampled_from([1, 100, ALONE // 3])))
separator = st.text(alphabet="ab\n", max_size=4).map(str.encode)
separators = (
    st.one_of(separator, st.lists(separator, max_size=3).map(tuple))
    if sys.version_info >= (3, 13)
    else separator
)
size = st.one_of(st.integers(-1, 30), st.integers(0, 3 * ALONE))
step = st.one_of(
    st.tuples(st.just("feed_data"), chunk),
    st.tuples(st.just("feed_data"), chunk),
    st.tuples(st.just("read"), size),
    st.tuples(st.just("readexactly"), size),
    st.tuples(st.just("readline")),
    st.tuples(st.just("readuntil"), separators),
    st.tuples(st.just("feed_eof")),
    st.tuples(st.just("set_exception"), st.just(ConnectionResetError("reset"))),
)


async def outcome(reader: asyncio.StreamReader, name: str, *args: Any) -> Any:
    """What a call comes to: its result, the error with what it carries, or that it waits."""
    result = getattr(reader, name)(*args)
    if result is None:
        return None
    task = asyncio.ensure_future(result)
    await asyncio.sleep(0)
    if not task.done():
        task.cancel()
    try:
        return await task
    except asyncio.CancelledError:
        return "it waits"
    except Exception as error:
        return type(error), *(getattr(error, a, None) for a in ("partial", "expected", "consumed"))


@settings(max_examples=400, deadline=None)
@given(steps=st.lists(step, max_size=25), limit=st.sampled_from([1, 5, 50, 2**16]))
@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_any_feeding_and_any_reads_come_to_what_they_come_to_with_asyncio(
    steps: list[Step], limit: int
) -> None:
    theirs, ours = asyncio.StreamReader(limit=limit), StreamReader(limit=limit)
    transports = Transport(), Transport()
    theirs.set_transport(transports[0])  # type: ignore[arg-type]
    ours.set_transport(transports[1])  # type: ignore[arg-type]
    for name, *args in steps:
        if name == "feed_data" and ours._eof:
            continue
        expected = await outcome(theirs, name, *args)
        got = await outcome(ours, name, *args)
        if name == "read" and isinstance(got, bytes) and args[0] >= ALONE:
            # The freedom taken: fewer bytes, though never none, to pass a chunk on uncopied.
            while len(got) < len(expected) and (more := await ours.read(args[0] - len(got))):
                got += more
        assert got == expected
        assert ours._buffer == theirs._buffer  # type: ignore[attr-defined]
        assert ours.at_eof() == theirs.at_eof()
        assert transports[1].calls == transports[0].calls
