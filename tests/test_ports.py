"""Addresses and ports: the outer ones, which are UDP's, and the inner ones, which are TCP's."""

from __future__ import annotations

import itertools
import socket

import pytest

import rudp
from rudp.core.segment import CWR, ECE, SYN

from . import peers
from .peers import (
    HOST,
    Accepted,
    Watch,
    asked,
    closed,
    echo,
    free_udp_port,
    in_use,
    opened,
)
from .udp import needs_ipv6

quiet_loop = peers.quiet_loop


# -- ports, the outer and the inner --------------------------------------------------------------


async def test_the_udp_port_may_differ_from_the_tcp_port() -> None:
    accepted, udp_port = Accepted(), free_udp_port()
    async with await rudp.start_server(accepted, HOST, 80, udp_port=udp_port) as server:
        assert server.sockets[0].getsockname() == (HOST, 80)
        stream = await rudp.open_connection(HOST, 80, udp_port=udp_port)
        theirs = await accepted.next()
        assert stream[1].get_extra_info("peername") == (HOST, 80)
        assert stream[1].get_extra_info("udp_peername") == (HOST, udp_port)
        assert theirs[1].get_extra_info("sockname") == (HOST, 80)
        assert theirs[1].get_extra_info("udp_sockname") == (HOST, udp_port)
        with pytest.raises(ConnectionRefusedError):
            await rudp.open_connection(HOST, 81, udp_port=udp_port)
        await closed(stream, theirs)


async def test_udp_port_0_lets_the_system_choose() -> None:
    async with await rudp.start_server(echo, HOST, 7, udp_port=0) as server:
        assert server.sockets[0].getsockname() == (HOST, 7)
        ((_, udp_port),) = [endpoint.sockname for endpoint in server._endpoints]
        assert udp_port >= 1024
        stream = await rudp.open_connection(HOST, 7, udp_port=udp_port)
        assert await asked(stream, b"seven") == b"seven"
        await closed(stream)


@needs_ipv6
async def test_port_0_is_the_same_on_all_addresses() -> None:
    hosts = [HOST, "127.0.0.2", "::1"]
    async with await rudp.start_server(echo, hosts, 0) as server:
        names = [each.getsockname() for each in server.sockets]
        assert [name[0] for name in names] == hosts
        (port,) = {name[1] for name in names}
        assert port != 0
        for host in hosts:
            stream = await rudp.open_connection(host, port)
            assert await asked(stream, host.encode()) == host.encode()
            await closed(stream)


async def test_a_clients_tcp_port_is_ephemeral_and_random() -> None:
    # RFC 6056: from the dynamic range, and not one after the other.
    watch = Watch()
    async with opened() as live, opened(tap=watch) as endpoint:
        for _ in range(60):
            with pytest.raises(ConnectionRefusedError):
                await endpoint.open_connection(*live.sockname)
        ports = [segment.src_port for way, segment, _ in watch.seen if way == ">"]
    assert len(ports) == 60
    assert all(32768 <= port <= 65535 for port in ports)
    assert len(set(ports)) > 50
    # 60 random ports lie in one half of the range once in 2**59 runs.
    assert min(ports) < 57344 <= max(ports)
    steps = {later - earlier for earlier, later in itertools.pairwise(ports)}
    assert len(steps) > 40


async def test_the_initial_numbers_of_one_connection_tell_nothing_about_the_next() -> None:
    watch = Watch()
    async with opened() as live, opened(tap=watch) as endpoint:
        for _ in range(40):
            with pytest.raises(ConnectionRefusedError):
                await endpoint.open_connection(*live.sockname)
    syns = [segment for way, segment, _ in watch.seen if way == ">"]
    for numbers in ([syn.seq for syn in syns], [syn.ts_val or 0 for syn in syns]):
        # RFC 6528: each pair of ports has an offset of its own, anywhere in 32 bits.
        assert len({number >> 24 for number in numbers}) > 20


async def test_a_clients_tcp_port_can_be_chosen() -> None:
    accepted = Accepted()
    async with opened() as ours, opened() as theirs:
        await theirs.start_server(accepted)
        stream = await ours.open_connection(*theirs.sockname, local_port=1234)
        server_side = await accepted.next()
        assert stream[1].get_extra_info("sockname") == (HOST, 1234)
        assert server_side[1].get_extra_info("peername") == (HOST, 1234)
        await closed(stream, server_side)


async def test_the_port_of_local_addr_is_the_tcp_port_too() -> None:
    port = free_udp_port()
    async with opened() as endpoint:
        await endpoint.start_server(echo)
        stream = await rudp.open_connection(*endpoint.sockname, local_addr=(HOST, port))
        assert stream[1].get_extra_info("sockname") == (HOST, port)
        assert stream[1].get_extra_info("udp_sockname") == (HOST, port)
        await closed(stream)


async def test_ports_in_use_are_an_error() -> None:
    async with opened() as ours, opened() as theirs:
        await theirs.start_server(echo, 80)
        with pytest.raises(OSError) as exc:
            await theirs.start_server(echo, 80)
        assert in_use(exc)
        with pytest.raises(OSError) as exc:
            await rudp.Endpoint.open((HOST, theirs.sockname[1]))
        assert in_use(exc)
        assert f"'{HOST}', {theirs.sockname[1]}" in str(exc.value)
        async with await ours.start_server(echo):
            stream = await theirs.open_connection(*ours.sockname, local_port=1234)
            with pytest.raises(OSError) as exc:
                await theirs.open_connection(*ours.sockname, local_port=1234)
            assert in_use(exc)
            assert "1234" in str(exc.value)
            await closed(stream)


async def test_the_same_tcp_port_serves_connections_to_different_peers() -> None:
    async with opened() as ours, opened() as one, opened() as other:
        await one.start_server(echo, 80)
        await other.start_server(echo, 80)
        left = await ours.open_connection(HOST, 80, udp_port=one.sockname[1], local_port=9)
        right = await ours.open_connection(HOST, 80, udp_port=other.sockname[1], local_port=9)
        assert await asked(left, b"left") == b"left"
        assert await asked(right, b"right") == b"right"
        await closed(left, right)


# -- sockets of the user's -----------------------------------------------------------------------


async def test_an_endpoint_takes_a_bound_socket() -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((HOST, 0))
    name = sock.getsockname()
    endpoint = await rudp.Endpoint.open(sock=sock)
    assert endpoint.sockname == name
    await endpoint.start_server(echo)
    stream = await rudp.open_connection(*name)
    assert await asked(stream, b"mine") == b"mine"
    await closed(stream)
    endpoint.abort()
    assert sock.fileno() == -1


async def test_a_server_takes_a_bound_socket_and_a_client_a_connected_one() -> None:
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    bound.bind((HOST, 0))
    async with await rudp.start_server(echo, sock=bound) as server:
        port = server.sockets[0].getsockname()[1]
        for options in ({}, {"port": port}):
            connected = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            connected.connect((HOST, port))
            stream = await rudp.open_connection(sock=connected, **options)
            assert stream[1].get_extra_info("udp_sockname") == connected.getsockname()
            assert await asked(stream, b"mine") == b"mine"
            await closed(stream)


async def test_a_connected_socket_reaches_another_tcp_port() -> None:
    async with opened() as endpoint:
        await endpoint.start_server(echo, 80)
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.connect(endpoint.sockname)
        stream = await rudp.open_connection(port=80, sock=sock)
        assert stream[1].get_extra_info("peername") == (HOST, 80)
        await closed(stream)


async def test_a_socket_of_the_wrong_kind_is_refused_and_left_open() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp:
        with pytest.raises(ValueError, match="UDP socket"):
            await rudp.Endpoint.open(sock=tcp)
        assert tcp.fileno() != -1
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as unix:
        with pytest.raises(ValueError, match="AF_INET"):
            await rudp.start_server(echo, sock=unix)
        assert unix.fileno() != -1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind((HOST, 0))
        with pytest.raises(ValueError, match=r"rudp\.Endpoint\.open"):
            await rudp.open_connection(sock=bound)
        assert bound.fileno() != -1


# -- addresses -----------------------------------------------------------------------------------


@needs_ipv6
async def test_an_endpoint_speaks_ipv6() -> None:
    accepted = Accepted()
    async with opened("::1") as ours, opened("::1") as theirs:
        await theirs.start_server(accepted)
        host, port = theirs.sockname[:2]
        stream = await ours.open_connection(host, port)
        server_side = await accepted.next()
        name = stream[1].get_extra_info("sockname")
        assert (name[0], len(name)) == ("::1", 4)
        assert stream[1].get_extra_info("peername") == ("::1", port, 0, 0)
        assert server_side[1].get_extra_info("peername") == name
        assert stream[1].get_extra_info("socket").family == socket.AF_INET6
        stream[1].write(b"six")
        assert await server_side[0].readexactly(3) == b"six"
        with pytest.raises(OSError):
            await ours.open_connection(HOST, port)
        await closed(stream, server_side)


@needs_ipv6
async def test_ipv6_leaves_twenty_bytes_less_for_a_segment() -> None:
    watch = Watch()
    async with opened("::1", tap=watch) as six, opened(tap=watch) as four:
        for endpoint in (six, four):
            with pytest.raises(ConnectionRefusedError):
                await endpoint.open_connection(*endpoint.sockname[:2])
    syns = [s for way, s, _ in watch.seen if way == ">" and s.flags & ~(ECE | CWR) == SYN]
    first, second = (syn.mss for syn in syns)
    # IP header, UDP header, TCP header: 40 + 8 + 20 and 20 + 8 + 20.
    assert first is not None
    assert second is not None
    assert second - first == 20


async def test_without_an_address_an_endpoint_is_on_all_of_ipv4() -> None:
    endpoint = await rudp.Endpoint.open()
    assert endpoint.sockname[0] == "0.0.0.0"
    await endpoint.start_server(echo)
    stream = await rudp.open_connection(HOST, endpoint.sockname[1])
    assert await asked(stream, b"any") == b"any"
    await closed(stream)
    endpoint.abort()


async def test_a_shared_port_is_shared_on_request() -> None:
    async with opened(reuse_port=True) as one:
        other = await rudp.Endpoint.open(one.sockname, reuse_port=True)
        assert other.sockname == one.sockname
        other.abort()
