"""Segments in packetdrill's notation: what stands in the bytes, and how it is written.

    < S 0:0(0) win 65535 <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>
    > P. 1:6(5) ack 1 win 512 "hello"
    > . 6:6(0) ack 1 <nop,nop,sack 3001:4001>

`<` arrives, `>` is sent. Sequence numbers are relative to the ISS of the side that counts them, so
that a SYN is 0 and the first byte of data is 1; SACK edges are relative to the same number as
`ack`. `win` is the field as it stands on the wire, before scaling. `-` stands for a segment without
any flag. Where packetdrill has no word, these do: `kind 254 f989` is an option given byte for byte,
`urg 5` an urgent pointer, `"text"` the payload with Python's escapes.

The bytes are read here with no help from `rudp.core.codec`, so that the two check each other. The
notation is that of packetdrill; the layout is RFC 9293 section 3.1, with options by RFC 7323 and
RFC 2018. Not here: from text to bytes, which only tests need.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from types import EllipsisType
from typing import Final

FLAG_LETTERS: Final = {letter: 1 << bit for bit, letter in enumerate("FSRP.UEW")}
FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (FLAG_LETTERS[letter] for letter in "FSRP.UEW")

EOL, NOP, MSS, WINDOW_SCALE, SACK_PERMITTED, SACK, TIMESTAMPS = 0, 1, 2, 3, 4, 5, 8

Number = int | EllipsisType


@dataclass(frozen=True, slots=True)
class Option:
    """One TCP option: its kind, its numbers, and for a kind without a name here, its bytes."""

    kind: int
    values: tuple[Number, ...] = ()
    body: bytes = b""

    def __str__(self) -> str:
        shown = ["..." if value is ... else str(value) for value in self.values]
        match self.kind:
            case 0:
                return "eol"
            case 1:
                return "nop"
            case 2:
                return f"mss {shown[0]}"
            case 3:
                return f"wscale {shown[0]}"
            case 4:
                return "sackOK"
            case 5:
                edges = zip(shown[::2], shown[1::2], strict=True)
                return " ".join(["sack", *(f"{left}:{right}" for left, right in edges)])
            case 8:
                return f"TS val {shown[0]} ecr {shown[1]}"
        return f"kind {self.kind} {self.body.hex()}".rstrip()


@dataclass(frozen=True, slots=True)
class Origin:
    """What relative numbers are relative to: the ISS of the segment's sender, and that of its
    receiver."""

    seq: int
    ack: int

    def turned(self) -> Origin:
        """The origin for segments that go the other way."""
        return Origin(self.ack, self.seq)


@dataclass(frozen=True, slots=True)
class Line:
    """One segment as the notation states it; None is what it does not state."""

    direction: str
    flags: int
    seq: int
    length: int
    ack: int | None = None
    window: int | None = None
    urgent: int = 0
    options: tuple[Option, ...] | None = None
    data: bytes | None = None

    def __str__(self) -> str:
        letters = "".join(letter for letter, bit in FLAG_LETTERS.items() if self.flags & bit)
        span = f"{self.seq}:{self.seq + self.length}({self.length})"
        words = [self.direction, letters or "-", span]
        if self.ack is not None:
            words.append(f"ack {self.ack}")
        if self.window is not None:
            words.append(f"win {self.window}")
        if self.urgent:
            words.append(f"urg {self.urgent}")
        if self.options is not None:
            words.append(f"<{','.join(map(str, self.options))}>")
        if self.data is not None:
            words.append(_quote(self.data))
        return " ".join(words)

    def option(self, kind: int) -> Option | None:
        """The first option of this kind."""
        return next((option for option in self.options or () if option.kind == kind), None)


def decode(datagram: bytes, direction: str, origin: Origin) -> Line:
    """What stands in `datagram`, in full. Malformed bytes are a ValueError: only what we sent
    ourselves is read here."""
    if len(datagram) < 20:
        raise ValueError(f"{len(datagram)} bytes are no TCP header")
    fields = struct.unpack_from("!HHIIBBHHH", datagram)
    _, _, seq, ack, offset, flags, window, checksum, urgent = fields
    header = (offset >> 4) * 4
    if offset & 0xF or checksum or not 20 <= header <= len(datagram):
        raise ValueError(f"we do not send data offset {offset:#04x}, checksum {checksum:#06x}")
    payload = datagram[header:]
    return Line(
        direction,
        flags,
        _relative(seq, origin.seq),
        len(payload),
        ack=_relative(ack, origin.ack) if flags & ACK else None,
        window=window,
        urgent=urgent,
        options=tuple(_decode_options(datagram[20:header], origin)),
        data=payload,
    )


def brief(line: Line) -> str:
    """`line` for a trace: without the payload, unless that is the text of a reset."""
    shown = line.data if line.flags & RST and line.data else None
    return str(replace(line, data=shown, options=line.options or None))


def _relative(wire: int, base: int) -> int:
    """The distance from `base`, negative just before it."""
    return (wire - base + 2**31) % 2**32 - 2**31


def _quote(data: bytes) -> str:
    return '"' + repr(data)[2:-1].replace('"', '\\"') + '"'


PACK: Final = {MSS: "!H", WINDOW_SCALE: "!B", SACK_PERMITTED: "!", TIMESTAMPS: "!II"}


def _decode_options(raw: bytes, origin: Origin) -> Iterable[Option]:
    at = 0
    while at < len(raw):
        kind = raw[at]
        if kind == EOL:
            if any(raw[at:]):
                raise ValueError(f"padding that is not zeros: {raw.hex()}")  # MUST-69
            return
        if kind == NOP:
            yield Option(NOP)
            at += 1
            continue
        length = raw[at + 1] if at + 1 < len(raw) else 0
        if not 2 <= length <= len(raw) - at:
            raise ValueError(f"option length {length} at {at}: {raw.hex()}")
        body = raw[at + 2 : at + length]
        at += length
        if kind == SACK:
            edges = struct.unpack(f"!{len(body) // 4}I", body)
            yield Option(SACK, shift_edges(edges, lambda edge: _relative(edge, origin.ack)))
        elif kind in PACK:
            yield Option(kind, struct.unpack(PACK[kind], body))
        else:
            yield Option(kind, body=body)


def shift_edges(values: Iterable[Number], by: Callable[[int], int]) -> tuple[int, ...]:
    return tuple(by(value) for value in values if isinstance(value, int))
