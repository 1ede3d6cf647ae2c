"""Two cores against Hypothesis, for a moment. `machines` says how to run it for longer."""

from __future__ import annotations

import pytest

from tests.fuzz.machines import Adversary, Liar, run
from tests.fuzz.pair import Pair, executed


@pytest.mark.parametrize(
    ("machine", "connections"),
    [(Adversary, "established by the adversary"), (Liar, "established by the liar")],
)
def test_a_few_thousand_steps_find_nothing_and_most_have_a_connection(
    machine: type[Pair], connections: str
) -> None:
    executed.clear()
    # The same examples each time: what a run happens upon would make the suite fail by chance.
    run(machine, examples=80, steps=40, derandomize=True)
    assert executed[machine.__name__] >= 80
    assert executed[connections] > 40
