"""What an ACK costs the sender as its window grows: it should not grow with it.

    python benchmarks/ack_cost.py [--rounds N] [--json FILE]

The send half of a connection alone, without sockets and without an event loop. A window is full of
data in segments of 1448 bytes; each ACK is for two of them, and lets two more out. Measured is the
time for such an ACK and what it lets out, in two cases:

    in order    every ACK is cumulative
    one hole    a segment is missing at the front, and each ACK tells by SACK of two more behind
                it, until the whole window is told of; then the hole is filled

Each figure is the median of the rounds, which are interleaved; garbage collection is off while the
clock runs. The last column is what counts: the cost at that window, in terms of the smallest one's.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

try:
    import rudp
except ModuleNotFoundError:  # From a checkout with nothing installed.
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    import rudp

from rudp._compiled import FORM
from rudp.core.congestion import AckSample, Reno
from rudp.core.segment import ACK, Segment
from rudp.core.sender import Sender

KIB, MIB = 1 << 10, 1 << 20
WINDOWS = (64 * KIB, 512 * KIB, 4 * MIB, 32 * MIB, 64 * MIB)
ISS = 1000
MSS = 1448
STEP = 2 * MSS
LEAST_ACKS = 3000
"""ACKs in a measurement, or as many as go around the window once."""


class Full(Reno):
    """Reno's work on each ACK, and a window that stays as it is."""

    window = 0

    def on_ack(self, sample: AckSample) -> None:
        super().on_ack(sample)
        self.cwnd = self.window
        self.pacing_rate = math.inf


class Flow:
    """A sender with a full window, and a peer that acknowledges what it is told to."""

    def __init__(self, window: int) -> None:
        algorithm = type("Full", (Full,), {"window": window})
        config = rudp.Config(
            congestion=algorithm, send_buffer=2 * window, max_flight_ranges=1 << 20
        )
        self.now = 1.0
        self.snd = snd = Sender(config, ISS)
        snd.una = ISS + 1
        snd.wnd = snd.max_wnd = 4 * window
        snd.establish(MSS, 0, True, syn_lost=False)
        snd.rtt.sample(0.1)
        snd.cc.cwnd = window
        self.data = bytes(STEP)
        while snd.flight_size + STEP <= window:
            self.send()

    def send(self) -> None:
        """The application writes two segments more, and what may go out goes out."""
        self.snd.buffer.append(self.data)
        while self.snd.next_transmission(self.now, False) is not None:
            pass

    def ack(self, ack: int, *blocks: tuple[int, int]) -> None:
        """An ACK comes, a little later."""
        self.now += 1e-6
        seg = Segment(9, 5, 1, ack, ACK, 65535)
        seg.sack_blocks = blocks
        self.snd.on_ack(seg, False, None, self.now)


def in_order(window: int) -> float:
    """Seconds for an ACK."""
    flow = Flow(window)
    count = max(LEAST_ACKS, window // STEP)
    start = time.perf_counter()
    for _ in range(count):
        flow.ack(flow.snd.una + STEP)
        flow.send()
    return (time.perf_counter() - start) / count


def one_hole(window: int) -> float:
    """Seconds for an ACK."""
    flow = Flow(window)
    snd, spent, count = flow.snd, 0.0, 0
    while count < LEAST_ACKS:
        una, end = snd.una, snd.nxt
        start = time.perf_counter()
        for edge in range(una + MSS + STEP, end, STEP):
            flow.ack(una, (una + MSS, edge))
            flow.send()
            count += 1
        spent += time.perf_counter() - start
        flow.ack(snd.nxt)
        while snd.flight_size + STEP <= window:
            flow.send()
    return spent / count


CASES: dict[str, Callable[[int], float]] = {"in order": in_order, "one hole": one_hole}


def measure(rounds: int) -> list[dict[str, Any]]:
    times: dict[tuple[str, int], list[float]] = {}
    gc.disable()
    try:
        for _ in range(rounds):
            for case, run in CASES.items():
                for window in WINDOWS:
                    times.setdefault((case, window), []).append(run(window) * 1e6)
                    gc.collect()
    finally:
        gc.enable()
    rows = []
    for (case, window), values in times.items():
        median = statistics.median(values)
        base = statistics.median(times[case, WINDOWS[0]])
        row = {"case": case, "window": window, "us": median, "ratio": median / base}
        rows.append(row | {"rounds": values})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="What an ACK costs as the window grows.")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (default: 5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds must be 1 or more")
    python = sys.version.split()[0]
    print(f"rudp {rudp.__version__}, {FORM}, Python {python}, medians of {options.rounds} rounds\n")
    rows = measure(options.rounds)
    print(f"{'case':10} {'window':>10} {'us per ACK':>11} {'ratio':>6}")
    for row in rows:
        size = row["window"]
        window = f"{size // KIB} KiB" if size < MIB else f"{size // MIB} MiB"
        print(f"{row['case']:10} {window:>10} {row['us']:11.2f} {row['ratio']:6.2f}")
    if options.json:
        about = {"rudp": rudp.__version__, "form": FORM, "python": python, "results": rows}
        options.json.write_text(json.dumps(about, indent=2) + "\n")


if __name__ == "__main__":
    main()
