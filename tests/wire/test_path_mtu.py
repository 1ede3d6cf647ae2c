"""Path MTU discovery on the wire: which probes go out, and what an answer or none leads to.

RFC 8899. A probe is a segment of octets below SND.UNA, which the peer answers by a DSACK. The
handshake takes 40 ms, the RTO is 200 ms; the path is promised to carry 1452 bytes, and known to
carry 1180.
"""

from __future__ import annotations

import math

from rudp.core.config import Config
from tests.wire.runs import run, windows
from tests.wire.scripted import Script

RTT = 0.04
PROBE = "> . -1451:1(1452) ack 1"


def opened(script: Script, *, sack: bool = True, **config: object) -> None:
    script.active(Config(**config), mss=1452, path_mss=1180)  # type: ignore[arg-type]
    script.expect("> S 0:0(0)")
    script.advance(RTT)
    options = "<mss 1452,sackOK>" if sack else "<mss 1452>"
    script.inject(f"< S. 0:0(0) ack 1 win 65535 {options}")
    script.expect("> . 1:1(0) ack 1")


def test_the_first_flight_is_of_safe_size_and_a_probe_of_the_greatest_follows(
    script: Script,
) -> None:
    opened(script)
    script.write(b"a" * 11_800)
    script.expect(*run(1, 11_801, mss=1180, push=True), PROBE)


def test_an_answer_makes_the_next_segments_as_large_as_the_probe(script: Script) -> None:
    opened(script)
    script.write(b"a" * 30_000)
    script.expect(*run(1, 11_801, mss=1180), PROBE)
    script.advance(RTT)
    script.inject("< . 1:1(0) ack 1181", "< . 1:1(0) ack 11801 <nop,nop,sack -1451:1>")
    lines = script.sent()
    assert {line.length for line in lines[:-1]} == {1452}
    assert script.connection.tcp_info().snd_mss == 1452
    assert script.connection.tcp_info().total_retrans == 0
    # Whoever sends on compares one moment, and asks no more.
    assert script.connection.snd.probe_path_at == math.inf


def test_who_sends_less_than_two_segments_probes_for_nothing(script: Script) -> None:
    opened(script)
    script.write(b"a" * 1180)
    script.expect("> P. 1:1181(1180) ack 1")
    script.inject("< . 1:1(0) ack 1181")
    script.advance(10)
    assert script.connection.snd.path is None  # there is not even a search


def test_without_sack_the_path_is_taken_at_its_word(script: Script) -> None:
    opened(script, sack=False)
    script.write(b"a" * 2904)
    script.expect(*run(1, 2905, mss=1452, push=True))


def test_a_lost_probe_is_no_loss_to_anyone(script: Script) -> None:
    opened(script)
    before = script.connection.tcp_info().snd_cwnd
    script.write(b"a" * 11_800)
    script.expect(*run(1, 11_801, mss=1180, push=True), PROBE)
    script.advance(RTT)
    script.inject("< . 1:1(0) ack 11801")
    script.advance(10)  # nothing is sent again
    info = script.connection.tcp_info()
    assert (info.total_retrans, info.snd_mss) == (0, 1180)
    assert info.snd_cwnd >= before
    # The next one goes out with the next data.
    script.write(b"a" * 2360)
    script.expect(*run(11_801, 14_161, mss=1180, push=True), "> . 10349:11801(1452) ack 1")


def test_what_an_unanswered_loss_probe_and_a_timeout_leave_goes_out_in_safe_segments(
    script: Script,
) -> None:
    opened(script)
    script.write(b"a" * 2360)
    script.expect(*run(1, 2361, mss=1180, push=True), PROBE)
    script.advance(RTT)
    script.inject("< . 1:1(0) ack 2361 <nop,nop,sack -1451:1>")
    script.write(b"b" * 2904)
    script.expect(*run(2361, 5265, mss=1452, push=True))
    script.advance(0.09)
    script.expect("> P. 3813:5265(1452) ack 1")  # the loss probe; the path has got narrower
    script.advance(0.2)
    script.expect("> . 2361:3541(1180) ack 1")
    assert script.connection.tcp_info().snd_mss == 1180


def test_the_answer_to_a_probe_of_the_peer_is_a_dsack_at_once(script: Script) -> None:
    script.established()
    script.inject("< . 1:1001(1000) ack 1")
    script.expect("> . 1:1(0) ack 1001")
    script.inject("< . -399:1001(1400) ack 1")
    script.expect("> . 1:1(0) ack 1001 <nop,nop,sack -399:1001>")


def test_without_sack_a_black_hole_is_left_too_and_no_probe_goes_out(script: Script) -> None:
    opened(script, sack=False)
    script.write(b"a" * 2904)
    script.expect(*run(1, 2905, mss=1452, push=True))
    script.expect_at(RTT + 0.2, "> . 1:1453(1452) ack 1")
    script.expect_at(RTT + 0.6, "> . 1:1181(1180) ack 1")
    script.inject("< . 1:1(0) ack 1181")
    script.expect("> . 1181:2361(1180) ack 1", "> P. 2361:2905(544) ack 1")
    script.advance(RTT)
    script.inject("< . 1:1(0) ack 2905")
    script.write(b"b" * 2360)
    script.expect(*run(2905, 5265, mss=1180, push=True))
    script.inject("< . 1:1(0) ack 5265")
    script.advance(10)


def test_the_answer_to_a_probe_does_not_answer_the_loss_probe(script: Script) -> None:
    opened(script)
    script.write(b"a" * 2360)
    script.expect(*run(1, 2361, mss=1180, push=True), PROBE)
    script.advance(0.09)
    script.expect("> P. 1181:2361(1180) ack 1")
    # By this the loss probe made good a loss, unless a second ACK or a DSACK of it comes.
    script.inject("< . 1:1(0) ack 2361", "< . 1:1(0) ack 2361 <nop,nop,sack -1451:1>")
    assert script.connection.tcp_info().snd_mss == 1452
    before, _ = windows(script)
    script.write(b"b" * 1452)
    script.expect("> P. 2361:3813(1452) ack 1")
    script.inject("< . 1:1(0) ack 3813")
    assert windows(script)[0] < before
