"""BBRv3: send as fast as the path delivers, and probe now and then how fast that is.

draft-ietf-ccwg-bbr, whose names and order of steps this keeps. Its model of the path is in
`bbr_model`; here are the states that probe it, and the window and pacing rate that follow.

    STARTUP -> DRAIN -> DOWN -> CRUISE -> REFILL -> UP -> DOWN ...       and from any of them
                         90 %    100 %     100 %   125 %   of bw         PROBE_RTT, now and then

A loss does not halve anything: outside of probing it bounds rate and volume by what was just
delivered, until the next probe; while probing, more than 2 % of it says how much is too much.

Deviations, each for a reason that lies in our surroundings:

- No randomness comes into the core: the waits between probes are spread by a small generator that
  is seeded with the moment of the first transmission and the segment size.
- MarkConnectionAppLimited() in ProbeRTT would reach into the delivery rate estimator; we remember
  until where that bubble lasts instead, and judge samples by it.
- Discontiguous lost ranges are not told to us; we count the ACKs that reveal losses, as Linux does.
- CE marks, which the draft leaves open, count as losses.
- What a probe sent and lost does not bound what is sent after it, however late the loss is found.
- Loss that does not depend on our rate is told apart from congestion: see `bbr_model`.
"""

from __future__ import annotations

import math
from typing import Final

from rudp.core.congestion.base import AckSample
from rudp.core.congestion.bbr_model import (
    BETA,
    DRAIN,
    PACING_MARGIN,
    PROBE_CRUISE,
    PROBE_DOWN,
    PROBE_REFILL,
    PROBE_RTT,
    PROBE_UP,
    STARTUP,
    STARTUP_FULL_LOSS_COUNT,
    STARTUP_PACING_GAIN,
    PathModel,
)
from rudp.core.subclassing import mypyc_attr

# Section 5.6.1, by state: STARTUP, DRAIN, DOWN, CRUISE, REFILL, UP, PROBE_RTT.
PACING_GAINS: Final[tuple[float, ...]] = (STARTUP_PACING_GAIN, 0.5, 0.9, 1.0, 1.0, 1.25, 1.0)
CWND_GAINS: Final[tuple[float, ...]] = (2.0, 2.0, 2.0, 2.0, 2.0, 2.25, 0.5)
PROBE_RTT_DURATION: Final = 0.2
MAX_DRAIN_ROUNDS: Final = 3
IDLE_LEAST: Final = 0.001
"""Seconds without anything in flight that tell a pause of the application from one of the loop."""

# ack_phase: what the ACKs that come in tell about.
ACKS_INIT: Final = 0
ACKS_REFILLING: Final = 1
ACKS_PROBE_STARTING: Final = 2
ACKS_PROBE_FEEDBACK: Final = 3
ACKS_PROBE_STOPPING: Final = 4

NO_UNDO: Final = -1


@mypyc_attr(allow_interpreted_subclasses=True)
class Bbr(PathModel):
    """BBRv3. It paces, and hardly ever fills queues; made for lossy and for bloated paths."""

    __slots__ = (
        "_in_recovery", "_lost_before_ack", "_probe_end", "_random", "_seen_rtt", "_started",
        "ack_phase", "bw_probe_up_acked", "bw_probe_up_rounds", "bw_probe_wait", "cycle_stamp",
        "drain_start_round", "idle_restart", "is_bw_probe_sample", "prev_probe_precautionary",
        "prev_probe_too_high", "prior_cwnd", "probe_rtt_done_stamp", "probe_rtt_round_done",
        "probe_up_acked_per_inc", "undo_bw_shortterm", "undo_inflight_longterm",
        "undo_inflight_shortterm", "undo_state",
    )

    def __init__(self, mss: int, initial_window: int) -> None:
        super().__init__(mss, initial_window)
        self._started = False
        self._seen_rtt = False
        self._random = mss
        self.idle_restart = False
        self._lost_before_ack = 0  # bytes that timers found lost since the last ACK
        self._in_recovery = False
        self.prior_cwnd = 0
        self.drain_start_round = 0
        # ProbeBW
        self.ack_phase = ACKS_INIT
        self.cycle_stamp = 0.0
        self.bw_probe_wait = 0.0
        self.is_bw_probe_sample = False
        self.bw_probe_up_rounds = 0
        self.bw_probe_up_acked = 0
        self.probe_up_acked_per_inc = math.inf
        self.prev_probe_too_high = False
        self.prev_probe_precautionary = False
        self._probe_end = 0  # what was delivered when the last probe ended
        # ProbeRTT
        self.probe_rtt_done_stamp = 0.0
        self.probe_rtt_round_done = False
        # Undo
        self.undo_state = NO_UNDO
        self.undo_bw_shortterm = 0.0
        self.undo_inflight_shortterm = 0.0
        self.undo_inflight_longterm = 0.0
        # InitPacingRate(): the round-trip time is not known yet, so 1 ms.
        self.pacing_rate = STARTUP_PACING_GAIN * self.cwnd / 0.001

    # -- what the sender tells -------------------------------------------------------------------

    def on_sent(self, size: int, in_flight: int, now: float) -> None:
        if not self._started:
            # OnInit(), as far as it needs the time.
            self._started = True
            self._random = self._random * 1_000_003 + int(now * 1e6)
            self.min_rtt_stamp = self.probe_rtt_min_stamp = now
            self._extra_interval_start = now

    def on_restart(self, idle: float, rto: float, now: float) -> None:
        """HandleRestartFromIdle(), section 5.4.1."""
        if idle <= IDLE_LEAST or idle == math.inf:
            return  # an ACK of all that was out, with more to send; or the first transmission
        self.idle_restart = True
        self._extra_interval_start = now
        if PROBE_DOWN <= self.state <= PROBE_UP:
            self._set_pacing_rate(1.0)
        elif self.state == PROBE_RTT:
            self._check_probe_rtt_done(now, self.next_round_delivered)

    def on_ack(self, sample: AckSample) -> None:
        """UpdateOnACK(), section 5.2.3."""
        lost = self._lost_before_ack + sample.newly_lost
        if sample.newly_lost:
            self._handle_loss(sample)
        if sample.acked <= 0:
            self._lost_before_ack = lost
            return  # a timer found it
        self._lost_before_ack = 0
        delivered = sample.delivered
        self.app_limited = sample.app_limited or sample.prior_delivered <= self._bubble
        self.update_latest_delivery_signals(sample)
        self._update_congestion_signals(sample)
        self.update_background_loss(sample, lost)
        self.update_ack_aggregation(sample)
        self.check_full_bw_reached(sample)
        if self.state == STARTUP:
            self._check_startup_done(sample)
        elif self.state == DRAIN:
            self._check_drain_done(sample)
        if self.full_bw_reached and not self._adapt_long_term_model(sample):
            self._update_cycle_phase(sample)
        self.update_min_rtt(sample)
        self._check_probe_rtt(sample)
        if self.loss_round_start:
            # AdvanceLatestDeliverySignals()
            self.bw_latest = sample.delivery_rate
            self.inflight_latest = delivered - sample.prior_delivered
            self.loss_events_in_round = self.lost_in_round = 0
            self.marked_in_round = False
        self.bw = min(self.max_bw, self.bw_shortterm)
        if not self._seen_rtt and sample.srtt > 0.0:
            self._seen_rtt = True
            self.pacing_rate = STARTUP_PACING_GAIN * self.initial_cwnd / sample.srtt
        self._set_pacing_rate(PACING_GAINS[self.state])
        self._set_cwnd(sample)

    def on_loss(self, in_flight: int, now: float) -> None:
        self._save_state_upon_loss()
        self._in_recovery = True

    def on_ecn(self, in_flight: int, now: float) -> None:
        # RFC 8311 section 4.1 lets the response be another than that to a loss, but not none.
        self.on_loss(in_flight, now)
        self.note_loss(self.next_round_delivered)
        self.marked_in_round = True
        if self.is_bw_probe_sample:
            self._handle_inflight_too_high(in_flight, False, now, self.next_round_delivered)

    def on_recovered(self, now: float) -> None:
        self.cwnd = max(self.cwnd, self.prior_cwnd)
        self._in_recovery = False

    def on_timeout(self, in_flight: int, first: bool, now: float) -> None:
        """OnEnterRTO(), section 5.6.4.4: nothing is in flight any more, one segment may be."""
        self._save_state_upon_loss()
        self._in_recovery = True
        self.cwnd = self.mss

    def on_undo(self, now: float) -> None:
        """HandleSpuriousLossDetection(), section 5.5.11.2."""
        self.on_recovered(now)
        self.is_loss_in_round = False
        self.reset_full_bw()
        self.bw_shortterm = max(self.bw_shortterm, self.undo_bw_shortterm)
        self.inflight_shortterm = max(self.inflight_shortterm, self.undo_inflight_shortterm)
        self.inflight_longterm = max(self.inflight_longterm, self.undo_inflight_longterm)
        if self.undo_state == STARTUP and self.state != STARTUP:
            self.full_bw_reached = False
            if self.state != PROBE_RTT:
                self.state = STARTUP
        elif self.undo_state == PROBE_UP and self.state not in (PROBE_UP, PROBE_RTT):
            self._start_refill(self.next_round_delivered)
        self.undo_state = NO_UNDO

    # -- losses ----------------------------------------------------------------------------------

    def _handle_loss(self, sample: AckSample) -> None:
        """HandleLostPacket(), for all that this ACK showed to be lost."""
        # Deviation: what was sent while probing and is found to be lost after the probe, as RACK
        # waits for reordering, is answered by `inflight_longterm` alone. It says nothing of what we
        # have sent since; the draft lets it bound that, too, until the next probe.
        if self._is_probing() or sample.lost_prior_delivered >= self._probe_end:
            self.loss_events_in_round += 1
            self.lost_in_round += sample.newly_lost
            if self.note_loss(sample.delivered):
                self._save_state_upon_loss()
        lost, tx_in_flight = sample.lost_since, sample.lost_tx_in_flight
        if self.is_bw_probe_sample and self.is_inflight_too_high(lost, tx_in_flight):
            at_loss = self.inflight_at_loss(lost, tx_in_flight, sample.newly_lost)
            # Of the bubble of a ProbeRTT is only what was sent since that began.
            bubble = self._bubble_start <= sample.lost_prior_delivered <= self._bubble
            limited = sample.lost_app_limited or bubble
            self._handle_inflight_too_high(at_loss, limited, sample.now, sample.delivered)

    def _handle_inflight_too_high(
        self, at_loss: float, app_limited: bool, now: float, delivered: int
    ) -> None:
        self.prev_probe_too_high = True
        self.is_bw_probe_sample = False  # only react once per probe
        if not app_limited:
            # In whole bytes, as cwnd is, which is to reach it.
            self.inflight_longterm = float(int(max(at_loss, self.target_inflight() * BETA)))
        if self.state == PROBE_UP:
            self.undo_state = PROBE_UP
            self._start_down(now, delivered)

    def _update_congestion_signals(self, sample: AckSample) -> None:
        self.update_max_bw(sample)
        if not self.loss_round_start:
            return
        # AdaptLowerBoundsFromCongestion(): once a round, unless probing.
        if self.is_loss_in_round and not self._is_probing() and self.was_loss_unexplained():
            self.adapt_lower_bounds()
        self.is_loss_in_round = False

    def _is_probing(self) -> bool:
        """IsProbingBW()"""
        return self.state == STARTUP or (self.state >= PROBE_REFILL and self.state != PROBE_RTT)

    def _leave(self, state: int, delivered: int) -> None:
        """Go on to `state`, which probes for nothing."""
        if self._is_probing():
            self._probe_end = delivered
        self.state = state

    def _save_state_upon_loss(self) -> None:
        self._save_cwnd()
        self.undo_state = NO_UNDO
        self.undo_bw_shortterm = self.bw_shortterm
        self.undo_inflight_shortterm = self.inflight_shortterm
        self.undo_inflight_longterm = self.inflight_longterm

    def _save_cwnd(self) -> None:
        if not self._in_recovery and self.state != PROBE_RTT:
            self.prior_cwnd = self.cwnd
        else:
            self.prior_cwnd = max(self.prior_cwnd, self.cwnd)

    # -- Startup and Drain -----------------------------------------------------------------------

    def _check_startup_done(self, sample: AckSample) -> None:
        # Section 5.3.1.3: a whole round in recovery that lost more than LossThresh in many places.
        if (
            self.loss_round_start
            and sample.recovering
            and self.loss_events_in_round >= STARTUP_FULL_LOSS_COUNT
            and self.is_inflight_too_high(sample.lost, sample.tx_in_flight)
        ):
            self.undo_state = STARTUP
            self.full_bw_reached = self.full_bw_now = True
            bdp = int(self.bdp_multiple(self.max_bw, 1.0))
            self.inflight_longterm = float(max(bdp, self.inflight_latest))
        if self.full_bw_reached:
            self._leave(DRAIN, sample.delivered)
            self.drain_start_round = self.round_count
            self._check_drain_done(sample)

    def _check_drain_done(self, sample: AckSample) -> None:
        if (
            sample.in_flight <= self.inflight(self.bw, 1.0)
            or self.round_count > self.drain_start_round + MAX_DRAIN_ROUNDS
        ):
            self._start_down(sample.now, sample.delivered)

    # -- ProbeBW ---------------------------------------------------------------------------------

    def _start_down(self, now: float, delivered: int) -> None:
        self.reset_congestion_signals()
        self.probe_up_acked_per_inc = math.inf  # not growing inflight_longterm
        # PickProbeWait(): 0 or 1 rounds, and 2 to 3 seconds.
        self.rounds_since_probe_up = int(self._uniform() * 2)
        self.bw_probe_wait = 2.0 + self._uniform()
        self.cycle_stamp = now
        self.ack_phase = ACKS_PROBE_STOPPING
        self.start_round(delivered)
        self._leave(PROBE_DOWN, delivered)

    def _start_refill(self, delivered: int) -> None:
        self.reset_short_term_model()
        self.bw_probe_up_rounds = 0
        self.bw_probe_up_acked = 0
        self.prev_probe_precautionary = False
        self.ack_phase = ACKS_REFILLING
        self.start_round(delivered)
        self.state = PROBE_REFILL

    def _start_up(self, sample: AckSample) -> None:
        self.ack_phase = ACKS_PROBE_STARTING
        self.start_round(sample.delivered)
        self.reset_full_bw()
        self.full_bw = sample.delivery_rate
        self.state = PROBE_UP
        self._raise_inflight_longterm_slope()

    def _update_cycle_phase(self, sample: AckSample) -> None:
        state = self.state
        if state in (PROBE_CRUISE, PROBE_DOWN):
            if self._is_time_to_probe_bw(sample.now):
                self._start_refill(sample.delivered)
            elif state == PROBE_DOWN and self._is_time_to_cruise(sample.in_flight):
                self.state = PROBE_CRUISE
        elif state == PROBE_REFILL:
            if self.round_start:
                self.is_bw_probe_sample = True
                self._start_up(sample)
        elif state == PROBE_UP and self._is_time_to_go_down(sample):
            self.prev_probe_too_high = False  # no high loss (yet)
            self._start_down(sample.now, sample.delivered)

    def _is_time_to_probe_bw(self, now: float) -> bool:
        if now > self.cycle_stamp + self.bw_probe_wait:
            return True
        # IsRenoCoexistenceProbeTime(): Reno would have grown by a segment each round.
        return self.rounds_since_probe_up >= min(self.target_inflight() / self.mss, 63)

    def _is_time_to_cruise(self, in_flight: int) -> bool:
        return in_flight <= self.inflight_with_headroom() and in_flight <= self.inflight(
            self.max_bw, 1.0
        )

    def _is_time_to_go_down(self, sample: AckSample) -> bool:
        if self.prev_probe_too_high and sample.in_flight + self.mss > self.inflight_longterm:
            # Precautionary Bandwidth Probing: Deceleration. No whole segment fits any more.
            self.prev_probe_precautionary = True
            return True
        if sample.cwnd_limited and self.cwnd >= self.inflight_longterm:
            self.reset_full_bw()  # bw is limited by inflight_longterm
            self.full_bw = sample.delivery_rate
            return False
        return self.full_bw_now

    def _adapt_long_term_model(self, sample: AckSample) -> bool:
        """AdaptLongTermModel(); True if it has decided on the next state."""
        if self.round_start:
            if self.ack_phase == ACKS_PROBE_STARTING:
                self.ack_phase = ACKS_PROBE_FEEDBACK  # now ACKs tell of the probe
            elif self.ack_phase == ACKS_PROBE_STOPPING:
                self.is_bw_probe_sample = False
                self.ack_phase = ACKS_INIT
                if PROBE_DOWN <= self.state <= PROBE_UP:
                    if not self.app_limited:
                        self.advance_max_bw_filter()
                    if self.prev_probe_precautionary and not self.prev_probe_too_high:
                        # Precautionary Bandwidth Probing: Acceleration
                        self._start_refill(sample.delivered)
                        return True
        if self.inflight_longterm == math.inf:
            return False  # there is no upper bound to raise
        if not self.is_inflight_too_high(sample.lost, sample.tx_in_flight):
            # The loss rate is safe: adjust upper bounds upward.
            if sample.tx_in_flight > self.inflight_longterm:
                self.inflight_longterm = float(sample.tx_in_flight)
            if self.state == PROBE_UP:
                self._probe_inflight_longterm_upward(sample)
        return False

    def _raise_inflight_longterm_slope(self) -> None:
        growth_this_round = 1 << self.bw_probe_up_rounds
        self.bw_probe_up_rounds = min(self.bw_probe_up_rounds + 1, 30)
        self.probe_up_acked_per_inc = max(self.cwnd / growth_this_round, self.mss)

    def _probe_inflight_longterm_upward(self, sample: AckSample) -> None:
        if not sample.cwnd_limited or self.cwnd < self.inflight_longterm:
            return  # not fully using inflight_longterm, so don't grow it
        self.bw_probe_up_acked += sample.acked
        if self.bw_probe_up_acked >= self.probe_up_acked_per_inc:
            delta = int(self.bw_probe_up_acked / self.probe_up_acked_per_inc)
            self.bw_probe_up_acked -= int(delta * self.probe_up_acked_per_inc)
            self.inflight_longterm += delta * self.mss
        if self.round_start:
            self._raise_inflight_longterm_slope()

    def _uniform(self) -> float:
        """From 0 up to 1, spread well enough for the waits between probes."""
        # Knuth's MMIX constants; the upper bits are the ones that look random.
        self._random = (self._random * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        return (self._random >> 32) / 2**32

    # -- ProbeRTT --------------------------------------------------------------------------------

    def _check_probe_rtt(self, sample: AckSample) -> None:
        if self.state == PROBE_RTT:
            self._handle_probe_rtt(sample)
        elif self.probe_rtt_expired and not self.idle_restart:
            self._save_cwnd()
            self._leave(PROBE_RTT, sample.delivered)
            self.probe_rtt_done_stamp = 0.0
            self.ack_phase = ACKS_PROBE_STOPPING
            self.start_round(sample.delivered)
            self._bubble_start = sample.delivered
            self._handle_probe_rtt(sample)
        self.idle_restart = False

    def _handle_probe_rtt(self, sample: AckSample) -> None:
        # MarkConnectionAppLimited(): ignore the low rate samples of what is sent now.
        self._bubble = sample.delivered + sample.in_flight
        if self.probe_rtt_done_stamp == 0.0:
            if sample.in_flight <= self._probe_rtt_cwnd():
                self.probe_rtt_done_stamp = sample.now + PROBE_RTT_DURATION
                self.probe_rtt_round_done = False
                self.start_round(sample.delivered)
            return
        if self.round_start:
            self.probe_rtt_round_done = True
        if self.probe_rtt_round_done:
            self._check_probe_rtt_done(sample.now, sample.delivered)

    def _check_probe_rtt_done(self, now: float, delivered: int) -> None:
        if self.probe_rtt_done_stamp == 0.0 or now <= self.probe_rtt_done_stamp:
            return
        self.probe_rtt_min_stamp = now  # schedule the next ProbeRTT
        self.cwnd = max(self.cwnd, self.prior_cwnd)
        # ExitProbeRTT(), section 5.3.4.4
        self.reset_short_term_model()
        if self.full_bw_reached:
            # With the wait for the next probe anew: who probes more often has more of a link that
            # is shared with CUBIC, whose window each probe of ours may cost a third.
            self._start_down(now, delivered)
            self.state = PROBE_CRUISE
        else:
            self.state = STARTUP

    def _probe_rtt_cwnd(self) -> float:
        return max(self.bdp_multiple(self.bw, CWND_GAINS[PROBE_RTT]), self.min_pipe_cwnd)

    # -- control ---------------------------------------------------------------------------------

    def _set_pacing_rate(self, gain: float) -> None:
        rate = gain * self.bw * PACING_MARGIN
        if rate > self.pacing_rate or (self.full_bw_reached and rate > 0.0):
            self.pacing_rate = rate

    def _set_cwnd(self, sample: AckSample) -> None:
        state = self.state
        max_inflight = self.quantization_budget(
            self.bdp_multiple(self.bw, CWND_GAINS[state]) + self.extra_acked
        )
        cwnd = float(self.cwnd)
        if self.full_bw_reached:
            cwnd += sample.acked
            if cwnd > max_inflight:
                cwnd = max_inflight
        elif cwnd < max_inflight or sample.delivered < self.initial_cwnd:
            cwnd += sample.acked
        if state == PROBE_RTT:
            cwnd = min(cwnd, self._probe_rtt_cwnd())
        # BoundCwndForModel()
        cap = self.inflight_shortterm
        if state in (PROBE_CRUISE, PROBE_RTT):
            cap = min(cap, self.inflight_with_headroom())
        elif state >= PROBE_DOWN and self.inflight_longterm < cap:
            cap = self.inflight_longterm
        if cwnd > cap:
            cwnd = cap
        self.cwnd = int(cwnd) if cwnd > self.min_pipe_cwnd else self.min_pipe_cwnd
