"""`invariants.check`: silent where all is right, and a sentence for each thing that is not."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from rudp.core import invariants
from rudp.core.config import Config
from rudp.core.connection import Connection, open_active, open_passive
from rudp.core.events import Event
from rudp.core.flight import LOST, SACKED
from rudp.core.state import State

NOW = 100.0


def settle(a: Connection, b: Connection, dropped: tuple[int, ...] = ()) -> None:
    """What each has to say reaches the other, less the segments of `a` with these numbers."""
    sent = 0
    while True:
        forth = a.segments_to_send(NOW)
        for segment in forth:
            if sent not in dropped:
                b.receive(segment, NOW)
            sent += 1
        back = b.segments_to_send(NOW)
        for segment in back:
            a.receive(segment, NOW)
        if not forth and not back:
            return


def pair(**options: Any) -> tuple[Connection, Connection]:
    """Both are established. What `a` sends is cut into segments of 1000 bytes, not paced."""
    config = Config(timestamps=False, congestion="reno", mss=1000, **options)
    iss = 2**32 - 2000
    a = open_active(config, local_port=1, peer_port=2, iss=iss, now=NOW, mss=1000)
    (syn,) = a.segments_to_send(NOW)
    b = open_passive(config, iss=iss, syn=syn, now=NOW, mss=1000)
    settle(a, b)
    return a, b


def busy() -> tuple[Connection, Connection]:
    """`a` has written ten segments one by one; the first, third and sixth are missing at `b`."""
    a, b = pair()
    for segment in range(10):
        a.write(bytes([segment]) * 1000)
        for each in a.segments_to_send(NOW):
            if segment not in (0, 2, 5):
                b.receive(each, NOW)
    for each in b.segments_to_send(NOW):
        a.receive(each, NOW)
    b.write(b"an answer")
    for each in b.segments_to_send(NOW):
        a.receive(each, NOW)
    return a, b


def test_a_connection_is_sound_from_its_syn_to_its_end() -> None:
    config = Config(mss=1000)
    a = open_active(config, local_port=1, peer_port=2, iss=7, now=NOW, mss=1000)
    invariants.check(a)
    (syn,) = a.segments_to_send(NOW)
    b = open_passive(config, iss=2**32 - 9, syn=syn, now=NOW, mss=1000)
    invariants.check(b)
    for act in (
        lambda: None,
        lambda: a.write(b"x" * 5000),
        lambda: b.read(),
        a.write_eof,
        b.write_eof,
        b.close,
        a.close,
    ):
        act()
        settle(a, b)
        invariants.check(a)
        invariants.check(b)
    assert (a.state, b.state) == (State.TIME_WAIT, State.CLOSED)
    a.handle_timeout(a.next_deadline())
    invariants.check(a)


def test_holes_sacks_and_losses_are_sound() -> None:
    a, b = busy()
    assert a.snd.board.lost
    assert a.snd.board.sacked
    assert b.rcv.sack_blocks(4)
    invariants.check(a)
    invariants.check(b)


def set_(path: str, value: Any) -> Callable[[Connection], None]:
    """Set an attribute, given by its path; a callable makes the value of what was there."""
    *way, name = path.split(".")

    def break_(c: Connection) -> None:
        target: Any = c
        for step in way:
            target = target[int(step)] if step.isdigit() else getattr(target, step)
        old = getattr(target, name)
        setattr(target, name, value(old) if callable(value) else value)

    return break_


def more(amount: int) -> Callable[[int], int]:
    return lambda old: old + amount


def split_ready(c: Connection) -> None:
    """What is readable comes in small pieces."""
    c.rcv._ready = deque([b"a", b"b"])
    c.rcv.readable = c.rcv.bytes_received = 2


def reopen(c: Connection) -> None:
    """In SYN-SENT again, and the SYN is not repeated."""
    c.state = State.SYN_SENT
    c.handshake.stop()


SENDER = [
    (set_("state", State.FIN_WAIT_1), "no FIN is queued in FIN-WAIT-1"),
    (set_("state", State.FIN_WAIT_2), "our FIN is not acknowledged in FIN-WAIT-2"),
    (set_("state", State.CLOSE_WAIT), "the peer's FIN is not received in CLOSE-WAIT"),
    (set_("snd.fin_queued", True), "our FIN is queued in ESTABLISHED"),
    (reopen, "SYN-SENT has no deadline"),
    (set_("state", State.TIME_WAIT), "TIME-WAIT has no end"),
    (set_("state", State.CLOSED), "CLOSED has a deadline"),
    (set_("handshake.deadline", NOW + 1000), "the handshake goes on in ESTABLISHED"),
    (set_("handshake.due", True), "the handshake goes on in ESTABLISHED"),
    (set_("last_ack_sent", 2**40), "was acknowledged, beyond RCV.NXT"),
    (set_("snd.una", 2**40), "is beyond SND.NXT"),
    (set_("snd.nxt", more(1)), "is beyond all that was written"),
    (set_("snd.buffer.start", more(1)), "bytes are kept from"),
    (set_("snd.buffer._chunks", lambda chunks: chunks[:-1]), "are all that is kept"),
    (set_("snd.wnd", 2**40), "is more than its maximum"),
    (set_("snd.cc.cwnd", 999), "cwnd is 999, less than a segment"),
    (set_("snd.cc.pacing_rate", 0.0), "the pacing rate is 0"),
    (set_("snd.loss.point", 2**40), "recovery ends at"),
    (set_("snd.rtt.rto", 0.1), "the RTO is 0.1"),
    (set_("snd.persist_deadline", NOW), "both run"),
    (set_("snd.rto_deadline", math.inf), "something is in flight, and no timer runs"),
    (set_("snd.give_up_deadline", math.inf), "something is in flight, for ever"),
    (lambda c: c.snd.board._flights.clear(), "nothing is known of"),
    (set_("snd.board.flights.0.start", more(1)), "flights are"),
    (set_("snd.board.flights.0.end", more(-1000)), "a flight is empty"),
    (set_("snd.board.flights.0.end", more(-1)), "flights leave a gap or overlap"),
    (set_("snd.board.flights.2.state", SACKED), "two SACKed flights are neighbours"),
    (set_("snd.board.pipe", more(1)), "bytes are in flight by the count"),
    (set_("snd.board.lost", more(1)), "bytes are lost by the count"),
    (set_("snd.board.sacked", more(1)), "bytes are SACKed by the count"),
    (set_("snd.board.high_sacked", 2**40), "which never went out"),
    (lambda c: c.snd.board._lost_at.clear(), "lost data is overlooked"),
    (lambda c: c.snd.board._lost_at.extend([9] * 100), "places of lost data"),
    (set_("snd.loss.calm", True), "recovery is calm, and"),
    (set_("snd.loss.rack.newest", 2**40), "something has arrived that was never sent"),
    (set_("snd.loss.undo._starts", [7] * 1025), "retransmissions are waited for"),
    (lambda c: c.events.extend([Event.EOF, Event.EOF]), "an event is told twice"),
]

RECEIVER = [
    (set_("handshake.deadline", NOW), "the handshake goes on in ESTABLISHED"),
    (set_("rcv.edge", more(-(2**40))), "is beyond its edge"),
    (set_("rcv.readable", more(1)), "bytes are readable, and"),
    (set_("rcv.bytes_read", 2**40), "more was read than came"),
    (set_("rcv._held._lefts", lambda lefts: [left - 1 for left in lefts]), "the pieces"),
    (set_("rcv._held._ends", lambda ends: [*ends[:-1], 0]), "a range is empty"),
    (set_("rcv._held.bytes", more(1)), "bytes are held by the count"),
    (split_ready, "small pieces are neighbours"),
    (set_("rcv._held.limit", 1), "ranges are held, 1 may be"),
    (set_("rcv.nxt", more(1000)), "is in order"),
    (set_("rcv.edge", more(-(131072 - 2000))), "was not asked for"),
    (set_("rcv.fin_received", True), "something is held behind the FIN"),
    (set_("rcv.edge", more(2000)), "is offered, with room for"),
    (set_("rcv.buffer", 2**40), "is more than"),
    (lambda c: (c.rcv.clear(), set_("rcv.fin_received", True)(c)), "is received in ESTABLISHED"),
]


@pytest.mark.parametrize(("break_", "sentence"), SENDER, ids=[each[1] for each in SENDER])
def test_what_is_wrong_with_a_sender_is_said(
    break_: Callable[[Connection], None], sentence: str
) -> None:
    a, _ = busy()
    break_(a)
    with pytest.raises(AssertionError, match=sentence):
        invariants.check(a)


@pytest.mark.parametrize(("break_", "sentence"), RECEIVER, ids=[each[1] for each in RECEIVER])
def test_what_is_wrong_with_a_receiver_is_said(
    break_: Callable[[Connection], None], sentence: str
) -> None:
    _, b = busy()
    break_(b)
    with pytest.raises(AssertionError, match=sentence):
        invariants.check(b)


def test_what_is_linked_in_the_wrong_order_is_said() -> None:
    a, _ = pair()
    for _ in range(3):
        a.write(b"x" * 1000)
        a.segments_to_send(NOW)
    first, second, third = a.snd.board.flights
    invariants.check(a)
    first.number, second.number = second.number, first.number
    with pytest.raises(AssertionError, match="not in the order of transmission"):
        invariants.check(a)
    first.number, second.number = second.number, first.number
    third.newer = first
    with pytest.raises(AssertionError, match="differ by direction"):
        invariants.check(a)
    third.newer = None
    second.older = third
    with pytest.raises(AssertionError, match="the links differ by direction"):
        invariants.check(a)
    second.older = first
    a.snd.board.newest = second
    with pytest.raises(AssertionError, match="the newest is not the last"):
        invariants.check(a)
    a.snd.board.newest = third
    third.state = LOST
    a.snd.board.pipe, a.snd.board.lost, a.snd.board._lost_at = 2000, 1000, [third.start]
    with pytest.raises(AssertionError, match="what is linked is not in flight"):
        invariants.check(a)
