"""The contract of asyncio's transports and streams: the same tests over TCP and over rudp."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from .net import Net, RudpNet, TcpNet

#: A test that has not ended by then hangs. It bounds each test; no test waits for it.
TIMEOUT = 15.0


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and inspect.iscoroutinefunction(getattr(item, "obj", None)):
            item.obj = bounded(item.obj)


def bounded(test: Any) -> Any:
    @functools.wraps(test)
    async def run(*args: Any, **kwargs: Any) -> None:
        async with asyncio.timeout(TIMEOUT) as timeout:
            await test(*args, **kwargs)
        # A test that expects a CancelledError must not take this one for it.
        assert not timeout.expired()

    return run


@pytest.fixture(params=["tcp", "rudp"])
async def net(request: pytest.FixtureRequest) -> AsyncIterator[Net]:
    loop = "uvloop" if "uvloop" in type(asyncio.get_running_loop()).__module__ else "asyncio"
    net = TcpNet(loop) if request.param == "tcp" else RudpNet(loop)
    yield net
    net.close()


@pytest.fixture(autouse=True)
async def loop_errors() -> AsyncIterator[list[dict[str, Any]]]:
    """What went to the loop's exception handler. A test that expects something there clears it."""
    errors: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: errors.append(context))
    yield errors
    assert errors == []
