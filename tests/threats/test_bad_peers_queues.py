"""Row 15: queues that a peer can make grow stop at the caps that `rudp.limits` gives."""

from __future__ import annotations

import asyncio
import inspect
import socket
from typing import Any

import pytest

import rudp
from rudp import routes
from rudp.channel import PIECE
from rudp.core.connection import MAX_ANSWERS, open_active, open_passive
from rudp.core.pmtud import PathMtu
from rudp.core.segment import ACK, SYN, Segment
from rudp.datagram_layer import NOBODY
from rudp.datagrams import MAX_GSO_REFUSALS, Datagrams, open_datagrams
from rudp.local_addresses import MAX_PEERS, LocalAddresses
from rudp.sockets import bind_socket
from tests import peers
from tests.peers import HOST, Accepted, closed
from tests.threats.flooding import FIRST, Server
from tests.udp import until

quiet_loop = peers.quiet_loop


def test_threat_15_answers_do_not_pile_up_in_a_connection_that_opens() -> None:
    # The socket takes nothing, so nobody asks for segments.
    syn = Segment(1, 2, 100, 0, SYN, 65535)
    options = {"iss": 2**32 - 9, "now": 1.0, "mss": 1460}
    passive = open_passive(rudp.Config(), syn=syn, **options)  # type: ignore[arg-type]
    active = open_active(rudp.Config(), local_port=1, peer_port=2, **options)  # type: ignore[arg-type]
    for number in range(1000):
        passive.receive(Segment(1, 2, 101, 7 + number, ACK, 65535), 1.0)
        active.receive(Segment(2, 1, 0, 7 + number, ACK, 65535), 1.0)
    assert len(passive.out) == len(active.out) == MAX_ANSWERS
    active.end(None)
    for number in range(1000):
        active.receive(Segment(2, 1, 0, 7 + number, ACK, 65535), 1.0)
    assert len(active.out) == MAX_ANSWERS
    assert len(active.segments_to_send(1.0)) == MAX_ANSWERS
    assert len(active.events) <= 2


def test_threat_15_what_sack_blocks_have_told_is_sixteen_at_most() -> None:
    s = Server(0)
    for at in range(1, 4000, 2):
        s.c.receive(Segment(1, 2, 78 + at, FIRST, ACK, 9, b"x", ts_val=1, ts_ecr=0), s.now)
    assert len(s.c.rcv._held._recent) == 16


def test_threat_15_no_more_is_in_flight_than_the_send_buffer() -> None:
    s = Server(10, send_buffer=20_000)
    for at in range(1, 40):  # it acknowledges nothing but the first, and has a window for all
        s.c.write(b"y" * 1000)
        s.ack(1)
        assert s.c.snd.flight_size <= 20_000, at
    assert s.c.snd.unsent > 20_000


async def test_threat_15_a_stream_that_nobody_reads_holds_what_it_may() -> None:
    accepted = Accepted()
    config = rudp.Config(receive_buffer=1 << 16)
    server = await rudp.start_server(accepted, HOST, 0, config=config, limit=4096)
    port = server.sockets[0].getsockname()[1]
    stream = await rudp.open_connection(HOST, port)
    ours = await accepted.next()
    stream[1].write(bytes(1 << 20))
    transport: Any = ours[1].transport
    await until(lambda: transport._channel.connection.readable > (1 << 16) - 5000)
    reader: Any = ours[0]
    assert reader._chunks.size <= 2 * 4096 + PIECE
    assert transport._channel.connection.readable <= 1 << 16
    stream[1].transport.abort()
    ours[1].transport.abort()
    server.close()
    await server.wait_closed()


async def test_threat_15_a_socket_that_takes_nothing_makes_no_queue_of_datagrams() -> None:
    accepted = Accepted()
    endpoint = await rudp.Endpoint.open((HOST, 0))
    await endpoint.start_server(accepted, 80)
    stream = await rudp.open_connection(HOST, 80, udp_port=endpoint.sockname[1])
    ours = await accepted.next()
    engine = endpoint.engine
    engine.datagrams.blocked = True
    for _ in range(50):
        stream[1].write(b"?" * 100)
        ours[1].write(b"!" * 1000)
        await asyncio.sleep(0.0005)
    assert (len(engine._unsent), len(engine._stalled), len(engine._touched)) == (0, 1, 0)
    engine.datagrams.blocked = False
    engine.writable()
    assert await stream[0].readexactly(50_000) == b"!" * 50_000
    await closed(stream, ours)
    endpoint.abort()


def test_threat_15_routes_are_known_to_so_many_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "path_mtu", lambda *_: 1500)
    known = routes.Routes(socket.AF_INET, True)
    path = PathMtu(1188, 1440, 12)
    path.size = 1400
    for number in range(3000):
        addr = (f"10.0.{number // 256}.{number % 256}", 9)
        known.mss(addr)
        known.learn(addr, path)
    assert 0 < len(known._mtus) <= routes.MAX_HOSTS
    assert 0 < len(known._found) <= routes.MAX_HOSTS
    assert inspect.unwrap(routes._is_group) is not routes._is_group  # a cache with a limit
    assert routes._is_group.cache_info().maxsize == routes.MAX_HOSTS


@pytest.mark.skipif(not hasattr(socket, "CMSG_SPACE"), reason="no ancillary data here")
def test_threat_15_our_address_is_known_for_so_many_peers() -> None:
    known = LocalAddresses(socket.AF_INET)
    for number in range(MAX_PEERS + 500):
        known.note((f"10.0.{number // 256}.{number % 256}", 9), socket.IPPROTO_IP, 8, bytes(12))
    assert len(known._answers) == MAX_PEERS


async def test_threat_15_so_many_peers_that_took_no_gso_are_known() -> None:
    loop = asyncio.get_running_loop()
    layer = await open_datagrams(loop, bind_socket(socket.AF_INET, (HOST, 0)), NOBODY)
    assert isinstance(layer, Datagrams)
    for number in range(3 * MAX_GSO_REFUSALS):
        layer._refuse_gso((HOST, number))
    assert 0 < len(layer._gso_refused) <= MAX_GSO_REFUSALS
    layer.close()
