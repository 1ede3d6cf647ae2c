"""The simulated network: what it promises, it does, and the same seed does it again."""

from __future__ import annotations

import itertools
import math
from random import Random

import pytest

from rudp.core.codec import decode
from rudp.core.segment import SegmentError
from rudp.sim.swarm.network import Conditions, Link, Simulation, make_junk
from tests.notation import Origin, encode, parse


def carry(conditions: Conditions, count: int = 1000, seed: int = 1) -> list[tuple[float, int]]:
    """When which of `count` datagrams of 100 bytes arrives, sent a millisecond apart."""
    simulation, arrivals = Simulation(), list[tuple[float, int]]()

    def deliver(datagram: bytes) -> None:
        arrivals.append((simulation.now, int.from_bytes(datagram[:4], "big")))

    link = Link(simulation, Random(seed), conditions, deliver)
    for number in range(count):
        datagram = number.to_bytes(4, "big") + bytes(96)
        simulation.at(number / 1000, lambda datagram=datagram: link.send(datagram))  # type: ignore[misc]
    while simulation.step():
        pass
    return arrivals


def test_things_happen_in_the_order_of_their_moments_and_of_their_booking() -> None:
    simulation, seen = Simulation(), list[str]()
    for moment, name in [(2.0, "c"), (1.0, "a"), (1.0, "b")]:
        simulation.at(moment, lambda name=name: seen.append(name))  # type: ignore[misc]
    simulation.at(1.5, lambda: simulation.at(1.0, lambda: seen.append("late")))
    while simulation.step():
        pass
    assert seen == ["a", "b", "late", "c"]
    assert (simulation.now, simulation.next_moment()) == (2.0, math.inf)


def test_a_perfect_link_only_delays() -> None:
    assert carry(Conditions(delay=0.25), 3) == [(0.25, 0), (0.251, 1), (0.252, 2)]


def test_jitter_keeps_the_order() -> None:
    arrivals = carry(Conditions(jitter=0.05))
    assert [number for _, number in arrivals] == list(range(1000))
    assert max(moment - number / 1000 for moment, number in arrivals) > 0.03


def test_a_slow_link_makes_datagrams_wait_and_drops_what_does_not_fit_its_queue() -> None:
    arrivals = carry(Conditions(rate=50_000, queue=1000, delay=0))
    assert arrivals[0][0] == pytest.approx(0.002)
    gaps = [b[0] - a[0] for a, b in itertools.pairwise(arrivals)]
    assert gaps == pytest.approx([0.002] * len(gaps))
    assert 500 < len(arrivals) < 520


@pytest.mark.parametrize("conditions", [Conditions(loss=0.2), Conditions(corruption=0.2)])
def test_a_fifth_lost_or_damaged_is_a_fifth_missing(conditions: Conditions) -> None:
    assert 750 < len(carry(conditions)) < 850


def test_a_fifth_reordered_is_overtaken_and_none_is_missing() -> None:
    numbers = [number for _, number in carry(Conditions(reordering=0.2))]
    assert sorted(numbers) == list(range(1000))
    late = sum(later < earlier for earlier, later in itertools.pairwise(numbers))
    assert 100 < late < 250


def test_a_fifth_duplicated_comes_twice() -> None:
    numbers = [number for _, number in carry(Conditions(duplication=0.2))]
    assert set(numbers) == set(range(1000))
    assert 1150 < len(numbers) < 1250


def test_the_same_seed_has_the_same_faults_and_another_has_others() -> None:
    faulty = Conditions(loss=0.1, reordering=0.1, duplication=0.1, jitter=0.01)
    assert carry(faulty, seed=5) == carry(faulty, seed=5)
    assert carry(faulty, seed=5) != carry(faulty, seed=6)


def test_a_healed_link_is_as_slow_as_before_and_has_no_faults() -> None:
    faulty = Conditions(delay=0.5, rate=1e6, loss=0.5, reordering=0.5, duplication=0.5, junk=0.5)
    assert faulty.healed() == Conditions(delay=0.5, rate=1e6)


def test_no_junk_can_be_taken_for_a_segment_of_the_connection() -> None:
    line = parse('< P. 1:5(4) ack 1 win 9 "junk"')
    datagram = encode(line, Origin(7, 8), src_port=9000, dst_port=40000)
    random = Random(3)
    for _ in range(500):
        junk = make_junk(random, datagram)
        try:
            segment = decode(junk)
        except SegmentError:
            continue
        assert (segment.src_port, segment.dst_port) == (0, 0)
