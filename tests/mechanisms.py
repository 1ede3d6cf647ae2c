"""The mechanisms of loss recovery and congestion control, one row each, and their three tests.

A mechanism is tested alone (`tests/core`), on the wire (`tests/wire`: one connection against a
scripted peer, exact segments and nothing more) and in the simulator (`tests/sim`: two connections
over a simulated link). A row names one test of each kind, the one to read first; there are others
beside it. `test_mechanisms` checks that all of it exists.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Mechanism:
    """What it is, where its specification and its code are, and which tests say that it works.

    `code` names a definition as "path: name" below `rudp/core`, a test is "path::name" below the
    directory of its kind, without "test_" in front of either.
    """

    name: str
    rfc: str
    code: str
    alone: str
    wire: str
    simulator: str


_M = Mechanism

# A row reads better in a few lines than in eight.
# fmt: off
MECHANISMS: Final = (
    # Loss recovery -----------------------------------------------------------------------------
    _M("RACK", "8985 section 6", "rack.py: Rack",
       "rack::one_segment_above_a_hole_makes_it_a_loss_after_the_window",
       "rack::a_hole_is_a_loss_when_it_is_a_quarter_of_a_round_trip_old",
       "recovery::a_path_that_reorders_a_little_is_as_fast_as_one_that_does_not"),
    _M("Adaptive reordering window", "8985 section 6.2, step 4", "rack.py: Rack.adapt",
       "rack::dsacks_widen_the_window_once_in_a_round_trip_and_up_to_srtt",
       "rack::where_reordering_was_seen_three_segments_above_a_hole_are_no_loss_yet",
       "recovery::reordering_beyond_the_window_widens_it"),
    _M("Tail loss probe", "8985 section 7", "tlp.py: LossProbe",
       "loss_probe::the_last_segment_goes_out_again_after_two_round_trips",
       "loss_probe::a_lost_tail_is_repaired_without_a_timeout",
       "recovery::a_lost_tail_is_repaired_by_a_probe_in_a_few_round_trips"),
    _M("Lost retransmission", "8985 section 6; 5681 section 4.3",
       "recovery.py: LossRecovery._judge",
       "rack::a_lost_retransmission_is_sent_again_without_waiting_for_the_timer",
       "rack::a_retransmission_that_is_lost_is_sent_again_when_later_data_arrives",
       "recovery::a_retransmission_that_is_lost_too_needs_no_timer"),
    _M("PRR", "9937", "congestion/prr.py: Prr",
       "prr::while_too_much_is_in_flight_what_goes_out_is_in_proportion_to_what_arrives",
       "recovery::half_of_what_arrives_goes_out_until_half_of_the_window_is_in_flight",
       "congestion::with_prr_a_reduction_lets_something_out_all_the_time"),
    _M("Limited transmit", "3042", "recovery.py: LossRecovery.in_flight",
       "sender_recovery::the_first_two_duplicates_let_a_new_segment_out_each",
       "recovery::the_first_two_duplicate_acks_let_a_new_segment_out_each",
       "congestion::limited_transmit_makes_three_duplicates_of_two"),
    _M("F-RTO", "5682", "recovery.py: LossRecovery._frto",
       "undo::after_a_timeout_new_data_asks_whether_it_was_needed",
       "rack::after_a_timeout_new_data_tells_whether_it_was_needed",
       "recovery::a_pause_of_the_path_is_no_congestion"),
    _M("Undo by DSACK", "3708", "undo.py: Undo.on_dsack",
       "undo::a_dsack_for_all_that_was_sent_again_undoes_fast_recovery",
       "rack::a_dsack_of_the_retransmission_has_the_window_back",
       "congestion::a_segment_that_was_only_late_costs_no_window"),
    _M("Undo by timestamps (Eifel)", "3522, 4015", "recovery.py: LossRecovery._mistaken",
       "undo::an_echo_from_before_the_retransmission_undoes_fast_recovery",
       "rack::an_echo_of_the_original_has_the_window_back",
       "congestion::a_segment_that_was_only_late_costs_no_window"),
    _M("Limits of the scoreboard, reneging", "2018 section 8", "scoreboard.py: Scoreboard",
       "scoreboard::sacks_cut_no_more_than_the_limit",
       "sack::a_range_that_the_peer_takes_back_is_sent_again_after_a_timeout",
       "swarm::whatever_was_drawn_a_healed_pair_delivers_and_closes"),
    _M("Path MTU discovery", "8899", "pmtud.py: PathMtu",
       "pmtud::it_comes_close_to_what_the_path_carries_from_below",
       "path_mtu::an_answer_makes_the_next_segments_as_large_as_the_probe",
       "path_mtu::a_path_that_swallows_large_packets_costs_nothing_but_their_size"),
    _M("Black holes", "8899 section 4.3", "pmtud.py: PathMtu.on_black_hole",
       "pmtud::a_black_hole_leads_back_to_the_base_and_the_search_begins_anew",
       "path_mtu::what_an_unanswered_loss_probe_and_a_timeout_leave_goes_out_in_safe_segments",
       "path_mtu::a_path_that_shrinks_in_mid_transfer_costs_a_second"),
    # Congestion control ------------------------------------------------------------------------
    _M("Reno", "5681, 3465", "congestion/reno.py: Reno",
       "reno::congestion_avoidance_adds_a_segment_for_each_window",
       "congestion::in_congestion_avoidance_a_window_of_data_adds_one_segment",
       "congestion::two_of_a_kind_share_evenly"),
    _M("CUBIC", "9438", "congestion/cubic.py: Cubic",
       "cubic::the_window_follows_the_cubic_function",
       "algorithms::cubic_returns_to_the_old_window_waits_there_and_then_goes_beyond",
       "congestion::two_of_a_kind_share_evenly"),
    _M("HyStart++", "9406", "congestion/hystart.py: HyStart",
       "hystart::five_rounds_of_slow_growth_end_slow_start",
       "algorithms::a_delay_that_rises_by_an_eighth_slows_slow_start_for_five_rounds_and_ends_it",
       "congestion::hystart_ends_slow_start_before_a_long_queue_overflows"),
    _M("BBRv3", "draft-ietf-ccwg-bbr", "congestion/bbr.py: Bbr",
       "bbr::drain_ends_when_no_more_is_in_flight_than_the_bdp",
       "algorithms::startup_doubles_until_the_rate_stays_and_drain_halves_the_rate",
       "congestion::bbr_fills_the_path_and_not_its_queue"),
    _M("LEDBAT++", "draft-irtf-iccrg-ledbat-plus-plus", "congestion/ledbat.py: Ledbat",
       "ledbat::a_slowdown_closes_the_window_for_two_round_trips_and_pauses_nine_times_as_long",
       "algorithms::ledbat_halves_the_flight_in_each_round_trip_with_twice_the_delay_aimed_at",
       "congestion::ledbat_gives_way_to_reno"),
    _M("Pacing", "-", "pacing.py: Pacer",
       "pacing::an_empty_bucket_says_when_there_is_a_quantum",
       "algorithms::a_window_goes_out_two_segments_at_a_time_at_twice_the_window_in_a_round_trip",
       "recovery::what_is_paced_goes_out_in_small_bursts"),
    _M("Restart after a pause", "5681 section 4.1", "congestion/window.py: WindowBased.on_restart",
       "reno::idleness_takes_cwnd_back_to_the_restart_window",
       "congestion::after_an_rto_without_sending_cwnd_is_the_initial_window",
       "congestion::a_window_that_is_not_used_does_not_grow_and_a_pause_takes_it_back"),
    _M("Windows that are not used", "7661", "congestion/window.py: WindowBased._open",
       "pacing::a_round_trip_after_the_window_was_full_pacing_is_what_limits",
       "congestion::a_window_that_is_not_used_is_halved_after_five_minutes",
       "congestion::a_window_that_is_not_used_does_not_grow_and_a_pause_takes_it_back"),
    _M("Receive buffer autotuning", "-", "receiver.py: Receiver.tune",
       "receiver_window::the_buffer_starts_small_and_doubles_as_the_application_takes_it_up",
       "windows::the_window_grows_with_what_is_read_in_a_round_trip",
       "congestion::by_default_a_long_fast_path_fills_and_no_buffer_exceeds_its_limit"),
    _M("Limit of the send buffer", "-", "sender.py: Sender._new_data",
       "sender::the_send_buffer_bounds_what_is_in_flight",
       "small_segments::no_more_than_the_send_buffer_is_in_flight",
       "congestion::the_send_buffer_bounds_what_is_in_flight"),
    _M("ECN", "3168", "recovery.py: LossRecovery._on_ecn",
       "ecn_reaction::an_ecn_echo_halves_the_window_and_nothing_is_sent_again",
       "ecn::an_echo_shrinks_the_window_once_and_is_answered_with_cwr",
       "congestion::marks_in_place_of_drops_keep_the_queue_short_and_cost_nothing"),
)
# fmt: on
