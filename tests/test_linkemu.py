"""The emulated link of the benchmarks does what it says: its arithmetic, in virtual time."""

from __future__ import annotations

import itertools
import math
from dataclasses import asdict
from random import Random
from xml.etree import ElementTree

import pytest

from benchmarks import plot
from benchmarks.linkemu import Conditions, Direction

SIZE = 1250
RATE = 1e6
"""At this rate a packet of that size takes 1.25 ms."""


def carry(direction: Direction, count: int, interval: float) -> list[tuple[float, int]]:
    """When which of `count` packets arrives; one is offered every `interval` seconds from 0 on."""
    arrivals: list[tuple[float, int]] = []

    def take(until: float) -> None:
        while (due := direction.due()) <= until:
            arrivals.extend((due, int.from_bytes(one[:4], "big")) for one in direction.take(due))

    for number in range(count):
        take(number * interval)
        direction.offer(number.to_bytes(4, "big") + bytes(SIZE - 4), number * interval)
    take(1e9)
    return arrivals


def link(seed: int = 1, **conditions: object) -> Direction:
    whole: dict[str, object] = {"rate": RATE, "delay": 0.02, "queue": 1 << 30}
    return Direction(Conditions(**whole | conditions), Random(seed))  # type: ignore[arg-type]


def test_packets_offered_at_once_leave_one_after_the_other_at_the_rate() -> None:
    arrivals = carry(link(), 100, 0.0)
    assert [number for _, number in arrivals] == list(range(100))
    expected = [0.02 + 0.00125 * (number + 1) for number in range(100)]
    assert [moment for moment, _ in arrivals] == pytest.approx(expected)


def test_packets_offered_more_slowly_than_the_rate_are_only_delayed() -> None:
    arrivals = carry(link(), 50, 0.01)
    expected = [0.02125 + 0.01 * number for number in range(50)]
    assert [moment for moment, _ in arrivals] == pytest.approx(expected)


def test_what_is_larger_than_the_mtu_is_swallowed_and_nothing_else() -> None:
    direction = link(mtu=1000)
    direction.offer(bytes(1001), 0.0)
    direction.offer(bytes(1000), 0.0)
    assert direction.take(1.0) == [bytes(1000)]
    assert (direction.counts.blackholed, direction.counts.delivered) == (1, 1)


def test_nothing_arrives_before_it_is_due_and_nothing_is_due_on_an_empty_link() -> None:
    direction = link()
    assert direction.due() == math.inf
    direction.offer(bytes(SIZE), 5.0)
    assert direction.due() == pytest.approx(5.02125)
    assert direction.take(5.021) == []
    assert direction.take(5.022) == [bytes(SIZE)]
    assert direction.due() == math.inf


def test_what_does_not_fit_the_queue_is_dropped_and_room_comes_back_at_the_rate() -> None:
    direction = link(queue=10 * SIZE)
    for _ in range(15):
        direction.offer(bytes(SIZE), 0.0)
    assert direction.counts.tail_dropped == 5
    for _ in range(15):
        direction.offer(bytes(SIZE), 0.0050001)  # Four have left.
    assert direction.counts.tail_dropped == 5 + 11
    assert len(direction.take(1.0)) == 14


@pytest.mark.parametrize("loss", [0.001, 0.01, 0.3])
def test_as_many_are_lost_as_the_conditions_say_and_all_are_accounted_for(loss: float) -> None:
    direction = link(loss=loss)
    arrivals = carry(direction, 20_000, 0.001)
    counts = direction.counts
    expected, deviation = 20_000 * loss, math.sqrt(20_000 * loss * (1 - loss))
    assert abs(counts.lost - expected) < 4 * deviation
    assert counts.delivered == len(arrivals) == 20_000 - counts.lost
    assert sum(asdict(counts).values()) == 2 * counts.offered


def test_a_lost_packet_has_taken_its_time_on_the_wire() -> None:
    direction = link(loss=1.0)
    direction.offer(bytes(SIZE), 0.0)
    direction.conditions = link().conditions
    direction.offer(bytes(SIZE), 0.0)
    assert direction.due() == pytest.approx(0.0225)


def test_jitter_delays_by_its_mean_and_keeps_the_order() -> None:
    # So far apart that none holds up the next.
    arrivals = carry(link(jitter=0.005), 2000, 0.1)
    assert [number for _, number in arrivals] == list(range(2000))
    extra = [moment - 0.02125 - 0.1 * number for moment, number in arrivals]
    assert min(extra) > 0
    assert sum(extra) / 2000 == pytest.approx(0.005, rel=0.1)


def test_jitter_keeps_the_order_of_packets_that_are_close() -> None:
    arrivals = carry(link(jitter=0.05), 1000, 0.002)
    assert [number for _, number in arrivals] == list(range(1000))


def test_a_reordered_packet_is_overtaken_and_none_is_missing() -> None:
    arrivals = carry(link(reordering=0.1), 1000, 0.00125)
    numbers = [number for _, number in arrivals]
    assert sorted(numbers) == list(range(1000))
    late = [moment - 0.02125 - 0.00125 * number for moment, number in arrivals]
    assert 60 < sum(one > 0.0004 for one in late) < 140
    assert max(late) < 0.0105
    assert any(later < earlier for earlier, later in itertools.pairwise(numbers))
    assert arrivals == sorted(arrivals)


def test_a_blackhole_swallows_what_is_offered_in_its_time_again_and_again() -> None:
    direction = link(blackhole=(5.0, 2.0))
    numbers = [number for _, number in carry(direction, 210, 0.1)]
    # A tenth of a second is not exact in binary, so the edges are left out.
    inner = [n for n in range(210) if n % 70 not in (0, 50)]
    assert [n for n in numbers if n in set(inner)] == [n for n in inner if n % 70 < 50]
    assert direction.counts.blackholed == pytest.approx(60, abs=3)


def test_an_outage_happens_once() -> None:
    numbers = [number for _, number in carry(link(outage=(4.95, 24.95)), 400, 0.1)]
    assert numbers == [*range(50), *range(250, 400)]


def test_the_same_seed_has_the_same_faults_and_another_has_others() -> None:
    faults = {"loss": 0.1, "jitter": 0.01, "reordering": 0.1}
    first, again, other = (carry(link(seed, **faults), 500, 0.001) for seed in (5, 5, 6))
    assert first == again != other


def test_of_every_eighth_packet_the_times_are_kept() -> None:
    direction = link()
    for number in range(16):
        direction.offer(bytes(SIZE), 0.01 * number)
        direction.take(0.01 * number + 0.02225)
    expected = [(0.01 * number, 0.02225, 0.001) for number in (7, 15)]
    assert [pytest.approx(one) for one in expected] == direction.samples


def test_a_plot_has_a_bar_with_its_value_for_each_figure_and_is_xml() -> None:
    svg = plot.bars("A & B", "Mbit/s", {"x < y": {"one": 50.0, "two": 100.0}, "z": {"two": 0.0}})
    root = ElementTree.fromstring(svg)
    space = "{http://www.w3.org/2000/svg}"
    texts = [element.text for element in root.iter(f"{space}text")]
    for text in ("A & B", "x < y", "z", "one", "two", "50", "100", "0", "100 Mbit/s"):
        assert text in texts
    rectangles = root.findall(f"{space}rect")
    assert len(rectangles) == 1 + 2 + 3  # the ground, the legend, the bars
    widths = [float(one.attrib["width"]) for one in rectangles[3:]]
    assert widths[1] == pytest.approx(2 * widths[0], abs=0.1)
