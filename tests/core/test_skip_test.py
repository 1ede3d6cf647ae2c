"""When the skip test is due: rarely, or soon where round trips are shorter than can be believed."""

from __future__ import annotations

import pytest

from rudp.core.skip_test import FIRST, RARELY, RARELY_BYTES, WINDOWS, SkipTest

CWND = 100_000
NXT = 2**32 - 1000


@pytest.mark.parametrize(
    ("handshake", "srtt", "suspect"),
    [
        (1.0, 0.499, True),
        (1.0, 0.5, False),  # half of it
        (0.021, 0.0105, False),
        (0.021, 0.0104, True),
        (0.019, 0.0085, True),
        (0.018, 0.0085, False),  # less than half, but by less than 10 ms
        (0.0, 0.001, False),  # the handshake was not measured
    ],
)
def test_a_peer_is_suspected_by_round_trips_much_shorter_than_the_handshakes(
    handshake: float, srtt: float, suspect: bool
) -> None:
    skip = SkipTest(handshake, 7)
    assert skip.suspects(srtt) is suspect
    assert skip.due(NXT, CWND, srtt, 5.0) is suspect


def test_who_has_passed_is_suspected_by_still_shorter_ones_only() -> None:
    skip = SkipTest(1.0, 7)
    skip.passed(0.1)
    assert not skip.suspects(0.1)
    assert skip.suspects(0.04)
    skip.passed(0.5)  # it does not get longer again
    assert skip.suspects(0.04)


@pytest.mark.parametrize("cwnd", [CWND, 10 * CWND])
def test_anybody_is_tested_about_every_128_windows_and_64_mib(cwnd: int) -> None:
    size = max(RARELY_BYTES, RARELY * cwnd)
    for seed in range(50):
        skip = SkipTest(0.1, seed)
        assert not skip.due(NXT, cwnd, 0.1, 5.0 + seed)
        assert not skip.due(NXT + size // 2 - 1, cwnd, 0.1, 6.0)
        assert skip.due(NXT + size * 3 // 2, cwnd, 0.1, 6.0)


def test_looks_come_about_four_windows_apart_and_their_places_differ_by_the_nanosecond() -> None:
    size = WINDOWS * CWND
    looks = {SkipTest(0.1, 7).next_look(0, CWND, 1000.0 + ns * 1e-9) for ns in range(100)}
    assert size // 2 <= min(looks) < size * 3 // 4
    assert size * 5 // 4 < max(looks) < size * 3 // 2
    assert len(looks) > 90
    assert SkipTest(0.1, 7).next_look(0, 1, 5.0) >= FIRST // 2
