"""Row 7: a flood of SYNs (RFC 4987). Once the backlog is full, SYN cookies keep the server open."""

from __future__ import annotations

import asyncio
import random
import tracemalloc
from typing import Any

import pytest

import rudp
import rudp.sim
from rudp.core.segment import ACK, ECE, FIN, PSH, SYN, Segment
from rudp.core.syn_cookie import LIFETIME
from rudp.sim import Conditions, Host, Network
from tests import peers
from tests.peers import HOST, ISS, Accepted, RawPeer, asked, channels, closed, dropped, kinds
from tests.simulation.programs import ask, echo_server
from tests.threats.strangers import (
    FULL_SYN,
    PORT,
    Tally,
    fill_backlog,
    forge,
    forged_addresses,
    serving,
    syns,
)
from tests.udp import until

quiet_loop = peers.quiet_loop


async def connect(endpoint: rudp.Endpoint, **config: Any) -> peers.Stream:
    udp_port = endpoint.sockname[1]
    return await rudp.open_connection(
        HOST, PORT, udp_port=udp_port, config=rudp.Config(**config)
    )


async def test_threat_07_syn_flood_keeps_nobody_out_and_leaves_nothing_behind() -> None:
    rng = random.Random(7)
    async with serving(backlog=16) as endpoint:
        fill_backlog(endpoint, 16)
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        for round_ in range(12):
            flood = syns(rng, 50, **FULL_SYN)
            forge(endpoint, list(zip(flood, forged_addresses(rng, 50), strict=True)))
            stream = await connect(endpoint)
            question = b"%d" % round_ * 50
            assert await asked(stream, question) == question
            assert stream[1].get_extra_info("tcp_info").total_retrans == 0
            await closed(stream)
            assert channels(endpoint) <= 16 + 2
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak - before < 2 * 1024 * 1024


def test_threat_07_syn_flood_over_a_lossy_path_costs_nobody_his_connection() -> None:
    # 200 SYNs a second, twice the default backlog.
    rng = random.Random(7)

    async def flooding(server: Host) -> None:
        loop = asyncio.get_running_loop()
        transports = []
        for _ in range(4):
            transport, _ = await loop.create_datagram_endpoint(
                asyncio.DatagramProtocol, remote_addr=(server.ipv4, PORT)
            )
            transports.append(transport)
        while True:
            for syn in syns(rng, 20, **FULL_SYN):
                rng.choice(transports).sendto(syn)
            await asyncio.sleep(0.1)

    async def scenario(network: Network) -> list[float]:
        server, client, attacker = (network.host(name) for name in ("server", "client", "attacker"))
        network.link(server, client, Conditions(delay=0.05, loss=0.01))
        network.link(server, attacker, Conditions(delay=0.02))
        server.start(echo_server(port=PORT))
        attacker.start(flooding(server))
        await asyncio.sleep(1)
        loop = asyncio.get_running_loop()

        async def visit(number: int) -> float:
            await asyncio.sleep(number * 0.1)
            start = loop.time()
            assert await ask("server", b"%d" % number, port=PORT) == b"%d" % number
            return loop.time() - start

        return list(await asyncio.gather(*(client.run(visit(i)) for i in range(100))))

    seconds = sorted(rudp.sim.run(scenario, seed=7))
    assert len(seconds) == 100
    assert seconds[98] < 3.5


@pytest.mark.parametrize("timestamps", [True, False])
async def test_threat_07_syn_flood_cookies_keep_the_options_in_the_timestamp(
    timestamps: bool,
) -> None:
    async with serving(backlog=1) as endpoint:
        calm = await connect(endpoint)
        fill_backlog(endpoint, 1)
        stream = await connect(endpoint, timestamps=timestamps)
        agreed, usual = (each[1].get_extra_info("tcp_info").options for each in (stream, calm))
        # Without timestamps there is no place for the others.
        assert agreed == (usual if timestamps else ())
        assert len(usual) >= 3
        data = random.Random(7).randbytes(300_000)
        assert await asked(stream, data) == data
        await closed(calm, stream)


def final_ack(syn_ack: Segment, flags: int = ACK, data: bytes = b"") -> Segment:
    """What ends the handshake."""
    ack = (syn_ack.seq + 1) % 2**32
    ports = (syn_ack.dst_port, syn_ack.src_port)
    options: dict[str, int] = {}
    if syn_ack.ts_val is not None:
        options = {"ts_val": 78, "ts_ecr": syn_ack.ts_val}
    return Segment(*ports, syn_ack.ack, ack, flags, 65535, data, **options)


def a_syn(port: int = 4000, **options: Any) -> Segment:
    return Segment(port, PORT, ISS, 0, SYN, 65535, **options)


@pytest.mark.parametrize("options", [FULL_SYN, {"mss": 1452}, {}], ids=["full", "mss", "bare"])
async def test_threat_07_syn_flood_data_with_the_ack_of_a_cookie_counts(
    options: dict[str, Any],
) -> None:
    accepted = Accepted()
    async with serving(accepted, backlog=1) as endpoint, RawPeer.open() as peer:
        fill_backlog(endpoint, 1)
        (syn_ack,) = await peer.answers(endpoint.sockname, a_syn(**options))
        assert channels(endpoint) == 1
        # The first ACK was lost; this one has data, and the end of it.
        peer.send(endpoint.sockname, final_ack(syn_ack, PSH | ACK | FIN, b"everything"))
        reader, writer = await accepted.next()
        assert await reader.read() == b"everything"
        await dropped((reader, writer))


async def test_threat_07_syn_flood_a_guessed_cookie_opens_nothing() -> None:
    rng = random.Random(7)
    async with serving(backlog=1) as endpoint, RawPeer.open() as peer:
        fill_backlog(endpoint, 1)
        (syn_ack,) = await peer.answers(endpoint.sockname, a_syn(**FULL_SYN))
        guesses = []
        for _ in range(500):
            guess = final_ack(syn_ack)
            guess.ack = rng.randrange(2**32)
            guesses.append(guess)
        for start in range(0, 500, 50):
            assert await peer.answers(endpoint.sockname, *guesses[start : start + 50]) == []
        assert channels(endpoint) == 1
        peer.send(endpoint.sockname, final_ack(syn_ack))
        await until(lambda: channels(endpoint) == 2)


async def test_threat_07_syn_flood_when_no_cookie_is_out_an_ack_is_reset_unlooked_at() -> None:
    async with serving(backlog=1) as endpoint, RawPeer.open() as peer:
        fill_backlog(endpoint, 1)
        (syn_ack,) = await peer.answers(endpoint.sockname, a_syn())
        stray = final_ack(syn_ack)
        stray.ack = (stray.ack + 12345) % 2**32
        assert await peer.answers(endpoint.sockname, stray) == []
        endpoint.engine.listeners[PORT].cookies_until -= LIFETIME
        answers = await peer.answers(endpoint.sockname, stray, final_ack(syn_ack))
        assert kinds(answers) == ["R", "R"]


async def test_threat_07_syn_flood_max_connections_stays_a_hard_limit() -> None:
    async with serving(backlog=1, max_connections=2) as endpoint, RawPeer.open() as peer:
        fill_backlog(endpoint, 1)
        first, second = await peer.answers(endpoint.sockname, a_syn(4000), a_syn(4001))
        await peer.answers(endpoint.sockname, final_ack(first), final_ack(second))
        assert channels(endpoint) == 2
        assert await peer.answers(endpoint.sockname, a_syn(4002)) == []


async def test_threat_07_syn_flood_a_cookie_never_reuses_a_pair_in_time_wait() -> None:
    # It could not be beyond the numbers of the old connection. The SYN will come again.
    accepted = Accepted()
    async with serving(accepted, backlog=1) as endpoint, RawPeer.open() as peer:
        hand = await peers.Hand.connect(peer, endpoint.sockname, PORT)
        stream = await accepted.next()
        stream[1].close()
        await hand.next(lambda segment: segment.flags & FIN)
        await hand.fin()
        await stream[1].wait_closed()
        await until(lambda: endpoint.engine.time_waits)
        await peer.fence(endpoint.sockname)
        fill_backlog(endpoint, 1)
        again = hand.segment(SYN)
        again.seq = (again.seq + 10**6) % 2**32
        assert await peer.answers(endpoint.sockname, again) == []
        assert endpoint.engine.time_waits


async def test_threat_07_syn_flood_cookies_are_answers_that_cost_one_segment_each() -> None:
    rng = random.Random(7)
    tally = Tally()
    async with serving(backlog=1, tap=tally) as endpoint:
        fill_backlog(endpoint, 1)
        tally.went = tally.bytes_went = tally.bytes_came = 0
        flood = syns(rng, 300, **FULL_SYN)
        forge(endpoint, list(zip(flood, forged_addresses(rng, 300), strict=True)))
        assert tally.went == 300
        assert tally.bytes_went <= tally.bytes_came
        assert not any(segment.flags & ECE for segment in tally.sent)
        assert channels(endpoint) == 1
