"""The scripted peer itself: it opens as told, and it does not overlook what it should see."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest

from rudp.core.config import Config
from rudp.core.connection import Connection
from rudp.core.events import Event
from rudp.core.segment import Segment
from rudp.core.state import State
from tests.wire.scripted import Script, peer_data


@pytest.mark.parametrize("passive", [False, True], ids=["active", "passive"])
@pytest.mark.parametrize(
    ("sack", "ts", "wscale"),
    list(itertools.product([True, False], [True, False], [None, 0, 7])),
)
def test_the_handshake_is_done_with_whatever_both_sides_offer(
    script: Script, passive: bool, sack: bool, ts: bool, wscale: int | None
) -> None:
    script.established(passive=passive, sack=sack, ts=ts, wscale=wscale)
    assert script.state is State.ESTABLISHED
    assert script.events() == []


@pytest.mark.parametrize("passive", [False, True], ids=["active", "passive"])
@pytest.mark.parametrize("option", ["sack", "timestamps", "window_scaling"])
def test_the_handshake_is_done_without_an_option_that_is_turned_off(
    script: Script, passive: bool, option: str
) -> None:
    config = Config(**{option: False})  # type: ignore[arg-type]
    script.established(passive=passive, config=config, sack=True, ts=True, wscale=7)


def test_data_goes_both_ways_and_wraps(script: Script) -> None:
    script.established(mss=1000)
    script.write(b"a" * 2000)
    script.expect("> . 1:1001(1000) ack 1", "> P. 1001:2001(1000) ack 1")
    script.inject("< . 1:1001(1000) ack 2001", "< . 1001:2001(1000) ack 2001")
    script.expect("> . 2001:2001(0) ack 2001")
    script.expect_read(2000)
    assert script.events() == [Event.READABLE]


def test_super_segments_are_shown_whole_if_asked_for() -> None:
    script = Script(super_segments=True)
    script.established(mss=1000)
    script.write(b"a" * 3500)
    script.expect("> P. 1:3501(3500) ack 1")


def test_a_literal_is_what_arrives(script: Script) -> None:
    script.established()
    script.inject('< P. 1:6(5) ack 1 "hello"')
    assert script.read() == b"hello"
    script.expect_after(0.04, "> . 1:1(0) ack 6")


def test_time_goes_through_every_deadline(script: Script) -> None:
    script.active()
    script.expect("> S 0:0(0)")
    script.advance(3.5)
    script.expect("> S 0:0(0)", "> S 0:0(0)")
    assert script.now == 3.5
    script.expect_at(7, "> S 0:0(0)")


def test_timestamps_are_answered_as_a_peer_would(script: Script) -> None:
    script.established(ts=True)
    script.write(b"x")
    script.expect("> P. 1:2(1) ack 1 <nop,nop,TS val ... ecr ...>")
    script.inject("< . 1:1(0) ack 2")
    assert "ack 2 win 65535 <nop,nop,TS val" in script.dialogue()


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["> P. 1:6(5) ack 2"], "not as expected: ack"),
        (["> P. 1:6(5) ack 1 win 1"], "not as expected: window"),
        (['> P. 1:6(5) ack 1 "world"'], "not as expected: data"),
        (["> P. 1:6(5) ack 1", "> . 6:6(0) ack 1"], "a segment is missing"),
        ([], "more was sent than expected"),
    ],
)
def test_an_expectation_that_is_not_met_fails_and_shows_the_dialogue(
    script: Script, lines: list[str], why: str
) -> None:
    script.established()
    script.write(b"hello")
    with pytest.raises(AssertionError, match=f"(?s){re.escape(why)}.*0.0000  > P. 1:6.5. ack 1"):
        script.expect(*lines)


def test_what_is_sent_too_early_is_not_expected_at_its_moment(script: Script) -> None:
    script.active()
    script.expect("> S 0:0(0)")
    with pytest.raises(AssertionError, match="nothing was to be sent before 2"):
        script.expect_at(2, "> S 0:0(0)")


def test_a_wrong_byte_on_the_wire_is_noticed(script: Script) -> None:
    script.established()
    script._written += b"X"  # As if something else had been written first.
    with pytest.raises(AssertionError, match="not what was written"):
        script.write(b"hello")


class SendsLate:
    """A connection, except that it sends only when it is asked for the second time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._polls = itertools.count()

    def segments_to_send(self, *args: Any) -> list[Segment]:
        return self._connection.segments_to_send(*args) if next(self._polls) else []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def test_more_to_send_without_a_deadline_for_it_is_noticed(script: Script) -> None:
    script.established()
    script._connection = SendsLate(script.connection)  # type: ignore[assignment]
    with pytest.raises(AssertionError, match="no deadline to say so"):
        script.write(b"hello")


def test_the_peers_stream_says_where_each_byte_belongs() -> None:
    whole = peer_data(0, 1000)
    assert all(peer_data(at, 7) == whole[at : at + 7] for at in range(993))
    assert peer_data(0, 100) != peer_data(1, 100)
