"""Our own UDP socket: batches and budgets, failing sends, segmentation offload."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from rudp import datagrams
from rudp.datagrams import (
    BYTE_BUDGET,
    READ_BUDGET,
    Datagrams,
    bind_socket,
    connect_socket,
    take_socket,
)

from . import udp
from .udp import LOCALHOST, Recorder, linux_only, pairs, scripted, until

open_own = udp.open_own


# Batches and budgets


async def test_one_wake_up_hands_over_everything_that_has_arrived(open_own: Any) -> None:
    b, ticks = Recorder(), count()
    right = open_own(bind_socket(socket.AF_INET, LOCALHOST), b, clock=lambda: float(next(ticks)))
    with connect_socket(socket.AF_INET, right.sockname) as left:
        for i in range(10):
            left.send(b"%d" % i)
        await until(lambda: b.batches)
        assert b.batches == [[(b"%d" % i, left.getsockname()) for i in range(10)]]
        assert b.times == [0.0]


@pytest.mark.parametrize(("size", "most"), [(10, READ_BUDGET), (60000, BYTE_BUDGET // 60000 + 1)])
async def test_a_flood_is_taken_in_portions_between_which_the_loop_goes_on(
    open_own: Any, size: int, most: int
) -> None:
    b = Recorder()
    right = open_own(bind_socket(socket.AF_INET, LOCALHOST), b)
    turns: list[int] = []
    loop = asyncio.get_running_loop()
    b.on_datagrams = lambda: loop.call_soon(lambda: turns.append(len(b.batches)))
    with connect_socket(socket.AF_INET, right.sockname) as left:
        sent = min(200, right.receive_buffer // (2 * max(size, 1024)))
        for _ in range(sent):
            left.send(bytes(size))
        await until(lambda: len(b.received) == sent)
    await asyncio.sleep(0)
    assert max(map(len, b.batches)) <= most
    assert turns == list(range(1, len(b.batches) + 1))


async def test_an_error_comes_after_the_datagrams_that_were_read_before_it(open_own: Any) -> None:
    class Failing(socket.socket):
        reads: Iterator[bytes | OSError] = iter([b"a", b"b", OSError(errno.ENOBUFS, "no buffers")])

        def recvmsg(self, *sizes: int) -> Any:  # type: ignore[override]
            item = next(self.reads, None)
            if isinstance(item, OSError):
                raise item
            return super().recvmsg(*sizes) if item is None else (item, [], 0, None)

    with bind_socket(socket.AF_INET, LOCALHOST) as other:
        sock = Failing(socket.AF_INET, socket.SOCK_DGRAM)
        sock.connect(other.getsockname())
        b = Recorder()
        right = open_own(take_socket(sock), b, offload=False)
        other.sendto(b"wake", right.sockname)
        await until(lambda: len(b.received) == 3)
    assert b.received == [b"a", b"b", b"wake"]
    assert [exc.errno for exc in b.errors] == [errno.ENOBUFS]


# Sending


async def test_a_full_buffer_in_the_middle_of_a_send_keeps_exactly_the_rest(open_own: Any) -> None:
    a, b = Recorder(), Recorder()
    right = open_own(bind_socket(socket.AF_INET, LOCALHOST), b)
    full = BlockingIOError(errno.EAGAIN, "full")
    left = open_own(scripted(None, full, None, full), a, offload=False)
    left.send(pairs(b"1", b"2", b"3", b"4"), right.sockname)
    assert left.blocked
    await until(lambda: a.writable_calls)
    await until(lambda: len(b.received) == 4)
    assert b.received == [b"head1", b"head2", b"head3", b"head4"]
    assert (left.blocked, a.writable_calls, left.dropped) == (False, 1, 0)


@pytest.mark.parametrize(
    "code", [errno.ENETUNREACH, errno.EPERM, errno.ENOBUFS, errno.EHOSTUNREACH]
)
async def test_what_the_network_refuses_is_dropped_and_reported_once(
    open_own: Any, code: int
) -> None:
    a, b = Recorder(), Recorder()
    right = open_own(bind_socket(socket.AF_INET, LOCALHOST), b)
    left = open_own(scripted(*[OSError(code, "refused") for _ in range(3)]), a, offload=False)
    left.send(pairs(b"1", b"2", b"3", b"4"), right.sockname)
    await until(lambda: b.received)
    assert b.received == [b"head4"]
    assert [exc.errno for exc in a.errors] == [code]
    assert left.dropped == 3
    assert not left.blocked


@pytest.mark.parametrize("offload", [False, True])
async def test_an_error_about_an_earlier_datagram_does_not_cost_the_next_one(
    open_own: Any, offload: bool
) -> None:
    a, b = Recorder(), Recorder()
    right = open_own(bind_socket(socket.AF_INET, LOCALHOST), b)
    sock = scripted(ConnectionRefusedError(errno.ECONNREFUSED, "ICMP"), remote=right.sockname)
    left = open_own(sock, a, offload=offload)
    left.send(pairs(b"1", b"2"), None)
    await until(lambda: len(b.received) == 2 and a.errors)
    assert b.received == [b"head1", b"head2"]
    assert [type(exc) for exc in a.errors] == [ConnectionRefusedError]
    assert left.dropped == 0


# Segmentation offload


def needs_offload(layer: Datagrams) -> None:
    if not (layer.gso and layer.gro):
        pytest.skip("this kernel has no UDP GSO and GRO")


@pytest.mark.parametrize("gro", [True, False])
async def test_equal_datagrams_leave_in_few_calls_and_arrive_single(
    open_own: Any, gro: bool
) -> None:
    b = Recorder()
    right = open_own(bind_socket(socket.AF_INET, LOCALHOST), b, offload=gro)
    sock = scripted(remote=right.sockname)
    left = open_own(sock, Recorder())
    needs_offload(left)
    burst = [bytes([i]) * 1000 for i in range(100)] + [b"short"] + [b"y" * 1000] * 2
    left.send(pairs(*burst), None)
    assert sock.sends == [2 * 64, 2 * 37, 2 * 2]  # two buffers for each datagram
    await until(lambda: len(b.received) == len(burst))
    assert b.received == [b"head" + payload for payload in burst]


async def test_the_byte_limit_of_a_gso_send_is_met_exactly(open_own: Any) -> None:
    b = Recorder()
    right = open_own(bind_socket(socket.AF_INET, LOCALHOST), b)
    sock = scripted(remote=right.sockname)
    left = open_own(sock, Recorder())
    needs_offload(left)
    size = 20000
    last = 65507 - 3 * (size + 4) - 4
    left.send(pairs(*[b"z" * size] * 3, b"z" * last), None)
    left.send(pairs(*[b"z" * size] * 3, b"z" * (last + 1)), None)
    assert sock.sends == [2 * 4, 2 * 3, 2]
    await until(lambda: len(b.received) == 8)
    assert [len(data) - 4 for data in b.received] == [size] * 3 + [last] + [size] * 3 + [last + 1]
    assert left.dropped == 0


async def test_a_route_that_cannot_cut_gets_single_datagrams_from_then_on(open_own: Any) -> None:
    a, b = Recorder(), Recorder()
    right = open_own(bind_socket(socket.AF_INET, LOCALHOST), b)
    sock = scripted()
    sock.refuse_joined = True
    left = open_own(sock, a)
    needs_offload(left)
    left.send(pairs(b"1", b"2", b"3"), right.sockname)
    assert sock.sends == [6, 2, 2, 2]
    left.send(pairs(b"4", b"5"), right.sockname)
    assert sock.sends == [6, 2, 2, 2, 2, 2]
    await until(lambda: len(b.received) == 5)
    assert b.received == [b"head%d" % i for i in range(1, 6)]
    assert (a.errors, left.dropped) == ([], 0)

    sock.refuse_joined = False
    elsewhere = Recorder()
    other = open_own(bind_socket(socket.AF_INET, LOCALHOST), elsewhere)
    left.send(pairs(b"6", b"7"), other.sockname)
    assert sock.sends[6:] == [4]  # another destination, another try
    await until(lambda: len(elsewhere.received) == 2)


async def test_a_piece_too_big_for_the_path_does_not_turn_gso_off(open_own: Any) -> None:
    a, b = Recorder(), Recorder()
    right = open_own(bind_socket(socket.AF_INET, LOCALHOST), b)
    too_big = [OSError(errno.EMSGSIZE, "too big") for _ in range(2)]
    sock = scripted(OSError(errno.EINVAL, "a piece exceeds the MTU"), *too_big)
    left = open_own(sock, a)
    needs_offload(left)
    left.send(pairs(b"1", b"2"), right.sockname)
    left.send(pairs(b"3", b"4"), right.sockname)
    assert sock.sends == [4, 2, 2, 4]
    await until(lambda: len(b.received) == 2 and a.errors)
    assert [exc.errno for exc in a.errors] == [errno.EMSGSIZE]
    assert left.dropped == 2


async def test_a_full_buffer_keeps_the_whole_gso_run(open_own: Any) -> None:
    a, b = Recorder(), Recorder()
    right = open_own(bind_socket(socket.AF_INET, LOCALHOST), b)
    sock = scripted(None, BlockingIOError(errno.EAGAIN, "full"))
    left = open_own(sock, a)
    needs_offload(left)
    burst = [bytes([i]) * 900 for i in range(130)]
    left.send(pairs(*burst), right.sockname)
    assert left.blocked
    await until(lambda: len(b.received) == 130)
    assert b.received == [b"head" + payload for payload in burst]
    assert sock.sends == [128, 128, 128, 4]
    assert a.writable_calls == 1


# A receive buffer that is too small


@linux_only
async def test_that_the_kernel_drops_datagrams_for_want_of_buffer_is_said_once(
    open_own: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(datagrams, "_hinted", False)
    for _ in range(2):
        sock, heard = bind_socket(socket.AF_INET, LOCALHOST), Recorder()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        layer = open_own(sock, heard)
        with connect_socket(socket.AF_INET, layer.sockname) as other:
            for _ in range(100):
                other.send(bytes(1400))  # the loop is not asked meanwhile
            await until(lambda: heard.received)  # noqa: B023
            assert len(heard.received) < 100
            for number in range(3):
                other.send(b"%d" % number)
                await until(lambda: heard.received[-1] == b"%d" % number)  # noqa: B023
    (record,) = caplog.records
    assert "sysctl -w net.core.rmem_max=4194304" in record.getMessage()


@linux_only
async def test_nothing_is_said_while_nothing_is_dropped(
    open_own: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(datagrams, "_hinted", False)
    heard = Recorder()
    layer = open_own(bind_socket(socket.AF_INET, LOCALHOST), heard)
    with connect_socket(socket.AF_INET, layer.sockname) as other:
        for number in range(100):
            other.send(bytes(1400))
            await until(lambda: len(heard.received) > number)  # noqa: B023
    assert not caplog.records
