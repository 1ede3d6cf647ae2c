"""Segments that belong to no connection of the endpoint: LISTEN, CLOSED and TIME-WAIT.

Anyone may send them, from any address, so what each of them costs is small, and what they make us
send or keep is bounded.

RFC 9293 sections 3.10.7.1 and 3.10.7.2 (CLOSED, LISTEN), RFC 6191 (a SYN in TIME-WAIT).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rudp.channel import Key, Listener
from rudp.core import isn, stray
from rudp.core.segment import Segment
from rudp.core.seq import unwrap
from rudp.core.state import CLOSED, LISTEN, TIME_WAIT, State
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
    elif listener is not None:
        answer = stray.answer_listen(segment)
        state = LISTEN
    else:
        answer = stray.answer_closed(segment)
        state = CLOSED
    if engine.tap is not None:
        engine.tap("<", segment, state, now)
    if answer is not None:
        engine.answer(answer, addr, state, now)


def _listen(engine: Engine, listener: Listener, syn: Segment, key: Key, now: float) -> None:
    """LISTEN got a SYN: RFC 9293 section 3.10.7.2."""
    if listener.half_open >= listener.backlog or engine.full:
        return  # No answer: the SYN will come again.
    iss, ts_offset = isn.initial_numbers(secret(), engine.datagrams.sockname, key, now)
    record = engine.time_waits.pop(key)
    if record is not None:
        # RFC 9293 section 3.10.7.4 and RFC 6191: beyond anything of the old connection.
        iss = max(unwrap(iss, record.snd_nxt), record.snd_nxt + 65537)
    connection = engine.open_passive(syn, key[0], iss, ts_offset, now)
    engine.admit(connection, key[0], listener)
    if engine.tap is not None:
        engine.tap("<", syn, connection.state, now)
