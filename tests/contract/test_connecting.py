"""Opening connections and servers: addresses, names and arguments, and every way it can fail."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import socket
from typing import Any

import pytest

from .net import HOST, Net, Recorder, connected, port_of, streams

pytestmark = pytest.mark.filterwarnings("error::ResourceWarning")


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")


async def converses(net: Net, host: str, port: int, **options: Any) -> bool:
    """Whether an echoing server answers there."""
    transport, client = await net.create_connection(Recorder, host, port, **options)
    transport.write(b"hello")
    await client.received(b"hello")
    transport.close()
    await client.until("lost")
    return True


class Echo(Recorder):
    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


async def test_a_port_at_which_nobody_listens_refuses(net: Net) -> None:
    host, port = net.refusing_address()
    with pytest.raises(ConnectionRefusedError) as caught:
        await net.open_connection(host, port)
    assert caught.value.errno == errno.ECONNREFUSED
    with pytest.raises(ConnectionRefusedError):
        await net.create_connection(Recorder, host, port)


async def test_a_refused_connection_never_calls_its_protocol(net: Net) -> None:
    protocol = Recorder()
    with pytest.raises(ConnectionRefusedError):
        await net.create_connection(lambda: protocol, *net.refusing_address())
    assert protocol.events == []


async def test_the_name_localhost_resolves(net: Net) -> None:
    server = await net.create_server(Echo, HOST, 0)
    assert await converses(net, "localhost", port_of(server), family=socket.AF_INET)
    server.close()


async def test_a_port_may_be_given_as_text(net: Net) -> None:
    server = await net.create_server(Echo, HOST, 0)
    assert await converses(net, HOST, str(port_of(server)))  # type: ignore[arg-type]
    server.close()


@pytest.mark.parametrize("host", [None, ""])
async def test_a_server_without_a_host_listens_on_all_interfaces(net: Net, host: Any) -> None:
    server = await net.create_server(Echo, host, 0, family=socket.AF_INET)
    assert await converses(net, HOST, port_of(server))
    server.close()


@needs_ipv6
async def test_ipv6_works_as_ipv4_does(net: Net) -> None:
    server = await net.create_server(Echo, "::1", 0)
    (sock,) = server.sockets
    assert sock.family == socket.AF_INET6
    assert await converses(net, "::1", sock.getsockname()[1])
    transport, client = await net.create_connection(Recorder, "::1", sock.getsockname()[1])
    assert transport.get_extra_info("peername")[:2] == ("::1", sock.getsockname()[1])
    transport.close()
    await client.until("lost")
    server.close()


@needs_ipv6
async def test_a_server_listens_on_several_hosts(net: Net) -> None:
    server = await net.create_server(Echo, [HOST, "::1"], 0)
    names = [sock.getsockname() for sock in server.sockets]
    assert sorted(name[0] for name in names) == [HOST, "::1"]
    for host, port, *_ in names:
        assert await converses(net, host, port)
    server.close()
    for host, port, *_ in names:
        with pytest.raises(ConnectionRefusedError):
            await net.open_connection(host, port)


async def test_a_host_given_twice_is_one(net: Net) -> None:
    if not net.expect.merges_equal_hosts:
        pytest.skip("TCP on this loop finds the address taken by itself")
    server = await net.create_server(Echo, [HOST, HOST], 0)
    assert len(server.sockets) == 1
    server.close()


async def test_a_port_that_is_taken_is_refused_to_a_second_server(net: Net) -> None:
    server = await net.create_server(Recorder, HOST, 0)
    with pytest.raises(OSError) as caught:
        await net.create_server(Recorder, HOST, port_of(server))
    assert caught.value.errno == errno.EADDRINUSE
    server.close()


async def test_two_servers_share_a_port_that_both_want_to_share(net: Net) -> None:
    first = await net.create_server(Echo, HOST, 0, reuse_port=True)
    second = await net.create_server(Echo, HOST, port_of(first), reuse_port=True)
    assert await converses(net, HOST, port_of(first))
    first.close()
    second.close()


async def test_an_address_that_is_not_ours_cannot_be_listened_on(net: Net) -> None:
    with pytest.raises(OSError) as caught:
        await net.create_server(Recorder, "192.0.2.250", 0)
    if net.expect.unbindable_has_errno:
        assert caught.value.errno == errno.EADDRNOTAVAIL


async def test_a_bad_name_is_a_gaierror(net: Net) -> None:
    # With AI_NUMERICHOST no name server is asked.
    with pytest.raises(socket.gaierror):
        await net.open_connection("no address", 9, flags=socket.AI_NUMERICHOST)
    with pytest.raises(socket.gaierror):
        await net.create_server(Recorder, "no address", 0, flags=socket.AI_NUMERICHOST)


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({}, id="neither host nor sock"),
        pytest.param({"server_hostname": "name", "host": HOST, "port": 9}, id="name without ssl"),
        pytest.param({"host": HOST, "port": 9, "sock": "sock"}, id="host and sock"),
    ],
)
async def test_connecting_with_arguments_that_contradict_each_other_is_refused(
    net: Net, arguments: dict[str, Any]
) -> None:
    with socket.socket(socket.AF_INET, net.kind) as sock:
        if "sock" in arguments:
            arguments = arguments | {"sock": sock}
        with pytest.raises(ValueError):
            await net.create_connection(Recorder, **arguments)
        with pytest.raises(ValueError):
            await net.open_connection(**arguments)


async def test_serving_with_arguments_that_contradict_each_other_is_refused(net: Net) -> None:
    with socket.socket(socket.AF_INET, net.kind) as sock, pytest.raises(ValueError):
        await net.create_server(Recorder, HOST, 0, sock=sock)
    with pytest.raises(ValueError):
        await net.create_server(Recorder)


async def test_a_limit_of_zero_is_refused(net: Net) -> None:
    with pytest.raises(ValueError):
        await net.open_connection(*net.refusing_address(), limit=0)


async def test_a_socket_of_the_other_kind_is_refused(net: Net) -> None:
    kinds = {socket.SOCK_STREAM, socket.SOCK_DGRAM}
    (other,) = kinds - {net.kind}
    with socket.socket(socket.AF_INET, other) as sock, pytest.raises(ValueError):
        await net.create_connection(Recorder, sock=sock)
    with socket.socket(socket.AF_INET, other) as sock, pytest.raises(ValueError):
        await net.create_server(Recorder, sock=sock)


async def test_a_server_takes_a_socket_that_is_bound(net: Net) -> None:
    sock = socket.socket(socket.AF_INET, net.kind)
    sock.bind((HOST, 0))
    port = sock.getsockname()[1]
    server = await net.create_server(Echo, sock=sock)
    assert port_of(server) == port
    assert await converses(net, HOST, port)
    server.close()


async def test_a_connection_takes_a_socket_that_is_connected(net: Net) -> None:
    server = await net.create_server(Echo, HOST, 0)
    sock = socket.socket(socket.AF_INET, net.kind)
    sock.connect((HOST, port_of(server)))
    sock.setblocking(False)
    transport, client = await net.create_connection(Recorder, sock=sock)
    transport.write(b"hello")
    await client.received(b"hello")
    transport.close()
    await client.until("lost")
    server.close()


async def test_the_local_address_can_be_chosen(net: Net) -> None:
    async with connected(net, local_addr=("127.0.0.2", 0)) as (client, server):
        assert client.transport.get_extra_info("sockname")[0] == "127.0.0.2"
        assert server.transport.get_extra_info("peername")[0] == "127.0.0.2"


async def test_a_local_port_that_is_taken_is_an_error(net: Net) -> None:
    with socket.socket(socket.AF_INET, net.kind) as taken:
        taken.bind((HOST, 0))
        with pytest.raises(OSError) as caught:
            await net.open_connection(*net.refusing_address(), local_addr=taken.getsockname())
    assert not isinstance(caught.value, ConnectionRefusedError)


@pytest.mark.parametrize(
    "options",
    [
        {"happy_eyeballs_delay": 0.25},
        {"happy_eyeballs_delay": 0.25, "interleave": 1},
        {"family": socket.AF_INET, "proto": 0, "flags": 0},
        {"ssl": None, "server_hostname": None, "local_addr": None, "sock": None},
    ],
)
async def test_asyncios_keywords_are_understood(net: Net, options: dict[str, Any]) -> None:
    if "happy_eyeballs_delay" in options and not net.expect.has_happy_eyeballs:
        pytest.skip("create_connection() of TCP on this loop does not know these")
    server = await net.create_server(Echo, HOST, 0, backlog=10, reuse_address=True, ssl=None)
    assert await converses(net, HOST, port_of(server), **options)
    server.close()


async def test_the_next_address_is_tried_when_one_refuses(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await net.create_server(Echo, HOST, 0)
    resolve_to(net, monkeypatch, "127.0.0.3", "127.0.0.4", HOST)
    transport, client = await net.create_connection(Recorder, "many.example", port_of(server))
    assert transport.get_extra_info("peername")[0] == HOST
    transport.close()
    await client.until("lost")
    server.close()


async def test_when_every_address_fails_the_error_names_all(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, port = net.refusing_address()
    resolve_to(net, monkeypatch, "127.0.0.3", "127.0.0.4")
    with pytest.raises(OSError, match=r"Multiple exceptions: .*127\.0\.0\.3.*127\.0\.0\.4"):
        await net.open_connection("many.example", port)


async def test_all_errors_are_raised_as_a_group_on_request(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not net.expect.has_all_errors:
        pytest.skip("create_connection() of TCP on this loop and Python has no all_errors=")
    _, port = net.refusing_address()
    resolve_to(net, monkeypatch, "127.0.0.3", "127.0.0.4")
    with pytest.raises(ExceptionGroup) as caught:
        await net.create_connection(Recorder, "many.example", port, all_errors=True)
    assert [type(error) for error in caught.value.exceptions] == [ConnectionRefusedError] * 2


def resolve_to(net: Net, monkeypatch: pytest.MonkeyPatch, *hosts: str) -> None:
    """Let the name many.example have these addresses."""
    if not net.expect.resolves_in_python:
        pytest.skip("TCP on this loop resolves names where no test can reach")

    def getaddrinfo(host: Any, port: Any, family: Any = 0, type: Any = 0, *rest: Any, **kw: Any):
        if host != "many.example":
            return real(host, port, family, type, *rest, **kw)
        return [(socket.AF_INET, type, 0, "", (address, port)) for address in hosts]

    async def loop_getaddrinfo(host: Any, port: Any, **options: Any) -> Any:
        return getaddrinfo(host, port, **options)

    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", loop_getaddrinfo)


def open_sockets() -> set[str]:
    found = set()
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            found.add(os.readlink(f"/proc/self/fd/{descriptor}"))
        except FileNotFoundError:
            continue
    return {name for name in found if name.startswith("socket:")}


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="descriptors are counted in /proc")
async def test_a_cancelled_connection_attempt_leaves_no_socket(net: Net) -> None:
    with net.silent_address() as address:
        before = open_sockets()
        connecting = asyncio.create_task(net.open_connection(*address))
        while open_sockets() == before:
            await asyncio.sleep(0)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        del connecting
        while open_sockets() != before:
            gc.collect()
            await asyncio.sleep(0)


async def test_a_connection_attempt_can_be_bounded_by_a_timeout(net: Net) -> None:
    with net.silent_address() as address, pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await net.open_connection(*address)


async def test_the_socket_of_a_transport_can_be_asked_and_set(net: Net) -> None:
    async with streams(net) as ends:
        for _, writer in ends:
            sock = writer.get_extra_info("socket")
            assert sock.family == socket.AF_INET
            assert sock.getsockname() == writer.get_extra_info("sockname")
            assert sock.getpeername() == writer.get_extra_info("peername")
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
