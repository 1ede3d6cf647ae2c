"""Connections that say nothing fall asleep, wake up for whatever comes, and nobody notices.

Whether one sleeps is asked of its channel, since nothing else can tell. Most of it happens in the
simulated network, where seconds cost nothing.
"""

from __future__ import annotations

import asyncio
import gc
import math
import socket
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import rudp
from rudp import sim
from rudp.core.congestion import Reno
from rudp.dormancy import AT_ONCE, WORTHWHILE
from rudp.engine import Engine

from .peers import HOST, asked, channels, closed, echo, opened
from .simulation.programs import PORT, now, simulate
from .udp import until

AFTER = rudp.Config().dormant_after or math.inf
LONG = 3.0
"""Seconds in which it falls asleep, also when it was woken before, and the handshake is over."""
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def asleep(stream: Stream) -> bool:
    return stream[1].transport._channel.awake is None


def engine(stream: Stream) -> Engine:
    return stream[1].transport._engine


def timers(stream: Stream) -> int:
    """What its endpoint still waits for."""
    deadlines = engine(stream)._deadlines
    return len(deadlines._heap) + (deadlines._timer is not None)


Talk = Callable[[Stream, Stream], Awaitable[Any]]


def talk(
    scenario: Talk, client: rudp.Config | None = None, server: rudp.Config | None = None
) -> Any:
    """Run `scenario` with both ends of a connection over which a word has gone each way."""

    async def run(network: sim.Network, a: sim.Host, b: sim.Host) -> Any:
        network.link(a, b, sim.Conditions(delay=0.01))
        accepted: asyncio.Queue[Stream] = asyncio.Queue()

        async def serve() -> None:
            await rudp.start_server(
                lambda *stream: accepted.put_nowait(stream), "0.0.0.0", PORT, config=server
            )

        await b.run(serve())
        ours = await a.run(rudp.open_connection("b", PORT, config=client))
        theirs = await accepted.get()
        await say(ours, theirs)
        await say(theirs, ours)
        try:
            return await scenario(ours, theirs)
        finally:
            for _, writer in (ours, theirs):
                writer.transport.abort()
            await asyncio.sleep(1.0)

    return simulate(run)


async def say(speaker: Stream, listener: Stream, what: bytes = b"a word") -> None:
    speaker[1].write(what)
    assert await listener[0].readexactly(len(what)) == what


class Greeting(asyncio.Protocol):
    """A word to begin with, without which a client keeps a timer for a minute."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"hello")


# -- when ----------------------------------------------------------------------------------------


def test_a_connection_that_rests_falls_asleep_and_then_there_is_no_timer() -> None:
    async def scenario(ours: Stream, theirs: Stream) -> None:
        await asyncio.sleep(AFTER - 0.1)
        assert not asleep(ours)
        assert not asleep(theirs)
        await asyncio.sleep(0.3)
        assert asleep(theirs)
        await asyncio.sleep(LONG)  # the client kept the timer of its handshake for a second
        assert asleep(ours)
        await asyncio.sleep(10.0)  # nothing is entered anew
        assert timers(ours) == timers(theirs) == 0

    talk(scenario)


def test_with_none_it_never_does() -> None:
    async def scenario(ours: Stream, theirs: Stream) -> None:
        await asyncio.sleep(100.0)
        assert not asleep(ours)
        assert asleep(theirs)
        assert timers(ours) == 0

    talk(scenario, client=rudp.Config(dormant_after=None))


class Mine(Reno):
    """A user's own congestion control."""


def test_with_a_congestion_control_of_the_users_it_never_does() -> None:
    async def scenario(ours: Stream, theirs: Stream) -> None:
        await asyncio.sleep(100.0)
        assert not asleep(ours)
        assert timers(ours) == 0

    talk(scenario, client=rudp.Config(congestion=Mine))


def test_what_nobody_reads_keeps_it_awake_and_costs_no_timer() -> None:
    async def scenario(ours: Stream, theirs: Stream) -> None:
        theirs[1].transport.pause_reading()
        ours[1].write(b"unread")
        await asyncio.sleep(10.0)
        assert asleep(ours)
        assert not asleep(theirs)
        assert timers(theirs) == 0
        theirs[1].transport.resume_reading()
        assert await theirs[0].readexactly(6) == b"unread"
        await say(theirs, ours)
        await asyncio.sleep(10.0)
        assert asleep(theirs)

    talk(scenario)


def test_what_was_paused_is_read_and_then_it_falls_asleep() -> None:
    async def scenario(ours: Stream, theirs: Stream) -> None:
        theirs[1].transport.pause_reading()
        ours[1].write(b"unread")
        await asyncio.sleep(10.0)
        assert timers(theirs) == 0
        theirs[1].transport.resume_reading()
        assert await theirs[0].readexactly(6) == b"unread"
        await asyncio.sleep(0.1)
        assert asleep(theirs)
        assert timers(theirs) == 0

    talk(scenario)


def test_who_is_woken_soon_rests_twice_as_long_before_he_sleeps_again() -> None:
    async def naps(ours: Stream, theirs: Stream, period: float) -> list[bool]:
        slept = []
        for _ in range(8):
            await asyncio.sleep(period)
            slept.append(asleep(theirs))
            await say(ours, theirs)
        return slept

    async def often(ours: Stream, theirs: Stream) -> list[bool]:
        return await naps(ours, theirs, 5 * AFTER)

    async def seldom(ours: Stream, theirs: Stream) -> list[bool]:
        return await naps(ours, theirs, 2 * WORTHWHILE)

    assert talk(often) == [True] * 3 + [False] * 5  # after 1, 2 and 4 times as long, and then 8
    assert talk(seldom) == [True] * 8


def test_of_many_only_some_are_packed_in_one_turn_of_the_loop() -> None:
    async def scenario(network: sim.Network, a: sim.Host, b: sim.Host) -> None:
        network.link(a, b, sim.Conditions(delay=0.01))

        async def serve() -> None:
            await rudp.create_server(Greeting, "0.0.0.0", PORT)

        async def run() -> None:
            config = rudp.Config(dormant_after=20.0)
            endpoint = await rudp.Endpoint.open(("0.0.0.0", 0), config=config)
            for _ in range(100):
                await endpoint.create_connection(asyncio.Protocol, "b", PORT)
            await asyncio.sleep(5.0)
            channels = endpoint.engine.channels
            for channel in channels:
                endpoint.engine._deadlines.forget(channel)
            later = max(each.view().last_heard for each in channels) + 20.0
            assert endpoint.engine._dormancy.busy(channels, later) == []
            assert sum(each.awake is None for each in channels) == AT_ONCE
            await asyncio.sleep(20.0)
            assert all(each.awake is None for each in channels)
            endpoint.abort()

        await b.run(serve())
        await a.run(run())

    simulate(scenario)


# -- what wakes it, and what does not ------------------------------------------------------------


async def sleeping(ours: Stream, theirs: Stream) -> None:
    await asyncio.sleep(LONG)
    assert asleep(ours)
    assert asleep(theirs)


def test_data_wakes_both_ends_and_then_they_sleep_again() -> None:
    async def scenario(ours: Stream, theirs: Stream) -> None:
        for speaker, listener in ((ours, theirs), (theirs, ours)):
            await sleeping(ours, theirs)
            await say(speaker, listener, bytes(100_000))
            assert not asleep(ours)
            assert not asleep(theirs)
            await asyncio.sleep(LONG)

    talk(scenario)


def test_to_look_at_it_does_not_wake_it() -> None:
    async def scenario(ours: Stream, theirs: Stream) -> None:
        transport = ours[1].transport

        def seen() -> list[Any]:
            view = transport.get_extra_info("socket")
            return [
                transport.get_extra_info("tcp_info"),
                transport.get_extra_info("peername"),
                transport.get_extra_info("sockname"),
                transport.get_write_buffer_size(),
                view.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY),
                repr(transport),
                repr(view),
            ]

        await asyncio.sleep(0.5)
        before = seen()
        await sleeping(ours, theirs)
        assert seen() == before
        assert asleep(ours)
        assert "ESTABLISHED" in repr(transport)

    talk(scenario)


def test_a_socket_option_holds() -> None:
    async def scenario(ours: Stream, theirs: Stream) -> None:
        await sleeping(ours, theirs)
        view = ours[1].get_extra_info("socket")
        view.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
        assert view.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 0
        await sleeping(ours, theirs)
        assert view.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 0

    talk(scenario)


def test_whatever_woke_it_it_falls_asleep_again() -> None:
    async def scenario(ours: Stream, theirs: Stream) -> None:
        await sleeping(ours, theirs)
        ours[1].write(b"")
        assert not asleep(ours)
        await asyncio.sleep(LONG)
        assert asleep(ours)

    talk(scenario)


def test_a_narrower_path_is_heeded() -> None:
    async def scenario(ours: Stream, theirs: Stream) -> None:
        await sleeping(ours, theirs)
        channel = ours[1].transport._channel
        engine(ours).routes._mtus[channel.addr[0]] = 1000
        engine(ours).routes.forget = lambda addr: None  # type: ignore[method-assign]
        engine(ours)._lower_mss(channel.addr)
        assert channel.view().send_mss == 1000 - 48 - 12
        await asyncio.sleep(LONG)
        assert asleep(ours)

    talk(scenario)


@pytest.mark.parametrize("how", ["close", "write_eof", "abort"])
def test_the_end_comes_as_ever(how: str) -> None:
    async def scenario(ours: Stream, theirs: Stream) -> None:
        await sleeping(ours, theirs)
        getattr(ours[1].transport, how)()
        if how == "abort":
            with pytest.raises(ConnectionResetError):
                await theirs[0].read()
            return
        assert await theirs[0].read() == b""
        theirs[1].write(b"the rest")
        theirs[1].close()
        if how == "write_eof":
            assert await ours[0].read() == b"the rest"
            await theirs[1].wait_closed()
            ours[1].close()
            await ours[1].wait_closed()

    talk(scenario)


def test_half_closed_it_sleeps_too() -> None:
    async def scenario(ours: Stream, theirs: Stream) -> None:
        ours[1].write_eof()
        assert await theirs[0].read() == b""
        await sleeping(ours, theirs)
        await say(theirs, ours)

    talk(scenario)


def test_keepalive_goes_on_and_finds_a_peer_that_is_gone() -> None:
    keepalive = rudp.Keepalive(idle=90.0, interval=5.0, count=3)

    async def scenario(network: sim.Network, a: sim.Host, b: sim.Host) -> float:
        network.link(a, b, sim.Conditions(delay=0.01))

        async def serve() -> None:
            await rudp.create_server(Greeting, "0.0.0.0", PORT)

        async def ask() -> float:
            config = rudp.Config(keepalive=keepalive)
            stream = await rudp.open_connection("b", PORT, config=config)
            assert await stream[0].readexactly(5) == b"hello"
            slept = 0
            for _ in range(400):
                await asyncio.sleep(1.0)
                slept += asleep(stream)
            assert slept > 380
            b.crash()
            begin = now()
            with pytest.raises(TimeoutError):
                await stream[0].read()
            stream[1].transport.abort()
            return now() - begin

        await b.run(serve())
        return await a.run(ask())

    assert 15.0 <= simulate(scenario) <= 110.0


# -- on real loops -------------------------------------------------------------------------------

# A client keeps the timer of its handshake for the first RTO.
SOON = rudp.Config(dormant_after=0.02, initial_rto=0.2)


async def test_on_a_real_loop_it_falls_asleep_and_goes_on() -> None:
    async with opened(config=SOON) as ours, opened(config=SOON) as theirs:
        await theirs.start_server(echo)
        streams = [await ours.open_connection(*theirs.sockname) for _ in range(3)]
        for _ in range(3):
            text = b"text" * 50_000
            assert await asyncio.gather(*(asked(each, text) for each in streams)) == [text] * 3
            await until(lambda: all(asleep(each) for each in streams), 5.0)
        await closed(*streams)


async def test_an_endpoint_that_is_closed_resets_those_that_sleep() -> None:
    async with opened(config=SOON) as theirs:
        await theirs.start_server(echo)
        ours = await rudp.Endpoint.open((HOST, 0), config=SOON)
        streams = [await ours.open_connection(*theirs.sockname) for _ in range(3)]
        await asyncio.gather(*(asked(each, b"x") for each in streams))
        await until(lambda: all(asleep(each) for each in streams), 5.0)
        ours.abort()
        assert [await reader.read() for reader, _ in streams] == [b""] * 3
        await until(lambda: not channels(theirs), 5.0)


async def test_those_that_sleep_are_few_objects() -> None:
    async with opened(config=SOON) as ours, opened(config=SOON) as theirs:
        await theirs.create_server(Greeting)
        for _ in range(2):  # what is made once for all of them is there after the first
            gc.collect()
            before = len(gc.get_objects())
            for _ in range(5):
                await asyncio.gather(
                    *(ours.create_connection(asyncio.Protocol, *theirs.sockname) for _ in range(50))
                )
            await until(
                lambda: all(
                    each.awake is None for end in (ours, theirs) for each in end.engine.channels
                ),
                20.0,
            )
            gc.collect()
            objects = len(gc.get_objects()) - before
        # A channel, a transport and a protocol, each with a few objects of its own, at both ends.
        assert objects / 250 < 2 * 7
        ours.abort()
        theirs.abort()


async def test_with_its_streams_a_connection_that_sleeps_takes_a_few_kib_at_both_ends() -> None:
    async with opened(config=SOON) as ours, opened(config=SOON) as theirs:
        await theirs.start_server(echo)
        streams: list[Stream] = []
        for many in (20, 100):  # what is made once for all of them is there after the first
            gc.collect()
            tracemalloc.start()
            for _ in range(many):
                streams.append(await ours.open_connection(*theirs.sockname))
                streams[-1][1].write(b"x")
                assert await streams[-1][0].readexactly(1) == b"x"
            await until(lambda: all(asleep(each) for each in streams), 20.0)
            await until(lambda: all(each.awake is None for each in theirs.engine.channels), 20.0)
            gc.collect()
            taken, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert taken / 100 < 8000
        await closed(*streams)
