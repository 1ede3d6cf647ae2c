"""An echo server: says on which port it listens, then echoes until each client closes its side.

    python3 examples/echo_server.py [PORT]

Without PORT the system chooses one. Ctrl-C ends it.
"""

import asyncio
import contextlib
import sys

import rudp


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what one client sends."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
    await writer.wait_closed()


async def main(port: int) -> None:
    """Serve until cancelled."""
    server = await rudp.start_server(echo, "127.0.0.1", port)
    print(f"listening on port {server.sockets[0].getsockname()[1]}", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
