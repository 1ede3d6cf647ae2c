"""Rows 22 to 26: fragments, forged ICMP, malformed segments, chosen hash collisions, floods."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import random
import socket
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest

import rudp
import rudp.sim
from rudp.core import codec
from rudp.core.segment import ACK, PSH, SYN, Segment, SegmentError
from rudp.datagrams import BYTE_BUDGET, MIN_COST, READ_BUDGET, bind_socket
from rudp.sockets import MTU_DISCOVER, PMTUDISC_DO
from tests import peers, udp
from tests.peers import HOST, Accepted, Hand, RawPeer, asked, closed, dropped, echo, relay_to
from tests.simulation.programs import ask, echo_server
from tests.threats.strangers import PORT, forge, serving
from tests.udp import Recorder, linux_only, needs_ipv6, until

quiet_loop = peers.quiet_loop
open_own = udp.open_own

# -- 22: fragments (CVE-2018-5391) ---------------------------------------------------------------


@linux_only
@pytest.mark.parametrize("host", [HOST, pytest.param("::1", marks=needs_ipv6)])
async def test_threat_22_fragments_are_forbidden_on_every_socket(host: str) -> None:
    server = await rudp.start_server(echo, host, 0)
    port = server.sockets[0].getsockname()[1]
    stream = await rudp.open_connection(host, port)
    transport: Any = stream[1].transport
    for sock in (server._endpoints[0].engine.datagrams.sock, transport._engine.datagrams.sock):
        assert sock.getsockopt(*MTU_DISCOVER[sock.family]) == PMTUDISC_DO
    await closed(stream)
    server.close()


def test_threat_22_fragments_are_not_needed_datagrams_have_1200_bytes_until_probed() -> None:
    # The path carries 1280 bytes and says nothing of what is larger.
    async def client() -> tuple[int, bytes, int]:
        reader, writer = await rudp.open_connection("b", PORT)
        first = writer.get_extra_info("tcp_info").snd_mss
        writer.write(bytes(100_000))
        writer.write_eof()
        answer = await reader.read(-1)
        lost = writer.get_extra_info("tcp_info").total_retrans
        writer.close()
        await writer.wait_closed()
        return first, answer, lost

    async def scenario(network: rudp.sim.Network) -> tuple[int, bytes, int]:
        a, b = network.host("a"), network.host("b")
        network.link(a, b, rudp.sim.Conditions(delay=0.02, mtu=1280, black_hole=True))
        b.start(echo_server(port=PORT))
        return await a.run(client())

    first, answer, lost = rudp.sim.run(scenario, seed=22)
    assert first + codec.HEADER + 12 == 1200
    assert (answer, lost) == (bytes(100_000), 0)  # what was too large were probes


# -- 23: forged ICMP (RFC 5927) ------------------------------------------------------------------

ICMP = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EPROTO, errno.EACCES,
        errno.EMSGSIZE, errno.ENOPROTOOPT, errno.EHOSTDOWN)


async def test_threat_23_icmp_ten_thousand_errors_end_no_established_connection() -> None:
    async with serving() as endpoint:
        stream = await rudp.open_connection(HOST, PORT, udp_port=endpoint.sockname[1])
        transport: Any = stream[1].transport
        (channel,) = endpoint.engine.channels
        before = stream[1].get_extra_info("tcp_info").snd_mss
        for round_ in range(10):
            for number in range(500):
                code = ICMP[number % len(ICMP)]
                # The client's socket is connected: no address. The server's tells of whom it is.
                transport._engine.error_received(OSError(code, os.strerror(code)))
                endpoint.engine.error_received(OSError(code, os.strerror(code)), channel.addr)
            question = b"%d" % round_ * 50
            assert await asked(stream, question) == question
        # "Fragmentation needed" had the kernel asked, not the segments made smaller.
        assert stream[1].get_extra_info("tcp_info").snd_mss == before
        await closed(stream)


async def test_threat_23_icmp_real_errors_end_no_established_connection() -> None:
    config = rudp.Config(min_rto=0.01, initial_rto=0.01)
    async with serving() as endpoint, relay_to(endpoint.sockname) as relay:
        stream = await rudp.open_connection(HOST, PORT, udp_port=relay.port, config=config)
        assert await asked(stream, b"before") == b"before"
        relay.unplug()  # each datagram from here on draws "port unreachable" from the kernel
        stream[1].write(b"meanwhile")
        await asyncio.sleep(0.05)
        relay.plug()
        assert await stream[0].readexactly(9) == b"meanwhile"
        await closed(stream)


# -- 24: what is no segment, and segments without sense ------------------------------------------


def malformed(rng: random.Random, hand: Hand) -> bytes:
    """A segment of his connection, or nearly: any flags, any options, some bytes wrong."""
    flags = rng.randrange(256) & ~0x04  # a RST may be right by chance, and rightly end it
    segment = hand.segment(flags, rng.randbytes(rng.randrange(3)), back=rng.randrange(-5, 5))
    segment.ack = (hand.ack + rng.randrange(-3, 3)) % 2**32
    datagram = bytearray(peers.encode(segment))
    options = rng.choice((b"", bytes(4), b"\1" * 8, rng.randbytes(4 * rng.randrange(1, 11))))
    if options and rng.random() < 0.5:
        # A kind that there is, of length 0, 1, 2, or beyond the end.
        options = bytes((rng.choice((2, 3, 4, 5, 8, 254)), rng.choice((0, 1, 2, 40, 255)))) + (
            options[2:]
        )
    datagram[12] = (5 + len(options) // 4 + rng.choice((*[0] * 10, 1, -3))) % 16 << 4 | 15
    datagram[18:20] = rng.randbytes(2)  # the urgent pointer
    datagram[20:20] = options
    return bytes(datagram[: rng.choice((*[len(datagram)] * 7, rng.randrange(60)))])


def test_threat_24_parser_makes_a_segment_of_it_or_says_that_it_is_none() -> None:
    rng = random.Random(24)
    hand = Hand(None, None, 4000, PORT)  # type: ignore[arg-type]
    refused = 0
    for _ in range(3000):
        datagram = malformed(rng, hand)
        try:
            codec.decode(datagram)
        except SegmentError:
            refused += 1
    assert 500 < refused < 2500


async def test_threat_24_parser_nothing_escapes_and_the_connection_goes_on() -> None:
    # quiet_loop demands that nothing was raised into the loop.
    rng = random.Random(24)
    accepted = Accepted()
    async with serving(accepted) as endpoint, RawPeer.open() as peer:
        hand = await Hand.connect(peer, endpoint.sockname, PORT)
        victim = await rudp.open_connection(HOST, PORT, udp_port=endpoint.sockname[1])
        streams = [await accepted.next() for _ in range(2)]
        for _ in range(40):
            forge(endpoint, [(malformed(rng, hand), peer.addr) for _ in range(50)])
        victim[1].write(b"still here")
        assert await streams[1][0].readexactly(10) == b"still here"
        await closed(victim, streams[1])
        await dropped(streams[0])


# -- 25: chosen hash collisions ------------------------------------------------------------------


def probes(keys: Iterable[Any]) -> float:
    """How many places CPython looks at for a key, on the average, in a dictionary of all these.

    Objects/dictobject.c: the table is at most two thirds full, and a place that is taken leads to
    the next by the bits of the hash not used yet.
    """
    hashes = [hash(key) % 2**64 for key in keys]
    mask = 8 - 1
    while len(hashes) * 3 > 2 * (mask + 1):
        mask = 2 * mask + 1
    taken: set[int] = set()
    looked_at = 0
    for value in hashes:
        place, perturb = value & mask, value
        looked_at += 1
        while place in taken:
            perturb >>= 5
            place = (5 * place + perturb + 1) & mask
            looked_at += 1
        taken.add(place)
    return looked_at / len(hashes)


def test_threat_25_collisions_of_ports_that_a_peer_chooses_cost_less_than_three_times() -> None:
    # A connection is known by (address, our port, the peer's port). The hash of a host's name has a
    # secret in it; of the two ports he may choose, he takes those whose share of the hash is alike
    # in the bits that are looked at first: Objects/tupleobject.c.
    prime, size = 14029467366897019727, 600
    low = Counter((port * prime % 2**64) >> 33 & 1023 for port in range(65536))
    worst = [place for place, _ in low.most_common(12)]
    chosen = [
        port for port in range(65536) if (port * prime % 2**64) >> 33 & 1023 in worst
    ][:size]
    rng = random.Random(25)
    by_chance = rng.sample(range(65536), size)

    def keys(ports: list[int]) -> list[Any]:
        return [((HOST, 4000), PORT, port) for port in ports]

    assert len(chosen) == size
    assert probes(keys(chosen)) < 3 * probes(keys(by_chance))
    # And the outer port, with the same inner ones.
    outer = [((HOST, port), PORT, 4000) for port in chosen]
    assert probes(outer) < 3 * probes([((HOST, port), PORT, 4000) for port in by_chance])


def test_threat_25_collisions_this_measure_finds_them_where_they_are() -> None:
    # Sequence numbers hash to themselves: those that are equal in the lower bits are the worst.
    assert probes(number << 44 for number in range(600)) > 3 * probes(range(600))


# -- 26: a flood at one socket -------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 20, 1200])
async def test_threat_26_starvation_a_wake_up_takes_a_portion_and_the_loop_has_its_turn(
    open_own: Any, size: int
) -> None:
    recorder = Recorder()
    layer = open_own(bind_socket(socket.AF_INET, (HOST, 0)), recorder)
    flooders = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(8)]
    turns: list[int] = []
    loop = asyncio.get_running_loop()
    recorder.on_datagrams = lambda: loop.call_soon(lambda: turns.append(len(recorder.batches)))
    count = min(400, layer.receive_buffer // 2048)
    for number, flooder in zip(range(count), itertools.cycle(flooders), strict=False):
        flooder.sendto(bytes(size + number % 2), layer.sockname)  # not to be joined by GRO
    await until(lambda: len(recorder.received) == count)
    await asyncio.sleep(0)
    assert max(map(len, recorder.batches)) <= READ_BUDGET
    assert BYTE_BUDGET // MIN_COST <= 1024  # so many if GRO has joined them
    # After each portion everybody else had a turn.
    assert turns == list(range(1, len(recorder.batches) + 1))
    for flooder in flooders:
        flooder.close()


async def test_threat_26_starvation_strangers_leave_no_work_behind_for_the_next_turn() -> None:
    # Neither a task, nor a timer, nor a connection to be pumped: what they cost, they cost at once.
    rng = random.Random(26)
    kinds = (ACK, PSH | ACK, SYN | ACK, 0)
    async with serving() as endpoint:
        stream = await rudp.open_connection(HOST, PORT, udp_port=endpoint.sockname[1])
        engine = endpoint.engine
        timers = len(engine._deadlines._heap)
        for _ in range(20):
            ports = [rng.randrange(65536) for _ in range(50)]
            flood = [Segment(port, PORT, 1, 2, rng.choice(kinds), 0) for port in ports]
            forge(endpoint, [(peers.encode(each), ("127.9.9.9", 9)) for each in flood])
        assert not engine._touched
        assert len(engine._deadlines._heap) == timers
        assert len(engine.channels) == 1
        assert len(asyncio.all_tasks()) <= 3
        assert await asked(stream, b"my turn") == b"my turn"
        await closed(stream)


def test_threat_26_starvation_of_a_server_in_the_simulator_costs_a_client_nothing() -> None:
    # 500 segments out of nowhere a second, beside a client that asks question after question.
    rng = random.Random(26)

    async def flooding(target: str) -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=(target, PORT)
        )
        while True:
            for _ in range(50):
                flags = rng.choice((SYN, ACK, PSH | ACK, SYN | ACK))
                ports = rng.randrange(65536), rng.choice((PORT, 81))
                transport.sendto(peers.encode(Segment(*ports, rng.randrange(2**32), 5, flags, 9)))
            await asyncio.sleep(0.1)

    def seconds(flooded: bool) -> float:
        async def scenario(network: rudp.sim.Network) -> float:
            server, client, attacker = (network.host(name) for name in ("server", "client", "bad"))
            network.link(server, client, rudp.sim.Conditions(delay=0.01))
            server.start(echo_server(port=PORT))
            if flooded:
                attacker.start(flooding(server.ipv4))
            await asyncio.sleep(1)
            loop = asyncio.get_running_loop()
            start = loop.time()
            for _ in range(20):
                assert await client.run(ask("server", bytes(5000), port=PORT)) == bytes(5000)
            return loop.time() - start

        return rudp.sim.run(scenario, seed=26)

    assert seconds(flooded=True) <= 1.1 * seconds(flooded=False)


