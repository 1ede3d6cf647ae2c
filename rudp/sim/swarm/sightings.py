"""What many runs have to bring about between them: a test sees to it that none of it gets lost.

Each run notes what happened in it, by these names; there are others, which are too rare to be
waited for. Where a name is noted says what it means.
"""

from __future__ import annotations

from typing import Final

SIGHTINGS: Final[dict[str, tuple[str, ...]]] = {
    "swarm": (*("a window probe", "congestion: reno", "network: swallowed for ECT"),),
    "aborted": (
        *("ECN is agreed on", "ECT", "ECE", "CWR", "a reset", "a SYN again", "a bare FIN"),
        *("a zero window", "numbers wrap within a segment", "answered without a connection"),
        *("retransmission timeout", "recovery: timeout", "recovery: undone", "congestion: bbr"),
        *("congestion: cubic", "congestion: ledbat++", "ends with ECONNREFUSED"),
        *("ends with ECONNRESET", "aborts", "closes with more to write", "closes with data unread"),
        *("reads after its own FIN", "writes after the peer's FIN"),
        *("frozen with something to do", "several datagrams at once", "network: lost"),
        *("network: damaged", "network: late", "network: repeated", "network: junk"),
        *("network: marked", "another path", "state: CLOSED to SYN-SENT"),
        *("state: CLOSED to SYN-RECEIVED", "state: SYN-SENT to SYN-RECEIVED"),
        *("state: SYN-SENT to ESTABLISHED", "state: SYN-SENT to CLOSED"),
        *("state: SYN-RECEIVED to ESTABLISHED", "state: SYN-RECEIVED to CLOSED"),
        *("state: ESTABLISHED to FIN-WAIT-1", "state: ESTABLISHED to CLOSE-WAIT"),
        *("state: FIN-WAIT-1 to FIN-WAIT-2", "state: FIN-WAIT-1 to CLOSED"),
        *("state: FIN-WAIT-2 to CLOSED", "state: CLOSE-WAIT to CLOSED"),
        *("state: CLOSING to CLOSED",),
    ),
    "narrow": (
        *("a probe of the path", "larger segments", "smaller segments", "network: too large"),
        *("the ACK of a SYN-ACK again",),
        *("state: CLOSE-WAIT to LAST-ACK", "state: LAST-ACK to CLOSED"),
    ),
    "forsaken": (
        *("a keepalive probe", "R1 retransmissions", "ends with ETIMEDOUT", "network: cut off"),
        *("state: ESTABLISHED to CLOSED",),
    ),
    "fifths": (
        *("SACK", "DSACK", "PAWS", "a FIN with data", "a retransmission"),
        *("a window above 65,535 bytes", "tail loss probe", "reordering is noticed"),
        *("recovery: fast", "state: FIN-WAIT-1 to CLOSING", "state: FIN-WAIT-2 to TIME-WAIT"),
        *("state: CLOSING to TIME-WAIT", "state: TIME-WAIT to CLOSED"),
    ),
    "bulk": ("recovery: cwr", "a large transfer", "network: full"),
    "streams": (
        *("streams: partition", "streams: frozen host", "streams: another path"),
        *("streams: crash", "streams: abort", "streams: answer after the other's EOF"),
        *("streams: ends with ECONNRESET", "streams: network: lost"),
        *("streams: network: repeated", "streams: network: late", "streams: woken"),
    ),
}
"""By the scenario that brings it about soonest; in most it happens, too."""
