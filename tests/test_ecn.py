"""ECN between sockets: the field of the IP header goes out and comes in (RFC 3168 section 5)."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest

import rudp
from rudp.datagrams import Address, bind_socket, connect_socket
from rudp.ecn import EcnField
from rudp.loop_datagrams import open_loop_datagrams

from . import peers, udp
from .peers import HOST, Accepted, closed
from .udp import LOCALHOST, Recorder, linux_only, needs_ipv6, pairs, until

open_own = udp.open_own

quiet_loop = peers.quiet_loop

pytestmark = linux_only

FAMILIES = [
    pytest.param(socket.AF_INET, LOCALHOST, id="IPv4"),
    pytest.param(socket.AF_INET6, ("::1", 0), id="IPv6", marks=needs_ipv6),
]
TOS = {
    socket.AF_INET: (socket.IPPROTO_IP, socket.IP_TOS),
    socket.AF_INET6: (socket.IPPROTO_IPV6, socket.IPV6_TCLASS),
}
RECEIVE = {
    socket.AF_INET: (socket.IPPROTO_IP, 13),
    socket.AF_INET6: (socket.IPPROTO_IPV6, 66),
}
CE = 3


class Marks(Recorder):
    """Writes down which batches came marked, too."""

    def __init__(self) -> None:
        super().__init__()
        self.marked: list[bool] = []

    def datagrams_received(
        self, datagrams: list[tuple[bytes, Address]], now: float, ce: bool = False
    ) -> None:
        super().datagrams_received(datagrams, now)
        self.marked += [ce] * len(datagrams)


@pytest.mark.parametrize(("family", "local"), FAMILIES)
@pytest.mark.parametrize("offload", [True, False])
async def test_what_a_router_marked_is_told_apart_and_stays_in_order(
    open_own: Any, family: int, local: Any, offload: bool
) -> None:
    b = Marks()
    right = open_own(bind_socket(family, local), b, offload=offload)
    assert right.ecn
    with connect_socket(family, right.sockname) as left:
        for number, field in enumerate((0, 2, CE, CE, 0, 2, CE)):
            left.setsockopt(*TOS[socket.AddressFamily(family)], field)
            left.send(b"%d" % number)
        await until(lambda: len(b.received) == 7)
    assert b.received == [b"%d" % number for number in range(7)]
    assert b.marked == [False, False, True, True, False, False, True]


@pytest.mark.parametrize(("family", "local"), FAMILIES)
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("ect", [False, True])
async def test_what_may_be_marked_says_so(
    open_own: Any, family: int, local: Any, count: int, ect: bool
) -> None:
    with bind_socket(family, local) as right:
        right.setsockopt(*RECEIVE[socket.AddressFamily(family)], 1)
        left = open_own(connect_socket(family, right.getsockname()), Recorder())
        left.send(pairs(*[b"same size"] * count), None, ect)
        for _ in range(count):
            _, ((_, _, value),), _, _ = right.recvmsg(100, socket.CMSG_SPACE(4))
            assert value[0] == (2 if ect else 0)


async def test_what_waited_for_the_socket_keeps_its_field(open_own: Any) -> None:
    # A connected pair whose sending side is full: what is kept goes out later, and as it was.
    with bind_socket(socket.AF_INET, LOCALHOST) as right:
        right.setsockopt(*RECEIVE[socket.AF_INET], 1)
        left = open_own(connect_socket(socket.AF_INET, right.getsockname()), Recorder())
        left._kept, left._kept_ect = pairs(b"kept"), True
        left._push_kept()
        _, ((_, _, value),), _, _ = right.recvmsg(100, socket.CMSG_SPACE(4))
        assert value[0] == 2


async def test_the_loops_own_transport_gives_no_access() -> None:
    loop = asyncio.get_running_loop()
    layer = await open_loop_datagrams(loop, bind_socket(socket.AF_INET, LOCALHOST), Recorder())
    assert not layer.ecn
    layer.abort()


async def test_connections_agree_on_it_and_deliver_through_a_link_that_marks_everything() -> None:
    accepted = Accepted()
    async with await rudp.start_server(accepted, HOST, 0) as server:
        engine = server._endpoints[0].engine
        taken = engine.datagrams_received

        def marked(datagrams: Any, now: float, ce: bool = False) -> None:
            taken(datagrams, now, ce=True)

        layer: Any = engine.datagrams
        layer._receiver = _Marking(engine, marked)
        stream = await rudp.open_connection(HOST, server.sockets[0].getsockname()[1])
        theirs = await accepted.next()
        for _, writer in (stream, theirs):
            assert "ecn" in writer.get_extra_info("tcp_info").options
        stream[1].write(bytes(1 << 20))
        stream[1].write_eof()
        assert len(await theirs[0].read()) == 1 << 20
        assert stream[1].get_extra_info("tcp_info").total_retrans == 0
        await closed(stream, theirs)


class _Marking:
    """An engine for which every datagram comes with CE."""

    def __init__(self, engine: Any, received: Callable[..., None]) -> None:
        self.error_received = engine.error_received
        self.writable = engine.writable
        self.datagrams_received = received


def test_the_field_is_read_from_a_byte_and_from_an_int() -> None:
    assert EcnField(False).is_ce(socket.IP_TOS, b"\x03")
    assert not EcnField(False).is_ce(socket.IP_TOS, b"\x02")
    assert EcnField(True).is_ce(socket.IPV6_TCLASS, struct.pack("=i", 3))
    assert not EcnField(True).is_ce(socket.IP_TOS, b"\x03")
