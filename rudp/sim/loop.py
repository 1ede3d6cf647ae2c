"""An asyncio event loop in which time passes only when there is nothing to do.

A program waits for nothing here: when all that can run has run, the clock jumps to the next timer.
An hour of sleeping takes as long as the work done in it. Nothing is left to chance either: what is
booked for the same moment happens in the order of booking, and what a program would give to a
thread is done at once. What the loop has no part in stays as it is: `time.monotonic()` and
`time.sleep()` mean the world outside; ask `loop.time()`, sleep by `asyncio.sleep()`.

It is asyncio's own base class with another clock, another way to wait, and handles that know whose
they are: what belongs to a process that does not run is put by. Not here: the network, which is
`network`.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import math
from collections.abc import Callable
from typing import Any, NoReturn, Protocol, TypeVar

_T = TypeVar("_T")


class SimulationError(Exception):
    """The simulated program cannot come to an end, or asks for what a simulation does not have."""


class Process(Protocol):
    """What a simulated host runs."""

    def may_run(self, handle: asyncio.Handle) -> bool:
        """Whether the callback may be called now; if not, it is the process's to keep."""


process_var: contextvars.ContextVar[Process | None] = contextvars.ContextVar(
    "process", default=None
)
"""The process that a task or a callback belongs to; None for the world outside of the hosts."""


class _Handle(asyncio.Handle):
    _context: contextvars.Context

    def _run(self) -> None:
        process = self._context.get(process_var)
        if process is None or process.may_run(self):
            super()._run()


class _TimerHandle(_Handle, asyncio.TimerHandle):
    number = 0

    def __lt__(self, other: asyncio.TimerHandle) -> bool:
        assert isinstance(other, _TimerHandle)
        return (self.when(), self.number) < (other.when(), other.number)


class VirtualTimeLoop(asyncio.BaseEventLoop):
    """The event loop of a simulation."""

    # What asyncio.BaseEventLoop keeps its callbacks in; it has looked alike from 3.4 to 3.14.
    _ready: Any
    _scheduled: list[_TimerHandle]

    def __init__(self) -> None:
        super().__init__()
        self.limit = math.inf
        """When it is too late: in seconds."""
        self._now = 0.0
        self._timers = 0
        self._clock_resolution = 0.0  # `wait` finds what is due, and the base class no more
        self._selector = _Selector(self)

    # -- time ------------------------------------------------------------------------------------

    def time(self) -> float:
        """Seconds since the simulation began."""
        return self._now

    def wait(self, idle: bool) -> None:
        """Make ready what is due; if `idle`, nothing can run before the clock goes on."""
        if idle and not self._scheduled:
            raise SimulationError(
                "the program waits for something that will never happen: no task can run, "
                "no timer is set and no datagram is on its way"
            )
        if idle:
            self._now = max(self._now, self._scheduled[0].when())
            if self._now > self.limit:
                raise SimulationError(f"not over after {self.limit:g} s of virtual time")
        while self._scheduled and self._scheduled[0].when() <= self._now:
            timer = heapq.heappop(self._scheduled)
            timer._scheduled = False  # type: ignore[attr-defined]
            self._ready.append(timer)

    def _process_events(self, event_list: list[Any]) -> None:
        """There are no file descriptors, so there are no events."""

    def _write_to_self(self) -> None:
        """No one has to be woken: there is one thread."""

    # -- callbacks -------------------------------------------------------------------------------

    def _call_soon(
        self,
        callback: Callable[..., Any],
        args: tuple[Any, ...],
        context: contextvars.Context | None,
    ) -> asyncio.Handle:
        handle = _Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., Any],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., Any],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        self._check_closed()  # type: ignore[attr-defined]
        timer = _TimerHandle(when, callback, args, self, context)
        self._timers += 1
        timer.number = self._timers
        heapq.heappush(self._scheduled, timer)
        timer._scheduled = True  # type: ignore[attr-defined]
        return timer

    # -- what a simulation does not have ---------------------------------------------------------

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., _T], *args: Any
    ) -> asyncio.Future[_T]:
        """Call `func` at once, in this thread: another one would run when it likes."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            future.set_exception(exc)
        return future

    async def create_connection(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise SimulationError(
            "the simulated network carries UDP only: use rudp.open_connection() or "
            "rudp.create_connection() in place of asyncio's"
        )

    async def create_server(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise SimulationError(
            "the simulated network carries UDP only: use rudp.start_server() or "
            "rudp.create_server() in place of asyncio's"
        )


class _Selector:
    """What the base class waits with for events: to wait is to let time pass."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        self._loop.wait(idle=timeout is None or timeout > 0)
        return []
