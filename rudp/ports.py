"""The TCP port of a client's end, which nobody should guess: RFC 6056."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Final

from rudp.surroundings import random_bytes

EPHEMERAL_PORTS: Final = range(32768, 65536)
"""Where a client's TCP port comes from: 15 bits to guess. RFC 6056 section 3.2 wants as large a
range as there can be; the dynamic ports of RFC 6335 section 6 would be half of it."""


def ephemeral_port(in_use: Callable[[int], bool]) -> int:
    """A random port that is not `in_use`; `OSError` if there is none."""
    # RFC 6056 section 3.3.1: simple port randomization.
    count = len(EPHEMERAL_PORTS)
    first = int.from_bytes(random_bytes(4), "big") % count  # count is a power of two: no bias
    for offset in range(count):
        port = EPHEMERAL_PORTS[(first + offset) % count]
        if not in_use(port):
            return port
    raise OSError(errno.EADDRNOTAVAIL, "all ephemeral TCP ports are in use towards that address")
