"""Many pairs on bad paths: each byte arrives, both sides close, and the same seed does the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rudp.sim.swarm.pair import Outcome, Pair
from rudp.sim.swarm.scenarios import aborted, fifths, narrow, swarm


# In lots, so that a run shows where it is, and one failure does not hide the others.
@pytest.mark.parametrize("lot", range(10))
def test_200_connections_with_a_fifth_lost_reordered_and_duplicated_deliver_and_close(
    lot: int,
) -> None:
    for seed in range(lot * 20, lot * 20 + 20):
        fifths(seed).run()


@pytest.mark.parametrize("lot", range(10))
def test_whatever_was_drawn_a_healed_pair_delivers_and_closes(lot: int) -> None:
    for seed in range(lot * 20, lot * 20 + 20):
        swarm(seed).run()


@pytest.mark.parametrize("lot", range(3))
def test_an_abort_ends_both_sides_and_what_was_delivered_is_a_prefix(lot: int) -> None:
    for seed in range(lot * 20, lot * 20 + 20):
        aborted(seed).run()


@pytest.mark.parametrize("lot", range(5))
def test_a_path_that_swallows_large_packets_keeps_nothing_from_arriving(lot: int) -> None:
    for seed in range(lot * 20, lot * 20 + 20):
        narrow(seed).run()


@pytest.mark.parametrize(("scenario", "seed"), [(aborted, 8345), (swarm, 10_572), (swarm, 13_117)])
def test_what_failed_once_does_not_fail_again(scenario: Callable[[int], Pair], seed: int) -> None:
    scenario(seed).run()


@pytest.mark.parametrize("scenario", [fifths, swarm, aborted, narrow])
def test_the_same_seed_runs_the_same_way_twice(scenario: object) -> None:
    assert callable(scenario)
    first, second = scenario(7).run(), scenario(7).run()
    assert isinstance(first, Outcome)
    assert (first.digest, first.seconds) == (second.digest, second.seconds)


def test_another_seed_runs_another_way() -> None:
    assert fifths(7).run().digest != fifths(8).run().digest


def test_a_failure_has_the_line_that_runs_it_again() -> None:
    pair = fifths(3)
    pair.a._expected = bytes(len(pair.a._expected))
    with pytest.raises(AssertionError, match=r"python -m rudp\.sim\.swarm\.scenarios fifths 3"):
        pair.run()
