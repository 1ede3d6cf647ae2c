"""TIME-WAIT: RFC 9293 sections 3.6.1 and 3.10.7.4, RFC 1337 and RFC 6191.

First on the connection itself, then on the record that takes its place in an endpoint.
"""

from __future__ import annotations

import math

import pytest

from rudp.core.config import Config
from rudp.core.events import Event
from rudp.core.state import CLOSED, TIME_WAIT
from rudp.core.time_wait import TimeWait
from tests.wire.lines import arriving, check
from tests.wire.scripted import Script
from tests.wire.states import reach

# A connection in TIME-WAIT --------------------------------------------------------------------


def test_time_wait_lasts_for_two_msl(script: Script) -> None:
    reach(script, TIME_WAIT)
    script.advance(59.999)
    assert script.state is TIME_WAIT
    script.advance(0.002)
    assert script.state is CLOSED
    assert script.connection.next_deadline() == math.inf
    script.expect_nothing()


def test_the_msl_can_be_set(script: Script) -> None:
    reach(script, TIME_WAIT, config=Config(msl=1))
    script.advance(1.999)
    assert script.state is TIME_WAIT
    script.advance(0.002)
    assert script.state is CLOSED


def test_the_fin_again_is_acknowledged_and_starts_two_msl_again(script: Script) -> None:
    reach(script, TIME_WAIT)
    script.advance(50)
    script.inject("< F. 1:1(0) ack 2")
    script.expect("> . 2:2(0) ack 2")
    script.advance(59.999)
    assert script.state is TIME_WAIT
    script.advance(0.002)
    assert script.state is CLOSED


def test_each_fin_is_acknowledged_however_fast_they_come(script: Script) -> None:
    reach(script, TIME_WAIT)
    for _ in range(3):
        script.inject("< F. 1:1(0) ack 2")
        script.expect("> . 2:2(0) ack 2")


def test_a_fin_with_its_data_again_is_acknowledged(script: Script) -> None:
    script.established()
    script.write_eof()
    script.expect("> F. 1:1(0) ack 1")
    script.inject("< FP. 1:1001(1000) ack 2")
    script.expect("> . 2:2(0) ack 1002")
    script.inject("< FP. 1:1001(1000) ack 2")
    script.expect("> . 2:2(0) ack 1002 <nop,nop,sack 1:1001>")
    assert script.state is TIME_WAIT


def test_old_data_without_the_fin_is_answered_but_does_not_prolong_the_wait(script: Script) -> None:
    script.established()
    script.write_eof()
    script.expect("> F. 1:1(0) ack 1")
    script.inject("< P. 1:1001(1000) ack 2")
    script.expect("> . 2:2(0) ack 1001")
    script.inject("< F. 1001:1001(0) ack 2")
    script.expect("> . 2:2(0) ack 1002")
    script.advance(30)
    script.inject("< P. 1:1001(1000) ack 2")
    script.expect("> . 2:2(0) ack 1002 <nop,nop,sack 1:1001>")
    script.advance(30.001)
    assert script.state is CLOSED


@pytest.mark.parametrize("line", ["< R 2:2(0)", "< R. 2:2(0) ack 2", '< R 2:5(3) "bye"'])
def test_a_rst_does_not_end_time_wait(script: Script, line: str) -> None:
    # RFC 1337 section 3, fix F1.
    reach(script, TIME_WAIT)
    script.inject(line)
    script.expect_nothing()
    assert script.state is TIME_WAIT
    assert script.connection.error is None


@pytest.mark.parametrize("seq", [2, 100, 10**6, -70000])
def test_a_syn_to_the_connection_itself_gets_a_challenge_ack(script: Script, seq: int) -> None:
    # RFC 9293 section 3.10.7.4, fourth. Whether it opens a new one is the record's to say.
    reach(script, TIME_WAIT)
    script.inject(f"< S {seq}:{seq}(0) <mss 1460>")
    script.expect("> . 2:2(0) ack 2")
    script.inject(f"< S {seq}:{seq}(0) <mss 1460>")
    script.expect_nothing()
    assert script.state is TIME_WAIT


def test_abort_in_time_wait_forgets_it_without_a_segment(script: Script) -> None:
    # RFC 9293 section 3.10.5.
    reach(script, TIME_WAIT)
    script.events()
    script.abort("no use")
    script.expect_nothing()
    assert script.state is CLOSED
    assert script.events() == [Event.RELEASED, Event.CLOSED]
    assert script.connection.error is None


# The record that is left of it ----------------------------------------------------------------


def record(script: Script, *, ts: bool = False) -> TimeWait:
    """What is left of a connection that has just entered TIME-WAIT, at 1024.0 by our clock. With
    `ts`, the peer's timestamp was 2**32 - 10000 then."""
    reach(script, TIME_WAIT, ts=ts)
    return script.connection.time_wait(1024.0)


def test_the_record_lasts_for_two_msl(script: Script) -> None:
    assert record(script).deadline == 1024.0 + 60


def test_a_record_made_later_does_not_last_longer(script: Script) -> None:
    reach(script, TIME_WAIT)
    script.advance(10)
    assert script.connection.time_wait(1034.0).deadline == 1024.0 + 60


def test_the_record_acknowledges_the_fin_and_starts_two_msl_again(script: Script) -> None:
    time_wait = record(script)
    check(time_wait.receive(arriving("< F. 1:1(0) ack 2"), 1034.0), "> . 2:2(0) ack 2 win 65534 <>")
    assert time_wait.deadline == 1034.0 + 60


def test_the_record_answers_with_timestamps_where_they_were_agreed_on(script: Script) -> None:
    time_wait = record(script, ts=True)
    fin = arriving("< F. 1:1(0) ack 2 <nop,nop,TS val 4294957296 ecr 1024000>")
    ack = "> . 2:2(0) ack 2 <nop,nop,TS val 1034000 ecr 4294957296>"
    check(time_wait.receive(fin, 1034.0), ack)


def test_the_record_tells_the_window_as_the_connection_did(script: Script) -> None:
    script.established(wscale=7)
    script.write_eof()
    script.expect("> F. 1:1(0) ack 1 win 512")
    script.inject("< F. 1:1(0) ack 2")
    script.expect("> . 2:2(0) ack 2 win 511")
    time_wait = script.connection.time_wait(1024.0)
    check(time_wait.receive(arriving("< F. 1:1(0) ack 2"), 1034.0), "> . 2:2(0) ack 2 win 511 <>")


@pytest.mark.parametrize("line", ["< R 2:2(0)", "< R 100:100(0)", "< R. 2:2(0) ack 2"])
def test_the_record_ignores_a_rst(script: Script, line: str) -> None:
    time_wait = record(script)
    check(time_wait.receive(arriving(line), 1034.0), None)
    assert time_wait.deadline == 1024.0 + 60


def test_the_record_answers_anything_but_a_fin_twice_a_second_at_most(script: Script) -> None:
    time_wait = record(script)
    check(time_wait.receive(arriving("< . 2:2(0) ack 2"), 1034.0), "> . 2:2(0) ack 2")
    check(time_wait.receive(arriving("< P. 2:7(5) ack 2"), 1034.4), None)
    check(time_wait.receive(arriving("< P. 2:7(5) ack 2"), 1034.5), "> . 2:2(0) ack 2")
    assert time_wait.deadline == 1024.0 + 60


# A new SYN, by the sequence number (RFC 9293 section 3.6.1, MAY-2) ----------------------------


@pytest.mark.parametrize(
    ("seq", "reopens"),
    [(3, True), (500, True), (501, True), (2**31 - 2, True), (1, False), (0, False), (-1, False)],
)
def test_without_timestamps_a_syn_beyond_the_old_numbers_reopens(
    script: Script, seq: int, reopens: bool
) -> None:
    assert record(script).reopens(arriving(f"< S {seq}:{seq}(0) <mss 1460>")) is reopens


def test_a_syn_among_the_old_numbers_gets_an_ack(script: Script) -> None:
    # To which a peer that has forgotten the connection answers with a RST.
    time_wait = record(script)
    check(time_wait.receive(arriving("< S 0:0(0) <mss 1460>"), 1034.0), "> . 2:2(0) ack 2")


# A new SYN, by timestamps (RFC 6191 section 2) ------------------------------------------------

RECENT = 2**32 - 10_000


@pytest.mark.parametrize(
    ("val", "seq", "reopens"),
    [
        (RECENT + 1, 500, True),
        (RECENT + 1, -500, True),
        (5, -500, True),
        (RECENT - 1, 500, False),
        (RECENT, 500, True),
        (RECENT, -500, False),
    ],
    ids=["later", "later among old numbers", "wrapped", "earlier", "equal", "equal, old numbers"],
)
def test_with_timestamps_the_later_syn_reopens(
    script: Script, val: int, seq: int, reopens: bool
) -> None:
    syn = f"< S {seq}:{seq}(0) <mss 1460,sackOK,TS val {val} ecr 0>"
    assert record(script, ts=True).reopens(arriving(syn)) is reopens


@pytest.mark.parametrize(("seq", "reopens"), [(500, True), (-500, False)])
def test_a_syn_without_the_timestamps_of_before_is_told_by_its_number(
    script: Script, seq: int, reopens: bool
) -> None:
    assert record(script, ts=True).reopens(arriving(f"< S {seq}:{seq}(0) <mss 1460>")) is reopens


def test_the_latest_timestamp_counts_not_that_of_the_handshake(script: Script) -> None:
    script.established(ts=True, sack=False)
    script.write_eof()
    script.expect("> F. 1:1(0) ack 1")
    script.advance(0.125)
    script.inject("< F. 1:1(0) ack 2")
    script.expect("> . 2:2(0) ack 2")
    time_wait = script.connection.time_wait(1024.125)
    for val, reopens in ((RECENT + 124, False), (RECENT + 126, True)):
        syn = arriving(f"< S -500:-500(0) <mss 1460,TS val {val} ecr 0>")
        assert time_wait.reopens(syn) is reopens


@pytest.mark.parametrize(
    "line", ["< S. 500:500(0) ack 2", "< SF 500:500(0)", "< SR 500:500(0)", "< . 500:500(0) ack 2"]
)
def test_nothing_but_a_plain_syn_reopens(script: Script, line: str) -> None:
    assert not record(script).reopens(arriving(line))
