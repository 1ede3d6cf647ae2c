"""Is an idle peer still there? Keepalive, RFC 9293 section 3.8.4. Off unless configured."""

from __future__ import annotations

import enum

from rudp.core.config import Keepalive


class Verdict(enum.Enum):
    """What to do when the keepalive timer has expired."""

    WAIT = "it was heard of since, or will be"
    PROBE = "ask it"
    DEAD = "it did not answer any probe"


class KeepaliveTimer:
    """When to probe, and when to give up."""

    __slots__ = ("_keepalive", "_probes", "_probing_since", "deadline")

    def __init__(self, keepalive: Keepalive, now: float) -> None:
        self._keepalive = keepalive
        self._probes = 0
        self._probing_since = now
        self.deadline = now + keepalive.idle

    def on_timeout(self, last_heard: float, in_flight: bool, now: float) -> Verdict:
        """`last_heard`: when the peer last sent something; `in_flight`: data waits for its ACK."""
        keepalive = self._keepalive
        if in_flight or (self._probes and last_heard >= self._probing_since):
            # Data on its way asks the same question, and its own timer deals with silence.
            self._probes = 0
        if in_flight or (not self._probes and now < last_heard + keepalive.idle):
            self.deadline = (now if in_flight else last_heard) + keepalive.idle
            return Verdict.WAIT
        if self._probes >= keepalive.count:
            return Verdict.DEAD
        if not self._probes:
            self._probing_since = now
        self._probes += 1
        self.deadline = now + keepalive.interval
        return Verdict.PROBE
