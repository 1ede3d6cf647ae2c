"""Every way to lose some of the first ten datagrams that one side sends: all 1024, each way.

That covers the handshake, a request, its answer and both FINs, and each retransmission of these
that comes early. Whatever is lost of them, all is delivered and both sides close.
"""

from __future__ import annotations

import itertools

import pytest

from rudp.core.config import Config
from rudp.sim.swarm.network import Conditions
from rudp.sim.swarm.pair import Pair, Plan

FIRST = 10


def lose(pattern: int, way: str, **plan: bool) -> int:
    """Run a short connection; the nth datagram of one way is lost if bit n of `pattern` is set.

    Returns how many were.
    """
    # Ten SYNs in a row take their time.
    config = Config(connect_timeout=1000.0)
    pair = Pair(
        pattern,
        config,
        config,
        link=Conditions(delay=0.01),
        plan_a=Plan(total=2000, chunk=(700, 700)),
        plan_b=Plan(total=3000, chunk=(1000, 1000), answer=plan.get("answer", False)),
        within=1000.0,
        replay=f"tests.sim.test_drop_patterns.lose({pattern}, {way!r}, **{plan})",
    )
    side = pair.a if way == "forth" else pair.b
    send, numbers, lost = side.transmit, itertools.count(), list[int]()

    def transmit(datagram: bytes) -> None:
        number = next(numbers)
        if number < FIRST and pattern >> number & 1:
            lost.append(number)
        else:
            send(datagram)

    side.transmit = transmit
    pair.run()
    return len(lost)


# In lots, so that workers share them and a failure does not hide the others.
@pytest.mark.parametrize("way", ["forth", "back"])
@pytest.mark.parametrize("lot", range(8))
def test_no_pattern_of_losses_among_the_first_ten_datagrams_stops_a_connection(
    lot: int, way: str
) -> None:
    for pattern in range(lot, 1 << FIRST, 8):
        lose(pattern, way, answer=bool(pattern.bit_count() & 1))


@pytest.mark.parametrize("way", ["forth", "back"])
def test_the_patterns_reach_past_the_end_of_the_connection(way: str) -> None:
    assert lose((1 << FIRST) - 1, way) == FIRST
    assert lose(0, way) == 0
