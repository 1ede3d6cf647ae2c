"""Numbers that an attacker must not guess: initial sequence numbers, timestamp offsets.

RFC 6528 (now RFC 9293 section 3.4.1): ISN = M + F(localip, localport, remoteip, remoteport,
secretkey). M is a timer that ticks every 4 microseconds, so that numbers of one pair of sockets
rise from connection to connection; F is a keyed hash (BLAKE2s), so that nobody can carry over what
he sees on one pair to another.
"""

from __future__ import annotations

import struct
from hashlib import blake2s
from typing import Any, Final

TICK: Final = 4e-6

_TWO_NUMBERS: Final = struct.Struct("!II")


def initial_numbers(
    secret: bytes, local: tuple[Any, ...], key: tuple[tuple[Any, ...], int, int], now: float
) -> tuple[int, int]:
    """ISS and timestamp offset, by `secret` (16 to 32 bytes), for a pair of sockets.

    `local` is our UDP address; `key` has the peer's, our TCP port and the peer's. The offset is
    added to the timestamp clock (RFC 7323 section 5.4). It is one for a pair, so that timestamps go
    on rising from one connection to the next, which is what lets a SYN reuse a pair in TIME-WAIT
    (RFC 6191).
    """
    # Two parts of one digest say nothing of each other.
    digest = blake2s(pair_name(local, key), key=secret, digest_size=8).digest()
    f, ts_offset = _TWO_NUMBERS.unpack(digest)
    return (int(now / TICK) + f) & 0xFFFFFFFF, ts_offset


def pair_name(local: tuple[Any, ...], key: tuple[tuple[Any, ...], int, int]) -> bytes:
    """A pair of sockets as bytes, which no other pair has."""
    peer, local_port, peer_port = key
    return f"{local[0]} {local[1]} {local_port} {peer[0]} {peer[1]} {peer_port}".encode()
