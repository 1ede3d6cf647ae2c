"""What a connection tells the application (RFC 9293 section 3.9.1.8 and others)."""

from __future__ import annotations

import enum


class Event(enum.Enum):
    """What the application should hear of. READABLE and TROUBLE may come again."""

    ESTABLISHED = "the handshake is complete"
    READABLE = "there is something to read"
    EOF = "the peer's FIN was received: nothing follows what is readable"
    TROUBLE = "a segment was retransmitted R1 times (RFC 9293 section 3.8.3)"
    RELEASED = "the application's part has ended; `error` says how"
    CLOSED = "the connection's state can be forgotten"
