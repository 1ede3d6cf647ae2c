"""Every way to lose some of the first ten datagrams that one side sends: all 1024, each way.

That covers the handshake, a request, its answer and both FINs, and each retransmission of these
that comes early; or a client that only listens, whose ten datagrams are its SYN and ACKs. Whatever
is lost of them, all is delivered and both sides close.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from rudp.core.config import Config
from rudp.sim.swarm.network import Conditions
from rudp.sim.swarm.pair import Pair, Plan

FIRST = 10

TALK = Plan(total=2000, chunk=(700, 700)), Plan(total=3000, chunk=(1000, 1000))
PLANS = {
    "talk": TALK,
    "answer": (TALK[0], replace(TALK[1], answer=True)),
    "greeting": (Plan(total=0, answer=True), TALK[1]),
}
"""What client and server do. A client that gets a greeting only listens, to the end."""

FORGOTTEN = {
    0b0111111110: "a ended with ConnectionResetError",
    0b1111111101: "a ended with ConnectionResetError",
    0b1111111110: "all is quiet, and nothing is booked",
}
"""A server that got the SYN, and nothing else for a minute, forgets it. The answer to the client's
last ACK says so. If that is lost too, the client waits for ever: only keepalive would find out."""


def lose(pattern: int, way: str, plans: str = "talk") -> int:
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
        plan_a=PLANS[plans][0],
        plan_b=PLANS[plans][1],
        within=1000.0,
        replay=f"tests.sim.test_drop_patterns.lose({pattern}, {way!r}, {plans!r})",
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
        lose(pattern, way, "answer" if pattern.bit_count() & 1 else "talk")


@pytest.mark.parametrize("way", ["forth", "back"])
@pytest.mark.parametrize("lot", range(8))
def test_none_keeps_the_greeting_of_a_server_from_a_client_that_only_listens(
    lot: int, way: str
) -> None:
    for pattern in range(lot, 1 << FIRST, 8):
        if way == "back" or pattern not in FORGOTTEN:
            lose(pattern, way, "greeting")


@pytest.mark.parametrize("pattern", FORGOTTEN)
def test_but_if_nothing_arrives_for_a_minute_the_server_forgets_it(pattern: int) -> None:
    with pytest.raises(AssertionError, match=FORGOTTEN[pattern]):
        lose(pattern, "forth", "greeting")


@pytest.mark.parametrize("way", ["forth", "back"])
def test_the_patterns_reach_past_the_end_of_the_connection(way: str) -> None:
    assert lose((1 << FIRST) - 1, way) == FIRST
    assert lose(0, way) == 0
