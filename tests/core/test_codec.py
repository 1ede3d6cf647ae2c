"""Segments to datagrams and back: exact bytes, and the laws that hold for all of them.

The bytes are checked against `tests.notation` too, which reads and writes them on its own.
"""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rudp.core.codec import HEADER, MAX_HEADER, MAX_SUPER, coalesce, decode, encode, split
from rudp.core.segment import ACK, CWR, ECE, FIN, PSH, RST, SYN, URG, Segment, SegmentError
from tests import notation

WORD = st.one_of(st.integers(0, 2**32 - 1), st.integers(2**32 - 9, 2**32 - 1))
SHORT = st.integers(0, 2**16 - 1)
TIMESTAMPS = bytes.fromhex("0101080a00000001fffffffe")


def header(options: bytes = b"", *, flags: int = ACK, seq: int = 2**32 - 1) -> bytes:
    """A header with these bytes for options, which are a multiple of four."""
    fixed = notation.encode(
        notation.Line("<", flags, 0, 0, ack=0, window=512, data=b""),
        notation.Origin(seq, 77),
        src_port=40000,
        dst_port=9000,
    )
    return fixed[:12] + bytes([(HEADER + len(options)) << 2]) + fixed[13:] + options


def join(pairs: Iterable[tuple[bytes, bytes | memoryview]]) -> list[bytes]:
    return [head + bytes(data) for head, data in pairs]


@st.composite
def segments(draw: st.DrawFn, *, max_data: int = 300, flags: int = 0xFF) -> Segment:
    """Any segment whose options fit a header, with only these `flags` set."""
    flags &= draw(st.integers(0, 255))
    options: dict[str, Any] = {}
    room = 4
    if draw(st.booleans()):
        options |= {"ts_val": draw(WORD), "ts_ecr": draw(WORD)}
        room = 3
    if flags & SYN:
        options["mss"] = draw(st.none() | SHORT)
        options["window_scale"] = draw(st.none() | st.integers(0, 255))
        options["sack_permitted"] = draw(st.booleans())
        room = 2
    blocks = draw(st.lists(st.tuples(WORD, WORD), max_size=room))
    return Segment(
        *(draw(SHORT), draw(SHORT), draw(WORD), draw(WORD), flags, draw(SHORT)),
        draw(st.binary(max_size=max_data)),
        sack_blocks=tuple(blocks),
        **options,
    )


# The bytes of a header.


@pytest.mark.parametrize(
    ("segment", "datagram"),
    [
        (
            Segment(
                *(40000, 9000, 2**32 - 1, 0, SYN, 65535),
                mss=1452,
                sack_permitted=True,
                ts_val=1,
                window_scale=7,
            ),
            "9c40 2328 ffffffff 00000000 a0 02 ffff 0000 0000"
            "0204 05ac 0402 080a 00000001 00000000 01 030307",
        ),
        (
            Segment(40000, 9000, 1, 2, SYN | ACK, 3, mss=536, sack_permitted=True),
            "9c40 2328 00000001 00000002 70 12 0003 0000 0000 0204 0218 0101 0402",
        ),
        (
            Segment(40000, 9000, 1, 2, SYN, 3, ts_val=4, ts_ecr=5),
            "9c40 2328 00000001 00000002 80 02 0003 0000 0000 0101 080a 00000004 00000005",
        ),
        (
            Segment(40000, 9000, 1, 2, PSH | ACK, 3, b"data", ts_val=4, ts_ecr=5),
            "9c40 2328 00000001 00000002 80 18 0003 0000 0000 0101 080a 00000004 00000005 64617461",
        ),
        (
            Segment(40000, 9000, 1, 2, ACK, 3, sack_blocks=((6, 7),)),
            "9c40 2328 00000001 00000002 80 10 0003 0000 0000 0101 050a 00000006 00000007",
        ),
        (Segment(1, 2, 3, 0, RST, 0), "0001 0002 00000003 00000000 50 04 0000 0000 0000"),
    ],
    ids=["SYN", "SYN-ACK", "SYN with timestamps only", "data", "SACK", "RST"],
)
def test_a_segment_is_these_bytes(segment: Segment, datagram: str) -> None:
    assert encode(segment).hex() == datagram.replace(" ", "")
    assert decode(bytes.fromhex(datagram)) == segment


@given(segments())
def test_its_own_notation_describes_the_same_bytes(segment: Segment) -> None:
    line = notation.parse(f"< {segment!r}")
    # The notation counts the edges of SACK from its `ack`, which is absolute here, as they are.
    origin = notation.Origin(0, 0)
    datagram = notation.encode(
        notation.Line(**{f: getattr(line, f) for f in line.__slots__} | {"data": segment.data}),
        origin,
        src_port=segment.src_port,
        dst_port=segment.dst_port,
    )
    if not segment.flags & ACK:
        segment.ack = 0
    assert encode(segment) == datagram


def test_numbers_from_inside_are_wrapped() -> None:
    unbounded = 5 * 2**32
    segment = Segment(
        *(1, 2, unbounded + 3, unbounded + 4, ACK, 5, b"six"),
        ts_val=unbounded + 7,
        ts_ecr=unbounded + 8,
        sack_blocks=((unbounded + 9, unbounded + 10),),
    )
    wrapped = Segment(1, 2, 3, 4, ACK, 5, b"six", ts_val=7, ts_ecr=8, sack_blocks=((9, 10),))
    assert decode(encode(segment)) == wrapped


@pytest.mark.parametrize(("ts_val", "fitting"), [(None, 4), (1, 3)])
def test_sack_blocks_that_do_not_fit_are_left_out_from_the_last(
    ts_val: int | None, fitting: int
) -> None:
    blocks = tuple((n, n + 1) for n in range(6))
    segment = Segment(1, 2, 3, 4, ACK, 5, ts_val=ts_val, sack_blocks=blocks)
    assert decode(encode(segment)).sack_blocks == blocks[:fitting]


@pytest.mark.parametrize("option", [{"mss": 1452}, {"window_scale": 7}, {"sack_permitted": True}])
def test_what_belongs_to_a_syn_is_not_sent_elsewhere(option: dict[str, Any]) -> None:
    with pytest.raises(AssertionError, match="in SYN segments only"):
        encode(Segment(1, 2, 3, 4, ACK, 5, **option))


# What is refused, and what is not.


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        header()[:19],
        header()[:12] + b"\x40" + header()[13:],
        header()[:12] + b"\x60" + header()[13:],
        header(TIMESTAMPS)[:-1],
    ],
    ids=["empty", "one byte short", "offset in the header", "offset past the end", "options cut"],
)
def test_a_datagram_without_a_whole_header_is_refused(datagram: bytes) -> None:
    with pytest.raises(SegmentError):
        decode(datagram)


@pytest.mark.parametrize(
    "options",
    [
        "08 00 0000",
        "fd 01 0000",
        "01 01 01 08",
        "01 01 08 0a",
        "fe 05 0000",
        "02 03 05 00",
        "02 06 05ac 0000 0000",
        "03 02 0000",
        "04 03 00 00",
        "05 02 0000",
        "05 06 00000000 0000",
        "08 08 000000000000",
        "0101 080a 00000001 00000002 08 00 0000",
    ],
)
@pytest.mark.parametrize("flags", [SYN, ACK], ids=["SYN", "ACK"])
def test_an_illegal_option_length_is_refused(options: str, flags: int) -> None:
    # RFC 9293 section 3.1 (MUST-7), as the docstring of SegmentError has it.
    with pytest.raises(SegmentError):
        decode(header(bytes.fromhex(options), flags=flags) + b"data")


def test_an_unknown_option_is_skipped() -> None:
    # RFC 9293 section 3.1: ignored without error (MUST-6), in any segment (MUST-5).
    options = bytes.fromhex("fd04f989 4d02 1e03ff 080a0000000100000002 01")
    segment = decode(header(options) + b"data")
    assert (segment.ts_val, segment.ts_ecr, segment.data) == (1, 2, b"data")


def test_an_option_may_begin_at_any_byte() -> None:
    # RFC 9293 section 3.2 (MUST-64).
    options = bytes.fromhex("01 0204 05ac 030307 0402 080a0000000100000002 00")
    segment = decode(header(options, flags=SYN))
    assert (segment.mss, segment.window_scale, segment.sack_permitted) == (1452, 7, True)
    assert (segment.ts_val, segment.ts_ecr) == (1, 2)


def test_nothing_is_read_after_the_end_of_the_option_list() -> None:
    segment = decode(header(bytes.fromhex("01 00 0800 080a0000000100000002 0000")) + b"data")
    assert (segment.ts_val, segment.data) == (None, b"data")


def test_what_belongs_to_a_syn_is_ignored_elsewhere() -> None:
    segment = decode(header(bytes.fromhex("0204 05ac 01 030307 0101 0402"), flags=ACK))
    assert (segment.mss, segment.window_scale, segment.sack_permitted) == (None, None, False)


def test_an_option_that_comes_twice_counts_as_its_last() -> None:
    segment = decode(header(bytes.fromhex("0204 0001 0204 0002"), flags=SYN))
    assert segment.mss == 2


def test_checksum_urgent_pointer_and_reserved_bits_are_not_looked_at() -> None:
    plain = header() + b"data"
    odd = plain[:12] + b"\x5f" + plain[13:16] + b"\xde\xad\xbe\xef" + plain[20:]
    assert decode(odd) == decode(plain)


@given(st.binary(max_size=100) | st.builds(header, st.binary(min_size=40, max_size=40)))
def test_any_bytes_are_a_segment_or_a_segment_error(datagram: bytes) -> None:
    try:
        segment = decode(datagram)
    except SegmentError:
        assert coalesce([datagram]) == ([], 1)
    else:
        assert isinstance(segment.data, bytes)
        assert coalesce([datagram]) == ([segment], 0)


@given(segments())
def test_decode_undoes_encode(segment: Segment) -> None:
    datagram = encode(segment)
    assert len(datagram) <= MAX_HEADER + len(segment.data)
    assert decode(datagram) == segment


# Splitting.


def test_split_as_tso_does() -> None:
    flags = CWR | PSH | FIN | ACK
    segment = Segment(1, 2, 2**32 - 2, 9, flags, 5, b"abcdefgh", ts_val=6, ts_ecr=7)
    assert [decode(datagram) for datagram in join(split(segment, 3))] == [
        Segment(1, 2, 2**32 - 2, 9, CWR | ACK, 5, b"abc", ts_val=6, ts_ecr=7),
        Segment(1, 2, 1, 9, ACK, 5, b"def", ts_val=6, ts_ecr=7),
        Segment(1, 2, 4, 9, PSH | FIN | ACK, 5, b"gh", ts_val=6, ts_ecr=7),
    ]


def test_split_does_not_copy_data() -> None:
    data = bytes(10)
    for _, piece in split(Segment(1, 2, 3, 4, ACK, 5, memoryview(data)), 4):
        assert isinstance(piece, memoryview)
        assert piece.obj is data
    [(_, whole)] = split(Segment(1, 2, 3, 4, ACK, 5, data), 10)
    assert whole is data


@pytest.mark.parametrize("flags", [SYN, RST | ACK])
def test_syn_and_rst_are_never_split(flags: int) -> None:
    segment = Segment(1, 2, 3, 4, flags, 5, b"abcdefgh")
    assert join(split(segment, 3)) == [encode(segment)]


def test_a_segment_without_data_is_one_pair() -> None:
    segment = Segment(1, 2, 3, 4, FIN | ACK, 5)
    assert split(segment, 1) == [(encode(segment), b"")]


@given(segments(flags=0xFF & ~(SYN | RST)), st.integers(1, 400))
def test_no_piece_is_larger_than_the_mss_and_only_the_last_is_smaller(
    segment: Segment, mss: int
) -> None:
    sizes = [len(data) for _, data in split(segment, mss)]
    assert sum(sizes) == len(segment.data)
    assert all(size == mss for size in sizes[:-1])
    assert sizes[-1] <= mss


@given(segments(flags=0xFF & ~URG), st.integers(1, 400))
def test_coalesce_undoes_split(segment: Segment, mss: int) -> None:
    assert coalesce(join(split(segment, mss))) == ([segment], 0)


@pytest.mark.parametrize("mss", [1, 536, 1440, 1452, 8948, 65483])
def test_coalesce_undoes_split_of_the_largest(mss: int) -> None:
    data = bytes(range(256)) * (MAX_SUPER // 256)
    segment = Segment(1, 2, 2**32 - 9, 4, PSH | ACK, 5, data, ts_val=6, ts_ecr=7)
    assert coalesce(join(split(segment, mss))) == ([segment], 0)


# Coalescing.


def test_undecodable_datagrams_are_counted_and_the_others_are_kept() -> None:
    good = [header() + b"data", header(flags=FIN | ACK)]
    assert coalesce([b"", good[0], header()[:19], good[1], b"junk"]) == (
        [decode(datagram) for datagram in good],
        3,
    )


def test_no_datagrams_are_no_segments() -> None:
    assert coalesce([]) == ([], 0)


def test_a_super_segment_ends_where_the_next_datagram_would_not_fit() -> None:
    size = MAX_SUPER // 2
    datagrams = join(split(Segment(1, 2, 2**32 - 1, 4, ACK, 5, bytes(3 * size + 1)), size))
    sizes = [len(segment.data) for segment in coalesce(datagrams)[0]]
    assert sizes == [MAX_SUPER, size + 1]


def test_a_checksum_does_not_keep_segments_apart() -> None:
    first, second = join(split(Segment(1, 2, 2**32 - 1, 4, ACK, 5, b"abcdef"), 3))
    second = second[:16] + b"\xca\xfe" + second[18:]
    [segment], _ = coalesce([first, second])
    assert segment.data == b"abcdef"


BASE: dict[str, Any] = {
    "src_port": 1,
    "dst_port": 2,
    "seq": 2**32 - 1,
    "ack": 4,
    "flags": ACK,
    "wnd": 5,
    "data": b"abc",
    "ts_val": 6,
    "ts_ecr": 7,
}


@pytest.mark.parametrize(
    "difference",
    [
        {"src_port": 9},
        {"dst_port": 9},
        {"seq": 1},
        {"seq": 3},
        {"seq": 2**32 - 1},
        {"ack": 9},
        {"flags": 0},
        {"flags": ACK | SYN},
        {"flags": ACK | RST},
        {"flags": ACK | URG},
        {"flags": ACK | ECE},
        {"flags": ACK | CWR},
        {"flags": ACK | CWR | PSH},
        {"wnd": 9},
        {"data": b""},
        {"ts_val": 9},
        {"ts_ecr": 9},
        {"ts_val": None},
        {"sack_blocks": ((8, 9),)},
    ],
    ids=str,
)
def test_a_header_that_differs_keeps_segments_apart(difference: dict[str, Any]) -> None:
    pair = [Segment(**BASE), Segment(**BASE | {"seq": 2} | difference)]
    if difference.get("ts_val", 0) is None:
        pair[1].ts_ecr = 0
    assert coalesce([encode(segment) for segment in pair]) == (pair, 0)


@pytest.mark.parametrize("flag", [PSH, FIN, SYN, RST, URG])
@pytest.mark.parametrize("follower_too", [False, True])
def test_nothing_is_joined_to_a_segment_with(flag: int, follower_too: bool) -> None:
    follower_flags = ACK | flag if follower_too else ACK
    pair = [
        Segment(**BASE | {"flags": ACK | flag}),
        Segment(**BASE | {"seq": 2, "flags": follower_flags}),
    ]
    assert coalesce([encode(segment) for segment in pair]) == (pair, 0)


def test_nothing_is_joined_to_a_segment_without_data() -> None:
    pair = [Segment(**BASE | {"data": b""}), Segment(**BASE)]
    assert coalesce([encode(segment) for segment in pair]) == (pair, 0)


def test_wire_len_is_the_data_of_the_first_wire_segment() -> None:
    datagrams = join(split(Segment(**BASE | {"data": b"abcdefgh"}), 3))
    [joined], _ = coalesce(datagrams)
    assert [joined.wire_len, *(decode(datagram).wire_len for datagram in datagrams)] == [3, 3, 3, 2]
    [alone], _ = coalesce([encode(Segment(**BASE | {"data": b""}))])
    assert alone.wire_len == 0


@pytest.mark.parametrize("last", [PSH, FIN, PSH | FIN])
def test_psh_and_fin_join_and_end_the_run(last: int) -> None:
    flags = [CWR | ACK, ACK, ACK | last, ACK]
    pieces = [
        Segment(**BASE | {"seq": (2**32 - 1 + 3 * n) % 2**32, "flags": f})
        for n, f in enumerate(flags)
    ]
    assert coalesce([encode(segment) for segment in pieces]) == (
        [Segment(**BASE | {"flags": CWR | ACK | last, "data": b"abcabcabc"}), pieces[3]],
        0,
    )


def continues(last: Segment, datagram: bytes, previous: bytes) -> bool:
    """Whether GRO would join `datagram` to `last`, which ends with `previous`: rule by rule."""
    new = decode(datagram)
    offset = datagram[12] >> 4 << 2
    return (
        (last.src_port, last.dst_port) == (new.src_port, new.dst_port)
        and not last.flags & (SYN | RST | URG | PSH | FIN)
        and not new.flags & CWR
        and last.flags & ~CWR == new.flags & ~(PSH | FIN)
        and (last.ack, last.wnd) == (new.ack, new.wnd)
        and previous[12] == datagram[12]
        and previous[HEADER:offset] == datagram[HEADER:offset]
        and len(last.data) > 0
        and len(new.data) > 0
        and (last.seq + len(last.data)) % 2**32 == new.seq
        and len(last.data) + len(new.data) <= MAX_SUPER
    )


def coalesce_slowly(datagrams: Iterable[bytes]) -> list[Segment]:
    """One datagram at a time, with each rule spelled out."""
    joined: list[Segment] = []
    previous = b""
    for datagram in datagrams:
        new = decode(datagram)
        if joined and continues(joined[-1], datagram, previous):
            joined[-1].data = bytes(joined[-1].data) + bytes(new.data)
            joined[-1].flags |= new.flags
        else:
            joined.append(new)
        previous = datagram
    return joined


@st.composite
def streams(draw: st.DrawFn) -> list[bytes]:
    """Datagrams that mostly continue each other, and differ in a field here and there."""
    segment = draw(segments(flags=ACK | ECE | CWR))
    datagrams: list[bytes] = []
    for _ in range(draw(st.integers(0, 12))):
        segment.data = draw(st.binary(max_size=5) | st.just(b"abc"))
        segment.flags ^= draw(st.sampled_from([0] * 8 + [1 << bit for bit in range(8)]))
        field = draw(st.sampled_from([""] * 8 + ["seq", "ack", "wnd", "src_port", "dst_port"]))
        if field:
            setattr(segment, field, getattr(segment, field) ^ 1)
        if segment.ts_val is not None:
            segment.ts_val ^= draw(st.sampled_from([0] * 8 + [1]))
        if not segment.flags & SYN:
            segment.mss = segment.window_scale = None
            segment.sack_permitted = False
        datagrams.append(encode(segment))
        segment.seq = (segment.seq + len(segment.data)) % 2**32
    return datagrams


@given(streams())
def test_coalesce_joins_what_gro_would_and_nothing_else(datagrams: list[bytes]) -> None:
    assert coalesce(datagrams) == (coalesce_slowly(datagrams), 0)


@given(st.lists(streams(), max_size=4), st.randoms(use_true_random=False))
def test_coalesce_neither_loses_nor_reorders_nor_invents_a_byte(
    parts: list[list[bytes]], random: Any
) -> None:
    datagrams = [datagram for part in parts for datagram in part]
    random.shuffle(datagrams)
    joined, undecodable = coalesce(datagrams)
    assert undecodable == 0
    assert b"".join(bytes(segment.data) for segment in joined) == b"".join(
        bytes(decode(datagram).data) for datagram in datagrams
    )
    flags = 0
    for datagram in datagrams:
        flags |= decode(datagram).flags
    assert sum(bool(s.flags & FIN) for s in joined) == sum(bool(d[13] & FIN) for d in datagrams)
    assert all(segment.flags & ~flags == 0 for segment in joined)
