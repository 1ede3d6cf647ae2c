"""Row 16: asyncio keeps what a UDP socket does not take, without a limit (python/cpython #135444).

What waits there is to be 64 KiB and a datagram at most, whatever the network and the peer do; the
rest stays in the connections, which are not asked for it while the layer is blocked (row 15).
"""

from __future__ import annotations

import asyncio

import pytest

from rudp.core import codec
from rudp.datagram_layer import NOBODY
from rudp.loop_datagrams import MAX_WAITING, open_loop_datagrams
from tests.test_datagrams import unix_pair
from tests.udp import linux_only


@linux_only
@pytest.mark.parametrize("size", [1, 1452, 9000])
async def test_threat_16_asyncios_buffer_holds_64_kib_and_a_datagram(size: int) -> None:
    # Unix datagrams, since loopback takes UDP however much there is: nobody reads the other end.
    near, far = unix_pair(f"full-{size}")
    layer = await open_loop_datagrams(asyncio.get_running_loop(), near, NOBODY)
    burst = [(b"h" * 20, b"x" * size)] * min(64, codec.MAX_SUPER // size)
    most = 0
    try:
        for _ in range(100):
            layer.send(burst * 4, None)
            most = max(most, layer.transport.get_write_buffer_size() - layer._leaked)
        blocked, dropped, kept = layer.blocked, layer.dropped, len(layer._kept)
    finally:
        layer.abort()
        far.close()
        await asyncio.sleep(0.01)  # the transports close their sockets from the loop
    assert blocked
    assert dropped >= 80 * 4 * len(burst)  # who sends all the same has it dropped
    assert kept <= 4 * len(burst)  # the rest of the one send that met the limit
    # Some versions of asyncio, and uvloop, count a header for each datagram, too.
    assert 4096 < most <= MAX_WAITING + size + 20 + 16
    assert MAX_WAITING == 65536
