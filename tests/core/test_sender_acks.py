"""What an ACK leaves behind in the sender: what congestion control is told of it, and the timers.

The way of an ACK in order is short, and another one is taken once there was a SACK: each has to
leave the same. A round trip takes 0.1 s and the RTO is 0.3 s; see `sending`.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rudp.core.recovery import Recovery
from rudp.core.sender import Sender
from rudp.core.tlp import MAX_ACK_DELAY
from tests.core.sending import FIRST, MSS, RTO, Unpaced, ack, established, flush, tick, write

SECOND = 100.0
"""When the data goes out: far from the clock's beginning, where wrong signs can hide."""


def busy(size: int = 4000, **options: bool) -> Sender:
    """So much was sent at SECOND."""
    snd = established(avoid=True, **options)
    write(snd, size)
    flush(snd, SECOND)
    return snd


def disturbed(size: int = 4000) -> Sender:
    """The same, and the second segment was SACKed and then covered: the long way from now on."""
    snd = busy(size)
    ack(snd, 0, SECOND + 0.05, (1000, 2000))
    ack(snd, 2000, SECOND + 0.05)
    assert (snd.loss.calm, snd.loss.state) == (False, Recovery.OPEN)
    return snd


# What congestion control is told.


def test_an_ack_in_order_is_told_with_all_its_numbers() -> None:
    snd = busy()
    ack(snd, 3000, SECOND + 0.2)
    told = snd.sample
    assert (told.acked, told.progress, told.newly_lost, told.recovering) == (3000, True, 0, False)
    assert (told.prior_in_flight, told.in_flight, told.delivered) == (4000, 1000, 3000)
    assert (told.now, told.rtt) == (SECOND + 0.2, pytest.approx(0.2))
    assert told.srtt == pytest.approx(0.1 + 0.1 / 8)
    assert told.min_rtt == pytest.approx(0.1)
    assert told.delivery_rate == pytest.approx(3000 / 0.2)


def test_an_ack_after_a_sack_is_told_with_the_same() -> None:
    snd = disturbed()
    ack(snd, 3000, SECOND + 0.2)
    told = snd.sample
    assert (told.acked, told.progress, told.newly_lost, told.recovering) == (1000, True, 0, False)
    assert (told.prior_in_flight, told.in_flight, told.delivered) == (2000, 1000, 3000)
    assert (told.now, told.rtt) == (SECOND + 0.2, pytest.approx(0.2))
    assert told.delivery_rate == pytest.approx(3000 / 0.2)


def test_a_sack_alone_is_no_progress() -> None:
    snd = busy()
    ack(snd, 0, SECOND + 0.1, (1000, 2000))
    assert (snd.sample.progress, snd.sample.acked) == (False, 1000)
    ack(snd, 2000, SECOND + 0.1)
    assert (snd.sample.progress, snd.sample.acked) == (True, 1000)


def test_a_loss_is_told_with_its_bytes() -> None:
    snd = busy()
    ack(snd, 0, SECOND + 0.1, (1000, 4000))
    told = snd.sample
    assert (told.acked, told.newly_lost, told.recovering) == (3000, 1000, True)
    assert (told.prior_in_flight, told.in_flight) == (4000, 0)
    assert (told.lost_tx_in_flight, told.lost_since, told.total_lost) == (4000, 1000, 1000)


def test_without_sack_duplicates_add_to_what_was_delivered() -> None:
    snd = busy(8000, sack=False)
    ack(snd, 2000, SECOND + 0.1)
    for _ in range(2):
        ack(snd, 2000, SECOND + 0.1)
        assert snd.sample.acked == MSS
    assert (snd.sample.delivered, snd.sample.delivery_rate) == (4000, 0.0)
    # RFC 9937 section 6: less a segment for each duplicate before.
    ack(snd, 5000, SECOND + 0.15)
    assert (snd.sample.acked, snd.sample.delivered) == (1000, 5000)


def test_a_message_that_fills_the_window_is_not_limited_by_the_application() -> None:
    for size, limited in [(MSS, False), (MSS - 1, True)]:
        snd = established()
        snd.cc.cwnd = MSS
        write(snd, size)
        assert flush(snd, SECOND) == [(0, size)]
        assert bool(snd.loss.rate.app_limited) is limited


def test_data_that_leaves_room_in_the_window_is_limited_by_the_application() -> None:
    for cwnd, limited in [(3000, False), (3001, True)]:
        snd = established()
        snd.cc.cwnd = cwnd
        write(snd, 3000)
        assert flush(snd, SECOND) == [(0, 3000)]
        assert bool(snd.loss.rate.app_limited) is limited


def test_cwnd_has_limited_us_for_the_round_trip_after_it_did() -> None:
    snd = established()
    snd.cc.cwnd = 2000
    write(snd, 6000)
    assert flush(snd, SECOND) == [(0, 2000)]
    ack(snd, 1000, SECOND + 0.1)
    assert snd.sample.cwnd_limited
    snd.cc.cwnd = 20_000
    flush(snd, SECOND + 0.1)
    ack(snd, 2000, SECOND + 0.2)
    assert snd.sample.cwnd_limited
    ack(snd, 3000, SECOND + 0.3)
    assert not snd.sample.cwnd_limited


class Noting(Unpaced):
    """Reno that writes down what it is told of pauses and transmissions."""

    pauses: list[float]
    sent: list[tuple[int, int]]

    def on_sent(self, size: int, in_flight: int, now: float) -> None:
        self.sent.append((size, in_flight))

    def on_restart(self, idle: float, rto: float, now: float) -> None:
        self.pauses.append(idle)


@pytest.mark.parametrize("size", [500, 2500])
def test_a_pause_begins_with_the_last_progress_and_there_is_none_before_the_first_data(
    size: int,
) -> None:
    snd = established(congestion=Noting)
    snd.cc.pauses, snd.cc.sent = [], []
    write(snd, size)
    flush(snd, SECOND)
    ack(snd, size, SECOND + 0.1)
    write(snd, size)
    flush(snd, SECOND + 2.0)
    assert snd.cc.pauses == [pytest.approx(1.9)]


def test_each_transmission_is_told_with_what_is_in_flight_then() -> None:
    snd = established(avoid=True, congestion=Noting)
    snd.cc.pauses, snd.cc.sent = [], []
    write(snd, 500)
    flush(snd, SECOND)
    write(snd, 4000)
    flush(snd, SECOND)
    assert snd.cc.sent == [(500, 500), (4000, 4500)]
    snd.cc.sent.clear()
    ack(snd, 0, SECOND + 0.1, (500, 3500))
    assert flush(snd, SECOND + 0.1) == [(0, 500)]
    assert snd.cc.sent == [(500, 1500)]


# The timers.


@pytest.mark.parametrize("start", [busy, disturbed])
def test_an_ack_of_new_data_gives_the_rest_an_rto_from_now(start: Callable[..., Sender]) -> None:
    # RFC 6298 section 5.3.
    snd = start()
    ack(snd, 3000, SECOND + 0.1)
    assert snd.rto_deadline == SECOND + 0.1 + snd.rtt.rto
    assert snd.give_up_deadline == SECOND + 0.1 + 100.0  # R2


@pytest.mark.parametrize("start", [busy, disturbed])
def test_a_segment_left_alone_is_probed_after_the_peers_delayed_ack(
    start: Callable[..., Sender],
) -> None:
    # RFC 8985 section 7.2: PTO = 2 * SRTT + TLP.max_ack_delay where FlightSize is one segment.
    snd = start()
    ack(snd, 3000, SECOND + 0.05)
    expected = SECOND + 0.05 + 2 * snd.rtt.srtt + MAX_ACK_DELAY
    assert snd.loss_deadline == pytest.approx(min(expected, snd.rto_deadline))
    assert snd.loss_deadline < snd.rto_deadline


@pytest.mark.parametrize("start", [busy, disturbed])
def test_two_segments_are_probed_after_two_round_trips(start: Callable[..., Sender]) -> None:
    snd = start(5000)
    ack(snd, 3000, SECOND + 0.05)
    assert snd.loss_deadline == pytest.approx(SECOND + 0.05 + 2 * snd.rtt.srtt)


def test_the_probe_takes_the_place_of_the_rto() -> None:
    snd = busy()
    now = tick(snd)
    assert now == pytest.approx(SECOND + 0.2)
    assert snd.rto_deadline == now + RTO
    assert flush(snd, now) == [(3000, 4000)]
    assert snd.rto_deadline == now + RTO


def test_a_retransmission_of_the_first_segment_starts_the_timer_again() -> None:
    snd = busy()
    ack(snd, 0, SECOND + 0.25, (1000, 4000))
    assert flush(snd, SECOND + 0.25) == [(0, 1000)]
    assert snd.rto_deadline == SECOND + 0.25 + snd.rtt.rto


def test_a_retransmission_behind_the_first_leaves_the_timer_alone() -> None:
    snd = busy(8000)
    snd.cc.cwnd = snd.cc.ssthresh = 20_000
    ack(snd, 0, SECOND + 0.1, (1000, 2000), (3000, 8000))
    rto = SECOND + 0.1 + snd.rtt.rto
    assert flush(snd, SECOND + 0.1) == [(0, 1000), (2000, 3000)]
    assert snd.rto_deadline == rto
    assert snd.una == FIRST
