"""The state machine's tables, against figure 5 of RFC 9293 section 3.3.2."""

from __future__ import annotations

import pytest

from rudp.core.state import (
    CLOSE_WAIT,
    CLOSED,
    CLOSING,
    ESTABLISHED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    LAST_ACK,
    LISTEN,
    ON_FIN_ACKED,
    ON_FIN_QUEUED,
    ON_FIN_RECEIVED,
    SYN_RCVD,
    SYN_SENT,
    SYNCHRONIZED,
    TIME_WAIT,
    TRANSITIONS,
    State,
)

FIGURE_5 = {
    (CLOSED, SYN_SENT),  # active OPEN
    (LISTEN, SYN_RCVD),  # rcv SYN
    (SYN_SENT, SYN_RCVD),  # rcv SYN
    (SYN_SENT, ESTABLISHED),  # rcv SYN,ACK
    (SYN_RCVD, ESTABLISHED),  # rcv ACK of SYN
    (ESTABLISHED, FIN_WAIT_1),  # CLOSE
    (ESTABLISHED, CLOSE_WAIT),  # rcv FIN
    (FIN_WAIT_1, FIN_WAIT_2),  # rcv ACK of FIN
    (FIN_WAIT_1, CLOSING),  # rcv FIN
    (FIN_WAIT_2, TIME_WAIT),  # rcv FIN
    (CLOSE_WAIT, LAST_ACK),  # CLOSE
    (CLOSING, TIME_WAIT),  # rcv ACK of FIN
}
"""The arrows that do not lead to CLOSED, in the states that a connection can be in."""


def test_every_state_has_its_name_of_the_rfc() -> None:
    assert {state.value for state in State} == {
        *("CLOSED", "LISTEN", "SYN-SENT", "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1"),
        *("FIN-WAIT-2", "CLOSE-WAIT", "CLOSING", "LAST-ACK", "TIME-WAIT"),
    }


def test_the_legal_moves_are_those_of_figure_5() -> None:
    moves = {(old, new) for old, following in TRANSITIONS.items() for new in following}
    passive = (CLOSED, SYN_RCVD)  # the listener is the endpoint's: a connection starts here
    assert {move for move in moves if move[1] is not CLOSED} == FIGURE_5 | {passive}


def test_every_state_but_closed_can_end_in_closed() -> None:
    assert {old for old, new in TRANSITIONS.items() if CLOSED in new} == set(State) - {CLOSED}


@pytest.mark.parametrize("table", [ON_FIN_QUEUED, ON_FIN_ACKED, ON_FIN_RECEIVED])
def test_what_a_fin_does_is_a_legal_move(table: dict[State, State]) -> None:
    for old, new in table.items():
        assert new in TRANSITIONS[old]


@pytest.mark.parametrize("order", ["qar", "qra", "rqa"])
def test_a_fin_each_way_ends_where_it_should(order: str) -> None:
    # Our FIN is queued and acknowledged, the peer's is received, in any order there is.
    tables = {"q": ON_FIN_QUEUED, "a": ON_FIN_ACKED, "r": ON_FIN_RECEIVED}
    state = ESTABLISHED
    for fact in order:
        state = tables[fact][state]
    assert state is (CLOSED if order == "rqa" else TIME_WAIT)


def test_no_fact_happens_twice() -> None:
    for table in (ON_FIN_QUEUED, ON_FIN_ACKED, ON_FIN_RECEIVED):
        assert not set(table) & set(table.values())


def test_synchronized_states_are_those_from_established_on() -> None:
    assert set(State) - SYNCHRONIZED == {CLOSED, LISTEN, SYN_SENT, SYN_RCVD}
