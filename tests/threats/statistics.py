"""Is it chance? Two tests with fixed seeds, so that they say the same on every run."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

CRITICAL_255 = 330.5
"""Chi-square with 255 degrees of freedom stays below this with a probability of 0.999."""


def chi_square(values: Iterable[int], bins: int) -> float:
    """Of numbers from 0 to `bins` - 1, each of which is as likely."""
    counts = Counter(values)
    expected = counts.total() / bins
    return sum((counts[each] - expected) ** 2 for each in range(bins)) / expected


def correlation(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Pearson's r."""
    count = len(xs)
    mean_x, mean_y = sum(xs) / count, sum(ys) / count
    both = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    return both / math.sqrt(
        sum((x - mean_x) ** 2 for x in xs) * sum((y - mean_y) ** 2 for y in ys)
    )
