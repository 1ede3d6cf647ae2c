"""Rows 8 and 9: nobody has us send to a third more than he sends us, or talk to ourselves."""

from __future__ import annotations

import asyncio
import itertools
import random
from typing import Any

import pytest

import rudp
import rudp.sim
from rudp.core.codec import HEADER, decode, encode
from rudp.core.config import Config
from rudp.core.connection import Connection, open_active, open_passive
from rudp.core.segment import ACK, FIN, PSH, RST, SYN, Segment
from rudp.core.state import CLOSED, ESTABLISHED
from rudp.core.stray import answer_closed, answer_listen
from tests.peers import Accepted
from tests.threats.strangers import Tally

SYN_SEQ = 2**32 - 2


def bare_syn(**options: Any) -> Segment:
    return Segment(4000, 80, SYN_SEQ, 0, SYN, 65535, **options)


OFFERS = [
    bare_syn(),
    bare_syn(mss=1460),
    bare_syn(ts_val=77),
    bare_syn(mss=1460, sack_permitted=True, window_scale=7),
    bare_syn(mss=1460, sack_permitted=True, ts_val=77, window_scale=7),
]


def until_given_up(connection: Connection, now: float) -> list[Segment]:
    """All that it sends by itself."""
    sent = connection.segments_to_send(now)
    while connection.state is not CLOSED:
        now = connection.next_deadline()
        connection.handle_timeout(now)
        sent += connection.segments_to_send(now)
    return sent


# -- 8: amplification (RFC 9000 section 8) -------------------------------------------------------


@pytest.mark.parametrize("syn", OFFERS, ids=repr)
@pytest.mark.parametrize("repeats", [0, 2, 100])
def test_threat_08_reflection_a_syn_is_worth_three_datagrams_and_three_times_its_bytes(
    syn: Segment, repeats: int
) -> None:
    config = Config(syn_ack_retransmissions=repeats)
    connection = open_passive(config, iss=1, syn=syn, now=1.0, mss=1460, ecn=True)
    connection.write(b"x" * 100_000)  # nothing of it before the peer has proved its address
    sent = until_given_up(connection, 1.0)
    assert len(sent) == min(3, 1 + repeats)
    assert all(segment.flags & SYN and not segment.data for segment in sent)
    assert len(encode(sent[0])) <= len(encode(syn))
    assert sum(len(encode(segment)) for segment in sent) <= 3 * len(encode(syn))


@pytest.mark.parametrize("seed", range(20))
def test_threat_08_reflection_whatever_follows_the_syn_draws_no_more_than_three_times_as_much(
    seed: int,
) -> None:
    rng = random.Random(seed)
    syn = rng.choice(OFFERS)
    first = encode(syn)
    connection = open_passive(Config(), iss=1, syn=syn, now=1.0, mss=1460)
    came, went, now = len(first), 0, 1.0
    for _ in range(60):
        for segment in connection.segments_to_send(now):
            went += len(encode(segment))
            assert not segment.data
        assert went <= 3 * came
        now += rng.choice((0.0, 0.01, 0.3, 2.0))
        connection.handle_timeout(now)
        flags = rng.choice((SYN, SYN, ACK, PSH | ACK, SYN | ACK, FIN | ACK, rng.randrange(256)))
        seq = SYN_SEQ + rng.choice((0, 0, 1, 2, -1, 1000, rng.randrange(2**32)))
        data = rng.randbytes(rng.choice((0, 0, 1, 100)))
        # Not the one that proves it: he would have to see our SYN-ACK.
        ack = rng.choice((0, 1, 3, rng.randrange(3, 2**32)))
        stranger = Segment(4000, 80, seq % 2**32, ack, flags & ~RST, 65535, data)
        if rng.random() < 0.7:
            stranger.ts_val = syn.ts_val
        came += len(encode(stranger))
        connection.receive(stranger, now)


def test_threat_08_reflection_no_answer_out_of_nowhere_is_larger_than_what_it_answers() -> None:
    for flags, data in itertools.product(range(256), (b"", b"x", b"x" * 1000)):
        stray = Segment(4000, 80, 1, 2, flags, 65535, data)
        for answer in (answer_closed(stray), answer_listen(stray)):
            assert answer is None or len(encode(answer)) == HEADER <= len(encode(stray))


# -- 9: loops (CVE-2024-2169) and ACK storms -----------------------------------------------------


@pytest.mark.parametrize(
    "answers", [*itertools.product((answer_closed, answer_listen), repeat=2)]
)
def test_threat_09_loops_two_that_know_nothing_answer_each_other_once(answers: Any) -> None:
    for flags, data in itertools.product(range(256), (b"", b"x")):
        segment: Segment | None = Segment(4000, 80, 1, 2, flags, 65535, data)
        for number, answer in enumerate(itertools.cycle(answers)):
            segment = answer(segment)
            if segment is None:
                break
            assert number == 0


def test_threat_09_loops_no_forged_segment_sets_two_endpoints_on_each_other() -> None:
    # Both have a listener, an established connection, one in TIME-WAIT, and ports without anything.
    rng = random.Random(9)

    async def scenario(network: rudp.sim.Network) -> list[tuple[str, int]]:
        hosts = network.host("a"), network.host("b")
        network.link(*hosts, rudp.sim.Conditions(delay=0.01))
        tallies = Tally(), Tally()
        accepted = Accepted()

        async def start(tally: Tally) -> rudp.Endpoint:
            config = rudp.Config(msl=1000.0)
            endpoint = await rudp.Endpoint.open(("0.0.0.0", 9000), config=config, tap=tally)
            await endpoint.start_server(accepted, 80)
            return endpoint

        ends = [await host.run(start(tally)) for host, tally in zip(hosts, tallies, strict=True)]

        async def connect(local_port: int) -> Any:
            return await ends[0].open_connection("b", 80, udp_port=9000, local_port=local_port)

        stream = await hosts[0].run(connect(5000))
        kept = await accepted.next()
        first = await hosts[0].run(connect(5001))
        second = await accepted.next()
        first[1].close()
        await asyncio.sleep(1)
        second[1].close()
        await asyncio.sleep(1)
        assert ends[0].engine.time_waits
        await asyncio.sleep(1)
        worst = []
        for flags, port in itertools.product(range(64), (80, 5000, 5001, 7)):
            peer_port = rng.choice((80, 81))
            target = rng.randrange(2)
            ports = (peer_port, port) if target == 0 else (port, peer_port)
            engine = ends[target].engine
            known = [channel.connection for channel in engine.channels]
            seq = rng.choice([rng.randrange(2**32), *(each.rcv.nxt for each in known)])
            ack = rng.choice([rng.randrange(2**32), *(each.snd.nxt for each in known)])
            if flags & RST and known and port == 5000 and seq == known[0].rcv.nxt:
                seq += 1  # he does not know that number
            data = rng.choice((b"", b"x"))
            forged = Segment(*ports, seq % 2**32, ack % 2**32, flags, 65535, data, ts_val=2**31)
            before = sum(tally.went for tally in tallies)
            sender = (hosts[1 - target].ipv4, 9000)
            engine.datagrams_received([(encode(forged), sender)], engine.clock())
            await asyncio.sleep(0.9)
            worst.append((repr(forged), sum(tally.went for tally in tallies) - before))
        assert ends[0].engine.time_waits
        assert ends[0].engine.channels  # it has outlived all of that
        for each in (stream, kept):
            each[1].transport.abort()
        return worst

    found = rudp.sim.run(scenario, seed=9)
    assert sum(packets for _, packets in found) > len(found) // 3
    for forged, packets in found:
        assert packets <= 4, forged


def established(config: Config) -> tuple[Connection, Connection]:
    mine = {"iss": 2**32 - 5, "now": 0.0, "mss": 1460}
    client = open_active(config, local_port=4000, peer_port=80, **mine)
    (syn,) = client.segments_to_send(0.0)
    server = open_passive(config, iss=2**32 - 9, syn=decode(encode(syn)), now=0.0, mss=1460)
    exchange(client, server, 0.0, 0.1)
    assert client.state is server.state is ESTABLISHED
    return client, server


def exchange(
    one: Connection, other: Connection, start: float, end: float
) -> dict[Connection, list[Segment]]:
    """What both send until `end`. Each segment takes a millisecond."""
    sent: dict[Connection, list[Segment]] = {one: [], other: []}
    for step in range(int((end - start) * 1000)):
        now = start + step / 1000
        for each, peer in ((one, other), (other, one)):
            each.handle_timeout(now)
            for segment in each.segments_to_send(now):
                sent[each].append(segment)
                peer.receive(decode(encode(segment)), now)
    return sent


@pytest.mark.parametrize("timestamps", [True, False])
@pytest.mark.parametrize("writing", [True, False])
def test_threat_09_loops_two_sides_that_disagree_send_two_acks_a_second(
    timestamps: bool, writing: bool
) -> None:
    # An attacker on the path has given each of them bytes in the other's name.
    ends = client, server = established(Config(timestamps=timestamps))
    for end, other in ((client, server), (server, client)):
        ports = other.local_port, other.peer_port
        forged = Segment(*ports, end.rcv.nxt, end.snd.nxt, PSH | ACK, 65535, b"forged")
        if end.timestamps is not None:
            forged.ts_val = end.timestamps.recent
        end.receive(decode(encode(forged)), 0.1)
        assert end.readable == 6
    for end in ends if writing else ():
        end.write(b"x" * 100)
    sent = exchange(client, server, 0.1, 10.1)
    for end, other in ((client, server), (server, client)):
        # Each segment with data is answered, and these come by the retransmission timer alone.
        answers = sum(len(segment.data) > 0 for segment in sent[other])
        empty = sum(not segment.data for segment in sent[end])
        assert empty - answers <= 2 * 10 + 1
        assert len(sent[end]) < 100
    # And then all is quiet, or would be if nobody had anything to say.
    if not writing:
        assert not any(exchange(client, server, 10.1, 20.1).values())
