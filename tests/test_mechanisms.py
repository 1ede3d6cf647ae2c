"""The table of mechanisms has no empty cell, and what it points at is there."""

from __future__ import annotations

import pytest

from tests.mechanisms import MECHANISMS, Mechanism
from tests.test_rfc9293 import definitions

ROWS = [pytest.param(row, id=row.name) for row in MECHANISMS]


def test_no_mechanism_comes_twice() -> None:
    names = [row.name for row in MECHANISMS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("row", ROWS)
def test_the_code_of_a_mechanism_exists(row: Mechanism) -> None:
    path, name = row.code.split(": ")
    assert name in definitions(f"rudp/core/{path}")


@pytest.mark.parametrize("kind", ["alone", "wire", "simulator"])
@pytest.mark.parametrize("row", ROWS)
def test_a_mechanism_has_its_three_tests(row: Mechanism, kind: str) -> None:
    directory = {"alone": "core", "wire": "wire", "simulator": "sim"}[kind]
    path, name = getattr(row, kind).split("::")
    assert f"test_{name}" in definitions(f"tests/{directory}/test_{path}.py")
