"""An emulated link between two network namespaces, for whatever speaks IP: kernel TCP and rudp.

    with Link(forth, back, seed=1) as link:
        ...                     # `ip netns exec` link.a and link.b: the hosts HOST_A and HOST_B
    print(link.report)          # what happened to the packets, and how punctual the link was

Each host is a namespace with a TUN device. A process of its own carries the packets between the
two: what a host sends is read from its device, waits in a drop-tail queue for a serializer, flies,
and is written to the other's device. It needs Linux, root and iproute2, but no netem; `missing`
says which of these is not there. The namespaces go when the link is closed, and also when the
process that opened it dies.

`Direction` is one way of the link as arithmetic: packets and moments in, packets and moments out,
no clock and no I/O. It says when a packet arrives at the moment it is offered, so the rate and the
delay are exact however late the process wakes up; lateness only bunches packets, and is reported.
Deviation from a real link: what waits in the queue when a blackhole begins still arrives.

Not here: what is sent over the link, which is `ends`, and how much of it arrives, which is `link`.
"""

from __future__ import annotations

import ctypes
import gc
import heapq
import json
import math
import os
import select
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any

HOST_A, HOST_B = "10.77.0.1", "10.77.0.2"
NAMESPACES = Path("/run/netns")
MTU = 1500
READ_BATCH = 64
COALESCING = 0.0001
"""Seconds of sleep between two looks at the devices, as a network card coalesces its interrupts: a
quarter of the CPU time less, for packets that are 0.1 ms late."""
SAMPLE_EVERY = 8
"""Of so many packets in each direction, the times of one are kept."""


@dataclass(frozen=True)
class Conditions:
    """What one direction does to the packets it carries. Probabilities are for each packet."""

    rate: float
    """Bytes a second, IP header included."""
    delay: float
    """Seconds of propagation, after the serializer."""
    queue: int
    """Bytes that may wait, with the packet that is being sent; what comes then is dropped."""
    loss: float = 0.0
    jitter: float = 0.0
    """Mean of an exponentially distributed further delay, in seconds. It keeps the order: one
    packet that is held up holds up those behind it."""
    reordering: float = 0.0
    """How often a packet is overtaken: it flies up to half the delay longer, at least 0.5 ms."""
    blackhole: tuple[float, float] | None = None
    """(on, off): `on` seconds it works, then `off` seconds it drops everything, over and over."""
    mtu: int = 0
    """Packets of more bytes are swallowed, and nobody hears of it; 0: whatever the devices let
    through passes."""
    outage: tuple[float, float] | None = None
    """(start, end): between these moments it drops everything, once."""

    def dark(self, now: float) -> bool:
        """Everything offered at `now` is dropped."""
        if self.outage is not None and self.outage[0] <= now < self.outage[1]:
            return True
        return self.blackhole is not None and now % sum(self.blackhole) >= self.blackhole[0]


@dataclass
class Counts:
    """Where the packets of one direction went; all but the last add up to `offered`."""

    offered: int = 0
    delivered: int = 0
    tail_dropped: int = 0
    lost: int = 0
    blackholed: int = 0
    in_flight: int = 0
    refused: int = 0
    """Delivered, but the host's device did not take it."""


class Direction:
    """One way of the link. Moments are seconds since any origin, the same for all calls."""

    def __init__(self, conditions: Conditions, random: Random) -> None:
        self.conditions = conditions
        self.counts = Counts()
        self.samples: list[tuple[float, float, float]] = []
        """(moment of offering, seconds to delivery, seconds by which that was late)"""
        self._random = random.random
        self._expovariate = random.expovariate
        self._idle_at = -math.inf  # when the serializer has sent all that it holds
        self._last_arrival = -math.inf
        # (arrival, offered, packet). Most packets stay in order: only the others need a heap.
        self._in_order: deque[tuple[float, float, bytes]] = deque()
        self._overtaken: list[tuple[float, float, bytes]] = []

    def offer(self, packet: bytes, now: float) -> None:
        """The host sends `packet`. `now` may not go back from one call to the next."""
        link, counts = self.conditions, self.counts
        counts.offered += 1
        if link.dark(now) or 0 < link.mtu < len(packet):
            counts.blackholed += 1
            return
        begins = max(self._idle_at, now)
        if (begins - now) * link.rate + len(packet) > link.queue:
            counts.tail_dropped += 1
            return
        self._idle_at = begins + len(packet) / link.rate
        # A packet that is lost on the way has taken its time on the wire.
        if link.loss and self._random() < link.loss:
            counts.lost += 1
            return
        counts.in_flight += 1
        arrival = self._idle_at + link.delay
        if link.jitter:
            arrival = max(self._last_arrival, arrival + self._expovariate(1 / link.jitter))
            self._last_arrival = arrival
        if link.reordering and self._random() < link.reordering:
            arrival += 0.0005 + self._random() * max(0.0005, link.delay / 2)
            heapq.heappush(self._overtaken, (arrival, now, packet))
        else:
            self._in_order.append((arrival, now, packet))

    def due(self) -> float:
        """When the next packet arrives; infinity if none is on its way."""
        arrival = self._in_order[0][0] if self._in_order else math.inf
        return min(arrival, self._overtaken[0][0]) if self._overtaken else arrival

    def take(self, now: float) -> list[bytes]:
        """The packets that have arrived by `now`, in the order of their arrival."""
        arrived = []
        in_order, overtaken, counts = self._in_order, self._overtaken, self.counts
        while (due := self.due()) <= now:
            late = bool(overtaken) and overtaken[0][0] == due
            _, offered, packet = heapq.heappop(overtaken) if late else in_order.popleft()
            arrived.append(packet)
            counts.delivered += 1
            if counts.delivered % SAMPLE_EVERY == 0:
                self.samples.append((offered, now - offered, now - due))
        counts.in_flight -= len(arrived)
        return arrived


# The opener's side


@dataclass
class Report:
    """What the link did while it was open."""

    origin: float = 0.0
    """The moment, on CLOCK_MONOTONIC, of the first packet: that is where the times below, and
    those of blackholes and outages, count from."""
    forth: Counts = field(default_factory=Counts)
    back: Counts = field(default_factory=Counts)
    samples_forth: list[tuple[float, float, float]] = field(default_factory=list)
    samples_back: list[tuple[float, float, float]] = field(default_factory=list)
    cpu_share: float = 0.0
    """CPU time of the carrying process in each second since the first packet."""


def missing() -> str | None:
    """What keeps this machine from emulating a link, as a sentence; None if nothing does."""
    if sys.platform != "linux":
        return "an emulated link needs Linux: network namespaces and TUN devices"
    if os.geteuid() != 0 or not _capable():
        return "an emulated link needs root, with the right to make network namespaces"
    if shutil.which("ip") is None:
        return "an emulated link needs the command `ip` (Debian's package iproute2)"
    if not os.path.exists("/dev/net/tun"):
        return "an emulated link needs /dev/net/tun (the kernel's module tun)"
    return None


def _capable() -> bool:
    """Root in a container may lack CAP_NET_ADMIN (bit 12) and CAP_SYS_ADMIN (bit 21)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            needed = 1 << 12 | 1 << 21
            return int(line.split()[1], 16) & needed == needed
    return False


class Link:
    """An open link: host A and host B, and `forth` from A to B, `back` from B to A."""

    def __init__(self, forth: Conditions, back: Conditions, seed: int) -> None:
        self.report = Report()
        self._order = json.dumps([asdict(forth), asdict(back), seed])
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Link:
        command = [sys.executable, __file__, self._order]
        # A session of its own: Ctrl-C is for the opener, who then closes the link in good order.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        names = self._process.stdout.readline().split()
        if len(names) != 2:
            self.__exit__()
            raise OSError("the link could not be set up")
        self.a, self.b = names
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        with self._process as process:
            try:
                out, _err = process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        if out:
            told: dict[str, Any] = json.loads(out)
            told["forth"], told["back"] = Counts(**told["forth"]), Counts(**told["back"])
            self.report = Report(**told)


# The carrying process

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
PR_SET_TIMERSLACK = 29


def carry(ways: dict[int, tuple[Direction, int]], stop: int) -> dict[str, Any]:
    """Carry packets until `stop` is readable. `ways` maps the descriptor that a direction's packets
    are read from to that direction and the descriptor that they are written to."""
    watched = [*ways, stop]
    ready, _, _ = select.select(watched, [], [])
    origin, cpu = time.monotonic(), time.process_time()
    while stop not in ready:
        now = time.monotonic() - origin
        for fd in ready:
            _read(fd, ways[fd][0], now)
        now = time.monotonic() - origin
        for direction, out in ways.values():
            for packet in direction.take(now):
                try:
                    os.write(out, packet)
                except OSError:
                    direction.counts.refused += 1
        time.sleep(COALESCING)
        due = min(direction.due() for direction, _ in ways.values())
        # select() counts in microseconds, where epoll has milliseconds.
        wait = None if due == math.inf else max(0.0, due + origin - time.monotonic())
        ready, _, _ = select.select(watched, [], [], wait)
    seconds = time.monotonic() - origin
    return {"origin": origin, "cpu_share": (time.process_time() - cpu) / max(seconds, 1e-9)}


def _read(fd: int, direction: Direction, now: float) -> None:
    with suppress(BlockingIOError):
        for _ in range(READ_BATCH):
            direction.offer(os.read(fd, 2048), now)


def _open_tun(namespace: str, address: str) -> int:
    """A TUN device in `namespace`, up, with `address`. This process stays in its own namespace."""
    import fcntl  # Here, because `missing` has to be importable where there is none.

    libc = ctypes.CDLL(None, use_errno=True)
    here = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(NAMESPACES / namespace, os.O_RDONLY)
    try:
        if libc.setns(there, 0):
            raise OSError(ctypes.get_errno(), "setns")
        tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22s", b"tun0", IFF_TUN | IFF_NO_PI, b""))
        with suppress(OSError):  # IPv6 would put its own packets on the link.
            Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")
    finally:
        libc.setns(here, 0)
        os.close(here)
        os.close(there)
    commands = (
        "link set lo up\n"
        f"addr add {address}/24 dev tun0\n"
        # The queue that counts is the direction's: the device's own must never be full.
        f"link set tun0 mtu {MTU} txqueuelen 20000 up\n"
    )
    subprocess.run(["ip", "-n", namespace, "-batch", "-"], input=commands, text=True, check=True)
    return tun


@contextmanager
def _hosts() -> Iterator[tuple[list[str], list[int]]]:
    """Two namespaces and their TUN devices. What a killed run left behind goes first."""
    _delete(one.name for one in NAMESPACES.glob("rudp-link-*") if not _is_alive(one.name))
    names = [f"rudp-link-{os.getpid()}-{side}" for side in "ab"]
    try:
        for name in names:
            subprocess.run(["ip", "netns", "add", name], check=True)
        hosts = zip(names, (HOST_A, HOST_B), strict=True)
        yield names, [_open_tun(name, address) for name, address in hosts]
    finally:
        _delete(names)


def _is_alive(name: str) -> bool:
    """Whether a namespace belongs to another process that is still there."""
    maker = name.split("-")[2]
    return maker != str(os.getpid()) and Path("/proc", maker).exists()


def _delete(names: Iterable[str]) -> None:
    for name in names:
        quiet = subprocess.DEVNULL
        subprocess.run(["ip", "netns", "del", name], stderr=quiet, check=False)


def _be_punctual() -> None:
    """Wake up when asked to, before the programs whose packets these are, and never for the
    garbage collector: nothing here makes cycles."""
    gc.disable()
    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


def main() -> None:
    """Carry packets for a `Link`: until standard input ends, which it does with the opener."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # By way of every `finally`.
    forth, back, seed = json.loads(sys.argv[1])
    directions = [
        Direction(Conditions(**conditions), Random(f"{seed} {name}"))
        for name, conditions in (("forth", forth), ("back", back))
    ]
    with _hosts() as (names, tuns):
        print(*names, flush=True)
        _be_punctual()
        ways = {tuns[0]: (directions[0], tuns[1]), tuns[1]: (directions[1], tuns[0])}
        report = carry(ways, sys.stdin.fileno())
    for name, direction in zip(("forth", "back"), directions, strict=True):
        report[name] = asdict(direction.counts)
        report[f"samples_{name}"] = direction.samples
    with suppress(BrokenPipeError):  # The opener may have died.
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
