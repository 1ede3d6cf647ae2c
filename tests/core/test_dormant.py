"""What is packed comes back: all of it, with what is shared still shared, and small in between."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from rudp.core import dormant
from rudp.core.config import Config, Keepalive
from rudp.core.congestion import ALGORITHMS, Reno
from rudp.core.dormant import at_rest, may_be_packed, pack, unpack
from rudp.core.events import Event
from rudp.core.state import CLOSE_WAIT, FIN_WAIT_2, State
from tests.core.sameness import difference
from tests.wire.scripted import Script

SMALL = 400
"""Bytes that a connection takes that has echoed once."""


def echoed(config: Config | None = None) -> Script:
    script = Script()
    script.established(passive=True, mss=1000, wscale=7, config=config)
    script.inject("< P. 1:65(64) ack 1")
    script.expect_read(64)
    script.write(bytes(64))
    script.inject("< . 65:65(0) ack 65")
    script.sent()
    script.events()
    return script


@pytest.mark.parametrize("congestion", ALGORITHMS)
@pytest.mark.parametrize("keepalive", [None, Keepalive()])
def test_a_connection_that_has_echoed_comes_back_as_it_was(
    congestion: str, keepalive: Keepalive | None
) -> None:
    connection = echoed(Config(congestion=congestion, keepalive=keepalive)).connection
    assert at_rest(connection)
    packed = pack(connection)
    assert len(packed) < SMALL
    again = unpack(packed, connection.config)
    assert difference(connection, again) == ""
    assert again is not connection
    assert again.config is again.snd.config is again.rcv.config is connection.config
    assert again.snd.rtt is again.snd.loss.rtt
    assert again.snd.cc is again.snd.loss.cc
    assert again.state is connection.state
    assert (again.keepalive is None) is (keepalive is None)


def test_the_same_connection_is_packed_into_the_same_bytes() -> None:
    assert pack(echoed().connection) == pack(echoed().connection)


def test_it_goes_on_from_there() -> None:
    script = echoed()
    script._connection = unpack(pack(script.connection), script.connection.config)
    script.write(b"more")
    script.expect('> P. 65:69(4) ack 65 "more"')
    script.inject("< P. 65:70(5) ack 69")
    script.expect_read(5)


def test_keepalive_probes_go_on() -> None:
    config = Config(keepalive=Keepalive(idle=10.0, interval=1.0, count=2))
    script = echoed(config)
    script._connection = unpack(pack(script.connection), script.connection.config)
    script.expect_after(10.0, "> . 64:64(0) ack 65")
    assert at_rest(script.connection)
    script._connection = unpack(pack(script.connection), script.connection.config)
    script.expect_after(1.0, "> . 64:64(0) ack 65")


# -- what is no rest -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(lambda s: s.write(b"x"), id="something in flight"),
        pytest.param(lambda s: s.inject("< P. 65:66(1) ack 65"), id="something unread"),
        pytest.param(lambda s: s.inject("< P. 70:71(1) ack 65"), id="something out of order"),
        pytest.param(lambda s: s.connection.events.append(Event.READABLE), id="an event untold"),
        pytest.param(lambda s: s.write_eof(), id="our FIN in flight"),
        pytest.param(lambda s: s.abort(), id="the end"),
        pytest.param(
            lambda s: (s.inject("< P. 65:66(1) ack 65"), s.read()), id="an ACK that is owed"
        ),
        pytest.param(lambda s: s.connection.write(b"x"), id="something that has not been sent"),
    ],
)
def test_there_is_no_rest_with(step: Callable[[Script], object]) -> None:
    script = echoed()
    assert at_rest(script.connection)
    step(script)
    assert not at_rest(script.connection)


def test_a_handshake_is_no_rest() -> None:
    script = Script()
    script.active()
    assert not at_rest(script.connection)


@pytest.mark.parametrize("state", [CLOSE_WAIT, FIN_WAIT_2])
def test_a_connection_that_is_half_closed_may_rest(state: State) -> None:
    script = echoed()
    if state is CLOSE_WAIT:
        script.inject("< F. 65:65(0) ack 65")
    else:
        script.write_eof()
        script.inject("< . 65:65(0) ack 66")
    script.events()
    assert script.state is state
    assert at_rest(script.connection)
    again = unpack(pack(script.connection), script.connection.config)
    assert difference(script.connection, again) == ""


def test_who_has_closed_rests_until_the_peer_is_given_up() -> None:
    script = echoed()
    script.close()
    script.inject("< . 65:65(0) ack 66")
    script.events()
    again = unpack(pack(script.connection), script.connection.config)
    assert at_rest(again)
    assert again.next_deadline() == script.connection.next_deadline() < math.inf


# -- who is not packed ---------------------------------------------------------------------------


class Mine(Reno):
    """A user's own."""


def test_the_users_own_congestion_control_is_not_packed() -> None:
    assert may_be_packed(Config())
    assert not may_be_packed(Config(congestion=Mine))


def test_without_zlib_nothing_is_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dormant, "zlib", None)
    assert not may_be_packed(Config())
