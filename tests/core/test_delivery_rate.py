"""The delivery rate on each ACK: draft-ietf-ccwg-bbr section 4.1."""

from __future__ import annotations

import pytest

from rudp.core.congestion import AckSample
from rudp.core.delivery_rate import DeliveryRate


def sampled(min_rtt: float = 0.0) -> AckSample:
    sample = AckSample()
    sample.min_rtt = min_rtt
    return sample


def test_what_was_delivered_over_the_time_that_it_took_is_the_rate() -> None:
    rate, sample = DeliveryRate(), sampled()
    first = rate.on_sent(0, 10_000, 1.0)
    rate.on_delivered(10_000, first, 1.1, sample)
    assert sample.delivery_rate == pytest.approx(10_000 / 0.1)
    assert sample.interval == pytest.approx(0.1)
    assert (sample.prior_delivered, sample.delivered) == (0, 10_000)


def test_the_rate_spans_all_that_arrived_since_the_data_was_sent() -> None:
    rate, sample = DeliveryRate(), sampled()
    first = rate.on_sent(0, 10_000, 1.00)
    second = rate.on_sent(10_000, 10_000, 1.05)
    third = rate.on_sent(20_000, 10_000, 1.10)
    rate.on_delivered(10_000, first, 1.2, sample)
    rate.on_delivered(10_000, second, 1.25, sample)
    rate.on_delivered(10_000, third, 1.3, sample)
    # Sent when nothing was delivered yet: 30,000 bytes since 1.0, over the longer of 0.3 (ACKs) and
    # 0.05 (from the second to the third transmission).
    assert sample.delivery_rate == pytest.approx(30_000 / 0.3)


def test_acks_that_come_in_one_burst_make_the_path_no_faster_than_we_sent() -> None:
    """Section 4.1.1.2: 100 kB sent within 0.2 s, the ACKs for all but the first within 1 ms."""
    rate, sample = DeliveryRate(), sampled()
    stamps = [rate.on_sent(n * 10_000, 10_000, 1.0 + n * 0.02) for n in range(11)]
    rate.on_delivered(10_000, stamps[0], 1.5, sample)
    more = rate.on_sent(100_000, 10_000, 1.5)
    for n in range(1, 11):
        rate.on_delivered(10_000, stamps[n], 1.5 + n * 0.0001, sample)
    assert sample.delivery_rate == pytest.approx(110_000 / 0.501)
    rate.on_delivered(10_000, more, 1.7, sample)
    # It went out 0.5 s after the newest of what had arrived by then, and its ACK came 0.2 s later:
    # sending all of this took longer than the ACKs did.
    assert sample.interval == pytest.approx(0.5)
    assert sample.delivery_rate == pytest.approx(110_000 / 0.5)


def test_a_pause_is_no_part_of_the_interval() -> None:
    rate, sample = DeliveryRate(), sampled()
    rate.on_delivered(1000, rate.on_sent(0, 1000, 1.0), 1.1, sample)
    rate.on_delivered(1000, rate.on_sent(0, 1000, 50.0), 50.1, sample)
    assert sample.delivery_rate == pytest.approx(1000 / 0.1)


def test_an_interval_shorter_than_the_least_round_trip_gives_no_rate() -> None:
    """It comes from the ACK of the original of what was sent again."""
    rate, sample = DeliveryRate(), sampled(min_rtt=0.1)
    rate.on_delivered(1000, rate.on_sent(0, 1000, 1.0), 1.05, sample)
    assert sample.delivery_rate == 0.0
    assert sample.delivered == 1000


def test_an_interval_of_nothing_gives_no_rate() -> None:
    rate, sample = DeliveryRate(), sampled()
    rate.on_delivered(1000, rate.on_sent(0, 1000, 1.0), 1.0, sample)
    assert sample.delivery_rate == 0.0


def test_a_sample_tells_what_was_in_flight_and_what_was_lost_meanwhile() -> None:
    rate, sample = DeliveryRate(), sampled()
    rate.on_lost(500)
    stamp = rate.on_sent(4000, 1000, 1.0)
    rate.on_lost(2000)
    rate.on_delivered(1000, stamp, 1.1, sample)
    assert (sample.tx_in_flight, sample.lost, sample.total_lost) == (5000, 2000, 2500)


def test_of_what_is_lost_a_sample_tells_the_same() -> None:
    rate, sample = DeliveryRate(), sampled()
    rate.on_delivered(700, rate.on_sent(0, 700, 0.9), 1.0, sample)
    stamp = rate.on_sent(4000, 1000, 1.0)
    rate.mark_app_limited(5000)
    later = rate.on_sent(500, 1000, 1.1)
    rate.on_lost(1000)
    rate.on_delivered(1000, later, 1.2, sample)
    rate.tell_lost(stamp, sample)
    assert (sample.lost_tx_in_flight, sample.lost_since) == (5000, 1000)
    assert (sample.lost_prior_delivered, sample.lost_app_limited) == (700, False)
    rate.tell_lost(later, sample)
    assert sample.lost_app_limited


def test_what_was_lost_before_it_was_sent_is_not_told_with_what_is_lost_now() -> None:
    rate, sample = DeliveryRate(), sampled()
    rate.on_lost(500)
    stamp = rate.on_sent(4000, 1000, 1.0)
    rate.on_lost(2000)
    rate.tell_lost(stamp, sample)
    assert sample.lost_since == 2000


def test_what_is_sent_while_there_is_too_little_is_marked_until_the_bubble_is_gone() -> None:
    """Section 4.1.2.4."""
    rate, sample = DeliveryRate(), sampled()
    before = rate.on_sent(0, 1000, 1.0)
    rate.mark_app_limited(1000)
    within = rate.on_sent(1000, 1000, 1.01)
    rate.on_delivered(1000, before, 1.1, sample)
    assert not sample.app_limited
    still = rate.on_sent(1000, 1000, 1.1)
    rate.on_delivered(1000, within, 1.11, sample)  # 2000 delivered of 1000 that the bubble had
    assert sample.app_limited
    after = rate.on_sent(1000, 1000, 1.12)
    rate.on_delivered(1000, still, 1.2, sample)
    assert sample.app_limited
    rate.on_delivered(1000, after, 1.22, sample)
    assert not sample.app_limited


def test_an_ack_of_nothing_leaves_no_old_rate_in_the_sample() -> None:
    rate, sample = DeliveryRate(), sampled()
    rate.on_delivered(1000, rate.on_sent(0, 1000, 1.0), 1.1, sample)
    rate.on_lost(300)
    rate.on_nothing(sample)
    assert (sample.delivery_rate, sample.interval, sample.lost) == (0.0, 0.0, 0)
    assert (sample.delivered, sample.prior_delivered, sample.total_lost) == (1000, 1000, 300)
