"""Time that passes: when a peer is given up, when it is asked, and when nothing has to be done.

RFC 9293 section 3.8.3 (R1 and R2), RFC 5482 (user timeout), RFC 9293 section 3.8.4 (keepalive).
The retransmission timer is in `test_recovery`, zero-window probes are in `test_windows`.
"""

from __future__ import annotations

import errno
import math
from collections.abc import Callable

import pytest

from rudp.core.config import Config, Keepalive
from rudp.core.events import Event
from rudp.core.state import State
from tests.wire.runs import run
from tests.wire.scripted import Script

KEEPALIVE = Config(keepalive=Keepalive(idle=10, interval=2, count=3))


def assert_timed_out(script: Script) -> None:
    """The connection has ended as one does that timed out, and nothing was sent for it."""
    assert script.state is State.CLOSED
    assert script.events()[-2:] == [Event.RELEASED, Event.CLOSED]
    error = script.connection.error
    assert isinstance(error, TimeoutError)
    assert error.errno == errno.ETIMEDOUT
    assert script.connection.next_deadline() == math.inf
    script.advance(1000)


# -- R1 and R2 -------------------------------------------------------------------------------------


def test_the_third_retransmission_is_told_as_trouble(script: Script) -> None:
    """SHLD-9, SHLD-10."""
    script.established(mss=1000, sack=False)
    script.write(b"a")
    script.advance(1.3)
    assert len(script.sent()) == 3
    assert script.events() == []
    script.advance(0.11)
    assert len(script.sent()) == 1
    assert script.events() == [Event.TROUBLE]
    script.advance(20)
    assert script.events() == []
    script.sent()


def test_r1_can_be_set(script: Script) -> None:
    script.established(mss=1000, sack=False, config=Config(r1=1))
    script.write(b"a")
    script.advance(0.2)
    assert script.events() == [Event.TROUBLE]
    script.sent()


def test_trouble_after_progress_is_told_again(script: Script) -> None:
    script.established(mss=1000)
    script.write(b"a")
    script.advance(2)
    assert script.events() == [Event.TROUBLE]
    script.inject("< . 1:1(0) ack 2")
    script.write(b"b")
    script.advance(30)
    assert script.events() == [Event.TROUBLE]
    script.sent()


def test_after_r2_the_connection_is_given_up(script: Script) -> None:
    """MUST-20, SHLD-11: 100 seconds."""
    script.established(mss=1000, sack=False)
    script.write(b"a")
    script.advance(99.9)
    assert script.state is State.ESTABLISHED
    assert len(script.sent()) == 9
    script.advance(0.1)
    assert_timed_out(script)


def test_r2_can_be_set(script: Script) -> None:
    """MUST-21."""
    script.established(mss=1000, config=Config(r2=5))
    script.write(b"a")
    script.advance(4.9)
    assert script.state is State.ESTABLISHED
    script.sent()
    script.advance(0.1)
    assert_timed_out(script)


def test_r2_begins_anew_with_each_acknowledgment(script: Script) -> None:
    script.established(mss=1000)
    script.write(b"a" * 3000)
    for ack in (1001, 2001):
        script.advance(90)
        script.inject(f"< . 1:1(0) ack {ack}")
    script.advance(90)
    assert script.state is State.ESTABLISHED
    script.sent()
    script.advance(10)
    assert_timed_out(script)


def test_a_duplicate_ack_does_not_begin_r2_anew(script: Script) -> None:
    script.established(mss=1000)
    script.write(b"a" * 3000)
    script.advance(90)
    script.inject("< . 1:1(0) ack 1")
    script.sent()
    script.advance(10)
    assert_timed_out(script)


def test_retransmissions_are_a_minute_apart_at_most(script: Script) -> None:
    """RFC 6298 section 2.5."""
    script.established(mss=1000, sack=False, config=Config(r2=400))
    script.write(b"a")
    script.expect("> P. 1:2(1) ack 1")
    script.expect_at(0.2, "> P. 1:2(1) ack 1")
    for power in range(1, 9):
        script.expect_after(0.2 * 2**power, "> P. 1:2(1) ack 1")
    for _ in range(4):
        script.expect_after(60, "> P. 1:2(1) ack 1")


def test_a_fin_that_is_never_acknowledged_is_given_up_too(script: Script) -> None:
    script.established()
    script.close()
    script.advance(99.9)
    assert script.state is State.FIN_WAIT_1
    script.sent()
    script.advance(0.1)
    assert_timed_out(script)


# -- the user timeout ------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [5, 300])
def test_the_user_timeout_takes_the_place_of_r2(script: Script, seconds: float) -> None:
    script.established(mss=1000, config=Config(user_timeout=seconds))
    script.write(b"a")
    script.advance(seconds - 0.1)
    assert script.state is State.ESTABLISHED
    script.sent()
    script.advance(0.1)
    assert_timed_out(script)


def test_it_counts_while_data_waits_for_its_acknowledgment_only(script: Script) -> None:
    script.established(mss=1000, config=Config(user_timeout=5))
    script.inject("< . 1:1(0) ack 1")
    script.advance(1000)
    script.write(b"a")
    script.expect("> P. 1:2(1) ack 1")
    script.inject("< . 1:1(0) ack 2")
    script.advance(1000)
    assert script.state is State.ESTABLISHED


def test_it_begins_anew_with_each_acknowledgment(script: Script) -> None:
    script.established(mss=1000, config=Config(user_timeout=5))
    script.write(b"a" * 3000)
    for ack in (1001, 2001):
        script.advance(4)
        script.inject(f"< . 1:1(0) ack {ack}")
    script.advance(4.9)
    assert script.state is State.ESTABLISHED
    script.sent()
    script.advance(0.1)
    assert_timed_out(script)


def test_data_of_the_peer_is_no_acknowledgment(script: Script) -> None:
    script.established(mss=1000, config=Config(user_timeout=5))
    script.write(b"a")
    script.advance(4)
    script.inject("< P. 1:2(1) ack 1")
    script.advance(0.9)
    script.sent()
    script.advance(0.1)
    assert_timed_out(script)


# -- keepalive -------------------------------------------------------------------------------------


def _idle(script: Script, config: Config | None = None) -> None:
    """Both sides know that they are in ESTABLISHED, and have nothing to say."""
    script.established(config=config)
    script.inject("< . 1:1(0) ack 1")


def test_keepalive_is_off_by_default(script: Script) -> None:
    """MUST-25: an idle connection lives for ever."""
    _idle(script)
    script.advance(1)
    assert script.connection.next_deadline() == math.inf
    script.advance(10 * 86_400)
    assert script.state is State.ESTABLISHED


def test_an_idle_peer_is_asked_without_data(script: Script) -> None:
    """MUST-26, SHLD-12: SEG.SEQ = SND.NXT-1."""
    _idle(script, KEEPALIVE)
    script.expect_at(10, "> . 0:0(0) ack 1")
    script.inject("< . 1:1(0) ack 1")
    script.expect_at(20, "> . 0:0(0) ack 1")


def test_a_peer_that_answers_is_asked_for_ever(script: Script) -> None:
    _idle(script, KEEPALIVE)
    for n in range(1, 100):
        script.expect_at(10 * n, "> . 0:0(0) ack 1")
        script.inject("< . 1:1(0) ack 1")


def test_an_answer_to_a_later_probe_is_an_answer(script: Script) -> None:
    """MUST-29: one that is lost means nothing."""
    _idle(script, KEEPALIVE)
    for moment in (10, 12, 14):
        script.expect_at(moment, "> . 0:0(0) ack 1")
    script.advance(1)
    script.inject("< . 1:1(0) ack 1")
    for moment in (25, 27, 29):
        script.expect_at(moment, "> . 0:0(0) ack 1")
    script.inject("< . 1:1(0) ack 1")


def test_after_count_probes_without_an_answer_the_peer_is_dead(script: Script) -> None:
    _idle(script, KEEPALIVE)
    for moment in (10, 12, 14):
        script.expect_at(moment, "> . 0:0(0) ack 1")
    script.advance(1.9)
    assert script.state is State.ESTABLISHED
    script.advance(0.1)
    assert_timed_out(script)


def test_a_rst_in_answer_to_a_probe_ends_it(script: Script) -> None:
    _idle(script, KEEPALIVE)
    script.expect_at(10, "> . 0:0(0) ack 1")
    script.inject("< R 1:1(0)")
    assert script.state is State.CLOSED
    assert isinstance(script.connection.error, ConnectionResetError)


def test_whatever_the_peer_sends_puts_the_probe_off(script: Script) -> None:
    _idle(script, KEEPALIVE)
    script.advance(5)
    script.inject("< P. 1:2(1) ack 1")
    script.expect_after(0.04, "> . 1:1(0) ack 2")
    script.expect_at(15, "> . 0:0(0) ack 2")
    script.inject("< . 2:2(0) ack 1")
    script.advance(3)
    script.inject("< . 2:2(0) ack 1 win 500")
    script.expect_at(28, "> . 0:0(0) ack 2")


def test_data_that_waits_for_its_acknowledgment_asks_by_itself(script: Script) -> None:
    script.established(config=KEEPALIVE)
    script.write(b"a")
    script.advance(50)
    assert all(line.seq == 1 for line in script.sent())
    script.inject("< . 1:1(0) ack 2")
    script.expect_at(60, "> . 1:1(0) ack 1")


def test_a_half_closed_connection_is_kept_alive_as_well(script: Script) -> None:
    script.established(config=KEEPALIVE)
    script.write_eof()
    script.expect("> F. 1:1(0) ack 1")
    script.inject("< . 1:1(0) ack 2")
    for moment in (10, 12, 14):
        script.expect_at(moment, "> . 1:1(0) ack 1")
    script.advance(2)
    assert_timed_out(script)


def test_a_probe_of_the_peer_is_answered(script: Script) -> None:
    """RFC 9293 section 3.8.4: it lies outside the window, with or without an octet of garbage."""
    script.established()
    script.inject("< P. 1:11(10) ack 1")
    script.expect_after(0.04, "> . 1:1(0) ack 11")
    for n in range(3):
        script.advance(10)
        script.inject("< . 10:10(0) ack 1" if n % 2 else '< . 10:11(1) ack 1 "\\0"')
        assert [(line.seq, line.ack, line.length) for line in script.sent()] == [(1, 11, 0)]


# -- deadlines -------------------------------------------------------------------------------------


def _retransmission(script: Script) -> None:
    script.established(mss=1000)
    script.write(b"a" * 20_000)
    script.expect(*run(1, 10_001))


def _delayed_ack(script: Script) -> None:
    script.established()
    script.inject("< P. 1:11(10) ack 1")


def _persist(script: Script) -> None:
    script.established(win=0)
    script.write(b"a")


def _keepalive(script: Script) -> None:
    script.established(config=KEEPALIVE)


def _give_up(script: Script) -> None:
    script.established(config=Config(user_timeout=0.1))
    script.write(b"a")
    script.expect("> P. 1:2(1) ack 1")


def _syn(script: Script) -> None:
    script.active()
    script.expect("> S 0:0(0)")


def _time_wait(script: Script) -> None:
    script.established()
    script.write_eof()
    script.inject("< F. 1:1(0) ack 2")
    script.expect("> F. 1:1(0) ack 1", "> . 2:2(0) ack 2")


@pytest.mark.parametrize(
    ("begin", "seconds"),
    [
        (_retransmission, 0.2),
        (_delayed_ack, 0.04),
        (_persist, 0.2),
        (_keepalive, 10),
        (_give_up, 0.1),
        (_syn, 1),
        (_time_wait, 60),
    ],
)
def test_a_timer_that_fires_early_does_nothing(
    script: Script, begin: Callable[[Script], None], seconds: float
) -> None:
    begin(script)
    state, deadline = script.state, script.connection.next_deadline()
    for early in (seconds, seconds / 2, 0.001):
        script.connection.handle_timeout(deadline - early)
        script.read()  # polls
        script.expect_nothing()
        assert script.connection.next_deadline() == deadline
        assert script.state is state
    script.events()
    script.advance(seconds)
    assert script.sent() or script.events() or script.state is not state


def test_a_timer_that_fires_late_counts_once(script: Script) -> None:
    _retransmission(script)
    late = script.connection.next_deadline() + 5
    script.connection.handle_timeout(late)
    (again,) = script.connection.segments_to_send(late)
    assert len(again.data) == 1000
    # It is the tail loss probe's, and the RTO, due as well, begins anew with that.
    assert script.connection.next_deadline() == late + 0.2


def test_an_idle_connection_has_no_deadline(script: Script) -> None:
    _idle(script)
    script.advance(1)  # then the last timer of the handshake finds that all is well
    assert script.connection.next_deadline() == math.inf
    script.write(b"a")
    script.expect("> P. 1:2(1) ack 1")
    assert script.connection.next_deadline() < math.inf
    script.inject("< P. 1:11(10) ack 2")
    script.expect_after(0.04, "> . 2:2(0) ack 11")
    assert script.connection.next_deadline() == math.inf


def test_the_next_deadline_is_the_first_of_all(script: Script) -> None:
    config = Config(keepalive=Keepalive(idle=1.0), user_timeout=1.5)
    script.established(mss=1000, sack=False, config=config)
    keepalive = script.connection.next_deadline()
    script.write(b"a")
    script.expect("> P. 1:2(1) ack 1")
    assert script.connection.next_deadline() == pytest.approx(keepalive - 0.8)  # the RTO
    script.inject("< P. 1:11(10) ack 1")
    assert script.connection.next_deadline() == pytest.approx(keepalive - 0.96)  # delayed ACK


def test_a_connection_that_has_ended_has_no_deadline(script: Script) -> None:
    script.established(config=KEEPALIVE)
    script.write(b"a" * 100_000)
    script.inject("< P. 1:11(10) ack 1")
    script.abort()
    assert script.connection.next_deadline() == math.inf
    assert str(script.sent()[-1]).startswith("> R.")
