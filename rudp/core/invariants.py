"""What must be true of a connection between any two inputs, whatever the peer sends.

    check(connection)       raises AssertionError with a sentence; O(n) in all that it holds

It looks, and changes nothing. Only what is ours is demanded, never anything of the peer. Tests call
it at each step. What costs next to nothing is asserted in production too, at the line where it
could become false; numbers that may only grow are there, since to see one go back takes what it was
before.

RFC 9293 sections 3.3.1 (the sequence variables) and 3.3.2 (the states), RFC 6675 section 2 (the
pipe).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence, Sized
from typing import TYPE_CHECKING, Final

from rudp.core.flight import IN_FLIGHT, LOST, SACKED, Flight
from rudp.core.reassembly import JOIN
from rudp.core.scoreboard import MAX_RUN
from rudp.core.state import (
    CLOSE_WAIT,
    CLOSED,
    CLOSING,
    ESTABLISHED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    LAST_ACK,
    SYN_RCVD,
    SYN_SENT,
    TIME_WAIT,
)
from rudp.core.undo import MAX_OWED

if TYPE_CHECKING:
    from rudp.core.connection import Connection
    from rudp.core.reassembly import Reassembly
    from rudp.core.receiver import Receiver
    from rudp.core.recovery import LossRecovery
    from rudp.core.scoreboard import Scoreboard
    from rudp.core.sender import Sender

_OPENING: Final = (SYN_SENT, SYN_RCVD)
_OURS_OPEN: Final = (ESTABLISHED, CLOSE_WAIT)
_OURS_CLOSING: Final = (FIN_WAIT_1, CLOSING, LAST_ACK)
_THEIRS_OPEN: Final = (ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2)


def check(connection: Connection) -> None:
    """Assert all of it: states, both halves, what they hold, and the timers."""
    c = connection
    assert len(set(c.events)) == len(c.events), f"an event is told twice: {c.events}"
    if c.state is CLOSED:
        assert c.next_deadline() == math.inf, "CLOSED has a deadline"
        assert not c.snd.board.flights, "CLOSED has something in flight"
        return
    _check_receiver(c.rcv)
    if c.state is TIME_WAIT:
        assert c.end_deadline < math.inf, "TIME-WAIT has no end"
        assert not c.snd.board.flights, "TIME-WAIT has something in flight"
        return
    if c.state in _OPENING:
        assert c.handshake.deadline < math.inf, f"{c.state.value} has no deadline"
        assert (c.snd.una, c.snd.nxt) == (c.snd.iss, c.snd.iss + 1), "only the SYN can be out"
        return
    _check_handshake(c)
    assert c.last_ack_sent <= c.rcv.nxt, f"{c.last_ack_sent} was acknowledged, beyond RCV.NXT"
    _check_state(c)
    _check_sender(c.snd)


def _check_handshake(c: Connection) -> None:
    """Both SYNs are through: at most the ACK of an active open is still repeated, for a time."""
    handshake = c.handshake
    last = -math.inf if c.passive else handshake.give_up + handshake.interval
    over = not handshake.due and (handshake.deadline <= last or handshake.deadline == math.inf)
    assert over, f"the handshake goes on in {c.state.value}"


def _check_state(c: Connection) -> None:
    """The three facts that states follow from."""
    snd, name = c.snd, c.state.value
    if c.state in _OURS_OPEN:
        assert not snd.fin_queued, f"our FIN is queued in {name}"
    elif c.state in _OURS_CLOSING:
        assert snd.fin_queued, f"no FIN is queued in {name}"
        assert not snd.fin_acked, f"our FIN is acknowledged in {name}"
    else:
        assert snd.fin_acked, f"our FIN is not acknowledged in {name}"
    if c.state in _THEIRS_OPEN:
        assert not c.rcv.fin_received, f"the peer's FIN is received in {name}"
    else:
        assert c.rcv.fin_received, f"the peer's FIN is not received in {name}"


# -- the receive half ----------------------------------------------------------------------------


def _check_receiver(rcv: Receiver) -> None:
    assert rcv.irs <= rcv.nxt <= rcv.edge, f"RCV.NXT {rcv.nxt} is beyond its edge {rcv.edge}"
    ready = sum(len(piece) for piece in rcv._ready) - rcv._offset
    assert rcv.readable == ready, f"{rcv.readable} bytes are readable, and {ready} are there"
    assert rcv.bytes_read <= rcv.bytes_received, "more was read than came"
    if rcv._ready:
        assert 0 <= rcv._offset < len(rcv._ready[0]), "the first piece has been read"
    held = rcv._held
    _check_reassembly(rcv, held)
    if held:
        assert held._lefts[0] > rcv.nxt, f"what is held at {held._lefts[0]} is in order"
        assert held._ends[-1] <= rcv.edge, f"what is held up to {held._ends[-1]} was not asked for"
    if rcv.fin_received:
        assert not held, "something is held behind the FIN"
    if not rcv.discarding:
        # A FIN takes a number, and no room.
        room = rcv.buffer - rcv.readable + rcv.fin_received
        assert rcv.wnd <= room, f"a window of {rcv.wnd} is offered, with room for {room}"
    limit = max(rcv.config.receive_buffer, rcv.readable)
    assert rcv.buffer <= limit, f"a buffer of {rcv.buffer} is more than {limit}"


def _check_reassembly(rcv: Receiver, held: Reassembly) -> None:
    count = len(held._lefts)
    assert count <= held.limit, f"{count} ranges are held, {held.limit} may be"
    before, size = -1, 0
    for left, end, pieces in zip(held._lefts, held._ends, held._pieces, strict=True):
        assert left < end, f"a range is empty: {left}:{end}"
        assert before < left, f"ranges overlap or touch: {before} and {left}:{end}"
        here = _check_joined(pieces)
        assert here == end - left, f"the range {left}:{end} is {here} bytes in the pieces"
        before, size = end, size + here
    assert held.bytes == size, f"{held.bytes} bytes are held by the count, and {size} are"
    _check_joined(rcv._ready)


def _check_joined(pieces: Iterable[Sized]) -> int:
    """The bytes of all; none of them may be small beside a small one."""
    last, size = JOIN + 1, 0
    for piece in pieces:
        here = len(piece)
        assert last + here > JOIN, f"small pieces are neighbours: {last} and {here} bytes"
        last, size = here, size + here
    return size


# -- the send half -------------------------------------------------------------------------------


def _check_sender(snd: Sender) -> None:
    last = snd.buffer.end + snd.fin_queued
    assert snd.iss < snd.una <= snd.nxt, f"SND.UNA {snd.una} is beyond SND.NXT {snd.nxt}"
    assert snd.nxt <= last, f"SND.NXT {snd.nxt} is beyond all that was written, {last}"
    start = min(snd.una, snd.buffer.end)
    assert snd.buffer.start == start, f"bytes are kept from {snd.buffer.start} on, not {start}"
    size = sum(len(chunk) for chunk in snd.buffer._chunks)
    assert size >= snd.buffer.end - snd.buffer.start, f"{size} bytes are all that is kept"
    assert snd.wnd <= snd.max_wnd, f"a window of {snd.wnd} is more than its maximum"
    assert snd.cc.cwnd >= snd.mss, f"cwnd is {snd.cc.cwnd}, less than a segment"
    assert snd.cc.pacing_rate > 0, f"the pacing rate is {snd.cc.pacing_rate}"
    assert snd.loss.point <= snd.nxt, f"recovery ends at {snd.loss.point}, beyond SND.NXT"
    least, most = snd.config.min_rto, snd.config.max_rto
    assert least <= snd.rtt.rto <= most, f"the RTO is {snd.rtt.rto}"
    _check_scoreboard(snd.board, snd.una, snd.nxt)
    _check_recovery(snd.loss)
    _check_timers(snd)


def _check_timers(snd: Sender) -> None:
    running = [each < math.inf for each in (snd.rto_deadline, snd.persist_deadline)]
    assert not all(running), "the retransmission timer and the persist timer both run"
    if snd.nxt > snd.una:
        assert any(running), "something is in flight, and no timer runs"
        assert snd.give_up_deadline < math.inf, "something is in flight, for ever"


def _check_scoreboard(board: Scoreboard, una: int, nxt: int) -> None:
    flights = board.flights
    if not flights:
        assert una == nxt, f"nothing is known of {una}:{nxt}, which is in flight"
    else:
        ends = (flights[0].start, flights[-1].end)
        assert ends == (una, nxt), f"flights are {ends[0]}:{ends[1]}, not {una}:{nxt}"
    sizes = {IN_FLIGHT: 0, LOST: 0, SACKED: 0}
    lost: list[int] = []
    end, last = una, IN_FLIGHT
    for each in flights:
        assert each.start < each.end, "a flight is empty"
        assert each.start == end, "flights leave a gap or overlap"
        assert last != SACKED or each.state != SACKED, "two SACKed flights are neighbours"
        end, last = each.end, each.state
        sizes[last] += end - each.start
        if last == LOST:
            lost.append(each.start)
    for name, said, state in (
        ("in flight", board.pipe, IN_FLIGHT),
        ("lost", board.lost, LOST),
        ("SACKed", board.sacked, SACKED),
    ):
        assert said == sizes[state], f"{said} bytes are {name} by the count, {sizes[state]} are"
    assert board.high_sacked <= nxt, f"the peer has {board.high_sacked}, which never went out"
    heap = board._lost_at
    if lost:
        assert set(lost) <= set(heap), f"lost data is overlooked: {set(lost) - set(heap)}"
    assert len(heap) <= 2 * len(board._flights) + MAX_RUN, f"{len(heap)} places of lost data"
    _check_order(board, flights)


def _check_order(board: Scoreboard, flights: Sequence[Flight]) -> None:
    """What is in flight is linked in the order in which it was sent last, both ways."""
    linked: list[int] = []
    before, flight = None, board.oldest
    while flight is not None:
        if before is not None:
            assert flight.older is before, "the links differ by direction"
            earlier = (before.number, before.end) <= (flight.number, flight.end)
            assert earlier, "the flights are not in the order of transmission"
        linked.append(flight.start)
        assert len(linked) <= len(flights), "the flights are linked in a circle"
        before, flight = flight, flight.newer
    assert board.newest is before, "the newest is not the last"
    in_flight = [each.start for each in flights if each.state == IN_FLIGHT]
    assert sorted(linked) == in_flight, "what is linked is not in flight"
    assert before is None or before.number <= board.sends, "a transmission was not counted"


def _check_recovery(loss: LossRecovery) -> None:
    flights = loss.board.flights
    if loss.calm:
        for each in flights:
            once = each.state == IN_FLIGHT and not each.retransmitted
            assert once, "recovery is calm, and something was lost, SACKed or sent again"
    assert loss.rack.newest <= loss.board.sends, "something has arrived that was never sent"
    starts, ends = loss.undo._starts, loss.undo._owed
    assert len(starts) <= MAX_OWED, f"{len(starts)} retransmissions are waited for"
    apart = [edge for pair in zip(starts, ends, strict=True) for edge in pair]
    assert apart == sorted(apart), "what went out again overlaps"
