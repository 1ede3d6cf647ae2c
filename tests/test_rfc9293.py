"""The table of RFC 9293's requirements is complete, and what it points at is there."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.rfc9293 import IDENTIFIERS, REQUIREMENTS, Requirement

ROOT = Path(__file__).parent.parent


@cache
def definitions(path: str) -> frozenset[str]:
    """What a file defines at its top level and in its classes: functions, classes and names."""
    found: set[str] = set()
    for node in ast.parse((ROOT / path).read_text()).body:
        found |= _names(node)
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                found |= {f"{node.name}.{name}" for name in _names(inner)}
    return frozenset(found)


def _names(node: ast.stmt) -> set[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return {name}
        case ast.AnnAssign(target=ast.Name(id=name)):
            return {name}
        case ast.Assign(targets=targets):
            return {target.id for target in targets if isinstance(target, ast.Name)}
    return set()


def rows(column: str) -> list[object]:
    """The rows that have something in this column."""
    return [pytest.param(row, id=row.id) for row in REQUIREMENTS if getattr(row, column)]


def test_no_identifier_of_the_rfc_is_missing_and_none_comes_twice() -> None:
    assert len(IDENTIFIERS) == 119
    assert sorted(row.id for row in REQUIREMENTS) == sorted(IDENTIFIERS)


@pytest.mark.parametrize("row", [pytest.param(row, id=row.id) for row in REQUIREMENTS])
def test_a_requirement_has_code_and_a_test_or_a_reason(row: Requirement) -> None:
    assert row.says.endswith(".")
    assert (row.code and row.test) or row.differs, "neither code and a test, nor a reason"


@pytest.mark.parametrize("row", rows("code"))
def test_the_code_of_a_requirement_exists(row: Requirement) -> None:
    path, name = row.code.split(": ")
    assert name in definitions(path)


@pytest.mark.parametrize("row", rows("test"))
def test_the_test_of_a_requirement_exists(row: Requirement) -> None:
    path, name = row.test.split("::", 1)
    assert name.replace("::", ".") in definitions(path)
