"""Hostile datagrams at a live server, twenty thousand of each kind, while somebody else uses it.

Nothing may be raised into the loop (`quiet_loop` sees to that), no connection of another may
suffer, and what a stranger can make us keep or send is bounded.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import functools
import gc
import hashlib
import itertools
import os
import random
import socket
import struct
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import rudp
from rudp.channel import Channel
from rudp.core.segment import ACK, PSH, RST, SYN, Segment

from . import peers
from .peers import (
    HOST,
    Accepted,
    Hand,
    RawPeer,
    Stream,
    asked,
    channels,
    closed,
    dropped,
    echo,
    encode,
    is_segment,
    opened,
    relay_to,
)
from .udp import until

quiet_loop = peers.quiet_loop

MOST_ANSWERS = {"garbage": 0, "mutated": 3, "acks": 1, "resets": 0, "syns": 3}
"""What may come back for a byte of each kind."""

KINDS = tuple(MOST_ANSWERS)
EACH = 20_000
"""Hostile datagrams of each kind."""
BURST = 100
"""Datagrams at a time: no more than a small socket buffer takes."""

BACKLOG = 50
CONFIG = rudp.Config(backlog=BACKLOG, min_rto=0.02, initial_rto=0.02)
WITNESS = "127.0.0.2" if sys.platform == "linux" else HOST
"""Not the attackers' host: theirs is soon not answered any more. Only Linux has others."""
PORT = 80


@functools.cache
def hostile(kind: str) -> list[bytes]:
    """The same ones on every run, for TCP port PORT mostly."""
    rng = random.Random(f"rudp {kind}")
    return [_one(kind, rng) for _ in range(EACH)]


def _one(kind: str, rng: random.Random) -> bytes:
    port = PORT if rng.random() < 0.8 else rng.randrange(65536)
    source, seq, ack = rng.randrange(65536), rng.randrange(2**32), rng.randrange(2**32)
    match kind:
        case "garbage":
            while is_segment(data := rng.randbytes(rng.choice((0, 1, 12, 19, 20, 24, 60, 1000)))):
                pass
            return data
        case "acks":
            return encode(Segment(source, port, seq, ack, ACK, rng.randrange(65536)))
        case "resets":
            flags = RST | rng.randrange(256)
            return encode(Segment(source, port, seq, ack, flags, 0, rng.randbytes(5)))
        case "syns":
            return encode(Segment(source, port, seq, 0, SYN, 65535, mss=rng.randrange(65536)))
    # Any flags, with all the options there are, of which some bytes are then others.
    options = struct.pack("!BBHBBBBIIBBB", 2, 4, 1400, 4, 2, 8, 10, seq, ack, 3, 3, 7)
    if rng.random() < 0.5:
        options += struct.pack("!BBII", 5, 10, seq, ack)
    options += bytes(-len(options) % 4)
    flags, window = rng.randrange(256), rng.randrange(65536)
    offset = 5 + len(options) // 4 << 4
    header = struct.pack("!HHIIBBHI", source, port, seq, ack, offset, flags, window, 0)
    bent = bytearray(header + options + rng.randbytes(rng.randrange(50)))
    for _ in range(rng.randrange(4)):
        bent[rng.randrange(4, len(bent))] = rng.randrange(256)
    return bytes(bent)


class Attacker:
    """UDP sockets that send and count: how many bytes went, how many came back."""

    def __init__(self, target: Any, count: int = 8) -> None:
        self.sent = self.came = 0
        self._socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
        for sock in self._socks:
            sock.setblocking(False)
            sock.connect(target)
        self._turn = itertools.cycle(self._socks)

    def send(self, datagrams: list[bytes]) -> None:
        for data in datagrams:
            with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
                self.sent += next(self._turn).send(data)

    def listen(self) -> None:
        for sock in self._socks:
            with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
                while True:
                    self.came += len(sock.recv(65536))

    def close(self) -> None:
        self.listen()
        for sock in self._socks:
            sock.close()


@contextlib.contextmanager
def attacker(target: Any) -> Iterator[Attacker]:
    them = Attacker(target)
    try:
        yield them
    finally:
        them.close()


@contextlib.asynccontextmanager
async def listening(callback: Any, tap: Any = None) -> AsyncIterator[rudp.Endpoint]:
    endpoint = await rudp.Endpoint.open((HOST, 0), config=CONFIG, tap=tap)
    await endpoint.start_server(callback, PORT)
    try:
        yield endpoint
    finally:
        endpoint.abort()


async def connect(endpoint: rudp.Endpoint) -> Stream:
    return await rudp.open_connection(HOST, PORT, udp_port=endpoint.sockname[1], config=CONFIG)


def held(endpoint: rudp.Endpoint) -> int:
    """How many things the endpoint holds in all of its tables."""
    gc.collect()
    engine = endpoint.engine
    tables = (dict, list, set, collections.deque)
    values = (getattr(engine, name) for name in dir(engine) if not name.startswith("__"))
    return sum(len(each) for each in values if isinstance(each, tables))


def resident_memory() -> int:
    """Bytes of memory that the process has; 0 where the system does not tell (not Linux)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


async def transfer(stream: Stream, stop: asyncio.Event) -> tuple[int, bool]:
    """Have pieces echoed until told to stop: how many bytes, and whether they came back whole."""
    reader, writer = stream
    there, back = hashlib.sha256(), hashlib.sha256()
    total = 0
    while not stop.is_set():
        piece = b"%16d" % total * 1024
        there.update(piece)
        writer.write(piece)
        back.update(await reader.readexactly(len(piece)))
        total += len(piece)
        await asyncio.sleep(0.002)  # the test is about the others
    return total, there.digest() == back.digest()


@pytest.mark.parametrize("kind", KINDS)
async def test_twenty_thousand_hostile_datagrams_harm_nobody(kind: str) -> None:
    datagrams = hostile(kind)
    if type(asyncio.get_running_loop()).__module__.startswith("uvloop"):
        datagrams = datagrams[: EACH // 5]  # the standard loop has seen all of them
    async with listening(echo) as endpoint, RawPeer.open(WITNESS) as witness:
        stream = await connect(endpoint)
        await asked(stream, b"we were here before")
        stop = asyncio.Event()
        transferring = asyncio.create_task(transfer(stream, stop))
        most = 0
        blocks, resident = sys.getallocatedblocks(), resident_memory()
        with attacker(endpoint.sockname) as them:
            for start in range(0, len(datagrams), BURST):
                them.send(datagrams[start : start + BURST])
                await witness.fence(endpoint.sockname)  # all of them were looked at
                most = max(most, channels(endpoint))
                them.listen()
            stop.set()
            total, whole = await transferring
            # Nobody else has suffered, and whoever comes now is served at once.
            assert total > 0
            assert whole
            newcomer = await connect(endpoint)
            assert await asked(newcomer, b"served as ever") == b"served as ever"
            await closed(stream, newcomer)
            # What strangers can make us keep is bounded, and gone when they are.
            assert most <= BACKLOG + 1
            await until(lambda: channels(endpoint) == 0)
        assert held(endpoint) < 10
        gc.collect()
        assert sys.getallocatedblocks() - blocks < len(datagrams) // 4
        assert resident_memory() - resident < 32 * 1024 * 1024
        # What strangers can make us send is bounded by what they send. Only SYN-ACKs are repeated,
        # and no SYN is worth more than three.
        assert them.came <= MOST_ANSWERS[kind] * them.sent
        assert (them.came > 0) == (MOST_ANSWERS[kind] > 0)


async def test_a_blind_attacker_who_knows_all_ports_cannot_touch_a_connection() -> None:
    # RFC 5961: he forges the address and the ports of both sides; what he has to guess is SEQ, ACK.
    rng = random.Random(13)
    async with listening(echo) as endpoint, relay_to(endpoint.sockname) as relay:
        stream = await rudp.open_connection(HOST, PORT, udp_port=relay.port, config=CONFIG)
        await asked(stream, b"hello")
        client = stream[1].get_extra_info("udp_sockname")
        inner = stream[1].get_extra_info("sockname")[1]
        stop = asyncio.Event()
        transferring = asyncio.create_task(transfer(stream, stop))
        for _ in range(60):
            latest = {source: data[4:8] for _, source, _, data in relay.log[-20:]}
            for _ in range(25):
                flags = rng.choice((RST, RST | ACK, SYN, ACK, PSH | ACK, SYN | ACK))
                data = b"forged" if flags & PSH else b""
                for source, target in ((client, None), (relay.addr, client)):
                    # Half of the time he even guesses the window, if not SEQ itself.
                    guess = int.from_bytes(latest.get(source, bytes(4)), "big")
                    guess += 2 * rng.randrange(16_000) + 1
                    seq = rng.choice((guess % 2**32, rng.randrange(2**32)))
                    ports = (inner, PORT) if target is None else (PORT, inner)
                    segment = Segment(*ports, seq, rng.randrange(2**32), flags, 65535, data)
                    relay.forge(source, encode(segment), target)
            await asyncio.sleep(0)
        stop.set()
        total, whole = await transferring
        assert total > 0
        assert whole
        await closed(stream)


@pytest.mark.parametrize("seed", range(2))
async def test_a_peer_gone_bad_harms_only_its_own_connection(seed: int) -> None:
    rng = random.Random(seed)
    accepted = Accepted()
    async with listening(accepted) as endpoint, RawPeer.open() as peer:
        stream = await connect(endpoint)
        ours = await accepted.next()
        hand = await Hand.connect(
            peer, endpoint.sockname, PORT, mss=1, window_scale=255, sack_permitted=True
        )
        bad = await accepted.next()
        bad[1].write(b"x" * 100_000)
        for _ in range(40):
            for _ in range(25):
                segment = hand.segment(rng.choice((ACK, ACK, PSH | ACK, rng.randrange(256) & ~RST)))
                segment.seq = (segment.seq + rng.randrange(-3, 60_000)) % 2**32
                segment.ack = (hand.ack + rng.randrange(-70_000, 70_000)) % 2**32
                segment.wnd = rng.choice((0, 1, 65535))
                segment.data = rng.randbytes(rng.randrange(4))
                edges = (segment.ack + rng.randrange(100_000) for _ in range(2))
                segment.sack_blocks = (tuple(edge % 2**32 for edge in edges),) * rng.randrange(4)
                peer.send(endpoint.sockname, segment)
            await asyncio.sleep(0)
            peer.received.clear()
        stream[1].write(b"and the others go on")
        assert await ours[0].readexactly(20) == b"and the others go on"
        await closed(stream, ours)
        await dropped(bad)


async def test_a_client_listens_to_its_server_only() -> None:
    accepted = Accepted()
    async with listening(accepted) as endpoint:
        stream = await connect(endpoint)
        ours = await accepted.next()
        attacker = Attacker(stream[1].get_extra_info("udp_sockname"))
        for kind in KINDS:
            attacker.send(hostile(kind)[:BURST])
        ours[1].write(b"only me")
        assert await stream[0].readexactly(7) == b"only me"
        attacker.close()
        assert attacker.came == 0
        await closed(stream, ours)


async def test_a_server_gone_mad_cannot_keep_a_client_from_its_answer() -> None:
    async with RawPeer.open() as peer:
        connecting = asyncio.create_task(rudp.open_connection(*peer.addr, config=CONFIG))
        await until(lambda: peer.received)
        for kind in KINDS:
            peer.send(peer.last_from, *hostile(kind)[:BURST])
            await asyncio.sleep(0)
        hand = await Hand.accept(peer)
        for kind in KINDS:
            peer.send(peer.last_from, *hostile(kind)[:BURST])
            await asyncio.sleep(0)
        stream = await connecting
        await hand.write(b"in my right mind")
        assert await stream[0].readexactly(16) == b"in my right mind"
        await dropped(stream)


async def test_answers_do_not_pile_up_while_the_socket_takes_nothing() -> None:
    async with listening(echo) as endpoint:
        engine = endpoint.engine
        strays = [(encode(Segment(5, 6, 0, 0, ACK, 0)), (HOST, 9))] * 64
        engine.datagrams.blocked = True
        for _ in range(100):
            engine.datagrams_received(strays, engine.clock())
        kept = held(endpoint)
        engine.datagrams.blocked = False
        assert kept < 10


async def test_a_loop_with_other_work_still_drains_the_socket() -> None:
    got: list[Any] = []
    async with listening(echo, tap=lambda *told: got.append(told)) as endpoint:
        with attacker(endpoint.sockname) as them:
            them.send(hostile("acks")[:BURST])
            for _ in range(25):
                time.sleep(0.001)  # noqa: ASYNC251 - somebody else's callback
                await asyncio.sleep(0)
        assert len([told for told in got if told[0] == "<"]) == BURST


async def test_a_peer_cannot_make_the_heap_of_deadlines_grow() -> None:
    # Each answer moves a deadline from two hours to some milliseconds and back.
    config = dataclasses.replace(CONFIG, keepalive=rudp.Keepalive())
    async with listening(echo) as endpoint:
        stream = await rudp.open_connection(
            HOST, PORT, udp_port=endpoint.sockname[1], config=config
        )
        transport: Any = stream[1].transport
        for _ in range(6):
            await asked(stream, b"?")
            await asyncio.sleep(0.05)  # longer than an ACK is delayed
        assert len(transport._engine._deadlines._heap) < 5
        await closed(stream)


async def test_a_connection_that_has_ended_is_forgotten_before_its_deadlines_pass() -> None:
    config = dataclasses.replace(CONFIG, keepalive=rudp.Keepalive())
    ours = await rudp.Endpoint.open((HOST, 0), config=config)
    async with listening(echo) as endpoint:
        for _ in range(3):
            stream = await ours.open_connection(HOST, PORT, udp_port=endpoint.sockname[1])
            await asked(stream, b"?")
            await asyncio.sleep(0.05)
            await closed(stream)
        del stream
        await until(lambda: channels(ours) == 0)
        await until(lambda: not alive(Channel))
        ours.abort()


async def test_connections_that_have_ended_leave_no_memory_behind() -> None:
    # What the garbage collector does not know, a number or a dictionary, would not be in its lists.
    config = dataclasses.replace(CONFIG, msl=0.001)

    async def connect_and_close(times: int) -> None:
        for _ in range(times):
            async with opened(config=config) as ours:
                stream = await ours.open_connection(HOST, PORT, udp_port=endpoint.sockname[1])
                await asked(stream, b"?")
                await closed(stream)
        await until(lambda: channels(endpoint) == 0)
        gc.collect()

    async with listening(echo) as endpoint:
        await connect_and_close(50)
        blocks = sys.getallocatedblocks()
        await connect_and_close(600)
        # asyncio keeps up to a hundred timers that were cancelled.
        assert sys.getallocatedblocks() - blocks < 600


def alive(kind: type) -> int:
    """How many objects of a kind there are."""
    gc.collect()
    return sum(type(each) is kind for each in gc.get_objects())
