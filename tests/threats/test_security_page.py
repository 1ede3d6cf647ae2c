"""The table of docs/security.md has all rows, and the tests that it names exist."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path

import pytest

from tests.test_rfc9293 import definitions

ROOT = Path(__file__).parent.parent.parent
ROW = re.compile(r"^\| (\d+) \|(.*)\|$", re.MULTILINE)
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
ROWS = {
    int(number): [cell.strip() for cell in cells.split(" | ")]
    for number, cells in ROW.findall(PAGE)
}
NOT_YET = (18, 19, 20)


def named(number: int) -> list[str]:
    """The tests that a row names: path::pattern."""
    return re.findall(r"`([^`]*)`", ROWS[number][-1])


def test_every_threat_has_its_row_and_each_row_its_five_cells() -> None:
    assert sorted(ROWS) == list(range(1, 29))
    assert all(len(cells) == 4 for cells in ROWS.values())


@pytest.mark.parametrize("number", [each for each in ROWS if each not in NOT_YET])
def test_a_row_names_tests_and_they_exist(number: int) -> None:
    assert named(number)
    for each in named(number):
        path, pattern = each.split("::")
        assert fnmatch.filter(definitions(f"tests/{path}"), pattern), each


@pytest.mark.parametrize("number", NOT_YET)
def test_what_is_not_there_yet_says_what_that_means(number: int) -> None:
    assert ROWS[number][1].startswith("not yet: ")
    assert not named(number)


@pytest.mark.parametrize("path", sorted(Path(__file__).parent.glob("test_*.py")), ids=str)
def test_a_row_that_names_tests_of_this_directory_names_all_of_them(path: Path) -> None:
    name = path.relative_to(ROOT / "tests").as_posix()
    for test in definitions(f"tests/{name}"):
        if test.startswith("test_threat_"):
            own = [each for each in named(int(test.split("_")[2])) if each.startswith("threats/")]
            assert not own or any(fnmatch.fnmatch(f"{name}::{test}", each) for each in own), test
