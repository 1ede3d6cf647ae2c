"""The UDP socket layer: what both classes behind its surface do."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from typing import Any

import pytest

from rudp.datagrams import (
    MAX_DATAGRAM,
    DatagramLayer,
    Datagrams,
    bind_socket,
    connect_socket,
    open_datagrams,
)
from rudp.loop_datagrams import LoopDatagrams, open_loop_datagrams

from .udp import LOCALHOST, Recorder, linux_only, needs_ipv6, pairs, until

Open = Callable[..., Awaitable[DatagramLayer]]


@pytest.fixture(params=["own", "loop"])
async def open_layer(request: pytest.FixtureRequest) -> AsyncIterator[Open]:
    """Opens a layer over a socket: our own, or asyncio's. Whatever is left open is aborted."""
    opened: list[DatagramLayer] = []

    async def open_one(sock: socket.socket, receiver: Any, **kwds: Any) -> DatagramLayer:
        opener = open_datagrams if request.param == "own" else open_loop_datagrams
        layer = await opener(asyncio.get_running_loop(), sock, receiver, **kwds)
        assert isinstance(layer, Datagrams if request.param == "own" else LoopDatagrams)
        opened.append(layer)
        return layer

    yield open_one
    for layer in opened:
        layer.abort()
    await asyncio.sleep(
        0.01
    )  # asyncio's and uvloop's transports close their sockets from the loop.


# Datagrams in and out


async def test_a_pair_arrives_as_one_datagram_with_the_address_of_its_sender(
    open_layer: Open,
) -> None:
    a, b = Recorder(), Recorder()
    left = await open_layer(bind_socket(socket.AF_INET, LOCALHOST), a)
    right = await open_layer(bind_socket(socket.AF_INET, LOCALHOST), b)
    left.send(pairs(b"one", b"two", b""), right.sockname)
    await until(lambda: len(b.received) == 3)
    assert b.received == [b"headone", b"headtwo", b"head"]
    assert b.sources == {left.sockname}
    right.send(pairs(b"back"), left.sockname)
    await until(lambda: a.received)
    assert (a.received, a.sources) == ([b"headback"], {right.sockname})
    assert left.dropped == right.dropped == 0


@needs_ipv6
async def test_ipv6_works_the_same_way(open_layer: Open) -> None:
    b = Recorder()
    right = await open_layer(bind_socket(socket.AF_INET6, ("::1", 0)), b)
    left = await open_layer(connect_socket(socket.AF_INET6, right.sockname), Recorder())
    left.send(pairs(b"six"), None)
    await until(lambda: b.received)
    assert (b.received, b.sources) == ([b"headsix"], {left.sockname})


async def test_a_connected_pair_needs_no_address_and_knows_its_peer(open_layer: Open) -> None:
    a, b = Recorder(), Recorder()
    right = await open_layer(bind_socket(socket.AF_INET, LOCALHOST), b)
    left = await open_layer(connect_socket(socket.AF_INET, right.sockname), a)
    left.send(pairs(b"ping"), None)
    await until(lambda: b.received)
    right.send(pairs(b"pong"), left.sockname)
    await until(lambda: a.received)
    assert (a.received, a.sources) == ([b"headpong"], {right.sockname})


async def test_the_largest_datagram_passes_whole(open_layer: Open) -> None:
    b = Recorder()
    right = await open_layer(bind_socket(socket.AF_INET, LOCALHOST), b)
    left = await open_layer(connect_socket(socket.AF_INET, right.sockname), Recorder())
    payload = bytes(range(256)) * 255 + bytes(65507 - 20 - 255 * 256)
    left.send([(b"h" * 20, memoryview(payload))], None)
    await until(lambda: b.received)
    assert b.received == [b"h" * 20 + payload]


async def test_a_long_burst_of_mixed_sizes_arrives_in_order(open_layer: Open) -> None:
    b = Recorder()
    right = await open_layer(bind_socket(socket.AF_INET, LOCALHOST), b)
    left = await open_layer(connect_socket(socket.AF_INET, right.sockname), Recorder())
    sizes = [500] * 70 + [20] + [500] * 3 + [800] * 5 + [0] + [500] * 2 + [1, 2, 3]
    burst = [bytes([i % 256]) * size for i, size in enumerate(sizes)]
    left.send(pairs(*burst), None)
    await until(lambda: len(b.received) == len(burst))
    assert b.received == [b"head" + payload for payload in burst]


async def test_the_clock_is_asked_once_for_each_batch(open_layer: Open) -> None:
    b, ticks = Recorder(), count(100)
    right = await open_layer(
        bind_socket(socket.AF_INET, LOCALHOST), b, clock=lambda: float(next(ticks))
    )
    left = await open_layer(connect_socket(socket.AF_INET, right.sockname), Recorder())
    left.send(pairs(b"1", b"2", b"3"), None)
    await until(lambda: len(b.received) == 3)
    assert b.times == [100.0 + i for i in range(len(b.batches))]


async def test_receive_buffer_is_what_the_kernel_granted(open_layer: Open) -> None:
    sock = bind_socket(socket.AF_INET, LOCALHOST)
    layer = await open_layer(sock, Recorder())
    with sock.dup() as same:
        granted = same.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    assert layer.receive_buffer == granted > 0


# Errors


async def test_a_dead_port_is_reported_as_refused_on_a_connected_socket(open_layer: Open) -> None:
    dead = bind_socket(socket.AF_INET, LOCALHOST)
    a = Recorder()
    left = await open_layer(connect_socket(socket.AF_INET, dead.getsockname()), a)
    dead.close()
    left.send(pairs(b"anybody?"), None)
    await until(lambda: a.errors)
    await asyncio.sleep(0.01)
    assert [type(exc) for exc in a.errors] == [ConnectionRefusedError]


async def test_a_datagram_too_big_is_reported_and_dropped_and_the_others_go_on(
    open_layer: Open,
) -> None:
    a, b = Recorder(), Recorder()
    right = await open_layer(bind_socket(socket.AF_INET, LOCALHOST), b)
    left = await open_layer(bind_socket(socket.AF_INET, LOCALHOST), a)
    left.send(pairs(b"before", bytes(65536), bytes(65536), b"after"), right.sockname)
    assert a.errors == []  # not from inside send()
    await until(lambda: len(b.received) == 2 and a.errors)
    assert b.received == [b"headbefore", b"headafter"]
    assert [exc.errno for exc in a.errors] == [errno.EMSGSIZE]
    assert left.dropped == 2


@linux_only
async def test_no_permission_to_send_there_is_reported_not_raised(open_layer: Open) -> None:
    a = Recorder()
    left = await open_layer(bind_socket(socket.AF_INET, LOCALHOST), a)
    left.send(pairs(b"x"), ("255.255.255.255", 9))  # A broadcast without SO_BROADCAST.
    await until(lambda: a.errors)
    assert a.errors[0].errno in (errno.EACCES, errno.EPERM, errno.ENETUNREACH, errno.EINVAL)
    assert left.dropped == 1


# Back-pressure


class UnixSocket(socket.socket):
    """A Unix datagram socket whose addresses are tuples, as those of UDP are."""

    def getsockname(self) -> tuple[bytes]:
        return (super().getsockname(),)

    def getpeername(self) -> tuple[bytes]:
        return (super().getpeername(),)


def unix_pair(name: str) -> tuple[socket.socket, socket.socket]:
    """Two datagram sockets that do push back: a sender on loopback never meets a full buffer."""
    ends: list[socket.socket] = []
    for end in "ab":
        sock = UnixSocket(socket.AF_UNIX, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.bind(f"\0rudp-test-{name}-{id(ends)}-{end}")
        ends.append(sock)
    ends[0].connect(*ends[1].getsockname())
    ends[1].connect(*ends[0].getsockname())
    return ends[0], ends[1]


def drain(sock: socket.socket) -> int:
    """Throw away what has arrived; return how many datagrams that was."""
    for number in count():
        try:
            sock.recv(MAX_DATAGRAM)
        except BlockingIOError:
            return number
    raise AssertionError("unreachable")


@linux_only
async def test_a_full_buffer_blocks_keeps_the_rest_and_resumes_in_order(open_layer: Open) -> None:
    near, far = unix_pair("resume")
    with far:
        a = Recorder()
        left = await open_layer(near, a)
        scratch = bytearray(b"----" * 100)
        burst = [(b"%04d" % i, memoryview(scratch)) for i in range(2000)]
        left.send(burst, None)
        assert left.blocked
        assert a.writable_calls == 0
        scratch[:] = b"!!!!" * 100  # What was kept is a copy.
        left.send([(b"more", b"")], None)
        assert left.dropped == 1

        got: list[bytes] = []

        def all_here() -> bool:
            try:
                while True:
                    got.append(far.recv(MAX_DATAGRAM))
            except BlockingIOError:
                return len(got) >= 2000

        await until(lambda: all_here() and a.writable_calls)
        assert got == [b"%04d" % i + b"----" * 100 for i in range(2000)]
        assert (left.blocked, a.writable_calls, a.errors) == (False, 1, [])
        left.send([(b"next", b"")], None)
        assert far.recv(10) == b"next"


@linux_only
@pytest.mark.parametrize("how", ["close", "abort"])
async def test_closing_while_blocked_ends_quietly(open_layer: Open, how: str) -> None:
    near, far = unix_pair(how)
    with far:
        a = Recorder()
        left = await open_layer(near, a)
        left.send([(b"%04d" % i, b"x" * 400) for i in range(2000)], None)
        assert left.blocked
        assert drain(far) > 0
        getattr(left, how)()
        await asyncio.sleep(0.01)
        if how == "close":
            assert drain(far) > 0  # There was room again, so close() got more of it out.
        else:
            assert left.dropped > 0
        assert (a.writable_calls, a.errors) == (0, [])


# Closing


async def test_close_and_abort_are_idempotent_and_nothing_arrives_afterwards(
    open_layer: Open,
) -> None:
    b = Recorder()
    right = await open_layer(bind_socket(socket.AF_INET, LOCALHOST), b)
    left = await open_layer(bind_socket(socket.AF_INET, LOCALHOST), Recorder())
    left.send(pairs(b"late"), right.sockname)
    right.close()
    right.close()
    right.abort()
    right.send(pairs(b"too late"), left.sockname)
    await until(lambda: right.sock.fileno() == -1 or isinstance(right, LoopDatagrams))
    await asyncio.sleep(0.01)
    assert b.batches == []
    assert right.dropped == 1
    rebound = bind_socket(socket.AF_INET, right.sockname)  # The port is free again.
    rebound.close()


async def test_a_receiver_that_closes_while_it_receives_hears_no_more(open_layer: Open) -> None:
    b = Recorder()
    right = await open_layer(bind_socket(socket.AF_INET, LOCALHOST), b)
    left = await open_layer(connect_socket(socket.AF_INET, right.sockname), Recorder())
    b.on_datagrams = right.close
    left.send(pairs(b"first"), None)
    await until(lambda: b.batches)
    left.send(pairs(b"second"), None)
    await asyncio.sleep(0.01)
    assert b.received == [b"headfirst"]


# Which class it is


@linux_only
async def test_the_loop_without_add_reader_gets_the_other_class() -> None:
    loop = asyncio.get_running_loop()

    class NoReaders:
        def __getattr__(self, name: str) -> Any:
            return getattr(loop, name)

        def add_reader(self, *args: Any) -> None:
            raise NotImplementedError

    layer = await open_datagrams(
        NoReaders(),  # type: ignore[arg-type]
        bind_socket(socket.AF_INET, LOCALHOST),
        Recorder(),
    )
    assert isinstance(layer, LoopDatagrams)
    layer.close()
    await asyncio.sleep(0.01)
