"""Send a file to another machine, with a progress bar and a digest that both sides compare.

    python3 examples/file_transfer.py receive FILE [--host HOST] [--port PORT]
    python3 examples/file_transfer.py send FILE HOST PORT

The receiver says on which port it listens, takes one file and ends. On the stream: the file's size
as a line, the file, its SHA-256 digest as a line, and the sender's half-close; then the receiver
answers with a line, `OK` or what went wrong. The file appears under its name only when the digest
was right.
"""

import argparse
import asyncio
import contextlib
import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import rudp

CHUNK = 65536
PATIENCE = 10  # seconds that the receiver waits for a sender to take note of a failure
# A side that hears nothing for so long gives up, also if it only waits for the other to send.
CONFIG = rudp.Config(user_timeout=20.0, keepalive=rudp.Keepalive(idle=20.0, interval=5.0, count=3))


class TransferError(Exception):
    """The transfer failed; the text is a sentence for the user."""


async def send(path: Path, host: str, port: int) -> None:
    """Send one file and check the receiver's answer."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        reader, writer = await rudp.open_connection(host, port, config=CONFIG)
        # The receiver may give up in the middle (its disk is full): listen for that all the time.
        answer = asyncio.create_task(reader.readline())
        try:
            digest = hashlib.sha256()
            writer.write(b"%d\n" % size)
            with progress(f"sending {path.name}", size) as advance:
                while (chunk := file.read(CHUNK)) and not answer.done():
                    digest.update(chunk)
                    writer.write(chunk)
                    await writer.drain()
                    advance(len(chunk))
            writer.write(f"{digest.hexdigest()}\n".encode())
            writer.write_eof()
            verdict = (await answer).decode().strip()
        finally:
            answer.cancel()
            await asyncio.gather(answer, return_exceptions=True)
            await close(writer)
    if verdict != "OK":
        raise TransferError(f"the receiver says: {verdict or 'nothing, it went away'}")
    print(f"sent {size} bytes, SHA-256 {digest.hexdigest()}")


async def receive(path: Path, host: str, port: int) -> None:
    """Listen, take one file, and tell the sender how it went."""
    accepted: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]]
    accepted = asyncio.get_running_loop().create_future()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if accepted.done():
            writer.transport.abort()  # one file, one connection
        else:
            accepted.set_result((reader, writer))

    async with await rudp.start_server(accept, host, port, config=CONFIG) as server:
        print(f"listening on port {server.sockets[0].getsockname()[1]}", flush=True)
        reader, writer = await accepted
        server.close()
        try:
            digest = await store(reader, path)
            writer.write(b"OK\n")
        except TransferError as error:
            writer.write(f"{error}\n".encode())
            writer.write_eof()
            await ignore_the_rest(reader)
            raise
        finally:
            await close(writer)
    print(f"received {path.stat().st_size} bytes into {path}, SHA-256 {digest}")


async def store(reader: asyncio.StreamReader, path: Path) -> str:
    """Write the incoming file beside its place, compare digests, and move it there."""
    part = path.with_name(path.name + ".part")
    header = (await reader.readline()).strip()
    if not header.isdigit():
        raise TransferError("what connected does not send files as this program does")
    try:
        with open(part, "wb") as file:
            digest = await copy(reader, file, int(header), path.name)
        if (await reader.readline()).decode().strip() != digest:
            raise TransferError("the digests differ; the file was not kept")
        part.replace(path)
    except OSError as error:
        if isinstance(error, ConnectionError | TimeoutError):
            raise  # about the connection, not about the file
        raise TransferError(f"cannot write {path}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
    return digest


async def copy(reader: asyncio.StreamReader, file: BinaryIO, size: int, name: str) -> str:
    """Copy `size` bytes from the stream into the file and return their digest."""
    digest = hashlib.sha256()
    with progress(f"receiving {name}", size) as advance:
        while size:
            chunk = await reader.read(min(CHUNK, size))
            if not chunk:
                raise TransferError(f"the sender went away {size} bytes before the end")
            file.write(chunk)
            digest.update(chunk)
            size -= len(chunk)
            advance(len(chunk))
    return digest.hexdigest()


async def close(writer: asyncio.StreamWriter) -> None:
    """Close the connection; that it was reset is no news by then."""
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def ignore_the_rest(reader: asyncio.StreamReader) -> None:
    """Read on until the sender has seen our answer: closing over unread data would reset it."""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while await reader.read(CHUNK):
                pass


@contextlib.contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar by rich if it is installed, else a line at each quarter."""
    try:
        from rich.progress import Progress
    except ImportError:
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            before, done = done, done + count
            if 4 * before // max(total, 1) != 4 * done // max(total, 1):
                print(f"{label}: {100 * done // total} %", flush=True)

        yield advance
    else:
        with Progress() as bar:
            task = bar.add_task(label, total=total)
            yield lambda count: bar.advance(task, count)


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Send a file over rudp.")
    commands = parser.add_subparsers(dest="command", required=True)
    sender = commands.add_parser("send", help="send FILE to a receiver")
    sender.add_argument("file", type=Path)
    sender.add_argument("host")
    sender.add_argument("port", type=int)
    receiver = commands.add_parser("receive", help="take one file and store it as FILE")
    receiver.add_argument("file", type=Path)
    receiver.add_argument("--host", default="127.0.0.1", help="where to listen (127.0.0.1)")
    receiver.add_argument("--port", type=int, default=0, help="0 lets the system choose (0)")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Run one command line and return its exit status."""
    arguments = parse(argv)
    run = send if arguments.command == "send" else receive
    host, port = arguments.host, arguments.port
    try:
        asyncio.run(run(arguments.file, host, port))
    except TransferError as error:
        print(f"file_transfer: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        what = f"cannot open {error.filename}: " if error.filename else ""
        print(f"file_transfer: {what}{error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
