"""What an ECN-Echo does to the sender: RFC 3168 section 6.1.2. Who agrees on ECN is not here."""

from __future__ import annotations

from rudp.core.recovery import Recovery
from rudp.core.segment import ACK, CWR, ECE, FIN, PSH, Segment
from rudp.core.sender import Sender
from tests.core.sending import FIRST, PEER, flush, write
from tests.core.test_sender_recovery import in_flight, seg


def echo(snd: Sender, offset: int, now: float, *sacked: tuple[int, int]) -> None:
    """An ACK with ECN-Echo."""
    blocks = tuple((FIRST + left, FIRST + right) for left, right in sacked)
    segment = Segment(2, 1, PEER, FIRST + offset, ACK | ECE, 0, sack_blocks=blocks)
    changed = snd.update_window(segment.seq, segment.ack, snd.wnd)
    snd.on_ack(segment, changed, None, now)


def flags_sent(snd: Sender, now: float) -> list[int]:
    out = []
    while (sent := snd.next_transmission(now, False)) is not None:
        out.append(sent[2] & CWR)
    return out


def agreed() -> Sender:
    snd = in_flight()
    snd.loss.ecn = True
    return snd


def test_an_ecn_echo_halves_the_window_and_nothing_is_sent_again() -> None:
    snd = agreed()
    echo(snd, seg(1)[0], 0.1)
    assert (snd.loss.state, snd.cc.ssthresh) == (Recovery.CWR, 5000)
    assert snd.sample.ece
    assert flush(snd, 0.1) == []


def test_unless_ecn_was_agreed_on_it_means_nothing() -> None:
    snd = in_flight()
    echo(snd, seg(1)[0], 0.1)
    assert (snd.loss.state, snd.cc.cwnd) == (Recovery.OPEN, 10_000)
    assert not snd.sample.ece


def test_one_window_of_data_is_reduced_for_once() -> None:
    snd = agreed()
    for i in range(1, 10):
        echo(snd, seg(i)[0], 0.1)
    echo(snd, 10_001, 0.1)
    assert (snd.loss.state, snd.cc.ssthresh, snd.cc.cwnd) == (Recovery.OPEN, 5000, 5000)


def test_the_next_window_is_reduced_for_again() -> None:
    snd = agreed()
    echo(snd, seg(1)[0], 0.1)
    write(snd, 20_000)
    echo(snd, 10_001, 0.2)
    flush(snd, 0.2)
    echo(snd, 11_001, 0.3)
    assert snd.cc.ssthresh == 2500


def test_the_first_new_data_after_it_carries_cwr_and_the_next_does_not() -> None:
    snd = agreed()
    write(snd, 200_000)
    echo(snd, 10_001, 0.1)
    snd.cc.cwnd = 150_000
    assert flags_sent(snd, 0.1)[:3] == [CWR, 0, 0]


def test_a_small_message_carries_cwr_too() -> None:
    snd = agreed()
    echo(snd, 10_001, 0.1)
    write(snd, 10)
    assert flags_sent(snd, 0.1) == [CWR]


def test_cwr_takes_no_other_flag_away() -> None:
    snd = agreed()
    echo(snd, 10_001, 0.1)
    write(snd, 2010)
    snd.fin_queued = True
    sent = snd.next_transmission(0.1, False)
    assert sent is not None
    assert sent[2] == FIN | PSH | CWR


def test_a_retransmission_carries_no_cwr() -> None:
    # RFC 3168 section 6.1.5: no ECN on retransmissions.
    snd = agreed()
    echo(snd, 1, 0.1, seg(1, 5))
    assert flags_sent(snd, 0.1)[0] == 0


def test_a_loss_in_the_same_window_of_data_is_repaired_and_not_reduced_for_again() -> None:
    snd = agreed()
    echo(snd, seg(1)[0], 0.1)
    echo(snd, seg(1)[0], 0.11, seg(2, 6))
    assert (snd.loss.state, snd.cc.ssthresh) == (Recovery.FAST, 5000)
    assert flush(snd, 0.11)[0] == seg(1)


def test_a_loss_is_told_by_cwr_as_well() -> None:
    snd = agreed()
    write(snd, 20_000)
    echo(snd, 1, 0.1, seg(1, 10))
    sent = flags_sent(snd, 0.1)
    assert sent[0] == 0
    assert sent[-1] == CWR
