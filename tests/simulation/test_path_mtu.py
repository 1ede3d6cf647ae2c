"""Paths that are narrower than they promise: whatever they do, all arrives, and soon."""

from __future__ import annotations

import asyncio

import pytest

import rudp
from rudp.sim import Conditions, Host, Network
from tests.simulation.programs import PORT, echo_server, now, simulate

DATA = bytes(range(256)) * 4000
PATH = Conditions(delay=0.02, rate=250e3)


async def transfer(config: rudp.Config | None = None) -> tuple[rudp.TcpInfo, float]:
    """Send DATA to "b" and back; what the connection says in the end, and how long it took."""
    start = now()
    reader, writer = await rudp.open_connection("b", PORT, config=config)

    async def write() -> None:
        for at in range(0, len(DATA), 10_000):
            writer.write(DATA[at : at + 10_000])
            await writer.drain()
        writer.write_eof()

    writing = asyncio.create_task(write())
    assert await reader.read(-1) == DATA
    await writing
    info = writer.get_extra_info("tcp_info")
    assert isinstance(info, rudp.TcpInfo)
    writer.close()
    await writer.wait_closed()
    return info, now() - start


def over(conditions: Conditions, config: rudp.Config | None = None) -> tuple[rudp.TcpInfo, float]:
    async def scenario(network: Network, a: Host, b: Host) -> tuple[rudp.TcpInfo, float]:
        network.link(a, b, conditions)
        b.start(echo_server())
        return await a.run(transfer(config))

    return simulate(scenario)


def narrow(mtu: int) -> Conditions:
    return Conditions(delay=PATH.delay, rate=PATH.rate, mtu=mtu, black_hole=True)


def test_an_honest_path_is_filled_with_full_segments() -> None:
    info, seconds = over(PATH)
    assert (info.snd_mss, info.total_retrans) == (1440, 0)
    assert seconds < 5


@pytest.mark.parametrize("mtu", [1280, 1350, 1492])
def test_a_black_hole_is_found_by_probes_and_no_data_is_lost_in_it(mtu: int) -> None:
    info, seconds = over(narrow(mtu))
    largest = mtu - 20 - 8 - 20 - 12
    assert largest - 16 <= info.snd_mss <= largest
    assert info.total_retrans == 0
    assert seconds < 6


@pytest.mark.parametrize("mtu", [576, 1000])
def test_a_path_narrower_than_the_base_works_too(mtu: int) -> None:
    info, seconds = over(narrow(mtu))
    assert info.snd_mss <= mtu - 60
    assert seconds < 90


def test_without_discovery_such_a_path_carries_nothing() -> None:
    # What the others would be like.
    with pytest.raises(TimeoutError):
        over(narrow(1350), rudp.Config(path_mtu_discovery=False, r2=20.0))


def test_a_path_that_becomes_a_black_hole_in_mid_transfer_is_noticed() -> None:
    async def scenario(network: Network, a: Host, b: Host) -> tuple[rudp.TcpInfo, float]:
        network.link(a, b, PATH)
        b.start(echo_server())
        result = asyncio.create_task(a.run(transfer()))
        await asyncio.sleep(2)
        network.link(a, b, narrow(1300))
        return await result

    info, seconds = simulate(scenario)
    assert info.snd_mss <= 1240
    assert seconds < 10


def test_after_an_outage_the_segments_are_as_large_as_before() -> None:
    async def scenario(network: Network, a: Host, b: Host) -> tuple[rudp.TcpInfo, float]:
        network.link(a, b, PATH)
        b.start(echo_server())
        result = asyncio.create_task(a.run(transfer()))
        await asyncio.sleep(2)
        network.partition([a], [b])
        await asyncio.sleep(5)
        network.partition()
        return await result

    info, seconds = simulate(scenario)
    assert info.snd_mss == 1440
    assert seconds < 12


def test_lost_probes_alone_do_not_make_a_lossy_path_narrow() -> None:
    info, _ = over(Conditions(delay=0.02, rate=250e3, loss=0.05))
    assert info.snd_mss == 1440


def test_the_next_connection_to_a_host_begins_where_the_last_came_to() -> None:
    async def scenario(network: Network, a: Host, b: Host) -> None:
        network.link(a, b, narrow(1350))
        b.start(echo_server())

        async def twice() -> None:
            async with await rudp.Endpoint.open(("0.0.0.0", 0)) as endpoint:
                sizes = []
                for data in (DATA, b"x"):
                    reader, writer = await endpoint.open_connection("b", PORT)
                    sizes.append(writer.get_extra_info("tcp_info").snd_mss)
                    writer.write(data)
                    await reader.readexactly(len(data))
                    writer.close()
                    await writer.wait_closed()
                assert sizes[0] == 1168
                assert 1274 <= sizes[1] <= 1290

        await a.run(twice())

    simulate(scenario)


def test_the_way_to_oneself_has_no_routers_to_ask() -> None:
    async def scenario(network: Network, a: Host, b: Host) -> int:
        a.start(echo_server())

        async def connect() -> int:
            _, writer = await rudp.open_connection("127.0.0.1", PORT)
            writer.close()
            await writer.wait_closed()
            mss = writer.get_extra_info("tcp_info").snd_mss
            assert isinstance(mss, int)
            return mss

        return await a.run(connect())

    assert simulate(scenario) > 65_000
