"""The tail loss probe: RFC 8985 section 7. PTO is 0.2 s here, and 0.25 s for a segment alone."""

from __future__ import annotations

import math

import pytest

from rudp.core.recovery import Recovery
from rudp.core.sender import Sender
from rudp.core.tlp import MAX_ACK_DELAY, MIN_PTO, LossProbe, Verdict, probe_timeout
from tests.core.sending import ack, established, flush, segments, tick, write

PTO = 0.2


def sent(size: int = 3000, **config: object) -> Sender:
    snd = established(avoid=True, **config)  # type: ignore[arg-type]
    write(snd, size)
    flush(snd, 0.0)
    return snd


def probed(size: int = 3000, **config: object) -> Sender:
    """`size` bytes went out at 0.0, no ACK came, and the probe has gone out."""
    snd = sent(size, **config)
    flush(snd, tick(snd))
    return snd


# Alone.


def test_the_timeout_is_two_round_trips_and_the_peers_delay_for_a_segment_alone() -> None:
    assert probe_timeout(0.1, alone=False) == PTO
    assert probe_timeout(0.1, alone=True) == PTO + MAX_ACK_DELAY
    assert probe_timeout(0.0001, alone=False) == MIN_PTO
    assert probe_timeout(0.0, alone=True) == 1.0


@pytest.mark.parametrize(
    ("number", "dsack", "plain", "verdict"),
    [
        (99, None, False, Verdict.OPEN),
        (100, None, False, Verdict.OPEN),
        (100, (90, 100), False, Verdict.NEEDLESS),
        (100, (50, 60), False, Verdict.OPEN),
        (100, None, True, Verdict.NEEDLESS),
        (101, None, False, Verdict.REPAIRED),
        (101, (90, 100), False, Verdict.NEEDLESS),
    ],
)
def test_what_an_ack_says_of_a_retransmission_up_to_100(
    number: int, dsack: tuple[int, int] | None, plain: bool, verdict: Verdict
) -> None:
    probe = LossProbe()
    probe.on_sent(100, True)
    assert probe.on_ack(number, dsack, plain) is verdict
    assert (probe.end < 0) is (verdict is not Verdict.OPEN)


def test_new_data_that_arrived_needs_no_more_thought() -> None:
    probe = LossProbe()
    probe.on_sent(100, False)
    assert probe.on_ack(100, None, False) is Verdict.OPEN
    assert probe.end < 0


# In the sender.


def test_the_last_segment_goes_out_again_after_two_round_trips() -> None:
    snd = sent(2500)
    assert snd.next_deadline() == pytest.approx(PTO)
    assert segments(snd, tick(snd)) == [(2000, 2500, "P")]
    assert snd.rto_deadline == pytest.approx(PTO + snd.rtt.rto)
    assert (snd.loss.state, snd.cc.cwnd, snd.timeouts) == (Recovery.OPEN, 10_000, 0)


def test_a_segment_alone_waits_for_the_peers_delayed_ack_too() -> None:
    snd = sent(1000)
    assert snd.next_deadline() == pytest.approx(PTO + MAX_ACK_DELAY)


def test_the_probe_is_never_later_than_the_rto_and_takes_its_place() -> None:
    snd = established(avoid=True)
    snd.rtt.sample(0.1)
    snd.rtt.sample(0.1)
    snd.rtt.rto = 0.21
    write(snd, 1000)
    flush(snd, 0.0)
    assert snd.loss_deadline == snd.rto_deadline == 0.21
    assert flush(snd, tick(snd)) == [(0, 1000)]
    assert (snd.loss.timeouts, snd.rto_deadline) == (0, pytest.approx(0.42))


def test_new_data_is_preferred_even_beyond_cwnd() -> None:
    snd = established(avoid=True)
    write(snd, 12_000)
    flush(snd, 0.0)
    assert snd.board.pipe == snd.cc.cwnd
    assert flush(snd, tick(snd)) == [(10_000, 11_000)]
    assert snd.loss.retransmitted == 0


def test_new_data_as_a_probe_takes_the_fin_along_if_the_window_has_room_for_it() -> None:
    for wnd, sent_then in [(1 << 20, (10_000, 10_501, "FP")), (10_500, (10_000, 10_500, "P"))]:
        snd = established(wnd=wnd, avoid=True)
        write(snd, 10_000)
        flush(snd, 0.0)
        write(snd, 500)
        snd.fin_queued = True
        assert segments(snd, 0.0) == []
        assert segments(snd, tick(snd)) == [sent_then]


def test_recovery_takes_the_probe_over() -> None:
    probe = LossProbe()
    probe.on_sent(100, True)
    probe.cancel()
    assert probe.on_ack(200, None, False) is Verdict.OPEN


def test_new_data_that_the_window_does_not_take_is_not() -> None:
    snd = established(wnd=3000, avoid=True)
    write(snd, 12_000)
    flush(snd, 0.0)
    assert flush(snd, tick(snd)) == [(2000, 3000)]


def test_the_last_small_messages_make_one_probe() -> None:
    snd = established(avoid=True)
    for _ in range(25):
        write(snd, 100)
        flush(snd, 0.0)
    assert flush(snd, tick(snd)) == [(1500, 2500)]
    assert snd.board.pipe == 2500


def test_the_fin_is_probed_with_the_data_before_it() -> None:
    snd = established(avoid=True)
    write(snd, 500)
    flush(snd, 0.0)
    snd.fin_queued = True
    flush(snd, 0.0)
    assert segments(snd, tick(snd)) == [(0, 501, "FP")]


def test_there_is_one_probe_and_then_the_rto() -> None:
    snd = probed()
    assert snd.loss_deadline == math.inf
    write(snd, 1000)
    flush(snd, 0.3)
    ack(snd, 1000, 0.35)
    assert snd.loss_deadline == math.inf
    assert snd.next_deadline() == snd.rto_deadline


def test_no_probe_without_sack() -> None:
    snd = sent(sack=False)
    assert snd.next_deadline() == snd.rto_deadline


def test_no_probe_while_something_is_sacked() -> None:
    snd = sent()
    ack(snd, 0, 0.1, (2000, 3000))
    tick(snd)  # RACK's timer: recovery begins
    assert snd.loss.state is Recovery.FAST
    flush(snd, 0.13)
    assert snd.next_deadline() == snd.rto_deadline


def test_an_ack_gives_the_probe_its_time_anew() -> None:
    snd = sent()
    ack(snd, 1000, 0.15)
    assert snd.next_deadline() == pytest.approx(0.15 + probe_timeout(snd.rtt.srtt, False))


def test_a_probe_brings_the_sack_that_tells_of_the_loss() -> None:
    snd = probed()
    ack(snd, 0, 0.3, (2000, 3000))
    assert snd.loss.state is Recovery.FAST
    assert flush(snd, 0.3)[0] == (0, 1000)
    assert snd.loss.timeouts == 0


def test_a_probe_that_was_a_duplicate_costs_nothing() -> None:
    snd = probed()
    ack(snd, 3000, 0.3)
    ack(snd, 3000, 0.31, (2000, 3000))
    assert (snd.cc.cwnd, snd.loss.probe.end, snd.loss.dsacks) == (10_000, -1, 1)
    assert snd.loss.rack.multiplier == 1


def test_a_probe_that_repaired_a_loss_counts_as_one() -> None:
    # Section 7.4.2, case 3.
    snd = probed()
    ack(snd, 3000, 0.3)
    write(snd, 1000)
    flush(snd, 0.3)
    before = snd.cc.cwnd
    ack(snd, 4000, 0.4)
    assert snd.cc.cwnd < before
    assert (snd.cc.cwnd, snd.loss.state) == (snd.cc.ssthresh, Recovery.OPEN)
