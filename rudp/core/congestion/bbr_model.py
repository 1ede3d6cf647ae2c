"""What BBR knows of the path: the model half of BBRv3 (draft-ietf-ccwg-bbr section 5.5).

    max_bw              how fast the path delivers: the maximum over two cycles of probing
    min_rtt             how long it takes when nothing queues: the minimum over ten seconds
    extra_acked         how bursty its ACKs are
    inflight_longterm   how much it holds before it loses too much (set by probing)
    bw_shortterm,       what a loss outside of probing says for the moment
    inflight_shortterm

Here is what is measured, and how losses move the bounds; the states that make the measurements
happen are in `bbr`. Names are the draft's, without its BBR prefix; the sections quoted are those of
the draft's headings. The draft hears of each packet that is lost, and we of the bytes that
were marked lost with each ACK: HandleLostPacket() is called once for an ACK, for all of them as if
they were one packet, with the tx_in_flight and the losses of the newest of them.

Deviation: background loss. The draft takes every loss for a sign of congestion, so that 2 % of it
that have nothing to do with us (radio, a faulty line) end every probe, and the rate sinks to a
third. What is lost while the round-trip time says that no queue stands does not depend on our rate;
its share is measured, and only what is lost beyond that counts, with a margin of two standard
deviations, since small flights lose by chance. It is limited to 5 %: a policer, or a buffer too
short to be seen in the delay, is answered at least from there on. Without such loss all of this is
the draft's.
"""

from __future__ import annotations

import math
from typing import Final

from rudp.core.congestion.base import AckSample, CongestionControl
from rudp.core.subclassing import mypyc_attr

# Section 2.7 to 2.14, the constants.
LOSS_THRESH: Final = 0.02
BETA: Final = 0.7
HEADROOM: Final = 0.15
MIN_RTT_FILTER_LEN: Final = 10.0
PROBE_RTT_INTERVAL: Final = 5.0
EXTRA_ACKED_FILTER_LEN: Final = 10  # rounds
STARTUP_FULL_LOSS_COUNT: Final = 6
STARTUP_PACING_GAIN: Final = 2.77
PACING_MARGIN: Final = 0.99
MAX_QUANTUM: Final = 65536.0
MIN_PIPE_SEGMENTS: Final = 4

# Background loss.
MAX_BACKGROUND_LOSS: Final = 0.05
CALM_FACTOR: Final = 1.125  # up to min_rtt times this, and
CALM_MARGIN: Final = 0.004  # this many seconds for coarse timers, no queue stands
CALM_MEMORY: Final = 0.95  # what a round trip leaves of the measurements before
CALM_LEAST: Final = 50  # segments that make a measurement

# The states (section 5.1). The order is that of the tables of gains in `bbr`.
STARTUP: Final = 0
DRAIN: Final = 1
PROBE_DOWN: Final = 2
PROBE_CRUISE: Final = 3
PROBE_REFILL: Final = 4
PROBE_UP: Final = 5
PROBE_RTT: Final = 6


@mypyc_attr(allow_interpreted_subclasses=True)
class PathModel(CongestionControl):
    """The measured state of BBR, and what each ACK changes of it."""

    __slots__ = (
        "_bubble", "_bubble_start", "_bw_before", "_bw_cycle", "_calm", "_calm_lost", "_calm_sent",
        "_extra_before", "_extra_delivered", "_extra_interval_start", "_extra_now", "_extra_round",
        "app_limited", "background_loss", "bw", "bw_latest", "bw_shortterm", "extra_acked",
        "full_bw", "full_bw_count", "full_bw_now", "full_bw_reached", "inflight_latest",
        "inflight_longterm", "inflight_shortterm", "initial_cwnd", "is_loss_in_round",
        "loss_events_in_round", "loss_round_delivered", "loss_round_start", "lost_in_round",
        "marked_in_round", "max_bw", "min_pipe_cwnd", "min_rtt", "min_rtt_stamp",
        "next_round_delivered", "probe_rtt_expired", "probe_rtt_min_delay", "probe_rtt_min_stamp",
        "round_count", "round_start", "rounds_since_probe_up", "state",
    )

    def __init__(self, mss: int, initial_window: int) -> None:
        super().__init__(mss, initial_window)
        self.state = STARTUP
        self.initial_cwnd = self.cwnd
        self.min_pipe_cwnd = MIN_PIPE_SEGMENTS * mss
        # Rounds, counted by what was delivered ("packet-timed").
        self.round_count = 0
        self.round_start = False
        self.next_round_delivered = 0
        self.rounds_since_probe_up = 0
        # Bandwidth, bytes per second.
        self.bw = 0.0
        self.max_bw = 0.0
        self._bw_cycle = 0.0  # the maximum in this cycle of ProbeBW
        self._bw_before = 0.0  # and in the one before
        self._bubble = -1  # what was sent until so much was delivered says nothing of the path
        self._bubble_start = 0  # what was delivered when the last ProbeRTT began
        self.app_limited = False  # RS.is_app_limited, or sent into that bubble
        # Round-trip time.
        self.min_rtt = math.inf
        self.min_rtt_stamp = 0.0
        self.probe_rtt_min_delay = math.inf
        self.probe_rtt_min_stamp = 0.0
        self.probe_rtt_expired = False
        # Aggregation.
        self.extra_acked = 0
        self._extra_interval_start = 0.0
        self._extra_delivered = 0
        self._extra_now = 0  # the maximum in this half of the window
        self._extra_before = 0  # and in the half before
        self._extra_round = 0  # round_count when this half began
        # Is the pipe full?
        self.full_bw_reached = False
        self.full_bw_now = False
        self.full_bw = 0.0
        self.full_bw_count = 0
        # Latest delivery and loss.
        self.bw_latest = 0.0
        self.inflight_latest = 0
        self.loss_round_delivered = 0
        self.loss_round_start = False
        self.is_loss_in_round = False
        self.loss_events_in_round = 0
        self.lost_in_round = 0  # bytes
        self.marked_in_round = False  # by CE
        # Loss that has nothing to do with us.
        self.background_loss = 0.0
        self._calm = False
        self._calm_sent = 0.0
        self._calm_lost = 0.0
        # Bounds.
        self.bw_shortterm = math.inf
        self.inflight_shortterm = math.inf
        self.inflight_longterm: float = math.inf

    # -- rounds and bandwidth --------------------------------------------------------------------

    def start_round(self, delivered: int) -> None:
        self.next_round_delivered = delivered

    def update_latest_delivery_signals(self, sample: AckSample) -> None:
        self.loss_round_start = False
        if sample.delivery_rate > self.bw_latest:
            self.bw_latest = sample.delivery_rate
        volume = sample.delivered - sample.prior_delivered
        if volume > self.inflight_latest:
            self.inflight_latest = volume
        if sample.prior_delivered >= self.loss_round_delivered:
            self.loss_round_delivered = sample.delivered
            self.loss_round_start = True

    def update_max_bw(self, sample: AckSample) -> None:
        # UpdateRound()
        if sample.prior_delivered >= self.next_round_delivered:
            self.next_round_delivered = sample.delivered
            self.round_count += 1
            self.rounds_since_probe_up += 1
            self.round_start = True
        else:
            self.round_start = False
        # What was limited by the application tells of the path only if it is faster still.
        rate = sample.delivery_rate
        if rate > self._bw_cycle and (rate >= self.max_bw or not self.app_limited):
            self._bw_cycle = rate
            if rate > self.max_bw:
                self.max_bw = rate

    def advance_max_bw_filter(self) -> None:
        """A cycle of ProbeBW has ended: forget the one before (MaxBwFilterLen = 2)."""
        if self._bw_cycle > 0.0:
            self._bw_before = self._bw_cycle
            self._bw_cycle = 0.0
            self.max_bw = self._bw_before

    def check_full_bw_reached(self, sample: AckSample) -> None:
        """Section 5.3.1.2: three rounds of trying that brought less than a quarter more."""
        if self.full_bw_now or not self.round_start or self.app_limited:
            return
        if sample.delivery_rate >= self.full_bw * 1.25:
            self.reset_full_bw()
            self.full_bw = sample.delivery_rate
            return
        self.full_bw_count += 1
        self.full_bw_now = self.full_bw_count >= 3
        if self.full_bw_now:
            self.full_bw_reached = True

    def reset_full_bw(self) -> None:
        self.full_bw = 0.0
        self.full_bw_count = 0
        self.full_bw_now = False

    # -- aggregation -----------------------------------------------------------------------------

    def update_ack_aggregation(self, sample: AckSample) -> None:
        """How much more was acknowledged in a burst than `bw` explains."""
        now = sample.now
        expected = self.bw * (now - self._extra_interval_start)
        if self._extra_delivered <= expected:
            self._extra_delivered = 0
            self._extra_interval_start = now
            expected = 0.0
        self._extra_delivered += sample.acked
        extra = int(self._extra_delivered - expected)
        if extra > self.cwnd:
            extra = self.cwnd
        # Deviation: instead of a maximum over exactly ExtraAckedFilterLen rounds, that over the
        # present half of so many and the whole half before, as Linux has it.
        half = EXTRA_ACKED_FILTER_LEN // 2 if self.full_bw_reached else 1
        if self.round_start and self.round_count - self._extra_round >= half:
            self._extra_round = self.round_count
            self._extra_before = self._extra_now if self.full_bw_reached else 0
            self._extra_now = 0
        if extra > self._extra_now:
            self._extra_now = extra
        before = self._extra_before
        self.extra_acked = self._extra_now if self._extra_now > before else before

    # -- round-trip time -------------------------------------------------------------------------

    def update_min_rtt(self, sample: AckSample) -> None:
        """UpdateMinRTT(), section 5.3.4.3."""
        now, rtt = sample.now, sample.rtt
        self.probe_rtt_expired = now > self.probe_rtt_min_stamp + PROBE_RTT_INTERVAL
        if rtt >= 0.0 and (rtt < self.probe_rtt_min_delay or self.probe_rtt_expired):
            self.probe_rtt_min_delay = rtt
            self.probe_rtt_min_stamp = now
        expired = now > self.min_rtt_stamp + MIN_RTT_FILTER_LEN
        if expired or self.probe_rtt_min_delay < self.min_rtt:
            self.min_rtt = self.probe_rtt_min_delay
            self.min_rtt_stamp = self.probe_rtt_min_stamp

    # -- losses ----------------------------------------------------------------------------------

    def update_background_loss(self, sample: AckSample, lost: int) -> None:
        """`lost` bytes were found to be lost since the ACK before."""
        if sample.rtt >= 0.0:
            # An ACK that reveals a loss often measures nothing: the last measurement holds.
            # The least round trip ever, not BBR.min_rtt: beside a flow that never lets the queue
            # drain, that has a queue in it.
            self._calm = sample.rtt <= sample.min_rtt * CALM_FACTOR + CALM_MARGIN
        if self._calm and self.state != PROBE_UP:
            self._calm_sent += sample.acked + lost
            self._calm_lost += lost
        if self.round_start:
            if self._calm_sent > CALM_LEAST * self.mss:
                self.background_loss = min(self._calm_lost / self._calm_sent, MAX_BACKGROUND_LOSS)
            self._calm_sent *= CALM_MEMORY
            self._calm_lost *= CALM_MEMORY

    def _explained(self, sent: float) -> float:
        """How much of `sent` bytes may be lost with nobody to blame for it."""
        expected = self.background_loss * sent
        return expected + 2 * math.sqrt(expected * self.mss) if expected else 0.0

    def note_loss(self, delivered: int) -> bool:
        """NoteLoss(); True for the first of this round."""
        first = not self.is_loss_in_round
        if first:
            self.loss_round_delivered = delivered
        self.is_loss_in_round = True
        return first

    def adapt_lower_bounds(self) -> None:
        """A round outside of probing saw a loss: slow down to what was delivered in it."""
        if self.bw_shortterm == math.inf:
            self.bw_shortterm = self.max_bw
        if self.inflight_shortterm == math.inf:
            self.inflight_shortterm = float(self.cwnd)
        self.bw_shortterm = max(self.bw_latest, BETA * self.bw_shortterm)
        self.inflight_shortterm = max(self.inflight_latest, BETA * self.inflight_shortterm)

    def reset_short_term_model(self) -> None:
        self.bw_shortterm = math.inf
        self.inflight_shortterm = math.inf

    def reset_congestion_signals(self) -> None:
        self.is_loss_in_round = False
        self.bw_latest = 0.0
        self.inflight_latest = 0

    def is_inflight_too_high(self, lost: int, tx_in_flight: int) -> bool:
        """`lost` bytes since something was sent that made `tx_in_flight` of them."""
        return lost > tx_in_flight * LOSS_THRESH and lost > (
            tx_in_flight * LOSS_THRESH + self._explained(tx_in_flight)
        )

    def was_loss_unexplained(self) -> bool:
        """At the end of a round: its losses were more than there always are, or it had a mark."""
        sent = self.inflight_latest + self.lost_in_round
        return self.marked_in_round or self.lost_in_round > self._explained(sent)

    def inflight_at_loss(self, lost: int, tx_in_flight: int, size: int) -> float:
        """At what volume in flight `size` bytes of losses crossed LossThresh (InflightAtLoss())."""
        inflight_prev = max(tx_in_flight - size, 0)
        lost_prev = max(lost - size, 0)
        thresh = LOSS_THRESH + self.background_loss
        lost_prefix = (thresh * inflight_prev - lost_prev) / (1 - thresh)
        return inflight_prev + lost_prefix

    # -- volumes ---------------------------------------------------------------------------------

    def bdp_multiple(self, bw: float, gain: float) -> float:
        if self.min_rtt == math.inf:
            return float(self.initial_cwnd)
        return gain * bw * self.min_rtt

    def quantization_budget(self, inflight_cap: float) -> float:
        """No less than what keeps senders and receivers busy that work in bursts."""
        # SetSendQuantum(), and UpdateOffloadBudget() for TCP: three quanta.
        quantum = self.pacing_rate * 0.001
        if quantum > MAX_QUANTUM:
            quantum = MAX_QUANTUM
        if quantum < 2 * self.mss:
            quantum = 2.0 * self.mss
        # MinPipeCwnd, four segments, is less than three quanta of two.
        if inflight_cap < 3 * quantum:
            inflight_cap = 3 * quantum
        if self.state == PROBE_UP:
            inflight_cap += 2 * self.mss
        return inflight_cap

    def inflight(self, bw: float, gain: float) -> float:
        return self.quantization_budget(self.bdp_multiple(bw, gain))

    def inflight_with_headroom(self) -> float:
        """Leave some of the path to others."""
        if self.inflight_longterm == math.inf:
            return math.inf
        headroom = max(self.mss, HEADROOM * self.inflight_longterm)
        return max(self.inflight_longterm - headroom, self.min_pipe_cwnd)

    def target_inflight(self) -> float:
        return min(self.bdp_multiple(self.bw, 1.0), self.cwnd)

    def on_mss(self, mss: int) -> None:
        super().on_mss(mss)
        self.min_pipe_cwnd = MIN_PIPE_SEGMENTS * mss
