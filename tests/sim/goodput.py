"""The goodput table: what each algorithm gets out of a simulated link, by loss and by buffer.

    python -m tests.sim.goodput > tests/sim/goodput.txt         renew the snapshot
    python -m tests.sim.goodput cubic                           print the part of one algorithm

A window that is computed right and never applied passes every test of the window. So each cell is a
transfer between two whole connections, in virtual time, and what counts is what the receiver's
user reads. The same code gives the same table, to the last digit: `test_goodput` compares it with
the snapshot, so a change of congestion control or of loss recovery shows what it does in the diff.
One seed for each cell is enough for that, and too little to say which of two near figures is
better.

Not here: what may happen on the wire, which is `pair` and `watch`; time that Python takes, which is
none here; and kernel TCP beside it, which is `benchmarks/link.py`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Final

from rudp.core import codec
from rudp.core.config import Config
from rudp.core.congestion import ALGORITHMS
from rudp.core.connection import Connection, open_active, open_passive
from rudp.core.segment import CE
from rudp.sim.swarm.network import Conditions, Link, Markable, Marked, Simulation

SNAPSHOT: Final = Path(__file__).with_suffix(".txt")

RATE_MBITS: Final = 10
ROUND_TRIP: Final = 0.040
SECONDS: Final = 6.0
"""Virtual time of a transfer; its first quarter is not counted."""
LOSSES: Final = (0.0, 0.001, 0.01, 0.03)
"""In both directions."""
BUFFERS: Final = (0.5, 1.0, 4.0)
"""In terms of rate times round trip."""

_MSS: Final = 1460
"""Timestamps take 12 bytes of each segment, so that it carries 1448."""
_CHUNK: Final = bytes(1 << 18)
_START: Final = 1024.0
_MAX_STEPS: Final = 1_000_000


class End:
    """A connection, its user, and what the endpoint would do for it, at once and without a
    mistake. A user who is a `source` never runs out of data; each reads what there is."""

    def __init__(
        self,
        simulation: Simulation,
        config: Config,
        source: bool,
        *,
        port: int = 40000,
        ecn: bool = False,
    ) -> None:
        self.connection: Connection | None = None
        self.link: Link
        self.read_bytes = 0
        self._simulation = simulation
        self._config = config
        self._port = port
        self._ecn = ecn
        self.source = source
        self._deadline = math.inf

    def open(self) -> None:
        self.connection = open_active(
            self._config,
            local_port=self._port,
            peer_port=9000,
            iss=2**32 - 3000,
            now=self._simulation.now,
            mss=_MSS,
            ecn=self._ecn,
        )
        self.pump()

    def arrive(self, datagram: bytes) -> None:
        now = self._simulation.now
        for segment in codec.coalesce([datagram])[0]:
            segment.ecn = CE if isinstance(datagram, Marked) else 0
            if self.connection is None:
                self.connection = open_passive(
                    self._config, iss=2**32 - 2000, syn=segment, now=now, mss=_MSS, ecn=self._ecn
                )
            else:
                self.connection.receive(segment, now)
        self.pump()

    def pump(self) -> None:
        """The user; then segments, events, deadline."""
        connection, now = self.connection, self._simulation.now
        assert connection is not None
        while data := connection.read():
            self.read_bytes += len(data)
        if self.source and connection.unsent < len(_CHUNK):
            connection.write(_CHUNK)
        for segment in connection.segments_to_send(now):
            for header, payload in codec.split(segment, connection.send_mss or codec.MAX_SUPER):
                datagram = bytes(header) + bytes(payload)
                self.link.send(Markable(datagram) if segment.ecn else datagram)
        while connection.next_event() is not None:
            pass
        deadline = connection.next_deadline()
        if deadline < self._deadline:
            self._deadline = deadline
            self._simulation.at(deadline, self._fire)

    def _fire(self) -> None:
        now = self._simulation.now
        if now < self._deadline:
            return  # It was booked for an earlier deadline, which has been served.
        self._deadline = math.inf
        assert self.connection is not None
        if self.connection.next_deadline() <= now:
            self.connection.handle_timeout(now)
        self.pump()


def goodput(algorithm: str, loss: float, buffer: float) -> float:
    """Mbit/s that the receiver's user reads over such a link."""
    # A receive window that never is what limits: the table is about the congestion window.
    config = Config(congestion=algorithm, receive_autotuning=False)
    simulation = Simulation(_START)
    rate = RATE_MBITS * 1e6 / 8
    queue = int(buffer * rate * ROUND_TRIP)
    conditions = Conditions(rate=rate, queue=queue, delay=ROUND_TRIP / 2, loss=loss)
    sender, receiver = End(simulation, config, True), End(simulation, config, False)
    sender.link = Link(simulation, Random("forth"), conditions, receiver.arrive)
    receiver.link = Link(simulation, Random("back"), conditions, sender.arrive)
    sender.open()
    run(simulation, _START + SECONDS / 4)
    before = receiver.read_bytes
    run(simulation, _START + SECONDS)
    return (receiver.read_bytes - before) * 8e-6 / (SECONDS * 3 / 4)


def run(simulation: Simulation, until: float) -> None:
    """Let happen what happens up to `until`."""
    steps = 0
    while simulation.next_moment() <= until:
        simulation.step()
        steps += 1
        assert steps < _MAX_STEPS, f"virtual time stands still at {simulation.now - _START:.6f} s"


def header() -> list[str]:
    """What the figures mean, and the head of the columns."""
    buffers = "".join(f"{f'{buffer:g} BDP':>10}" for buffer in BUFFERS)
    return [
        f"Goodput in Mbit/s over {RATE_MBITS} Mbit/s and {ROUND_TRIP * 1e3:g} ms, {SECONDS:g} s",
        "of virtual time, by loss (in each direction) and by buffer (drop-tail).",
        "",
        f"{'algorithm':<12}{'loss':>8}{buffers}",
    ]


def part(algorithm: str) -> list[str]:
    """The lines of one algorithm."""
    return [
        f"{algorithm:<12}{f'{loss * 100:g} %':>8}"
        + "".join(f"{goodput(algorithm, loss, buffer):10.2f}" for buffer in BUFFERS)
        for loss in LOSSES
    ]


def table(algorithms: Iterable[str]) -> Iterator[str]:
    """The lines of the whole table."""
    yield from header()
    for algorithm in algorithms:
        yield from part(algorithm)


def main(arguments: list[str]) -> None:
    """Print the table, of all algorithms or of those that are named."""
    for line in table(arguments or ALGORITHMS):
        print(line, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
