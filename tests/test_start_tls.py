"""TLS over a connection that exists, by `StreamWriter.start_tls()`, which the standard loop has.

Anonymous key exchange needs no certificate, and authenticates nobody: here only bytes count.
"""

from __future__ import annotations

import asyncio
import ssl
import sys

import pytest

import rudp

HOST = "127.0.0.1"

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])


def context(side: int) -> ssl.SSLContext:
    context = ssl.SSLContext(side)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AECDH-AES256-SHA:@SECLEVEL=0")
    return context


async def upgrade(after_the_hello: bool) -> tuple[bytes, bytes, list[bytes]]:
    """A line in the clear each way, then TLS and a line each way; what the client got, and the
    server. `after_the_hello`: the server begins only when the client's hello has come in."""
    at_server: asyncio.Future[list[bytes]] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = [await reader.readline()]
        writer.write(b"go ahead\n")
        while after_the_hello and not reader._buffer:  # type: ignore[attr-defined]
            await asyncio.sleep(0.001)
        await writer.start_tls(context(ssl.PROTOCOL_TLS_SERVER))
        lines.append(await reader.readline())
        writer.write(b"secret answer\n")
        at_server.set_result(lines)
        writer.close()

    async with asyncio.timeout(20), await rudp.start_server(serve, HOST, 0) as server:
        reader, writer = await rudp.open_connection(*server.sockets[0].getsockname())
        writer.write(b"start\n")
        clear = await reader.readline()
        await writer.start_tls(context(ssl.PROTOCOL_TLS_CLIENT))
        writer.write(b"secret\n")
        secret = await reader.readline()
        writer.close()
        return clear, secret, await at_server


async def test_a_connection_goes_on_in_tls_from_where_both_sides_agreed_to() -> None:
    assert await upgrade(after_the_hello=False) == (
        b"go ahead\n",
        b"secret answer\n",
        [b"start\n", b"secret\n"],
    )


@pytest.mark.skipif(
    sys.version_info < (3, 14, 4), reason="asyncio on this Python forgets what the reader holds"
)
async def test_the_hello_that_the_reader_holds_is_given_to_tls_and_to_nobody_else() -> None:
    assert await upgrade(after_the_hello=True) == (
        b"go ahead\n",
        b"secret answer\n",
        [b"start\n", b"secret\n"],
    )
