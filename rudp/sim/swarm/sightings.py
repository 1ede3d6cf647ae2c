"""What many runs have to bring about between them: a test sees to it that none of it gets lost.

Each run notes what happened in it, by these names; there are others, which are too rare to be
waited for. Where a name is noted says what it means.
"""

from __future__ import annotations

from typing import Final

_WIRE: Final = (
    *("SACK", "DSACK", "ECN is agreed on", "ECT", "ECE", "CWR", "PAWS", "a reset", "a SYN again"),
    *("a FIN with data", "a bare FIN", "a retransmission", "a window probe", "a zero window"),
    *("a keepalive probe", "a probe of the path", "a window above 65,535 bytes"),
    *("numbers wrap within a segment", "answered without a connection"),
)
_CORE: Final = (
    *("R1 retransmissions", "retransmission timeout", "tail loss probe", "reordering is noticed"),
    *("recovery: cwr", "recovery: fast", "recovery: timeout", "recovery: undone"),
    *("larger segments", "smaller segments", "a large transfer"),
    *("congestion: bbr", "congestion: cubic", "congestion: reno", "congestion: ledbat++"),
    *("ends with ECONNREFUSED", "ends with ECONNRESET", "ends with ETIMEDOUT"),
)
_USERS: Final = (
    *("aborts", "closes with more to write", "closes with data unread", "reads after its own FIN"),
    *("writes after the peer's FIN", "frozen with something to do", "several datagrams at once"),
)
_NETWORK: Final = (
    *("network: lost", "network: damaged", "network: late", "network: repeated", "network: full"),
    *("network: junk", "network: marked", "network: cut off", "network: too large"),
    *("network: swallowed for ECT", "another path"),
)
_STATES: Final = (
    *("CLOSED to SYN-SENT", "CLOSED to SYN-RECEIVED", "SYN-SENT to SYN-RECEIVED"),
    *("SYN-SENT to ESTABLISHED", "SYN-SENT to CLOSED", "SYN-RECEIVED to ESTABLISHED"),
    *("SYN-RECEIVED to CLOSED", "ESTABLISHED to FIN-WAIT-1", "ESTABLISHED to CLOSE-WAIT"),
    *("ESTABLISHED to CLOSED", "FIN-WAIT-1 to FIN-WAIT-2", "FIN-WAIT-1 to CLOSING"),
    *("FIN-WAIT-1 to CLOSED", "FIN-WAIT-2 to TIME-WAIT", "FIN-WAIT-2 to CLOSED"),
    *("CLOSE-WAIT to LAST-ACK", "CLOSE-WAIT to CLOSED", "CLOSING to TIME-WAIT"),
    *("CLOSING to CLOSED", "LAST-ACK to CLOSED", "TIME-WAIT to CLOSED"),
)
_STREAMS: Final = (
    *("partition", "frozen host", "another path", "crash", "abort", "answer after the other's EOF"),
    *("ends with ECONNRESET", "network: lost", "network: repeated", "network: late"),
)

SIGHTINGS: Final = (
    *(*_WIRE, *_CORE, *_USERS, *_NETWORK),
    *(f"state: {move}" for move in _STATES),
    *(f"streams: {what}" for what in _STREAMS),
)
"""All of them."""
