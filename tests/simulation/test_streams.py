"""rudp's own programs in the simulated network: unchanged, and the same again from a seed."""

from __future__ import annotations

import asyncio
import errno

import pytest

import rudp
from rudp.sim import Conditions, Host, Network, Simulation
from tests.simulation.programs import PORT, ask, echo_server, now, simulate

BAD = Conditions(
    delay=0.05,
    jitter=0.01,
    loss=0.1,
    loss_burst=3,
    reordering=0.1,
    duplication=0.1,
    corruption=0.02,
)


@pytest.mark.parametrize("host", ["b", "ipv4", "ipv6"])
def test_a_conversation_takes_three_round_trips_of_virtual_time(host: str) -> None:
    async def scenario(network: Network, a: Host, b: Host) -> tuple[bytes, float]:
        network.link(a, b, Conditions(delay=1.0))
        b.start(echo_server("0.0.0.0" if host != "ipv6" else "::"))
        name = host if host == "b" else getattr(b, host)
        return await a.run(ask(name, b"hello")), now()

    answer, seconds = simulate(scenario)
    assert answer == b"hello"
    # The handshake, the answer, whose ACK goes with the FIN; and the ACK of that.
    assert 4.0 <= seconds < 6.1


@pytest.mark.parametrize("seed", range(5))
def test_every_byte_arrives_over_a_bad_path(seed: int) -> None:
    data = bytes(range(256)) * 800

    async def scenario(network: Network, a: Host, b: Host) -> bytes:
        network.link(a, b, BAD)
        b.start(echo_server())
        return await a.run(ask("b", data))

    assert simulate(scenario, seed) == data


def test_the_same_seed_gives_the_same_datagrams_byte_for_byte() -> None:
    async def scenario(network: Network) -> None:
        a, b = network.host("a"), network.host("b")
        network.link(a, b, BAD)
        b.start(echo_server())
        await asyncio.gather(*(a.run(ask("b", bytes(50_000))) for _ in range(4)))

    def trace(seed: int) -> tuple[str, float]:
        simulation = Simulation(seed)
        simulation.run(scenario)
        return simulation.trace_hash, simulation.seconds

    assert trace(3) == trace(3)
    assert trace(3)[0] != trace(4)[0]


def test_nobody_listens_and_no_host_answers_are_told_apart() -> None:
    async def scenario(network: Network, a: Host, b: Host) -> None:
        with pytest.raises(ConnectionRefusedError):
            await a.run(ask(b.ipv4, b""))
        network.partition([a], [b])
        start = now()
        with pytest.raises(TimeoutError):
            await a.run(ask(b.ipv4, b""))
        assert now() - start == pytest.approx(rudp.Config().connect_timeout, rel=0.1)

    simulate(scenario)


def test_a_transfer_outlives_a_partition() -> None:
    data = bytes(5_000_000)

    async def scenario(network: Network, a: Host, b: Host) -> tuple[bytes, float]:
        network.link(a, b, Conditions(delay=0.02, rate=1e6))
        b.start(echo_server())
        answer = asyncio.create_task(a.run(ask("b", data)))
        await asyncio.sleep(2)
        network.partition([a], [b])
        await asyncio.sleep(30)
        network.heal()
        return await answer, now()

    answer, seconds = simulate(scenario)
    assert answer == data
    assert 35 < seconds < 60


def test_a_server_that_lost_all_its_memory_resets_the_connection_that_is_used_again() -> None:
    async def scenario(network: Network, a: Host, b: Host) -> None:
        b.start(echo_server())

        async def talk() -> None:
            reader, writer = await rudp.open_connection("b", PORT)
            writer.write(b"1")
            assert await reader.readexactly(1) == b"1"
            b.crash()
            await asyncio.sleep(10)
            b.boot()
            b.start(echo_server())
            await asyncio.sleep(1)
            writer.write(b"2")
            with pytest.raises(ConnectionResetError):
                await reader.readexactly(1)
            writer.close()
            with pytest.raises(OSError, match="reset"):
                await writer.wait_closed()

        await a.run(talk())
        assert await a.run(ask("b", b"as good as new")) == b"as good as new"

    simulate(scenario)


def test_each_host_has_its_own_way_to_the_same_server() -> None:
    async def scenario(network: Network, a: Host, b: Host) -> None:
        peers: list[str] = []

        async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            peers.append(writer.get_extra_info("peername")[0])
            writer.close()

        async def serve() -> None:
            async with await rudp.start_server(note, "0.0.0.0", PORT) as server:
                await server.serve_forever()

        b.start(serve())
        # One right after the other: an endpoint at rest serves its own host alone.
        await a.run(ask("b", b""))
        await network.host("c").run(ask("b", b""))
        assert peers == [a.ipv4, network.host("c").ipv4]

    simulate(scenario)


def test_a_frozen_peer_holds_the_sender_up_and_loses_nothing() -> None:
    data = bytes(3_000_000)

    async def scenario(network: Network, a: Host, b: Host) -> bytes:
        network.link(a, b, Conditions(delay=0.01, rate=1e6))
        b.start(echo_server())
        answer = asyncio.create_task(a.run(ask("b", data)))
        await asyncio.sleep(1)
        b.freeze()
        await asyncio.sleep(20)
        b.thaw()
        return await answer

    assert simulate(scenario) == data


def test_an_endpoint_serves_and_connects_in_the_simulation_too() -> None:
    async def scenario(network: Network, a: Host, b: Host) -> bytes:
        b.start(echo_server())

        async def talk() -> bytes:
            async with await rudp.Endpoint.open(("0.0.0.0", 0)) as endpoint:
                reader, writer = await endpoint.open_connection("b", PORT)
                writer.write(b"x")
                answer = await reader.readexactly(1)
                writer.close()
                await writer.wait_closed()
                return answer

        return await a.run(talk())

    assert simulate(scenario) == b"x"


def test_what_is_closed_at_the_very_end_is_still_delivered() -> None:
    heard: list[bytes] = []

    async def scenario(network: Network) -> None:
        a, b = network.host("a"), network.host("b")

        async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.append(await reader.read(-1))
            writer.close()

        async def serve() -> None:
            await rudp.start_server(hear, "0.0.0.0", PORT)
            await asyncio.sleep(100)

        async def say() -> None:
            _, writer = await rudp.open_connection("b", PORT)
            writer.write(b"bye")
            writer.close()

        b.start(serve())
        await a.run(say())
        await asyncio.sleep(1)

    Simulation().run(scenario)
    assert heard == [b"bye"]


def test_a_refused_port_is_the_errno_of_tcp() -> None:
    async def scenario(network: Network, a: Host, b: Host) -> int | None:
        with pytest.raises(OSError, match="Connect call failed") as caught:
            await a.run(ask(b.ipv6, b""))
        return caught.value.errno

    assert simulate(scenario) == errno.ECONNREFUSED


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_path_that_is_too_narrow_for_the_route_is_found_out_from_either_side(
    direction: str,
) -> None:
    data = bytes(100_000)

    async def scenario(network: Network, a: Host, b: Host) -> None:
        narrow, wide = Conditions(mtu=1000), Conditions()
        network.link(a, b, *((narrow, wide) if direction == "up" else (wide, narrow)))
        b.start(echo_server())
        start = now()
        assert await a.run(ask("b", data)) == data
        assert now() - start < 5

    simulate(scenario)


@pytest.mark.parametrize(
    ("size", "unread_for", "most"),
    [
        pytest.param(1_000_000, 0.1, 5.0, id="on its way"),
        pytest.param(20_000_000, 20.0, 150.0, id="before shut windows"),
    ],
)
def test_two_that_close_with_data_for_each_other_both_hear_of_it(
    size: int, unread_for: float, most: float
) -> None:
    """Neither takes any more, and neither has been told that the other does not."""
    seconds: list[float] = []

    async def leave(writer: asyncio.StreamWriter, wait: float) -> None:
        writer.write(bytes(size))
        await asyncio.sleep(wait)
        writer.close()
        begun = now()
        with pytest.raises(OSError, match=r"reset|timed out"):
            await writer.wait_closed()
        seconds.append(now() - begun)

    async def scenario(network: Network, a: Host, b: Host) -> None:
        network.link(a, b, Conditions(delay=0.05))

        async def serve() -> None:
            async def handle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await leave(writer, unread_for)

            async with await rudp.start_server(handle, "0.0.0.0", PORT) as server:
                await server.serve_forever()

        b.start(serve())

        async def call() -> None:
            _, writer = await rudp.open_connection("b", PORT)
            await leave(writer, unread_for + 0.1)

        await a.run(call())
        await asyncio.sleep(200)

    simulate(scenario, limit=1000.0)
    assert len(seconds) == 2
    assert max(seconds) < most
