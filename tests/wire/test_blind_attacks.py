"""What someone can try who sees nothing of the connection: RFC 5961, and segments without sense.

A blind RST is in `test_resets`, a blind SYN before the handshake is done in `test_opening`.
"""

from __future__ import annotations

import pytest

from rudp.core.events import Event
from rudp.core.state import ESTABLISHED, SYN_RCVD, SYN_SENT, State
from tests.wire.scripted import Script
from tests.wire.states import SYNCHRONIZED, reach

# SYN (RFC 5961 section 4) ---------------------------------------------------------------------


@pytest.mark.parametrize("state", SYNCHRONIZED, ids=str)
@pytest.mark.parametrize("beyond", [0, 100, -2, 10**6, -(10**6)])
def test_a_syn_gets_a_challenge_ack_wherever_it_stands(
    script: Script, state: State, beyond: int
) -> None:
    at = reach(script, state)
    seq = at.rcv + beyond
    script.inject(f"< S {seq}:{seq}(0) <mss 1460>")
    script.expect(f"> . {at.nxt}:{at.nxt}(0) ack {at.rcv}")
    assert script.state is state


@pytest.mark.parametrize("state", SYNCHRONIZED, ids=str)
def test_a_syn_ack_gets_a_challenge_ack_too(script: Script, state: State) -> None:
    at = reach(script, state)
    script.inject(f"< S. 0:0(0) ack {at.una} <mss 1460>")
    script.expect(f"> . {at.nxt}:{at.nxt}(0) ack {at.rcv}")
    assert script.state is state


def test_the_syn_ack_again_gets_the_ack_that_was_lost(script: Script) -> None:
    script.established()
    script.inject("< S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK>")
    script.expect("> . 1:1(0) ack 1")


def test_a_syn_of_a_peer_that_has_restarted_is_told_where_the_old_connection_stands(
    script: Script,
) -> None:
    # Its RST then ends what it has forgotten, and its next SYN finds the way free.
    script.established(ts=True)
    script.inject("< S 70000:70000(0) <mss 1460,sackOK,TS val 1000 ecr 0,nop,wscale 7>")
    script.expect("> . 1:1(0) ack 1 <nop,nop,TS val ... ecr ...>")
    script.inject("< R 1:1(0)")
    script.expect_nothing()
    assert isinstance(script.connection.error, ConnectionResetError)


def test_data_on_a_syn_is_not_taken(script: Script) -> None:
    script.established()
    script.inject('< SP. 1:6(5) ack 1 "hello"')
    script.expect("> . 1:1(0) ack 1")
    assert script.connection.readable == 0


def test_a_fin_on_a_syn_closes_nothing(script: Script) -> None:
    script.established()
    script.inject("< SF. 1:1(0) ack 1")
    script.expect("> . 1:1(0) ack 1")
    assert script.state is ESTABLISHED
    assert script.events() == []


# ACK and data (RFC 5961 section 5) ------------------------------------------------------------


def test_an_ack_of_what_was_never_sent_gets_an_ack_and_its_data_is_not_taken(
    script: Script,
) -> None:
    script.established()
    script.write(b"hello")
    script.expect("> P. 1:6(5) ack 1")
    script.inject("< P. 1:101(100) ack 7")
    script.expect("> . 6:6(0) ack 1")
    assert script.connection.readable == 0
    assert script.connection.tcp_info().unacked == 5


@pytest.mark.parametrize(("ack", "taken"), [(-998, True), (-999, True), (-1000, False)])
def test_an_ack_may_be_as_old_as_the_largest_window_that_the_peer_ever_told(
    script: Script, ack: int, taken: bool
) -> None:
    # SND.UNA - MAX.SND.WND <= SEG.ACK, with SND.UNA 1.
    script.established(win=1000)
    script.inject(f"< P. 1:1461(1460) ack {ack}")
    script.expect(f"> . 1:1(0) ack {1461 if taken else 1}")
    assert script.connection.readable == (1460 if taken else 0)


def test_a_window_that_has_shrunk_since_does_not_make_old_acks_too_old(script: Script) -> None:
    script.established(win=5000)
    script.inject("< . 1:1(0) ack 1 win 100")
    script.inject("< P. 1:1461(1460) ack -4999")
    script.expect("> . 1:1(0) ack 1461")


def test_an_ack_that_is_too_new_tells_no_window(script: Script) -> None:
    script.established(win=1000)
    script.inject("< . 1:1(0) ack 2 win 60000")
    script.expect("> . 1:1(0) ack 1")
    assert script.connection.tcp_info().snd_wnd == 1000


def test_an_old_ack_tells_no_window(script: Script) -> None:
    script.established(win=1000)
    script.write(b"x" * 500)
    script.expect("> P. 1:501(500) ack 1")
    script.inject("< . 1:1(0) ack 501")
    script.inject("< . 1:1(0) ack 1 win 0")
    script.expect_nothing()
    assert script.connection.tcp_info().snd_wnd == 1000


@pytest.mark.parametrize("line", ["< - 1:1(0)", "< P 1:101(100)", "< F 1:1(0)", "< FPU 1:1(0)"])
def test_without_an_ack_nothing_is_taken(script: Script, line: str) -> None:
    # RFC 9293 section 3.10.7.4, fifth.
    script.established()
    script.inject(line)
    script.expect_nothing()
    assert script.connection.readable == 0
    assert script.state is ESTABLISHED


@pytest.mark.parametrize("beyond", [70000, -70000, 10**9, -(10**9)])
def test_data_outside_the_window_is_not_taken_and_gets_an_ack(script: Script, beyond: int) -> None:
    script.established()
    first = 1 + beyond
    script.inject(f"< P. {first}:{first + 100}(100) ack 1")
    (line,) = script.sent()
    assert (line.seq, line.length, line.ack) == (1, 0, 1)
    assert script.connection.readable == 0


def test_a_fin_outside_the_window_closes_nothing(script: Script) -> None:
    script.established()
    script.inject("< F. 70001:70001(0) ack 1")
    script.expect("> . 1:1(0) ack 1")
    assert script.state is ESTABLISHED
    assert script.events() == []


# Challenge ACKs are seldom (RFC 5961 section 7) -----------------------------------------------

PROVE_NOTHING = [
    "< R 100:100(0)",
    "< S 100:100(0)",
    "< . 1:1(0) ack 70000",
    "< . 1:1(0) ack -70000",
    "< . 70001:70001(0) ack 1",
    "< - 70001:70001(0)",
]


@pytest.mark.parametrize("line", PROVE_NOTHING)
def test_a_flood_gets_two_acks_a_second(script: Script, line: str) -> None:
    script.established()
    script.inject("< . 1:1(0) ack 1")  # so our ACK is not repeated
    for _ in range(64):
        script.inject(*[line] * 10)
        script.advance(1 / 32)
    assert len(script.sent()) == 4


def test_all_that_proves_nothing_shares_one_limit(script: Script) -> None:
    script.established()
    for line in PROVE_NOTHING:
        script.inject(line)
    script.expect("> . 1:1(0) ack 1")
    script.advance(0.5)
    for line in reversed(PROVE_NOTHING):
        script.inject(line)
    script.expect("> . 1:1(0) ack 1")


def test_two_sides_that_disagree_do_not_answer_each_other_for_ever(script: Script) -> None:
    # The ACK storm: each answer is outside of what the other expects.
    script.established()
    for _ in range(100):
        script.inject("< . 70001:70001(0) ack 70001")
    script.expect("> . 1:1(0) ack 1")


def test_the_flood_does_not_delay_what_is_real(script: Script) -> None:
    script.established()
    script.inject("< R 100:100(0)")
    script.expect("> . 1:1(0) ack 1")
    script.inject("< R 100:100(0)", "< P. 1:1461(1460) ack 1")
    script.expect("> . 1:1(0) ack 1461")
    script.expect_read(1460)


# Flags that make no sense ---------------------------------------------------------------------


@pytest.mark.parametrize("state", [SYN_SENT, SYN_RCVD, *SYNCHRONIZED], ids=str)
@pytest.mark.parametrize("flags", ["-", "FPU", "PUEW"])
def test_a_null_or_a_christmas_tree_segment_changes_nothing(
    script: Script, state: State, flags: str
) -> None:
    at = reach(script, state)
    script.events()
    script.inject(f"< {flags} {at.rcv}:{at.rcv}(0)")
    script.expect_nothing()
    assert script.state is state
    assert script.events() == []


@pytest.mark.parametrize("state", SYNCHRONIZED, ids=str)
@pytest.mark.parametrize("flags", ["FS", "FSPUEW"])
def test_syn_and_fin_together_get_a_challenge_ack(script: Script, state: State, flags: str) -> None:
    at = reach(script, state)
    script.events()
    script.inject(f"< {flags} {at.rcv}:{at.rcv}(0)")
    script.expect(f"> . {at.nxt}:{at.nxt}(0) ack {at.rcv}")
    assert script.state is state
    assert script.events() == []


# URG (RFC 6093 section 3: in line) ------------------------------------------------------------


@pytest.mark.parametrize("urgent", [0, 3, 5, 65535])
def test_urgent_data_is_delivered_in_line(script: Script, urgent: int) -> None:
    script.established()
    script.inject(f'< PU. 1:6(5) ack 1 urg {urgent} "hello"')
    assert script.read() == b"hello"
    assert script.events() == [Event.READABLE]
    script.expect_after(0.04, "> . 1:1(0) ack 6")


def test_an_urgent_pointer_without_data_means_nothing(script: Script) -> None:
    script.established()
    script.inject("< U. 1:1(0) ack 1 urg 1000")
    script.expect_nothing()
    assert script.events() == []


def test_the_pointer_without_the_flag_means_nothing(script: Script) -> None:
    script.established()
    script.inject('< P. 1:6(5) ack 1 urg 3 "hello"')
    assert script.read() == b"hello"
    script.expect_after(0.04, "> . 1:1(0) ack 6")
