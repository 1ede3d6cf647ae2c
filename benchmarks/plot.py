"""Bar charts as SVG, written by hand: groups of horizontal bars, labelled, on white.

Not here: what the bars mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

COLOURS = ("#9aa5b1", "#5f6b78", "#d1495b", "#edae49", "#00798c", "#7b4b94", "#52a447")
"""Of the series, in the order of their first appearance: dark enough to be told from white, and
apart in brightness as well as in hue."""
WIDTH, LABELS, MARGIN = 900, 300, 20
BAR, GAP, GROUP_GAP = 14, 2, 16
TOP, FOOT = 80, 40
FONT = "font-family='Helvetica, Arial, sans-serif'"

Groups = Mapping[str, Mapping[str, float]]
"""Label -> series -> value."""


def bars(
    title: str, unit: str, groups: Groups, colours: Mapping[str, str] | None = None
) -> str:
    """The chart of `groups`: label -> series -> value, in the order in which they are given.

    `colours`: of the series, if there are other charts that have them too.
    """
    used = dict.fromkeys(name for group in groups.values() for name in group)
    colours = colours or coloured([groups])
    colours = {name: colours[name] for name in colours if name in used}
    top = max((value for group in groups.values() for value in group.values()), default=1.0)
    step = tick_step(top)
    ticks = [step * index for index in range(math.ceil(top / step) + 1)] or [0.0]
    scale = (WIDTH - LABELS - 3 * MARGIN) / ticks[-1]
    bottom = bottom_of(groups)
    return "\n".join(
        [
            f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{bottom + FOOT}'"
            f" viewBox='0 0 {WIDTH} {bottom + FOOT}' {FONT} font-size='12' fill='#222'>",
            "<rect width='100%' height='100%' fill='white'/>",
            f"<text x='{MARGIN}' y='28' font-size='17' font-weight='bold'>{escape(title)}</text>",
            *legend(colours),
            *grid(ticks, scale, bottom, unit),
            *drawn(groups, colours, scale),
            "</svg>\n",
        ]
    )


def coloured(charts: Sequence[Groups]) -> dict[str, str]:
    """A colour for each series, by the order of their first appearance."""
    names = dict.fromkeys(name for groups in charts for group in groups.values() for name in group)
    return {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(names)}


Chart = tuple[str, str, Groups]
"""The arguments of `bars`."""


def column(charts: Sequence[Chart]) -> str:
    """Several charts, each with its own unit and scale, one below the other."""
    out, y = [], 0
    colours = coloured([groups for _, _, groups in charts])
    for title, unit, groups in charts:
        out.append(f"<g transform='translate(0,{y})'>\n{bars(title, unit, groups, colours)}</g>")
        y += bottom_of(groups) + FOOT
    size = f"width='{WIDTH}' height='{y}' viewBox='0 0 {WIDTH} {y}'"
    return "\n".join([f"<svg xmlns='http://www.w3.org/2000/svg' {size}>", *out, "</svg>\n"])


def bottom_of(groups: Groups) -> int:
    return TOP + sum(height_of(group) + GROUP_GAP for group in groups.values())


def tick_step(top: float) -> float:
    """1, 2 or 5 times a power of ten, so that there are five to ten ticks."""
    magnitude = 10.0 ** math.floor(math.log10(top / 5)) if top > 0 else 0.2
    return next(magnitude * k for k in (1, 2, 5, 10) if top / (magnitude * k) <= 10)


def height_of(group: Mapping[str, float]) -> int:
    return len(group) * (BAR + GAP)


def legend(colours: Mapping[str, str]) -> list[str]:
    out, x = [], float(MARGIN)
    for name, colour in colours.items():
        out.append(f"<rect x='{x:.0f}' y='44' width='12' height='12' fill='{colour}'/>")
        out.append(f"<text x='{x + 17:.0f}' y='54'>{escape(name)}</text>")
        x += 40 + 7 * len(name)
    return out


def grid(ticks: list[float], scale: float, bottom: float, unit: str) -> list[str]:
    out = []
    for tick in ticks:
        x = LABELS + MARGIN + tick * scale
        out.append(f"<path d='M{x:.1f} {TOP - 6}V{bottom}' stroke='#ddd'/>")
        label = f"{tick:g}" if tick < ticks[-1] else f"{tick:g} {unit}"
        out.append(f"<text x='{x:.1f}' y='{bottom + 18}' text-anchor='middle'>{label}</text>")
    return out


def drawn(
    groups: Groups, colours: Mapping[str, str], scale: float
) -> list[str]:
    out, y, left = [], TOP, LABELS + MARGIN
    for label, group in groups.items():
        middle = y + height_of(group) / 2 + 4
        out.append(
            f"<text x='{LABELS + MARGIN - 10}' y='{middle:.1f}' text-anchor='end'>"
            f"{escape(label)}</text>"
        )
        for name, value in group.items():
            out.append(
                f"<rect x='{left}' y='{y}' width='{max(1.0, value * scale):.1f}' height='{BAR}'"
                f" fill='{colours[name]}'><title>{escape(name)}</title></rect>"
                f"<text x='{left + value * scale + 4:.1f}' y='{y + 11}' font-size='11'"
                f" stroke='white' stroke-width='3' paint-order='stroke'>{short(value)}</text>"
            )
            y += BAR + GAP
        y += GROUP_GAP
    return out


def short(value: float) -> str:
    """Three digits that count, and no exponent."""
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}"
