"""Acknowledgments put to a congestion control, without a sender."""

from __future__ import annotations

from typing import Any

from rudp.core.congestion import AckSample, CongestionControl


def heard(cc: CongestionControl, acked: int, now: float = 1.0, **said: Any) -> AckSample:
    """An ACK of `acked` new bytes arrives; cwnd had been used up, unless told otherwise."""
    sample = AckSample()
    sample.delivered = 1  # and nothing is in flight: each ACK ends a round trip
    if not said.get("cwnd_limited", True):
        sample.delivered = 2
    sample.now = now
    sample.acked = acked
    sample.progress = True
    sample.cwnd_limited = True
    for name, value in said.items():
        setattr(sample, name, value)
    cc.on_ack(sample)
    return sample
