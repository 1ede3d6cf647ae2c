"""What the tests of the UDP layer share: a receiver that records, a socket that fails as told."""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from rudp.datagrams import Address, Datagrams, bind_socket, take_socket

LOCALHOST = ("127.0.0.1", 0)
LINUX = sys.platform == "linux"
linux_only = pytest.mark.skipif(not LINUX, reason="what is tested exists on Linux only")


def _has_ipv6() -> bool:
    try:
        bind_socket(socket.AF_INET6, ("::1", 0)).close()
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6 loopback")


class Recorder:
    """A receiver that writes down what it is told."""

    def __init__(self) -> None:
        self.batches: list[list[tuple[bytes, Any]]] = []
        self.times: list[float] = []
        self.errors: list[OSError] = []
        self.writable_calls = 0
        self.on_datagrams: Callable[[], object] = lambda: None

    def datagrams_received(self, datagrams: list[tuple[bytes, Any]], now: float) -> None:
        self.batches.append(datagrams)
        self.times.append(now)
        self.on_datagrams()

    def error_received(self, exc: OSError, addr: Address | None = None) -> None:
        self.errors.append(exc)

    def writable(self) -> None:
        self.writable_calls += 1

    @property
    def received(self) -> list[bytes]:
        return [data for batch in self.batches for data, _ in batch]

    @property
    def sources(self) -> set[Any]:
        return {addr for batch in self.batches for _, addr in batch}


class ScriptedSocket(socket.socket):
    """A UDP socket whose next sends fail as told, and which keeps the number of buffers of each."""

    def script(self, *outcomes: Exception | None) -> ScriptedSocket:
        self.outcomes = list(outcomes)
        self.sends: list[int] = []
        self.refuse_joined = False
        return self

    def sendmsg(self, buffers: Any, ancillary: Any = (), flags: int = 0, addr: Any = None) -> int:
        self.sends.append(len(buffers))
        if self.refuse_joined and ancillary:
            raise OSError(errno.EIO, "no checksum offload here")
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if outcome is not None:
            raise outcome
        return super().sendmsg(buffers, ancillary, flags, addr)


def scripted(*outcomes: Exception | None, remote: Any = None) -> ScriptedSocket:
    sock = ScriptedSocket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(LOCALHOST)
    if remote is not None:
        sock.connect(remote)
    take_socket(sock)
    return sock.script(*outcomes)


@pytest.fixture
async def open_own() -> AsyncIterator[Callable[..., Datagrams]]:
    """Makes layers over our own sockets, and closes them when the test is over."""
    opened: list[Datagrams] = []

    def open_one(sock: socket.socket, receiver: Any, **kwds: Any) -> Datagrams:
        opened.append(Datagrams(asyncio.get_running_loop(), sock, receiver, **kwds))
        return opened[-1]

    yield open_one
    for layer in opened:
        layer.abort()


async def until(condition: Callable[[], object], timeout: float = 5.0) -> None:
    """Let the loop run until something has arrived: the kernel gives no event for that."""
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.001)


def pairs(*payloads: bytes, header: bytes = b"head") -> list[tuple[bytes, bytes | memoryview]]:
    return [(header, memoryview(payload)) for payload in payloads]
