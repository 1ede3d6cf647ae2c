"""Many runs in bad networks: each byte arrives, both sides close, and the same seed does the same.

`python -m rudp.sim swarm` does as many as you like.
"""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
import sys

import pytest

from rudp.core.codec import encode
from rudp.core.config import Config
from rudp.core.segment import ACK, SYN, Segment
from rudp.sim.swarm.notation import Origin
from rudp.sim.swarm.scenarios import SCENARIOS, fifths
from rudp.sim.swarm.sightings import SIGHTINGS
from rudp.sim.swarm.watch import Violation, Watch


def run(name: str, seeds: range) -> None:
    for seed in seeds:
        SCENARIOS[name](seed).run()


# In lots, so that a run shows where it is, and one failure does not hide the others.
@pytest.mark.parametrize("lot", range(6))
def test_120_connections_with_a_fifth_lost_reordered_and_duplicated_deliver_and_close(
    lot: int,
) -> None:
    run("fifths", range(lot * 20, lot * 20 + 20))


@pytest.mark.parametrize("lot", range(24))
def test_whatever_was_drawn_a_healed_pair_delivers_and_closes(lot: int) -> None:
    run("swarm", range(lot * 20, lot * 20 + 20))


@pytest.mark.parametrize("lot", range(7))
def test_who_aborts_or_leaves_ends_both_sides_and_what_was_delivered_is_a_prefix(lot: int) -> None:
    run("aborted", range(lot * 20, lot * 20 + 20))


@pytest.mark.parametrize("lot", range(7))
def test_a_path_that_swallows_large_packets_keeps_nothing_from_arriving(lot: int) -> None:
    run("narrow", range(lot * 20, lot * 20 + 20))


@pytest.mark.parametrize("lot", range(3))
def test_where_the_link_is_gone_for_good_both_sides_come_to_an_end(lot: int) -> None:
    run("forsaken", range(lot * 20, lot * 20 + 20))


@pytest.mark.parametrize("lot", range(3))
def test_programs_whose_network_and_hosts_fail_lose_nothing_and_leave_nothing_behind(
    lot: int,
) -> None:
    run("streams", range(lot * 20, lot * 20 + 20))


def test_larger_transfers_arrive_too() -> None:
    run("bulk", range(10))


@pytest.mark.parametrize(
    ("scenario", "seed"),
    [
        ("aborted", 8345),
        ("swarm", 10_572),
        ("swarm", 13_117),
        ("aborted", 681),
        ("bulk", 7200),
        ("narrow", 142),
        ("narrow", 523),
        ("bulk", 90_720),  # withholds a segment, as nearly no other seed does
    ],
)
def test_what_failed_once_does_not_fail_again(scenario: str, seed: int) -> None:
    SCENARIOS[scenario](seed).run()


@pytest.mark.parametrize(
    ("withheld", "allowed"), [((101, 201), True), (None, False), ((101, 200), False)]
)
def test_a_gap_in_what_is_sent_is_allowed_only_where_that_is_withheld(
    withheld: tuple[int, int] | None, allowed: bool
) -> None:
    stream = b"x" * 300
    watch = Watch(Config(), Origin(0, 0), stream)
    answer = Segment(2, 1, 0, 1, SYN | ACK, 65535, mss=1460)
    first = Segment(1, 2, 1, 1, ACK, 65535, stream[:100])
    later = Segment(1, 2, 201, 1, ACK, 65535, stream[200:])
    watch.sent(encode(Segment(1, 2, 0, 0, SYN, 65535, mss=1460)))
    watch.received(encode(answer))
    watch.sent(encode(first), withheld)
    if allowed:
        watch.sent(encode(later), withheld)
        return
    with pytest.raises(Violation, match="101:201 was left out"):
        watch.sent(encode(later), withheld)


@pytest.mark.parametrize("name", SIGHTINGS)
def test_between_them_the_runs_bring_about_all_that_they_are_for(name: str) -> None:
    missing = set(SIGHTINGS[name])
    for seed in range(300):
        missing -= SCENARIOS[name](seed).run().seen
        if not missing:
            return
    raise AssertionError(f"never seen: {sorted(missing)}")


def test_every_scenario_is_there_for_something() -> None:
    assert set(SIGHTINGS) == set(SCENARIOS)


@functools.cache
def digest() -> str:
    """Of a run of each scenario."""
    digests = [make(7).run().digest for make in SCENARIOS.values()]
    return hashlib.blake2b("".join(digests).encode()).hexdigest()


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_same_seed_runs_the_same_way_in_another_process(hash_seed: str) -> None:
    program = "from tests.sim.test_swarm import digest; print(digest())"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    other = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert other.stdout.strip() == digest()


@pytest.mark.parametrize("name", SCENARIOS)
def test_another_seed_runs_another_way(name: str) -> None:
    assert SCENARIOS[name](7).run().digest != SCENARIOS[name](8).run().digest


def test_a_failure_has_the_line_that_runs_it_again() -> None:
    pair = fifths(3)
    pair.a._expected = bytes(len(pair.a._expected))
    with pytest.raises(
        AssertionError, match=r"python -m rudp\.sim swarm --scenario fifths --seed 3"
    ):
        pair.run()
