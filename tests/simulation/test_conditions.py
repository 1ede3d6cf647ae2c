"""What `Conditions` refuse, and bursts of losses; the rest of a link is in tests/sim."""

from __future__ import annotations

from itertools import groupby
from random import Random

import pytest

from rudp.sim import Conditions, Link


class Now:
    now = 0.0

    def at(self, moment: float, action: object) -> None:
        assert callable(action)
        action()


def fates(conditions: Conditions, count: int = 50_000) -> list[bool]:
    """Which of `count` datagrams arrive."""
    link = Link(Now(), Random(1), conditions)
    return [link.carry(100, lambda: None) for _ in range(count)]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rate", 0),
        ("rate", float("nan")),
        ("queue", -1),
        ("delay", -0.1),
        ("jitter", -1),
        ("late", -1),
        ("mtu", 575),
        ("loss", 1.1),
        ("corruption", -0.1),
        ("duplication", 2),
        ("reordering", -1),
        ("loss_burst", 0.5),
    ],
)
def test_what_cannot_be_is_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{field} has to be"):
        Conditions(**{field: value})  # type: ignore[arg-type]


def test_so_much_loss_does_not_come_in_such_bursts() -> None:
    with pytest.raises(ValueError, match=r"0\.667 or less for bursts of 2"):
        Conditions(loss=0.7, loss_burst=2)


@pytest.mark.parametrize("burst", [1, 2, 10])
def test_losses_are_as_many_as_said_and_last_as_long(burst: float) -> None:
    arrived = fates(Conditions(loss=0.1, loss_burst=burst))
    assert arrived.count(False) / len(arrived) == pytest.approx(0.1, rel=0.1)
    runs = [len(list(group)) for fate, group in groupby(arrived) if not fate]
    expected = burst if burst > 1 else 1 / 0.9
    assert sum(runs) / len(runs) == pytest.approx(expected, rel=0.1)


def test_damage_is_loss_with_bursts_too() -> None:
    arrived = fates(Conditions(loss=0.1, loss_burst=5, corruption=0.2))
    assert arrived.count(False) / len(arrived) == pytest.approx(1 - 0.9 * 0.8, rel=0.1)


def test_a_healed_link_has_no_faults_and_is_as_slow_and_narrow_as_before() -> None:
    faulty = Conditions(
        rate=1e6, delay=0.5, mtu=1280, black_hole=True, loss=0.5, loss_burst=3, reordering=0.5,
        duplication=0.5, corruption=0.5,
    )  # fmt: skip
    assert faulty.healed() == Conditions(rate=1e6, delay=0.5, mtu=1280, loss_burst=3)


def test_a_spell_of_losses_ends_where_there_are_none() -> None:
    link = Link(Now(), Random(1), Conditions(loss=0.9, loss_burst=1000))
    while link.carry(100, lambda: None):
        pass
    link.conditions = link.conditions.healed()
    assert all(link.carry(100, lambda: None) for _ in range(10))
