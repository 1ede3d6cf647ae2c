"""When connections fall asleep: an endpoint may hold many that say nothing for hours.

A connection that has been at rest for `Config.dormant_after` seconds becomes dormant: its state is
packed (`core.dormant`) and its objects are let go. The next use of any kind wakes it up; see
`Channel`. Nobody scans for those at rest. The heap of deadlines has an entry for each connection
that is awake, as it had before: where there is no deadline, it is that of falling asleep, and one
that still has something to do then is entered anew. A dormant one keeps only what its keepalive
needs.

To pack and to unpack takes as long as some messages do. So a connection that is woken soon rests
twice as long before it sleeps again: one that says something every few seconds stays awake. The
first rest is short for the sake of many that are opened together: memory in which others have
settled down meanwhile would not go back to the system.

Not here: what rest is, and how a connection is packed.
"""

from __future__ import annotations

import math
from typing import Final

from rudp.channel import Channel
from rudp.core.config import Config
from rudp.core.connection import Connection
from rudp.core.dormant import at_rest, may_be_packed
from rudp.deadlines import Deadlines

WORTHWHILE: Final = 60.0
"""Seconds of sleep that are worth the packing: ten thousand connections that each sleep so long
take some percent of a core for it."""

AT_ONCE: Final = 20
"""Connections that are packed in one turn of the loop: some milliseconds, in pure Python."""

PAUSE: Final = 0.005
"""Seconds until the next turn in which connections are packed."""


class Dormancy:
    """Puts the connections of an endpoint to sleep."""

    def __init__(self, config: Config, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._after = math.inf
        if config.dormant_after is not None and may_be_packed(config):
            self._after = config.dormant_after

    def arm(self, channel: Channel, connection: Connection, deadline: float, now: float) -> None:
        """Nothing before `deadline` is armed for `channel`: see that it is looked after then, and
        before if it may fall asleep."""
        bedtime = self._bedtime(channel, connection)
        if bedtime < deadline and at_rest(connection):
            deadline = max(now, bedtime)
        self._deadlines.set(channel, deadline)

    def busy(self, due: list[Channel], now: float) -> list[Channel]:
        """Those of `due` that may have something to do. The others sleep now, or very soon."""
        busy: list[Channel] = []
        tired = 0
        for channel in due:
            connection = channel.awake
            if connection is None or not self._may_sleep(channel, connection, now):
                busy.append(channel)
                continue
            tired += 1
            if tired > AT_ONCE:  # many were opened together, or have heard the same
                self._deadlines.set(channel, now + tired // AT_ONCE * PAUSE)
                continue
            channel.sleep(self, now)
            self._deadlines.set(channel, connection.next_deadline())
        return busy

    def woken(self, channel: Channel) -> None:
        """Whatever it was woken for: it will be looked after."""
        now = self._deadlines.now()
        rest = self._after
        if now < channel.asleep_since + WORTHWHILE:
            rest = 2 * max(rest, channel.rest)
        channel.rest = rest
        self._deadlines.set(channel, now + rest)

    def _may_sleep(self, channel: Channel, connection: Connection, now: float) -> bool:
        return (
            self._bedtime(channel, connection) <= now < connection.next_deadline()
            and not channel.touched
            and at_rest(connection)
        )

    def _bedtime(self, channel: Channel, connection: Connection) -> float:
        return connection.last_heard + max(self._after, channel.rest)
