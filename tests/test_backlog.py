"""Limits on who comes: the backlog of half-open connections, a flood of SYNs, max_connections."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

import rudp
from rudp.core.segment import ACK, RST, SYN, Segment

from . import peers
from .peers import HOST, ISS, Accepted, RawPeer, asked, channels, closed, dropped, echo, kinds
from .udp import until

quiet_loop = peers.quiet_loop

FAST = {"min_rto": 0.01, "initial_rto": 0.01}
"""What makes a handshake that nobody completes end within a test."""

NO_WAIT = rudp.Config(connect_timeout=0.1, **FAST)


@contextlib.asynccontextmanager
async def listening(
    callback: Any = echo, *, backlog: int | None = None, **config: Any
) -> AsyncIterator[rudp.Endpoint]:
    """An endpoint with a server on the TCP port of its own number."""
    endpoint = await rudp.Endpoint.open((HOST, 0), config=rudp.Config(**config))
    await endpoint.start_server(callback, backlog=backlog)
    try:
        yield endpoint
    finally:
        endpoint.abort()


def syns(endpoint: rudp.Endpoint, count: int, first: int = 10_000) -> list[Segment]:
    """SYNs from that many TCP ports of one peer."""
    port = endpoint.sockname[1]
    return [Segment(first + i, port, ISS, 0, SYN, 65535) for i in range(count)]


def completed(syn_ack: Segment) -> Segment:
    """The ACK that ends this handshake."""
    ack = (syn_ack.seq + 1) % 2**32
    return Segment(syn_ack.dst_port, syn_ack.src_port, syn_ack.ack, ack, ACK, 65535)


async def test_no_more_handshakes_are_kept_than_the_backlog_allows() -> None:
    async with listening(backlog=3) as endpoint, RawPeer.open() as peer:
        answers = await peer.answers(endpoint.sockname, *syns(endpoint, 10))
        assert kinds(answers) == ["S."] * 10  # the last seven are SYN cookies
        assert {key[2] for key in endpoint.engine._channels} == {10_000, 10_001, 10_002}


async def test_the_backlog_is_the_configs_unless_given() -> None:
    endpoint = await rudp.Endpoint.open((HOST, 0), config=rudp.Config(backlog=2))
    await endpoint.start_server(echo)
    async with RawPeer.open() as peer:
        await peer.answers(endpoint.sockname, *syns(endpoint, 10))
        assert channels(endpoint) == 2
    endpoint.abort()


async def test_start_server_has_a_backlog_as_asyncios_has() -> None:
    server = await rudp.start_server(echo, HOST, 0, backlog=2)
    addr = server.sockets[0].getsockname()
    ((_, listener),) = server._listening
    async with RawPeer.open() as peer:
        segments = [Segment(10_000 + i, addr[1], ISS, 0, SYN, 65535) for i in range(5)]
        answers = await peer.answers(addr, *segments)
        assert listener.half_open == 2
        # An honest peer that gives up says so, and its place is free.
        resets = [Segment(s.dst_port, addr[1], ISS + 1, 0, RST, 0) for s in answers]
        await peer.answers(addr, *resets)
        assert listener.half_open == 0
        await peer.answers(addr, *segments)
        assert listener.half_open == 2
        await peer.answers(addr, *resets)
    server.close()
    await server.wait_closed()


async def test_a_handshake_that_completes_makes_room_for_another() -> None:
    accepted = Accepted()
    async with listening(accepted, backlog=2) as endpoint, RawPeer.open() as peer:
        addr = endpoint.sockname
        first, second, third = syns(endpoint, 3)
        syn_acks = await peer.answers(addr, first, second, third)
        assert channels(endpoint) == 2
        await peer.answers(addr, completed(syn_acks[0]))
        stream = await accepted.next()
        await peer.answers(addr, third)
        assert channels(endpoint) == 3
        await dropped(stream)


async def test_a_syn_that_comes_again_takes_no_second_place() -> None:
    async with listening(backlog=2) as endpoint, RawPeer.open() as peer:
        first, second = syns(endpoint, 2)
        await peer.answers(endpoint.sockname, *[first] * 20)
        assert channels(endpoint) == 1
        (answer,) = await peer.answers(endpoint.sockname, second)
        assert answer.dst_port == second.src_port


async def test_the_backlog_of_one_server_is_not_that_of_another() -> None:
    async with listening(backlog=1) as endpoint, RawPeer.open() as peer:
        await endpoint.start_server(echo, 80, backlog=1)
        await peer.answers(endpoint.sockname, *syns(endpoint, 5))
        stream = await rudp.open_connection(HOST, 80, udp_port=endpoint.sockname[1])
        assert await asked(stream, b"free") == b"free"
        await closed(stream)


async def test_a_handshake_that_nobody_completes_is_given_up() -> None:
    async with (
        listening(backlog=2, syn_ack_retransmissions=2, **FAST) as endpoint,
        RawPeer.open() as peer,
    ):
        peer.send(endpoint.sockname, syns(endpoint, 1)[0])
        await until(lambda: channels(endpoint) == 1)
        await until(lambda: channels(endpoint) == 0)
        await peer.fence(endpoint.sockname)
        # The SYN-ACK, twice again, and not a word more.
        assert kinds(peer.received) == ["S."] * 3
        stream = await rudp.open_connection(*endpoint.sockname)
        await closed(stream)


async def test_the_ack_of_a_handshake_that_was_given_up_is_refused() -> None:
    async with (
        listening(syn_ack_retransmissions=0, **FAST) as endpoint,
        RawPeer.open() as peer,
    ):
        (syn_ack,) = await peer.answers(endpoint.sockname, syns(endpoint, 1)[0])
        await until(lambda: channels(endpoint) == 0)
        ack = completed(syn_ack)
        (reset,) = await peer.answers(endpoint.sockname, ack)
        assert (kinds([reset]), reset.seq) == (["R"], ack.ack)


async def test_a_flood_of_syns_leaves_everybody_else_alone() -> None:
    rng = random.Random(7)
    async with (
        listening(backlog=64, syn_ack_retransmissions=0, min_rto=0.1, initial_rto=0.1) as endpoint,
        RawPeer.open() as one,
        RawPeer.open() as other,
    ):
        port = endpoint.sockname[1]
        stream = await rudp.open_connection(*endpoint.sockname)
        assert await asked(stream, b"before") == b"before"  # the handshake is complete
        largest = 0
        for round_ in range(40):
            for peer in (one, other):
                flood = [
                    Segment(rng.randrange(2, 65536), port, rng.randrange(2**32), 0, SYN, 65535)
                    for _ in range(50)
                ]
                peer.send(endpoint.sockname, *flood)
            question = b"%d" % round_ * 50
            assert await asked(stream, question) == question
            largest = max(largest, channels(endpoint))
        assert 1 < largest <= 64 + 1
        # It is over: those who come are served again as soon as the half-open ones are given up.
        await until(lambda: channels(endpoint) == 1)
        newcomer = await rudp.open_connection(*endpoint.sockname)
        assert await asked(newcomer, b"served") == b"served"
        await closed(stream, newcomer)


async def test_a_client_is_served_at_once_though_the_backlog_is_full() -> None:
    async with listening(backlog=1) as endpoint, RawPeer.open() as peer:
        await peer.answers(endpoint.sockname, syns(endpoint, 1)[0])
        assert channels(endpoint) == 1
        stream = await rudp.open_connection(*endpoint.sockname)
        assert await asked(stream, b"at once") == b"at once"
        assert stream[1].get_extra_info("tcp_info").total_retrans == 0
        await closed(stream)


async def test_an_endpoint_serves_no_more_than_max_connections() -> None:
    async with listening(max_connections=2) as endpoint:
        first = await rudp.open_connection(*endpoint.sockname)
        second = await rudp.open_connection(*endpoint.sockname)
        with pytest.raises(TimeoutError):
            await rudp.open_connection(*endpoint.sockname, config=NO_WAIT)
        await closed(first)
        await until(lambda: channels(endpoint) == 1)
        third = await rudp.open_connection(*endpoint.sockname)
        assert await asked(third, b"room") == b"room"
        await closed(second, third)


async def test_an_endpoint_opens_no_more_than_max_connections() -> None:
    config = rudp.Config(max_connections=2)
    ours = await rudp.Endpoint.open((HOST, 0), config=config)
    async with listening() as theirs:
        streams = [await ours.open_connection(*theirs.sockname) for _ in range(2)]
        with pytest.raises(OSError, match="max_connections") as exc:
            await ours.open_connection(*theirs.sockname)
        assert exc.value.errno == errno.ENOBUFS
        await closed(*streams)
        stream = await ours.open_connection(*theirs.sockname)
        await closed(stream)
        ours.abort()


async def test_time_wait_does_not_count_as_a_connection() -> None:
    ours = await rudp.Endpoint.open((HOST, 0), config=rudp.Config(max_connections=1))
    async with listening() as theirs:
        for _ in range(5):
            stream = await ours.open_connection(*theirs.sockname)
            await closed(stream)  # we close first: TIME-WAIT is ours
            await until(lambda: channels(ours) == 0)
        ours.abort()


async def test_a_hundred_clients_at_once_are_within_the_default_backlog() -> None:
    async with listening() as endpoint:
        streams = await asyncio.gather(
            *(rudp.open_connection(*endpoint.sockname) for _ in range(100))
        )
        for _, writer in streams:
            assert writer.get_extra_info("tcp_info").total_retrans == 0
        await dropped(*streams)
