"""`rudp.Endpoint`, and what an endpoint of one's own is to `open_connection` and `start_server`."""

from __future__ import annotations

import asyncio

import pytest

import rudp
from rudp.core.segment import ACK, FIN, RST, SYN, Segment

from . import peers
from .peers import (
    HOST,
    Accepted,
    RawPeer,
    Watch,
    asked,
    channels,
    closed,
    dropped,
    echo,
    opened,
)
from .udp import until

quiet_loop = peers.quiet_loop


class Lines(asyncio.Protocol):
    """A protocol that keeps what it gets."""

    def __init__(self) -> None:
        self.data = b""
        self.made = 0
        self.lost: list[Exception | None] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.made += 1

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)


# -- many connections, one socket ----------------------------------------------------------------


async def test_one_socket_carries_many_connections_that_do_not_mix() -> None:
    async with opened() as ours, opened() as theirs:
        await theirs.start_server(echo)
        streams = [await ours.open_connection(*theirs.sockname) for _ in range(50)]
        texts = [b"%d" % i * 100 for i in range(50)]
        answers = await asyncio.gather(*map(asked, streams, texts))
        assert answers == texts
        assert {w.get_extra_info("udp_sockname") for _, w in streams} == {ours.sockname}
        assert len({w.get_extra_info("sockname") for _, w in streams}) == 50
        assert channels(ours) == channels(theirs) == 50
        await closed(*streams)
        assert channels(ours) == 0


async def test_one_endpoint_listens_and_connects_at_once() -> None:
    async with opened() as one, opened() as other:
        await one.start_server(echo)
        await other.start_server(echo)
        there = await one.open_connection(*other.sockname)
        back = await other.open_connection(*one.sockname)
        assert await asked(there, b"there") == b"there"
        assert await asked(back, b"back") == b"back"
        await closed(there, back)


async def test_an_endpoint_connects_to_itself() -> None:
    async with opened() as endpoint:
        await endpoint.start_server(echo)
        stream = await endpoint.open_connection(*endpoint.sockname)
        assert await asked(stream, b"echo") == b"echo"
        await closed(stream)


async def test_two_servers_listen_on_two_tcp_ports_of_one_endpoint() -> None:
    async with opened() as endpoint:
        first, second = Accepted(), Accepted()
        await endpoint.start_server(first, 80)
        server = await endpoint.start_server(second, 443)
        udp_port = endpoint.sockname[1]
        one = await rudp.open_connection(HOST, 80, udp_port=udp_port)
        other = await rudp.open_connection(HOST, 443, udp_port=udp_port)
        their_one, their_other = await first.next(), await second.next()
        one[1].write(b"one")
        other[1].write(b"other")
        assert await their_one[0].readexactly(3) == b"one"
        assert await their_other[0].readexactly(5) == b"other"
        server.close()
        with pytest.raises(ConnectionRefusedError):
            await rudp.open_connection(HOST, 443, udp_port=udp_port)
        third = await rudp.open_connection(HOST, 80, udp_port=udp_port)
        await dropped(one, other, third, their_one, their_other, await first.next())


async def test_the_servers_of_an_endpoint_leave_it_open_when_they_close() -> None:
    async with opened() as endpoint:
        for _ in range(2):
            async with await endpoint.start_server(echo, 80):
                stream = await rudp.open_connection(HOST, 80, udp_port=endpoint.sockname[1])
                assert await asked(stream, b"again") == b"again"
                await closed(stream)


# -- simultaneous open ---------------------------------------------------------------------------


async def test_two_endpoints_that_open_at_once_share_one_connection() -> None:
    ours, theirs = Watch(), Watch()
    async with opened(tap=ours) as one, opened(tap=theirs) as other:
        # `connect` resolves nothing, so that both SYNs are on their way before either arrives.
        (left, left_lines), (right, right_lines) = await asyncio.gather(
            one.connect(Lines, other.sockname, 2000, 1000),
            other.connect(Lines, one.sockname, 1000, 2000),
        )
        for watch in (ours, theirs):
            assert watch.lines()[:2] == ["> S 0 SYN_SENT", "< S 0 SYN_RCVD"]
            assert not [line for line in watch.lines() if "R" in line.split()[1]]
        # Who reads first answers with SYN-ACK. The other may find both at once, and is done then.
        assert "> S. 0 SYN_RCVD" in ours.lines() + theirs.lines()
        assert channels(one) == channels(other) == 1
        assert left.get_extra_info("sockname") == (HOST, 1000)
        assert left.get_extra_info("peername") == (HOST, 2000)
        left.write(b"from the left")
        right.write(b"from the right")
        await until(lambda: left_lines.data == b"from the right")
        await until(lambda: right_lines.data == b"from the left")
        assert (left_lines.made, right_lines.made) == (1, 1)
        left.close()
        right.close()
        await until(lambda: left_lines.lost == right_lines.lost == [None])
        assert channels(one) == channels(other) == 0


async def test_a_simultaneous_open_agrees_on_the_same_options_as_any_other() -> None:
    async with opened() as one, opened(config=rudp.Config(sack=False)) as other:
        (left, _), (right, _) = await asyncio.gather(
            one.connect(Lines, other.sockname, 2000, 1000),
            other.connect(Lines, one.sockname, 1000, 2000),
        )
        for transport in (left, right):
            assert transport.get_extra_info("tcp_info").options == ("timestamps", "wscale", "ecn")
            transport.abort()


async def test_opening_towards_who_only_connects_elsewhere_is_refused() -> None:
    async with opened() as one, opened() as other:
        with pytest.raises(ConnectionRefusedError):
            await one.connect(Lines, other.sockname, 2000, 1000)
        assert channels(one) == channels(other) == 0


# -- the tap -------------------------------------------------------------------------------------


async def test_a_tap_sees_every_segment_with_the_state_it_left() -> None:
    ours, theirs = Watch(), Watch()
    accepted = Accepted()
    async with opened(tap=ours) as client, opened(tap=theirs) as endpoint:
        await endpoint.start_server(accepted)
        stream = await client.open_connection(*endpoint.sockname)
        server_side = await accepted.next()
        stream[1].write(b"hello")
        assert await server_side[0].readexactly(5) == b"hello"
        stream[1].write_eof()
        assert await server_side[0].read() == b""
        await closed(server_side)
        assert await stream[0].read() == b""
        await closed(stream)
        await until(lambda: theirs.lines()[-1] == "< . 0 CLOSED")
    # Pure ACKs in between may be fewer where data or a FIN carries them.
    assert [line for line in ours.lines() if " . 0 " not in line] == [
        "> S 0 SYN_SENT",
        "< S. 0 ESTABLISHED",
        "> . 5 ESTABLISHED",
        "> F. 0 FIN_WAIT_1",
        "< F. 0 TIME_WAIT",
    ]
    assert ours.lines()[2] == "> . 0 ESTABLISHED"
    assert ours.lines()[-1] == "> . 0 TIME_WAIT"
    assert theirs.lines()[:3] == ["< S 0 SYN_RCVD", "> S. 0 SYN_RCVD", "< . 0 ESTABLISHED"]
    assert theirs.lines()[-2:] == ["> F. 0 LAST_ACK", "< . 0 CLOSED"]
    assert ours.times == sorted(ours.times)


async def test_a_tap_sees_segments_as_they_came() -> None:
    # What processing takes off a segment, as here the SYN that came before, was there all the same.
    watch = Watch()
    async with opened(tap=watch) as endpoint, RawPeer.open() as peer:
        task = asyncio.create_task(endpoint.open_connection(HOST, 80, udp_port=peer.addr[1]))
        syn = await peer.next()
        ours = Segment(80, syn.src_port, 7, 0, SYN, 1000)
        with_ack = Segment(80, syn.src_port, 7, (syn.seq + 1) % 2**32, SYN | ACK, 1000)
        peer.send(endpoint.sockname, ours, with_ack)
        await dropped(await task)
        came = [(segment.flags, segment.seq) for way, segment, _ in watch.seen if way == "<"]
        assert came[:2] == [(SYN, 7), (SYN | ACK, 7)]


async def test_a_tap_sees_what_belongs_to_no_connection() -> None:
    watch = Watch()
    async with opened(tap=watch) as endpoint, RawPeer.open() as peer:
        addr = endpoint.sockname
        await peer.answers(addr, Segment(5, 6, 9, 0, SYN, 0))
        assert watch.lines()[:2] == ["< S 0 CLOSED", "> R. 0 CLOSED"]
        await endpoint.start_server(echo, 80)
        watch.seen.clear()
        await peer.answers(addr, Segment(5, 80, 9, 0, FIN, 0))
        assert watch.lines()[:1] == ["< F 0 LISTEN"]


# -- the end of an endpoint ----------------------------------------------------------------------


async def test_a_closed_endpoint_lets_its_connections_go_on() -> None:
    async with opened() as ours, opened() as theirs:
        await theirs.start_server(echo)
        stream = await ours.open_connection(*theirs.sockname)
        ours.close()
        ours.close()
        waiting = asyncio.create_task(ours.wait_closed())
        assert await asked(stream, b"still here") == b"still here"
        assert not waiting.done()
        await closed(stream)
        async with asyncio.timeout(5):
            await waiting
            await ours.wait_closed()


async def test_a_closed_endpoint_refuses_who_comes() -> None:
    async with opened() as ours, opened() as theirs:
        await theirs.start_server(echo)
        stream = await ours.open_connection(*theirs.sockname)
        assert await asked(stream, b"we are accepted") == b"we are accepted"
        theirs.close()
        with pytest.raises(ConnectionRefusedError):
            await ours.open_connection(*theirs.sockname)
        assert await asked(stream, b"but we go on") == b"but we go on"
        await closed(stream)
        async with asyncio.timeout(5):
            await theirs.wait_closed()


async def test_a_closed_endpoint_takes_nothing_new() -> None:
    async with opened() as ours, opened() as theirs:
        await theirs.start_server(echo)
        stream = await ours.open_connection(*theirs.sockname)
        ours.close()
        with pytest.raises(RuntimeError, match="closed"):
            await ours.open_connection(*theirs.sockname)
        with pytest.raises(RuntimeError, match="closed"):
            await ours.start_server(echo)
        await closed(stream)
        async with asyncio.timeout(5):
            await ours.wait_closed()


@pytest.mark.parametrize("call", ["close", "abort"])
async def test_a_server_knows_that_its_endpoint_was_closed(call: str) -> None:
    async with opened() as endpoint:
        server = await endpoint.start_server(echo)
        assert server.is_serving()
        getattr(endpoint, call)()
        assert not server.is_serving()
        server.close()
        async with asyncio.timeout(5):
            await server.wait_closed()


async def test_a_half_open_connection_does_not_hold_up_the_end() -> None:
    async with opened() as endpoint, RawPeer.open() as peer:
        server = await endpoint.start_server(echo)
        syn = Segment(5, endpoint.sockname[1], 0, 0, SYN, 1000)
        assert len(await peer.answers(endpoint.sockname, syn)) == 1
        server.close()
        endpoint.close()
        async with asyncio.timeout(1):
            await endpoint.wait_closed()
        assert (await peer.next()).flags & RST  # and whoever it was knows it


async def test_wait_closed_can_be_cancelled_and_asked_again() -> None:
    async with opened() as endpoint:
        endpoint_waits = asyncio.create_task(endpoint.wait_closed())
        await asyncio.sleep(0)
        endpoint_waits.cancel()
        with pytest.raises(asyncio.CancelledError):
            await endpoint_waits
        endpoint.close()
        async with asyncio.timeout(5):
            await endpoint.wait_closed()


async def test_an_unused_endpoint_closes_its_socket_at_once() -> None:
    endpoint = await rudp.Endpoint.open((HOST, 0))
    sock = endpoint.engine.datagrams.sock
    endpoint.close()
    await endpoint.wait_closed()
    assert sock.fileno() == -1
    with pytest.raises(RuntimeError, match="closed: open a new one"):
        await endpoint.open_connection(HOST, 9)


async def test_an_aborted_endpoint_resets_its_connections() -> None:
    accepted = Accepted()
    async with opened() as ours, opened() as theirs:
        await theirs.start_server(accepted)
        stream = await ours.open_connection(*theirs.sockname)
        server_side = await accepted.next()
        sock = theirs.engine.datagrams.sock
        theirs.abort()
        assert sock.fileno() == -1
        await theirs.wait_closed()
        with pytest.raises(ConnectionResetError):
            await stream[0].read()
        assert await server_side[0].read() == b""
        await dropped(stream, server_side)


async def test_an_endpoint_as_a_context_manager_waits_for_its_connections() -> None:
    async with opened() as theirs:
        server = await theirs.start_server(echo)
        async with await rudp.Endpoint.open((HOST, 0)) as ours:
            reader, writer = await ours.open_connection(*theirs.sockname)
            writer.write(b"x" * 300_000)
            writer.write_eof()
            answer = asyncio.create_task(reader.read())
            asyncio.get_running_loop().call_later(0.01, server.close)
            answer.add_done_callback(lambda _: writer.close())
        assert await answer == b"x" * 300_000
        assert channels(ours) == 0
