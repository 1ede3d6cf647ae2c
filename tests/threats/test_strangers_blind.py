"""Rows 1 to 6 and 28: an attacker who sees nothing, and what he might guess or find out.

The cases one by one are in `tests/wire/test_blind_attacks.py` and `tests/wire/test_resets.py`; here
are the many at a time.
"""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

import rudp.sim
from rudp.core import syn_cookie
from rudp.core.answer_limit import LIMIT, AnswerLimit
from rudp.core.isn import initial_numbers
from rudp.core.segment import ACK, RST, SYN, Segment
from rudp.core.state import CLOSED, ESTABLISHED, SYN_SENT
from rudp.core.timestamps import Timestamps
from rudp.ports import EPHEMERAL_PORTS, ephemeral_port
from tests import peers
from tests.peers import Accepted, Hand, RawPeer, dropped, kinds
from tests.threats.statistics import CRITICAL_255, chi_square, correlation
from tests.threats.strangers import PORT, serving
from tests.wire.scripted import PEER_ISS, PEER_PORT, Script

quiet_loop = peers.quiet_loop

SECRET = bytes(range(32))
LOCAL = ("10.0.0.1", 9000)
WINDOW = 65535


@pytest.fixture
def script() -> Script:
    return Script()


# -- 1: blind RST (RFC 5961 section 3) -----------------------------------------------------------


def test_threat_01_blind_rst_ends_nothing_but_at_rcv_nxt(script: Script) -> None:
    rng = random.Random(1)
    script.established()
    for _ in range(500):
        inside, anywhere = rng.randrange(2, WINDOW), -rng.randrange(2**31)
        script.inject(f"< R {inside}:{inside}(0)", f"< R. {anywhere}:{anywhere}(0) ack 1")
    assert script.state is ESTABLISHED
    script.expect("> . 1:1(0) ack 1")  # one challenge ACK for all of them: no time has passed
    script.inject("< R 1:1(0)")
    assert script.state is CLOSED


def test_threat_01_blind_rst_refuses_no_attempt_to_connect(script: Script) -> None:
    rng = random.Random(1)
    script.active()
    script.expect("> S 0:0(0)")
    for _ in range(500):
        ack = rng.choice((-1, 1)) * rng.randrange(2, 2**31)
        script.inject(f"< R. 0:0(0) ack {ack}", "< R 0:0(0)")
    script.expect_nothing()
    assert script.state is SYN_SENT
    script.inject("< R. 0:0(0) ack 1")
    assert script.state is CLOSED


# -- 2: blind SYN (RFC 5961 section 4) -----------------------------------------------------------


def test_threat_02_blind_syn_resets_nothing(script: Script) -> None:
    rng = random.Random(2)
    script.established()
    for _ in range(500):
        seq = rng.choice((1 + rng.randrange(WINDOW), rng.randrange(-(2**31), 2**31)))
        script.inject(f"< S {seq}:{seq}(0) <mss 1460>", f"< S. {seq}:{seq}(0) ack 1 <mss 1460>")
    assert script.state is ESTABLISHED
    script.expect("> . 1:1(0) ack 1")


# -- 3: blind data (RFC 5961 section 5) ----------------------------------------------------------


def test_threat_03_blind_data_with_a_guessed_ack_is_not_taken(script: Script) -> None:
    rng = random.Random(3)
    script.established(win=1000)
    script.write(b"x" * 500)
    script.expect("> P. 1:501(500) ack 1")
    for _ in range(500):
        # Not one of the 1501 numbers from SND.UNA - MAX.SND.WND to SND.NXT.
        ack = rng.choice((rng.randrange(502, 2**31), -rng.randrange(1000, 2**31 - 1000)))
        script.inject(f"< P. 1:101(100) ack {ack}")
    assert script.connection.readable == 0
    assert script.connection.tcp_info().unacked == 500
    script.expect("> . 501:501(0) ack 1")


def test_threat_03_blind_data_does_not_replace_what_came_first(script: Script) -> None:
    script.established()
    script.inject('< P. 6:11(5) ack 1 "world"')
    script.inject('< P. 6:11(5) ack 1 "WORLD"', '< P. 4:16(12) ack 1 "LOWORLD-AND-"')
    script.inject('< P. 1:6(5) ack 1 "hello"')
    assert script.read() == b"helLOworld-AND-"  # of what was forged, what nobody had sent yet
    script.inject('< P. 1:11(10) ack 1 "EVIL-BYTES"')
    assert script.read() == b""


# -- 4: what one limit for all would tell (CVE-2016-5696) ----------------------------------------


@pytest.mark.parametrize("forged", [0, 100])
async def test_threat_04_challenge_acks_of_one_connection_tell_nothing_of_another(
    forged: int,
) -> None:
    accepted = Accepted()
    async with (
        serving(accepted) as endpoint,
        RawPeer.open() as victim,
        RawPeer.open() as attacker,
    ):
        theirs = await Hand.connect(victim, endpoint.sockname, PORT)
        his = await Hand.connect(attacker, endpoint.sockname, PORT)
        streams = [await accepted.next() for _ in range(2)]
        # In the victim's name, at the victim's connection: each may draw a challenge ACK there.
        victim.send(endpoint.sockname, *[theirs.segment(RST, back=-7)] * forged)
        await victim.fence(endpoint.sockname)
        answers = await attacker.answers(endpoint.sockname, *[his.segment(RST, back=-7)] * 100)
        assert kinds(answers) == ["."]  # whether or not anything was forged
        await dropped(*streams)


def test_threat_04_answers_to_one_host_tell_nothing_of_what_others_got() -> None:
    # In each second he forges strays of the victim. Were there a connection, none would be a stray.
    def counted(forged: int) -> list[int]:
        limit, counts = AnswerLimit(), []
        for second in range(20):
            for _ in range(forged):
                limit.allows(SECRET, "10.0.0.2", second)
            answered = sum(limit.allows(SECRET, "10.0.0.66", second) for _ in range(LIMIT + 50))
            counts.append(answered)
        return counts

    assert counted(0) == counted(LIMIT) == [LIMIT] * 20


# -- 5: ISNs (RFC 6528) --------------------------------------------------------------------------


def pairs(count: int) -> list[tuple[tuple[str, int], int, int]]:
    """Sockets as much alike as they can be: the peer's port counts up."""
    return [(("10.0.0.2", 1024 + i % 60_000), 80, 40_000 + i // 60_000) for i in range(count)]


def isns(count: int) -> list[int]:
    return [initial_numbers(SECRET, LOCAL, pair, 1000.0)[0] for pair in pairs(count)]


def cookies(count: int) -> list[int]:
    syn = Segment(4000, 80, 1, 0, SYN, 65535, mss=1452)
    return [syn_cookie.bake(SECRET, LOCAL, pair, syn, 536, 1000.0) for pair in pairs(count)]


@pytest.mark.parametrize("numbers", [isns, cookies])
@pytest.mark.parametrize("shift", [24, 12, 0])
def test_threat_05_isns_are_spread_evenly_and_so_are_their_differences(
    numbers: Any, shift: int
) -> None:
    found = numbers(10_000)
    assert chi_square((each >> shift & 255 for each in found), 256) < CRITICAL_255
    steps = (b - a for a, b in itertools.pairwise(found))
    assert chi_square((step >> shift & 255 for step in steps), 256) < CRITICAL_255


def test_threat_05_isns_whoever_knows_one_can_guess_no_bit_of_the_next() -> None:
    # So a guess at all of them is good at 2**-32.
    found = isns(8000)
    for bit in range(32):
        changed = sum((a ^ b) >> bit & 1 for a, b in itertools.pairwise(found))
        assert abs(changed / 8000 - 0.5) < 0.025  # four and a half standard deviations


def test_threat_05_isns_of_one_pair_rise_from_connection_to_connection() -> None:
    pair = pairs(1)[0]
    first = [initial_numbers(SECRET, LOCAL, pair, 1000.0 + i)[0] for i in range(100)]
    assert all(0 < (b - a) % 2**32 < 2**31 for a, b in itertools.pairwise(first))


# -- 6: ports (RFC 6056) -------------------------------------------------------------------------


def test_threat_06_ports_are_one_of_2_to_the_15th_and_any_is_as_likely() -> None:
    async def draw(network: rudp.sim.Network) -> list[int]:
        return [ephemeral_port(lambda port: False) for _ in range(10_000)]

    ports = rudp.sim.run(draw, seed=6)
    assert len(EPHEMERAL_PORTS) == 2**15
    assert chi_square((port & 255 for port in ports), 256) < CRITICAL_255
    assert chi_square((port >> 7 & 255 for port in ports), 256) < CRITICAL_255
    steps = (b - a for a, b in itertools.pairwise(ports))
    assert chi_square((step & 255 for step in steps), 256) < CRITICAL_255


# -- 28: what numbers give away ------------------------------------------------------------------


def test_threat_28_timestamps_of_two_connections_have_nothing_in_common() -> None:
    offsets, numbers, values = [], [], []
    for pair in pairs(10_000):
        isn, offset = initial_numbers(SECRET, LOCAL, pair, 1000.0)
        offsets.append(offset)
        numbers.append(isn)
        values.append(Timestamps(offset).clock(1000.0))
    for shift in (24, 12, 0):
        assert chi_square((value >> shift & 255 for value in values), 256) < CRITICAL_255
    # Neither with the one before, nor with the ISN, nor with the port (four standard deviations).
    assert abs(correlation(values[1:], values[:-1])) < 0.04
    assert abs(correlation(offsets, numbers)) < 0.04
    assert abs(correlation(offsets, range(10_000))) < 0.04


def test_threat_28_no_number_says_for_how_long_the_machine_has_been_up() -> None:
    # A second after it was started, one connection in 430 may have such a timestamp by chance.
    young = sum(
        Timestamps(initial_numbers(SECRET, LOCAL, pair, 1.0)[1]).clock(1.0) < 10**7
        for pair in pairs(2000)
    )
    assert young < 15


@pytest.mark.parametrize("flags", [ACK, SYN])
async def test_threat_28_answers_to_strangers_tell_no_number_of_ours(flags: int) -> None:
    # They are made of what they answer alone.
    async with serving() as endpoint, RawPeer.open() as peer:
        stray = Segment(PEER_PORT, PORT + 1, PEER_ISS, 777 if flags & ACK else 0, flags, 0)
        first, second = await peer.answers(endpoint.sockname, stray, stray)
        assert first == second
        seq, ack = (777, 0) if flags & ACK else (0, PEER_ISS + 1)
        assert (first.seq, first.ack, first.wnd, first.ts_val) == (seq, ack, 0, None)
