"""Row 21: old duplicates, and sequence numbers that wrap (RFC 7323 section 5). In virtual time.

A network may keep a segment for long and repeat it: after 2**32 bytes more it has the numbers of
data that is still to come. What keeps it out is its timestamp.
"""

from __future__ import annotations

from random import Random

import pytest

from rudp.core.config import Config
from rudp.core.connection import Connection, open_passive
from rudp.core.invariants import check
from rudp.core.segment import ACK, FIN, PSH, SYN, Segment
from rudp.core.state import ESTABLISHED

MODULUS = 1 << 32
TURN = MODULUS // 4
"""Too far ahead of the window to be anything but old; four of them are one round."""


class Receiving:
    """A server's connection whose peer has sent `sent` bytes, by whatever leaps, and goes on."""

    def __init__(self, irs: int, ts_val: int) -> None:
        self.now = 5.0
        self.ts_val = ts_val
        self.irs = irs
        syn = Segment(1, 2, irs % MODULUS, 0, SYN, 65535, ts_val=ts_val % MODULUS, ts_ecr=0)
        syn.window_scale = 14
        self.c: Connection = open_passive(Config(), iss=MODULUS - 1, syn=syn, now=5.0, mss=1460)
        self.c.segments_to_send(self.now)
        self.got = bytearray()
        self.sent = 0
        self.arrive(self.segment(b""))
        assert self.c.state is ESTABLISHED

    def segment(self, data: bytes, flags: int = ACK) -> Segment:
        """The next `data` of the peer's, stamped with its clock."""
        seq = (self.irs + 1 + self.sent) % MODULUS
        return Segment(
            1, 2, seq, 0, flags, 65535, data, ts_val=self.ts_val % MODULUS, ts_ecr=0
        )

    def arrive(self, seg: Segment) -> None:
        self.c.receive(seg, self.now)
        while data := self.c.read():
            self.got += data
        self.c.segments_to_send(self.now)
        check(self.c)

    def send(self, data: bytes) -> Segment:
        """It arrives; returns what the network might repeat."""
        seg, old = self.segment(data), self.segment(data)
        self.sent += len(data)
        self.arrive(seg)
        return old

    def leap(self, size: int) -> None:
        """`size` bytes more went by, as if they had been sent, received and read."""
        rcv = self.c.rcv
        rcv.nxt += size
        rcv.edge += size
        rcv.bytes_received += size
        rcv.bytes_read += size
        self.c.last_ack_sent = rcv.nxt  # and acknowledged
        self.sent += size
        self.ts_val += 20_000
        self.now += 20.0


@pytest.mark.parametrize("ts_val", [7, MODULUS - 50_000], ids=["low", "wrapping"])
@pytest.mark.parametrize("irs", [100, MODULUS - 3, MODULUS // 2])
def test_threat_21_a_segment_from_2_to_the_32_bytes_ago_is_not_taken(
    irs: int, ts_val: int
) -> None:
    r = Receiving(irs, ts_val)
    old = [r.send(b"%04d" % number) for number in range(20)]
    for _ in range(4):
        r.leap(TURN)
        r.send(b"")
    # A whole round has gone by but for the eighty bytes: the old ones are just in order again.
    r.leap(MODULUS - 4 * TURN - 80)
    r.send(b"")
    for seg in old:
        assert r.c.rcv.acceptable(r.c.rcv.nxt + (seg.seq - r.c.rcv.nxt) % MODULUS, 4)
        r.arrive(seg)
        r.send(b"new!")
    assert bytes(r.got[80:]) == b"new!" * 20


def test_threat_21_an_old_fin_does_not_end_what_is_still_going_on() -> None:
    r = Receiving(MODULUS - 3, 1000)
    old = r.segment(b"end", ACK | PSH | FIN)
    for _ in range(4):
        r.leap(TURN)
        r.send(b"")
    r.leap(MODULUS - 4 * TURN)
    r.send(b"")
    r.arrive(old)
    assert not r.c.at_eof
    assert not r.got


@pytest.mark.parametrize("seed", range(5))
def test_threat_21_whatever_is_repeated_around_the_wrap_each_byte_comes_once(seed: int) -> None:
    random = Random(seed)
    r = Receiving(MODULUS - random.randrange(3000), MODULUS - random.randrange(3000))
    expected = bytearray()
    network: list[Segment] = []
    for _ in range(400):
        data = random.randbytes(random.randrange(1, 40))
        expected += data
        network.append(r.send(data))
        for _ in range(random.randrange(3)):
            late = random.choice(network)
            copy = Segment(1, 2, late.seq, 0, ACK, 65535, late.data, ts_val=late.ts_val, ts_ecr=0)
            copy.data = random.randbytes(len(late.data))  # so that a wrong one would be seen
            r.arrive(copy)
        r.ts_val += random.randrange(2)
        r.now += 0.001
    assert r.got == expected
    assert r.c.rcv.nxt > MODULUS
