"""Half-close: a server that answers when it has seen all of the question.

    python3 examples/half_close.py [WORD ...]

The server sorts the lines it is sent. It cannot answer before the last one, and only the end of the
stream tells it which that is: the client closes its side with `write_eof()`, then reads the answer
on the other.
"""

import asyncio
import sys

import rudp


async def sort(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read lines until the client's half-close, and send them back sorted."""
    lines = [line async for line in reader]
    writer.writelines(sorted(lines))
    writer.close()
    await writer.wait_closed()


async def main(words: list[str]) -> None:
    """Have the words sorted by a server that runs beside us."""
    async with await rudp.start_server(sort, "127.0.0.1", 0) as server:
        reader, writer = await rudp.open_connection(*server.sockets[0].getsockname()[:2])
        writer.writelines(f"{word}\n".encode() for word in words)
        writer.write_eof()
        print("our side is closed; the answer comes on the other:")
        async for line in reader:
            print(line.decode(), end="")
        writer.close()
        await writer.wait_closed()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:] or ["pear", "fig", "apple", "cherry"]))
