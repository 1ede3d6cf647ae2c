"""A peer that acknowledges each burst a round trip after it left, for scripts of many round trips.

    echo = Echo(script, rtt=0.04)
    echo.run(0.12)            the peer answers for so long
    echo.flights(3)           or for so many round trips; how many segments went out in each

What was sent, and when, is left in `log` as (moment, first byte, last byte + 1). The script's other
expectations see nothing of it.
"""

from __future__ import annotations

from tests.notation import SYN
from tests.wire.scripted import Script

_ROUNDING = 1e-9


class Echo:
    """Every segment gets an ACK of its own, `rtt` seconds after it went out, unless `rate` (bytes
    a second) makes the ACKs come more slowly: then what is in flight waits in a queue."""

    def __init__(self, script: Script, rtt: float, rate: float = 1e12) -> None:
        self.rtt = rtt
        self.rate = rate
        self.log: list[tuple[float, int, int]] = []
        self.nxt = 1
        self.una = 1
        self._script = script
        self._due: list[tuple[float, int]] = []  # when the ACK of what arrives, and up to where
        self._free_at = 0.0
        self.marked = False  # the next ACK carries ECN-Echo
        self._flight = 1  # where the present one begins
        self._before = 1  # SND.NXT right before the last ACK
        self._take()

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        end = self._script.now + seconds
        while self._step(end):
            pass

    def flights(self, count: int) -> list[int]:
        """Let so many round trips pass. A flight is what goes out before the first segment of it is
        acknowledged, and its size the number of segments."""
        sizes = []
        for _ in range(count):
            while self.una <= self._flight:
                assert self._step(self._script.now + 10.0), "nothing is sent any more"
            sizes.append(sum(self._flight <= start < self._before for _, start, _ in self.log))
            self._flight = self._before
        return sizes

    @property
    def in_flight(self) -> int:
        """Bytes that are sent and not acknowledged."""
        return self.nxt - self.una

    def _step(self, end: float) -> bool:
        """On to the next ACK or deadline; False if `end` comes first."""
        script = self._script
        moment = min(script.deadline, self._due[0][0] if self._due else end, end)
        script.advance(max(moment - script.now, 0.0))
        self._take()
        if self._due and self._due[0][0] <= script.now + _ROUNDING:
            self._before = self.nxt
            self.una = self._due.pop(0)[1]
            flags, self.marked = ".E" if self.marked else ".", False
            script.inject(f"< {flags} 1:1(0) ack {self.una}")
            self._take()
        return script.now < end - _ROUNDING

    def _take(self) -> None:
        now = self._script.now
        for line in self._script.sent():
            if line.length == 0 or line.flags & SYN:
                continue
            end = line.seq + line.length
            assert line.seq == self.nxt, f"sent again: {line}"
            self.log.append((now, line.seq, end))
            self.nxt = end
            self._free_at = max(self._free_at, now) + line.length / self.rate
            self._due.append((self._free_at + self.rtt, end))
