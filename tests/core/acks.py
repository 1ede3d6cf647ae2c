"""Acknowledgments put to a congestion control, without a sender."""

from __future__ import annotations

from typing import Any

from rudp.core.congestion import AckSample, CongestionControl


def heard(cc: CongestionControl, acked: int, now: float = 1.0, **said: Any) -> AckSample:
    """An ACK of `acked` new bytes arrives; cwnd had been used up, unless told otherwise."""
    sample = AckSample()
    sample.now = now
    sample.acked = acked
    sample.progress = True
    sample.cwnd_limited = True
    for name, value in said.items():
        setattr(sample, name, value)
    cc.on_ack(sample)
    return sample
