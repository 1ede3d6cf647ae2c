"""A receiver on its own, and what the peer's stream puts into it. Numbers are stream offsets."""

from __future__ import annotations

from rudp.core.config import Config
from rudp.core.receiver import QUICK_SEGMENTS, Receiver

IRS = 2**32 - 1001
NXT = IRS + 1  # the stream's first byte; it passes 2**32 after a thousand
MSS = 1000
BUFFER = 10_000


def receiver(**options: float | bool) -> Receiver:
    """With a fixed buffer and window of 10000 bytes; segments of 1000 were seen, and enough."""
    settings = {"receive_buffer": BUFFER, "receive_autotuning": False, "delayed_ack": 0.04}
    rcv = Receiver(Config(**(settings | options)), MSS, 1 << 30)  # type: ignore[arg-type]
    rcv.start(IRS, rcv.buffer)
    rcv.mss = MSS
    rcv.bytes_received = QUICK_SEGMENTS * MSS
    return rcv


def stream(start: int, end: int) -> bytes:
    """The bytes [start, end) of what the peer sends, repeating after 251."""
    return bytes(i % 251 for i in range(start, end))


def arrive(rcv: Receiver, start: int, end: int, now: float = 1.0) -> None:
    rcv.on_data(NXT + start, stream(start, end), min(end - start, MSS), now)


def read_all(rcv: Receiver) -> bytes:
    return b"".join(iter(lambda: rcv.read(1 << 30), b""))


def sacks(rcv: Receiver, count: int = 4) -> list[tuple[int, int]]:
    return [(left - NXT, right - NXT) for left, right in rcv.sack_blocks(count)]
