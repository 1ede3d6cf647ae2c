"""ICMP's errors at an unconnected socket: they end attempts to connect, and harm nobody else."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Any

import pytest

import rudp
from rudp.datagrams import Address, bind_socket

from . import udp
from .peers import HOST, asked, closed, echo, free_udp_port
from .udp import Recorder, linux_only, needs_ipv6, pairs, until

open_own = udp.open_own
pytestmark = linux_only
HOSTS = [HOST, pytest.param("::1", marks=needs_ipv6)]


def family_of(host: str) -> int:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


class Heard(Recorder):
    """Keeps the address of each error, too."""

    def __init__(self) -> None:
        super().__init__()
        self.about: list[tuple[int | None, Any]] = []

    def error_received(self, exc: OSError, addr: Address | None = None) -> None:
        self.about.append((exc.errno, addr and addr[1]))


@pytest.mark.parametrize("host", HOSTS)
async def test_who_wants_to_hear_is_told_which_address_an_error_is_about(
    host: str, open_own: Any
) -> None:
    heard = Heard()
    layer = open_own(bind_socket(family_of(host), (host, 0)), heard)
    layer.hear_errors()
    dead = free_udp_port()
    layer.send(pairs(b"x"), (host, dead))
    await until(lambda: (errno.ECONNREFUSED, dead) in heard.about)


async def test_who_does_not_ask_hears_nothing(open_own: Any) -> None:
    heard = Heard()
    layer = open_own(bind_socket(socket.AF_INET, (HOST, 0)), heard)
    layer.send(pairs(b"x"), (HOST, free_udp_port()))
    await asyncio.sleep(0.05)
    assert heard.about == []


async def test_an_error_about_one_address_costs_no_datagram_to_another(open_own: Any) -> None:
    heard, other = Heard(), Recorder()
    layer = open_own(bind_socket(socket.AF_INET, (HOST, 0)), heard)
    target = open_own(bind_socket(socket.AF_INET, (HOST, 0)), other)
    layer.hear_errors()
    dead = free_udp_port()
    for number in range(50):
        layer.send(pairs(b"lost"), (HOST, dead))
        layer.send(pairs(b"%d" % number), target.sockname)  # meets the error of the one before
    await until(lambda: len(other.received) == 50)
    assert other.received == [b"head%d" % number for number in range(50)]
    await until(lambda: (errno.ECONNREFUSED, dead) in heard.about)
    assert {port for _, port in heard.about} <= {dead, None}
    # It goes on hearing, and reading.
    heard.about.clear()
    layer.send(pairs(b"lost"), (HOST, dead))
    await until(lambda: (errno.ECONNREFUSED, dead) in heard.about)
    target.send(pairs(b"back"), layer.sockname)
    await until(lambda: heard.received == [b"headback"])


@pytest.mark.parametrize("host", HOSTS)
async def test_an_endpoint_is_refused_at_once_by_a_udp_port_that_nobody_has(host: str) -> None:
    port = free_udp_port()
    async with asyncio.timeout(5), await rudp.Endpoint.open((host, 0)) as endpoint:
        with pytest.raises(ConnectionRefusedError) as caught:
            await endpoint.open_connection(host, port)
        assert caught.value.errno == errno.ECONNREFUSED
        assert str(port) in str(caught.value)


async def test_a_refusal_ends_the_attempts_to_that_address_and_no_others() -> None:
    with bind_socket(socket.AF_INET, (HOST, 0)) as silent:
        async with asyncio.timeout(5), await rudp.Endpoint.open((HOST, 0)) as endpoint:
            waiting = asyncio.create_task(endpoint.open_connection(*silent.getsockname()))
            await asyncio.sleep(0)
            for _ in range(3):
                with pytest.raises(ConnectionRefusedError):
                    await endpoint.open_connection(HOST, free_udp_port())
            assert not waiting.done()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting


async def test_connections_of_the_same_endpoint_go_on_untouched() -> None:
    async with asyncio.timeout(20), await rudp.Endpoint.open((HOST, 0)) as server:
        await server.start_server(echo)
        async with await rudp.Endpoint.open((HOST, 0)) as endpoint:
            stream = await endpoint.open_connection(*server.sockname)
            for number in range(30):
                question = b"%d" % number * 5000
                attempt = asyncio.create_task(endpoint.open_connection(HOST, free_udp_port()))
                assert await asked(stream, question) == question
                with pytest.raises(ConnectionRefusedError):
                    await attempt
            assert stream[1].get_extra_info("tcp_info").retrans == 0
            await closed(stream)
