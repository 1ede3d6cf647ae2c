"""An echo client: sends a line to the echo server and prints what comes back.

    python3 examples/echo_client.py PORT [TEXT]

PORT is the one that the server printed.
"""

import asyncio
import sys

import rudp


async def main(port: int, text: str) -> None:
    """One line there and back."""
    reader, writer = await rudp.open_connection("127.0.0.1", port)
    writer.write(text.encode() + b"\n")
    answer = await reader.readline()
    print(answer.decode().rstrip("\n"))
    writer.close()
    await writer.wait_closed()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: echo_client.py PORT [TEXT]")
    asyncio.run(main(int(sys.argv[1]), " ".join(sys.argv[2:]) or "hello"))
