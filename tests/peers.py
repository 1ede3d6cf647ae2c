"""What the tests of the endpoint share: a peer that speaks segments by hand, a relay in the middle.

Both are UDP sockets of their own on the loop of the test, so that everything between them and the
code under test goes through the kernel, as it does for a user.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import rudp
from rudp.core import codec
from rudp.core.segment import ACK, FIN, PSH, RST, SYN, Segment, SegmentError
from rudp.core.state import State
from rudp.engine import Engine

from .udp import until

HOST = "127.0.0.1"
ISS = 2**32 - 3
"""A raw peer's first sequence number: what it sends soon goes past 2**32."""

FENCE = 1
"""A TCP port at which no test listens: what is sent there is answered with a RST at once."""

LONGEST = 30.0
"""Seconds after which a test is taken to hang. No test comes near."""

Address = Any
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(autouse=True)
async def quiet_loop() -> AsyncIterator[list[dict[str, Any]]]:
    """What went to the loop's exception handler: by the end of each test it has to be nothing.

    It also ends a test that hangs, which then shows where it was.
    """
    contexts: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: contexts.append(context))
    alarm = loop.call_later(LONGEST, _cancel_all, loop)
    yield contexts
    alarm.cancel()
    assert contexts == []


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel(f"the test took more than {LONGEST} s")


class RawPeer(asyncio.DatagramProtocol):
    """A UDP socket that sends the segments it is told to, and keeps those it gets."""

    def __init__(self) -> None:
        self.received: list[Segment] = []
        self.sizes: list[int] = []  # bytes of the datagrams received
        self.transport: Any = None
        self._fences = 0

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, host: str = HOST, port: int = 0) -> AsyncIterator[RawPeer]:
        loop = asyncio.get_running_loop()
        _, peer = await loop.create_datagram_endpoint(cls, local_addr=(host, port))
        try:
            yield peer
        finally:
            peer.transport.close()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.addr: Address = transport.get_extra_info("sockname")

    def datagram_received(self, data: bytes, addr: Address) -> None:
        segment = codec.decode(data)
        if FENCE in (segment.src_port, segment.dst_port):
            self._fences += 1
            return
        self.sizes.append(len(data))
        self.received.append(segment)
        self.last_from = addr

    def send(self, addr: Address, *datagrams: Segment | bytes) -> None:
        for datagram in datagrams:
            self.transport.sendto(
                datagram if isinstance(datagram, bytes) else encode(datagram), addr
            )

    async def next(self, wanted: Callable[[Segment], object] = lambda segment: True) -> Segment:
        """The oldest segment not yet taken that is wanted; those before it are thrown away."""
        while True:
            await until(lambda: self.received)
            segment = self.received.pop(0)
            if wanted(segment):
                return segment

    async def answers(self, addr: Address, *datagrams: Segment | bytes) -> list[Segment]:
        """All that comes back when these are sent, and nothing that comes later by a timer.

        Behind them goes a segment whose answer is known. Loopback keeps the order, so what was
        answered at all was answered by then; a second one waits for what the first one's turn of
        the loop had left to do.
        """
        self.received.clear()
        self.sizes.clear()
        self.send(addr, *datagrams)
        await self.fence(addr)
        taken, self.received = self.received, []
        return taken

    async def fence(self, addr: Address) -> None:
        for _ in range(2):
            before = self._fences
            while self._fences == before:
                # Again, if this second's answers to our host are used up.
                self.send(addr, Segment(FENCE, FENCE, 0, 0, ACK, 0))
                with contextlib.suppress(TimeoutError):
                    await until(lambda before=before: self._fences > before, timeout=1.0)


class Hand:
    """One connection that a raw peer holds by hand: the numbers, and the segments they make."""

    def __init__(self, peer: RawPeer, addr: Address, port: int, peer_port: int) -> None:
        self.peer, self.addr, self.port, self.peer_port = peer, addr, port, peer_port
        self.seq = ISS
        self.ack = 0
        self.wnd = 65535

    @classmethod
    async def connect(
        cls, peer: RawPeer, addr: Address, peer_port: int, port: int = 40000, **options: Any
    ) -> Hand:
        """An active open; `options` are those of the SYN."""
        hand = cls(peer, addr, port, peer_port)
        hand.send(SYN, **options)
        hand.took(await peer.next(lambda segment: segment.flags == SYN | ACK))
        hand.seq += 1
        hand.send(ACK)
        return hand

    @classmethod
    async def accept(cls, peer: RawPeer, **options: Any) -> Hand:
        """A passive open: answer the next SYN that comes."""
        # It may ask for ECN, which one that is sent again does not: nobody is to wait for that.
        syn = await peer.next(lambda segment: segment.flags & (SYN | ACK) == SYN)
        hand = cls(peer, peer.last_from, syn.dst_port, syn.src_port)
        hand.took(syn)
        hand.send(SYN | ACK, **options)
        hand.seq += 1
        await hand.next(lambda segment: segment.flags & (ACK | RST) == ACK)
        return hand

    def segment(self, flags: int, data: bytes = b"", *, back: int = 0, **options: Any) -> Segment:
        """A segment at SND.NXT, or `back` before it."""
        seq = (self.seq - back) % 2**32
        ack = self.ack if flags & ACK else 0
        return Segment(self.port, self.peer_port, seq, ack, flags, self.wnd, data, **options)

    def send(self, flags: int, data: bytes = b"", **options: Any) -> None:
        self.peer.send(self.addr, self.segment(flags, data, **options))

    def took(self, segment: Segment) -> Segment:
        """Acknowledge all of `segment` from now on."""
        self.ack = segment.end % 2**32
        return segment

    async def next(self, wanted: Callable[[Segment], object] = lambda segment: True) -> Segment:
        """The next segment of this connection that is wanted, acknowledged from now on."""
        ports = (self.peer_port, self.port)
        return self.took(
            await self.peer.next(lambda s: (s.src_port, s.dst_port) == ports and wanted(s))
        )

    async def write(self, data: bytes) -> None:
        self.send(PSH | ACK, data)
        self.seq += len(data)

    async def fin(self) -> None:
        self.send(FIN | ACK)
        self.seq += 1


class Relay:
    """A UDP address in front of another: every datagram goes through, unless told otherwise.

    It writes down all of them, which is a packet capture that needs no privileges.
    """

    def __init__(self, target: Address) -> None:
        self.target = target
        self.log: list[tuple[float, Address, Address, bytes]] = []
        self.deaf = False  # everything is lost, both ways
        self._backs: dict[Address, socket.socket] = {}
        self._loop = asyncio.get_running_loop()
        self._bind((HOST, 0))

    def _bind(self, addr: Address) -> None:
        self._front = self._socket(addr)
        self.addr: Address = self._front.getsockname()
        self._loop.add_reader(self._front, self._from_client)

    def _socket(self, addr: Address) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.bind(addr)
        return sock

    @property
    def port(self) -> int:
        return int(self.addr[1])

    def _from_client(self) -> None:
        for data, client in _drain(self._front):
            back = self._backs.get(client)
            if back is None:
                back = self._backs[client] = self._socket((HOST, 0))
                back.connect(self.target)
                self._loop.add_reader(back, self._from_server, back, client)
            if self._passes(client, self.addr, data):
                with contextlib.suppress(OSError):
                    back.send(data)

    def _from_server(self, back: socket.socket, client: Address) -> None:
        for data, _ in _drain(back):
            if self._passes(self.addr, client, data):
                with contextlib.suppress(OSError):
                    self._front.sendto(data, client)

    def _passes(self, source: Address, target: Address, data: bytes) -> bool:
        self.log.append((self._loop.time(), source, target, data))
        return not self.deaf

    def forge(self, source: Address, data: bytes, target: Address | None = None) -> None:
        """Send `data` as if it came from the client `source`, or from the server to `target`."""
        if target is None:
            self._backs[source].send(data)
        else:
            self._front.sendto(data, target)

    def unplug(self) -> None:
        """Close the address: who sends to it hears an ICMP error from the kernel."""
        self._loop.remove_reader(self._front)
        self._front.close()

    def plug(self) -> None:
        """Take the same address again."""
        self._bind(self.addr)

    def close(self) -> None:
        for sock in (self._front, *self._backs.values()):
            if sock.fileno() >= 0:
                self._loop.remove_reader(sock)
                sock.close()


@contextlib.asynccontextmanager
async def relay_to(target: Address) -> AsyncIterator[Relay]:
    relay = Relay(target)
    try:
        yield relay
    finally:
        relay.close()


def _drain(sock: socket.socket) -> list[tuple[bytes, Address]]:
    datagrams = []
    with contextlib.suppress(OSError):
        while True:
            datagrams.append(sock.recvfrom(65536))
    return datagrams


def encode(segment: Segment) -> bytes:
    ((header, data),) = codec.split(segment, codec.MAX_SUPER)
    return header + bytes(data)


def kinds(segments: list[Segment]) -> list[str]:
    """The flags of each, in packetdrill's letters."""
    letters = {"S": SYN, "F": FIN, "R": RST, "P": PSH, ".": ACK}
    return ["".join(name for name, bit in letters.items() if s.flags & bit) for s in segments]


def is_segment(data: bytes) -> bool:
    try:
        codec.decode(data)
    except SegmentError:
        return False
    return True


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((HOST, 0))
        return int(sock.getsockname()[1])


@contextlib.asynccontextmanager
async def opened(host: str = HOST, **options: Any) -> AsyncIterator[rudp.Endpoint]:
    """An endpoint that is gone afterwards, whatever the test left open."""
    endpoint = await rudp.Endpoint.open((host, 0), **options)
    try:
        yield endpoint
    finally:
        endpoint.abort()


class Watch:
    """A tap that writes down what it is told."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Segment, State]] = []
        self.times: list[float] = []

    def __call__(self, direction: str, segment: Segment, state: State, now: float) -> None:
        self.seen.append((direction, segment, state))
        self.times.append(now)

    def lines(self) -> list[str]:
        """Direction, flags without PSH, bytes of data, and the state."""
        return [
            f"{way} {kinds([segment])[0].replace('P', '')} {len(segment.data)} {state.name}"
            for way, segment, state in self.seen
        ]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server's callback: everything comes back, and the end of it too."""
    with contextlib.suppress(ConnectionError, TimeoutError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()
        await writer.wait_closed()
    writer.close()


async def asked(stream: Stream, question: bytes) -> bytes:
    """What an echo server gives back."""
    reader, writer = stream
    writer.write(question)
    return await reader.readexactly(len(question))


async def closed(*streams: Stream) -> None:
    """Close all of them, and wait until that is done."""
    for _, writer in streams:
        writer.close()
    for _, writer in streams:
        async with asyncio.timeout(5):
            await writer.wait_closed()


async def dropped(*streams: Stream) -> None:
    """Reset all of them: the test is done with them."""
    for _, writer in streams:
        writer.transport.abort()
    for _, writer in streams:
        with contextlib.suppress(OSError):
            async with asyncio.timeout(5):
                await writer.wait_closed()


class Accepted:
    """A server's callback that hands its streams to the test."""

    def __init__(self) -> None:
        self._streams: asyncio.Queue[Stream] = asyncio.Queue()

    def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._streams.put_nowait((reader, writer))

    async def next(self) -> Stream:
        async with asyncio.timeout(5):
            return await self._streams.get()


def channels(endpoint: rudp.Endpoint) -> int:
    """How many connections the endpoint has, half-open ones included, TIME-WAIT not."""
    return len(endpoint.engine.channels)


def in_use(exc: pytest.ExceptionInfo[OSError]) -> bool:
    return exc.value.errno == errno.EADDRINUSE


def engines(*, collect: bool = True) -> list[Engine]:
    """All that have not been forgotten. What a timer, a reader or a task refers to is not.

    Without `collect` also those that are about to be: it is dear to look again and again.
    """
    if collect:
        gc.collect()
    return [each for each in gc.get_objects() if type(each) is Engine]


def files() -> int:
    """How many file descriptors this process has."""
    return len(os.listdir("/dev/fd"))
