"""A connection that is packed and unpacked whenever it is at rest does what it would have done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from rudp.core.connection import Connection
from rudp.core.dormant import pack, unpack
from rudp.sim.swarm.draws import draw_config, draw_iss
from rudp.sim.swarm.network import Conditions
from rudp.sim.swarm.noted import NOTED
from rudp.sim.swarm.pair import Pair, Plan
from rudp.sim.swarm.scenarios import aborted, narrow, swarm
from tests.core.sameness import cannot_be_made, difference

LARGEST = 1000
"""Bytes that a packed connection takes at most, whatever it has been through."""


class Packer:
    """Packs and unpacks, and compares."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def again(self, connection: Connection) -> Connection:
        packed = pack(connection)
        self.sizes.append(len(packed))
        other = unpack(packed, connection.config)
        assert difference(connection, other) == ""
        assert not cannot_be_made(connection)
        return other


def chatty(seed: int) -> Pair:
    """Two that say a little now and then, over a path that loses, repeats and reorders."""
    random = Random(f"chatty {seed}")
    plans = [
        Plan(total=20_000, chunk=(1, 4000), write_pause=random.choice((0.1, 1.0, 5.0)))
        for _ in "ab"
    ]
    return Pair(
        seed,
        draw_config(random),
        draw_config(random),
        Conditions(delay=0.02, loss=0.1, reordering=0.1, duplication=0.1),
        plan_a=plans[0],
        plan_b=plans[1],
        iss=draw_iss(random),
        path_mss=1152,
        ecn=True,
    )


def with_congestion(pair: Pair, name: str) -> Pair:
    """The swarm's own congestion controls are a user's, and such a connection is never packed."""
    for side in (pair.a, pair.b):
        side.config = replace(side.config, congestion=name)
    return pair


@pytest.mark.parametrize("name", NOTED)
@pytest.mark.parametrize(
    ("scenario", "seeds"), [(chatty, 8), (swarm, 8), (aborted, 4), (narrow, 4)]
)
def test_what_is_packed_at_every_moment_of_rest_sends_the_same(
    scenario: Callable[[int], Pair], seeds: int, name: str
) -> None:
    packer = Packer()
    for seed in range(seeds):
        once, again = (with_congestion(scenario(seed), name) for _ in "ab")
        again.a.on_rest = again.b.on_rest = packer.again
        assert once.run().digest == again.run().digest
    assert len(packer.sizes) > seeds, "hardly anything was packed"
    assert max(packer.sizes) < LARGEST
