"""Bugs that were found and mended: each of these failed first."""

from __future__ import annotations

from typing import Any

import pytest

from rudp.channel import Channel
from rudp.core.config import Config, Keepalive
from rudp.core.congestion import Reno
from rudp.core.connection import open_active
from rudp.core.flight import Arrivals
from rudp.core.reassembly import Reassembly
from rudp.core.recovery import Recovery
from rudp.core.scoreboard import Scoreboard
from rudp.deadlines import Deadlines
from tests.core.acks import heard
from tests.core.receiving import NXT, arrive, read_all, receiver, sacks
from tests.core.scoreboards import send
from tests.core.sending import FIRST, MSS, ack, established, expire, flush, write
from tests.core.test_sender_persist import shut
from tests.core.test_sender_recovery import in_flight, seg


# 1. test_sender_persist.py -- MUST-37 broken whenever r2 < 2 * the pause between probes.
def test_probes_answered_keep_the_connection_for_ever_even_if_r2_is_short() -> None:
    snd = shut(r2=10.0)
    for _ in range(50):
        now = expire(snd)
        assert now < snd.give_up_deadline  # gives up although each probe was answered
        flush(snd, now)
        ack(snd, 2000, now + 0.1, wnd=0)


# 2. test_sender_recovery.py -- RFC 6675 section 5 step (1): DupAcks >= DupThresh.
def test_three_duplicate_acks_of_small_segments_start_recovery() -> None:
    snd = established(avoid=True)
    for _ in range(10):
        write(snd, 100)
        flush(snd, 0.0)
    for last in (200, 300, 400):
        ack(snd, 0, 0.1, (100, last))
    assert snd.loss.state is Recovery.FAST
    assert flush(snd, 0.1)[0] == (0, 100)


# 3. test_sender_recovery.py -- RFC 5681 section 3.2 step 2, RFC 6675 step (4.2): data sent by
#    limited transmit MUST NOT be counted in FlightSize.
def test_limited_transmit_does_not_count_in_flight_size_without_sack() -> None:
    snd = in_flight(sack=False)
    write(snd, 5000)
    for _ in range(3):
        ack(snd, 1, 0.1)
        flush(snd, 0.1)
    assert snd.loss.state is Recovery.FAST
    assert snd.cc.ssthresh == 5000


def test_limited_transmit_does_not_count_in_flight_size_with_sack() -> None:
    snd = in_flight()
    write(snd, 5000)
    for last in (2, 3, 4):
        ack(snd, 1, 0.1, seg(1, last))
        flush(snd, 0.1)
    assert snd.loss.state is Recovery.FAST
    assert snd.cc.ssthresh == 5000


# 4. test_sender_recovery.py -- RFC 3042: cwnd MUST NOT change on the first two duplicates; RFC 5681
#    section 3.1: slow start grows on ACKs that cumulatively acknowledge new data.
def test_slow_start_does_not_grow_on_duplicate_acks_with_sack() -> None:
    snd = established()
    write(snd, 20_000)
    flush(snd, 0.0)
    ack(snd, 0, 0.1, (1000, 2000))
    assert snd.cc.cwnd == 10_000
    assert flush(snd, 0.1) == [(10_000, 11_000)]


# 5. test_sender_recovery.py -- RFC 6582 section 3.2 step 3: a partial ACK deflates cwnd by what it
#    acknowledges and adds back one segment; here all inflation is dropped.
def test_a_partial_ack_deflates_cwnd_by_what_it_acknowledges() -> None:
    snd = in_flight(sack=False)
    for _ in range(9):
        ack(snd, 1, 0.1)
    flush(snd, 0.1)
    write(snd, 20_000)
    assert flush(snd, 0.11) == [seg(10, 14)]  # cwnd 5 + 9 of 14 segments: all used
    ack(snd, seg(2)[0], 0.2)  # 2 segments acknowledged: cwnd 14 - 2 + 1, flight 12
    assert flush(snd, 0.2) == [seg(2), seg(14)]


# 6. test_sender_recovery.py -- RFC 6582 section 3.2 step 2: fast retransmit only if the ACK covers
#    *more than* recover. Duplicates at recover come from what was sent again without need.
def test_duplicates_of_the_ack_that_ended_recovery_start_no_new_one() -> None:
    snd = in_flight(sack=False)
    flush(snd, expire(snd))
    ack(snd, 10_001, 0.5)  # the ACKs had been late, not the data
    assert snd.loss.state is Recovery.OPEN
    write(snd, 4000)
    flush(snd, 0.5)
    before = snd.cc.cwnd
    for _ in range(3):
        ack(snd, 10_001, 0.6)
    assert snd.loss.state is Recovery.OPEN
    assert snd.cc.cwnd == before


# 7. test_sender_persist.py -- answers to zero-window probes are no duplicate ACKs.
def test_a_shut_window_says_nothing_of_congestion_without_sack() -> None:
    snd = shut(sack=False)
    before = snd.cc.cwnd
    for _ in range(5):
        now = expire(snd)
        flush(snd, now)
        ack(snd, 2000, now + 0.1, wnd=0)
    assert (snd.cc.cwnd, snd.loss.state) == (before, Recovery.OPEN)


# 8. test_sender_recovery.py -- RFC 5681 equation (2): cwnd += min(N, SMSS) in the slow start after
#    a timeout (RFC 3465 section 2.2 exempts it from any larger L): the ACK covers data that left
#    the network long ago.
def test_in_slow_start_after_a_timeout_one_ack_adds_one_segment() -> None:
    snd = in_flight()
    write(snd, 20_000)
    now = expire(snd)
    flush(snd, now)
    ack(snd, seg(8)[0], now + 0.1)
    assert snd.cc.cwnd == 2000


# 9. test_sender.py -- Karn: an ACK that covers data sent twice was held back by it, so the other
#    data that it covers measures the time of the repair, not of a round trip.
def test_an_ack_that_a_retransmission_brought_measures_nothing() -> None:
    snd = in_flight(sack=False)
    now = expire(snd)
    flush(snd, now)
    ack(snd, 10_001, now + 0.1)
    assert snd.rtt.latest < 0.2  # not now + 0.1, which is an RTO and a round trip


# 10. test_scoreboard.py -- the limit is for what SACKs cut; flights of small writes exhaust it too,
#     and from then on every SACK is ignored.
def test_a_block_that_cuts_nothing_is_taken_however_many_flights_there_are() -> None:
    board = Scoreboard(16)
    for i in range(40):
        send(board, FIRST + 10 * i, FIRST + 10 * i + 10, 1.0)
    news = Arrivals()
    board.on_sack([(FIRST + 10, FIRST + 390)], FIRST, FIRST + 400, news)
    assert (news.size, news.sampled_at) == (380, 1.0)


# 12. test_receiver.py -- `Reassembly` says that the first copy of a byte wins; a segment at RCV.NXT
#     that covers held data wins over it, and is not reported as a duplicate (RFC 2883).
def test_the_first_copy_of_a_byte_wins_over_a_segment_in_order() -> None:
    rcv = receiver()
    rcv.on_data(NXT + 2, b"CD", 2, 1.0)
    rcv.on_data(NXT, b"xxxxxx", 6, 1.0)
    assert read_all(rcv) == b"xxCDxx"


# 13. test_receiver.py -- RFC 2883 section 4: the second block is the range that the duplicate is
#     part of. (The comment in `sack_blocks` says so too.)
def test_a_duplicate_is_followed_by_the_range_that_it_is_part_of() -> None:
    rcv = receiver()
    arrive(rcv, 1000, 3000)
    arrive(rcv, 5000, 6000)
    arrive(rcv, 2000, 3000)
    assert sacks(rcv) == [(2000, 3000), (1000, 3000), (5000, 6000)]


# 14. test_reassembly.py -- after 16 newer pieces an older range is never reported again.
def test_all_ranges_are_reported_that_there_is_room_for() -> None:
    store = Reassembly(100)
    store.add(NXT + 10, b"a")
    for i in range(16):
        store.add(NXT + 100 + i, b"b")  # one range, in pieces that no ACK came between
    assert set(store.blocks(4)) == {(NXT + 100, NXT + 116), (NXT + 10, NXT + 11)}


# 15. test_congestion.py -- Config(initial_window=20) is silently ten.
def test_a_larger_initial_window_that_is_asked_for_is_used() -> None:
    snd = established(initial_window=20)
    assert snd.cc.cwnd == 20 * MSS


# 16. test_deadlines.py -- a far deadline is entered again after each near one that fired.
class Loop:
    def call_later(self, delay: float, callback: object) -> Loop:
        return self

    def cancel(self) -> None:
        pass


def test_near_deadlines_do_not_pile_up_entries_for_a_far_one() -> None:
    now = [0.0]
    loop: Any = Loop()
    deadlines = Deadlines(loop, lambda: now[0], 0.0, lambda due, at: None, lambda: None)
    connection = open_active(Config(), local_port=1, peer_port=2, iss=0, now=0.0, mss=1460)
    channel = Channel(connection, ("peer", 2))
    for _ in range(1000):  # keepalive in two hours, a delayed ACK every 40 ms
        deadlines.set(channel, now[0] + 0.04)
        now[0] += 0.04
        deadlines._on_timer()
        deadlines.set(channel, 7200.0)
    assert len(deadlines._heap) <= 2


# 17. test_config.py -- Keepalive's types are not looked at: 2.5 probes are taken, and a string
#     raises an error that does not name the field.
def test_keepalive_refuses_a_wrong_type_by_the_name_of_the_field() -> None:
    for bad in ({"idle": "1"}, {"count": 2.5}, {"interval": True}):
        with pytest.raises(TypeError, match=next(iter(bad))):
            Keepalive(**bad)  # type: ignore[arg-type]


# 18. test_reno.py -- idleness keeps the bytes counted towards the old, larger window: the first ACK
#     of one byte then adds many segments.
def test_idleness_begins_the_count_of_avoidance_anew() -> None:
    cc = Reno(MSS, 10)
    cc.cwnd = cc.ssthresh = 100 * MSS
    heard(cc, 99 * MSS, 1.0)
    cc.on_restart(1.0, 0.3, 2.0)
    cc.ssthresh = 5 * MSS
    heard(cc, 1, 2.1)
    assert cc.cwnd == 10 * MSS
