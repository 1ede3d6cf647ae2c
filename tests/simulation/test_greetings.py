"""Servers that speak first, as those of SSH and SMTP do, to clients that wait for it.

The client is in ESTABLISHED with the SYN-ACK, the server only with the client's ACK, which nobody
acknowledges.
"""

from __future__ import annotations

import asyncio
import errno
from collections import Counter

import pytest

import rudp
from rudp.sim import Conditions, Host, Network
from tests.simulation.programs import PORT, now, simulate

GREETING = b"220 welcome\r\n"
CLIENTS = 200
LATEST = 400.0
"""Seconds in which somebody has to hear of it: three minutes for the SYNs, for each of the server's
two addresses, and the rest for the greeting."""


async def greet(config: rudp.Config) -> None:
    """Serve, and speak first."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(GREETING)
        await reader.read()
        writer.close()

    async with await rudp.start_server(handle, "0.0.0.0", PORT, config=config) as server:
        await server.serve_forever()


async def listen(host: str) -> str:
    """Connect, say nothing, and return how it went."""
    try:
        async with asyncio.timeout(LATEST) as limit:
            reader, writer = await rudp.open_connection(host, PORT)
            assert await reader.readline() == GREETING
    except OSError:
        return "it hangs" if limit.expired() else "an error"
    writer.close()
    return "greeted"


# With cookies there is one SYN-ACK for each SYN, and none by the clock.
@pytest.mark.parametrize("backlog", [1000, 1], ids=["half-open", "cookies"])
@pytest.mark.parametrize("seed", range(2))
def test_where_three_of_ten_datagrams_are_lost_nobody_waits_for_ever(
    seed: int, backlog: int
) -> None:
    async def scenario(network: Network, a: Host, b: Host) -> Counter[str]:
        network.link(a, b, Conditions(delay=0.05, loss=0.3))
        b.start(greet(rudp.Config(backlog=backlog)))
        return Counter(await asyncio.gather(*(a.run(listen("b")) for _ in range(CLIENTS))))

    outcomes = simulate(scenario, seed)
    # By chance one in ten thousand loses all its ACKs in a minute, and the RST that tells it so.
    assert outcomes["it hangs"] == 0
    assert outcomes["greeted"] >= CLIENTS - 3
    assert outcomes.total() == CLIENTS


async def wait_through(network: Network, a: Host, b: Host, outage: float) -> tuple[bytes, float]:
    """The SYN arrives, and then nothing of the client's for so many seconds. What it read, or the
    name of the error; and how many seconds after the SYN-ACK."""
    good = Conditions(delay=0.05)
    network.link(a, b, good)
    b.start(greet(rudp.Config()))

    async def wait() -> tuple[bytes, float]:
        reader, writer = await rudp.open_connection(b.ipv4, PORT)
        established = now()
        try:
            return await reader.readline(), now() - established
        except OSError as error:
            return errno.errorcode[error.errno or 0].encode(), now() - established
        finally:
            writer.close()

    client = asyncio.ensure_future(a.run(wait()))
    await asyncio.sleep(0.06)
    network.link(a, b, Conditions(loss=1.0), good)
    await asyncio.sleep(outage)
    network.link(a, b, good)
    return await client


# Of the server's SYN-ACKs, which draw an ACK too, the last comes after three seconds.
@pytest.mark.parametrize(("outage", "seconds"), [(0.5, 1.1), (2, 3.1), (5, 7.1), (30, 31.1)])
def test_after_an_outage_the_client_asks_for_the_greeting(outage: float, seconds: float) -> None:
    read, after = simulate(lambda *hosts: wait_through(*hosts, outage))
    assert (read, after) == (GREETING, pytest.approx(seconds, abs=0.01))


def test_a_client_that_the_server_has_forgotten_is_told() -> None:
    read, after = simulate(lambda *hosts: wait_through(*hosts, 32))
    assert (read, after) == (b"ECONNRESET", pytest.approx(63.1, abs=0.01))
