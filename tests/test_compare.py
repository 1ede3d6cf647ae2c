"""The comparison runs and reports in the shape that it promises, whatever the speeds.

Only rudp and TCP take part: nothing of the extra `bench` has to be installed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from rudp._compiled import COMPILED

COMPARE = Path(__file__).parent.parent / "benchmarks" / "compare.py"
TWO = ("--peer", "rudp", "--peer", "tcp", "--loop", "asyncio", "--rounds", "1")
HEADING = "measurement unit loop over median spread CPU % rudp/it demanded"


def run(*arguments: str, program: Path = COMPARE) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(program), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=80, check=False)


def test_the_table_the_json_and_the_picture_have_each_row_and_peer(tmp_path: Path) -> None:
    report, picture = tmp_path / "report.json", tmp_path / "picture.svg"
    rows = [word for name in ("bulk", "both", "echo", "connect") for word in ("--only", name)]
    files = ["--json", str(report), "--svg", str(picture)]
    done = run(*TWO, "--seconds", "0.02", *rows, *files)
    assert (done.returncode, done.stderr) == (0, "")

    about, _, table = done.stdout.partition("\n\n")
    assert "rudp " in about
    assert "tcp " in about
    assert "Python 3." in about
    header, *lines = table.splitlines()
    assert " ".join(header.split()) == HEADING
    expected = [
        (label, unit, peer)
        for label, unit in (
            ("bulk, one way", "Gbit/s"),
            ("bulk, both ways", "Gbit/s"),
            ("echo of 64 bytes, median", "us"),
            ("echo of 64 bytes, p99", "us"),
            ("connect, echo, close", "1/s"),
            ("the same, 16 at once", "1/s"),
        )
        for peer in ("tcp", "rudp")
    ]
    assert len(lines) == len(expected)
    for line, (label, unit, peer) in zip(lines, expected, strict=True):
        assert line.startswith(label)
        assert line[len(label) :].split()[:3] == [unit, "asyncio", peer]

    # What is demanded stands where the ratio does: in the line of whom rudp is compared with.
    judged = [line for line in lines if "pass (at" in line or "FAIL (at" in line]
    assert [line.split("(")[1] for line in judged] == [
        "at least 1)",
        "at most 1.5)",
        "at least 0.5)",
        "at least 0.5)",
    ]
    assert all(" tcp " in line for line in judged)

    data = json.loads(report.read_text())
    assert set(data["versions"]) >= {"tcp", "rudp"}
    assert (data["rounds"], data["seconds"]) == (1, 0.02)
    found = [(one["measurement"], one["unit"], one["peer"]) for one in data["results"]]
    assert found == expected
    for tcp, rudp in zip(data["results"][::2], data["results"][1::2], strict=True):
        assert min(tcp["median"], rudp["median"], tcp["cpu_client"], tcp["cpu_server"]) > 0
        assert tcp["rudp_ratio"] == pytest.approx(rudp["median"] / tcp["median"])
        assert len(tcp["values"]) == len(tcp["rounds"]) == 1
        for demand in tcp["demands"]:
            assert demand["met"] in (True, False)
    texts = [element.text for element in ElementTree.parse(picture).iter()]
    assert "bulk, one way, asyncio" in texts
    assert "Round trip on loopback (less is better)" in texts


def test_costs_are_given_by_window_and_the_largest_is_judged_by_the_smallest() -> None:
    done = run("--peer", "rudp", "--loop", "asyncio", "--rounds", "1", "--seconds", "0.02",
               "--only", "windows")  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.partition("\n\n")[2].splitlines()[1:]
    windows = ["64 KiB", "1 MiB", "8 MiB", "64 MiB"]
    assert [line.split(" ns/byte")[0].strip() for line in lines] == [
        f"window of {window}" for window in windows
    ]
    assert "at most 1.3 of window of 64 KiB" in lines[-1]


def test_a_peer_that_is_missing_or_cannot_is_named_and_left_out(tmp_path: Path) -> None:
    # As if nothing were installed: no module is found whose name is one of the extra's.
    program = tmp_path / "without.py"
    program.write_text(
        "import importlib.util, runpy, sys\n"
        "find = importlib.util.find_spec\n"
        "hidden = {'aioquic', 'qh3', 'kcp', 'enet'}\n"
        "importlib.util.find_spec = lambda name, *rest: (\n"
        "    None if name in hidden else find(name, *rest)\n"
        ")\n"
        f"sys.path.insert(0, {str(COMPARE.parent)!r})\n"
        f"sys.argv[0] = {str(COMPARE)!r}\n"
        f"runpy.run_path({str(COMPARE)!r}, run_name='__main__')\n"
    )
    chosen = ("--loop", "asyncio", "--rounds", "1", "--seconds", "0.02", "--only", "bulk")
    done = run(*chosen, program=program)
    assert done.returncode == 0, done.stderr
    missing = [
        f"{name} is not installed (the extra `bench` has it): skipped"
        for name in ("aioquic", "qh3", "kcp", "pyenet")
    ]
    if not COMPILED:
        pure = "rudp-pure: rudp is not compiled here, so there is no other form of it: skipped"
        missing.insert(0, pure)
    assert done.stderr.splitlines() == missing
    lines = done.stdout.partition("\n\n")[2].splitlines()[1:]
    rudps = ["rudp", "rudp-pure"] if COMPILED else ["rudp"]
    assert [line.split()[5] for line in lines] == ["tcp", *rudps]


def test_a_program_can_be_run_with_the_source_of_rudp_alone(tmp_path: Path) -> None:
    program = tmp_path / "where.py"
    program.write_text("from rudp import engine, server\nprint(engine.__file__, server.__file__)\n")
    done = run(str(program), program=COMPARE.with_name("interpreted.py"))
    assert done.returncode == 0, done.stderr
    assert [Path(each).suffix for each in done.stdout.split()] == [".py", ".py"]


def test_more_connections_than_file_descriptors_are_skipped_with_a_sentence() -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))"
    again = "import os, sys; os.execv(sys.argv[1], sys.argv[1:])"
    command = [sys.executable, "-c", f"{limit}; {again}", sys.executable, str(COMPARE)]
    command += [*TWO, "--seconds", "0.02", "--only", "idle"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == (
        "idle connection, both ends: it needs 10100 file descriptors, "
        "and RLIMIT_NOFILE allows 256: skipped\n"
    )


@pytest.mark.parametrize(
    "wrong",
    [
        ("--rounds", "0"),
        ("--seconds", "0"),
        ("--seconds", "nan"),
        ("--only", "nonesuch"),
        ("--peer", "nonesuch"),
        ("--loop", "nonesuch"),
    ],
)
def test_wrong_arguments_are_refused_with_a_sentence(wrong: tuple[str, str]) -> None:
    done = run(*wrong)
    assert done.returncode == 2
    assert "error:" in done.stderr


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="it looks for processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_comparison_that_is_interrupted_cleans_up(number: int) -> None:
    command = [sys.executable, str(COMPARE), *TWO, "--only", "bulk", "--seconds", "60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        limit = time.monotonic() + 30
        while len(children(process.pid)) < 2 and time.monotonic() < limit:
            time.sleep(0.05)
        sides = children(process.pid)
        process.send_signal(number)
        _out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, b"interrupted; all is cleaned up\n")
    assert len(sides) == 2
    assert not [pid for pid in sides if Path("/proc", str(pid)).exists()]


def children(parent: int) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                stat = Path("/proc", name, "stat").read_text()
            except OSError:  # It has just ended.
                continue
            # The name of the program, in parentheses, may hold anything.
            if int(stat.rpartition(")")[2].split()[1]) == parent:
                found.append(int(name))
    return found
