"""The fuzzers' corpus, played through what they fuzz; Atheris is not needed for that."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rudp.engine import Engine
from tests.fuzz import fuzz_endpoint, guided

INPUTS = [
    pytest.param(harness, path, id=f"{harness}-{path.name}")
    for harness in guided.HARNESSES
    for path in sorted((guided.CORPUS / harness).iterdir())
]


@pytest.mark.parametrize(("harness", "path"), INPUTS)
def test_an_input_of_the_corpus_breaks_no_promise(harness: str, path: Path) -> None:
    importlib.import_module(f"tests.fuzz.fuzz_{harness}").test_one_input(path.read_bytes())


def test_the_corpus_has_some_dozens_of_small_inputs_for_each() -> None:
    for harness in guided.HARNESSES:
        sizes = [path.stat().st_size for path in (guided.CORPUS / harness).iterdir()]
        assert 20 <= len(sizes) <= 100
        assert max(sizes) <= guided.LONGEST


def test_the_endpoints_fuzzer_sees_an_exception_that_nobody_waits_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def broken(reader: Any, writer: Any) -> None:
        await reader.readexactly(6)
        writer.write(b"before")
        raise ZeroDivisionError

    monkeypatch.setattr(fuzz_endpoint, "_echo", broken)
    monkeypatch.setattr(fuzz_endpoint, "_ask", _nothing)
    with pytest.raises(AssertionError, match="the loop was told"):
        fuzz_endpoint.test_one_input((guided.CORPUS / "endpoint" / "data").read_bytes())


def test_the_endpoints_fuzzer_sees_that_the_honest_client_is_not_served() -> None:
    class Deaf(fuzz_endpoint.Input):
        @property
        def over(self) -> bool:
            engine.datagrams.close()
            return True

    engine: Engine
    original = fuzz_endpoint._Server.__init__

    def spied(self: fuzz_endpoint._Server, endpoint: Any) -> None:
        nonlocal engine
        original(self, endpoint)
        engine = self.engine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fuzz_endpoint, "Input", Deaf)
        patch.setattr(fuzz_endpoint._Server, "__init__", spied)
        with pytest.raises(TimeoutError):
            fuzz_endpoint.test_one_input(b"")


async def _nothing(*_: object) -> None:
    pass


def test_without_atheris_the_command_says_what_is_missing() -> None:
    program = (
        "import sys; sys.modules['atheris'] = None; from tests.fuzz import guided; guided.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "codec"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Atheris is not installed.")
