"""The snapshot of a connection says what the connection is at, in seconds and bytes."""

from __future__ import annotations

import dataclasses
import math

import pytest

from rudp.core.config import Config
from rudp.core.connection import Connection, open_active, open_passive
from rudp.core.state import State

ISS, IRS = 2**32 - 3, 2**32 - 9
MSS = 1452
RTT = 0.05


def exchange(sender: Connection, receiver: Connection, now: float) -> None:
    for seg in sender.segments_to_send(now):
        receiver.receive(seg, now + RTT / 2)


def connected(a: Config | None = None, b: Config | None = None) -> tuple[Connection, Connection]:
    """Two connections that have shaken hands by 10.0 + 1.5 RTT."""
    active = open_active(
        a or Config(), local_port=4000, peer_port=80, iss=ISS, now=10.0, mss=MSS, ts_offset=5
    )
    (syn,) = active.segments_to_send(10.0)
    passive = open_passive(b or Config(), iss=IRS, syn=syn, now=10.0 + RTT / 2, mss=MSS)
    exchange(passive, active, 10.0 + RTT / 2)
    exchange(active, passive, 10.0 + RTT)
    return active, passive


def test_before_the_handshake_nothing_is_known() -> None:
    c = open_active(Config(), local_port=1, peer_port=2, iss=ISS, now=1.0, mss=MSS)
    c.segments_to_send(1.0)
    info = c.tcp_info()
    assert info.state is State.SYN_SENT
    assert (info.rto, info.rtt, info.rttvar, info.min_rtt) == (1.0, 0.0, 0.0, math.inf)
    assert (info.snd_mss, info.snd_cwnd, info.snd_ssthresh, info.snd_wnd) == (0, 0, 0, 0)
    assert (info.segs_out, info.segs_in, info.total_retrans, info.bytes_acked) == (1, 0, 0, 0)


def test_a_syn_sent_again_is_a_retransmission() -> None:
    c = open_active(Config(), local_port=1, peer_port=2, iss=ISS, now=1.0, mss=MSS)
    c.segments_to_send(1.0)
    c.handle_timeout(2.0)
    c.segments_to_send(2.0)
    info = c.tcp_info()
    assert (info.retransmits, info.retrans, info.total_retrans, info.segs_out) == (1, 1, 1, 2)
    assert info.rto == 2.0


def test_after_the_handshake_it_says_what_was_agreed_on() -> None:
    active, passive = connected()
    for c in (active, passive):
        info = c.tcp_info()
        assert info.state is State.ESTABLISHED
        assert info.options == ("timestamps", "sack", "wscale")
        assert info.snd_mss == MSS - 12  # timestamps in every segment
        assert info.snd_cwnd == 14400
        assert info.snd_ssthresh > 2**32
        assert info.rtt == pytest.approx(RTT)
        assert info.rttvar == pytest.approx(RTT / 2)
        assert info.min_rtt == pytest.approx(RTT)
        assert info.unacked == info.bytes_sent == info.bytes_acked == info.bytes_received == 0
    assert (active.tcp_info().segs_out, active.tcp_info().segs_in) == (2, 1)
    assert (passive.tcp_info().segs_out, passive.tcp_info().segs_in) == (1, 2)


def test_options_that_one_side_turned_off_are_not_listed() -> None:
    active, passive = connected(Config(sack=False), Config(timestamps=False))
    assert active.tcp_info().options == passive.tcp_info().options == ("wscale",)
    assert active.tcp_info().snd_mss == MSS


def test_data_on_its_way_is_unacked_and_what_cwnd_keeps_back_is_unsent() -> None:
    active, _ = connected()
    active.write(bytes(20_000))
    active.segments_to_send(11.0)
    info = active.tcp_info()
    assert (info.unacked, info.notsent_bytes, info.bytes_sent) == (14400, 5600, 14400)
    assert (info.bytes_acked, info.sacked, info.lost) == (0, 0, 0)


def test_data_that_arrived_counts_on_both_sides() -> None:
    active, passive = connected()
    active.write(bytes(5000))
    exchange(active, passive, 11.0)
    exchange(passive, active, 11.0 + RTT / 2)
    there, here = passive.tcp_info(), active.tcp_info()
    assert there.bytes_received == here.bytes_acked == here.bytes_sent == 5000
    assert here.unacked == 0
    assert there.rcv_space - 5000 <= there.rcv_wnd <= there.rcv_space
    assert here.snd_wnd == pytest.approx(there.rcv_wnd, abs=1 << passive.rcv_shift)


def test_lost_data_shows_until_it_is_sent_again() -> None:
    active, passive = connected(Config(congestion="reno"))
    active.write(bytes(14400))
    (seg,) = active.segments_to_send(11.0)
    seg.seq, seg.data = seg.seq + 1440, seg.data[1440:]  # its first segment was dropped
    passive.receive(seg, 11.0 + RTT / 2)
    (ack,) = passive.segments_to_send(11.0 + RTT / 2)
    active.receive(ack, 11.0 + RTT)
    info = active.tcp_info()
    assert (info.unacked, info.sacked, info.lost) == (14400, 12960, 1440)
    assert info.snd_cwnd == info.snd_ssthresh == 7200
    active.segments_to_send(11.0 + RTT)
    info = active.tcp_info()
    assert (info.lost, info.bytes_retrans, info.total_retrans) == (0, 1440, 1)
    assert info.retransmits == 0  # no timer expired
    assert info.bytes_sent == 14400 + 1440


def test_timeouts_count_until_something_is_acknowledged() -> None:
    active, passive = connected()
    active.write(b"x")
    active.segments_to_send(11.0)
    for _ in range(4):  # the handshake's timer finds that all is well; then the tail loss probe
        active.handle_timeout(active.next_deadline())
        again = active.segments_to_send(active.tcp_info().rto + 11.0)
    assert active.tcp_info().retransmits == active.tcp_info().retrans == 2
    passive.receive(again[0], 12.0)
    passive.handle_timeout(passive.next_deadline())
    exchange(passive, active, 12.1)
    assert (active.tcp_info().retransmits, active.tcp_info().total_retrans) == (0, 3)


def test_a_fin_is_not_counted_as_data() -> None:
    active, passive = connected()
    active.write(b"last")
    active.write_eof()
    exchange(active, passive, 11.0)
    exchange(passive, active, 11.0 + RTT / 2)
    assert active.tcp_info().state is State.FIN_WAIT_2
    assert (active.tcp_info().bytes_acked, active.tcp_info().unacked) == (4, 0)
    assert passive.tcp_info().bytes_received == 4


def test_every_field_says_what_it_is_in_a_line_of_its_own() -> None:
    info = connected()[0].tcp_info()
    with pytest.raises(dataclasses.FrozenInstanceError):
        info.rtt = 1.0  # type: ignore[misc]
    assert all(getattr(info, field.name) is not None for field in dataclasses.fields(info))
