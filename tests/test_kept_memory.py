"""What a wake-up takes in is freed a moment later, and must not be made anew by the system."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# In a process of its own: in this one another test may have freed a large block already.
PROGRAM = """
import asyncio, resource, socket
import rudp
from rudp.datagrams import BYTE_BUDGET, Datagrams, bind_socket
from rudp.datagram_layer import NOBODY

PIECE = 65536

def take_in():
    pieces = [b"x" * PIECE for _ in range(BYTE_BUDGET // PIECE)]
    copies = [piece[1:] for piece in pieces]

async def main():
    sock = bind_socket(socket.AF_INET, ("127.0.0.1", 0))
    layer = Datagrams(asyncio.get_running_loop(), sock, NOBODY)
    take_in()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(100):
        take_in()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    layer.close()

asyncio.run(main())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator than glibc's")
def test_taking_in_as_much_as_before_costs_no_page_faults() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True
    )
    # A wake-up's budget and its copy are 512 pages: without memory that is kept, some 51,200.
    assert int(done.stdout) < 100
