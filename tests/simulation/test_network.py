"""Hosts, paths and sockets, with plain datagrams."""

from __future__ import annotations

import asyncio
import errno
import socket

import pytest

from rudp import sim
from rudp.sim import Conditions, Host, Network
from tests.simulation.programs import Datagrams, now, open_udp, simulate

PORT = 9000


async def pair(a: Host, b: Host, version: int = 4) -> tuple[Datagrams, Datagrams]:
    """A socket of `a` that is connected to a bound one of `b`."""
    host, wildcard = (b.ipv4, "0.0.0.0") if version == 4 else (b.ipv6, "::")
    server = await open_udp(b, local_addr=(wildcard, PORT))
    return await open_udp(a, remote_addr=(host, PORT)), server


@pytest.mark.parametrize("version", [4, 6])
def test_a_datagram_takes_the_links_delay_and_its_own_length(version: int) -> None:
    async def scenario(network: Network, a: Host, b: Host) -> None:
        network.link(a, b, Conditions(delay=0.25, rate=1000))
        client, server = await pair(a, b, version)
        client.transport.sendto(b"x" * 100)
        await asyncio.sleep(1)
        [(moment, data, addr)] = server.received
        headers = 28 if version == 4 else 48
        assert moment == pytest.approx(0.25 + (100 + headers) / 1000)
        assert (data, addr[0]) == (b"x" * 100, a.ipv4 if version == 4 else a.ipv6)
        server.transport.sendto(b"back", addr)
        await asyncio.sleep(1)
        assert [data for _, data, _ in client.received] == [b"back"]

    simulate(scenario)


def test_each_way_may_have_its_own_conditions() -> None:
    async def scenario(network: Network, a: Host, b: Host) -> None:
        forth, back = network.link(a, b, Conditions(delay=0.1), Conditions(delay=0.4))
        client, server = await pair(a, b)
        client.transport.sendto(b"1")
        await asyncio.sleep(0.2)
        server.transport.sendto(b"2", server.received[0][2])
        await asyncio.sleep(1)
        assert [server.received[0][0], client.received[0][0]] == pytest.approx([0.1, 0.6])
        assert (forth.carried, back.carried) == (1, 1)

    simulate(scenario)


def test_names_addresses_and_services_of_the_network() -> None:
    async def scenario(network: Network, a: Host, b: Host) -> None:
        loop = asyncio.get_running_loop()

        async def look_up(host: str | None, **options: int) -> list[str]:
            return [str(info[4][0]) for info in await loop.getaddrinfo(host, 1, **options)]

        assert await look_up("b") == [b.ipv4, b.ipv6]
        assert await look_up("b", family=socket.AF_INET6) == [b.ipv6]
        assert await look_up(a.ipv4) == [a.ipv4]
        assert await look_up("localhost") == await look_up(None) == ["127.0.0.1", "::1"]
        assert await look_up(None, flags=socket.AI_PASSIVE) == ["0.0.0.0", "::"]
        with pytest.raises(socket.gaierror):
            await look_up("c")

    simulate(scenario)


def test_a_host_reaches_itself_without_a_link() -> None:
    async def scenario(network: Network, a: Host, b: Host) -> None:
        network.link(a, b, Conditions(loss=1))
        server = await open_udp(a, local_addr=("0.0.0.0", PORT))
        for name in ("127.0.0.1", a.ipv4):
            client = await open_udp(a, remote_addr=(name, PORT))
            client.transport.sendto(bytes(60_000))
            await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        assert [(len(data), addr[0]) for _, data, addr in server.received] == [
            (60_000, "127.0.0.1"),
            (60_000, a.ipv4),
        ]

    simulate(scenario)


def test_ports_are_taken_shared_and_free_again() -> None:
    async def scenario(network: Network, a: Host, b: Host) -> None:
        first = await open_udp(a, local_addr=("0.0.0.0", PORT))
        with pytest.raises(OSError, match="in use") as caught:
            await open_udp(a, local_addr=(a.ipv4, PORT))
        assert caught.value.errno == errno.EADDRINUSE
        await open_udp(b, local_addr=("0.0.0.0", PORT))  # another host, another port
        first.transport.close()
        shared = [
            await open_udp(a, local_addr=("0.0.0.0", PORT), reuse_port=True) for _ in range(2)
        ]
        clients = [await open_udp(b, remote_addr=(a.ipv4, PORT)) for _ in range(20)]
        for client in clients * 2:
            client.transport.sendto(b"x")
        await asyncio.sleep(1)
        senders = [{addr for _, _, addr in one.received} for one in shared]
        assert all(senders)
        assert not senders[0] & senders[1]
        with pytest.raises(OSError, match="assign") as caught:
            await open_udp(a, local_addr=("10.9.9.9", PORT))
        assert caught.value.errno == errno.EADDRNOTAVAIL

    simulate(scenario)


def test_only_a_connected_socket_hears_that_nobody_has_the_port() -> None:
    async def scenario(network: Network, a: Host, b: Host) -> None:
        connected = await open_udp(a, remote_addr=(b.ipv4, PORT))
        bound = await open_udp(a, local_addr=("0.0.0.0", 0))
        connected.transport.sendto(b"x")
        bound.transport.sendto(b"x", (b.ipv4, PORT))
        await asyncio.sleep(1)
        assert (connected.errors, bound.errors) == ([errno.ECONNREFUSED], [])

    simulate(scenario)


def test_where_there_is_no_host_the_network_is_unreachable() -> None:
    async def scenario(network: Network, a: Host, b: Host) -> None:
        client = await open_udp(a, local_addr=("0.0.0.0", 0))
        client.transport.sendto(b"x", ("10.9.9.9", PORT))
        client.transport.sendto(b"x", ("::1", PORT))
        assert client.errors == [errno.ENETUNREACH, errno.EAFNOSUPPORT]

    simulate(scenario)


def test_what_is_too_large_for_a_router_is_refused_from_then_on() -> None:
    async def scenario(network: Network, a: Host, b: Host) -> None:
        network.link(a, b, Conditions(mtu=1000))
        client, server = await pair(a, b)
        client.transport.sendto(bytes(973))  # 1001 with its headers: lost, and ICMP says so
        assert client.errors == []
        await asyncio.sleep(1)
        assert client.errors == [errno.EMSGSIZE]
        client.transport.sendto(bytes(973))  # refused at home
        client.transport.sendto(bytes(972))
        await asyncio.sleep(1)
        assert client.errors == [errno.EMSGSIZE] * 2
        assert [len(data) for _, data, _ in server.received] == [972]

    simulate(scenario)


def test_a_black_hole_says_nothing() -> None:
    async def scenario(network: Network, a: Host, b: Host) -> None:
        network.link(a, b, Conditions(mtu=1000, black_hole=True))
        client, server = await pair(a, b)
        for _ in range(3):
            client.transport.sendto(bytes(973))
            await asyncio.sleep(1)
        assert (client.errors, server.received) == ([], [])

    simulate(scenario)


def test_a_partition_loses_what_is_sent_and_what_is_on_its_way_until_it_is_healed() -> None:
    async def scenario(network: Network, a: Host, b: Host) -> None:
        network.link(a, b, Conditions(delay=0.1, loss=0.0))
        client, server = await pair(a, b)
        third = await open_udp(network.host("c"), remote_addr=(b.ipv4, PORT))
        client.transport.sendto(b"on its way")
        await asyncio.sleep(0.05)
        network.partition([a], [b])
        client.transport.sendto(b"cut off")
        third.transport.sendto(b"from one in no part")
        await asyncio.sleep(1)
        network.heal()
        client.transport.sendto(b"healed")
        await asyncio.sleep(1)
        assert [data for _, data, _ in server.received] == [b"from one in no part", b"healed"]

    simulate(scenario)


def test_a_frozen_host_does_nothing_and_finds_what_came_meanwhile_when_it_thaws() -> None:
    async def scenario(network: Network, a: Host, b: Host) -> None:
        client, server = await pair(a, b)
        ticks: list[float] = []

        async def tick() -> None:
            while True:
                await asyncio.sleep(1)
                ticks.append(now())

        b.start(tick())
        await asyncio.sleep(2.5)
        b.freeze()
        client.transport.sendto(b"x")
        await asyncio.sleep(10)
        assert (ticks, server.received) == ([1.0, 2.0], [])
        b.thaw()
        await asyncio.sleep(1.6)
        assert ticks == [1.0, 2.0, 12.5, 13.5]
        assert [(moment, data) for moment, data, _ in server.received] == [(12.5, b"x")]

    simulate(scenario)


def test_a_receive_buffer_takes_no_more_than_it_holds() -> None:
    async def scenario(network: Network, a: Host, b: Host) -> None:
        client, server = await pair(a, b)
        b.freeze()
        for _ in range(200):
            client.transport.sendto(bytes(1400))
            await asyncio.sleep(0.01)
        b.thaw()
        await asyncio.sleep(1)
        assert 100 < len(server.received) < 160  # 212,992 bytes, at 1,656 each

    simulate(scenario)


def test_a_crashed_host_is_silent_and_loses_all_even_its_finally() -> None:
    async def scenario(network: Network, a: Host, b: Host) -> None:
        ended: list[str] = []

        async def forever() -> None:
            try:
                await asyncio.sleep(5)
            finally:
                if now() < 50:
                    ended.append("finally")

        client, server = await pair(a, b)
        b.start(forever())
        await asyncio.sleep(1)
        b.crash()
        client.transport.sendto(b"x")
        await asyncio.sleep(10)
        assert (client.errors, server.received, ended) == ([], [], [])
        with pytest.raises(sim.SimulationError, match="boot"):
            b.start(forever())
        b.boot()
        client.transport.sendto(b"x")
        await asyncio.sleep(1)
        assert client.errors == [errno.ECONNREFUSED]  # it is up, and nobody has the port
        again = await open_udp(b, local_addr=("0.0.0.0", PORT))
        client.transport.sendto(b"y")
        await asyncio.sleep(100)
        assert [data for _, data, _ in again.received] == [b"y"]

    simulate(scenario)


def test_only_a_host_has_a_network() -> None:
    async def scenario(network: Network, a: Host, b: Host) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(Datagrams, local_addr=("0.0.0.0", PORT))

    with pytest.raises(sim.SimulationError, match="only a host has a network"):
        simulate(scenario)


def test_a_failure_in_the_background_ends_the_simulation() -> None:
    async def fail() -> None:
        await asyncio.sleep(1)
        raise LookupError("mine")

    async def scenario(network: Network, a: Host, b: Host) -> None:
        a.start(fail())
        await asyncio.sleep(100)
        raise AssertionError("too late")

    with pytest.raises(LookupError, match="mine"):
        simulate(scenario)


def test_a_program_that_is_run_gives_what_it_returns_or_raises() -> None:
    async def divide(by: int) -> float:
        await asyncio.sleep(1)
        return 1 / by

    async def scenario(network: Network, a: Host, b: Host) -> float:
        with pytest.raises(ZeroDivisionError):
            await a.run(divide(0))
        return await a.run(divide(2))

    assert simulate(scenario) == 0.5


def test_the_same_seed_has_the_same_losses_and_another_has_others() -> None:
    async def scenario(network: Network, a: Host, b: Host) -> tuple[str, int]:
        network.link(a, b, Conditions(loss=0.5, jitter=0.01))
        client, server = await pair(a, b)
        for number in range(100):
            client.transport.sendto(bytes([number]))
        await asyncio.sleep(1)
        return network.trace_hash, len(server.received)

    first, second, other = simulate(scenario, 1), simulate(scenario, 1), simulate(scenario, 2)
    assert first == second
    assert first[0] != other[0]
    assert 20 < first[1] < 80
