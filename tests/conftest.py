"""What every test shares: each async test runs on the standard loop and on uvloop.

uvloop is an extra, so a machine may be without it, and the tests then run on one loop only. Where
that must not happen unseen, RUDP_REQUIRE_UVLOOP=1 makes a missing uvloop an error.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping

import pytest

try:
    import uvloop
except ImportError:
    uvloop = None

if uvloop is None and os.environ.get("RUDP_REQUIRE_UVLOOP") == "1":
    raise pytest.UsageError("RUDP_REQUIRE_UVLOOP=1, but uvloop is not installed")

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
if uvloop is not None:
    LOOPS["uvloop"] = uvloop.new_event_loop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return LOOPS


def pytest_report_header(config: pytest.Config) -> str:
    return f"event loops: {', '.join(LOOPS)}"
