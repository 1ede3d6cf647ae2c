"""The system below fails: refused sends, full buffers, no file descriptors, stopped processes.

Each of these gives a clear error or goes on, and nothing is lost without a word. What the real
system does with interfaces, addresses and routes that go away is in test_outages.py; processes and
clocks that stand still are also in tests/simulation/test_suspension.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import rudp

from . import peers
from .peers import (
    HOST,
    Hand,
    RawPeer,
    Stream,
    asked,
    channels,
    closed,
    dropped,
    echo,
    free_udp_port,
    opened,
)
from .udp import linux_only

quiet_loop = peers.quiet_loop

FAST = rudp.Config(min_rto=0.01, initial_rto=0.05)
DATA = bytes(range(256)) * 4000


class FailingSocket(socket.socket):
    """A UDP socket whose sends fail with `error` while there is one."""

    error: int | None = None
    failures = 0

    def sendmsg(self, *args: Any) -> int:
        if self.error is not None:
            self.failures += 1
            raise OSError(self.error, os.strerror(self.error))
        return super().sendmsg(*args)


def failing(remote: Any = None) -> FailingSocket:
    sock = FailingSocket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((HOST, 0))
    if remote is not None:
        sock.connect(remote)
    return sock


REFUSALS = [
    errno.ENETUNREACH,  # the route has gone, with its interface or without
    errno.ENETDOWN,
    errno.EHOSTUNREACH,
    errno.EPERM,  # a firewall
    errno.EACCES,
    errno.EADDRNOTAVAIL,  # our address has gone
    errno.EINVAL,
]
SHORTAGES = [errno.ENOBUFS, errno.ENOMEM, errno.EAGAIN]


def named(code: int) -> str:
    return errno.errorcode[code]


class Side:
    """An echo over a socket that can be made to fail, at the client or at the server."""

    def __init__(self, sock: FailingSocket, stream: Stream, close: Callable[[], Any]) -> None:
        self.sock, self.stream, self.close = sock, stream, close

    @classmethod
    async def open(cls, where: str, config: rudp.Config = FAST) -> Side:
        listens = failing()
        server = await rudp.start_server(echo, sock=listens, config=config)
        if where == "client":
            sock = failing(listens.getsockname())
            stream = await rudp.open_connection(sock=sock, config=config)
            return cls(sock, stream, server.close)
        stream = await rudp.open_connection(*listens.getsockname(), config=config)
        return cls(listens, stream, server.close)


@pytest.mark.parametrize("where", ["client", "server"])
@pytest.mark.parametrize("code", REFUSALS + SHORTAGES, ids=named)
async def test_a_transfer_outlives_a_while_in_which_nothing_can_be_sent(
    where: str, code: int
) -> None:
    side = await Side.open(where)
    reader, writer = side.stream
    writer.write(DATA)
    writer.write_eof()
    assert await reader.readexactly(100_000) == DATA[:100_000]
    side.sock.error = code
    await asyncio.sleep(0.05)
    side.sock.error = None
    assert await reader.read(-1) == DATA[100_000:]
    assert side.sock.failures > 0
    await closed(side.stream)
    side.close()


@pytest.mark.parametrize("code", REFUSALS, ids=named)
async def test_connecting_fails_at_once_with_what_the_system_says(code: int) -> None:
    async with opened() as server:
        before = peers.files()
        sock = failing(server.sockname)
        sock.error = code
        start = time.monotonic()
        with pytest.raises(OSError) as caught:
            await rudp.open_connection(sock=sock)
        assert (caught.value.errno, caught.value.strerror) == (code, os.strerror(code))
        assert time.monotonic() - start < 0.9  # before a SYN would have been sent again
        await asyncio.sleep(0)
        assert peers.files() == before


@pytest.mark.parametrize("code", SHORTAGES, ids=named)
async def test_a_shortage_of_memory_for_a_datagram_is_no_reason_not_to_connect(code: int) -> None:
    async with opened() as server:
        await server.start_server(echo)
        sock = failing(server.sockname)
        sock.error = code
        asyncio.get_running_loop().call_later(0.03, setattr, sock, "error", None)
        stream = await rudp.open_connection(sock=sock, config=FAST)
        assert await asked(stream, b"hello") == b"hello"
        await closed(stream)


@pytest.mark.parametrize("code", [*REFUSALS, errno.ENOBUFS, errno.ENOMEM], ids=named)
async def test_what_can_never_be_sent_again_ends_the_connection_with_an_error(code: int) -> None:
    config = rudp.Config(min_rto=0.01, initial_rto=0.05, user_timeout=0.15)
    side = await Side.open("client", config)
    reader, writer = side.stream
    assert await asked(side.stream, b"hello") == b"hello"
    side.sock.error = code
    writer.write(DATA)
    start = time.monotonic()
    with pytest.raises(TimeoutError) as caught:
        await reader.read()
    assert time.monotonic() - start < 3
    assert caught.value.errno == errno.ETIMEDOUT
    why = f"; the system says: {os.strerror(code)}" if code in REFUSALS else ""
    assert caught.value.strerror == f"Connection timed out: no acknowledgment came{why}"
    await dropped(side.stream)
    side.close()


async def test_what_is_said_of_one_peer_explains_nothing_about_another() -> None:
    config = rudp.Config(min_rto=0.01, initial_rto=0.05, user_timeout=0.15)
    async with opened(config=config) as client, RawPeer.open() as peer:
        connecting = asyncio.create_task(client.open_connection(*peer.addr))
        await Hand.accept(peer)
        stream = await connecting
        client.engine.error_received(PermissionError(errno.EPERM, "no"), ("192.0.2.1", 9))
        stream[1].write(b"hello")
        with pytest.raises(TimeoutError, match=r"no acknowledgment came$"):
            await stream[0].read()
        await dropped(stream)


# -- no file descriptors -------------------------------------------------------------------------


@contextlib.contextmanager
def no_more_files() -> Iterator[None]:
    """As many files are open as this process may have."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.dup(0))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for each in taken:
            os.close(each)


async def test_without_a_file_descriptor_opening_is_an_error_and_leaves_nothing_behind() -> None:
    async with opened() as server:
        await server.start_server(echo)
        await closed(await rudp.open_connection(*server.sockname))  # what is imported late is there
        await asyncio.sleep(0.01)
        others = free_udp_port()
        before = peers.files(), len(peers.engines())
        with no_more_files():
            for attempt in (
                rudp.open_connection(HOST, others),
                rudp.start_server(echo, HOST, 0),
                rudp.Endpoint.open((HOST, 0)),
            ):
                with pytest.raises(OSError, match="Too many open files") as caught:
                    await attempt
                assert caught.value.errno == errno.EMFILE
        assert (peers.files(), len(peers.engines())) == before
        stream = await rudp.open_connection(*server.sockname)
        assert await asked(stream, b"again") == b"again"
        await closed(stream)


async def test_a_server_needs_no_further_descriptor_to_accept_and_to_serve() -> None:
    async with opened() as server, opened() as client:
        await server.start_server(echo)
        with no_more_files():
            streams = [await client.open_connection(*server.sockname) for _ in range(20)]
            for stream in streams:
                assert await asked(stream, DATA[:10_000]) == DATA[:10_000]
        assert channels(server) == 20
        await closed(*streams)


@linux_only
async def test_what_could_not_be_asked_without_a_descriptor_is_asked_again() -> None:
    async with opened() as server, opened() as client:
        await server.start_server(echo)
        with no_more_files():
            await closed(await client.open_connection(*server.sockname))
        stream = await client.open_connection(*server.sockname)
        await asked(stream, b"x")
        assert stream[1].get_extra_info("tcp_info").snd_mss > 10_000  # loopback's
        await closed(stream)


# -- processes -----------------------------------------------------------------------------------


UPLOADER = """
import asyncio, sys, rudp
loops = {"asyncio": asyncio.new_event_loop}
if sys.argv[2] == "uvloop":
    import uvloop
    loops["uvloop"] = uvloop.new_event_loop

async def main():
    config = rudp.Config(user_timeout=0.5)
    reader, writer = await rudp.open_connection("127.0.0.1", int(sys.argv[1]), config=config)
    total = 0
    while (order := await reader.read(1)) == b"+":
        writer.write(bytes(1000000))
        await writer.drain()
        total += 1000000
        print(total, flush=True)
    writer.close()
    await writer.wait_closed()

with asyncio.Runner(loop_factory=loops[sys.argv[2]]) as runner:
    runner.run(main())
"""


@contextlib.contextmanager
def uploader(port: int) -> Iterator[subprocess.Popen[str]]:
    """A process that sends a million bytes for each "+" it gets, on the loop of the test."""
    loop = "uvloop" if "uvloop" in type(asyncio.get_running_loop()).__module__ else "asyncio"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", UPLOADER, str(port), loop],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="there is no SIGSTOP here")
async def test_a_sender_that_was_stopped_for_longer_than_its_patience_goes_on() -> None:
    accepted = peers.Accepted()
    async with opened() as server:
        await server.start_server(accepted)
        with uploader(server.sockname[1]) as process:
            reader, writer = await accepted.next()
            for _ in range(2):
                writer.write(b"+")
                await reader.readexactly(200_000)  # it is in the midst of sending
                process.send_signal(signal.SIGSTOP)
                await asyncio.sleep(0.7)
                process.send_signal(signal.SIGCONT)
                await reader.readexactly(800_000)
            writer.write_eof()
            assert await reader.read() == b""
            _, errors = await asyncio.to_thread(process.communicate)
            assert (process.returncode, errors) == (0, "")
        await closed((reader, writer))


async def test_a_receiver_that_is_killed_is_an_error_of_the_sender_in_bounded_time() -> None:
    accepted = peers.Accepted()
    config = rudp.Config(user_timeout=0.5)
    async with opened(config=config) as server:
        await server.start_server(accepted)
        with uploader(server.sockname[1]) as process:
            reader, writer = await accepted.next()
            writer.write(b"+")
            await reader.readexactly(1000)
            process.kill()
            process.wait()
            writer.write(DATA)
            start = time.monotonic()
            with pytest.raises(TimeoutError, match="no acknowledgment came"):
                await reader.readexactly(1_000_000)
            with pytest.raises(TimeoutError, match="no acknowledgment came"):
                await writer.drain()
            assert time.monotonic() - start < 5
        await dropped((reader, writer))
