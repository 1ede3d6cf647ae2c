"""A segment: what one side of a connection says to the other (RFC 9293 section 3.1).

This is the form in which the rest of the core handles it. How it stands in a datagram is the
business of `codec`; what it means is that of `connection`. On the wire the numbers are 32 bits
wide: the codec hands them over as they came, `Connection` unwraps them in place (see `seq`), and
the codec wraps them again.

A segment may be larger than what fits a datagram: a super-segment holds up to 64 KiB of data, and
`codec.split` and `codec.coalesce` stand between it and the path's MSS.

Read beside it: RFC 9293 sections 3.1 and 3.2, RFC 7323 sections 2.2 and 3.2, RFC 2018
sections 2 and 3.
"""

from typing import Final, TypeAlias

# The control bits, as they stand in the header's 14th byte (RFC 9293 section 3.1).
FIN: Final = 0x01
SYN: Final = 0x02
RST: Final = 0x04
PSH: Final = 0x08
ACK: Final = 0x10
URG: Final = 0x20
ECE: Final = 0x40
CWR: Final = 0x80

# The ECN field of the IP header (RFC 3168 section 5): may be marked, and was marked.
ECT0: Final = 2
CE: Final = 3

Buffer: TypeAlias = bytes | memoryview

# One letter for each control bit, from FIN up, as packetdrill and tcpdump write them.
_LETTERS: Final = "FSRP.UEW"


class SegmentError(ValueError):
    """The bytes are not a segment.

    The bytes are refused whole and nothing of them is used. A wrong option length (0, 1, past
    the end of the header, or not the length its kind has) leaves no way to tell where the next
    option starts: whatever is read after it, and even the option itself, may be something that the
    peer never said, and a SYN read so would agree on it for the life of the connection.

    Deviation: RFC 9293 section 3.1 suggests to reset the connection (MUST-7). That would let anyone
    who can spoof one datagram end it, so the segment is discarded as a damaged one is: without an
    answer, and the connection goes on.
    """


_COMPARED: Final = (
    "src_port",
    "dst_port",
    "seq",
    "ack",
    "flags",
    "wnd",
    "data",
    "mss",
    "window_scale",
    "sack_permitted",
    "sack_blocks",
    "ts_val",
    "ts_ecr",
)


class Segment:
    """One segment, or a super-segment that stands for several which continue each other.

    `seq`, `ack`, the edges in `sack_blocks`, `ts_val` and `ts_ecr` are as on the wire until the
    connection has unwrapped them. `wnd` is SEG.WND as on the wire: not scaled. `ack` means
    something only if ACK is in `flags`.

    The options: `mss` (bytes), `window_scale` (a shift count, which may exceed 14: whoever uses it
    takes 14 then, RFC 7323 section 2.3) and `sack_permitted` belong to segments with SYN and to no
    other (MUST-65). `ts_val` is None where there is no timestamps option; `ts_ecr` means nothing
    then. `sack_blocks` holds (left edge, right edge) in the order of the option, the right edge
    being the first sequence number after the block.

    `wire_len` is known of a segment that was received: the bytes of data in the first of the wire
    segments it was made of. It says how the peer cuts its data, and is no part of the segment. In
    one that is sent it is 0, or the segment goes out in one piece whatever the MSS.
    Neither is `ecn`, the ECN field of the IP header above it: `ECT0` if it may be marked on its
    way, `CE` if it was.

    Segments are equal if all of their other fields are; being mutable, they have no hash.
    """

    __slots__ = (
        "ack",
        "data",
        "dst_port",
        "ecn",
        "flags",
        "mss",
        "sack_blocks",
        "sack_permitted",
        "seq",
        "src_port",
        "ts_ecr",
        "ts_val",
        "window_scale",
        "wire_len",
        "wnd",
    )

    def __init__(
        self,
        src_port: int,
        dst_port: int,
        seq: int,
        ack: int,
        flags: int,
        wnd: int,
        data: Buffer = b"",
        *,
        mss: int | None = None,
        window_scale: int | None = None,
        sack_permitted: bool = False,
        sack_blocks: tuple[tuple[int, int], ...] = (),
        ts_val: int | None = None,
        ts_ecr: int = 0,
    ) -> None:
        self.src_port = src_port
        self.dst_port = dst_port
        self.seq = seq
        self.ack = ack
        self.flags = flags
        self.wnd = wnd
        self.data: Buffer = data
        self.mss = mss
        self.window_scale = window_scale
        self.sack_permitted = sack_permitted
        self.sack_blocks = sack_blocks
        self.ts_val = ts_val
        self.ts_ecr = ts_ecr
        self.wire_len = 0
        self.ecn = 0

    def __copy__(self) -> "Segment":
        """For `copy.copy`: one that stays as it is while the connection works on this one."""
        other = Segment(
            self.src_port,
            self.dst_port,
            self.seq,
            self.ack,
            self.flags,
            self.wnd,
            self.data,
            mss=self.mss,
            window_scale=self.window_scale,
            sack_permitted=self.sack_permitted,
            sack_blocks=self.sack_blocks,
            ts_val=self.ts_val,
            ts_ecr=self.ts_ecr,
        )
        other.wire_len = self.wire_len
        return other

    @property
    def len(self) -> int:
        """SEG.LEN: the sequence numbers it takes up, one for each byte of data, SYN and FIN."""
        flags = self.flags
        return len(self.data) + (flags & FIN) + ((flags & SYN) >> 1)

    @property
    def end(self) -> int:
        """The first sequence number after the segment: SEG.SEQ + SEG.LEN."""
        return self.seq + self.len

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Segment):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in _COMPARED)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """The segment in packetdrill's notation, with the numbers as they stand in its fields.

        The ports are left out, as packetdrill leaves them out.
        """
        size = len(self.data)
        flags = "".join(c for bit, c in enumerate(_LETTERS) if self.flags >> bit & 1) or "-"
        ack = f" ack {self.ack}" if self.flags & ACK else ""
        options = ",".join(_describe_options(self))
        return f"{flags} {self.seq}:{self.seq + size}({size}){ack} win {self.wnd}" + (
            f" <{options}>" if options else ""
        )


def _describe_options(segment: Segment) -> list[str]:
    """The options in the order, and with the padding, in which the codec writes them."""
    words: list[str] = []
    if segment.mss is not None:
        words.append(f"mss {segment.mss}")
    if segment.sack_permitted:
        # sackOK takes the place of the padding before the timestamps, if there are any.
        words.append("sackOK" if segment.ts_val is not None else "nop,nop,sackOK")
    if segment.ts_val is not None:
        padding = "" if segment.sack_permitted else "nop,nop,"
        words.append(f"{padding}TS val {segment.ts_val} ecr {segment.ts_ecr}")
    if segment.window_scale is not None:
        words.append(f"nop,wscale {segment.window_scale}")
    if segment.sack_blocks:
        blocks = " ".join(f"{left}:{right}" for left, right in segment.sack_blocks)
        words.append(f"nop,nop,sack {blocks}")
    return words
