"""A scoreboard whose numbers begin just below 2**32, and words for what happens to it."""

from __future__ import annotations

from rudp.core.delivery_rate import Stamp
from rudp.core.flight import IN_FLIGHT, LOST, SACKED, Arrivals, Flight
from rudp.core.scoreboard import Scoreboard

UNA = 2**32 - 35
MSS = 10


def stamp(now: float) -> Stamp:
    return Stamp(now, 0, 0.0, 0.0, False, 0, 0)


def send(board: Scoreboard, start: int, end: int, now: float) -> None:
    board.on_sent(start, end, now, stamp(now))


def again(board: Scoreboard, flight: Flight, end: int, now: float) -> None:
    board.on_retransmitted(flight, end, now, stamp(now))


def acked(board: Scoreboard, una: int) -> tuple[int, float]:
    """The bytes that this is news for, and when the last of them went out that was sent once."""
    news = Arrivals()
    board.on_ack(una, news)
    return news.size, news.sampled_at


def sent(*ends: int, limit: int = 1000) -> Scoreboard:
    """A scoreboard where [UNA, UNA + end) went out in pieces, one each second from 1.0 on."""
    board, start = Scoreboard(limit), 0
    for moment, end in enumerate(ends, 1):
        send(board, UNA + start, UNA + end, float(moment))
        start = end
    return board


def sack(board: Scoreboard, *blocks: tuple[int, int], una: int = 0) -> tuple[int, float]:
    nxt = board.flights[-1].end
    told = [(UNA + left, UNA + right) for left, right in blocks]
    news = Arrivals()
    board.on_sack(told, UNA + una, nxt, news)
    return news.size, news.sampled_at


def lose(board: Scoreboard, *starts: int) -> None:
    """The flights in flight that begin there are lost."""
    for flight in board.flights:
        if flight.start - UNA in starts:
            board.lose(flight)


def order(board: Scoreboard) -> list[tuple[int, int]]:
    """What is in flight, in the order in which it was sent last; the same from both ends."""
    found, flight = [], board.oldest
    while flight is not None:
        found.append((flight.start - UNA, flight.end - UNA))
        flight = flight.newer
    backward, flight = [], board.newest
    while flight is not None:
        backward.append((flight.start - UNA, flight.end - UNA))
        flight = flight.older
    assert backward[::-1] == found
    return found


def picture(board: Scoreboard) -> str:
    """The flights as `0-10 flight, 10-20 sacked`."""
    names = {IN_FLIGHT: "flight", LOST: "lost", SACKED: "sacked"}
    return ", ".join(f"{f.start - UNA}-{f.end - UNA} {names[f.state]}" for f in board.flights)
