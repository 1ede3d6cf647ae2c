"""The states of a connection and the only ways from one to another.

The picture is RFC 9293 section 3.3.2, figure 5. What closes a connection are three facts, each
of which happens at most once: our FIN is *queued* (the user closed), our FIN is *acknowledged*,
the peer's FIN is *received*. Each fact has a small table that says which state follows. All
other moves belong to the handshake, or lead to CLOSED.

                 fin queued           fin acked            fin received
    ESTABLISHED  FIN-WAIT-1                                CLOSE-WAIT
    FIN-WAIT-1                        FIN-WAIT-2           CLOSING
    FIN-WAIT-2                                             TIME-WAIT
    CLOSE-WAIT   LAST-ACK
    CLOSING                           TIME-WAIT
    LAST-ACK                          CLOSED

Not here: when a fact becomes true. That is `connection` and `arrival`.
"""

from __future__ import annotations

import enum
from typing import Final


class State(enum.Enum):
    """A connection's state, by its name in RFC 9293 section 3.3.2."""

    CLOSED = "CLOSED"
    LISTEN = "LISTEN"
    SYN_SENT = "SYN-SENT"
    SYN_RCVD = "SYN-RECEIVED"
    ESTABLISHED = "ESTABLISHED"
    FIN_WAIT_1 = "FIN-WAIT-1"
    FIN_WAIT_2 = "FIN-WAIT-2"
    CLOSE_WAIT = "CLOSE-WAIT"
    CLOSING = "CLOSING"
    LAST_ACK = "LAST-ACK"
    TIME_WAIT = "TIME-WAIT"

    # Identity is equality here, and Enum's own hash goes through Python code.
    __hash__ = object.__hash__


CLOSED: Final = State.CLOSED
LISTEN: Final = State.LISTEN
SYN_SENT: Final = State.SYN_SENT
SYN_RCVD: Final = State.SYN_RCVD
ESTABLISHED: Final = State.ESTABLISHED
FIN_WAIT_1: Final = State.FIN_WAIT_1
FIN_WAIT_2: Final = State.FIN_WAIT_2
CLOSE_WAIT: Final = State.CLOSE_WAIT
CLOSING: Final = State.CLOSING
LAST_ACK: Final = State.LAST_ACK
TIME_WAIT: Final = State.TIME_WAIT

# RFC 9293 section 3.10.4: a CLOSE in SYN-RECEIVED is queued until ESTABLISHED is entered.
ON_FIN_QUEUED: Final = {ESTABLISHED: FIN_WAIT_1, CLOSE_WAIT: LAST_ACK}
ON_FIN_ACKED: Final = {FIN_WAIT_1: FIN_WAIT_2, CLOSING: TIME_WAIT, LAST_ACK: CLOSED}
ON_FIN_RECEIVED: Final = {ESTABLISHED: CLOSE_WAIT, FIN_WAIT_1: CLOSING, FIN_WAIT_2: TIME_WAIT}

TRANSITIONS: Final[dict[State, frozenset[State]]] = {
    CLOSED: frozenset({SYN_SENT, SYN_RCVD}),
    LISTEN: frozenset({SYN_RCVD, CLOSED}),
    SYN_SENT: frozenset({SYN_RCVD, ESTABLISHED, CLOSED}),
    SYN_RCVD: frozenset({ESTABLISHED, CLOSED}),
    ESTABLISHED: frozenset({FIN_WAIT_1, CLOSE_WAIT, CLOSED}),
    FIN_WAIT_1: frozenset({FIN_WAIT_2, CLOSING, CLOSED}),
    FIN_WAIT_2: frozenset({TIME_WAIT, CLOSED}),
    CLOSE_WAIT: frozenset({LAST_ACK, CLOSED}),
    CLOSING: frozenset({TIME_WAIT, CLOSED}),
    LAST_ACK: frozenset({CLOSED}),
    TIME_WAIT: frozenset({CLOSED}),
}
"""Every move that is legal. `Connection.set_state` asserts that it makes no other."""

SYNCHRONIZED: Final = frozenset(
    {ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2, CLOSE_WAIT, CLOSING, LAST_ACK, TIME_WAIT}
)
"""RFC 9293 section 3.5.2, group 3: both sides have agreed on sequence numbers."""
