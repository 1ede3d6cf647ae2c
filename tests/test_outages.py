"""Interfaces, addresses and routes that go away in mid transfer and come back, in a real system."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import LOOPS


def missing() -> str | None:
    """Why this machine cannot have network namespaces; None if it can."""
    for program in ("unshare", "ip"):
        if shutil.which(program) is None:
            return f"needs the command `{program}`"
    tried = subprocess.run(
        ["unshare", "-n", "ip", "link", "add", "type", "veth"], capture_output=True, check=False
    )
    return "needs root, with the right to make network namespaces" if tried.returncode else None


NO_NAMESPACES = missing()


@pytest.mark.skipif(NO_NAMESPACES is not None, reason=str(NO_NAMESPACES))
@pytest.mark.parametrize("loop", LOOPS)
def test_a_transfer_outlives_what_becomes_of_interfaces_addresses_and_routes(loop: str) -> None:
    done = subprocess.run(
        ["unshare", "-n", sys.executable, "-m", "tests.outages", loop],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    outages = (
        "interface, IPv4",
        "interface, IPv6",
        "address",
        "route unreachable",
        "route prohibit",
        "route blackhole",
        "narrow route",
    )
    expected = [f"{near}: {what}" for near in ("client", "server") for what in outages]
    assert done.stdout.splitlines() == [*expected, "connecting"]
