"""Segments to datagrams and back: the one place where bytes become a `Segment`.

The payload of a datagram is one segment of RFC 9293 section 3.1, byte for byte:

      0                   1                   2                   3
      0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
     +-------------------------------+-------------------------------+
   0 |          source port          |       destination port        |
     +-------------------------------+-------------------------------+
   4 |                            SEG.SEQ                            |
     +---------------------------------------------------------------+
   8 |                            SEG.ACK                            |
     +-------+-------+---------------+-------------------------------+
  12 | offset|   0   |C E U A P R S F|            window             |
     +-------+-------+---------------+-------------------------------+
  16 |         checksum: 0           |       urgent pointer: 0       |
     +-------------------------------+-------------------------------+
  20 |     options, 0 to 40 bytes, then data from byte offset * 4    |

The checksum is sent as 0 and not looked at: the UDP checksum covers the datagram. The urgent
pointer is not looked at either. The reserved bits are sent as 0 and ignored on receipt.

The rest of the core handles super-segments of up to 64 KiB, and this module makes that cheap. On
the way out `split` cuts one into wire segments as a network card with TSO does; on the way in
`coalesce` joins those that continue each other as GRO does. Both do per wire segment only what
differs between wire segments, which is SEG.SEQ and the data: this is the hottest code of the
package, and where it looks roundabout it was measured.

What a segment means is not decided here: no number is judged, no limit on the MSS applied.

Read beside it: RFC 9293 sections 3.1 and 3.2, RFC 7323 (window scale, timestamps), RFC 2018 (SACK).
"""

from collections.abc import Sequence
from struct import Struct
from typing import Final

from rudp.core.segment import CWR, FIN, PSH, RST, SYN, URG, Buffer, Segment, SegmentError
from rudp.core.seq import MASK

HEADER: Final = 20
"""Bytes of a header without options."""
MAX_HEADER: Final = 60
"""Bytes of the largest header: the data offset is 4 bits wide and counts 32-bit words."""
MAX_OPTIONS: Final = MAX_HEADER - HEADER
MAX_SUPER: Final = 65536
"""Bytes of data in the largest super-segment that `coalesce` makes."""

# The option kinds, from the IANA registry "TCP Option Kind Numbers".
_EOL: Final = 0
_NOP: Final = 1
_MSS: Final = 2
_WINDOW_SCALE: Final = 3
_SACK_PERMITTED: Final = 4
_SACK: Final = 5
_TIMESTAMPS: Final = 8

# nop, nop, timestamps: all the options that nearly all segments have (RFC 7323 appendix A).
_ONLY_TIMESTAMPS: Final = bytes((_NOP, _NOP, _TIMESTAMPS, 10))
_OFFSET_WITH_TIMESTAMPS: Final = (HEADER + 12) << 10  # where the data offset stands in 16 bits

# A whole header whose only option is timestamps: data offset and flags are one number.
_timestamped = Struct(">HHIIHH4x4sII")
_fixed = Struct(">HHIIBBH4x")  # the last four bytes are the checksum and the urgent pointer
_edges = Struct(">II")  # a SACK block, and the two values of the timestamps option as well

# What `split` writes per wire segment: ports, SEG.SEQ and all that comes after it. By words of
# options, as the next.
_pack_header: Final = tuple(Struct(f">4sI{12 + 4 * n}s").pack for n in range(11))
# What `coalesce` reads: ports, SEG.SEQ, bytes 8 to 15 and the options.
_unpack_header: Final = tuple(Struct(f">4sI8s4x{4 * n}s").unpack_from for n in range(11))


# Bytes to segments.


def decode(datagram: bytes) -> Segment:
    """The segment that is in `datagram`, with the numbers as they stand on the wire.

    Total: for any bytes it returns a segment or raises `SegmentError`, and nothing else.
    """
    offset = _data_offset(datagram)
    segment = _decode_header(datagram, offset)
    segment.data = datagram[offset:]
    segment.wire_len = len(datagram) - offset
    return segment


def coalesce(datagrams: Sequence[bytes]) -> tuple[list[Segment], int]:
    """The segments in `datagrams`, joined where they continue each other; how many were none.

    `datagrams` came from one UDP peer, in this order. A datagram joins the one before it as in GRO:
    both have data, its SEG.SEQ is where the other ends, and the headers are equal otherwise. PSH
    and FIN may be set on the last of a run, which they end, and CWR on its first. SYN, RST and URG
    stand alone. Neither the order nor a byte is changed, and nothing is kept from call to call.

    Each byte of data is copied once, and no datagram is kept alive by the segments.

    Deviation from GRO: the sizes of a run may differ, because nobody has to cut it up again.
    """
    segments: list[Segment] = []
    undecodable = 0
    count = len(datagrams)
    start = 0
    while start < count:
        datagram = datagrams[start]
        try:
            offset = _data_offset(datagram)
            segment = _decode_header(datagram, offset)
        except SegmentError:
            undecodable += 1
            start += 1
            continue
        stop = start + 1
        segment.wire_len = len(datagram) - offset
        if stop < count and segment.wire_len > 0:
            stop = _extend_run(datagrams, start, segment, offset)
        if stop == start + 1:
            segment.data = datagram[offset:]
        else:
            segment.data = b"".join([memoryview(d)[offset:] for d in datagrams[start:stop]])
        segments.append(segment)
        start = stop
    return segments, undecodable


def _extend_run(datagrams: Sequence[bytes], start: int, segment: Segment, offset: int) -> int:
    """The index after the last datagram that continues `segment`, which is in `datagrams[start]`.

    If the last one has PSH or FIN, they are added to the segment's flags.
    """
    if segment.flags & (FIN | SYN | RST | PSH | URG):
        return start + 1
    unpack = _unpack_header[(offset - HEADER) >> 2]
    ports, seq, between, options = unpack(datagrams[start])
    if segment.flags & CWR:
        between = _with_flags(between, segment.flags & ~CWR)
    size = len(datagrams[start]) - offset
    room = MAX_SUPER - size
    for index in range(start + 1, len(datagrams)):
        seq = (seq + size) & MASK
        datagram = datagrams[index]
        size = len(datagram) - offset
        room -= size
        if size <= 0 or room < 0:
            return index
        # Equal to the first in data offset and options, a follower is sound if the first is.
        its_ports, its_seq, its_between, its_options = unpack(datagram)
        if its_seq != seq or its_ports != ports or its_options != options:
            return index
        if its_between != between:
            last = its_between[5] & (PSH | FIN)
            if its_between != _with_flags(between, between[5] | last):
                return index
            segment.flags |= last
            return index + 1
    return len(datagrams)


def _with_flags(between: bytes, flags: int) -> bytes:
    """Bytes 8 to 15 of a header, with these control bits."""
    return between[:5] + bytes((flags,)) + between[6:]


def _data_offset(datagram: bytes) -> int:
    """Where in `datagram` the data begins."""
    if len(datagram) < HEADER:
        raise SegmentError(f"{len(datagram)} bytes are too few for a header of {HEADER}")
    offset = datagram[12] >> 4 << 2
    if not HEADER <= offset <= len(datagram):
        raise SegmentError(f"data offset of {offset} bytes in a segment of {len(datagram)}")
    return offset


def _decode_header(datagram: bytes, offset: int) -> Segment:
    """The segment without its data."""
    if offset == HEADER + 12:
        # Nearly every segment of a connection looks like this.
        src_port, dst_port, seq, ack, flags, wnd, options, value, echo = _timestamped.unpack_from(
            datagram
        )
        if options == _ONLY_TIMESTAMPS:
            segment = Segment(src_port, dst_port, seq, ack, flags & 0xFF, wnd)
            segment.ts_val = value
            segment.ts_ecr = echo
            return segment
    src_port, dst_port, seq, ack, _, flags, wnd = _fixed.unpack_from(datagram)
    segment = Segment(src_port, dst_port, seq, ack, flags, wnd)
    if offset != HEADER:
        _decode_options(segment, datagram[HEADER:offset])
    return segment


def _decode_options(segment: Segment, options: bytes) -> None:
    """Put what `options` say into the segment. An option that comes twice counts as its last."""
    start = 0
    while start < len(options):
        kind = options[start]
        if kind == _EOL:
            return
        if kind == _NOP:
            start += 1
            continue
        # RFC 9293 section 3.1: every other option has a length, which counts kind and length too
        # (MUST-68), and we are prepared for an illegal one (MUST-7).
        length = options[start + 1] if start + 1 < len(options) else 0
        if length < 2 or start + length > len(options):
            raise SegmentError(f"option {kind} at byte {HEADER + start} has no legal length")
        _decode_option(segment, kind, options[start + 2 : start + length])
        start += length


def _decode_option(segment: Segment, kind: int, value: bytes) -> None:
    """Put what one option says into the segment.

    A known option with a wrong length is malformed, wherever it stands. MSS, window scale and
    SACK-permitted are for segments with SYN and ignored in others (MUST-65; RFC 7323 section 2.2;
    RFC 2018 section 2). An unknown option is ignored without error (MUST-6).
    """
    size = len(value)
    syn = bool(segment.flags & SYN)
    if kind == _TIMESTAMPS:
        _require(size == 8, kind, size)
        segment.ts_val, segment.ts_ecr = _edges.unpack(value)
    elif kind == _SACK:
        # RFC 2018 section 3: 8 bytes for each block.
        _require(size > 0 and size % 8 == 0, kind, size)
        segment.sack_blocks = tuple(_edges.iter_unpack(value))
    elif kind == _MSS:
        _require(size == 2, kind, size)
        segment.mss = int.from_bytes(value, "big") if syn else None
    elif kind == _WINDOW_SCALE:
        _require(size == 1, kind, size)
        segment.window_scale = value[0] if syn else None
    elif kind == _SACK_PERMITTED:
        _require(size == 0, kind, size)
        segment.sack_permitted = syn


def _require(legal: bool, kind: int, size: int) -> None:
    if not legal:
        raise SegmentError(f"option {kind} cannot have a length of {size + 2}")


# Segments to bytes.


def encode(segment: Segment) -> bytes:
    """The segment as one datagram, whatever its size."""
    options = _encode_options(segment)
    return b"".join((_encode_header(segment, segment.seq, segment.flags, options), segment.data))


def split(segment: Segment, mss: int) -> list[tuple[bytes, Buffer]]:
    """The segment as wire segments: (header, data) of each, with at most `mss` bytes of data.

    As in TSO, SEG.SEQ advances, PSH and FIN are on the last only, and CWR on the first only
    (RFC 3168 section 6.1.2: on the first new data packet). SYN and RST are never split, nor is what
    has its `wire_len` given, and a segment without data is one pair. Data is not copied: the slices
    are memoryviews of it.
    """
    assert mss > 0
    data = segment.data
    seq = segment.seq
    flags = segment.flags
    whole = len(data) <= mss or segment.wire_len > 0
    if whole and segment.ts_val is not None and not flags & SYN and not segment.sack_blocks:
        # Nearly every segment of a connection looks like this.
        header = _timestamped.pack(
            segment.src_port,
            segment.dst_port,
            seq & MASK,
            segment.ack & MASK,
            _OFFSET_WITH_TIMESTAMPS | flags,
            segment.wnd,
            _ONLY_TIMESTAMPS,
            segment.ts_val & MASK,
            segment.ts_ecr & MASK,
        )
        return [(header, data)]
    options = _encode_options(segment)
    if whole or flags & (SYN | RST):
        return [(_encode_header(segment, seq, flags, options), data)]

    middle = _encode_header(segment, seq, flags & ~(PSH | FIN | CWR), options)
    pack = _pack_header[len(options) >> 2]
    ports = middle[:4]
    after_seq = middle[8:]
    view = memoryview(data)
    pairs: list[tuple[bytes, Buffer]] = [
        (pack(ports, (seq + at) & MASK, after_seq), view[at : at + mss])
        for at in range(0, len(data), mss)
    ]
    if flags & CWR:
        first = _encode_header(segment, seq, flags & ~(PSH | FIN), options)
        pairs[0] = first, pairs[0][1]
    if flags & (PSH | FIN):
        rest = pairs[-1][1]
        last = _encode_header(segment, seq + len(data) - len(rest), flags & ~CWR, options)
        pairs[-1] = last, rest
    return pairs


def _encode_header(segment: Segment, seq: int, flags: int, options: bytes) -> bytes:
    offset = (HEADER + len(options)) << 2  # in words, in the upper four bits
    fixed = _fixed.pack(
        segment.src_port,
        segment.dst_port,
        seq & MASK,
        segment.ack & MASK,
        offset,
        flags,
        segment.wnd,
    )
    return fixed + options


def _encode_options(segment: Segment) -> bytes:
    """The options in Linux's order, each padded so that its numbers stand on a word boundary."""
    if segment.flags & SYN:
        options = _encode_syn_options(segment)
    else:
        assert segment.mss is None, "RFC 9293 section 3.2: MSS in SYN segments only (MUST-65)"
        assert segment.window_scale is None, "RFC 7323 section 2.2: in SYN segments only"
        assert not segment.sack_permitted, "RFC 2018 section 2: in SYN segments only"
        options = b"" if segment.ts_val is None else _encode_timestamps(segment, _ONLY_TIMESTAMPS)
    if segment.sack_blocks:
        options += _encode_sack(segment.sack_blocks, MAX_OPTIONS - len(options))
    return options


def _encode_syn_options(segment: Segment) -> bytes:
    options = b""
    if segment.mss is not None:
        options += bytes((_MSS, 4)) + segment.mss.to_bytes(2, "big")
    if segment.ts_val is not None:
        # SACK-permitted is as long as the padding, and takes its place.
        pair = bytes((_SACK_PERMITTED, 2)) if segment.sack_permitted else bytes((_NOP, _NOP))
        options += _encode_timestamps(segment, pair + _ONLY_TIMESTAMPS[2:])
    elif segment.sack_permitted:
        options += bytes((_NOP, _NOP, _SACK_PERMITTED, 2))
    if segment.window_scale is not None:
        options += bytes((_NOP, _WINDOW_SCALE, 3, segment.window_scale))
    return options


def _encode_timestamps(segment: Segment, start: bytes) -> bytes:
    assert segment.ts_val is not None
    return start + _edges.pack(segment.ts_val & MASK, segment.ts_ecr & MASK)


def _encode_sack(blocks: Sequence[tuple[int, int]], room: int) -> bytes:
    """The blocks, as many as fit: 4, or 3 beside timestamps (RFC 2018 section 3).

    They come in the order of the sender's choice, so that the first matter most (section 4).
    """
    blocks = blocks[: (room - 4) // 8]
    edges = b"".join([_edges.pack(left & MASK, right & MASK) for left, right in blocks])
    return bytes((_NOP, _NOP, _SACK, 2 + len(edges))) + edges
