"""Why a connection ended that nobody had ended: what the system says of datagrams that it could not
send, and what went wrong inside.

Neither ICMP nor a refused send ends a connection that is established: the first can be forged, and
both may pass. But when it ends because no acknowledgment came, they say why (RFC 1122 section
4.2.3.9: soft errors are made available to the application).
"""

from __future__ import annotations

import errno
import logging
import math
from typing import Final

from rudp.sockets import Address

logger = logging.getLogger("rudp")

RECENT: Final = 100.0
"""Seconds for which a complaint explains something: who still sends has heard of it since."""


class Complaints:
    """The last complaint of an endpoint; one, whatever the number of peers."""

    def __init__(self) -> None:
        self._addr: Address | None = None
        self._text = ""
        self._at = -math.inf

    def note(self, exc: OSError, addr: Address | None, now: float) -> None:
        """The system complains about what was sent to `addr`, if that is known."""
        logger.debug("sending to %s: %s", addr, exc)
        self._addr, self._text, self._at = addr, exc.strerror or str(exc), now

    def explain(self, error: OSError | None, addr: Address, now: float) -> OSError | None:
        """`error`, which ended the connection to `addr`: with the reason, if it is silence."""
        silence = isinstance(error, TimeoutError)
        if error is None or not silence or addr != self._addr or now - self._at > RECENT:
            return error
        return OSError(error.errno, f"{error.strerror}; the system says: {self._text}")


def internal_error(exc: Exception) -> ConnectionAbortedError:
    """What the user hears of a connection that raised `exc` where nothing may be raised."""
    error = ConnectionAbortedError(
        errno.ECONNABORTED, f"Connection aborted by an internal error: {exc!r}"
    )
    error.__cause__ = exc
    return error
