"""Segments in packetdrill's notation: text to bytes, and the comparison of what was expected with
what came. How a segment is written stands in `rudp.sim.swarm.notation`, which reads the bytes.

In an expectation, what is left out is not checked: `ack` is never left out, but `win`, the options
and the literal data may be. Options that are given are all the options there are, in this order;
the NOPs between them count only if one is written. A number in an option may be `...`, which
matches any.

The bytes are read and written with no help from `rudp.core.codec`, so that the two check each
other.
"""

from __future__ import annotations

import ast
import re
import struct
from collections.abc import Iterable
from typing import Final

from rudp.sim.swarm.notation import (
    ACK,
    CWR,
    ECE,
    EOL,
    FIN,
    FLAG_LETTERS,
    MSS,
    NOP,
    PACK,
    PSH,
    RST,
    SACK,
    SACK_PERMITTED,
    SYN,
    TIMESTAMPS,
    URG,
    WINDOW_SCALE,
    Line,
    Number,
    Option,
    Origin,
    brief,
    decode,
    shift_edges,
)

__all__ = [
    "ACK",
    "CWR",
    "ECE",
    "EOL",
    "FIN",
    "FLAG_LETTERS",
    "MSS",
    "NOP",
    "PSH",
    "RST",
    "SACK",
    "SACK_PERMITTED",
    "SYN",
    "TIMESTAMPS",
    "URG",
    "WINDOW_SCALE",
    "Line",
    "Number",
    "Option",
    "Origin",
    "brief",
    "decode",
    "difference",
    "encode",
    "parse",
    "parse_options",
]

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


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)


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


def _encode_option(option: Option, origin: Origin) -> bytes:
    if option.kind in (EOL, NOP):
        return bytes([option.kind])
    if ... in option.values:
        raise ValueError(f"an injected segment needs numbers: {option}")
    if option.kind == SACK:
        edges = shift_edges(option.values, lambda edge: (origin.ack + edge) % 2**32)
        body = struct.pack(f"!{len(edges)}I", *edges)
    elif option.kind in PACK:
        body = struct.pack(PACK[option.kind], *option.values)
    else:
        body = option.body
    return bytes([option.kind, 2 + len(body)]) + body
