"""A congestion control of one's own: Scalable TCP, and what it does on loopback.

    python3 examples/congestion_control.py [MEGABYTES]

Its window grows by a hundredth of what arrives and loses an eighth with a loss, at any size. See
docs/congestion.md for what else can be overridden.
"""

import asyncio
import sys

import rudp


class Scalable(rudp.WindowBased):
    """Tom Kelly's Scalable TCP: multiplicative increase, multiplicative decrease."""

    def grow(self, acked: int, sample: rudp.AckSample) -> None:
        """`acked` bytes arrived, and the window was used up."""
        if self.cwnd < self.ssthresh:
            acked = self.slow_start(acked)
        self.cwnd += acked // 100

    def reduced(self, in_flight: int) -> int:
        """What to go down to after a loss."""
        return max(in_flight * 7 // 8, 2 * self.mss)


async def sink(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take all that comes, and say how much it was."""
    total = 0
    while data := await reader.read(65536):
        total += len(data)
    writer.write(b"%d\n" % total)
    writer.close()
    await writer.wait_closed()


async def main(megabytes: int) -> None:
    """Send so much, and print the window now and then."""
    config = rudp.Config(congestion=Scalable)
    async with await rudp.start_server(sink, "127.0.0.1", 0) as server:
        address = server.sockets[0].getsockname()[:2]
        reader, writer = await rudp.open_connection(*address, config=config)
        for sent in range(megabytes):
            writer.write(bytes(1_000_000))
            await writer.drain()
            info = writer.get_extra_info("tcp_info")
            print(f"{sent + 1} MB written, cwnd {info.snd_cwnd} bytes, RTT {info.rtt * 1e3:.2f} ms")
        writer.write_eof()
        print(f"{int(await reader.readline())} bytes arrived")
        writer.close()
        await writer.wait_closed()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10))
