"""What every test shares: each async test runs on the standard loop and on uvloop.

The tests are the same for both forms of rudp; the report's header says which one they have before
them, and RUDP_REQUIRE_COMPILED=1 makes it an error if that is pure Python.

uvloop is an extra, so a machine may be without it, and the tests then run on one loop only. Where
that must not happen unseen, RUDP_REQUIRE_UVLOOP=1 makes a missing uvloop an error.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping

import pytest

import rudp
from rudp._compiled import COMPILED, FORM

try:
    import uvloop
except ImportError:
    uvloop = None

if uvloop is None and os.environ.get("RUDP_REQUIRE_UVLOOP") == "1":
    raise pytest.UsageError("RUDP_REQUIRE_UVLOOP=1, but uvloop is not installed")

if not COMPILED and os.environ.get("RUDP_REQUIRE_COMPILED") == "1":
    raise pytest.UsageError(f"RUDP_REQUIRE_COMPILED=1, but {rudp.__file__} is pure Python")

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
if uvloop is not None:
    LOOPS["uvloop"] = uvloop.new_event_loop


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: where a test waits for real time, another takes its core."""
    return (os.cpu_count() or 1) + 1


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return LOOPS


@pytest.fixture(scope="session", autouse=True)
def programs_are_compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Where Python is told to write no bytecode, as in many containers, each of the programs that
    tests run would compile rudp anew, which is half of what most of them take."""
    with pytest.MonkeyPatch.context() as patch:
        if os.environ.get("PYTHONDONTWRITEBYTECODE"):
            patch.delenv("PYTHONDONTWRITEBYTECODE")
            patch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path_factory.mktemp("bytecode")))
        yield


def pytest_report_header(config: pytest.Config) -> list[str]:
    return [f"rudp: {FORM}, from {rudp.__path__[0]}", f"event loops: {', '.join(LOOPS)}"]
