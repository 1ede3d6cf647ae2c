"""On the wire rudp is TCP: a capture of it reads as such, in Wireshark and byte by byte."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import rudp

from . import peers
from .notation import (
    ACK,
    CWR,
    ECE,
    FIN,
    MSS,
    RST,
    SACK_PERMITTED,
    SYN,
    TIMESTAMPS,
    WINDOW_SCALE,
    Line,
    Origin,
)
from .notation import decode as read
from .pcap import Packet, checksum, ipv4, write_pcap
from .peers import HOST, Accepted, Relay, closed, relay_to
from .udp import until

quiet_loop = peers.quiet_loop

TSHARK = shutil.which("tshark")
DUMPCAP = shutil.which("dumpcap")

needs_tshark = pytest.mark.skipif(TSHARK is None, reason="tshark is not installed")
needs_capture = pytest.mark.skipif(
    TSHARK is None or DUMPCAP is None or os.geteuid() != 0,
    reason="capturing on loopback takes tshark, dumpcap and root",
)

FROM_CLIENT = b"from the client " * 2000
FROM_SERVER = b"from the server " * 3000


async def converse(port: int, udp_port: int, accepted: Accepted, mss: int | None) -> None:
    """A connection with data both ways, a half-close, and both FINs."""
    config = rudp.Config(mss=mss)
    reader, writer = await rudp.open_connection(HOST, port, udp_port=udp_port, config=config)
    their_reader, their_writer = await accepted.next()
    writer.write(FROM_CLIENT)
    writer.write_eof()
    assert await their_reader.read() == FROM_CLIENT
    their_writer.write(FROM_SERVER)
    their_writer.close()
    assert await reader.read() == FROM_SERVER
    await closed((reader, writer), (their_reader, their_writer))


@contextlib.asynccontextmanager
async def listening(mss: int | None) -> AsyncIterator[tuple[rudp.Endpoint, Accepted]]:
    accepted = Accepted()
    endpoint = await rudp.Endpoint.open((HOST, 0), config=rudp.Config(mss=mss))
    await endpoint.start_server(accepted)
    try:
        yield endpoint, accepted
    finally:
        endpoint.abort()


async def recorded(mss: int | None) -> tuple[Relay, list[Packet]]:
    """All datagrams of such a connection, as a relay in the middle saw them."""
    async with listening(mss) as (endpoint, accepted), relay_to(endpoint.sockname) as relay:
        await converse(endpoint.sockname[1], relay.port, accepted, mss)
        await until(lambda: not endpoint.engine.channels)  # the last ACK is through as well
        return relay, list(relay.log)


async def tshark(file: Path, port: int, *arguments: str) -> list[list[str]]:
    """What tshark says of the capture, the UDP port read as TCP: a list of fields for each line."""
    assert TSHARK is not None
    process = await asyncio.create_subprocess_exec(
        *(TSHARK, "-n", "-r", str(file), "-d", f"udp.port=={port},tcp", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, complaints = await process.communicate()
    assert process.returncode == 0, complaints.decode()
    return [line.split("\t") for line in output.decode().splitlines()]


FIELDS = (
    "tcp.srcport",
    "tcp.flags",
    "tcp.len",
    "tcp.options.mss_val",
    "udp.checksum.status",
    "_ws.malformed",
    "_ws.expert.severity",
)


async def dissected(file: Path, port: int, *options: str) -> list[dict[str, str]]:
    """The fields of each packet that tshark takes for TCP."""
    fields = [item for name in FIELDS for item in ("-e", name)]
    lines = await tshark(file, port, *options, "-Y", "tcp", "-T", "fields", *fields)
    return [dict(zip(FIELDS, line, strict=True)) for line in lines]


def is_a_whole_connection(packets: list[dict[str, str]]) -> None:
    """SYN, SYN-ACK and ACK, then only segments with ACK, two FINs among them, and no defect."""
    flags = [int(each["tcp.flags"], 16) & 0x17 for each in packets]
    assert flags[:3] == [SYN, SYN | ACK, ACK]
    assert all(each & ~FIN == ACK for each in flags[3:])
    fins = [each for each, bits in zip(packets, flags, strict=True) if bits & FIN]
    assert len({each["tcp.srcport"] for each in fins}) == 2
    assert flags[-1] == ACK
    assert not [each for each in packets if each["_ws.malformed"]]
    errors = {"8388608", "Error"}  # PI_ERROR
    assert not [each for each in packets if errors & set(each["_ws.expert.severity"].split(","))]
    assert sum(int(each["tcp.len"]) for each in packets) >= len(FROM_CLIENT) + len(FROM_SERVER)


# -- with tshark ---------------------------------------------------------------------------------


@needs_tshark
@pytest.mark.parametrize("mss", [None, 1452])
async def test_tshark_reads_a_recorded_connection_as_tcp(tmp_path: Path, mss: int | None) -> None:
    relay, log = await recorded(mss)
    file = tmp_path / "relay.pcap"
    write_pcap(file, log)
    packets = await dissected(file, relay.port, "-o", "udp.check_checksum:TRUE")
    assert len(packets) == len(log)
    is_a_whole_connection(packets)
    assert {each["udp.checksum.status"] for each in packets} == {"1"}  # good: our writer's
    if mss is not None:
        assert [each["tcp.options.mss_val"] for each in packets[:2]] == ["1452", "1452"]
        # RFC 6691: the options come out of the MSS; 12 bytes of timestamps are in each segment.
        assert max(int(each["tcp.len"]) for each in packets) == 1440


@contextlib.asynccontextmanager
async def capturing(file: Path, port: int) -> AsyncIterator[None]:
    """dumpcap at work on the loopback interface, from its first to its last packet."""
    assert DUMPCAP is not None
    process = await asyncio.create_subprocess_exec(
        *(DUMPCAP, "-i", "lo", "-f", f"udp port {port}", "-w", str(file), "-q"),
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(5):
            while b"File:" not in await process.stderr.readline():
                assert process.returncode is None
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.communicate()


def packets_in(file: Path) -> int:
    """How many packets a pcapng file holds so far: its enhanced packet blocks."""
    data, count, at = file.read_bytes(), 0, 0
    while len(data) - at >= 12:
        kind = int.from_bytes(data[at : at + 4], "little")
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        if length < 12:
            break
        count += kind == 6
        at += length
    return count


@needs_capture
def test_tshark_reads_a_live_capture_as_tcp(tmp_path: Path) -> None:
    file = tmp_path / "lo.pcapng"
    sent = 0

    def count(*_: object) -> None:
        nonlocal sent
        sent += 1

    async def main() -> None:
        accepted = Accepted()
        endpoint = await rudp.Endpoint.open((HOST, 0), tap=count)
        await endpoint.start_server(accepted)
        port = int(endpoint.sockname[1])
        async with capturing(file, port):
            await converse(port, port, accepted, None)
            await until(lambda: not endpoint.engine.channels)
            # dumpcap writes what the kernel hands to it, which it does a moment later.
            await until(lambda: packets_in(file) >= sent)
        endpoint.abort()
        is_a_whole_connection(await dissected(file, port))

    # What is captured is the same on every loop, and dumpcap takes its time: once is enough.
    asyncio.run(main())


# -- without -------------------------------------------------------------------------------------


def lines(relay: Relay, log: list[Packet]) -> list[Line]:
    """Each datagram, read by the tests' own reader; it refuses what is not exactly a segment."""
    client = next(source for _, source, _, _ in log)
    first = {source: data for _, source, _, data in reversed(log)}
    iss = {name: int.from_bytes(data[4:8], "big") for name, data in first.items()}
    origins = {
        client: Origin(seq=iss[client], ack=iss[relay.addr]),
        relay.addr: Origin(seq=iss[relay.addr], ack=iss[client]),
    }
    return [
        read(data, ">" if source == client else "<", origins[source]) for _, source, _, data in log
    ]


def stream_of(wire: list[Line], direction: str) -> bytes:
    """The bytes that one side has sent, put together by their sequence numbers."""
    stream = bytearray()
    for line in sorted((each for each in wire if each.direction == direction), key=lambda x: x.seq):
        stream[line.seq - 1 : line.seq - 1 + line.length] = line.data or b""
    return bytes(stream)


@pytest.mark.parametrize("mss", [None, 536, 1452])
async def test_every_datagram_is_one_segment_byte_for_byte(mss: int | None) -> None:
    relay, log = await recorded(mss)
    wire = lines(relay, log)

    syn, syn_ack, ack = wire[:3]
    # RFC 3168 section 6.1.1: an ECN-setup SYN and SYN-ACK, where the system has access to ECN.
    offer, accept = (ECE | CWR, ECE) if sys.platform == "linux" else (0, 0)
    assert (syn.direction, syn.flags, syn.seq, syn.length) == (">", SYN | offer, 0, 0)
    assert (syn_ack.direction, syn_ack.seq, syn_ack.ack) == ("<", 0, 1)
    assert syn_ack.flags == SYN | ACK | accept
    assert (ack.direction, ack.flags & ~8, ack.seq, ack.ack) == (">", ACK, 1, 1)
    for line in (syn, syn_ack):
        for kind in (MSS, SACK_PERMITTED, TIMESTAMPS, WINDOW_SCALE):
            assert line.option(kind) is not None
    for line in wire[2:]:
        assert line.option(TIMESTAMPS) is not None  # RFC 7323 section 3.2: in every segment
        assert line.option(MSS) is line.option(WINDOW_SCALE) is None
        assert line.flags & (ACK | SYN | RST) == ACK
        assert line.urgent == 0
        assert line.length <= (mss or 65535) - 12

    for direction, data in ((">", FROM_CLIENT), ("<", FROM_SERVER)):
        assert stream_of(wire, direction) == data
        # Its FIN stands behind the last byte, and the other side acknowledges it.
        ends = {x.seq + x.length for x in wire if x.direction == direction and x.flags & FIN}
        assert ends == {1 + len(data)}
        acks = [x.ack for x in wire if x.direction != direction and x.ack is not None]
        assert max(acks) == 2 + len(data)
    assert wire[-1].flags == ACK


async def test_the_ports_inside_are_the_connections_and_those_outside_the_sockets() -> None:
    relay, log = await recorded(None)
    inner = {(data[0:2], data[2:4]) for _, _, _, data in log}
    assert len(inner) == 2
    (one, other), (back_one, back_other) = inner
    assert (one, other) == (back_other, back_one)
    assert {int.from_bytes(each, "big") for each in (one, other)}.isdisjoint({relay.port})


# -- the writer ----------------------------------------------------------------------------------


def test_a_checksum_is_that_of_rfc_1071() -> None:
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == ~0xDDF2 & 0xFFFF  # its own example
    assert checksum(b"\x01") == ~0x0100 & 0xFFFF


def test_a_packet_checks_out_with_its_checksums_in_it() -> None:
    packet = ipv4(("192.0.2.1", 1234), ("192.0.2.2", 80), b"odd", 7)
    assert checksum(packet[:20]) == 0
    pseudo = packet[12:20] + bytes((0, 17)) + packet[24:26]
    assert checksum(pseudo + packet[20:]) == 0
    assert len(packet) == int.from_bytes(packet[2:4], "big") == 20 + 8 + 3
