"""What something costs, in steps of Python and in bytes of memory, without a clock.

A step is an instruction of the interpreter in the code of `rudp`. What C does in one of them
(moving the rest of a list, joining bytes) is not seen: for that, lists and pieces have to have
limits, which the tests of those check. The compiled form has no instructions to count.
"""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

import pytest

from rudp._compiled import COMPILED

counted: Final = pytest.mark.skipif(COMPILED, reason="compiled code has no steps to count")


def steps(act: Callable[[], object]) -> int:
    """How many steps `act` takes inside of rudp."""
    count = 0

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal count
        if event == "call":
            if "/rudp/" not in frame.f_code.co_filename.replace("\\", "/"):
                return None
            frame.f_trace_opcodes = True
            frame.f_trace_lines = False
        elif event == "opcode":
            count += 1
        return trace

    before = sys.gettrace()
    # Python 3.12 looks when tracing begins whether any frame wants to know of single steps.
    sys._getframe().f_trace_opcodes = True
    sys.settrace(trace)
    try:
        act()
    finally:
        sys.settrace(before)
    return count


def kept(act: Callable[[], object]) -> int:
    """How many more bytes are allocated after `act` than before."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        act()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
