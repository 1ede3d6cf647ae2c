"""The requirements of RFC 9293, Appendix B, one row each: where it is met, and which test says so.

`code` names a definition as "path: name", `test` a test as "path::name"; both are checked by
`test_rfc9293`. Where a requirement is not met, or cannot apply to segments that travel in UDP
datagrams, `differs` says why. Such a row may still have code and a test: they show what happens
instead. The sentences are ours; the section is where the RFC's own words are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

IDENTIFIERS: Final = (
    *(f"MUST-{number}" for number in range(1, 70)),
    *(f"SHLD-{number}" for number in range(1, 32)),
    *(f"MAY-{number}" for number in range(1, 19)),
    "REC-1",
)
"""Every ReqID of Appendix B's Table 8."""


@dataclass(frozen=True)
class Requirement:
    """One requirement, and what became of it."""

    id: str
    section: str
    says: str
    code: str = ""
    test: str = ""
    differs: str = ""


_R = Requirement

# Reasons that many rows share.
_IP: Final = (
    "Belongs to IP. Segments travel in UDP datagrams, and the kernel's UDP and IP stand between:"
)
_URGENT: Final = (
    "asyncio has no notion of urgent data, and RFC 6093 section 6 advises against it. None is sent;"
    " the URG bit and the pointer are ignored, and the bytes are delivered in line (RFC 6093"
    " section 3)."
)
_SOURCE_ROUTE: Final = (
    f"{_IP} source routes are not for a UDP user without privileges, and RFC 7126 has them dropped."
)
_CHECKSUM: Final = (
    "The field is sent as 0 and not looked at. The checksum of UDP covers the whole segment and the"
    " same pseudo-header, and is always on."
)
_ICMP: Final = (
    f"{_IP} it passes ICMP errors on as socket errors of a connected socket, without the code."
)

# A row reads better in two or three lines than in eight.
# fmt: off
REQUIREMENTS: Final = (
    # PUSH flag ---------------------------------------------------------------------------------
    _R("MAY-16", "3.9.1.2", "Data that was not pushed may be kept back and sent together.",
       code="rudp/core/send_state.py: SendState._avoid_silly_window",
       test="tests/wire/test_small_segments.py::test_nagle_holds_a_small_segment_while_data_is_on_its_way"),
    _R("SHLD-27", "3.9.1.2", "Several PSH bits should become one, on as large a segment as can be.",
       code="rudp/core/sender.py: Sender._emit",
       test="tests/wire/test_data.py::test_writes_that_had_to_wait_go_out_together_with_one_psh"),
    _R("MAY-15", "3.9.1.2", "SEND may take a PUSH flag.",
       differs="write() has none, as asyncio's has none; MUST-60 and MUST-61 follow."),
    _R("MUST-60", "3.9.1.2", "Without a PUSH flag in SEND, data must not be kept back for ever.",
       code="rudp/core/sender.py: Sender.next_transmission",
       test="tests/sim/test_swarm.py::test_whatever_was_drawn_a_healed_pair_delivers_and_closes"),
    _R("MUST-61", "3.9.1.2", "Without one, the segment that empties the queue must carry PSH.",
       code="rudp/core/sender.py: Sender._emit",
       test="tests/wire/test_scripted.py::test_data_goes_both_ways_and_wraps"),
    _R("MAY-17", "3.9.1.3", "A received PSH may be shown to the application.",
       differs="asyncio's data_received() and read() have no place for it."),
    _R("SHLD-28", "3.9.1.2", "A full-sized segment should be sent whenever there is data for one.",
       code="rudp/core/sender.py: Sender._new_data",
       test="tests/wire/test_data.py"
       "::test_a_write_goes_out_at_once_in_full_segments_with_psh_on_the_last"),
    # Window ------------------------------------------------------------------------------------
    _R("MUST-1", "3.1", "The window is an unsigned number: half of them are not negative.",
       code="rudp/core/codec.py: decode",
       test="tests/core/test_codec.py::test_decode_undoes_encode"),
    _R("REC-1", "3.1", "Windows are better held in 32 bits than in the field's 16.",
       code="rudp/core/arrival.py: _check_ack",
       test="tests/sim/test_swarm.py::test_whatever_was_drawn_a_healed_pair_delivers_and_closes"),
    _R("SHLD-14", "3.8.6", "A receiver should not move the right edge of its window back.",
       code="rudp/core/receiver.py: Receiver.advance_window",
       test="tests/wire/test_windows.py::test_the_right_edge_never_moves_back"),
    _R("SHLD-15", "3.8.6", "If the peer's window shrinks, no new data should go beyond it.",
       code="rudp/core/sender.py: Sender._new_data",
       test="tests/wire/test_windows.py::test_new_data_stays_within_a_window_that_has_shrunk"),
    _R("SHLD-16", "3.8.6", "Old data that a shrunken window still covers should be retransmitted.",
       code="rudp/core/sender.py: Sender._retransmit",
       test="tests/wire/test_windows.py"
       "::test_old_data_within_a_window_that_has_shrunk_is_sent_again"),
    _R("SHLD-17", "3.8.6", "Data beyond a shrunken window should not time the connection out.",
       code="rudp/core/send_state.py: SendState._arm",
       test="tests/wire/test_windows.py"
       "::test_data_beyond_a_window_that_has_shrunk_does_not_time_out"),
    _R("MUST-34", "3.8.6", "A sender must bear a window that shrinks, and a negative usable one.",
       code="rudp/core/sender.py: Sender._new_data",
       test="tests/wire/test_windows.py::test_new_data_stays_within_a_window_that_has_shrunk"),
    _R("MAY-8", "3.8.6.1", "A receiver may keep its window shut for as long as it likes.",
       code="rudp/core/receiver.py: Receiver.advance_window",
       test="tests/wire/test_windows.py::test_what_is_not_read_shuts_the_window"),
    _R("MUST-35", "3.8.6", "A window that has shrunk to zero must be probed as any zero window.",
       code="rudp/core/sender.py: Sender._window_probe",
       test="tests/wire/test_windows.py::test_a_window_that_has_shrunk_to_nothing_is_probed"),
    _R("MUST-36", "3.8.6.1", "A zero window must be probed.",
       code="rudp/core/sender.py: Sender._window_probe",
       test="tests/wire/test_windows.py"
       "::test_a_shut_window_is_probed_after_an_rto_and_then_after_twice_as_long"),
    _R("SHLD-29", "3.8.6.1", "The first probe should come when the window was shut for an RTO.",
       code="rudp/core/send_state.py: SendState._persist",
       test="tests/wire/test_windows.py"
       "::test_a_shut_window_is_probed_after_an_rto_and_then_after_twice_as_long"),
    _R("SHLD-30", "3.8.6.1", "The time between probes should double from one to the next.",
       code="rudp/core/send_state.py: SendState.on_persist",
       test="tests/wire/test_windows.py"
       "::test_a_shut_window_is_probed_after_an_rto_and_then_after_twice_as_long"),
    _R("MUST-37", "3.8.6.1", "While a peer answers the probes, a shut window must not end it all.",
       code="rudp/core/send_state.py: SendState._arm",
       test="tests/wire/test_windows.py"
       "::test_a_peer_that_answers_may_keep_its_window_shut_for_ever"),
    _R("MAY-7", "3.8.6", "Old data beyond a shrunken window may be retransmitted as well.",
       code="rudp/core/sender.py: Sender._retransmit",
       test="tests/core/test_sender.py"
       "::test_lost_data_beyond_a_shrunken_window_waits_but_its_first_segment_is_tried"),
    _R("MUST-66", "3.4", "RST and URG must be looked at even when our window is shut.",
       code="rudp/core/arrival.py: _check_rst",
       test="tests/wire/test_resets.py::test_a_rst_counts_when_our_window_is_shut"),
    # Urgent data -------------------------------------------------------------------------------
    _R("MUST-30", "3.8.5", "The urgent mechanism must still be supported.",
       code="rudp/core/arrival.py: segment_arrives",
       test="tests/wire/test_blind_attacks.py::test_urgent_data_is_delivered_in_line",
       differs=_URGENT),
    _R("MUST-62", "3.8.5", "The pointer is to the byte after the urgent data.", differs=_URGENT),
    _R("MUST-31", "3.8.5", "Urgent data may have any length.", differs=_URGENT),
    _R("MUST-32", "3.8.5", "The application must hear of new urgent data.", differs=_URGENT),
    _R("MUST-33", "3.8.5", "It must be able to ask how much there is.", differs=_URGENT),
    _R("SHLD-13", "3.8.5", "New applications should not use the urgent mechanism.",
       differs="Met by there being no way to use it. " + _URGENT),
    # TCP options -------------------------------------------------------------------------------
    _R("MUST-4", "3.2", "End of options, NOP and MSS must be supported.",
       code="rudp/core/codec.py: _decode_option",
       test="tests/core/test_codec.py::test_decode_undoes_encode"),
    _R("MUST-5", "3.1", "An option must be accepted in any segment, not in SYNs only.",
       code="rudp/core/codec.py: _decode_options",
       test="tests/core/test_codec.py::test_a_segment_is_these_bytes"),
    _R("MUST-6", "3.1", "An option that is not known must be skipped without an error.",
       code="rudp/core/codec.py: _decode_option",
       test="tests/core/test_codec.py::test_an_unknown_option_is_skipped"),
    _R("MUST-68", "3.1", "Every option but end-of-options and NOP must have a length.",
       code="rudp/core/codec.py: _encode_options",
       test="tests/core/test_codec.py::test_a_segment_is_these_bytes"),
    _R("MUST-7", "3.1", "An illegal option length must do no harm.",
       code="rudp/core/codec.py: _decode_options",
       test="tests/core/test_codec.py::test_an_illegal_option_length_is_refused",
       differs="The RFC suggests a reset. The segment is discarded instead: anyone who can spoof "
       "one datagram could end the connection otherwise."),
    _R("MUST-64", "3.2", "Options must be read wherever they begin, on a word boundary or not.",
       code="rudp/core/codec.py: _decode_options",
       test="tests/core/test_codec.py::test_an_option_may_begin_at_any_byte"),
    _R("MUST-14", "3.7.1", "The MSS option must be sent and understood.",
       code="rudp/core/codec.py: _encode_syn_options",
       test="tests/wire/test_options.py"
       "::test_the_mss_announced_is_what_the_path_and_the_config_leave"),
    _R("SHLD-5", "3.7.1", "A SYN should have the MSS unless it is the default (536; IPv6: 1220).",
       code="rudp/core/handshake.py: syn_segment",
       test="tests/wire/test_options.py"
       "::test_a_passive_open_answers_a_bare_syn_with_a_bare_syn_ack",
       differs="All but one have it: where the SYN has none, neither has the SYN-ACK, which would"
       " be larger than what it answers to an address that may be forged."),
    _R("MAY-3", "3.7.1", "A SYN may always have the MSS option.",
       code="rudp/core/handshake.py: syn_segment",
       test="tests/wire/test_options.py"
       "::test_the_mss_announced_is_what_the_path_and_the_config_leave"),
    _R("MUST-15", "3.7.1", "Without the option a peer is taken to accept 536 bytes (IPv6: 1220).",
       code="rudp/core/handshake.py: establish",
       test="tests/wire/test_options.py::test_a_peer_that_announces_no_mss_gets_536_bytes"),
    _R("MUST-16", "3.7.1", "Segments must fit the peer's MSS and what the path lets through.",
       code="rudp/core/handshake.py: establish",
       test="tests/wire/test_options.py::test_segments_fit_both_the_peers_mss_and_our_path"),
    _R("SHLD-6", "3.7.3", "With several MTUs, the smallest should decide the MSS announced.",
       code="rudp/routes.py: Routes.mss",
       test="tests/test_ports.py::test_ipv6_leaves_twenty_bytes_less_for_a_segment",
       differs=f"{_IP} a route has one MTU there, the one that the system knows of when asked."),
    _R("MUST-65", "3.7.1", "The MSS option must not be sent without SYN.",
       code="rudp/core/codec.py: _encode_options",
       test="tests/core/test_codec.py::test_what_belongs_to_a_syn_is_not_sent_elsewhere"),
    _R("MUST-67", "3.7.1", "The MSS announced is what can be received, less the header's 20 bytes.",
       code="rudp/routes.py: Routes.mss",
       test="tests/test_ports.py::test_ipv6_leaves_twenty_bytes_less_for_a_segment"),
    _R("MUST-69", "3.1", "What follows the end of the options in the header must be zeros.",
       code="rudp/core/codec.py: _encode_options",
       test="tests/core/test_codec.py::test_a_segment_is_these_bytes"),
    # TCP checksums -----------------------------------------------------------------------------
    _R("MUST-2", "3.1", "A sender must generate the checksum.",
       code="rudp/core/codec.py: _encode_header",
       test="tests/core/test_codec.py::test_a_segment_is_these_bytes", differs=_CHECKSUM),
    _R("MUST-3", "3.1", "A receiver must check it.", code="rudp/core/codec.py: decode",
       test="tests/core/test_codec.py::test_checksum_urgent_pointer_and_reserved_bits_are_not_looked_at",
       differs=_CHECKSUM),
    # ISN selection -----------------------------------------------------------------------------
    _R("MUST-8", "3.4.1", "Initial sequence numbers must follow a clock of 4 microseconds.",
       code="rudp/core/isn.py: initial_numbers",
       test="tests/core/test_isn.py::test_for_one_pair_it_rises_by_one_every_four_microseconds"),
    _R("SHLD-1", "3.4.1", "They should have a keyed function of the ports and addresses added.",
       code="rudp/core/isn.py: initial_numbers",
       test="tests/core/test_isn.py::test_pairs_and_secrets_have_spaces_of_their_own"),
    _R("MUST-9", "3.4.1", "That function must not be computable by anyone else.",
       code="rudp/core/isn.py: initial_numbers",
       test="tests/core/test_isn.py::test_pairs_and_secrets_have_spaces_of_their_own"),
    # Opening connections -----------------------------------------------------------------------
    _R("MUST-10", "3.5", "Two that open to each other at once must get one connection.",
       code="rudp/core/handshake.py: accept_syn",
       test="tests/wire/test_opening.py::test_two_that_open_to_each_other_get_one_connection"),
    _R("MUST-11", "3.5", "SYN-RECEIVED must know whether a passive or an active OPEN led to it.",
       code="rudp/core/arrival.py: _check_syn",
       test="tests/wire/test_opening.py"
       "::test_another_syn_in_the_window_does_not_end_a_simultaneous_open"),
    _R("MUST-41", "3.9.1.1", "A passive OPEN must not touch connections that exist.",
       code="rudp/strangers.py: _listen",
       test="tests/test_endpoint.py::test_one_socket_carries_many_connections_that_do_not_mix"),
    _R("MUST-42", "3.9.1.1", "One can LISTEN on a port that a connection is being opened from.",
       code="rudp/strangers.py: stranger_arrives",
       test="tests/test_endpoint.py::test_one_endpoint_listens_and_connects_at_once"),
    _R("MUST-44", "3.9.1.1", "Without a local address, IP must be asked for one before the SYN.",
       code="rudp/sockets.py: connect_socket",
       test="tests/test_extra_info.py::test_get_extra_info_has_both_pairs_of_addresses"),
    _R("MUST-45", "3.9.1.1", "All segments of a connection must have that same local address.",
       code="rudp/sockets.py: connect_socket",
       test="tests/test_sockets.py::test_connect_socket_takes_its_local_address",
       differs="A listener bound to all addresses keeps this on Linux (local_addresses.py); "
       "elsewhere it leaves the choice to the system's routes."),
    _R("MUST-46", "3.9.1.1", "An OPEN to a broadcast or multicast address must be an error.",
       code="rudp/routes.py: refuse_group",
       test="tests/wire/test_regressions_opening_closing.py"
       "::test_an_open_to_a_group_is_an_error_at_once"),
    _R("MUST-57", "3.9.2.3", "A segment to a broadcast or multicast address must be discarded.",
       differs=f"{_IP} a datagram does not say where it was sent to. A socket that is bound to one "
       "address gets no others; bound to all of them, it takes a broadcast SYN for its own."),
    # Closing connections -----------------------------------------------------------------------
    _R("SHLD-2", "3.5.3", "A received RST should be allowed to have data.",
       code="rudp/core/handshake.py: reset_error",
       test="tests/wire/test_resets.py"
       "::test_the_text_of_a_rst_is_shown_in_what_can_be_printed_of_it"),
    _R("MUST-12", "3.6", "The user must be told whether the connection closed or was aborted.",
       code="rudp/core/connection.py: Connection._release",
       test="tests/contract/test_callbacks.py::test_connection_lost_after_a_reset_has_the_error"),
    _R("MAY-1", "3.6.1", "CLOSE may end reading too.",
       code="rudp/core/connection.py: Connection.close",
       test="tests/wire/test_closing.py::test_data_that_arrives_after_a_full_close_gets_a_rst"),
    _R("SHLD-3", "3.6.1", "Data left unread by CLOSE, or arriving after it, should get a RST.",
       code="rudp/core/connection.py: Connection.lose_data",
       test="tests/wire/test_closing.py"
       "::test_data_unread_at_close_gets_a_rst_when_all_of_ours_is_acknowledged"),
    _R("MUST-13", "3.6.1", "Who closes actively must stay in TIME-WAIT for two MSL.",
       code="rudp/core/connection.py: Connection.wait_out",
       test="tests/wire/test_time_wait.py::test_time_wait_lasts_for_two_msl"),
    _R("MAY-2", "3.6.1", "A new SYN may end TIME-WAIT if it cannot be an old one.",
       code="rudp/core/time_wait.py: TimeWait.reopens",
       test="tests/wire/test_time_wait.py"
       "::test_without_timestamps_a_syn_beyond_the_old_numbers_reopens"),
    _R("SHLD-4", "3.6.1", "Timestamps should be used to tell (RFC 6191).",
       code="rudp/core/time_wait.py: TimeWait.reopens",
       test="tests/wire/test_time_wait.py::test_with_timestamps_the_later_syn_reopens"),
    # Retransmissions ---------------------------------------------------------------------------
    _R("MUST-19", "3.8.2", "Slow start, congestion avoidance and RTO back-off are required.",
       code="rudp/core/congestion/reno.py: Reno",
       test="tests/wire/test_congestion.py"
       "::test_in_slow_start_each_segment_that_arrives_lets_two_out"),
    _R("MAY-4", "3.8.1", "A retransmission may have the same IP identification.",
       differs=f"{_IP} the identification is the kernel's."),
    _R("MUST-18", "3.8.1", "The RTO must be that of RFC 6298, with Karn's algorithm.",
       code="rudp/core/rtt.py: RttEstimator",
       test="tests/wire/test_retransmission_timer.py"
       "::test_the_answer_to_a_retransmission_is_not_measured_and_keeps_the_back_off"),
    # Generating ACKs ---------------------------------------------------------------------------
    _R("MUST-58", "3.10.7.4", "ACKs must be put together into one where possible.",
       code="rudp/core/output.py: send_acknowledged",
       test="tests/wire/test_acks.py::test_what_arrives_in_one_wake_up_is_acknowledged_once"),
    _R("SHLD-31", "3.10.7.4", "Segments that are out of order should be kept.",
       code="rudp/core/reassembly.py: Reassembly.add",
       test="tests/wire/test_data.py::test_a_gap_is_not_read_across"),
    _R("MUST-59", "3.10.7.4", "All segments that are waiting must be processed before an ACK.",
       code="rudp/engine.py: Engine.datagrams_received",
       test="tests/wire/test_acks.py::test_many_segments_in_one_wake_up_are_acknowledged_once"),
    _R("MAY-13", "3.10.7.4", "A segment that is out of order may be acknowledged at once.",
       code="rudp/core/receiver.py: Receiver._out_of_order",
       test="tests/wire/test_acks.py::test_a_segment_out_of_order_is_acknowledged_at_once"),
    _R("SHLD-18", "3.8.6.3", "ACKs should be delayed, to ride on data or on each other.",
       code="rudp/core/receiver.py: Receiver._in_order",
       test="tests/wire/test_acks.py::test_a_small_segment_is_acknowledged_after_40_ms"),
    _R("MUST-40", "3.8.6.3", "The delay must be below half a second.",
       code="rudp/core/config.py: _check_ranges",
       test="tests/core/test_config.py::test_values_at_the_edge_are_taken_and_beyond_it_refused"),
    _R("SHLD-19", "3.8.6.3", "Every second full-sized segment should be acknowledged.",
       code="rudp/core/receiver.py: Receiver._in_order",
       test="tests/wire/test_acks.py::test_later_every_second_full_sized_segment_is"),
    _R("MUST-39", "3.8.6.2.2", "A receiver must not advance its window in silly steps.",
       code="rudp/core/receiver.py: Receiver.advance_window",
       test="tests/wire/test_windows.py::test_reading_opens_the_window_by_steps_worth_a_segment"),
    # Sending data ------------------------------------------------------------------------------
    _R("MUST-49", "3.9.2", "The TTL of what is sent must be configurable.",
       differs=f"{_IP} IP_TTL is an option of the UDP socket, which the user may pass as sock=."),
    _R("MUST-38", "3.8.6.2.1", "A sender must not fill a window with silly segments.",
       code="rudp/core/send_state.py: SendState._avoid_silly_window",
       test="tests/wire/test_small_segments.py::test_a_part_of_a_segment_is_not_sent_into_a_small_window"),
    _R("SHLD-7", "3.7.4", "Nagle's algorithm should be there, to put small segments together.",
       code="rudp/core/send_state.py: SendState._avoid_silly_window",
       test="tests/wire/test_small_segments.py::test_nagle_holds_a_small_segment_while_data_is_on_its_way"),
    _R("MUST-17", "3.7.4", "An application must be able to turn it off for a connection.",
       code="rudp/core/config.py: Config.nodelay",
       test="tests/wire/test_small_segments.py::test_nagle_is_off_by_default"),
    # Connection failures -----------------------------------------------------------------------
    _R("MUST-20", "3.8.3", "R1 retransmissions must be noticed, and after R2 it must be given up.",
       code="rudp/core/connection.py: Connection.handle_timeout",
       test="tests/wire/test_timeouts.py::test_after_r2_the_connection_is_given_up"),
    _R("MUST-21", "3.8.3", "An application must be able to set R2.",
       code="rudp/core/config.py: Config.r2",
       test="tests/wire/test_timeouts.py::test_r2_can_be_set"),
    _R("SHLD-9", "3.8.3", "It should be told of trouble between R1 and R2.",
       code="rudp/core/connection.py: Connection.handle_timeout",
       test="tests/wire/test_timeouts.py::test_the_third_retransmission_is_told_as_trouble"),
    _R("SHLD-10", "3.8.3", "R1 should be at least three retransmissions.",
       code="rudp/core/config.py: Config.r1",
       test="tests/wire/test_timeouts.py::test_the_third_retransmission_is_told_as_trouble"),
    _R("SHLD-11", "3.8.3", "R2 should be at least 100 seconds.",
       code="rudp/core/config.py: Config.r2",
       test="tests/wire/test_timeouts.py::test_after_r2_the_connection_is_given_up"),
    _R("MUST-22", "3.8.3", "The same must hold for SYNs.",
       code="rudp/core/handshake.py: Handshake.on_timeout",
       test="tests/wire/test_opening.py::test_the_connect_timeout_is_kept_to_the_moment"),
    _R("MUST-23", "3.8.3", "R2 of a SYN must be at least three minutes.",
       code="rudp/core/config.py: Config.connect_timeout",
       test="tests/wire/test_opening.py::test_connecting_is_given_up_after_three_minutes"),
    # Keepalive ---------------------------------------------------------------------------------
    _R("MAY-5", "3.8.4", "There may be keepalives.",
       code="rudp/core/connection.py: Connection._on_keepalive",
       test="tests/wire/test_timeouts.py::test_an_idle_peer_is_asked_without_data"),
    _R("MUST-24", "3.8.4", "An application must be able to turn them on and off for a connection.",
       code="rudp/core/config.py: Config.keepalive",
       test="tests/wire/test_timeouts.py::test_keepalive_is_off_by_default"),
    _R("MUST-25", "3.8.4", "They must be off by default.",
       code="rudp/core/config.py: Config.keepalive",
       test="tests/wire/test_timeouts.py::test_keepalive_is_off_by_default"),
    _R("MUST-26", "3.8.4", "One must be sent only after an interval in which nothing was received.",
       code="rudp/core/connection.py: Connection._on_keepalive",
       test="tests/wire/test_timeouts.py::test_whatever_the_peer_sends_puts_the_probe_off"),
    _R("MUST-27", "3.8.4", "That interval must be configurable.",
       code="rudp/core/config.py: Keepalive.idle",
       test="tests/wire/test_timeouts.py::test_an_idle_peer_is_asked_without_data"),
    _R("MUST-28", "3.8.4", "Its default must be two hours or more.",
       code="rudp/core/config.py: Keepalive.idle",
       test="tests/core/test_config.py::test_the_defaults_are_valid_and_those_of_the_rfcs"),
    _R("MUST-29", "3.8.4", "No single unanswered keepalive must be taken for a dead peer.",
       code="rudp/core/config.py: Keepalive.count",
       test="tests/wire/test_timeouts.py"
       "::test_after_count_probes_without_an_answer_the_peer_is_dead"),
    _R("SHLD-12", "3.8.4", "A keepalive should have no data.",
       code="rudp/core/connection.py: Connection._on_keepalive",
       test="tests/wire/test_timeouts.py::test_an_idle_peer_is_asked_without_data"),
    _R("MAY-6", "3.8.4", "It may be made to have one byte of garbage.",
       differs="The peers that needed it are gone."),
    # IP options --------------------------------------------------------------------------------
    _R("MUST-50", "3.9.2", "IP options that TCP does not know must be ignored.",
       differs=f"{_IP} a UDP socket hands over the payload only."),
    _R("MAY-10", "3.9.2", "The IP timestamp option may be supported.",
       differs=f"{_IP} it is not used."),
    _R("MAY-11", "3.9.2", "The IP record route option may be supported.",
       differs=f"{_IP} it is not used."),
    _R("MUST-51", "3.9.2.1", "An active OPEN can name a source route.", differs=_SOURCE_ROUTE),
    _R("MUST-52", "3.9.2.1", "It wins over one that was received.", differs=_SOURCE_ROUTE),
    _R("MUST-53", "3.9.2.1", "Else the reverse of a received one is used.", differs=_SOURCE_ROUTE),
    _R("SHLD-24", "3.9.2.1", "Of two received ones, the later counts.", differs=_SOURCE_ROUTE),
    # ICMP --------------------------------------------------------------------------------------
    _R("MUST-54", "3.9.2.2", "ICMP errors must reach the connection that they are about.",
       code="rudp/engine.py: Engine.error_received",
       test="tests/test_errors.py::test_a_dead_udp_port_refuses_at_once"),
    _R("SHLD-25", "3.9.2.2", "The user should be able to learn of soft errors.", differs=_ICMP),
    _R("MUST-56", "3.9.2.2", "Soft errors (unreachable 0, 1, 5; 11; 12) must not abort.",
       code="rudp/engine.py: Engine.error_received",
       test="tests/test_errors.py::test_icmp_errors_at_the_server_are_nobodys",
       differs="In SYN-SENT every error that the socket reports ends the attempt, so that the next "
       "address is tried at once (RFC 5461 section 4.1). An established connection heeds none."),
    _R("SHLD-26", "3.9.2.2", "Hard errors (unreachable 2 to 4) should abort the connection.",
       differs="They end an attempt to connect. An established connection ignores them, since "
       "anyone can forge them (RFC 5927); it ends by R2 if nobody is there."),
    _R("MUST-55", "3.9.2.2", "Source quench must be discarded without a word.",
       differs=f"{_IP} current kernels discard it (RFC 6633)."),
    # Address validation ------------------------------------------------------------------------
    _R("MUST-63", "3.9.2.3", "A SYN from an address that cannot be valid must be ignored.",
       differs=f"{_IP} the kernel discards what claims to come from a broadcast, multicast or "
       "unspecified address before UDP sees it."),
    # Interface to the application --------------------------------------------------------------
    _R("MUST-47", "3.9.1.8", "There must be a way to report soft errors to the application.",
       code="rudp/engine.py: Engine._on_event",
       test="tests/wire/test_timeouts.py::test_the_third_retransmission_is_told_as_trouble"),
    _R("SHLD-20", "3.9.1.8", "An application should be able to turn such reports off.",
       code="rudp/engine.py: Engine._on_event",
       differs="The reports are records of the logger named rudp, which logging turns off; "
       "tcp_info is for who wants to know more."),
    _R("MUST-48", "3.9.1.9", "An application must be able to set the Diffserv field.",
       differs=f"{_IP} IP_TOS and IPV6_TCLASS are options of the UDP socket, passed as sock=."),
    _R("SHLD-22", "3.9.1.9", "Its value should go to IP as it is.",
       differs=f"{_IP} the socket's value is used for every datagram."),
    _R("SHLD-21", "3.9.1.9", "It should be possible to change it during a connection.",
       differs=f"{_IP} the socket's options can be set at any time."),
    _R("SHLD-23", "3.9.2", "An application should not change it without need.",
       differs="For applications to heed; nothing in rudp changes it."),
    _R("MAY-9", "3.9.1.9", "The last Diffserv field received may be passed up.",
       differs=f"{_IP} a UDP socket does not hand it over unless asked, and it is not asked."),
    _R("MAY-14", "3.9.1.7", "There may be a FLUSH call.",
       differs="asyncio's transports have none; abort() drops what is queued, with all the rest."),
    _R("MUST-43", "3.9.1.1", "OPEN must take a local address.",
       code="rudp/sockets.py: connect_socket",
       test="tests/test_sockets.py::test_connect_socket_takes_its_local_address"),
    # RFC 5961, ECN, congestion control ---------------------------------------------------------
    _R("MAY-12", "3.10.7.4", "An ACK out of range may be told by RFC 5961's stricter rule.",
       code="rudp/core/arrival.py: _check_ack",
       test="tests/wire/test_blind_attacks.py"
       "::test_an_ack_may_be_as_old_as_the_largest_window_that_the_peer_ever_told"),
    _R("SHLD-8", "3.8.2", "ECN should be supported.",
       code="rudp/core/handshake.py: offers_ecn",
       test="tests/wire/test_ecn.py"
       "::test_an_echo_shrinks_the_window_once_and_is_answered_with_cwr"),
    _R("MAY-18", "3.8.2", "Other congestion control that conforms may be used.",
       code="rudp/core/congestion/__init__.py: ALGORITHMS",
       test="tests/core/test_config.py"
       "::test_the_congestion_control_is_found_by_name_or_taken_as_it_is"),
)
# fmt: on
