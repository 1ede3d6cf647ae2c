"""benchmarks/loopback.py runs and reports in the shape it promises, whatever the speeds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rudp._compiled import FORM

LOOPBACK = Path(__file__).parent.parent / "benchmarks" / "loopback.py"

FIGURES = {
    "bulk": [("bulk, one way", "Gbit/s")],
    "echo": [("echo, median", "us"), ("echo, p99", "us")],
    "connect": [("connect-echo-close", "1/s")],
}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(LOOPBACK), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def loops() -> list[str]:
    try:
        import uvloop  # noqa: F401
    except ImportError:
        return ["asyncio"]
    return ["asyncio", "uvloop"]


@pytest.mark.parametrize("only", [None, "bulk", "echo", "connect"])
def test_the_table_and_the_json_have_a_row_for_each_figure_and_loop(
    only: str | None, tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    selection = ["--only", only] if only else []
    done = run("--rounds", "1", "--seconds", "0.05", "--json", str(report), *selection)
    assert done.returncode == 0, done.stderr
    expected = [
        (label, unit, loop)
        for name in ([only] if only else FIGURES)
        for label, unit in FIGURES[name]
        for loop in loops()
    ]

    about, _, table = done.stdout.partition("\n\n")
    assert f"({FORM})" in about
    assert "Python 3." in about
    assert "CPUs" in about
    header, *lines = table.splitlines()
    assert header.split() == ["measurement", "unit", "loop", "tcp", "rudp", "rudp/tcp"]
    assert len({len(line) for line in (header, *lines)}) == 1  # aligned
    assert len(lines) == len(expected)
    for line, (label, unit, loop) in zip(lines, expected, strict=True):
        assert line.startswith(label)
        *_, line_unit, line_loop, tcp, rudp, ratio = line.split()
        assert (line_unit, line_loop) == (unit, loop)
        assert min(float(tcp), float(rudp), float(ratio)) >= 0

    data = json.loads(report.read_text())
    assert (data["rounds"], data["seconds"]) == (1, 0.05)
    assert [(row["measurement"], row["unit"], row["loop"]) for row in data["results"]] == expected
    for row in data["results"]:
        assert len(row["tcp_rounds"]) == len(row["rudp_rounds"]) == 1
        assert row["ratio"] == pytest.approx(row["rudp"] / row["tcp"])


@pytest.mark.parametrize("wrong", [("--rounds", "0"), ("--seconds", "0"), ("--only", "latency")])
def test_wrong_arguments_are_refused_with_a_sentence(wrong: tuple[str, str]) -> None:
    done = run(*wrong)
    assert done.returncode == 2
    assert "error:" in done.stderr
