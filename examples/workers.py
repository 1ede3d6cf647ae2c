"""Four processes serve one port, each its own connections: it is the kernel that shares them out.

    python3 examples/workers.py [PORT]

`reuse_port=True` lets each of them bind the port. For each datagram the kernel chooses a process by
the addresses and ports of it (Linux does, and FreeBSD with SO_REUSEPORT_LB), so that a connection
stays with one for as long as the same processes listen. Each line that a client sends comes back
with the number of the worker that has it. Without PORT the system chooses one. Ctrl-C ends it.
"""

import asyncio
import contextlib
import multiprocessing
import socket
import sys
from multiprocessing.synchronize import Barrier

import rudp

HOST = "127.0.0.1"
WORKERS = 4
PATIENCE = 20  # seconds that all of them may take to start


async def serve(number: int, port: int, ready: Barrier) -> None:
    """Answer lines until the process that started this one ends."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for line in reader:
            writer.write(b"worker %d: %s" % (number, line))
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await rudp.start_server(answer, HOST, port, reuse_port=True)
    ready.wait(PATIENCE)

    def stop() -> None:
        server.close()
        server.close_clients()

    parent = multiprocessing.parent_process()
    assert parent is not None
    asyncio.get_running_loop().add_reader(parent.sentinel, stop)
    with contextlib.suppress(asyncio.CancelledError):
        await server.serve_forever()


def work(number: int, port: int, ready: Barrier) -> None:
    """What a worker does."""
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(number, port, ready))


def main(port: int) -> None:
    """Start the workers, and wait until they end."""
    processes = multiprocessing.get_context("spawn")
    ready = processes.Barrier(WORKERS + 1)
    # Bound until they all are, so that a port that the system chooses is not given to others.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind((HOST, port))
        port = reserved.getsockname()[1]
        workers = [
            processes.Process(target=work, args=(number, port, ready), daemon=True)
            for number in range(WORKERS)
        ]
        for worker in workers:
            worker.start()
        ready.wait(PATIENCE)
    print(f"listening on port {port}", flush=True)
    for worker in workers:
        worker.join()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
