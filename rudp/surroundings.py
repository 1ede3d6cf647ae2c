"""What rudp takes from the system around it: sockets and chance. A simulated world brings its own.

An event loop that is a world for itself (`rudp.sim`) has `make_socket(family)`,
`random_bytes(count)`, `secret` and `place`. Under any other loop, and under none, they are the
operating system's.
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any, Final

_SECRET: Final = os.urandom(32)
"""One for the process, so that ISNs and timestamps of a pair rise for ever."""


def make_socket(family: int) -> socket.socket:
    """An unbound UDP socket."""
    make = getattr(_loop(), "make_socket", None)
    if make is None:
        return socket.socket(family, socket.SOCK_DGRAM)
    made: socket.socket = make(family)
    return made


def random_bytes(count: int) -> bytes:
    """Bytes that nobody can guess."""
    source = getattr(_loop(), "random_bytes", os.urandom)
    return bytes(source(count))


def secret() -> bytes:
    """32 bytes that nobody can guess, always the same in one process."""
    return bytes(getattr(_loop(), "secret", _SECRET))


def place(loop: asyncio.AbstractEventLoop) -> Any:
    """What a program shares its sockets with: all that runs in `loop`, or on its simulated host."""
    return getattr(loop, "place", loop)


def _loop() -> Any:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
