"""The tail loss probe: one segment that asks for an ACK, long before the RTO. RFC 8985 section 7.

If the last segments of a flight are lost, nothing arrives that could tell. So when no ACK comes for
two round trips, one segment goes out: new data, or the last segment once more. Its ACK brings SACKs
that RACK reads; or it says that all has arrived, and then, if the probe was a retransmission,
nobody knows whether it repaired a loss. A DSACK says that it did not. If none comes, there was a
loss, and congestion control has to hear of it (section 7.4).

There is never more than one probe out, and none in recovery, where the retransmission timer keeps
watch. It takes SACK: without, its ACK could not be read.
"""

from __future__ import annotations

import enum
from typing import Final

MIN_PTO: Final = 0.010
"""Deviation: a probe waits for 10 ms at least, as in the first draft of TLP. Event loops are late
by milliseconds, ours and the peer's; on a path faster than that an early probe is needless."""

MAX_ACK_DELAY: Final = 0.050
"""TLP.max_ack_delay in seconds: rudp acknowledges after 40 ms, and a loop may be late. RFC 9293
allows 500 ms, and a peer that uses them gets a probe that it did not need."""


class Verdict(enum.Enum):
    """What an ACK said about the probe."""

    OPEN = "open"  # nothing yet, or none is out
    NEEDLESS = "needless"  # all had arrived, and the probe was a duplicate
    REPAIRED = "repaired"  # the probe has made good a loss


class LossProbe:
    """The probe that is out, if any."""

    __slots__ = ("end", "retransmitted")

    def __init__(self) -> None:
        self.end = -1  # TLP.end_seq; -1: none is out
        self.retransmitted = False  # TLP.is_retrans

    def on_sent(self, nxt: int, retransmitted: bool) -> None:
        """A probe went out; SND.NXT is `nxt` now."""
        self.end = nxt
        self.retransmitted = retransmitted

    def cancel(self) -> None:
        """Recovery takes over."""
        self.end = -1

    def on_ack(self, ack: int, dsack: tuple[int, int] | None, plain: bool) -> Verdict:
        """TLP_process_ack (section 7.4.2). `plain`: a duplicate ACK without any SACK."""
        if self.end < 0 or ack < self.end:
            return Verdict.OPEN
        if not self.retransmitted:
            self.end = -1  # new data has arrived: RACK knows of the rest
        elif dsack is not None and dsack[1] == self.end:
            self.end = -1
            return Verdict.NEEDLESS  # case 1: "the original and the probe arrived"
        elif ack > self.end:
            self.end = -1
            return Verdict.REPAIRED  # case 3: no DSACK came before data that was sent later
        elif plain:
            self.end = -1
            return Verdict.NEEDLESS  # case 2: two ACKs, so two segments
        return Verdict.OPEN


def probe_timeout(srtt: float, alone: bool) -> float:
    """TLP_calc_PTO (section 7.2) in seconds; `alone` if one segment is all that is in flight."""
    if srtt == 0.0:
        return 1.0
    pto = 2 * srtt
    if pto < MIN_PTO:
        pto = MIN_PTO
    # The peer may wait for a second segment before it acknowledges the only one.
    return pto + MAX_ACK_DELAY if alone else pto
