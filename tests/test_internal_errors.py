"""What goes wrong inside a connection ends that one, says so, and leaves all others alone.

The core asserts what must be true of itself, and calls the user's congestion control. Here the
latter raises, since the former cannot be made to.
"""

from __future__ import annotations

import asyncio
import errno
from typing import Any

import pytest

import rudp
from rudp.sockets import Address

from .peers import HOST, relay_to
from .udp import until

WHERE = ("__init__", "on_sent", "on_ack", "on_timeout")


def broken(where: str) -> type[rudp.WindowBased]:
    """A congestion control whose method of that name raises."""

    def fail(self: rudp.WindowBased, *arguments: Any) -> None:
        raise ZeroDivisionError(f"in {where}")

    def reduced(self: rudp.WindowBased, in_flight: int) -> int:
        return in_flight

    def grow(self: rudp.WindowBased, acked: int, sample: rudp.AckSample) -> None:
        self.cwnd += acked

    methods = {"reduced": reduced, "grow": grow, where: fail}
    return type("Broken", (rudp.WindowBased,), methods)


@pytest.fixture
async def reported() -> list[dict[str, Any]]:
    """What the loop's exception handler was told."""
    contexts: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: contexts.append(context))
    return contexts


async def failed(where: str, server: Address) -> BaseException:
    """Connect by a congestion control that is broken there, and use it until it fails."""
    config = rudp.Config(congestion=broken(where), min_rto=0.02)
    async with asyncio.timeout(20), relay_to(server) as relay:
        try:
            reader, writer = await rudp.open_connection(
                HOST, server[1], udp_port=relay.port, config=config
            )
            relay.deaf = where == "on_timeout"
            writer.write(b"hello")
            await reader.read()
        except OSError as exc:
            return exc
    raise AssertionError("it did not fail")


@pytest.mark.parametrize("where", WHERE)
async def test_an_internal_error_ends_its_connection_and_no_other(
    where: str, reported: list[dict[str, Any]]
) -> None:
    ends: list[BaseException | None] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(100):
                writer.write(data)
            ends.append(None)
        except OSError as exc:
            ends.append(exc)
        writer.close()

    async with await rudp.start_server(echo, HOST, 0) as server:
        host, port = server.sockets[0].getsockname()[:2]
        reader, writer = await rudp.open_connection(host, port)
        error = await failed(where, (host, port))
        assert isinstance(error, ConnectionAbortedError)
        assert error.errno == errno.ECONNABORTED
        assert isinstance(error.__cause__, ZeroDivisionError)
        assert f"in {where}" in str(error)

        # It was reported, once.
        assert [each["exception"] for each in reported] == [error.__cause__]

        # Who had nothing to do with it goes on.
        writer.write(b"as ever")
        assert await reader.readexactly(7) == b"as ever"
        writer.close()
        await writer.wait_closed()
    if where == "on_ack":  # at the others the server has not heard of the connection, or will not
        await until(lambda: any(ends))
        (reset,) = filter(None, ends)
        assert isinstance(reset, ConnectionResetError)
        assert "internal error" in str(reset)
