"""The way into each state of RFC 9293 section 3.3.2, figure 5, through the API and the wire."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from rudp.core.state import (
    CLOSE_WAIT,
    CLOSED,
    CLOSING,
    ESTABLISHED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    LAST_ACK,
    SYN_RCVD,
    SYN_SENT,
    TIME_WAIT,
    State,
)
from tests.wire.scripted import Script

SYNCHRONIZED: Final = (
    ESTABLISHED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    CLOSE_WAIT,
    CLOSING,
    LAST_ACK,
    TIME_WAIT,
)
"""Both SYNs are acknowledged, and there is something left of the connection."""


class Numbers(NamedTuple):
    """Where both streams stand, as the notation counts them."""

    una: int  # SND.UNA
    nxt: int  # SND.NXT
    rcv: int  # RCV.NXT


def reach(script: Script, state: State, **handshake: Any) -> Numbers:
    """Bring a connection into `state`, by one FIN each way where it takes them. `handshake` is for
    `Script.established`. All that is sent on the way is checked."""
    if state is SYN_SENT:
        script.active(**handshake)
        script.expect("> S 0:0(0)")
        numbers = Numbers(0, 1, 0)
    elif state is SYN_RCVD:
        script.passive(**handshake)
        script.expect("> S. 0:0(0) ack 1")
        numbers = Numbers(0, 1, 1)
    else:
        script.established(**handshake)
        numbers = _after_the_handshake(script, state)
    assert script.state is state
    return numbers


def _after_the_handshake(script: Script, state: State) -> Numbers:
    if state is ESTABLISHED:
        return Numbers(1, 1, 1)
    if state in (CLOSE_WAIT, LAST_ACK, CLOSED):
        script.inject("< F. 1:1(0) ack 1")
        script.expect("> . 1:1(0) ack 2")
        if state is CLOSE_WAIT:
            return Numbers(1, 1, 2)
        script.write_eof()
        script.expect("> F. 1:1(0) ack 2")
        if state is LAST_ACK:
            return Numbers(1, 2, 2)
        script.inject("< . 2:2(0) ack 2")
        return Numbers(2, 2, 2)
    script.write_eof()
    script.expect("> F. 1:1(0) ack 1")
    if state is FIN_WAIT_1:
        return Numbers(1, 2, 1)
    if state is CLOSING:
        script.inject("< F. 1:1(0) ack 1")
        script.expect("> . 2:2(0) ack 2")
        return Numbers(1, 2, 2)
    script.inject("< . 1:1(0) ack 2")
    if state is FIN_WAIT_2:
        return Numbers(2, 2, 1)
    assert state is TIME_WAIT
    script.inject("< F. 1:1(0) ack 2")
    script.expect("> . 2:2(0) ack 2")
    return Numbers(2, 2, 2)
