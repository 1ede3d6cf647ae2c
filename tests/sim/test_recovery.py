"""Loss recovery between two real ends, on paths that do one thing wrong.

What a mechanism is for shows in time: how long a transfer takes, and whether the retransmission
timer had to help.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rudp.core.config import Config
from rudp.core.congestion import Bbr
from rudp.core.sender import Sender
from rudp.sim.swarm.network import Conditions
from rudp.sim.swarm.pair import Pair, Plan
from tests.notation import Line, Origin, decode

WAN = Conditions(rate=10e6, queue=400_000, delay=0.02)
BULK = Plan(total=1_000_000, chunk=(20_000, 60_000), unsent_limit=1 << 20)
SILENT = Plan(total=0)
ISS = (2**32 - 3000, 2**32 - 2000)


def pair(link: Conditions = WAN, plan: Plan = BULK, seed: int = 1, **config: object) -> Pair:
    """`a` sends what `plan` says; `b` only closes."""
    both = Config(**config)  # type: ignore[arg-type]
    return Pair(seed, both, both, link, plan_a=plan, plan_b=SILENT, iss=ISS)


def sender(pair: Pair) -> Sender:
    return pair.a.connection.snd


def on_the_way(pair: Pair, handle: Callable[[bytes, Line], bool]) -> None:
    """What `a` sends is shown to `handle` first, which may keep it."""
    send = pair.a.transmit
    origin = Origin(*ISS)

    def transmit(datagram: bytes) -> None:
        if not handle(datagram, decode(datagram, ">", origin)):
            send(datagram)

    pair.a.transmit = transmit


@pytest.mark.parametrize("seed", range(3))
def test_a_path_that_reorders_a_little_is_as_fast_as_one_that_does_not(seed: int) -> None:
    straight = pair(seed=seed).run().seconds
    crooked = pair(Conditions(rate=10e6, queue=400_000, delay=0.02, reordering=0.1, late=0.005))
    assert crooked.run().seconds < straight + 0.15
    assert sender(crooked).loss.rack.reordering_seen
    assert sender(crooked).loss.retransmitted < 30_000


@pytest.mark.parametrize("seed", range(3))
def test_reordering_beyond_the_window_widens_it(seed: int) -> None:
    run = pair(Conditions(rate=10e6, delay=0.02, reordering=0.1, late=0.05), seed=seed)
    run.run()
    assert sender(run).loss.rack.multiplier > 1
    assert sender(run).loss.timeouts == 0


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_lost_tail_is_repaired_by_a_probe_in_a_few_round_trips(nth: int) -> None:
    """The last segments of the stream are lost once each."""
    run = pair(plan=Plan(total=14_400, chunk=(14_400, 14_400)))
    dropped: set[int] = set()

    def lose_the_tail(_: bytes, line: Line) -> bool:
        tail = line.length > 0 and line.seq + line.length > 14_401 - 1440 * nth
        if not tail or line.seq in dropped:
            return False
        dropped.add(line.seq)
        return True

    on_the_way(run, lose_the_tail)
    seconds = run.run().seconds
    assert dropped
    assert sender(run).loss.timeouts == 0
    assert seconds < 0.04 * (1 + 1 + 2 + 1 + 2 * nth) + 0.1


@pytest.mark.parametrize("copies", [2, 3])
def test_a_retransmission_that_is_lost_too_needs_no_timer(copies: int) -> None:
    run, seen = pair(receive_autotuning=False), [0]

    def lose_it_again(_: bytes, line: Line) -> bool:
        if line.length == 0 or line.seq != 101_000 // 1440 * 1440 + 1:
            return False
        seen[0] += 1
        return seen[0] <= copies

    on_the_way(run, lose_it_again)
    run.run()
    assert seen[0] > copies
    assert sender(run).loss.timeouts == 0


@pytest.mark.parametrize("timestamps", [True, False], ids=["Eifel", "F-RTO"])
@pytest.mark.parametrize("sack", [True, False], ids=["sack", "no sack"])
def test_a_pause_of_the_path_is_no_congestion(timestamps: bool, sack: bool) -> None:
    """For 0.35 s nothing gets through, and then all of it does."""
    run = pair(timestamps=timestamps, sack=sack, congestion="reno")
    begin, end = 1024.1, 1024.45
    send = run.a.transmit

    def pause(datagram: bytes, _: Line) -> bool:
        if begin <= run.simulation.now < end:
            run.simulation.at(end, lambda: send(datagram))
            return True
        return False

    on_the_way(run, pause)
    run.run()
    assert sender(run).loss.timeouts >= 1
    assert sender(run).cc.ssthresh == 1 << 62


def test_what_is_paced_goes_out_in_small_bursts() -> None:
    run = pair(plan=Plan(total=2_000_000, chunk=(60_000, 60_000), unsent_limit=1 << 20))
    sent: list[tuple[float, int]] = []

    def note(datagram: bytes, _: Line) -> bool:
        sent.append((run.simulation.now, len(datagram)))
        return False

    on_the_way(run, note)
    run.run()
    bursts: dict[float, int] = {}
    for moment, size in sent:
        bursts[moment] = bursts.get(moment, 0) + size
    late = [size for moment, size in bursts.items() if moment > 1024.15]
    # At 20 to 30 MB/s a millisecond is 20 to 30 kB; a late wake-up makes good three of them.
    assert max(late) <= 140_000
    assert sorted(late)[len(late) // 2] <= 30_000


@pytest.mark.parametrize("congestion", ["reno", "cubic", "bbr", "ledbat++"])
@pytest.mark.parametrize("seed", range(3))
def test_every_congestion_control_gets_everything_across_a_bad_path(
    congestion: str, seed: int
) -> None:
    link = Conditions(
        rate=1e6, queue=40_000, delay=0.02, jitter=0.01, loss=0.03, reordering=0.05, late=0.02
    )
    run = pair(link, Plan(total=300_000, chunk=(1, 60_000)), seed, congestion=congestion)
    assert run.run().seconds < 20.0


class Undone(Bbr):
    """Counts how often it is told that a loss was none."""

    times = 0

    def on_undo(self, now: float) -> None:
        super().on_undo(now)
        self.times += 1


@pytest.mark.parametrize("seed", range(3))
def test_what_is_really_lost_is_never_undone(seed: int) -> None:
    # The ACK of what an earlier recovery sent again once undid the recovery after it, and so on.
    lossy = Conditions(rate=10e6, queue=400_000, delay=0.02, loss=0.03)
    run = pair(lossy, Plan(total=8_000_000, chunk=(20_000, 60_000)), seed, congestion=Undone)
    run.run()
    assert sender(run).cc.times == 0  # type: ignore[attr-defined]
    assert sender(run).loss.retransmitted < 8_000_000 * 0.08
