"""For pytest: the fixture `simulation`, and the line that runs a failure again.

    def test_the_counters_agree_after_a_partition(simulation):
        simulation.run(scenario)           # async def scenario(network: rudp.sim.Network)

Such a test is an ordinary function, and runs once for each seed: one, or as many as
`@pytest.mark.sim_seeds(count)` or the option `--sim-seeds` say. A failure shows the last datagrams
and the command with `--sim-seed` that repeats it. The plug-in is found once rudp is installed.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from rudp.sim import Simulation

LINES = 20
"""Datagrams that a failure shows."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("rudp")
    group.addoption("--sim-seed", type=int, metavar="SEED", help="simulate with this seed only")
    group.addoption(
        "--sim-seeds", type=int, metavar="COUNT", help="simulate with so many seeds, in each test"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "sim_seeds(count): seeds that the simulation runs with")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "simulation" not in metafunc.fixturenames:
        return
    config, mark = metafunc.config, metafunc.definition.get_closest_marker("sim_seeds")
    if (seed := config.getoption("--sim-seed")) is not None:
        seeds = [seed]
    elif (count := config.getoption("--sim-seeds")) is not None:
        seeds = list(range(count))
    else:
        seeds = list(range(mark.args[0] if mark is not None else 1))
    metafunc.parametrize("simulation", seeds, indirect=True, ids=[f"seed {one}" for one in seeds])


@pytest.fixture
def simulation(request: pytest.FixtureRequest) -> Simulation:
    """A `rudp.sim.Simulation` that has not run yet."""
    from rudp.sim import Simulation

    return Simulation(request.param)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    simulated: Any = getattr(item, "funcargs", {}).get("simulation")
    if report.when == "call" and report.failed and simulated is not None:
        test = item.nodeid.partition("[")[0]
        lines = list(simulated.network.trace)[-LINES:]
        lines.append(f"replay: pytest '{test}' --sim-seed {simulated.seed}")
        report.sections.append(("simulation", "\n".join(lines)))
    return report
