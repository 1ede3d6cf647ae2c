"""Ctrl-C that is noted and looked at between two runs, not raised in the midst of one.

KeyboardInterrupt is raised wherever Python is at that moment. In the callback of a weak reference,
in `__del__` or in the garbage collector's callbacks nobody can catch it: Python says that it was
ignored, and the program goes on.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType


class Interrupt:
    """Whether Ctrl-C was pressed while it was `noted`."""

    def __init__(self) -> None:
        self.came = False

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """From here on Ctrl-C is noted, the second time also raised, which ends the block."""
        # Else it is ignored, as in a shell's background, or is somebody else's.
        ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if ours:
            signal.signal(signal.SIGINT, self._note)
        try:
            yield
        except KeyboardInterrupt:
            self.came = True
        finally:
            if ours:
                signal.signal(signal.SIGINT, signal.default_int_handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.came:
            raise KeyboardInterrupt
        self.came = True


@contextlib.contextmanager
def deaf() -> Iterator[None]:
    """Ctrl-C waits until this is over, and a process that is begun meanwhile never hears it.

    A child inherits what is blocked; an answer to a signal it does not. Where nothing can be
    blocked, on Windows, a child of Ctrl-C's console hears it until it says otherwise.
    """
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
