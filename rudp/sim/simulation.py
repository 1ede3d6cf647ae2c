"""`Simulation`: one run of a scenario in virtual time, from a seed. And its event loop."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import ipaddress
import math
import random
import socket as system
import warnings
from collections.abc import Callable, Coroutine, Iterable
from random import Random
from typing import Any, TypeVar

from rudp.sim.conditions import Conditions
from rudp.sim.hosts import Process
from rudp.sim.loop import SimulationError, VirtualTimeLoop, process_var
from rudp.sim.network import Network
from rudp.sim.sockets import Address, DatagramTransport, Socket

_T = TypeVar("_T")
Scenario = Callable[[Network], Coroutine[Any, Any, _T]]


class Simulation:
    """One run: a network and its time, both from nothing but a seed.

    `conditions` are those of every path between two hosts that the scenario does not set. `limit`:
    the seconds of virtual time that it may take.
    """

    def __init__(
        self, seed: int = 0, *, conditions: Conditions | None = None, limit: float = 86_400.0
    ) -> None:
        self.seed = seed
        self._world = World(seed)
        self._world.limit = limit
        self.network = Network(self._world, seed, conditions or Conditions())
        self._world.network = self.network

    @property
    def seconds(self) -> float:
        """Virtual time since the beginning."""
        return self._world.time()

    @property
    def trace_hash(self) -> str:
        """A digest of every datagram, when it was sent and what became of it."""
        return self.network.trace_hash

    def run(self, scenario: Scenario[_T]) -> _T:
        """Run `scenario(network)` and return what it returns. Only once for each simulation.

        What it raises is raised, and so is what a program raises that `Host.start` has put into the
        background. `SimulationError` if nothing can happen any more, or not within `limit`. What
        still runs when it returns is cancelled, as by `asyncio.run`.

        Python's own `random` is seeded, too, and left as it was afterwards.
        """
        if self._world.is_closed():
            raise RuntimeError("a simulation runs once: make a new one")
        before = random.getstate()
        random.seed(self.seed)
        try:
            with asyncio.Runner(loop_factory=lambda: self._world) as runner:
                return runner.run(self._run(scenario))
        finally:
            random.setstate(before)
            self._world.finish()

    async def _run(self, scenario: Scenario[_T]) -> _T:
        task = asyncio.create_task(scenario(self.network))
        failure = self._world.failure = asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait({task, failure}, return_when=asyncio.FIRST_COMPLETED)
            if failure.done():
                failure.result()
            return task.result()
        finally:
            failure.cancel()
            task.cancel()
            self._world.limit = math.inf
            for host in self.network.hosts.values():
                host.thaw()  # what is cancelled has to be able to end


def run(
    scenario: Scenario[_T],
    seed: int = 0,
    *,
    conditions: Conditions | None = None,
    limit: float = 86_400.0,
) -> _T:
    """`Simulation(seed, ...).run(scenario)`, for those who need nothing else of it."""
    return Simulation(seed, conditions=conditions, limit=limit).run(scenario)


class World(VirtualTimeLoop):
    """The event loop of a simulation: to virtual time it adds the network's sockets and names."""

    network: Network
    failure: asyncio.Future[None]

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._random = Random(f"{seed} system")
        self.secret = self._random.randbytes(32)
        self._buried: list[asyncio.Task[Any]] = []
        self.set_task_factory(_make_task)

    # -- what rudp.surroundings asks for ---------------------------------------------------------

    @property
    def place(self) -> object:
        return process_var.get() or self

    def random_bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)

    def make_socket(self, family: int) -> Socket:
        process = process_var.get()
        if not isinstance(process, Process):
            raise SimulationError(
                "only a host has a network: run this by host.start(...) or await host.run(...)"
            )
        return Socket(process.host, family)

    # -- asyncio's -------------------------------------------------------------------------------

    async def create_datagram_endpoint(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.DatagramProtocol],
        local_addr: Address | None = None,
        remote_addr: Address | None = None,
        *,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        reuse_port: bool | None = None,
        allow_broadcast: bool | None = None,
        sock: Any = None,
    ) -> tuple[DatagramTransport, asyncio.DatagramProtocol]:
        if sock is None:
            sock = await self._bound_socket(local_addr, remote_addr, family, bool(reuse_port))
        elif not isinstance(sock, Socket):
            raise SimulationError(f"sock= has to be a socket of the simulation, not {sock!r}")
        protocol = protocol_factory()
        transport = DatagramTransport(self, sock, protocol)
        protocol.connection_made(transport)
        return transport, protocol

    async def _bound_socket(
        self, local: Address | None, remote: Address | None, family: int, reuse_port: bool
    ) -> Socket:
        names = [await self._first(each, family) for each in (local, remote) if each is not None]
        made = self.make_socket(names[0][0] if names else family or system.AF_INET)
        if reuse_port:
            made.setsockopt(system.SOL_SOCKET, system.SO_REUSEPORT, 1)
        if local is not None:
            made.bind(names[0][1])
        if remote is not None:
            made.connect(names[-1][1])
        return made

    async def _first(self, address: Address, family: int) -> tuple[int, Address]:
        infos = await self.getaddrinfo(address[0], address[1], family=family)
        return infos[0][0], infos[0][4]

    async def getaddrinfo(  # type: ignore[override]
        self,
        host: Any,
        port: Any,
        *,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> list[tuple[int, int, int, str, Address]]:
        """Hosts are known by their names, and addresses by themselves. Nothing is asked outside."""
        if isinstance(host, bytes):
            host = host.decode()
        kind = type or system.SOCK_DGRAM
        found = [
            (version, kind, proto, "", _socket_address(version, text, int(port or 0)))
            for version, text in self._addresses(host, flags)
            if family in (system.AF_UNSPEC, version)
        ]
        if not found:
            raise system.gaierror(system.EAI_NONAME, "Name or service not known")
        return found

    def _addresses(self, host: str | None, flags: int) -> Iterable[tuple[int, str]]:
        if not host:
            host = "0.0.0.0 ::" if flags & system.AI_PASSIVE else "127.0.0.1 ::1"
        elif host == "localhost":
            host = "127.0.0.1 ::1"
        elif host in self.network.hosts:
            host = f"{self.network.hosts[host].ipv4} {self.network.hosts[host].ipv6}"
        for text in host.split():
            with contextlib.suppress(ValueError):
                version = ipaddress.ip_address(text).version
                yield system.AF_INET6 if version == 6 else system.AF_INET, text

    # -- hosts' ----------------------------------------------------------------------------------

    def fail(self, exc: BaseException) -> None:
        """End the simulation with this."""
        if not self.failure.done():
            self.failure.set_exception(exc)

    def put_back(self, handles: Iterable[asyncio.Handle]) -> None:
        """These could not be called before."""
        self._ready.extend(handles)

    def bury(self, tasks: Iterable[asyncio.Task[Any]]) -> None:
        """These will never run again."""
        for task in tasks:
            if not task.done():
                asyncio._unregister_task(task)
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                self._buried.append(task)

    def finish(self) -> None:
        """Let go of what has crashed. Nobody is to blame that it was not closed."""
        if not self._buried:
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for task in self._buried:
                waiter, coroutine = task._fut_waiter, task.get_coro()  # type: ignore[attr-defined]
                if waiter is not None and waiter.done() and not waiter.cancelled():
                    waiter.exception()  # nobody else will ask for it
                assert coroutine is not None
                with contextlib.suppress(Exception):
                    coroutine.close()
            self._buried.clear()
            gc.collect()


def _make_task(
    loop: asyncio.AbstractEventLoop, program: Any, **options: Any
) -> asyncio.Task[Any]:
    """A task, which its process knows, so that both can end together."""
    task: asyncio.Task[Any] = asyncio.Task(program, loop=loop, **options)
    process = (options.get("context") or contextvars.copy_context()).get(process_var)
    if isinstance(process, Process):
        process.tasks[task] = None
        task.add_done_callback(process.forget)
    return task


def _socket_address(family: int, host: str, port: int) -> Address:
    return (host, port, 0, 0) if family == system.AF_INET6 else (host, port)
