"""`python -m rudp.sim swarm`: what it prints, how it ends, and that jobs change nothing."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest

from rudp.sim.swarm import command
from rudp.sim.swarm.pair import Pair
from rudp.sim.swarm.scenarios import SCENARIOS, fifths

PROGRAM = [sys.executable, "-m", "rudp.sim"]

on_posix = pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is a signal on POSIX systems only")


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """The command turns warnings off for its process, which is that of other tests too."""
    loggers = [logging.getLogger(name) for name in ("rudp", "asyncio")]
    levels = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


def swarm(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, "swarm", *arguments], capture_output=True, text=True)


def test_two_jobs_do_what_one_does() -> None:
    outputs = [swarm("--seeds", "41", "--first", "20", "--jobs", jobs) for jobs in ("1", "2")]
    assert [output.returncode for output in outputs] == [0, 0]
    digests = [re.findall(r"\b[0-9a-f]{32}\b", output.stdout) for output in outputs]
    assert len(digests[0]) == 1
    assert digests[0] == digests[1]
    assert "41 runs, and nothing was violated." in outputs[0].stdout


def test_other_seeds_have_another_digest() -> None:
    one, other = command.run_lot(None, range(20)), command.run_lot(None, range(1, 21))
    assert one.digest != other.digest
    halves = command.run_lot(None, range(10, 20))
    halves.add(command.run_lot(None, range(10)))
    assert (halves.digest, halves.seen) == (one.digest, one.seen)


def test_one_run_is_shown_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["swarm", "--scenario", "fifths", "--seed", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    pair = fifths(3)
    outcome = pair.run()
    assert lines[:-1] == pair.trace
    assert lines[-1].endswith(outcome.digest)


def spoilt(seed: int) -> Pair:
    pair = fifths(seed)
    if seed == 3:
        pair.a._expected = bytes(len(pair.a._expected))
    return pair


def test_a_violation_is_told_in_the_line_that_replays_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(SCENARIOS, "fifths", spoilt)
    assert command.main(["swarm", "--scenario", "fifths", "--seeds", "5"]) == 1
    out = capsys.readouterr().out
    assert "\npython -m rudp.sim swarm --scenario fifths --seed 3  # Violation: a read at" in out
    assert "Violated in 1 of 5 runs." in out
    assert command.main(["swarm", "--scenario", "fifths", "--seed", "3"]) == 1
    assert "Violation: a read at" in capsys.readouterr().out


def _hear_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextlib.contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The command, which does not outlive the test however that ends; nor do its workers."""
    with subprocess.Popen(
        [*PROGRAM, "swarm", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # What runs in a shell's background ignores Ctrl-C, and so do its children.
        preexec_fn=_hear_ctrl_c if os.name == "posix" else None,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None and os.name == "posix":
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()


@on_posix
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_ends_it_with_what_was_done_until_then(jobs: str) -> None:
    with running("--seeds", "20000", "--jobs", jobs) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.5)  # wherever it is then
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "until interrupted" in out
    assert "and nothing was violated." in out
    assert "Traceback" not in err


class Ended:
    """Something of which a weak reference is kept."""


def press_ctrl_c_in_a_callback() -> None:
    """There Python can only ignore what is raised."""
    ended = Ended()
    reference = weakref.ref(ended, lambda _: signal.raise_signal(signal.SIGINT))
    del ended
    assert reference() is None


@pytest.fixture
def ctrl_c_as_in_a_program() -> Iterator[None]:
    """A worker of pytest-xdist may ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


@on_posix
@pytest.mark.usefixtures("ctrl_c_as_in_a_program")
def test_ctrl_c_in_the_callback_of_a_weak_reference_is_not_lost(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(seed: int) -> Pair:
        if seed == 3:
            press_ctrl_c_in_a_callback()
        return fifths(seed)

    monkeypatch.setitem(SCENARIOS, "fifths", interrupted)
    assert command.main(["swarm", "--scenario", "fifths", "--seeds", "30"]) == 130
    assert "4 until interrupted: 4 fifths" in capsys.readouterr().out


@on_posix
@pytest.mark.usefixtures("ctrl_c_as_in_a_program")
def test_ctrl_c_while_work_is_handed_out_is_not_lost(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Pool(ProcessPoolExecutor):
        pressed = False

        def submit(self, *args: Any, **kwargs: Any) -> Any:
            if not Pool.pressed:
                Pool.pressed = True
                press_ctrl_c_in_a_callback()
            return super().submit(*args, **kwargs)

    monkeypatch.setattr(command, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(command, "_LOT", 1)
    assert command.main(["swarm", "--scenario", "fifths", "--seeds", "100", "--jobs", "2"]) == 130
    assert "until interrupted" in capsys.readouterr().out


@on_posix
@pytest.mark.usefixtures("ctrl_c_as_in_a_program")
def test_a_second_ctrl_c_ends_a_run_that_does_not_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def endless(seed: int) -> Pair:
        while True:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setitem(SCENARIOS, "fifths", endless)
    assert command.main(["swarm", "--scenario", "fifths", "--seeds", "30"]) == 130
    assert "0 until interrupted" in capsys.readouterr().out


def test_who_has_read_enough_of_it_may_go() -> None:
    with running("--scenario", "bulk", "--seed", "1") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("  0.000000  a  > S")
        process.stdout.close()
        err = process.stderr.read()
        assert (process.wait(timeout=60), err) == (1, "")


@pytest.mark.parametrize("wrong", [["--seeds", "0"], ["--scenario", "sunshine"], ["--jobs", "two"]])
def test_what_makes_no_sense_is_refused(wrong: list[str]) -> None:
    output = swarm(*wrong)
    assert output.returncode == 2
    assert wrong[0] in output.stderr
