"""The fixture, in a pytest of its own: seeds, and the line that repeats a failure."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PLUGIN = "rudp.sim.pytest_plugin"
WITHOUT = [f"-pno:{plugin}" for plugin in ("cacheprovider", "asyncio", "hypothesispytest", "xdist")]
"""They have no part in it, and take longer to import than all else that happens."""

TESTS = '''
import asyncio
import pytest
from rudp.sim import Conditions

async def scenario(network):
    a, b = network.host("a"), network.host("b")
    network.link(a, b, Conditions(loss=0.5))

    async def send():
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=("b", 9)
        )
        transport.sendto(b"x")
        await asyncio.sleep(1)
        transport.close()

    await a.run(send())
    assert "is lost" not in network.trace[0]

@pytest.mark.sim_seeds(8)
def test_a_datagram_arrives(simulation):
    simulation.run(scenario)

def test_another(simulation):
    assert simulation.seed == 0
'''


def run_pytest(directory: Path, *arguments: str) -> str:
    (directory / "test_it.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", *WITHOUT, *arguments]
    if not any(point.value == PLUGIN for point in entry_points(group="pytest11")):
        command += ["-p", PLUGIN]  # a checkout that is not installed
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": path}
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=directory, env=environment
    )
    return done.stdout + done.stderr


def outcome(output: str) -> dict[str, int]:
    """How many tests passed and failed."""
    return {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed)", output)}


def test_a_test_runs_for_each_seed_and_a_failure_names_the_command_that_repeats_it(
    tmp_path: Path,
) -> None:
    output = run_pytest(tmp_path)
    counts = outcome(output)
    assert counts["passed"] + counts["failed"] == 8 + 1
    assert counts["failed"] >= 1
    assert "1 bytes  is lost" in output
    replay = re.search(r"replay: pytest (.*)", output)
    assert replay is not None
    again = run_pytest(tmp_path, *shlex.split(replay[1]))
    assert outcome(again) == {"failed": 1}


def test_the_options_say_which_seeds_and_how_many(tmp_path: Path) -> None:
    everywhere = outcome(run_pytest(tmp_path, "--sim-seeds", "3"))
    assert sum(everywhere.values()) == 6
    assert sum(outcome(run_pytest(tmp_path, "--sim-seed", "7")).values()) == 2
