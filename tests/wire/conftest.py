"""The script that each test on the wire writes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.wire.scripted import Script


@pytest.fixture
def script() -> Iterator[Script]:
    """A script at whose end nothing may be left that no expectation has spoken of."""
    script = Script()
    yield script
    script.expect_nothing()
