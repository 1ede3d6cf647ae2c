"""What becomes of a connection while the network of a machine is taken apart: a program.

    unshare -n python -m tests.outages LOOP          as root, with iproute2; LOOP: asyncio or uvloop

It has two network namespaces of its own, which go when it ends: "near" is the one that `unshare`
has made, "far" it makes itself. A pair of virtual interfaces joins them. In the near one, where
first the client is and then the server, it sets the interface down, takes the address away and
bends the route. It prints a line for each outage that a transfer outlived, and ends with a
traceback at the first that it did not. tests/test_outages.py runs it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import pytest

import rudp

from .conftest import LOOPS
from .peers import asked, closed, echo

DATA = bytes(range(256)) * 8000
FIRST = 200_000
LENGTH = 0.1
"""Seconds of an outage: long enough for some retransmissions to fail."""

CONFIG = rudp.Config(min_rto=0.01, receive_buffer=65536)
HERE = "/proc/thread-self/ns/net"
CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


class Namespace:
    """A network namespace: `with` it, commands are run and sockets are made there."""

    def __init__(self) -> None:
        """The one that this thread is in."""
        self.file = os.open(HERE, os.O_RDONLY)

    @classmethod
    def made(cls) -> Namespace:
        here = cls()
        check(libc.unshare(CLONE_NEWNET))
        made = cls()
        check(libc.setns(here.file, CLONE_NEWNET))
        return made

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        before = Namespace()
        check(libc.setns(self.file, CLONE_NEWNET))
        try:
            yield
        finally:
            check(libc.setns(before.file, CLONE_NEWNET))
            os.close(before.file)

    def ip(self, *commands: str) -> None:
        with self():
            for command in commands:
                subprocess.run(["ip", *command.split()], check=True)


def check(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class Outages:
    """The two namespaces, and what is done to them."""

    def __init__(self) -> None:
        self.near, self.far = Namespace(), Namespace.made()
        there = f"/proc/{os.getpid()}/fd/{self.far.file}"
        self.near.ip("link add eth0 type veth peer name eth1", f"link set eth1 netns {there}")
        self.up()
        self.join(self.far, "eth1", 2)

    def up(self) -> None:
        """Everything in the near namespace as it has to be. An interface takes its IPv6 addresses
        with it when it goes."""
        self.join(self.near, "eth0", 1)

    def join(self, namespace: Namespace, device: str, number: int) -> None:
        namespace.ip(
            f"link set {device} up",
            f"addr replace 10.99.0.{number}/24 dev {device}",
            f"addr replace fd99::{number}/64 dev {device} nodad",
        )

    async def all(self) -> None:
        ip = self.near.ip
        for near in ("client", "server"):
            for version in (4, 6):
                async with self.outlives(near, f"interface, IPv{version}", version):
                    ip("link set eth0 down")
                    await asyncio.sleep(LENGTH)
                    self.up()
            async with self.outlives(near, "address"):
                ip("addr del 10.99.0.1/24 dev eth0")
                await asyncio.sleep(LENGTH)
                self.up()
            for kind in ("unreachable", "prohibit", "blackhole"):
                async with self.outlives(near, f"route {kind}"):
                    ip(f"route add {kind} 10.99.0.2")
                    await asyncio.sleep(LENGTH)
                    ip(f"route del {kind} 10.99.0.2")
            async with self.outlives(near, "narrow route"):
                ip("route add 10.99.0.2 dev eth0 mtu 1000")
                await asyncio.sleep(LENGTH)
                ip("route del 10.99.0.2 dev eth0")
        await self.connecting()

    @contextlib.asynccontextmanager
    async def outlives(self, near: str, what: str, version: int = 4) -> AsyncIterator[None]:
        """A transfer in whose middle something happens to the end that is `near`: its sends
        fail."""
        net, everywhere = ("10.99.0.", "0.0.0.0") if version == 4 else ("fd99::", "::")
        client_in, server_in = (self.near, self.far) if near == "client" else (self.far, self.near)
        with server_in():
            server = await rudp.Endpoint.open((everywhere, 0), config=CONFIG)
            await server.start_server(echo)
        to = net + ("2" if near == "client" else "1")
        with client_in():
            reader, writer = await rudp.open_connection(to, server.sockname[1], config=CONFIG)
        layer = (server.engine if near == "server" else writer.transport._engine).datagrams
        writer.write(DATA)
        writer.write_eof()
        assert await reader.readexactly(FIRST) == DATA[:FIRST]
        yield
        assert await reader.read(-1) == DATA[FIRST:]
        assert layer.dropped > 0, f"{near}, {what}: nothing was refused"
        await closed((reader, writer))
        server.abort()
        print(f"{near}: {what}", flush=True)

    async def connecting(self) -> None:
        """Without an interface, connecting fails at once; with it, it works again."""
        with self.far():
            server = await rudp.Endpoint.open(("0.0.0.0", 0), config=CONFIG)
            await server.start_server(echo)
        self.near.ip("link set eth0 down")
        with pytest.raises(OSError, match="unreachable") as caught:
            await rudp.open_connection("10.99.0.2", server.sockname[1])
        assert caught.value.errno == errno.ENETUNREACH
        self.up()
        stream = await rudp.open_connection("10.99.0.2", server.sockname[1])
        assert await asked(stream, b"hello") == b"hello"
        await closed(stream)
        server.abort()
        print("connecting", flush=True)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=LOOPS[sys.argv[1]]) as runner:
        runner.run(Outages().all())
