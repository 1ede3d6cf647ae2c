"""What has to outlive its owner: closed connections that still deliver, and TIME-WAIT.

A kernel goes on when a program has closed its socket, and even when the program has ended. In user
space somebody has to. Per event loop:

- endpoints that nobody owns any more stay open while TIME-WAIT lasts, a limited number of them, and
  give way when their port is wanted again. Who connects to the same peer again gets the one that is
  there, with other TCP ports inside: making a socket ready costs more than opening a connection;
- when the loop ends, `asyncio.run` (through `loop.shutdown_asyncgens`) lets connections be
  finished, both FINs acknowledged, for `Config.linger` seconds at most. What is not done by then is
  reset, and all sockets are closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Final

from rudp.surroundings import place

if TYPE_CHECKING:
    from rudp.core.config import Config
    from rudp.datagrams import Address
    from rudp.engine import Engine

MAX_IDLE: Final = 64
"""Endpoints that are kept for TIME-WAIT alone, each with a file descriptor; the oldest give way."""

REUSE: Final = 1.0
"""Seconds after a connection to a peer was done in which its endpoint, at rest, serves the next one
to that peer. So lately its way there worked; by and by the host may have got a better one."""


class Keeper:
    """The engines of one event loop."""

    def __init__(self) -> None:
        self._engines: dict[Engine, None] = {}
        self._idle: dict[Engine, None] = {}
        self._guard: AsyncGenerator[None, None] | None = None

    async def add(self, engine: Engine) -> None:
        """Look after `engine` until it is shut."""
        self._engines[engine] = None
        if self._guard is None:
            self._guard = self._until_the_loop_ends()
            await anext(self._guard)  # the loop learns of the generator by its first step

    def rest(self, engine: Engine) -> None:
        """Nobody owns `engine` any more: keep it for TIME-WAIT, or shut it."""
        if not engine.time_waits:
            self.shut(engine)
            return
        self._idle[engine] = None
        while len(self._idle) > MAX_IDLE:
            self.shut(next(iter(self._idle)))

    def wake(self, remote: Address, config: Config) -> Engine | None:
        """An engine at rest that has just finished a connection to `remote`: the caller's now."""
        for engine in reversed(self._idle):
            if (
                engine.connected == remote
                and engine.reusable
                and engine.clock() - engine.finished_at <= REUSE
                and (engine.config is config or engine.config == config)
            ):
                del self._idle[engine]
                return engine
        return None

    def make_way(self, host: object, port: int) -> None:
        """Somebody wants this UDP address: it is his, if nobody owns or reads it any more."""
        for engine in list(self._engines):
            sockname = engine.datagrams.sockname
            if sockname[1] != port or not (
                sockname[0] == host or _is_wildcard(host, sockname[0])
            ):
                continue
            released = all(channel.view().released for channel in engine.channels)
            if not engine.owned and released:
                self.shut(engine)

    def shut(self, engine: Engine) -> None:
        """Close `engine`'s socket and forget it."""
        self._idle.pop(engine, None)
        self._engines.pop(engine, None)
        engine.shut()

    async def _until_the_loop_ends(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            # A loop that was closed without shutdown_asyncgens() leaves this to the collector,
            # when nothing can be awaited any more.
            if _a_loop_runs():
                await self._deliver()
                for engine in list(self._engines):
                    self.shut(engine)
            self._guard = None

    async def _deliver(self) -> None:
        """Close what is open, as the kernel does for a process that ends, and wait a little."""
        patience = 0.0
        waiting: list[asyncio.Future[None]] = []
        for engine in self._engines:
            for listener in list(engine.listeners.values()):
                engine.stop_listening(listener)
            for channel in engine.channels:
                patience = max(patience, engine.config.linger)
                channel.finished = asyncio.get_running_loop().create_future()
                waiting.append(channel.finished)
                channel.connection.close()
                engine.output(channel)
        if waiting:
            await asyncio.wait(waiting, timeout=patience)


def _a_loop_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _is_wildcard(*hosts: object) -> bool:
    return any(host in ("0.0.0.0", "::", "", None) for host in hosts)


def keeper(loop: asyncio.AbstractEventLoop) -> Keeper:
    """The keeper of `loop`. It hangs on the loop, so that both can go together."""
    home = place(loop)
    found: Keeper | None = getattr(home, "_rudp_keeper", None)
    if found is None:
        found = home._rudp_keeper = Keeper()
    return found
