"""Segments that belong to no connection of the endpoint: LISTEN, CLOSED and TIME-WAIT.

Anyone may send them, from any address, so what each of them costs is small, and what they make us
send or keep is bounded.

RFC 9293 sections 3.10.7.1 and 3.10.7.2 (CLOSED, LISTEN), RFC 6191 (a SYN in TIME-WAIT).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rudp.channel import Key, Listener
from rudp.core import isn, stray, syn_cookie
from rudp.core.handshake import syn_ack_was_sent
from rudp.core.segment import ACK, RST, SYN, Segment
from rudp.core.seq import MASK, unwrap
from rudp.core.state import CLOSED, LISTEN, TIME_WAIT, State
from rudp.core.timestamps import Timestamps
from rudp.datagrams import Address
from rudp.surroundings import secret

if TYPE_CHECKING:
    from rudp.engine import Engine


def stranger_arrives(engine: Engine, segment: Segment, addr: Address, now: float) -> None:
    """A segment from `addr` that belongs to no connection."""
    key = (addr, segment.dst_port, segment.src_port)
    listener = engine.listeners.get(segment.dst_port)
    record = engine.time_waits.get(key)
    answer: Segment | None
    state: State
    if record is not None and not (listener is not None and record.reopens(segment)):
        answer = engine.time_waits.receive(key, segment, now)
        state = TIME_WAIT
    elif listener is not None and stray.opens(segment):
        _listen(engine, listener, segment, key, now)
        return
    elif listener is not None and now < listener.cookies_until and _may_be_cookie(segment):
        _check_cookie(engine, listener, segment, key, now)
        return
    elif listener is not None:
        answer = stray.answer_listen(segment)
        state = LISTEN
    else:
        answer = stray.answer_closed(segment)
        state = CLOSED
    if engine.tap is not None:
        engine.tap("<", segment, state, now)
    if answer is not None and (
        record is not None or engine.answers.allows(secret(), addr[0], now)
    ):
        engine.answer(answer, addr, state, now)


def _listen(engine: Engine, listener: Listener, syn: Segment, key: Key, now: float) -> None:
    """LISTEN got a SYN: RFC 9293 section 3.10.7.2."""
    if engine.full:
        return  # No answer: the SYN will come again.
    if listener.half_open >= listener.backlog:
        _answer_with_cookie(engine, listener, syn, key, now)
        return
    iss, ts_offset = isn.initial_numbers(secret(), engine.datagrams.sockname, key, now)
    record = engine.time_waits.pop(key)
    if record is not None:
        # RFC 9293 section 3.10.7.4 and RFC 6191: beyond anything of the old connection.
        iss = max(unwrap(iss, record.snd_nxt), record.snd_nxt + 65537)
    connection = engine.open_passive(syn, key[0], iss, ts_offset, now)
    engine.admit(connection, key[0], listener)
    if engine.tap is not None:
        engine.tap("<", syn, connection.state, now)


# -- SYN cookies (RFC 4987 section 3.6) ----------------------------------------------------------


def _answer_with_cookie(
    engine: Engine, listener: Listener, syn: Segment, key: Key, now: float
) -> None:
    """A SYN that the backlog has no room for: answer it, and keep nothing of it."""
    if engine.tap is not None:
        engine.tap("<", syn, LISTEN, now)
    if key in engine.time_waits:
        return  # A cookie is not beyond the numbers of the old connection. The SYN will come again.
    local, addr = engine.datagrams.sockname, key[0]
    kept = syn_cookie.remembered(syn, engine.config.timestamps)
    iss = syn_cookie.bake(secret(), local, key, kept, engine.routes.default_mss, now)
    clock = 0
    if kept.ts_val is not None:
        clock = Timestamps(isn.initial_numbers(secret(), local, key, now)[1]).clock(now)
    mss, ecn = engine.routes.mss(addr), engine.datagrams.ecn
    syn_ack = syn_cookie.answer(engine.config, kept, iss, mss, ecn, clock)
    listener.cookies_until = now + syn_cookie.LIFETIME
    engine.answer(syn_ack, addr, LISTEN, now)


def _may_be_cookie(segment: Segment) -> bool:
    return segment.flags & (ACK | SYN | RST) == ACK


def _check_cookie(
    engine: Engine, listener: Listener, ack: Segment, key: Key, now: float
) -> None:
    """An ACK for a listener that has handed out cookies: the connection begins if it brings one.

    Otherwise it is discarded. RFC 9293 section 3.10.7.2 has a RST for it; but it may be the second
    segment of somebody whose first one was lost or is late, and who would not survive that.
    """
    syn = None
    if not engine.full:
        syn = syn_cookie.recall(secret(), engine.datagrams.sockname, key, ack, now)
    if syn is None:
        if engine.tap is not None:
            engine.tap("<", ack, LISTEN, now)
        return
    _, ts_offset = isn.initial_numbers(secret(), engine.datagrams.sockname, key, now)
    connection = engine.open_passive(syn, key[0], (ack.ack - 1) & MASK, ts_offset, now)
    syn_ack_was_sent(connection)
    engine.admit(connection, key[0], listener)
    engine.receive(ack, key[0], now)
