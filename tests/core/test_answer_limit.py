"""How many segments out of nowhere are answered: for each host, in each second."""

from __future__ import annotations

from rudp.core.answer_limit import BUCKETS, LIMIT, AnswerLimit

SECRET = bytes(range(32))


def allowed(limit: AnswerLimit, host: str, now: float, times: int) -> int:
    return sum(limit.allows(SECRET, host, now) for _ in range(times))


def test_a_host_gets_so_many_answers_in_a_second_and_as_many_in_the_next() -> None:
    limit = AnswerLimit()
    assert allowed(limit, "10.0.0.1", 7.0, LIMIT + 100) == LIMIT
    assert allowed(limit, "10.0.0.1", 7.999, 10) == 0
    assert allowed(limit, "10.0.0.1", 8.0, LIMIT + 100) == LIMIT


def test_one_host_does_not_use_up_what_is_anothers() -> None:
    limit = AnswerLimit()
    assert allowed(limit, "10.0.0.1", 7.0, LIMIT + 100) == LIMIT
    assert allowed(limit, "10.0.0.2", 7.0, LIMIT) == LIMIT


def test_two_hosts_share_a_limit_by_chance_and_for_a_second() -> None:
    # Two hosts out of four thousand have met somewhere; in the next second it is others.
    def full(now: float) -> set[str]:
        limit = AnswerLimit()
        allowed(limit, "10.0.0.1", now, LIMIT)
        others = [f"10.1.{i // 256}.{i % 256}" for i in range(4 * BUCKETS)]
        return {host for host in others if not limit.allows(SECRET, host, now)}

    this, following = full(7.0), full(8.0)
    assert 0 < len(this) < 20  # 4 are to be expected
    assert not this & following


def test_a_flood_from_everywhere_makes_it_grow_no_further_than_its_buckets() -> None:
    limit = AnswerLimit()
    for i in range(50_000):
        limit.allows(SECRET, f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}", 7.0)
    assert len(limit._counts) <= BUCKETS
    limit.allows(SECRET, "10.0.0.1", 8.0)
    assert len(limit._counts) == 1
