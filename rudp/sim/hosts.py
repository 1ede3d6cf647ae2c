"""A simulated host: its addresses, its sockets, and the programs that run on it.

It can stand still (`freeze`), as one does whose process is stopped, and lose everything (`crash`).
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
from collections.abc import Coroutine
from random import Random
from typing import TYPE_CHECKING, Any, Final, TypeVar
from zlib import crc32

from rudp.sim.loop import SimulationError, process_var

if TYPE_CHECKING:
    from rudp.sim.network import Network
    from rudp.sim.sockets import Address, Socket

_T = TypeVar("_T")

EPHEMERAL_PORTS: Final = range(32768, 61000)


class Host:
    """A computer. Made by `Network.host`."""

    def __init__(self, network: Network, name: str, number: int) -> None:
        self.network = network
        self.name = name
        self.ipv4 = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        self.ipv6 = f"fd00::{number:x}"
        self.mtu = 1500
        """Bytes of the largest packet that its interface takes."""
        self.known_mtus: dict[str, int] = {}  # what ICMP has told, by the name of the other host
        self.random = Random(f"{network.seed} {name}")
        self.up = True
        self._process = Process(self)
        self._sockets: dict[tuple[int, int], list[Socket]] = {}  # by IP version and port

    # -- programs --------------------------------------------------------------------------------

    def start(self, program: Coroutine[Any, Any, _T], name: str | None = None) -> asyncio.Task[_T]:
        """Run `program` in the background. If it fails, so does the simulation."""
        task = self._begin(program, name)
        task.add_done_callback(self._process.note_end)
        return task

    async def run(self, program: Coroutine[Any, Any, _T], name: str | None = None) -> _T:
        """Run `program` and return what it returns, or raise what it raises.

        Cancelling this cancels it. If the host crashes, this never returns.
        """
        return await self._begin(program, name)

    def _begin(self, program: Coroutine[Any, Any, _T], name: str | None) -> asyncio.Task[_T]:
        if not self.up:
            program.close()
            raise SimulationError(f"{self!r} has crashed: boot() it first")
        context = contextvars.copy_context()
        context.run(process_var.set, self._process)
        loop = self.network.loop
        return loop.create_task(program, name=name or f"{self.name}: {program!r}", context=context)

    def freeze(self) -> None:
        """Stand still until `thaw`: nothing runs, and what arrives waits, as far as there is room.

        Time goes on: afterwards it finds that its deadlines have passed.
        """
        self._process.frozen = True

    def thaw(self) -> None:
        """Go on, with what has waited first."""
        self._process.thaw()

    def crash(self) -> None:
        """Lose power: programs and sockets are gone without a word, until `boot`.

        Nothing that they were about to do happens, no `finally` either.
        """
        self.up = False
        self._process.dead = True
        for sockets in list(self._sockets.values()):
            for socket in list(sockets):
                socket.vanish()
        self.network.loop.bury(self._process.tasks)

    def boot(self) -> None:
        """Be there again after a crash, with nothing running."""
        if not self.up:
            self.up = True
            self._process = Process(self)

    def __repr__(self) -> str:
        return f"<Host {self.name} {self.ipv4}>"

    @property
    def tasks(self) -> list[asyncio.Task[Any]]:
        """What runs here, or waits to."""
        return list(self._process.tasks)

    # -- sockets ---------------------------------------------------------------------------------

    @property
    def sockets(self) -> list[Socket]:
        """Those that are open."""
        return [socket for sockets in self._sockets.values() for socket in sockets]

    def has(self, address: str) -> bool:
        """It is an address of this host, or stands for all of them."""
        return address in (self.ipv4, self.ipv6, "127.0.0.1", "::1", "0.0.0.0", "::", "")

    def take_port(self, socket: Socket, port: int, shared: bool) -> int:
        """Give `socket` a port, a free one if it is 0; `OSError` if it is in use."""
        if not port:
            first = self.random.randrange(len(EPHEMERAL_PORTS))
            for offset in range(len(EPHEMERAL_PORTS)):
                port = EPHEMERAL_PORTS[(first + offset) % len(EPHEMERAL_PORTS)]
                if (socket.version, port) not in self._sockets:
                    break
            else:
                raise OSError(errno.EADDRINUSE, "Address already in use")
        others = self._sockets.setdefault((socket.version, port), [])
        if not all(shared and other.shares for other in others):
            raise OSError(errno.EADDRINUSE, "Address already in use")
        others.append(socket)
        return port

    def leave_port(self, socket: Socket, port: int) -> None:
        others = self._sockets[socket.version, port]
        others.remove(socket)
        if not others:
            del self._sockets[socket.version, port]

    def socket_for(self, address: Address, sender: Address) -> Socket | None:
        """Who gets what `sender` sends to `address`."""
        version = 6 if ":" in address[0] else 4
        open_to_it = [
            socket
            for socket in self._sockets.get((version, address[1]), [])
            if socket.takes(address, sender)
        ]
        if not open_to_it:
            return None
        # As SO_REUSEPORT: each sender always meets the same one.
        return open_to_it[crc32(repr(sender[:2]).encode()) % len(open_to_it)]


class Process:
    """What runs on a host from one boot to the next."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.frozen = False
        self.dead = False
        self.tasks: dict[asyncio.Task[Any], None] = {}
        self._waiting: list[asyncio.Handle] = []

    def may_run(self, handle: asyncio.Handle) -> bool:
        if self.frozen and not self.dead:
            self._waiting.append(handle)
        return not self.frozen and not self.dead

    def thaw(self) -> None:
        self.frozen = False
        self.host.network.loop.put_back(self._waiting)
        self._waiting = []

    def forget(self, task: asyncio.Task[Any]) -> None:
        del self.tasks[task]

    def note_end(self, task: asyncio.Task[Any]) -> None:
        exc = None if task.cancelled() else task.exception()
        if exc is not None:
            self.host.network.loop.fail(exc)
