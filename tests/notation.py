"""Segments in packetdrill's notation: text to bytes, bytes to text, and the comparison of the two.

    < S 0:0(0) win 65535 <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>
    > P. 1:6(5) ack 1 win 512 "hello"
    > . 6:6(0) ack 1 <nop,nop,sack 3001:4001>

`<` goes to the connection under test, `>` comes from it. Sequence numbers are relative to the ISS
of the side that counts them, so that a SYN is 0 and the first byte of data is 1; SACK edges are
relative to the same number as `ack`. `win` is the field as it stands on the wire, before scaling.
`-` stands for a segment without any flag. Where packetdrill has no word, these do: `kind 254 f989`
is an option given byte for byte, `urg 5` an urgent pointer, `"text"` the payload with Python's
escapes.

In an expectation, what is left out is not checked: `ack` is never left out, but `win`, the options
and the literal data may be. Options that are given are all the options there are, in this order;
the NOPs between them count only if one is written. A number in an option may be `...`, which
matches any.

The bytes are read and written here with no help from `rudp.core.codec`, so that the two check each
other. The notation is that of packetdrill; the layout is RFC 9293 section 3.1, with options by RFC
7323 and RFC 2018.
"""

from __future__ import annotations

import ast
import re
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from types import EllipsisType
from typing import Final

FLAG_LETTERS: Final = {letter: 1 << bit for bit, letter in enumerate("FSRP.UEW")}
FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (FLAG_LETTERS[letter] for letter in "FSRP.UEW")

EOL, NOP, MSS, WINDOW_SCALE, SACK_PERMITTED, SACK, TIMESTAMPS = 0, 1, 2, 3, 4, 5, 8

Number = int | EllipsisType

_LINE: Final = re.compile(
    r"""\s* (?P<direction>[<>]) \s+ (?P<flags>[FSRP.UEW]+|-) \s+
        (?P<seq>-?\d+) : (?P<end>-?\d+) \( (?P<length>\d+) \)
        (?: \s+ ack \s+ (?P<ack>-?\d+) )?
        (?: \s+ win \s+ (?P<window>\d+) )?
        (?: \s+ urg \s+ (?P<urgent>\d+) )?
        (?: \s+ < (?P<options>[^>]*) > )?
        (?: \s+ (?P<data>"(?:[^"\\]|\\.)*") )? \s*""",
    re.VERBOSE,
)


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


def parse(text: str) -> Line:
    """Read one line of the notation. A line that contradicts itself is a ValueError, as a misspelt
    one is."""
    found = _LINE.fullmatch(text)
    if not found:
        raise ValueError(f"not a segment in packetdrill's notation: {text!r}")
    flags = sum(FLAG_LETTERS[letter] for letter in set(found["flags"]) - {"-"})
    seq, length = int(found["seq"]), int(found["length"])
    if int(found["end"]) - seq != length:
        raise ValueError(f"{found['seq']}:{found['end']} is not {length} bytes long: {text!r}")
    if (found["ack"] is not None) != bool(flags & ACK):
        raise ValueError(f"the flag '.' and the word 'ack' go together: {text!r}")
    data = None
    if found["data"] is not None:
        data = _unquote(found["data"])
        if len(data) != length:
            raise ValueError(f"the literal has {len(data)} bytes, the range {length}: {text!r}")
    return Line(
        found["direction"],
        flags,
        seq,
        length,
        ack=_number(found["ack"]),
        window=_number(found["window"]),
        urgent=_number(found["urgent"]) or 0,
        options=None if found["options"] is None else parse_options(found["options"]),
        data=data,
    )


def parse_options(text: str) -> tuple[Option, ...]:
    """Read what stands between `<` and `>`."""
    return tuple(_parse_option(item.split()) for item in text.split(",")) if text.strip() else ()


def difference(expected: Line, actual: Line) -> str | None:
    """What `actual`, read from the wire, does not share with `expected`; None when it is as
    expected."""
    for name in ("direction", "flags", "seq", "length", "ack", "urgent"):
        if getattr(expected, name) != getattr(actual, name):
            return name
    if expected.window is not None and expected.window != actual.window:
        return "window"
    if expected.options is not None and not _options_match(expected.options, actual.options or ()):
        return "options"
    if expected.data is not None and expected.data != actual.data:
        return "data"
    return None


def encode(line: Line, origin: Origin, *, src_port: int, dst_port: int) -> bytes:
    """The datagram that `line` describes. Its window and its data have to be filled in; a number
    may not be `...`."""
    if line.window is None or line.data is None or len(line.data) != line.length:
        raise ValueError(f"the window and {line.length} bytes of data have to be given: {line}")
    options = b"".join(_encode_option(option, origin) for option in line.options or ())
    options += bytes(-len(options) % 4)  # RFC 9293 section 3.1: the padding is zeros (MUST-69).
    if len(options) > 40:
        raise ValueError(f"{len(options)} bytes of options; 40 fit: {line}")
    header = struct.pack(
        "!HHIIBBHHH",
        src_port,
        dst_port,
        (origin.seq + line.seq) % 2**32,
        0 if line.ack is None else (origin.ack + line.ack) % 2**32,
        (20 + len(options)) // 4 << 4,
        line.flags,
        line.window,
        0,
        line.urgent,
    )
    return header + options + line.data


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


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)


def _relative(wire: int, base: int) -> int:
    """The distance from `base`, negative just before it."""
    return (wire - base + 2**31) % 2**32 - 2**31


def _quote(data: bytes) -> str:
    return '"' + repr(data)[2:-1].replace('"', '\\"') + '"'


def _unquote(literal: str) -> bytes:
    data = ast.literal_eval("b" + literal)
    assert isinstance(data, bytes)
    return data


def _parse_option(words: list[str]) -> Option:
    def value(text: str) -> Number:
        return ... if text == "..." else int(text)

    match words:
        case ["eol"]:
            return Option(EOL)
        case ["nop"]:
            return Option(NOP)
        case ["mss", size]:
            return Option(MSS, (value(size),))
        case ["wscale", shift]:
            return Option(WINDOW_SCALE, (value(shift),))
        case ["sackOK"]:
            return Option(SACK_PERMITTED)
        case ["sack", *blocks]:
            edges = (edge for block in blocks for edge in block.split(":", 1))
            return Option(SACK, tuple(map(value, edges)))
        case ["TS", "val", val, "ecr", ecr]:
            return Option(TIMESTAMPS, (value(val), value(ecr)))
        case ["kind", kind, *body]:
            return Option(int(kind), body=bytes.fromhex("".join(body)))
    raise ValueError(f"not a TCP option: {' '.join(words)!r}")


def _options_match(expected: Iterable[Option], actual: Iterable[Option]) -> bool:
    wanted, found = list(expected), list(actual)
    if not any(option.kind == NOP for option in wanted):
        found = [option for option in found if option.kind != NOP]
    return len(wanted) == len(found) and all(map(_option_matches, wanted, found))


def _option_matches(expected: Option, actual: Option) -> bool:
    if (expected.kind, expected.body) != (actual.kind, actual.body):
        return False
    if len(expected.values) != len(actual.values):
        return False
    pairs = zip(expected.values, actual.values, strict=True)
    return all(want is ... or want == found for want, found in pairs)


_PACK: Final = {MSS: "!H", WINDOW_SCALE: "!B", SACK_PERMITTED: "!", TIMESTAMPS: "!II"}


def _encode_option(option: Option, origin: Origin) -> bytes:
    if option.kind in (EOL, NOP):
        return bytes([option.kind])
    if ... in option.values:
        raise ValueError(f"an injected segment needs numbers: {option}")
    if option.kind == SACK:
        edges = _shift(option.values, lambda edge: (origin.ack + edge) % 2**32)
        body = struct.pack(f"!{len(edges)}I", *edges)
    elif option.kind in _PACK:
        body = struct.pack(_PACK[option.kind], *option.values)
    else:
        body = option.body
    return bytes([option.kind, 2 + len(body)]) + body


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
            yield Option(SACK, _shift(edges, lambda edge: _relative(edge, origin.ack)))
        elif kind in _PACK:
            yield Option(kind, struct.unpack(_PACK[kind], body))
        else:
            yield Option(kind, body=body)


def _shift(values: Iterable[Number], by: Callable[[int], int]) -> tuple[int, ...]:
    return tuple(by(value) for value in values if isinstance(value, int))
