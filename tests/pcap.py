"""Datagrams to a packet capture that Wireshark reads: no privileges, no interface, just a file.

The format is libpcap's classic one (draft-ietf-opsawg-pcap), its packets are raw IPv4
(LINKTYPE_RAW) with UDP in them, checksums included. Read it with `tshark -r FILE -d
udp.port==PORT,tcp`.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

Address = tuple[str, int]
Packet = tuple[float, Address, Address, bytes]
"""Seconds, source (host, port), destination (host, port), the payload of the datagram."""

LINKTYPE_RAW: Final = 101
SNAPLEN: Final = 65535
UDP: Final = 17


def write_pcap(path: Path, packets: Iterable[Packet]) -> None:
    """Write the packets, in the order given, to the file `path`."""
    header = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, SNAPLEN, LINKTYPE_RAW)
    with path.open("wb") as file:
        file.write(header)
        for number, (when, source, destination, payload) in enumerate(packets):
            packet = ipv4(source, destination, payload, number)
            stamp = struct.pack("<II", int(when), int(when % 1 * 1_000_000))
            file.write(stamp + struct.pack("<II", len(packet), len(packet)) + packet)


def ipv4(source: Address, destination: Address, payload: bytes, number: int) -> bytes:
    """An IPv4 packet (RFC 791) with a UDP datagram (RFC 768)."""
    addresses = socket.inet_aton(source[0]) + socket.inet_aton(destination[0])
    length = 8 + len(payload)
    ports = struct.pack("!HHH", source[1], destination[1], length)
    pseudo = addresses + struct.pack("!BBH", 0, UDP, length)
    # RFC 768: a sum that comes out as zero is sent as all ones.
    check = checksum(pseudo + ports + bytes(2) + payload) or 0xFFFF
    dont_fragment = 0x4000
    head = struct.pack("!BBHHHBB", 0x45, 0, 20 + length, number % 65536, dont_fragment, 64, UDP)
    head += struct.pack("!H", checksum(head + bytes(2) + addresses)) + addresses
    return head + ports + struct.pack("!H", check) + payload


def checksum(data: bytes) -> int:
    """RFC 1071: the complement of the ones' complement sum of all 16-bit words."""
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
