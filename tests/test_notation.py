"""The harness' own notation: what is read is what is written, and a line that contradicts itself is
refused.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.notation import (
    ACK,
    FIN,
    PSH,
    SYN,
    Line,
    Option,
    Origin,
    brief,
    decode,
    difference,
    encode,
    parse,
)

ORIGIN = Origin(2**32 - 5, 2**32 - 700)

LINES = [
    "< S 0:0(0) win 65535 <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>",
    "> S. 0:0(0) ack 1 win 65535 <mss 1452,nop,nop,sackOK,nop,wscale 0>",
    "> . 1:1461(1460) ack 1 win 512 <nop,nop,sack 3001:4001>",
    "> . 1:1(0) ack 701 win 9 <nop,nop,TS val 4294967295 ecr 7,nop,nop,sack 801:901 1001:1101>",
    "> R 1:1(0) win 0",
    "> FP. 1:6(5) ack 1 win 8",
    "< P.U 1:4(3) ack 1 win 4 urg 3",
    "< SEW 0:0(0) win 64240 <mss 1460>",
    "< - 5:5(0) win 0",
    "> . 0:0(0) ack -3 win 1",
    '> R. 1:10(9) ack 1 win 0 "bye, \\"b\\"\\n"',
    "< S 0:0(0) win 100 <kind 254 f9890102,mss 536,eol>",
]


@pytest.mark.parametrize("text", LINES)
def test_a_line_is_written_as_it_was_read(text: str) -> None:
    assert str(parse(text)) == text


@pytest.mark.parametrize("text", LINES)
def test_a_line_survives_the_wire(text: str) -> None:
    line = parse(text)
    full = replace(line, data=line.data or bytes(line.length))
    datagram = encode(full, ORIGIN, src_port=9000, dst_port=50000)
    assert datagram[:4] == bytes.fromhex("2328c350")
    if "eol" in text:  # It ends the list, so it is not read as a part of it.
        line = replace(line, options=(line.options or ())[:-1])
    assert difference(line, decode(datagram, line.direction, ORIGIN)) is None


def test_a_line_becomes_its_parts() -> None:
    line = parse('> FP. 1:6(5) ack 11 win 3 <nop,nop,sack 21:31> "hello"')
    assert line == Line(
        ">",
        FIN | PSH | ACK,
        seq=1,
        length=5,
        ack=11,
        window=3,
        options=(Option(1), Option(1), Option(5, (21, 31))),
        data=b"hello",
    )


def test_numbers_wrap_at_the_isn_of_their_own_side() -> None:
    datagram = encode(
        parse('< . 1:7(6) ack 900 win 1 <sack 901:1001> "wraps!"'),
        ORIGIN,
        src_port=1,
        dst_port=2,
    )
    assert datagram[4:12] == (2**32 - 4).to_bytes(4, "big") + (200).to_bytes(4, "big")
    assert datagram[20:30] == bytes([5, 10]) + (201).to_bytes(4, "big") + (301).to_bytes(4, "big")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "S 0:0(0)",
        "> Q 0:0(0)",
        "> . 1:1460(1460) ack 1",
        "> . 1:1(0)",
        "> P 1:1(0) ack 1",
        "> S 0:0(0) <mss>",
        "> S 0:0(0) <mss 1460,>",
        "> S 0:0(0) <window 3>",
        '> P. 1:6(5) ack 1 "four"',
        "> . 1:1(0) ack 1 win 5 nonsense",
    ],
)
def test_a_line_that_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse(text)


def test_what_an_expectation_leaves_out_is_not_compared() -> None:
    actual = parse('> P. 1:6(5) ack 1 win 512 <nop,nop,TS val 7 ecr 8> "hello"')
    assert difference(parse("> P. 1:6(5) ack 1"), actual) is None


@pytest.mark.parametrize(
    ("expected", "what"),
    [
        ("< P. 1:6(5) ack 1", "direction"),
        ("> . 1:6(5) ack 1", "flags"),
        ("> P. 2:7(5) ack 1", "seq"),
        ("> P. 1:5(4) ack 1", "length"),
        ("> P. 1:6(5) ack 2", "ack"),
        ("> P. 1:6(5) ack 1 win 511", "window"),
        ("> P. 1:6(5) ack 1 win 512 <>", "options"),
        ("> P. 1:6(5) ack 1 <TS val 7 ecr 9>", "options"),
        ("> P. 1:6(5) ack 1 <nop,TS val 7 ecr 8>", "options"),
        ('> P. 1:6(5) ack 1 "world"', "data"),
    ],
)
def test_what_an_expectation_states_is_compared(expected: str, what: str) -> None:
    actual = parse('> P. 1:6(5) ack 1 win 512 <nop,nop,TS val 7 ecr 8> "hello"')
    assert difference(parse(expected), actual) == what


@pytest.mark.parametrize(
    "options", ["<TS val ... ecr 8>", "<nop,nop,TS val 7 ecr ...>", "<TS val 7 ecr 8>"]
)
def test_dots_match_any_number_and_unwritten_nops_any_padding(options: str) -> None:
    actual = parse("> . 1:1(0) ack 1 win 512 <nop,nop,TS val 7 ecr 8>")
    assert difference(parse(f"> . 1:1(0) ack 1 {options}"), actual) is None


@pytest.mark.parametrize(
    ("at", "value", "why"),
    [
        (12, 0x40, "offset"),
        (12, 0xF0, "offset"),
        (16, 1, "checksum"),
        (21, 0, "length"),
        (21, 5, "length"),
    ],
)
def test_bytes_that_we_may_not_send_are_refused(at: int, value: int, why: str) -> None:
    line = replace(parse("> S 0:0(0) win 1 <mss 1460>"), data=b"")
    datagram = bytearray(encode(line, ORIGIN, src_port=1, dst_port=2))
    datagram[at] = value
    with pytest.raises(ValueError, match=why):
        decode(bytes(datagram), ">", ORIGIN)


def test_padding_after_the_end_of_options_has_to_be_zeros() -> None:
    line = replace(parse("> S 0:0(0) win 1 <eol,nop>"), data=b"")
    with pytest.raises(ValueError, match="padding"):
        decode(encode(line, ORIGIN, src_port=1, dst_port=2), ">", ORIGIN)


def test_a_trace_shows_the_payload_of_a_reset_only() -> None:
    assert brief(parse('> P. 1:6(5) ack 1 win 1 <> "hello"')) == "> P. 1:6(5) ack 1 win 1"
    assert brief(parse('> R 1:6(5) win 0 "hello"')) == '> R 1:6(5) win 0 "hello"'


def test_a_syn_is_zero() -> None:
    line = replace(parse("< S 0:0(0) win 1"), data=b"")
    found = decode(encode(line, ORIGIN, src_port=1, dst_port=2), "<", ORIGIN)
    assert (found.flags, found.seq, found.length) == (SYN, 0, 0)
