"""What a segment knows about itself, and how it reads in a log."""

import copy

import pytest

from rudp.core.segment import ACK, CWR, ECE, FIN, PSH, RST, SYN, URG, Segment


@pytest.mark.parametrize(
    ("flags", "data", "length"),
    [
        (ACK, b"", 0),
        (ACK, b"abc", 3),
        (SYN, b"", 1),
        (FIN | ACK, b"", 1),
        (FIN | PSH | ACK, b"abc", 4),
        (SYN | FIN, b"a", 3),
        (RST | ACK, b"why", 3),
    ],
)
def test_seg_len_counts_data_and_syn_and_fin(flags: int, data: bytes, length: int) -> None:
    segment = Segment(1, 2, 2**32 - 1, 0, flags, 0, data)
    assert segment.len == length
    assert segment.end == 2**32 - 1 + length


def test_a_plain_segment_has_no_data_and_no_options() -> None:
    segment = Segment(1, 2, 3, 4, ACK, 5)
    assert (segment.src_port, segment.dst_port, segment.seq, segment.ack) == (1, 2, 3, 4)
    assert (segment.flags, segment.wnd, segment.data) == (ACK, 5, b"")
    assert (segment.mss, segment.window_scale, segment.sack_permitted) == (None, None, False)
    assert (segment.sack_blocks, segment.ts_val, segment.ts_ecr) == ((), None, 0)


def test_segments_are_equal_field_by_field() -> None:
    one = Segment(1, 2, 3, 4, ACK, 5, b"data", ts_val=6, ts_ecr=7)
    assert one == Segment(1, 2, 3, 4, ACK, 5, memoryview(b"data"), ts_val=6, ts_ecr=7)
    assert one != Segment(1, 2, 3, 4, ACK, 5, b"date", ts_val=6, ts_ecr=7)
    assert one != Segment(1, 2, 3, 4, ACK, 5, b"data", ts_val=6, ts_ecr=8)
    assert one != "a segment"


def test_a_copy_has_all_that_the_segment_has_and_stays_as_it_is() -> None:
    segment = Segment(
        1, 2, 3, 4, SYN | ACK, 5, b"abc", mss=6, window_scale=7, sack_permitted=True,
        sack_blocks=((8, 9),), ts_val=10, ts_ecr=11,
    )  # fmt: skip
    segment.wire_len = 12
    same = copy.copy(segment)
    assert (same, same.wire_len) == (segment, 12)
    segment.seq = 2**32
    assert same.seq == 3


def test_a_segment_is_mutable_and_so_has_no_hash() -> None:
    with pytest.raises(TypeError):
        hash(Segment(1, 2, 3, 4, ACK, 5))


@pytest.mark.parametrize(
    ("segment", "notation"),
    [
        (
            Segment(
                *(1, 2, 100, 51, SYN | ACK, 65535),
                mss=1460,
                sack_permitted=True,
                ts_val=1,
                ts_ecr=2,
                window_scale=7,
            ),
            "S. 100:100(0) ack 51 win 65535 <mss 1460,sackOK,TS val 1 ecr 2,nop,wscale 7>",
        ),
        (
            Segment(1, 2, 0, 9, SYN, 512, mss=1460, sack_permitted=True, window_scale=0),
            "S 0:0(0) win 512 <mss 1460,nop,nop,sackOK,nop,wscale 0>",
        ),
        (
            Segment(1, 2, 2**32 - 1, 7, PSH | ACK, 9, b"abc", ts_val=1, ts_ecr=0),
            "P. 4294967295:4294967298(3) ack 7 win 9 <nop,nop,TS val 1 ecr 0>",
        ),
        (
            Segment(1, 2, 6, 6, ACK, 0, ts_val=1, ts_ecr=2, sack_blocks=((8, 9), (11, 14))),
            ". 6:6(0) ack 6 win 0 <nop,nop,TS val 1 ecr 2,nop,nop,sack 8:9 11:14>",
        ),
        (Segment(1, 2, 6, 6, FIN | ACK, 1), "F. 6:6(0) ack 6 win 1"),
        (Segment(1, 2, 6, 6, RST, 0), "R 6:6(0) win 0"),
        (Segment(1, 2, 6, 6, 0, 0), "- 6:6(0) win 0"),
        (
            Segment(1, 2, 6, 6, FIN | SYN | RST | PSH | ACK | URG | ECE | CWR, 0),
            "FSRP.UEW 6:6(0) ack 6 win 0",
        ),
    ],
    ids=["SYN-ACK", "SYN", "data", "SACK", "FIN", "RST", "null", "xmas"],
)
def test_repr_is_packetdrills_notation(segment: Segment, notation: str) -> None:
    assert repr(segment) == notation
