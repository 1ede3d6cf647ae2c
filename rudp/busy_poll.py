"""Busy polling: stay awake for a moment where an answer is about to come.

For a process to fall asleep and to be woken up takes the system some 10 us, on a virtual machine
60 and more, and much of it is taken from the one that sends. An answer from this host, or from the
next one, is often there sooner. So an endpoint that has sent something short keeps its loop
turning for `Config.busy_poll` seconds at most: the loop serves all else meanwhile, and finds the
answer without having slept.

Whether that pays is tried out. A vigil in vain doubles the number of those that are left out next,
and one that was answered takes an eighth off: it goes on while five out of six are answered. Where
answers take longer (from any other place), or where others need the processor, next to nothing is
spent on it.

The kernel does the same for itself: net.core.busy_poll, and KVM's halt_poll_ns.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from .sockets import Address

SHORT: Final = 1024
"""Bytes under way, at most, that look like a question or an answer and not like a transfer."""

MAX_LEFT_OUT: Final = 255.0
"""Most vigils left out in a row: a message costs less than a microsecond for those in vain."""


class BusyPoll:
    """The vigils of one socket: `expect` begins one, and `heard` or the time ends it."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        longest: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._loop = loop
        self._longest = longest
        self._clock = clock  # not the loop's: a simulated one may wait until there is nothing to do
        self._waiting = False
        self._peer: Address | None = None  # whose answer it is; None if there is only one peer
        self._until = 0.0  # 0 while the turn of the loop has not ended that sent the question
        self._turning = False  # _turn() is in the loop's queue
        self._restraint = 0.0  # how many are left out after the last one
        self._left_out = 0  # and how many of these are still to come

    def expect(self, peer: Address | None) -> None:
        """Something was sent to `peer` that may be answered at once."""
        if self._waiting or not self._longest:
            return
        if self._left_out > 0:
            self._left_out -= 1
            return
        self._waiting = True
        self._peer = peer
        self._until = 0.0
        self._turn_again()

    def heard(self, datagrams: list[tuple[bytes, Address]]) -> None:
        """These came. What others say is no reason to be awake: a server with many peers that are
        far away hears something all the time."""
        if not self._waiting:
            return
        for _, sender in datagrams:
            if self._peer is None or sender == self._peer:
                self._waiting = False
                self._restraint *= 7 / 8
                self._left_out = int(self._restraint)
                return

    def close(self) -> None:
        """Nothing is expected any more."""
        self._waiting = False

    def _turn_again(self) -> None:
        """A loop does not sleep while something is in its queue."""
        if not self._turning:
            self._turning = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._turning = False
        if not self._waiting:
            return
        now = self._clock()
        if not self._until:
            self._until = now + self._longest
        elif now > self._until:
            self._waiting = False
            self._restraint = min(2 * self._restraint + 1, MAX_LEFT_OUT)
            self._left_out = int(self._restraint)
            return
        self._turn_again()
