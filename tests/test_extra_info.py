"""What a connection tells about itself: get_extra_info, the view of its socket, tcp_info."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import weakref
from collections.abc import AsyncIterator

import pytest

import rudp

from . import peers
from .peers import (
    HOST,
    asked,
    closed,
    echo,
    opened,
)

quiet_loop = peers.quiet_loop


@contextlib.asynccontextmanager
async def a_connection() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    async with opened() as endpoint:
        await endpoint.start_server(echo)
        stream = await rudp.open_connection(*endpoint.sockname)
        yield stream
        await closed(stream)


async def test_get_extra_info_has_both_pairs_of_addresses() -> None:
    async with a_connection() as (_, writer):
        info = writer.get_extra_info
        host, inner = info("sockname")
        assert host == HOST
        assert inner >= 32768
        assert info("udp_sockname")[0] == HOST
        assert info("peername") == info("udp_peername")
        assert info("sslcontext") is None
        assert info("no such thing", "default") == "default"


async def test_the_socket_is_a_view_that_looks_like_tcp() -> None:
    async with a_connection() as (_, writer):
        view = writer.get_extra_info("socket")
        assert (view.family, view.type) == (socket.AF_INET, socket.SOCK_STREAM)
        assert view.proto == socket.IPPROTO_TCP
        assert view.getsockname() == writer.get_extra_info("sockname")
        assert view.getpeername() == writer.get_extra_info("peername")
        assert view.fileno() == -1
        nodelay = (socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert view.getsockopt(*nodelay) == 1
        view.setsockopt(*nodelay, 0)
        assert view.getsockopt(*nodelay) == 0
        view.setsockopt(*nodelay, True)
        assert view.getsockopt(*nodelay) == 1
        assert view.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_STREAM
        assert view.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        assert str(view.getsockname()) in repr(view)


@pytest.mark.parametrize("call", ["getsockopt", "setsockopt"])
async def test_a_socket_option_that_does_not_exist_is_refused_with_advice(call: str) -> None:
    async with a_connection() as (_, writer):
        arguments = [socket.SOL_SOCKET, socket.SO_KEEPALIVE]
        if call == "setsockopt":
            arguments.append(1)
        with pytest.raises(OSError, match=r"rudp\.Config") as exc:
            getattr(writer.get_extra_info("socket"), call)(*arguments)
        assert exc.value.errno == errno.ENOPROTOOPT


async def test_tcp_info_counts_what_went_both_ways() -> None:
    async with a_connection() as stream:
        writer = stream[1]
        before = writer.get_extra_info("tcp_info")
        assert isinstance(before, rudp.TcpInfo)
        assert before.state is rudp.State.ESTABLISHED
        assert before.options == ("timestamps", "sack", "wscale", "ecn")
        assert 0 < before.rtt < 1
        assert before.rto >= 0.2
        assert (before.bytes_sent, before.bytes_received) == (0, 0)
        await asked(stream, b"x" * 10_000)
        after = writer.get_extra_info("tcp_info")
        assert (after.bytes_sent, after.bytes_acked, after.bytes_received) == (10_000,) * 3
        assert (after.unacked, after.notsent_bytes, after.retrans, after.total_retrans) == (0,) * 4
        assert after.segs_out > before.segs_out
        assert after.segs_in > before.segs_in
        assert after.snd_cwnd >= 10 * 1000
        assert 10_000 < after.snd_mss <= 65535  # what loopback's MTU leaves
        assert after.min_rtt <= after.rtt * 2
        assert before.bytes_sent == 0  # a snapshot


async def test_tcp_info_outlives_the_connection() -> None:
    async with a_connection() as stream:
        await asked(stream, b"hello")
        await closed(stream)
        info = stream[1].get_extra_info("tcp_info")
        assert info.state is not rudp.State.ESTABLISHED
        assert (info.bytes_acked, info.bytes_received) == (5, 5)


async def test_endpoints_and_transports_show_what_they_are() -> None:
    async with opened() as endpoint:
        assert repr(endpoint) == f"<Endpoint {endpoint.sockname}>"
        await endpoint.start_server(echo)
        stream = await rudp.open_connection(*endpoint.sockname)
        shown = repr(stream[1].transport)
        assert str(stream[1].get_extra_info("sockname")) in shown
        assert str(endpoint.sockname) in shown
        await closed(stream)


async def test_a_transport_can_be_looked_at_and_referred_to_as_any_object() -> None:
    async with a_connection() as (_, writer):
        transport = writer.transport
        assert isinstance(transport, asyncio.Transport)
        assert weakref.ref(transport)() is transport
        assert transport._extra == {}  # type: ignore[attr-defined]
