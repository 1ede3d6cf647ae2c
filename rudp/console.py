"""What a command prints through: with rich where it is installed, as plain text where it is not.

Both say the same words in the same order, so that nothing depends on which one a user has. Text is
a sequence of spans, each a string or a (string, style) pair; the plain console leaves styles out.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import rich.console

Span = str | tuple[str, str]
Advance = Callable[[int], None]  # called with how much has been done so far

_BAR_WIDTH = 30
_REFRESH = 0.1  # seconds between two drawings of a progress bar


def open_console() -> Console:
    """The console for standard output: rich if it can be imported."""
    try:
        return RichConsole()
    except ImportError:
        return Console()


class Console:
    """Plain text on standard output."""

    def __init__(self) -> None:
        self.unicode = _can_draw(sys.stdout.encoding)

    def say(self, *spans: Span) -> None:
        """Print one line."""
        print("".join(span if isinstance(span, str) else span[0] for span in spans), flush=True)

    def heading(self, text: str) -> None:
        """Print the title of what follows, after an empty line."""
        self.say()
        self.say((text, "bold"))

    def table(self, title: str, rows: Sequence[tuple[str, str]]) -> None:
        """Print names and values in two columns."""
        self.heading(title)
        width = max(len(name) for name, _ in rows)
        for name, value in rows:
            self.say(f"  {name:<{width}}  {value}")

    @contextlib.contextmanager
    def progress(
        self, label: str, total: int, amount: Callable[[float], str] | None = None
    ) -> Iterator[Advance]:
        """A bar for `total` bytes; yields a function to call with the bytes done so far.

        Of something else than bytes, `amount` says how much it is.

        On a terminal the bar moves; elsewhere one line is printed when it is over.
        """
        started = time.monotonic()
        drawn = 0.0
        done = 0
        moving = sys.stdout.isatty()

        def draw(end: str) -> None:
            now = time.monotonic()
            filled = _BAR_WIDTH * done // total
            bar = "#" * filled + "." * (_BAR_WIDTH - filled)
            rate = (amount or size)(done / max(now - started, 1e-9))
            print(f"{label} [{bar}] {100 * done // total:3d} %  {rate}/s", end=end, flush=True)

        def advance(now_done: int) -> None:
            nonlocal done, drawn
            done = now_done
            if moving and time.monotonic() - drawn >= _REFRESH:
                drawn = time.monotonic()
                draw("   \r")

        try:
            yield advance
        finally:
            draw("   \n" if moving else "\n")


class RichConsole(Console):
    """Colours, and a bar that moves, by rich. Raises ImportError where rich is not installed."""

    def __init__(self) -> None:
        super().__init__()
        import rich.console
        import rich.progress
        import rich.table

        # No highlighting: the numbers are coloured where a style says so and nowhere else.
        self._rich: rich.console.Console = rich.console.Console(highlight=False)

    def say(self, *spans: Span) -> None:
        from rich.text import Text

        # As Text, brackets are brackets. With soft_wrap a line stays one line, however long.
        self._rich.print(Text.assemble(*spans), soft_wrap=True)

    def table(self, title: str, rows: Sequence[tuple[str, str]]) -> None:
        from rich.table import Table
        from rich.text import Text

        self.heading(title)
        table = Table(show_header=False)
        table.add_column(style="cyan", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in rows:
            table.add_row(Text(name), Text(value))
        self._rich.print(table)

    @contextlib.contextmanager
    def progress(
        self, label: str, total: int, amount: Callable[[float], str] | None = None
    ) -> Iterator[Advance]:
        from rich import progress

        done_of = progress.DownloadColumn(binary_units=True) if amount is None else None
        columns = (
            progress.TextColumn("{task.description}"),
            progress.BarColumn(bar_width=_BAR_WIDTH),
            progress.TaskProgressColumn(),
            done_of or progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[rate]}"),
        )
        started = time.monotonic()
        with progress.Progress(*columns, console=self._rich) as bar:
            task = bar.add_task(label, total=total, rate="")

            def advance(done: int) -> None:
                rate = (amount or size)(done / max(time.monotonic() - started, 1e-9))
                bar.update(task, completed=done, rate=f"{rate}/s")

            yield advance


def size(amount: float) -> str:
    """A number of bytes for people: `1.5 MiB`."""
    if amount == 1:
        return "1 byte"
    for unit in ("bytes", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.{0 if amount == int(amount) else 1}f} {unit}"
        amount /= 1024
    return f"{amount:.{0 if amount == int(amount) else 1}f} GiB"


def _can_draw(encoding: str | None) -> bool:
    """Whether lines and arrows can be printed in this encoding."""
    try:
        "─▶◀✓✗".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
