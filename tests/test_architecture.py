"""The rules that the layout rests on, checked on the source itself.

Imports are read with `ast`, so a rule holds for what a function or TYPE_CHECKING imports too.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import rudp

ROOT = Path(__file__).parent.parent
PROGRAMS = ("rudp", "examples", "benchmarks", "tests")
SOURCES = sorted(path for top in PROGRAMS for path in (ROOT / top).rglob("*.py"))
PACKAGE = [path for path in SOURCES if path.is_relative_to(ROOT / "rudp")]
CORE = [path for path in PACKAGE if path.is_relative_to(ROOT / "rudp" / "core")]

# The core is given bytes, calls and the time; it does no I/O and has no clock and no randomness.
KEPT_OUT_OF_CORE = {"asyncio", "os", "random", "secrets", "select", "selectors", "socket", "time"}
# The extras, what the type checker and mypyc read and no one imports at run time, and what a
# plug-in plugs into; nothing else comes from outside the standard library.
OPTIONAL = {"rich", "uvloop", "mypy_extensions", "pytest"}

MAX_LINES = 500
# Longer files, each with the reason why it is better in one piece.
ARGUED_FOR: dict[str, str] = {}


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """The line and the absolute dotted name of everything that a file imports.

    `from a import b` counts as both `a` and `a.b`: `b` may be a module.
    """
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*above, *filter(None, [node.module])))
            yield node.lineno, module
            for alias in node.names:
                yield node.lineno, f"{module}.{alias.name}"


def only_a_marker(path: Path) -> bool:
    """Whether a file does nothing but make a directory of tests a package."""
    return path.name == "__init__.py" and not path.read_bytes().strip()


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


@pytest.mark.parametrize("path", CORE, ids=name)
def test_core_imports_no_io_no_clock_no_randomness_and_nothing_above_it(path: Path) -> None:
    wrong = [
        f"line {line}: {module}"
        for line, module in imports(path)
        if module.partition(".")[0] in KEPT_OUT_OF_CORE
        # `rudp` itself is what `from rudp.core import x` passes through, never a name of its own.
        or (within(module, "rudp") and not within(module, "rudp.core"))
    ]
    assert not wrong


@pytest.mark.parametrize("path", PACKAGE, ids=name)
def test_nothing_in_the_package_imports_the_simulation_or_the_tests(path: Path) -> None:
    wrong = [
        f"line {line}: {module}"
        for line, module in imports(path)
        if (within(module, "rudp.sim") and not path.is_relative_to(ROOT / "rudp" / "sim"))
        or module.partition(".")[0] in {"tests", "examples", "benchmarks"}
    ]
    assert not wrong


@pytest.mark.parametrize("path", PACKAGE, ids=name)
def test_no_timer_depends_on_the_wall_clock_which_can_be_set(path: Path) -> None:
    wall = {("time", "time"), ("time", "time_ns"), ("datetime", "now"), ("datetime", "today")}
    wrong = [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and (ast.unparse(node.value), node.attr) in wall
    ]
    wrong += [
        f"line {line}: {module}"
        for line, module in imports(path)
        if within(module, "datetime") or module in ("time.time", "time.time_ns")
    ]
    assert not wrong


@pytest.mark.parametrize("path", PACKAGE, ids=name)
def test_the_package_needs_nothing_but_the_standard_library(path: Path) -> None:
    known = sys.stdlib_module_names | OPTIONAL | {"rudp"}
    wrong = [
        f"line {line}: {module}"
        for line, module in imports(path)
        if module.partition(".")[0] not in known
    ]
    assert not wrong


@pytest.mark.parametrize("path", [path for path in SOURCES if not only_a_marker(path)], ids=name)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_no_file_is_longer_than_500_lines_unless_it_was_argued_for() -> None:
    lengths = {name(path): len(path.read_bytes().splitlines()) for path in SOURCES}
    long = {path for path, length in lengths.items() if length > MAX_LINES}
    assert long == set(ARGUED_FOR), "too long, or argued for and no longer long"


def test_the_project_declares_no_run_time_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["dependencies"] == []


def test_the_version_has_an_entry_in_the_changelog() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## {re.escape(rudp.__version__)}\b", changelog, re.MULTILINE)
