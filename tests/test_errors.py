"""How connections fail: at once where something says so, in bounded time where nothing does."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import rudp
from rudp.core.segment import ACK, FIN, RST, SYN, Segment

from . import peers
from .peers import (
    HOST,
    ISS,
    Accepted,
    Hand,
    RawPeer,
    Relay,
    asked,
    channels,
    closed,
    dropped,
    echo,
    free_udp_port,
    kinds,
    relay_to,
)
from .udp import linux_only, until

quiet_loop = peers.quiet_loop

FAST = {"min_rto": 0.01, "initial_rto": 0.01}


@contextlib.asynccontextmanager
async def listening(callback: Any = echo, **config: Any) -> AsyncIterator[rudp.Endpoint]:
    endpoint = await rudp.Endpoint.open((HOST, 0), config=rudp.Config(**config))
    await endpoint.start_server(callback)
    try:
        yield endpoint
    finally:
        endpoint.abort()


@contextlib.asynccontextmanager
async def through_a_relay(
    **config: Any,
) -> AsyncIterator[tuple[Relay, peers.Stream, peers.Stream, rudp.Endpoint]]:
    """A connection whose network the test holds in its hand: relay, client, server."""
    accepted = Accepted()
    async with listening(accepted, **config) as endpoint, relay_to(endpoint.sockname) as relay:
        stream = await rudp.open_connection(
            HOST, endpoint.sockname[1], udp_port=relay.port, config=rudp.Config(**config)
        )
        theirs = await accepted.next()
        yield relay, stream, theirs, endpoint
        await dropped(stream, theirs)


# -- refused -------------------------------------------------------------------------------------


@linux_only
async def test_a_dead_udp_port_refuses_at_once() -> None:
    port = free_udp_port()
    started = time.monotonic()
    with pytest.raises(ConnectionRefusedError) as exc:
        await rudp.open_connection(HOST, port)
    assert time.monotonic() - started < 0.5  # the first SYN would be sent again after a second
    assert exc.value.errno == errno.ECONNREFUSED
    assert exc.value.strerror == f"Connect call failed ('{HOST}', {port})"


async def test_a_tcp_port_that_nobody_listens_on_refuses_at_once() -> None:
    async with listening() as endpoint:
        started = time.monotonic()
        with pytest.raises(ConnectionRefusedError, match=f"'{HOST}', 81") as exc:
            await rudp.open_connection(HOST, 81, udp_port=endpoint.sockname[1])
        assert time.monotonic() - started < 0.5
        assert exc.value.errno == errno.ECONNREFUSED


async def test_an_endpoint_is_refused_by_a_reset_too() -> None:
    ours = await rudp.Endpoint.open((HOST, 0))
    async with listening() as endpoint:
        with pytest.raises(ConnectionRefusedError, match=f"'{HOST}', 81"):
            await ours.open_connection(HOST, 81, udp_port=endpoint.sockname[1])
        assert channels(ours) == 0
        ours.abort()


async def test_a_refusal_may_say_why() -> None:
    async with RawPeer.open() as peer:
        connecting = asyncio.create_task(rudp.open_connection(*peer.addr))
        syn = await peer.next()
        reset = Segment(syn.dst_port, syn.src_port, 0, syn.seq + 1, RST | ACK, 0, b"no room")
        peer.send(peer.last_from, reset)
        with pytest.raises(ConnectionRefusedError, match=r"\('127.0.0.1', \d+\): no room$"):
            await connecting


@pytest.mark.parametrize("offset", [0, 2, -1000])
async def test_a_reset_that_acknowledges_another_number_refuses_nothing(offset: int) -> None:
    # RFC 9293 section 3.10.7.3: "If the ACK was acceptable, signal ... connection reset".
    async with RawPeer.open() as peer:
        connecting = asyncio.create_task(
            rudp.open_connection(*peer.addr, config=rudp.Config(**FAST))
        )
        syn = await peer.next()
        ack = (syn.seq + offset) % 2**32
        peer.send(peer.last_from, Segment(syn.dst_port, syn.src_port, 0, ack, RST | ACK, 0))
        hand = await Hand.accept(peer)
        stream = await connecting
        await hand.write(b"hello")
        assert await stream[0].readexactly(5) == b"hello"
        await dropped(stream)


async def test_a_peer_that_resets_its_own_handshake_disturbs_nobody() -> None:
    accepted = Accepted()
    async with listening(accepted) as endpoint, RawPeer.open() as peer:
        port = endpoint.sockname[1]
        await peer.answers(endpoint.sockname, Segment(5, port, ISS, 0, SYN, 1000))
        assert channels(endpoint) == 1
        assert await peer.answers(endpoint.sockname, Segment(5, port, ISS + 1, 0, RST, 0)) == []
        assert channels(endpoint) == 0
        stream = await rudp.open_connection(*endpoint.sockname)
        await dropped(stream, await accepted.next())


async def test_an_address_that_cannot_be_reached_is_an_error_at_once() -> None:
    # The endpoint is bound to loopback: the system refuses to send from there to anywhere else.
    endpoint = await rudp.Endpoint.open((HOST, 0), config=rudp.Config(connect_timeout=5))
    started = time.monotonic()
    with pytest.raises(OSError):
        await endpoint.open_connection("192.0.2.1", 9)
    assert time.monotonic() - started < 1
    assert channels(endpoint) == 0
    endpoint.abort()


# -- timed out -----------------------------------------------------------------------------------


async def test_a_host_that_does_not_answer_times_out_by_connect_timeout() -> None:
    async with RawPeer.open() as peer:
        config = rudp.Config(connect_timeout=0.2, **FAST)
        started = time.monotonic()
        with pytest.raises(TimeoutError, match="no answer to the SYN") as exc:
            await rudp.open_connection(*peer.addr, config=config)
        assert 0.15 <= time.monotonic() - started < 2
        assert exc.value.errno == errno.ETIMEDOUT
        # Backed off: 0, 10, 30, 70, 150 ms, and one when the time is up.
        await until(lambda: len(peer.received) >= 4)
        assert set(kinds(peer.received)) == {"S"}
        assert len(peer.received) <= 7
        assert len({(s.seq, s.src_port) for s in peer.received}) == 1


async def test_data_that_is_never_acknowledged_times_out_by_r2() -> None:
    async with through_a_relay(r2=0.2, **FAST) as (relay, stream, _, endpoint):
        relay.deaf = True
        stream[1].write(b"anybody?")
        started = time.monotonic()
        with pytest.raises(TimeoutError, match="no acknowledgment came") as exc:
            await stream[0].read()
        assert 0.15 <= time.monotonic() - started < 2
        assert exc.value.errno == errno.ETIMEDOUT
        assert channels(endpoint) == 1  # the other side has nothing to send and notices nothing


async def test_keepalive_finds_out_that_the_peer_is_gone() -> None:
    keepalive = rudp.Keepalive(count=3)
    for name in ("idle", "interval"):
        object.__setattr__(keepalive, name, 0.03)  # less than may be asked for: we cannot wait
    accepted = Accepted()
    async with listening(accepted, keepalive=keepalive) as endpoint, RawPeer.open() as peer:
        hand = await Hand.connect(peer, endpoint.sockname, endpoint.sockname[1])
        reader, writer = await accepted.next()
        for _ in range(5):
            probe = await peer.next(lambda segment: not segment.flags & SYN)
            assert (probe.seq + 1) % 2**32 == hand.ack  # RFC 9293 section 3.8.4
            hand.send(ACK)
        await peer.fence(endpoint.sockname)
        peer.received.clear()
        with pytest.raises(TimeoutError, match="keepalive got no answer") as exc:
            await reader.read()
        assert exc.value.errno == errno.ETIMEDOUT
        await peer.fence(endpoint.sockname)
        assert len(peer.received) == 3
        await dropped((reader, writer))


# -- reset ---------------------------------------------------------------------------------------


async def test_a_reset_by_the_peer_has_its_errno() -> None:
    accepted = Accepted()
    async with listening(accepted) as endpoint:
        stream = await rudp.open_connection(*endpoint.sockname)
        theirs = await accepted.next()
        theirs[1].transport.abort()
        with pytest.raises(ConnectionResetError) as exc:
            await stream[0].read()
        assert (exc.value.errno, exc.value.strerror) == (
            errno.ECONNRESET,
            "Connection reset by peer",
        )
        await dropped(stream, theirs)


async def test_a_restarted_server_resets_who_is_still_there() -> None:
    async with listening() as endpoint:
        stream = await rudp.open_connection(*endpoint.sockname)
        addr = endpoint.sockname
        # As if the machine had lost its power: nothing is said.
        endpoint.engine.datagrams.abort()
        fresh = await rudp.Endpoint.open(addr)
        stream[1].write(b"remember me?")
        with pytest.raises(ConnectionResetError):
            await stream[0].read()
        await dropped(stream)
        fresh.abort()


# -- ICMP is no proof ----------------------------------------------------------------------------


@linux_only
async def test_icmp_errors_do_not_end_a_connection() -> None:
    # RFC 9293 section 3.9.2.2, MUST-56; RFC 5927. libuv turns a socket off that has an error.
    async with through_a_relay(**FAST) as (relay, stream, theirs, _):
        for round_ in range(2):
            relay.unplug()
            for piece in (b"one ", b"two ", b"three"):
                stream[1].write(piece)
                await asyncio.sleep(0.02)  # each write draws "port unreachable" from the kernel
            assert stream[1].get_extra_info("tcp_info").retrans > 0
            relay.plug()
            assert await theirs[0].readexactly(13) == b"one two three"
            answer = b"never gone, %d" % round_
            theirs[1].write(answer)
            assert await stream[0].readexactly(len(answer)) == answer


@linux_only
async def test_icmp_errors_at_the_server_are_nobodys() -> None:
    async with listening() as endpoint:
        stream = await rudp.open_connection(*endpoint.sockname)
        async with RawPeer.open() as peer:
            hand = Hand(peer, endpoint.sockname, 5, endpoint.sockname[1])
            hand.send(SYN)
            await peer.next()
        # The peer's socket is closed: each SYN-ACK now draws "port unreachable".
        endpoint.engine.error_received(ConnectionRefusedError(errno.ECONNREFUSED, "ICMP"))
        assert await asked(stream, b"still here") == b"still here"
        await closed(stream)


# -- local misuse --------------------------------------------------------------------------------


async def never() -> None:
    raise AssertionError("not to be called")


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: rudp.open_connection(HOST, 70000), OverflowError, "from 0 to 65535, not 70000"),
        (lambda: rudp.open_connection(HOST, -1), OverflowError, "from 0 to 65535, not -1"),
        (lambda: rudp.open_connection(), ValueError, "host and port was not specified"),
        (lambda: rudp.open_connection(HOST, 9, ssl=True), NotImplementedError, "leave out ssl="),
        (
            lambda: rudp.open_connection(HOST, 9, server_hostname="x"),
            ValueError,
            "server_hostname is only meaningful with ssl",
        ),
        (lambda: rudp.open_connection(HOST, 9, limit=0), ValueError, "[Ll]imit"),
        (lambda: rudp.open_connection(HOST, 9, timeout=1), TypeError, "timeout"),
        (lambda: rudp.start_server("echo", HOST, 0), TypeError, "has to be callable, not 'echo'"),
        (lambda: rudp.start_server(never), ValueError, "Neither host/port nor sock"),
        (lambda: rudp.start_server(never, HOST, 0, ssl=True), NotImplementedError, "ssl="),
        (lambda: rudp.start_server(never, HOST, 0, keep_alive=True), ValueError, "rudp.Keepalive"),
        (lambda: rudp.Endpoint.open(("192.0.2.1", 0)), OSError, "192.0.2.1"),
    ],
)
async def test_misuse_is_refused_at_once_with_a_sentence(
    call: Callable[[], Any], error: type[Exception], sentence: str
) -> None:
    before = len(os.listdir("/dev/fd"))
    with pytest.raises(error, match=sentence):
        await call()
    assert len(os.listdir("/dev/fd")) == before


async def test_a_name_that_does_not_resolve_is_a_gaierror() -> None:
    endpoint = await rudp.Endpoint.open((HOST, 0))
    with pytest.raises(socket.gaierror):
        await endpoint.open_connection("no-such-host.invalid", 9)
    endpoint.abort()


async def test_what_was_written_after_an_error_is_dropped_and_told_by_drain() -> None:
    accepted = Accepted()
    async with listening(accepted) as endpoint, RawPeer.open() as peer:
        hand = await Hand.connect(peer, endpoint.sockname, endpoint.sockname[1])
        stream = await accepted.next()
        hand.send(RST | ACK)
        with pytest.raises(ConnectionResetError):
            await stream[0].read()
        stream[1].write(b"in vain")
        with pytest.raises(ConnectionResetError):
            await stream[1].drain()
        assert await peer.answers(endpoint.sockname, hand.segment(ACK)) != []
        await dropped(stream)


async def test_a_fin_before_its_data_is_no_end() -> None:
    accepted = Accepted()
    async with listening(accepted) as endpoint, RawPeer.open() as peer:
        hand = await Hand.connect(peer, endpoint.sockname, endpoint.sockname[1])
        stream = await accepted.next()
        hand.seq += 5
        hand.send(FIN | ACK)
        reading = asyncio.create_task(stream[0].read())
        await peer.fence(endpoint.sockname)
        assert not reading.done()
        hand.seq -= 5
        await hand.write(b"early")
        assert await reading == b"early"
        await dropped(stream)
