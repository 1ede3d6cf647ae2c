"""The soak program: what it says of a few seconds, and that it would have noticed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
import soak  # noqa: E402

FLAT = dict.fromkeys(soak.COUNTED, 5) | dict.fromkeys(soak.NOISE, 10_000_000)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / "soak.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_ten_simulated_seconds_are_flat_and_have_seen_every_kind_of_use() -> None:
    done = run("--seconds", "10", "--simulated")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    *lines, connections, uses, verdict = done.stdout.splitlines()
    assert len(lines) >= 4
    assert all(" 0 TIME-WAIT, 0 deadlines" in line for line in lines)
    assert int(connections.split()[0]) > 100
    assert [each.split()[1].strip(",") for each in uses[6:].split(", ")] == sorted(soak.KINDS)
    assert verdict == "flat, and every digest was right"


def verdict(*samples: dict[str, int], failures: list[str] | None = None) -> list[str]:
    pairs = [(sample, FLAT) for sample in samples]
    client: Any = SimpleNamespace(samples=pairs, failures=failures or [])
    return soak.complaints(client)


def test_samples_that_are_all_alike_are_flat() -> None:
    assert verdict(*[FLAT] * 8) == []


@pytest.mark.parametrize("name", soak.COUNTED)
def test_one_more_of_what_can_be_counted_is_not_flat(name: str) -> None:
    (complaint,) = verdict(*[FLAT] * 6, FLAT | {name: 6}, FLAT)
    assert complaint == f"client: {name} is 6 at sample 7, and was 5"


@pytest.mark.parametrize("name", soak.NOISE)
def test_memory_that_grows_all_the_time_is_not_flat(name: str) -> None:
    (complaint,) = verdict(*[FLAT | {name: 10_000_000 + 1_000_000 * i} for i in range(12)])
    assert complaint.startswith(f"client: {name} grew from 17000000 to 20000000")


@pytest.mark.parametrize("name", soak.NOISE)
def test_memory_that_has_grown_at_first_is_flat(name: str) -> None:
    samples = [FLAT | {name: min(10_000_000, 2_000_000 * i)} for i in range(12)]
    assert verdict(*samples) == []


def test_a_failure_counts_however_flat_it_was() -> None:
    assert verdict(*[FLAT] * 8, failures=["talk: another answer came"]) == [
        "failed: talk: another answer came"
    ]


def test_too_few_samples_are_no_verdict() -> None:
    assert verdict(*[FLAT] * 3) == ["too short: there are less than four samples"]


def test_wrong_arguments_are_refused_with_a_sentence() -> None:
    done = run("--loss", "1")
    assert done.returncode == 2
    assert "error: --seconds has to be more than 0, and --loss from 0 to less than 1" in done.stderr
