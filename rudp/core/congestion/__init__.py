"""Congestion control: how much may be in flight. Never which bytes: that is loss recovery."""

from __future__ import annotations

from typing import Final

from rudp.core.congestion.base import (
    INFINITE_SSTHRESH,
    AckSample,
    CongestionControl,
    initial_cwnd,
)
from rudp.core.congestion.bbr import Bbr
from rudp.core.congestion.cubic import Cubic
from rudp.core.congestion.ledbat import Ledbat
from rudp.core.congestion.reno import Reno
from rudp.core.congestion.window import WindowBased

__all__ = [
    "ALGORITHMS",
    "INFINITE_SSTHRESH",
    "AckSample",
    "Bbr",
    "CongestionControl",
    "Cubic",
    "Ledbat",
    "Reno",
    "WindowBased",
    "initial_cwnd",
]

ALGORITHMS: Final[dict[str, type[CongestionControl]]] = {
    "reno": Reno,
    "cubic": Cubic,
    "bbr": Bbr,
    "ledbat++": Ledbat,
}
"""The algorithms that `Config(congestion=...)` knows by name."""
