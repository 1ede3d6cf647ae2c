"""What each algorithm gets out of a link is what it got before: the table is as in the snapshot."""

from __future__ import annotations

import difflib

import pytest

from rudp.core.congestion import ALGORITHMS
from tests.sim.goodput import LOSSES, SNAPSHOT, goodput, header, part

RENEW = "if that is meant: python -m tests.sim.goodput > tests/sim/goodput.txt"


def compare(was: list[str], now: list[str]) -> None:
    """Fail with the difference and with what renews the snapshot, if there is a difference."""
    if was != now:
        diff = difflib.unified_diff(was, now, "goodput.txt", "as it is now", lineterm="")
        pytest.fail("\n".join([*diff, "", RENEW]), pytrace=False)


def snapshot() -> list[str]:
    return SNAPSHOT.read_text(encoding="utf-8").splitlines()


def of(algorithm: str) -> list[str]:
    """The snapshot's lines for that algorithm."""
    return [line for line in snapshot() if line.split()[:1] == [algorithm]]


# One by one, so that they run side by side.
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_algorithm_gets_what_it_got_before(algorithm: str) -> None:
    compare(of(algorithm), part(algorithm))


def test_the_snapshot_has_its_header_and_every_algorithm_and_nothing_more() -> None:
    known = [line for algorithm in ALGORITHMS for line in of(algorithm) or [f"{algorithm} ..."]]
    compare(snapshot(), [*header(), *known])


def test_the_same_transfer_has_the_same_goodput_twice() -> None:
    algorithm = next(iter(ALGORITHMS))
    assert goodput(algorithm, LOSSES[1], 1.0) == goodput(algorithm, LOSSES[1], 1.0)


def test_a_difference_is_shown_with_the_command_that_renews_the_snapshot() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"-reno +1(?s:.)*\+reno +2(?s:.)*-m tests"):
        compare(["reno    1"], ["reno    2"])
