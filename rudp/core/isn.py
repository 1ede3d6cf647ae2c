"""Numbers that an attacker must not guess: initial sequence numbers, timestamp offsets.

RFC 6528 (now RFC 9293 section 3.4.1): ISN = M + F(localip, localport, remoteip, remoteport,
secretkey). M is a timer that ticks every 4 microseconds, so that numbers of one pair of sockets
rise from connection to connection; F is a keyed hash (BLAKE2s), so that nobody can carry over what
he sees on one pair to another.
"""

from __future__ import annotations

from hashlib import blake2s
from typing import Final

TICK: Final = 4e-6


def initial_sequence_number(secret: bytes, sockets: bytes, now: float) -> int:
    """ISS for the pair of sockets that `sockets` names, by `secret` (16 to 32 bytes)."""
    return (int(now / TICK) + _keyed(secret, b"ISN", sockets)) & 0xFFFFFFFF


def timestamp_offset(secret: bytes, sockets: bytes) -> int:
    """What is added to the timestamp clock (RFC 7323 section 5.4).

    One offset for a pair of sockets, so that timestamps go on rising from one connection to the
    next, which is what lets a SYN reuse a pair in TIME-WAIT (RFC 6191).
    """
    return _keyed(secret, b"TSoffset", sockets)


def _keyed(secret: bytes, purpose: bytes, sockets: bytes) -> int:
    digest = blake2s(sockets, key=secret, digest_size=4, person=purpose).digest()
    return int.from_bytes(digest, "big")
