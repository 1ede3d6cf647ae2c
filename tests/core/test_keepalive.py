"""Is an idle peer still there? RFC 9293 section 3.8.4."""

from __future__ import annotations

from rudp.core.config import Keepalive
from rudp.core.keepalive import KeepaliveTimer, Verdict

QUIET = Keepalive(idle=100.0, interval=10.0, count=3)


def test_the_first_probe_is_due_after_the_idle_time() -> None:
    timer = KeepaliveTimer(QUIET, 5.0)
    assert timer.deadline == 105.0


def test_a_peer_heard_of_meanwhile_moves_the_first_probe() -> None:
    timer = KeepaliveTimer(QUIET, 0.0)
    assert timer.on_timeout(60.0, False, 100.0) is Verdict.WAIT
    assert timer.deadline == 160.0


def test_a_silent_peer_is_probed_at_intervals_and_then_given_up() -> None:
    timer = KeepaliveTimer(QUIET, 0.0)
    seen = []
    while not seen or seen[-1][1] is not Verdict.DEAD:
        now = timer.deadline
        seen.append((now, timer.on_timeout(0.0, False, now)))
    assert seen == [
        (100.0, Verdict.PROBE),
        (110.0, Verdict.PROBE),
        (120.0, Verdict.PROBE),
        (130.0, Verdict.DEAD),
    ]


def test_an_answer_to_any_probe_starts_the_idle_time_again() -> None:
    timer = KeepaliveTimer(QUIET, 0.0)
    timer.on_timeout(0.0, False, 100.0)
    timer.on_timeout(0.0, False, 110.0)
    assert timer.on_timeout(111.0, False, 120.0) is Verdict.WAIT
    assert timer.deadline == 211.0
    # All the probes are to be had again.
    verdicts = [timer.on_timeout(111.0, False, now) for now in (211.0, 221.0, 231.0, 241.0)]
    assert verdicts == [Verdict.PROBE] * 3 + [Verdict.DEAD]


def test_with_an_idle_time_below_the_interval_an_answer_counts_all_the_same() -> None:
    timer = KeepaliveTimer(Keepalive(idle=1.0, interval=10.0, count=1), 0.0)
    assert timer.on_timeout(0.0, False, 1.0) is Verdict.PROBE
    assert timer.on_timeout(1.5, False, 11.0) is Verdict.PROBE
    assert timer.on_timeout(1.5, False, 21.0) is Verdict.DEAD


def test_data_in_flight_asks_the_same_question() -> None:
    timer = KeepaliveTimer(QUIET, 0.0)
    assert timer.on_timeout(0.0, True, 100.0) is Verdict.WAIT
    assert timer.deadline == 200.0


def test_data_sent_while_probing_ends_the_probing() -> None:
    timer = KeepaliveTimer(QUIET, 0.0)
    timer.on_timeout(0.0, False, 100.0)
    timer.on_timeout(0.0, True, 110.0)
    verdicts = [timer.on_timeout(0.0, False, now) for now in (210.0, 220.0, 230.0, 240.0)]
    assert verdicts == [Verdict.PROBE] * 3 + [Verdict.DEAD]
