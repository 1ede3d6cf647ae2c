"""Processes that stand still for minutes, and clocks that leap: nobody is blamed for that time.

A stopped process (SIGSTOP, a paused virtual machine, an application that blocks its loop) finds
that all its timers are long due. What it did not do meanwhile is not its peer's silence.
"""

from __future__ import annotations

import asyncio
import errno
from dataclasses import replace

import pytest

import rudp
from rudp.sim import Conditions, Host, Network
from tests.simulation.programs import PORT, ask, echo_server, now, simulate

DATA = bytes(range(256)) * 6000
PATH = Conditions(delay=0.01, rate=1e6)
CONFIG = rudp.Config(user_timeout=20.0)


async def count_server() -> None:
    """Read all that comes and say how much it was: until then it waits for no acknowledgment."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"%d" % len(await reader.read(-1)))
        writer.close()

    async with await rudp.start_server(handle, "0.0.0.0", PORT) as server:
        await server.serve_forever()


async def upload(data: bytes) -> rudp.TcpInfo:
    """Send `data` to that server; returns how the connection stood in the end."""
    reader, writer = await rudp.open_connection("b", PORT, config=CONFIG)
    writer.write(data)
    writer.write_eof()
    assert await reader.read(-1) == b"%d" % len(data)
    info: rudp.TcpInfo = writer.get_extra_info("tcp_info")
    writer.close()
    await writer.wait_closed()
    return info


@pytest.mark.parametrize("seconds", [60, 600, 5 * 3600])
def test_what_was_lost_before_a_sender_stood_still_is_sent_again_when_it_wakes(
    seconds: float,
) -> None:
    async def scenario(network: Network, a: Host, b: Host) -> None:
        network.link(a, b, PATH)
        b.start(count_server())
        upload_ends = asyncio.create_task(a.run(upload(DATA)))
        await asyncio.sleep(1)
        network.partition([a], [b])
        await asyncio.sleep(0.1)
        a.freeze()
        await asyncio.sleep(seconds)
        network.heal()
        a.thaw()
        await upload_ends

    simulate(scenario)


def test_the_answers_that_have_waited_for_a_sender_do_not_count_as_slow() -> None:
    async def scenario(network: Network, a: Host, b: Host) -> None:
        network.link(a, b, PATH)
        b.start(count_server())
        upload_ends = asyncio.create_task(a.run(upload(DATA)))
        await asyncio.sleep(1)
        a.freeze()
        await asyncio.sleep(300)
        a.thaw()
        info = await upload_ends
        assert info.rtt < 1.0
        assert info.rto < 3.0

    simulate(scenario)


def test_a_paused_machine_is_one_whose_clock_leaps_for_all_at_once() -> None:
    async def scenario(network: Network, a: Host, b: Host) -> None:
        network.link(a, b, PATH)
        b.start(count_server())
        uploads = [asyncio.create_task(a.run(upload(DATA[:500_000]))) for _ in range(3)]
        await asyncio.sleep(1)
        a.freeze()
        b.freeze()
        await asyncio.sleep(12 * 3600)
        b.thaw()
        a.thaw()
        await asyncio.gather(*uploads)

    simulate(scenario)


def test_an_attempt_to_connect_goes_on_where_it_stood_still() -> None:
    async def scenario(network: Network, a: Host, b: Host) -> None:
        network.partition([a], [b])
        b.start(echo_server())
        answer = asyncio.create_task(a.run(ask(b.ipv4, b"hello")))
        await asyncio.sleep(1)
        a.freeze()
        await asyncio.sleep(3600)
        network.heal()
        a.thaw()
        assert await answer == b"hello"

    simulate(scenario)


def test_a_window_that_was_shut_while_the_sender_stood_still_is_asked_about_again() -> None:
    async def scenario(network: Network, a: Host, b: Host) -> None:
        network.link(a, b, PATH)
        reads = asyncio.Event()

        async def read_late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reads.wait()
            assert await reader.read(-1) == DATA
            writer.close()

        async def serve() -> None:
            config = replace(CONFIG, receive_buffer=65536)
            server = await rudp.start_server(read_late, "0.0.0.0", PORT, config=config, limit=1024)
            async with server:
                await server.serve_forever()

        async def send() -> None:
            _, writer = await rudp.open_connection("b", PORT, config=CONFIG)
            writer.write(DATA)
            writer.close()
            await writer.wait_closed()

        b.start(serve())
        sent = asyncio.create_task(a.run(send()))
        await asyncio.sleep(5)
        a.freeze()
        await asyncio.sleep(600)
        reads.set()
        a.thaw()
        await sent

    simulate(scenario)


def test_whoever_sleeps_longer_than_its_peer_is_patient_hears_so_when_it_wakes() -> None:
    async def scenario(network: Network, a: Host, b: Host) -> None:
        network.link(a, b, PATH)
        errors: list[int | None] = []

        async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(DATA)
            writer.close()
            with pytest.raises(OSError, match="no acknowledgment came") as caught:
                await writer.wait_closed()
            errors.append(caught.value.errno)

        async def serve() -> None:
            async with await rudp.start_server(send, "0.0.0.0", PORT, config=CONFIG) as server:
                await server.serve_forever()

        async def receive() -> None:
            reader, writer = await rudp.open_connection("b", PORT)
            with pytest.raises(ConnectionResetError):
                await reader.readexactly(len(DATA))
            writer.close()
            with pytest.raises(ConnectionResetError):
                await writer.wait_closed()

        b.start(serve())
        received = asyncio.create_task(a.run(receive()))
        await asyncio.sleep(1)
        a.freeze()
        await asyncio.sleep(100)
        assert errors == [errno.ETIMEDOUT]
        start = now()
        a.thaw()
        await received
        assert now() - start < 30

    simulate(scenario)


def test_time_that_the_process_ran_still_counts_against_a_silent_peer() -> None:
    async def scenario(network: Network, a: Host, b: Host) -> None:
        network.link(a, b, PATH)
        b.start(count_server())
        upload_ends = asyncio.create_task(a.run(upload(DATA)))
        await asyncio.sleep(1)
        network.partition([a], [b])
        for _ in range(5):
            a.freeze()
            await asyncio.sleep(50)
            a.thaw()
            await asyncio.sleep(5)
        with pytest.raises(OSError, match="no acknowledgment came"):
            await upload_ends

    simulate(scenario)
