"""The benchmarks run and report in the shape that they promise, whatever the speeds."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.linkemu import missing
from rudp._compiled import FORM

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
LOOPBACK = BENCHMARKS / "loopback.py"
LINK = BENCHMARKS / "link.py"

NO_LINK = missing()
needs_link = pytest.mark.skipif(NO_LINK is not None, reason=str(NO_LINK))

FIGURES = {
    "bulk": [("bulk, one way", "Gbit/s")],
    "echo": [("echo, median", "us"), ("echo, p99", "us")],
    "connect": [
        ("connect-echo-close, in turn", "1/s"),
        ("connect-echo-close, 16 at once", "1/s"),
    ],
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


@pytest.mark.parametrize("only", [None, "echo"])
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


def test_the_table_says_which_settings_were_asked_for() -> None:
    settings = ["busy_poll=0", "connect_timeout=3.5"]
    done = run("--rounds", "1", "--seconds", "0.05", "--only", "echo", "--config", *settings)
    assert done.returncode == 0, done.stderr
    assert done.stdout.partition("\n\n")[0].endswith(" ".join(settings))


@pytest.mark.parametrize(
    "wrong",
    [
        ("--rounds", "0"),
        ("--seconds", "0"),
        ("--only", "latency"),
        ("--config", "busy_poll"),
        ("--config", "busy_poll=soon"),
        ("--config", "busy_poll=1"),
        ("--config", "buzzy_poll=0"),
    ],
)
def test_wrong_arguments_are_refused_with_a_sentence(wrong: tuple[str, str]) -> None:
    done = run(*wrong)
    assert done.returncode == 2
    assert "error:" in done.stderr


# link


@pytest.fixture
def nothing_left_behind() -> Iterator[None]:
    """No namespace has come since the test began whose process is no more."""
    before = set(namespaces())
    yield
    for name in set(namespaces()) - before:
        process = Path("/proc", name.split("-")[2])
        assert process.exists(), f"{name} was left behind"


def namespaces() -> list[str]:
    directory = Path("/run/netns")
    return [one.name for one in directory.glob("rudp-link-*")] if directory.exists() else []


@needs_link
@pytest.mark.usefixtures("nothing_left_behind")
def test_a_row_of_the_link_has_a_line_for_each_subject_and_a_verdict_on_rudp(
    tmp_path: Path,
) -> None:
    report, picture = tmp_path / "report.json", tmp_path / "picture.svg"
    command = [sys.executable, str(LINK), "--only", "small-queue", "--rounds", "1", "--seconds"]
    command += ["1", "--algorithm", "nonesuch", "--json", str(report), "--svg", str(picture)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=85, check=False)
    assert done.returncode == 0, done.stderr
    assert "no congestion control 'nonesuch'" in done.stderr

    about, _, table = done.stdout.partition("\n\n")
    assert "Python 3." in about
    header, *lines = table.splitlines()
    assert " ".join(header.split()) == "link over Mbit/s of best rtt ms CPU % result"
    kernels = [line.split("25 packets ")[1].split()[1] for line in lines[:-1]]
    assert set(kernels) <= {"cubic", "bbr"}
    assert "rudp" in lines[-1]
    assert "(at least 0.9 of the better kernel)" in lines[-1]

    data = json.loads(report.read_text())
    assert [one["subject"] for one in data["results"]] == [
        *(f"kernel {n}" for n in kernels),
        "rudp",
    ]
    for one in data["results"]:
        figures = one["figures"]
        # In so short a time a starved receiver may read more than the link brought meanwhile.
        assert 0 <= figures["mbits"] < 20
        assert figures["rtt"] > 0.03
        assert len(one["rounds"]) == 1
    assert data["results"][-1]["met"] in (True, False)
    texts = [element.text for element in ElementTree.parse(picture).iter()]
    assert "10 Mbit/s, 30 ms, 3 %, 25 packets" in texts


@needs_link
@pytest.mark.usefixtures("nothing_left_behind")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_benchmark_of_the_link_that_is_interrupted_cleans_up(number: int) -> None:
    command = [sys.executable, str(LINK), "--only", "clean"]
    before = set(namespaces())
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        limit = time.monotonic() + 30
        while set(namespaces()) <= before and time.monotonic() < limit:
            time.sleep(0.05)
        time.sleep(0.5)  # In the midst of it, wherever that is.
        process.send_signal(number)
        _out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, b"interrupted; all is cleaned up\n")


@needs_link
def test_what_a_killed_benchmark_of_the_link_left_behind_goes_with_the_next() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    left = f"rudp-link-{ended.pid}-a"
    subprocess.run(["ip", "netns", "add", left], check=True)
    command = [sys.executable, str(LINK), "--only", "small-queue", "--rounds", "1", "--seconds"]
    with subprocess.Popen([*command, "1"], stdout=subprocess.DEVNULL) as process:
        limit = time.monotonic() + 30
        while left in namespaces() and time.monotonic() < limit:
            time.sleep(0.05)
        process.terminate()
    assert left not in namespaces()


def test_without_the_right_to_make_a_link_the_benchmark_says_so_and_does_nothing() -> None:
    command = [sys.executable, str(LINK), "--only", "clean"]
    if NO_LINK is None:
        # PR_CAPBSET_DROP (24) of CAP_NET_ADMIN and CAP_SYS_ADMIN: root in a container, as it were.
        drop = "[ctypes.CDLL(None).prctl(24, c, 0, 0, 0) for c in (12, 21)]"
        again = "os.execv(sys.argv[1], sys.argv[1:])"
        command = [sys.executable, "-c", f"import ctypes, os, sys; {drop}; {again}", *command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("an emulated link needs ")
    if NO_LINK is None:
        assert "root" in done.stderr


@pytest.mark.parametrize("wrong", [("--rounds", "0"), ("--seconds", "0"), ("--only", "nonesuch")])
def test_wrong_arguments_of_the_link_are_refused_with_a_sentence(wrong: tuple[str, str]) -> None:
    command = [sys.executable, str(LINK), *wrong]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "error:" in done.stderr
