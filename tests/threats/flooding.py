"""A server's connection that sends as much as it may, and the ACKs that a bad peer has for it.

Everything goes through the codec, as in an endpoint. Numbers are offsets in our stream.
"""

from __future__ import annotations

import math

from rudp.core import codec
from rudp.core.config import Config
from rudp.core.congestion import AckSample, Reno
from rudp.core.connection import Connection, open_passive
from rudp.core.segment import ACK, SYN, Segment

ISS = 2**32 - 5001
FIRST = ISS + 1
IRS = 77
MSS = 1000


class Full(Reno):
    """A window that is what it is said to be, and no pacing."""

    window = 1 << 20

    def on_ack(self, sample: AckSample) -> None:
        self.cwnd = self.window
        self.pacing_rate = math.inf

    def on_loss(self, in_flight: int, now: float) -> None:
        self.on_ack(AckSample())

    def on_timeout(self, in_flight: int, first: bool, now: float) -> None:
        self.on_ack(AckSample())


class Server:
    """The connection, with `count` segments under way, each sent by itself."""

    def __init__(self, count: int, size: int = MSS, **config: object) -> None:
        self.congestion: type[Full] = type("Full", (Full,), {})
        options = {"congestion": self.congestion, "receive_autotuning": False, **config}
        self.now = 50.0
        syn = Segment(1, 2, IRS, 0, SYN, 65535, mss=MSS + 12, window_scale=7)
        syn.sack_permitted, syn.ts_val = True, 1
        self.c: Connection = open_passive(
            Config(**options),  # type: ignore[arg-type]
            iss=ISS,
            syn=syn,
            now=self.now,
            mss=MSS + 12,
        )
        self.out: list[Segment] = []
        self.datagrams = 0
        self.pump()
        self.now += 0.1
        self.ack(0)
        self.limit(1 << 20)
        for _ in range(count):
            self.now += 0.001
            self.c.write(b"x" * size)
            self.pump()
        self.now += 0.1

    def limit(self, cwnd: int) -> None:
        """That is the congestion window from now on."""
        self.congestion.window = self.c.snd.cc.cwnd = cwnd
        self.c.snd.cc.pacing_rate = math.inf

    def pump(self) -> None:
        """What the engine does after an input."""
        self.out = self.c.segments_to_send(self.now)
        for segment in self.out:
            self.datagrams += len(codec.split(segment, self.c.send_mss or MSS))
        self.c.events.clear()

    def datagram(
        self, offset: int, *blocks: tuple[int, int], wnd: int = 65535, echo: float | None = None
    ) -> bytes:
        """An ACK of the peer; `echo` is when what it answers went out."""
        timestamps = self.c.timestamps
        assert timestamps is not None
        seg = Segment(1, 2, IRS + 1, FIRST + offset, ACK, wnd, b"")
        seg.sack_blocks = tuple((FIRST + left, FIRST + right) for left, right in blocks)
        seg.ts_val = 1
        seg.ts_ecr = timestamps.clock(self.now - 0.1 if echo is None else echo)
        return codec.encode(seg)

    def arrive(self, datagram: bytes) -> None:
        """It comes in, and what is due goes out."""
        for segment in codec.coalesce([datagram])[0]:
            self.c.receive(segment, self.now)
        self.pump()

    def ack(
        self, offset: int, *blocks: tuple[int, int], wnd: int = 65535, echo: float | None = None
    ) -> None:
        self.arrive(self.datagram(offset, *blocks, wnd=wnd, echo=echo))

    @property
    def una(self) -> int:
        return self.c.snd.una - FIRST

    @property
    def nxt(self) -> int:
        return self.c.snd.nxt - FIRST
