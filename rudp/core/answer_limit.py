"""How many segments out of nowhere are answered, for each host that they claim to be from.

Whoever forges a sender's address makes us send to it. What we send is no larger than what we got,
and there is no more of it than `LIMIT` in a second.

The limit is for each host, because one for all would be a side channel (CVE-2016-5696): who uses it
up and counts his own answers learns whether what he forges in another's name was answered, which is
whether there is a connection. Hosts are told apart by a keyed hash that is another one each second,
so that two of them share a limit by chance and for a second at most, and memory is bounded.

RFC 5961 section 7 (the limit), RFC 9293 section 3.10.7.1 (what is answered).
"""

from __future__ import annotations

import struct
from hashlib import blake2s
from typing import Final

LIMIT: Final = 1000
"""Answers to one host in a second."""

BUCKETS: Final = 4096
"""Limits that there are in a second."""

_SECOND: Final = struct.Struct("!Q")


class AnswerLimit:
    """Counts answers, in seconds of the clock."""

    __slots__ = ("_counts", "_second")

    def __init__(self) -> None:
        self._second = -1
        self._counts: dict[int, int] = {}

    def allows(self, secret: bytes, host: str, now: float) -> bool:
        """May `host` get an answer now? If so, it counts as given."""
        second = int(now)
        if second != self._second:
            self._second = second
            self._counts.clear()
        moment = _SECOND.pack(second & 0xFFFFFFFFFFFFFFFF)
        digest = blake2s(host.encode() + moment, key=secret, digest_size=4, person=b"answers")
        bucket = int.from_bytes(digest.digest(), "big") % BUCKETS
        count = self._counts.get(bucket, 0)
        if count >= LIMIT:
            return False
        self._counts[bucket] = count + 1
        return True
