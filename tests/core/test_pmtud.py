"""The search for the size that a path carries, alone: RFC 8899 section 5."""

from __future__ import annotations

import math

import pytest

from rudp.core.congestion import ALGORITHMS
from rudp.core.pmtud import (
    BASE_MSS,
    GRANULARITY,
    LEAST_AFTER,
    LEAST_MSS,
    MAX_PROBES,
    RAISE_INTERVAL,
    PathMtu,
)

OVERHEAD = 12
CEILING = 1452
PATIENCE = 0.25


def begin(size: int = BASE_MSS, ceiling: int = CEILING) -> PathMtu:
    """A search from `size` to `ceiling`, both of payload and options."""
    return PathMtu(min(size, ceiling) - OVERHEAD, ceiling - OVERHEAD, OVERHEAD)


class Path:
    """A path that carries payload up to `limit`, and what is sent over it."""

    def __init__(self, limit: int, search: PathMtu) -> None:
        self.limit = limit
        self.search = search
        self.now = 0.0
        self.sizes: list[int] = []

    def probe(self) -> bool:
        """Send what is due, wait for the answer, or as long as the sender would. False: nothing
        was due."""
        size = self.search.due(self.now)
        if not size:
            return False
        self.sizes.append(size)
        self.search.on_sent(1000, 1000 + size, self.now, PATIENCE)
        if size <= self.limit:
            assert self.search.answers(1000, 1000 + size, self.now)
        self.now += PATIENCE
        return True

    def finish(self) -> int:
        while self.probe():
            assert len(self.sizes) < 100
        return self.search.size


def test_it_begins_at_the_base_and_tries_the_ceiling_first() -> None:
    search = begin()
    assert search.size == BASE_MSS - OVERHEAD
    path = Path(CEILING, search)
    assert path.finish() == CEILING - OVERHEAD
    assert path.sizes == [CEILING - OVERHEAD]


@pytest.mark.parametrize("ceiling", [CEILING, 8952, 65_000])
@pytest.mark.parametrize("limit", [BASE_MSS, 1200, 1300, 1399, 1430])
def test_it_comes_close_to_what_the_path_carries_from_below(limit: int, ceiling: int) -> None:
    path = Path(limit, begin(ceiling=ceiling))
    size = path.finish()
    assert limit - GRANULARITY <= size <= limit
    # Each size that is too large is tried so often, and no more.
    assert all(path.sizes.count(one) == MAX_PROBES for one in path.sizes if one > limit)
    assert all(path.sizes.count(one) == 1 for one in path.sizes if one <= limit)


def test_one_probe_at_a_time_and_the_next_only_when_its_time_is_over() -> None:
    search = begin()
    search.on_sent(0, search.due(0.0), 0.0, PATIENCE)
    assert search.next_at == PATIENCE
    assert search.due(PATIENCE - 0.01) == 0
    assert search.due(PATIENCE) == CEILING - OVERHEAD


def test_only_the_duplicate_that_was_sent_answers_a_probe() -> None:
    search = begin()
    assert not search.answers(5000, 6440, 0.0)  # none is under way
    search.on_sent(5000, 5000 + search.due(0.0), 0.0, PATIENCE)
    assert not search.answers(5001, 6440, 0.0)
    assert not search.answers(5000, 6439, 0.0)
    assert search.size == BASE_MSS - OVERHEAD
    assert search.answers(5000, 6500, 0.0)  # with what followed it, joined on the way
    assert search.size == CEILING - OVERHEAD
    assert not search.answers(5000, 6440, 0.0)


def test_more_is_tried_again_after_a_while() -> None:
    path = Path(1300, begin())
    path.finish()
    path.limit = CEILING
    path.now += RAISE_INTERVAL - 1
    assert not path.probe()
    path.now += 1
    assert path.finish() == CEILING - OVERHEAD


def test_at_the_ceiling_there_is_nothing_to_try_ever() -> None:
    path = Path(CEILING, begin(CEILING))
    assert not path.probe()
    assert path.search.next_at == math.inf
    path = Path(CEILING, begin())
    path.finish()
    assert path.search.next_at == math.inf


def test_a_path_below_the_base_has_nothing_to_search() -> None:
    search = begin(ceiling=536)
    assert (search.size, search.due(0.0), search.next_at) == (536 - OVERHEAD, 0, math.inf)
    assert not search.on_black_hole(10_000, 1)


def test_a_black_hole_leads_back_to_the_base_and_the_search_begins_anew() -> None:
    path = Path(1300, begin(CEILING))
    assert path.search.on_black_hole(10_000, 1)
    assert path.search.size == BASE_MSS - OVERHEAD
    assert not path.search.on_black_hole(10_000, 2)
    assert 1300 - GRANULARITY <= path.finish() <= 1300


def test_what_would_fit_a_smaller_segment_did_not_vanish_for_its_size() -> None:
    search = begin(CEILING)
    assert not search.on_black_hole(BASE_MSS - OVERHEAD, LEAST_AFTER - 1)
    assert not search.on_black_hole(LEAST_MSS - OVERHEAD, LEAST_AFTER)
    assert search.size == CEILING - OVERHEAD
    assert search.on_black_hole(BASE_MSS - OVERHEAD + 1, 1)


def test_a_message_of_the_size_of_the_base_may_be_too_large_all_the_same() -> None:
    search = begin(CEILING)
    assert search.on_black_hole(BASE_MSS - OVERHEAD, LEAST_AFTER)
    assert search.size == LEAST_MSS - OVERHEAD


def test_an_outage_costs_one_probe() -> None:
    path = Path(CEILING, begin(CEILING))
    for timeouts in range(1, 20):
        path.search.on_black_hole(10_000, timeouts)
    path.finish()
    assert path.sizes == [CEILING - OVERHEAD]


def test_when_the_base_gets_nothing_through_there_is_one_more_step() -> None:
    path = Path(900, begin(CEILING))
    assert path.search.on_black_hole(10_000, 1)
    assert not any(path.search.on_black_hole(10_000, one) for one in range(2, LEAST_AFTER))
    assert path.search.size == BASE_MSS - OVERHEAD
    assert path.search.on_black_hole(10_000, LEAST_AFTER)
    assert path.search.size == LEAST_MSS - OVERHEAD
    assert not path.search.on_black_hole(10_000, LEAST_AFTER + 1)
    assert 900 - GRANULARITY <= path.finish() <= 900


def test_what_the_system_knows_is_a_new_ceiling_and_never_raises_anything() -> None:
    search = begin(CEILING)
    search.lower(1300)
    assert (search.size, search.ceiling, search.next_at) == (1300, 1300, math.inf)
    search.lower(9000)
    assert (search.size, search.ceiling) == (1300, 1300)


def test_a_probe_that_has_become_too_large_is_forgotten() -> None:
    search = begin()
    search.on_sent(0, search.due(0.0), 0.0, PATIENCE)
    search.lower(1300)
    assert search.due(0.0) == 1300
    assert not search.answers(0, CEILING - OVERHEAD, 0.0)


def test_what_was_found_is_told_if_it_is_news() -> None:
    search = begin()
    assert search.found == 0
    Path(CEILING, search).finish()
    assert search.found == CEILING
    search.on_black_hole(10_000, 1)
    assert search.found == 0  # it is where it began
    search.on_black_hole(10_000, LEAST_AFTER)
    assert search.found == BASE_MSS  # an outage leads there, too


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_window_of_one_segment_grows_with_the_segment(name: str) -> None:
    # RFC 5681 section 3.1: no window is less than a segment.
    cc = ALGORITHMS[name](BASE_MSS, 1)
    cc.on_mss(2 * BASE_MSS)
    assert cc.cwnd >= 2 * BASE_MSS
    cc.on_mss(BASE_MSS)
    assert cc.cwnd == 2 * BASE_MSS


@pytest.mark.parametrize("name", ALGORITHMS)
def test_nor_is_the_window_after_a_pause_less_than_the_segment_that_has_grown(name: str) -> None:
    cc = ALGORITHMS[name](BASE_MSS, 1)
    cc.cwnd = 10 * BASE_MSS
    cc.on_mss(2 * BASE_MSS)
    cc.on_restart(10.0, 1.0, 20.0)
    assert cc.cwnd >= 2 * BASE_MSS


@pytest.mark.parametrize("name", ["reno", "cubic", "ledbat++"])
def test_nor_is_what_a_recovery_ends_with_when_segments_have_grown_meanwhile(name: str) -> None:
    cc = ALGORITHMS[name](BASE_MSS, 1)
    cc.on_loss(BASE_MSS, 1.0)
    cc.on_mss(4 * BASE_MSS)
    cc.on_recovered(2.0)
    assert cc.cwnd >= 4 * BASE_MSS


def test_a_ceiling_that_is_no_lower_changes_nothing() -> None:
    path = Path(1300, begin())
    size = path.finish()
    rest = path.search.next_at
    path.search.lower(CEILING - OVERHEAD)
    assert (path.search.size, path.search.next_at) == (size, rest)
    assert path.search.due(path.now) == 0
