"""Makes the committed corpus anew: `python -m tests.fuzz.make_corpus`.

The codec's inputs are the datagrams of real exchanges in the simulated network (transfers over a
link that loses, resets, half-closes), one of each shape, and runs of them. The endpoint's are
stories in the language of `fuzz_endpoint`.
"""

import asyncio
import contextlib
import struct
from collections.abc import Iterator

import rudp
from rudp import sim
from rudp.core.codec import encode
from rudp.core.segment import ACK, ECE, FIN, PSH, RST, SYN, URG, Segment
from rudp.core.state import State
from tests.fuzz.fuzz_endpoint import CALLS, ERRORS, HANDSHAKES, WAITS
from tests.fuzz.guided import CORPUS

PORT = 7000
NOPS = bytes((1, 1))


def exchanges() -> list[Segment]:
    """What both sides of a few connections sent, data shortened."""
    seen: list[Segment] = []

    def tap(direction: str, segment: Segment, state: State, now: float) -> None:
        if direction == ">":
            segment = Segment(
                segment.src_port,
                segment.dst_port,
                segment.seq % 2**32,
                segment.ack % 2**32,
                segment.flags,
                segment.wnd,
                bytes(segment.data[:100]),
                mss=segment.mss,
                window_scale=segment.window_scale,
                sack_permitted=segment.sack_permitted,
                ts_val=segment.ts_val,
                ts_ecr=segment.ts_ecr,
                sack_blocks=segment.sack_blocks,
            )
            seen.append(segment)

    async def serve() -> None:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while data := await reader.read(65536):
                    writer.write(data)
                writer.close()
                await writer.wait_closed()

        endpoint = await rudp.Endpoint.open(("0.0.0.0", PORT), tap=tap)
        async with await endpoint.start_server(echo) as server:
            await server.serve_forever()

    async def ask(config: rudp.Config, abort: bool) -> None:
        async with await rudp.Endpoint.open(("0.0.0.0", 0), config=config, tap=tap) as endpoint:
            reader, writer = await endpoint.open_connection("server", PORT)
            writer.write(bytes(range(256)) * 400)
            if abort:
                writer.transport.abort()
                return
            writer.write_eof()
            await reader.read(-1)
            writer.close()
            await writer.wait_closed()

    async def scenario(network: sim.Network) -> None:
        server, client = network.host("server"), network.host("client")
        network.conditions = sim.Conditions(loss=0.1, reordering=0.1, rate=1e6)
        server.start(serve())
        for config in (
            rudp.Config(),
            rudp.Config(timestamps=False),
            rudp.Config(sack=False, window_scaling=False, timestamps=False),
        ):
            await client.run(ask(config, abort=False))
            await client.run(ask(config, abort=True))

    sim.run(scenario, seed=1)
    return seen


def shape(segment: Segment) -> tuple[object, ...]:
    return (
        segment.flags,
        bool(segment.data),
        segment.mss is None,
        segment.window_scale is None,
        segment.sack_permitted,
        segment.ts_val is None,
        len(segment.sack_blocks),
    )


def codec_inputs() -> Iterator[tuple[str, bytes]]:
    shapes: dict[tuple[object, ...], Segment] = {}
    for segment in exchanges():
        shapes.setdefault(shape(segment), segment)
    for number, segment in enumerate(shapes.values()):
        yield f"segment-{number:02}", encode(segment)
    # Runs that continue each other, for `coalesce`: the size in front, as fuzz_codec has it.
    for name, flags in (("plain", ACK), ("pushed", ACK | PSH), ("urgent", ACK | URG)):
        run = [
            encode(Segment(1, 2, (2**32 - 25 + 10 * i) % 2**32, 9, flags, 99, b"0123456789"))
            for i in range(5)
        ]
        yield f"run-{name}", struct.pack("!H", len(run[0])) + b"".join(run)
    yield "empty", b""
    yield (
        "option-without-length",
        encode(Segment(1, 2, 3, 4, ACK, 5))[:12] + bytes.fromhex("601000050000000002000000"),
    )


# The language of fuzz_endpoint


def raw(data: bytes) -> bytes:
    return bytes((0, len(data))) + data


def segment(
    flags: int, seq: int = 0, ack: int = 0, wnd: int = 1000, options: bytes = b"", size: int = 0
) -> bytes:
    assert len(options) % 4 == 0
    head = struct.pack("!BBhhH", 1, flags, seq, ack, wnd)
    return head + bytes((len(options) // 4,)) + options + bytes((size, 0))


def wait(seconds: float) -> bytes:
    return bytes((2, WAITS.index(seconds)))


def call(name: str, size: int = 0) -> bytes:
    return bytes((3, CALLS.index(name), size // 64))


def syn(port: int, options: bytes = b"") -> bytes:
    return bytes((4, port, len(options) // 4)) + options


def icmp(code: int) -> bytes:
    return bytes((5, ERRORS.index(code)))


def sack(*edges: int) -> bytes:
    return NOPS + bytes((5, 2 + 4 * len(edges))) + b"".join(struct.pack("!I", e) for e in edges)


def endpoint_inputs() -> Iterator[tuple[str, bytes]]:
    """Each story after one of the handshakes, in turn."""
    for number, (title, story) in enumerate(stories()):
        yield title, bytes((number % len(HANDSHAKES),)) + story


def stories() -> Iterator[tuple[str, bytes]]:
    data = segment(ACK | PSH, size=100)
    yield "nothing", b""
    yield "garbage", raw(b"") + raw(b"\xff" * 19) + raw(bytes(range(60)))
    yield "data", data + wait(0.05) + segment(ACK)
    yield "out-of-order", segment(ACK, seq=200, size=100) + segment(ACK, seq=100, size=100) + data
    yield "many-holes", b"".join(segment(ACK, seq=20 * i, size=10) for i in range(1, 40)) + data
    yield "overlaps", data + segment(ACK, seq=-50, size=100) + segment(ACK, seq=-100, size=200)
    yield "beyond-the-window", segment(ACK, seq=30000, size=100) + segment(ACK, seq=-30000, size=9)
    yield "fin", segment(FIN | ACK) + wait(0.05) + segment(ACK) + wait(70.0)
    yield "fin-out-of-order", segment(FIN | ACK, seq=100) + data + wait(0.2) + segment(ACK)
    yield (
        "close-first",
        call("write", 640)
        + call("close")
        + wait(0.05)
        + segment(ACK)
        + segment(FIN | ACK)
        + wait(10.0)
        + segment(ACK, seq=-1),
    )
    yield "reset-exact", segment(RST)
    yield "reset-in-window", segment(RST, seq=5) + wait(0.5) + segment(RST | ACK, seq=-5)
    yield "syn-in-window", segment(SYN) + segment(SYN | ACK, seq=7) + wait(1.0)
    yield "ack-of-nothing", segment(ACK, ack=100) + segment(ACK, ack=-20000) + wait(0.5)
    yield "no-ack", call("write", 6400) + wait(1.0) + wait(10.0) + wait(70.0)
    yield (
        "window-shut",
        segment(ACK, wnd=0) + call("write", 6400) + wait(3.0) + segment(ACK, wnd=1) + wait(70.0),
    )
    yield (
        "sacks",
        call("write", 12800)
        + wait(0.01)
        + segment(ACK, ack=-3000, options=sack(0, 1))
        + segment(ACK, ack=-12800, options=sack(0, 2**31, 5, 4))
        + wait(1.0)
        + segment(ACK),
    )
    yield (
        "halved-acks",
        call("write", 12800) + b"".join(segment(ACK, ack=-12800 + 300 * i) for i in range(20)),
    )
    yield (
        "slow-reader",
        call("pause")
        + b"".join(segment(ACK | PSH, size=250) for _ in range(50))
        + wait(0.2)
        + call("resume")
        + wait(0.2),
    )
    yield "half-close", call("write_eof") + wait(0.05) + segment(ACK) + data + segment(FIN | ACK)
    yield "abort", call("write", 64) + call("abort") + data + segment(ACK)
    yield "both-at-once", call("close") + segment(FIN | ACK, ack=-1) + segment(ACK) + wait(0.2)
    yield "syns", b"".join(syn(port, bytes.fromhex("020405b4")) for port in range(12)) + wait(70.0)
    yield "bad-options", syn(1, bytes.fromhex("02000000")) + syn(2, b"\x03\x03\xff\0" * 10) + data
    yield (
        "errors",
        b"".join(icmp(code) for code in ERRORS) + call("write", 640) + icmp(ERRORS[3]) + wait(0.2),
    )
    yield "flags", b"".join(segment(flags, size=1) for flags in range(0, 256, 5))
    yield "silence", wait(70.0) + call("info") + wait(70.0)
    yield "ecn", syn(3) + call("write", 6400) + segment(ACK | ECE, ack=-1000) + wait(0.2)
    yield (
        "time-wait",
        call("close")
        + wait(0.01)
        + segment(ACK)
        + segment(FIN | ACK)
        + segment(SYN, seq=1000)
        + wait(0.2)
        + segment(ACK),
    )


def main() -> None:
    for name, inputs in (("codec", codec_inputs()), ("endpoint", endpoint_inputs())):
        directory = CORPUS / name
        directory.mkdir(parents=True, exist_ok=True)
        for old in directory.iterdir():
            old.unlink()
        for title, data in inputs:
            (directory / title).write_bytes(data)
        print(f"{name}: {len(list(directory.iterdir()))} inputs")


if __name__ == "__main__":
    main()
