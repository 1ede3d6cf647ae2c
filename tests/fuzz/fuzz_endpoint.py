"""A whole endpoint under a peer that does whatever an input says: `test_one_input`.

The world is `rudp.sim`: virtual time, no sockets of the system, the same input the same run. A
server echoes. An honest client talks to it over the simulated network. Mallory's datagrams come to
the endpoint from an address of its own, between them time passes and the server's application
does things. An input is a byte that says which options Mallory's SYN has (HANDSHAKES), and then a
sequence of steps:

    00 n bytes            a datagram of these n bytes
    01 flags seq ack wnd n m bytes      a segment for Mallory's connection: SEQ and ACK are signed
                          distances from what the server expects (16 bits), then the window, m
                          bytes of data and n words of options
    02 n                  time passes: WAITS[n]
    03 n size             the application's call CALLS[n] on Mallory's connection
    04 port n bytes       a SYN from another TCP port, with n words of options
    05 code               ICMP has something to say: ERRORS[code]

A byte beyond the end of the input is 0. What has to hold after every step: nothing has raised, no
callback of the loop has either, and the limits of `Config` hold. And in the end the honest client
is served as before.

Not here: who makes the inputs, which is `guided` (Atheris) and `make_corpus`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import struct
from typing import Any

import rudp
from rudp import sim
from rudp.channel import Channel
from rudp.core.segment import ACK, SYN

PORT = 7000
MALLORY = ("10.9.9.9", 5555)
MALLORYS_PORT = 40000
CONFIG = rudp.Config(
    backlog=4,
    max_connections=8,
    max_time_wait=4,
    max_reassembly_ranges=16,
    max_flight_ranges=16,
    receive_buffer=8192,
    send_buffer=16384,
    user_timeout=30.0,
    keepalive=rudp.Keepalive(idle=20.0, interval=5.0, count=2),
    msl=5.0,
)
MAX_STEPS = 200
HANDSHAKES = (
    "020405b4 0402 0103 0307 0101",  # MSS 1460, SACK-permitted, window scale 7
    "020405b4 0402 080a 00000001 00000000 0103 0307",  # and timestamps
    "",
    "02040001",  # an MSS of 1
)
WAITS = (0.0, 0.001, 0.01, 0.05, 0.2, 0.5, 1.0, 3.0, 10.0, 70.0)
CALLS = ("write", "pause", "resume", "write_eof", "close", "abort", "info")
ERRORS = (
    errno.ECONNREFUSED,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.EMSGSIZE,
    errno.EPERM,
    errno.ENOBUFS,
)

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def test_one_input(data: bytes) -> None:
    """Whatever `data` is, the endpoint keeps its promises; an exception says which it did not."""
    log = logging.getLogger("rudp")
    before = log.level
    log.setLevel(logging.CRITICAL)  # that a peer does not answer is no news here
    try:
        sim.run(lambda network: _scenario(network, Input(data)), limit=1e6)
    finally:
        log.setLevel(before)


class Input:
    """The bytes of an input, one number after another."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def over(self) -> bool:
        return self._at >= len(self._data)

    def take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        self._at += count
        return taken.ljust(count, b"\0")

    def byte(self) -> int:
        return self.take(1)[0]

    def signed(self) -> int:
        return int.from_bytes(self.take(2), "big", signed=True)


async def _scenario(network: sim.Network, steps: Input) -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
    server, honest = network.host("server"), network.host("honest")
    under_test = await server.run(_Server.open())
    streams = await honest.run(rudp.open_connection("server", PORT))
    await honest.run(_ask(streams, b"before"))
    await server.run(under_test.live(steps))
    await honest.run(_ask(streams, b"after" * 500))
    streams[1].transport.abort()
    under_test.endpoint.abort()
    await asyncio.sleep(1)
    if told:
        raise AssertionError(f"the loop was told: {told}") from told[0].get("exception")


async def _ask(streams: Streams, question: bytes) -> None:
    reader, writer = streams
    writer.write(question)
    async with asyncio.timeout(20):
        assert await reader.readexactly(len(question)) == question


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    # RuntimeError: the input has called write_eof() before.
    with contextlib.suppress(OSError, RuntimeError):
        while data := await reader.read(4096):
            writer.write(data)
            await writer.drain()
        writer.close()
        await writer.wait_closed()
    writer.close()


class _Server:
    """The endpoint under test, and Mallory's connection to it."""

    def __init__(self, endpoint: rudp.Endpoint) -> None:
        self.endpoint = endpoint
        self.engine = endpoint.engine
        # Where Mallory's numbers stand; kept when the connection is gone.
        self._seq = 2**32 - 3
        self._ack = 0
        self._ticks = 1

    @classmethod
    async def open(cls) -> _Server:
        endpoint = await rudp.Endpoint.open(("0.0.0.0", PORT), config=CONFIG)
        await endpoint.start_server(_echo)
        return cls(endpoint)

    async def live(self, steps: Input) -> None:
        await self._shake_hands(bytes.fromhex(HANDSHAKES[steps.byte() % len(HANDSHAKES)]))
        for _ in range(MAX_STEPS):
            if steps.over:
                break
            kind = steps.byte() % 6
            if kind == 0:
                self._arrive(steps.take(steps.byte()))
            elif kind == 1:
                self._arrive(self._segment(steps))
            elif kind == 2:
                await asyncio.sleep(WAITS[steps.byte() % len(WAITS)])
            elif kind == 3:
                self._call(CALLS[steps.byte() % len(CALLS)], 64 * steps.byte())
            elif kind == 4:
                self._arrive(self._syn(steps))
            else:
                code = ERRORS[steps.byte() % len(ERRORS)]
                self.engine.error_received(OSError(code, "ICMP"), MALLORY)
            self._check()

    def _arrive(self, datagram: bytes) -> None:
        self.engine.datagram_received(datagram, MALLORY)

    async def _shake_hands(self, options: bytes) -> None:
        self._arrive(_header(MALLORYS_PORT, 2**32 - 4, 0, SYN, 65535, options))
        channel = self._channel()
        assert channel is not None
        ack = (channel.connection.snd.iss + 1) % 2**32
        self._arrive(_header(MALLORYS_PORT, 2**32 - 3, ack, ACK, 65535, self._timestamps(channel)))
        await asyncio.sleep(0.001)

    def _channel(self) -> Channel | None:
        for channel in self.engine.channels:
            if channel.addr == MALLORY and channel.connection.peer_port == MALLORYS_PORT:
                return channel
        return None

    def _segment(self, steps: Input) -> bytes:
        flags = steps.byte()
        seq, ack = steps.signed(), steps.signed()
        wnd = int.from_bytes(steps.take(2), "big")
        options = steps.take(4 * (steps.byte() % 11))
        data = bytes(steps.byte() * (1 + steps.byte() % 8))
        channel = self._channel()
        if channel is not None:
            self._seq, self._ack = channel.connection.rcv.nxt, channel.connection.snd.nxt
            options = (self._timestamps(channel) + options)[:40]
        numbers = (self._seq + seq) % 2**32, (self._ack + ack) % 2**32
        return _header(MALLORYS_PORT, *numbers, flags, wnd, options) + data

    def _timestamps(self, channel: Channel) -> bytes:
        """The option, if it was agreed on, as an honest peer would fill it in."""
        clock = channel.connection.timestamps
        if clock is None:
            return b""
        self._ticks += 1
        echo = clock.clock(self.engine.clock())
        return bytes((1, 1, 8, 10)) + struct.pack("!II", self._ticks, echo)

    def _syn(self, steps: Input) -> bytes:
        port = 40001 + steps.byte()
        options = steps.take(4 * (steps.byte() % 11))
        return _header(port, 2**32 - 1, 0, SYN, 1000, options)

    def _call(self, name: str, size: int) -> None:
        channel = self._channel()
        transport = channel.transport if channel is not None else None
        if transport is None:
            return
        if name == "write" and not transport.is_closing():
            with contextlib.suppress(RuntimeError):  # after write_eof()
                transport.write(bytes(size))
        elif name == "pause":
            transport.pause_reading()
        elif name == "resume":
            transport.resume_reading()
        elif name == "write_eof" and not transport.is_closing():
            transport.write_eof()
        elif name == "close":
            transport.close()
        elif name == "abort":
            transport.abort("enough")
        elif name == "info":
            transport.get_extra_info("tcp_info")

    def _check(self) -> None:
        channels = self.engine.channels
        assert len(channels) <= CONFIG.max_connections
        for listener in self.engine.listeners.values():
            assert 0 <= listener.half_open <= CONFIG.backlog
        for channel in channels:
            connection = channel.connection
            snd, rcv = connection.snd, connection.rcv
            assert 0 <= rcv.readable <= CONFIG.receive_buffer
            assert rcv.nxt <= rcv.edge + 1  # a FIN may stand just beyond
            assert snd.iss <= snd.una <= snd.nxt
            assert snd.flight_size <= CONFIG.send_buffer + 2  # SYN and FIN
            assert len(snd.board.flights) <= CONFIG.max_flight_ranges + 1


def _header(port: int, seq: int, ack: int, flags: int, wnd: int, options: bytes) -> bytes:
    offset = (20 + len(options)) // 4
    return (
        struct.pack("!HHIIBBHHH", port, PORT, seq, ack, offset << 4, flags & 255, wnd, 0, 0)
        + options
    )
