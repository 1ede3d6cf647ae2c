"""TIME-WAIT: what an endpoint keeps of a connection, for how long, and what must not suffer by it.

RFC 9293 sections 3.6 and 3.10.7.4, RFC 1337, RFC 6191.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import rudp
from rudp import linger
from rudp.core.segment import ACK, FIN, RST

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
    engines,
    files,
    free_udp_port,
    kinds,
)
from .udp import until

quiet_loop = peers.quiet_loop

FAST = {"min_rto": 0.01, "initial_rto": 0.01}
ROOT = Path(__file__).parent.parent


@contextlib.asynccontextmanager
async def listening(callback: Any, **config: Any) -> AsyncIterator[rudp.Endpoint]:
    endpoint = await rudp.Endpoint.open((HOST, 0), config=rudp.Config(**config))
    await endpoint.start_server(callback)
    try:
        yield endpoint
    finally:
        endpoint.abort()


async def closed_first(peer: RawPeer, opening: Any) -> tuple[Hand, Stream]:
    """A connection that `opening` has opened and closed first: TIME-WAIT is on its side."""
    connecting = asyncio.create_task(opening)
    hand = await Hand.accept(peer)
    stream = await connecting
    stream[1].close()
    await hand.next(lambda segment: segment.flags & FIN)
    hand.send(ACK)
    await stream[1].wait_closed()
    await hand.fin()
    await hand.peer.next(lambda segment: segment.ack == hand.seq % 2**32)
    return hand, stream


async def test_an_endpoint_that_is_aborted_acknowledges_the_fin_that_it_has_just_got() -> None:
    async with RawPeer.open() as peer, listening(echo) as endpoint:
        connecting = asyncio.create_task(endpoint.open_connection(*peer.addr))
        hand = await Hand.accept(peer)
        _, writer = await connecting
        writer.close()
        await hand.next(lambda segment: segment.flags & FIN)
        hand.send(ACK)
        await writer.wait_closed()
        await hand.fin()
        endpoint.engine.datagrams.drain()
        assert endpoint.engine.time_waits
        endpoint.abort()  # before the turn of the loop in which the ACK would have gone out
        await hand.peer.next(lambda segment: segment.ack == hand.seq % 2**32)


@pytest.mark.parametrize("own", [True, False])
async def test_time_wait_acknowledges_a_late_fin_and_ignores_resets(own: bool) -> None:
    async with RawPeer.open() as peer, listening(echo) as endpoint:
        opening = rudp.open_connection if own else endpoint.open_connection
        hand, _ = await closed_first(peer, opening(*peer.addr))
        assert channels(endpoint) == 0
        for _ in range(3):
            # The connection is long released, and its streams are closed.
            hand.send(FIN | ACK, back=1)
            answer = await peer.next()
            assert (kinds([answer]), answer.seq, answer.ack) == (["."], hand.ack, hand.seq % 2**32)
            hand.send(RST | ACK)  # RFC 1337


async def test_a_forged_fin_neither_prolongs_time_wait_nor_is_answered_each_time() -> None:
    async with RawPeer.open() as peer, listening(echo, msl=0.1) as endpoint:
        hand, _ = await closed_first(peer, endpoint.open_connection(*peer.addr))
        started = time.monotonic()
        while endpoint.engine.time_waits:
            forged = [hand.segment(flags, back=-12345) for flags in (FIN, FIN | ACK)]
            answers = await peer.answers(endpoint.sockname, *forged * 5)
            assert kinds(answers).count(".") <= 1
            assert time.monotonic() - started < 2


async def test_time_wait_is_over_after_two_msl() -> None:
    async with RawPeer.open() as peer, listening(echo, msl=0.05) as endpoint:
        started = time.monotonic()
        hand, _ = await closed_first(peer, endpoint.open_connection(*peer.addr))
        await until(lambda: not endpoint.engine.time_waits)
        assert time.monotonic() - started >= 0.1
        answers = await peer.answers(endpoint.sockname, hand.segment(FIN | ACK, back=1))
        assert kinds(answers) == ["R"]


async def test_the_socket_of_a_connection_is_kept_for_time_wait_and_no_longer() -> None:
    async with RawPeer.open() as peer:
        before = files()
        config = rudp.Config(msl=0.1)
        await closed_first(peer, rudp.open_connection(*peer.addr, config=config))
        assert files() == before + 1
        await until(lambda: files() == before)
        await until(lambda: not engines())


async def test_without_time_wait_the_socket_goes_at_once() -> None:
    accepted = Accepted()
    async with listening(accepted) as endpoint:
        before = files()
        stream = await rudp.open_connection(*endpoint.sockname)
        server_side = await accepted.next()
        await closed(server_side)  # the server closes first: TIME-WAIT is there
        assert await stream[0].read() == b""
        await closed(stream)
        await until(lambda: files() == before)
        await until(lambda: endpoint.engine.time_waits)


async def test_no_more_sockets_are_kept_for_time_wait_than_the_limit() -> None:
    async with listening(echo) as endpoint:
        before = files()
        many = range(linger.MAX_IDLE + 10)
        streams = [await rudp.open_connection(*endpoint.sockname) for _ in many]
        for stream in streams:
            await closed(stream)
        await until(lambda: files() == before + linger.MAX_IDLE)
        # The last ones are those that are kept, so that their peers' last FINs are acknowledged.
        await until(lambda: channels(endpoint) == 0)


def clients_rest() -> bool:
    at_rest = linger.keeper(asyncio.get_running_loop())._idle
    return all(engine in at_rest for engine in engines(collect=False) if engine.connected)


async def test_one_connection_after_another_to_a_peer_uses_one_socket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(linger, "REUSE", math.inf)
    async with listening(echo) as endpoint:
        before = files()
        names = set()
        for _ in range(5):
            stream = await rudp.open_connection(*endpoint.sockname)
            names.add(stream[1].get_extra_info("sockname"))
            await closed(stream)
            await until(clients_rest)
        assert files() == before + 1
        assert len(names) == 5  # by the TCP ports inside
        (engine,) = {engine for engine in engines() if engine.reusable}
        assert len(engine.time_waits) == 5
        # The second of two at a time has a socket of its own, since the first one's is in use.
        streams = [await rudp.open_connection(*endpoint.sockname) for _ in range(2)]
        assert files() == before + 2
        for stream in streams:
            await closed(stream)


async def test_a_socket_serves_no_connection_that_is_not_like_its_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(linger, "REUSE", math.inf)
    async with listening(echo) as endpoint, listening(echo) as other:
        config = rudp.Config()

        async def udp_port(**options: Any) -> int:
            options = {"config": config, "port": endpoint.sockname[1], **options}
            stream = await rudp.open_connection(HOST, **options)
            port: int = stream[1].get_extra_info("udp_sockname")[1]
            await closed(stream)
            await until(clients_rest)
            return port

        ports = [
            await udp_port(local_addr=(HOST, 0)),
            await udp_port(),
            await udp_port(config=rudp.Config(mss=1000)),
            await udp_port(port=other.sockname[1]),
        ]
        assert len(set(ports)) == 4
        assert await udp_port() == ports[1]
        assert await udp_port(config=rudp.Config(mss=1000)) == ports[2]  # an equal one is the same
        monkeypatch.setattr(linger, "REUSE", -1.0)  # too long ago: there may be a better way by now
        assert await udp_port() not in ports


async def test_a_socket_at_rest_for_too_long_does_not_hide_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(linger, "REUSE", math.inf)
    async with listening(echo) as endpoint:
        streams = [await rudp.open_connection(*endpoint.sockname) for _ in range(2)]
        first, _ = (writer.get_extra_info("udp_sockname") for _, writer in streams)
        for stream in streams:
            await closed(stream)
        await until(clients_rest)
        for engine in engines():
            if engine.reusable and engine.datagrams.sockname != first:
                engine.finished_at = -math.inf
        monkeypatch.setattr(linger, "REUSE", 1e9)
        stream = await rudp.open_connection(*endpoint.sockname)
        assert stream[1].get_extra_info("udp_sockname") == first
        await closed(stream)


async def test_no_more_is_remembered_than_max_time_wait() -> None:
    async with RawPeer.open() as peer, listening(echo, max_time_wait=2) as endpoint:
        hands = []
        for _ in range(3):
            hand, _ = await closed_first(peer, endpoint.open_connection(*peer.addr))
            hands.append(hand)
        fins = [hand.segment(FIN | ACK, back=1) for hand in hands]
        answers = await peer.answers(endpoint.sockname, *fins)
        assert kinds(answers) == ["R", ".", "."]  # the oldest has made room


async def test_a_port_in_time_wait_can_be_taken_again_at_once() -> None:
    port = free_udp_port()
    accepted = Accepted()
    for _ in range(3):
        server = await rudp.start_server(accepted, HOST, port)
        stream = await rudp.open_connection(HOST, port)
        server_side = await accepted.next()
        server_side[1].close()
        assert await stream[0].read() == b""
        await closed(stream, server_side)
        server.close()
        await server.wait_closed()


async def test_a_client_that_closed_first_can_come_again_from_the_same_port() -> None:
    local = (HOST, free_udp_port())
    async with listening(echo) as endpoint:
        for _ in range(5):
            stream = await rudp.open_connection(*endpoint.sockname, local_addr=local)
            assert await asked(stream, b"again") == b"again"
            await closed(stream)
            await until(lambda: channels(endpoint) == 0)  # the last ACK came: TIME-WAIT is ours


async def test_a_server_in_time_wait_takes_a_new_connection_of_the_same_ports() -> None:
    # RFC 6191: a newer timestamp says that the SYN is no old duplicate.
    accepted = Accepted()
    ours = await rudp.Endpoint.open((HOST, 0))
    async with listening(accepted) as endpoint:
        for _ in range(5):
            stream = await ours.open_connection(*endpoint.sockname, local_port=1234)
            server_side = await accepted.next()
            await closed(server_side)
            assert await stream[0].read() == b""
            await closed(stream)
            await until(lambda: endpoint.engine.time_waits)
            await asyncio.sleep(0.002)  # the timestamp clock ticks in milliseconds
        ours.abort()


async def test_an_old_transport_does_not_harm_the_connection_that_reused_its_ports() -> None:
    accepted = Accepted()
    ours = await rudp.Endpoint.open((HOST, 0))
    async with listening(accepted) as endpoint:
        first = await ours.open_connection(*endpoint.sockname, local_port=1234)
        old_reader, old_writer = await accepted.next()
        old_writer.write_eof()
        assert await first[0].read() == b""
        await closed(first)
        assert await old_reader.read() == b""  # TIME-WAIT, and nobody has closed it yet
        await asyncio.sleep(0.002)
        second = await ours.open_connection(*endpoint.sockname, local_port=1234)
        new = await accepted.next()
        old_writer.close()
        second[1].write(b"still here")
        assert await new[0].readexactly(10) == b"still here"
        await dropped(second, new)
        ours.abort()


async def test_two_ports_in_our_own_time_wait_cannot_be_opened_again() -> None:
    ours = await rudp.Endpoint.open((HOST, 0), config=rudp.Config(msl=0.05))
    async with listening(echo) as endpoint:
        stream = await ours.open_connection(*endpoint.sockname, local_port=1234)
        await closed(stream)
        with pytest.raises(OSError) as exc:
            await ours.open_connection(*endpoint.sockname, local_port=1234)
        assert peers.in_use(exc)
        await until(lambda: channels(ours) == 0 and not ours.engine.time_waits)
        stream = await ours.open_connection(*endpoint.sockname, local_port=1234)
        await closed(stream)
        ours.abort()


async def test_a_client_can_come_again_from_an_address_that_is_in_the_servers_time_wait() -> None:
    # Its endpoint is a new one each time, but its timestamps go on (RFC 6191).
    accepted = Accepted()
    local = (HOST, free_udp_port())
    config = rudp.Config(connect_timeout=0.5)
    async with listening(accepted) as endpoint:
        for _ in range(10):
            stream = await rudp.open_connection(*endpoint.sockname, local_addr=local, config=config)
            server_side = await accepted.next()
            server_side[1].close()
            assert await stream[0].read() == b""
            await closed(stream, server_side)
            await asyncio.sleep(0.002)


async def test_time_wait_gives_way_to_an_endpoint_that_is_opened_by_name() -> None:
    accepted = Accepted()
    endpoint = await rudp.Endpoint.open((HOST, 0))
    await endpoint.start_server(accepted)
    stream = await rudp.open_connection(*endpoint.sockname)
    server_side = await accepted.next()
    server_side[1].close()
    await closed(stream, server_side)
    endpoint.close()
    await endpoint.wait_closed()
    again = await rudp.Endpoint.open(("localhost", endpoint.sockname[1]), family=socket.AF_INET)
    again.abort()


async def test_a_server_starts_again_at_once_though_a_client_has_not_closed() -> None:
    accepted = Accepted()
    server = await rudp.start_server(accepted, HOST, 0)
    port = server.sockets[0].getsockname()[1]
    stream = await rudp.open_connection(HOST, port)
    theirs = await accepted.next()  # a stream that nobody holds closes itself
    server.close()
    server.close_clients()
    await server.wait_closed()  # our FIN is acknowledged; FIN-WAIT-2 it is, and nobody reads
    async with await rudp.start_server(accepted, HOST, port):
        await dropped(stream, theirs)
