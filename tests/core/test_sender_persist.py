"""A window that is shut: the persist timer and its probes (RFC 9293 section 3.8.6.1)."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from rudp.core.sender import Sender
from tests.core.sending import RTO, ack, established, expire, flush, segments, write


def shut(size: int = 5000, sack: bool = True, **config: float) -> Sender:
    """2000 bytes were acknowledged at 0.1 and the window was shut; `size` more wait."""
    snd = established(wnd=2000, sack=sack, **config)
    write(snd, 2000 + size)
    flush(snd, 0.0)
    ack(snd, 2000, 0.1, wnd=0)
    assert flush(snd, 0.1) == []
    return snd


def test_the_first_probe_comes_after_an_rto() -> None:
    snd = shut()
    assert snd.rto_deadline == math.inf
    assert snd.persist_deadline == pytest.approx(0.1 + snd.rtt.rto)


def test_a_probe_is_one_octet_and_the_same_one_each_time() -> None:
    snd = shut()
    for _ in range(3):
        assert flush(snd, expire(snd)) == [(2000, 2001)]
    assert snd.flight_size == 1


def test_the_pause_between_probes_doubles_up_to_the_greatest_rto() -> None:
    snd = shut(max_rto=2.0)
    rto = snd.rtt.rto
    moments = [0.1]
    for _ in range(6):
        moments.append(expire(snd))
        flush(snd, moments[-1])
        ack(snd, 2000, moments[-1] + 0.1, wnd=0)
    pauses = [after - before for before, after in pairwise(moments)]
    assert pauses == pytest.approx([min(2.0, rto * 2**i) for i in range(6)])


def test_data_written_into_a_shut_window_is_probed_for() -> None:
    snd = established(wnd=0)
    write(snd, 10)
    assert flush(snd, 5.0) == []
    assert snd.next_deadline() == pytest.approx(5.0 + RTO)


def test_with_no_data_a_shut_window_does_not_matter() -> None:
    snd = shut(0)
    assert snd.next_deadline() == math.inf
    ack(snd, 2000, 1.0, wnd=0)
    assert snd.next_deadline() == math.inf


def test_a_probe_without_data_is_the_fin() -> None:
    snd = shut(0)
    snd.fin_queued = True
    assert segments(snd, 1.0) == []
    assert segments(snd, expire(snd)) == [(2000, 2001, "F")]
    assert segments(snd, expire(snd)) == [(2000, 2001, "F")]
    ack(snd, 2001, 9.0, wnd=0)
    assert snd.fin_acked
    assert snd.next_deadline() == math.inf


@pytest.mark.parametrize("sack", [True, False])
def test_when_the_window_opens_the_octet_of_the_probe_is_sent_again_and_the_rest(
    sack: bool,
) -> None:
    snd = shut(sack=sack)
    flush(snd, expire(snd))
    ack(snd, 2000, 1.0, wnd=8000)
    assert flush(snd, 1.0) == [(2000, 2001), (2001, 7000)]
    assert snd.persist_deadline == math.inf
    assert snd.rto_deadline == pytest.approx(1.0 + snd.rtt.rto)


def test_when_the_octet_was_taken_the_rest_follows() -> None:
    snd = shut()
    flush(snd, expire(snd))
    ack(snd, 2001, 1.0, wnd=8000)
    assert flush(snd, 1.0) == [(2001, 7000)]


def test_a_window_that_opens_before_the_first_probe_needs_none() -> None:
    snd = shut()
    ack(snd, 2000, 0.2, wnd=8000)
    assert flush(snd, 0.2) == [(2000, 7000)]
    assert snd.persist_deadline == math.inf


def test_a_window_that_shuts_over_data_in_flight_is_probed_with_its_first_octet() -> None:
    snd = established(wnd=10_000)
    write(snd, 10_000)
    flush(snd, 0.0)
    ack(snd, 4000, 0.1, wnd=0)
    assert snd.rto_deadline == math.inf
    assert flush(snd, 0.1) == []
    assert flush(snd, expire(snd)) == [(4000, 4001)]
    ack(snd, 4001, 1.0, wnd=10_000)
    assert flush(snd, 1.0) == [(4001, 10_000)]


def test_probes_answered_keep_the_connection_for_ever() -> None:
    # MUST-37.
    snd = shut()
    for _ in range(50):
        now = expire(snd)
        assert now < snd.give_up_deadline
        assert flush(snd, now) == [(2000, 2001)]
        ack(snd, 2000, now + 0.1, wnd=0)
    assert now > 2000.0


def test_probes_without_an_answer_end_it_after_r2() -> None:
    snd = shut(r2=10.0)
    while (now := expire(snd)) != snd.give_up_deadline:
        flush(snd, now)
    assert now == pytest.approx(10.1)


def test_the_user_timeout_ends_it_even_if_probes_are_answered() -> None:
    # RFC 5482: the limit that the user set.
    snd = shut(user_timeout=10.0)
    while (now := expire(snd)) != snd.give_up_deadline:
        flush(snd, now)
        ack(snd, 2000, now + 0.01, wnd=0)
    assert now == pytest.approx(10.1)


def test_a_shut_window_says_nothing_of_congestion() -> None:
    snd = shut()
    before = snd.cc.cwnd
    for _ in range(5):
        now = expire(snd)
        flush(snd, now)
        ack(snd, 2000, now + 0.1, wnd=0)
    assert snd.cc.cwnd == before


def test_a_probe_says_nothing_of_what_the_path_carries() -> None:
    snd = shut()
    now = expire(snd)
    flush(snd, now)
    ack(snd, 2001, now + 0.1, wnd=0)
    assert snd.sample.acked == 1
    assert snd.sample.app_limited
