"""The tail loss probe on the wire: RFC 8985 section 7.

The handshake takes no time, so the probe waits for 10 ms, or 60 ms if a segment is alone.
"""

from __future__ import annotations

from rudp.core.config import Config
from tests.wire.runs import run, sack, windows
from tests.wire.scripted import Script


def sent_five(script: Script) -> None:
    script.established(mss=1000)
    script.write(b"a" * 5000)
    script.expect(*run(1, 5001, push=True))


def test_the_last_segment_is_sent_again_and_then_the_rto_has_all_its_time(script: Script) -> None:
    sent_five(script)
    script.expect_at(0.01, "> P. 4001:5001(1000) ack 1")
    script.expect_at(0.21, "> . 1:1001(1000) ack 1")
    script.inject("< . 1:1(0) ack 5001")
    script.advance(10)


def test_new_data_goes_out_if_there_is_some(script: Script) -> None:
    script.established(mss=1000)
    script.write(b"a" * 20_000)
    script.expect(*run(1, 10_001))
    script.expect_at(0.01, "> . 10001:11001(1000) ack 1")
    script.expect_at(0.21, "> . 1:1001(1000) ack 1")


def test_a_segment_alone_may_wait_for_a_delayed_ack(script: Script) -> None:
    script.established(mss=1000)
    script.write(b"a")
    script.expect("> P. 1:2(1) ack 1")
    script.expect_at(0.06, "> P. 1:2(1) ack 1")
    script.expect_at(0.26, "> P. 1:2(1) ack 1")
    script.expect_at(0.66, "> P. 1:2(1) ack 1")
    script.inject("< . 1:1(0) ack 2")
    script.advance(10)


def test_a_lost_tail_is_repaired_without_a_timeout(script: Script) -> None:
    sent_five(script)
    script.inject("< . 1:1(0) ack 2001")
    script.expect_at(0.01, "> P. 4001:5001(1000) ack 1")
    script.advance(0.001)
    script.inject(sack(2001, "4001:5001"))
    script.expect("> . 2001:3001(1000) ack 1")
    script.inject(sack(3001, "4001:5001"))
    script.expect("> . 3001:4001(1000) ack 1")
    script.inject("< . 1:1(0) ack 5001")
    script.advance(10)
    info = script.connection.tcp_info()
    assert (info.total_rto, info.bytes_retrans) == (0, 3000)


def test_a_needless_probe_leaves_the_window_alone(script: Script) -> None:
    sent_five(script)
    script.expect_at(0.01, "> P. 4001:5001(1000) ack 1")
    script.inject("< . 1:1(0) ack 5001")
    script.inject(sack(5001, "4001:5001"))
    script.write(b"b" * 1000)
    script.expect("> P. 5001:6001(1000) ack 1")
    script.inject("< . 1:1(0) ack 6001")
    assert windows(script) == (10_000, 1 << 62)


def test_a_probe_that_repaired_a_loss_does_not(script: Script) -> None:
    """Section 7.4.2: no DSACK came before data that was sent later."""
    sent_five(script)
    script.expect_at(0.01, "> P. 4001:5001(1000) ack 1")
    script.inject("< . 1:1(0) ack 5001")
    script.write(b"b" * 1000)
    script.expect("> P. 5001:6001(1000) ack 1")
    script.inject("< . 1:1(0) ack 6001")
    assert windows(script)[1] < 1 << 62


def test_small_writes_are_probed_together(script: Script) -> None:
    script.established(mss=1000)
    for _ in range(15):
        script.write(b"b" * 100)
    script.sent()
    script.expect_at(0.01, "> P. 501:1501(1000) ack 1")
    script.inject("< . 1:1(0) ack 1501")


def test_there_is_no_probe_without_sack(script: Script) -> None:
    script.established(mss=1000, config=Config(sack=False))
    script.write(b"a" * 5000)
    script.expect(*run(1, 5001, push=True))
    script.expect_at(0.2, "> . 1:1001(1000) ack 1")


def test_there_is_no_probe_into_a_shut_window(script: Script) -> None:
    script.established(mss=1000, win=1000)
    script.write(b"a" * 2000)
    script.expect("> . 1:1001(1000) ack 1")
    script.inject("< . 1:1(0) ack 1001 win 0")
    script.expect_after(0.2, "> . 1001:1002(1) ack 1")
