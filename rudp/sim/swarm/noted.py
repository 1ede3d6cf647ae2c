"""rudp's congestion control as it is, but for a note of what cannot be seen from outside: that a
recovery was undone."""

from __future__ import annotations

from typing import Final

from rudp.core.congestion import Bbr, CongestionControl, Cubic, Ledbat, Reno


class NotedBbr(Bbr):
    undone = False

    def on_undo(self, now: float) -> None:
        super().on_undo(now)
        self.undone = True


class NotedCubic(Cubic):
    undone = False

    def on_undo(self, now: float) -> None:
        super().on_undo(now)
        self.undone = True


class NotedReno(Reno):
    undone = False

    def on_undo(self, now: float) -> None:
        super().on_undo(now)
        self.undone = True


class NotedLedbat(Ledbat):
    undone = False

    def on_undo(self, now: float) -> None:
        super().on_undo(now)
        self.undone = True


NOTED: Final[dict[str, type[CongestionControl]]] = {
    "bbr": NotedBbr,
    "cubic": NotedCubic,
    "reno": NotedReno,
    "ledbat++": NotedLedbat,
}
"""By the names that `Config(congestion=...)` knows the others by."""
