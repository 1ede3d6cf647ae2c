"""Flow control: the peer's window and ours, shut, opened and shrunk.

RFC 9293 sections 3.8.6 (managing the window), 3.8.6.1 (zero-window probes) and 3.8.6.2.2 (steps
worth a segment). What a sender does with a window that is small is in `test_small_segments`.
"""

from __future__ import annotations

import errno
import itertools

from rudp.core.config import Config
from rudp.core.events import Event
from rudp.core.state import State
from tests.wire.runs import peer_run, run
from tests.wire.scripted import Script, peer_data

SMALL = Config(receive_buffer=4096, receive_autotuning=False)
"""A receive buffer of four segments and a little."""


def shut(
    script: Script, *, total: int = 1500, config: Config | None = None, sack: bool = True
) -> None:
    """The peer has taken 1000 bytes and shut its window; the rest of `total` waits."""
    script.established(mss=1000, win=1000, config=config, sack=sack)
    script.write(b"a" * total)
    script.expect("> . 1:1001(1000) ack 1")
    script.inject("< . 1:1(0) ack 1001 win 0")
    script.expect_nothing()


# -- the peer's window -----------------------------------------------------------------------------


def test_nothing_goes_beyond_the_peers_window(script: Script) -> None:
    script.established(mss=1000, win=3000)
    script.write(b"a" * 10_000)
    script.expect(*run(1, 3001))
    script.inject("< . 1:1(0) ack 2001 win 3000")
    script.expect(*run(3001, 5001))
    script.inject("< . 1:1(0) ack 2001 win 5000")
    script.expect(*run(5001, 7001))


def test_the_window_of_an_older_segment_does_not_count(script: Script) -> None:
    """RFC 9293 section 3.10.7.4: SND.WL1 and SND.WL2."""
    script.established(mss=1000, win=1000)
    script.inject("< P. 11:21(10) ack 1 win 2000")
    script.inject("< P. 1:11(10) ack 1 win 9000")
    script.expect("> . 1:1(0) ack 1 <nop,nop,sack 11:21>", "> . 1:1(0) ack 21")
    script.write(b"a" * 9000)
    script.expect(*run(1, 2001, ack=21))


def test_new_acknowledgment_that_fills_a_gap_brings_its_window(script: Script) -> None:
    script.established(mss=1000, win=4000)
    script.inject("< . 1001:2001(1000) ack 1 win 4000")
    script.expect("> . 1:1(0) ack 1")
    script.write(b"a" * 8000)
    script.expect(*run(1, 4001))
    script.inject("< . 1:1001(1000) ack 2001 win 2000")  # the right edge is still 4001
    script.expect("> . 4001:4001(0) ack 2001")


# -- zero-window probes ----------------------------------------------------------------------------


def test_a_shut_window_is_probed_after_an_rto_and_then_after_twice_as_long(script: Script) -> None:
    shut(script)
    start = script.now
    for moment in (0.2, 0.6, 1.4, 3.0, 6.2):
        script.expect_at(start + moment, "> . 1001:1002(1) ack 1")
        script.inject("< . 1:1(0) ack 1001 win 0")
        script.expect_nothing()


def test_probes_come_every_minute_at_last(script: Script) -> None:
    shut(script)
    moments: list[float] = []
    while len(moments) < 13:
        script.advance(0.1)
        if script.sent():
            moments.append(round(script.now, 1))
            script.inject("< . 1:1(0) ack 1001 win 0")
    spans = [round(after - before, 1) for before, after in itertools.pairwise(moments)]
    assert spans == [0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 60.0, 60.0, 60.0, 60.0]


def test_a_window_that_is_shut_from_the_start_is_probed_too(script: Script) -> None:
    script.established(mss=1000, win=0)
    script.write(b"abc")
    script.expect_after(0.2, '> . 1:2(1) ack 1 "a"')
    script.inject("< . 1:1(0) ack 2 win 1000")
    script.expect('> P. 2:4(2) ack 1 "bc"')


def test_without_anything_to_send_a_shut_window_is_not_probed(script: Script) -> None:
    script.established(mss=1000, win=0)
    script.inject("< . 1:1(0) ack 1")
    script.advance(1000)


def test_a_fin_alone_probes_a_shut_window(script: Script) -> None:
    script.established(mss=1000, win=0)
    script.write_eof()
    script.expect_after(0.2, "> F. 1:1(0) ack 1")
    script.inject("< . 1:1(0) ack 1 win 0")
    script.expect_after(0.4, "> F. 1:1(0) ack 1")
    script.inject("< . 1:1(0) ack 2 win 0")
    assert script.state is State.FIN_WAIT_2
    script.advance(1000)


def test_a_probe_whose_octet_is_taken_is_followed_by_the_next(script: Script) -> None:
    shut(script)
    script.expect_after(0.2, "> . 1001:1002(1) ack 1")
    script.inject("< . 1:1(0) ack 1002 win 0")
    script.expect_after(0.4, "> . 1002:1003(1) ack 1")
    script.inject("< . 1:1(0) ack 1003 win 1000")
    script.expect("> P. 1003:1501(498) ack 1")


def test_a_window_that_opens_is_used_at_once(script: Script) -> None:
    shut(script, total=3000)
    script.advance(0.1)
    script.inject("< . 1:1(0) ack 1001 win 2000")
    script.expect(*run(1001, 3001, push=True))
    script.inject("< . 1:1(0) ack 3001 win 0")
    script.advance(1000)


def test_an_octet_that_was_not_taken_is_sent_again_when_the_window_opens(script: Script) -> None:
    shut(script)
    script.expect_after(0.2, "> . 1001:1002(1) ack 1")
    script.inject("< . 1:1(0) ack 1001 win 0")
    script.inject("< . 1:1(0) ack 1001 win 1000")
    script.expect("> . 1001:1002(1) ack 1", "> P. 1002:1501(499) ack 1")
    script.inject("< . 1:1(0) ack 1501 win 1000")
    script.advance(1000)


def test_after_the_window_opened_the_retransmission_timer_runs(script: Script) -> None:
    shut(script, sack=False)
    script.inject("< . 1:1(0) ack 1001 win 1000")
    script.expect("> P. 1001:1501(500) ack 1")
    script.expect_after(0.2, "> P. 1001:1501(500) ack 1")


def test_probes_are_no_loss(script: Script) -> None:
    shut(script)
    before = script.connection.tcp_info()
    for _ in range(5):
        script.advance(60)
        script.sent()
        script.inject("< . 1:1(0) ack 1001 win 0")
    after = script.connection.tcp_info()
    assert (after.snd_cwnd, after.snd_ssthresh) == (before.snd_cwnd, before.snd_ssthresh)
    assert after.rto == before.rto


def test_a_peer_that_answers_may_keep_its_window_shut_for_ever(script: Script) -> None:
    """MUST-37."""
    shut(script)
    while script.now < 24 * 3600:
        script.advance(30)
        if script.sent():
            script.inject("< . 1:1(0) ack 1001 win 0")
    assert script.state is State.ESTABLISHED
    script.inject("< . 1:1(0) ack 1001 win 1000")
    assert sum(line.length for line in script.sent()) == 500


def test_with_a_user_timeout_it_may_not(script: Script) -> None:
    """RFC 5482: the application's limit counts, answers or not."""
    shut(script, config=Config(user_timeout=30))
    while script.now < 29.9:
        script.advance(0.1)
        if script.sent():
            script.inject("< . 1:1(0) ack 1001 win 0")
    assert script.state is State.ESTABLISHED
    script.advance(0.2)
    assert script.state is State.CLOSED
    assert script.connection.error is not None
    assert script.connection.error.errno == errno.ETIMEDOUT
    script.sent()


def test_a_peer_that_answers_no_probe_is_given_up_after_r2(script: Script) -> None:
    shut(script)
    script.advance(99.9)
    assert script.state is State.ESTABLISHED
    assert len(script.sent()) == 8
    script.advance(0.1)
    assert script.state is State.CLOSED
    assert script.events() == [Event.RELEASED, Event.CLOSED]


def test_r2_counts_from_the_last_answer(script: Script) -> None:
    shut(script)
    script.advance(90)
    script.inject("< . 1:1(0) ack 1001 win 0")
    script.advance(99.9)
    assert script.state is State.ESTABLISHED
    script.advance(0.2)
    assert script.state is State.CLOSED
    script.sent()


# -- a window that shrinks -------------------------------------------------------------------------


def test_new_data_stays_within_a_window_that_has_shrunk(script: Script) -> None:
    """SHLD-15; the usable window is negative for a while (MUST-34)."""
    script.established(mss=1000, win=4000)
    script.write(b"a" * 8000)
    script.expect(*run(1, 4001))
    script.inject("< . 1:1(0) ack 1001 win 1000")
    script.expect_nothing()
    script.inject("< . 1:1(0) ack 3001 win 1000")
    script.expect_nothing()
    script.inject("< . 1:1(0) ack 4001 win 1000")
    script.expect(*run(4001, 5001))


def test_old_data_within_a_window_that_has_shrunk_is_sent_again(script: Script) -> None:
    """SHLD-16, and what is beyond it is not."""
    script.established(mss=1000, sack=False, win=4000)
    for _ in range(4):
        script.write(b"a" * 1000)
    script.sent()
    script.inject("< . 1:1(0) ack 1 win 2000")
    script.expect_after(0.2, "> . 1:1001(1000) ack 1")
    script.inject("< . 1:1(0) ack 1001 win 1000")
    script.expect("> . 1001:2001(1000) ack 1")
    script.inject("< . 1:1(0) ack 2001 win 2000")
    script.expect(*run(2001, 4001, push=True))


def test_a_window_that_has_shrunk_to_nothing_is_probed(script: Script) -> None:
    """MUST-35: the first octet that is out does it."""
    script.established(mss=1000, win=4000)
    script.write(b"a" * 6000)
    script.expect(*run(1, 4001))
    script.inject("< . 1:1(0) ack 1001 win 0")
    script.expect_after(0.2, "> . 1001:1002(1) ack 1")
    script.inject("< . 1:1(0) ack 1001 win 0")
    script.expect_after(0.4, "> . 1001:1002(1) ack 1")
    script.inject("< . 1:1(0) ack 4001 win 2000")
    script.expect(*run(4001, 6001, push=True))


def test_data_beyond_a_window_that_has_shrunk_does_not_time_out(script: Script) -> None:
    """SHLD-17."""
    script.established(mss=1000, win=4000)
    script.write(b"a" * 4000)
    script.expect(*run(1, 4001, push=True))
    script.inject("< . 1:1(0) ack 1001 win 0")
    while script.now < 1000:
        script.advance(10)
        if script.sent():
            script.inject("< . 1:1(0) ack 1001 win 0")
    assert script.state is State.ESTABLISHED
    script.inject("< . 1:1(0) ack 1001 win 4000")
    assert sum(line.length for line in script.sent()) == 3000


# -- our window ------------------------------------------------------------------------------------


def test_what_is_not_read_shuts_the_window(script: Script) -> None:
    script.established(config=SMALL)
    for end in (1001, 2001, 3001, 4001):
        script.inject(f"< . {end - 1000}:{end}(1000) ack 1")
        script.expect(f"> . 1:1(0) ack {end} win {4097 - end}")
    script.inject("< P. 4001:4097(96) ack 1")
    script.expect_after(0.04, "> . 1:1(0) ack 4097 win 0")


def full(script: Script) -> None:
    """Our window is shut: the application has not read any of 4096 bytes."""
    script.established(config=SMALL)
    script.inject("< . 1:4097(4096) ack 1")
    script.expect("> . 1:1(0) ack 4097 win 0")


def test_a_probe_of_our_shut_window_is_answered_and_not_taken(script: Script) -> None:
    full(script)
    for _ in range(100):
        script.inject("< . 4097:4098(1) ack 1")
        script.expect("> . 1:1(0) ack 4097 win 0 <>")
    assert script.connection.readable == 4096
    script.expect_read(4096)
    script.expect("> . 1:1(0) ack 4097 win 4096")
    script.inject("< . 4097:4098(1) ack 1")
    script.expect_after(0.04, "> . 1:1(0) ack 4098")


def test_a_probe_from_before_the_edge_is_answered(script: Script) -> None:
    """Linux probes with SEG.SEQ = SND.UNA - 1 and no data."""
    full(script)
    script.advance(1)
    script.inject("< . 4096:4096(0) ack 1")
    script.expect("> . 1:1(0) ack 4097 win 0")


def test_acks_count_while_our_window_is_shut(script: Script) -> None:
    """RFC 9293 section 3.10.7.4: special allowance for valid ACKs."""
    full(script)
    script.write(b"abc")
    script.expect("> P. 1:4(3) ack 4097")
    script.inject("< . 4097:4097(0) ack 4")
    script.advance(100)
    script.write(b"def")
    script.expect("> P. 4:7(3) ack 4097")
    script.inject("< . 4097:4197(100) ack 7")
    script.expect("> . 7:7(0) ack 4097 win 0")
    script.advance(100)


def test_a_rst_counts_while_our_window_is_shut(script: Script) -> None:
    """MUST-66."""
    full(script)
    script.inject("< R 4097:4097(0)")
    assert script.state is State.CLOSED
    assert script.connection.error is not None
    assert script.connection.error.errno == errno.ECONNRESET


def test_a_fin_is_not_taken_while_our_window_is_shut(script: Script) -> None:
    full(script)
    script.inject("< F. 4097:4097(0) ack 1")
    script.expect("> . 1:1(0) ack 4097 win 0")
    assert script.state is State.ESTABLISHED
    script.expect_read(4096)
    script.expect("> . 1:1(0) ack 4097 win 4096")
    script.inject("< F. 4097:4097(0) ack 1")
    script.expect("> . 1:1(0) ack 4098")
    assert script.state is State.CLOSE_WAIT


def test_reading_opens_the_window_by_steps_worth_a_segment(script: Script) -> None:
    """RFC 9293 section 3.8.6.2.2."""
    script.established(config=SMALL)
    script.inject(*peer_run(1, 4001), "< P. 4001:4097(96) ack 1")
    script.expect("> . 1:1(0) ack 4097 win 0")
    assert script.read(999) == peer_data(0, 999)
    script.expect_nothing()
    script.inject("< . 4097:4098(1) ack 1")
    script.expect("> . 1:1(0) ack 4097 win 0")
    assert script.read(1) == peer_data(999, 1)
    script.expect("> . 1:1(0) ack 4097 win 1000")
    assert script.read(500) == peer_data(1000, 500)
    script.inject("< . 4097:5097(1000) ack 1")
    script.expect("> . 1:1(0) ack 5097 win 0")


def test_half_of_a_small_buffer_is_a_step_too(script: Script) -> None:
    script.established(config=Config(receive_buffer=2048, receive_autotuning=False))
    script.inject("< . 1:1461(1460) ack 1", "< P. 1461:2049(588) ack 1")
    script.expect("> . 1:1(0) ack 2049 win 0")
    assert len(script.read(1023)) == 1023
    script.expect_nothing()
    assert len(script.read(1)) == 1
    script.expect("> . 1:1(0) ack 2049 win 1024")


def test_reading_sends_no_update_while_the_window_is_wide(script: Script) -> None:
    script.established(config=Config(receive_buffer=32768, receive_autotuning=False))
    script.inject("< . 1:1001(1000) ack 1")
    script.expect("> . 1:1(0) ack 1001 win 31768")
    script.expect_read(1000)
    script.expect_nothing()
    script.inject("< . 1001:2001(1000) ack 1")
    script.expect("> . 1:1(0) ack 2001 win 31768")


def test_reading_half_of_the_buffer_sends_an_update_in_any_case(script: Script) -> None:
    script.established(config=Config(receive_buffer=32768, receive_autotuning=False))
    script.inject(*peer_run(1, 20_001))
    script.expect("> . 1:1(0) ack 20001 win 12768")
    script.expect_read(20_000)
    script.expect("> . 1:1(0) ack 20001 win 32768")


def test_the_right_edge_never_moves_back(script: Script) -> None:
    """SHLD-14, whatever is read and when."""
    script.established(config=SMALL)
    edge, at = 4097, 1
    for n in range(200):
        size = min(1 + n * 37 % 900, edge - at)
        if size:
            script.inject(f"< P. {at}:{at + size}({size}) ack 1")
        at += size
        script.read(n * 53 % 700)
        script.advance(0.05)
        for line in script.sent():
            assert line.ack is not None
            assert line.window is not None
            assert line.ack + line.window >= edge
            edge = line.ack + line.window
    assert at > 4097


def test_with_scaling_it_moves_back_by_less_than_a_unit_of_the_field(script: Script) -> None:
    """RFC 7323 section 2.4: the field is rounded down. What was announced before is still taken."""
    config = Config(receive_buffer=1 << 20, receive_autotuning=False, delayed_ack=0)
    script.established(config=config, wscale=7)
    edge, unit = 0, 1 << 5
    for at in range(1, 100_001, 1000):
        script.inject(f"< . {at}:{at + 1000}(1000) ack 1")
        (line,) = script.sent()
        assert line.ack is not None
        assert line.window is not None
        assert line.ack + line.window * unit > edge - unit
        edge = max(edge, line.ack + line.window * unit)


def test_the_window_grows_with_what_is_read_in_a_round_trip(script: Script) -> None:
    """Dynamic right-sizing, from 128 KiB on: more than half of it was taken."""
    script.established(wscale=7)
    script.inject("< . 1:60001(60000) ack 1")
    script.expect_read(60_000)
    script.advance(0.1)
    script.inject("< . 60001:120001(60000) ack 1", "< . 120001:180001(60000) ack 1")
    script.expect_read(120_000)
    assert script.connection.tcp_info().rcv_space == 131_072
    script.advance(0.1)
    script.inject("< . 180001:180001(0) ack 1")
    assert script.connection.tcp_info().rcv_space == 262_144
    script.sent()


def test_the_window_does_not_grow_for_an_application_that_is_slow(script: Script) -> None:
    script.established(wscale=7)
    at = 1
    for _ in range(8):
        script.inject(f"< . {at}:{at + 14_600}(14600) ack 1")
        at += 14_600
        script.read(1000)
        script.advance(0.1)
    script.sent()
    assert script.connection.tcp_info().rcv_space == 131_072


def test_what_is_read_counts_for_the_whole_round_trip_however_many_segments_bring_it(
    script: Script,
) -> None:
    script.active()
    script.advance(0.1)
    script.inject("< S. 0:0(0) ack 1 win 65535 <mss 1460,nop,wscale 7>")
    at = 1
    for _ in range(4):  # 80,000 bytes in 40 ms of a round trip of 100
        script.inject(f"< . {at}:{at + 20_000}(20000) ack 1")
        script.expect_read(20_000)
        script.advance(0.01)
        at += 20_000
    assert script.connection.tcp_info().rcv_space == 131_072
    script.advance(0.1)
    script.inject(f"< . {at}:{at}(0) ack 1")
    assert script.connection.tcp_info().rcv_space == 262_144
    script.sent()
