"""Pairs drawn from a seed, by name; and the command that runs one of them again.

    python -m rudp.sim.swarm.scenarios swarm 17        the whole trace of that run, and how it ended

A scenario is a function from a seed to a `Pair`. What it draws, it draws from a `Random` of its
own, so that a number tells all there is to tell about a run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Final

from rudp.core.config import MIN_MSS, Config, Keepalive
from rudp.core.pmtud import BASE_MSS
from rudp.sim.swarm.network import Conditions
from rudp.sim.swarm.pair import Pair, Plan


def fifths(seed: int) -> Pair:
    """20 % loss, 20 % reordering, 20 % duplication, for as long as it takes."""
    random = Random(f"fifths {seed}")
    link = Conditions(delay=0.02, loss=0.2, reordering=0.2, duplication=0.2)
    plans = [Plan(total=random.randrange(30_000)) for _ in "ab"]
    return Pair(
        seed,
        link=link,
        plan_a=plans[0],
        plan_b=plans[1],
        iss=draw_iss(random),
        within=900.0,
        replay=f"python -m rudp.sim.swarm.scenarios fifths {seed}",
    )


def swarm(seed: int) -> Pair:
    """Everything drawn: configurations, users, path and faults; healed after some seconds."""
    random = Random(f"swarm {seed}")
    plan_a, plan_b = draw_plans(random)
    return Pair(
        seed,
        draw_config(random),
        draw_config(random),
        draw_link(random),
        link_back=draw_link(random),
        plan_a=plan_a,
        plan_b=plan_b,
        mss=(draw_mss(random), draw_mss(random)),
        iss=draw_iss(random),
        simultaneous=random.random() < 0.1,
        batching=random.choice((0.0, 0.0005, 0.005)),
        heal_at=random.uniform(0, 15),
        within=600.0,
        replay=f"python -m rudp.sim.swarm.scenarios swarm {seed}",
    )


def aborted(seed: int) -> Pair:
    """As `swarm`, but one user, or each, aborts at some moment."""
    random = Random(f"aborted {seed}")
    plans = [
        Plan(
            total=random.choice((0, 10_000, 200_000)),
            write_pause=random.choice((0.0, 0.1)),
            read_pause=random.choice((0.0, 0.1)),
        )
        for _ in "ab"
    ]
    for side in random.choice(((0,), (1,), (0, 1))):
        plans[side] = replace(plans[side], abort_at=random.uniform(0, 2))
    # A reset is sent once. Who has nothing more to send learns of a lost one by keepalive only.
    keepalive = Keepalive(idle=1.0, interval=1.0, count=60)
    return Pair(
        seed,
        replace(draw_config(random), keepalive=keepalive),
        replace(draw_config(random), keepalive=keepalive),
        draw_link(random),
        plan_a=plans[0],
        plan_b=plans[1],
        iss=draw_iss(random),
        heal_at=5.0,
        within=600.0,
        replay=f"python -m rudp.sim.swarm.scenarios aborted {seed}",
    )


def narrow(seed: int) -> Pair:
    """As `swarm`, on paths that swallow what is larger than some size, and go on doing so."""
    random = Random(f"narrow {seed}")
    plan_a, plan_b = draw_plans(random)
    promised = random.choice((1452, 1452, 8948, 65_000))
    pair = Pair(
        seed,
        draw_config(random),
        draw_config(random),
        draw_link(random),
        link_back=draw_link(random),
        plan_a=plan_a,
        plan_b=plan_b,
        mss=(promised, promised),
        path_mss=BASE_MSS,
        iss=draw_iss(random),
        heal_at=random.uniform(0, 15),
        within=600.0,
        replay=f"python -m rudp.sim.swarm.scenarios narrow {seed}",
    )
    for side in (pair.a, pair.b):
        side.transmit = _swallow(side.transmit, random.choice((548, 1000, 1250, 1300, 1472)))
    return pair


def _swallow(transmit: Callable[[bytes], None], largest: int) -> Callable[[bytes], None]:
    def send(datagram: bytes) -> None:
        if len(datagram) <= largest:
            transmit(datagram)

    return send


SCENARIOS: Final[dict[str, Callable[[int], Pair]]] = {
    "fifths": fifths,
    "swarm": swarm,
    "aborted": aborted,
    "narrow": narrow,
}


def draw_iss(random: Random) -> tuple[int, int]:
    """Two initial sequence numbers that wrap early, if not at once."""
    return 2**32 - random.randrange(1, 30_000), 2**32 - random.randrange(1, 30_000)


def draw_mss(random: Random) -> int:
    """What the path's MTU leaves for a segment."""
    return random.choice((MIN_MSS, 536, 1220, 1452, 8948, 65000, random.randint(MIN_MSS, 65000)))


def draw_config(random: Random) -> Config:
    """Any configuration that may be expected to get on with any other."""
    buffers = (2048, 4096, 10_000, 65_536, 262_144, 1 << 23)
    return Config(
        mss=random.choice((None, None, random.randint(MIN_MSS, 65000))),
        nodelay=random.random() < 0.5,
        delayed_ack=random.choice((0.0, 0.04, 0.04, 0.4)),
        initial_window=random.choice((1, 10, 10, 40)),
        min_rto=random.choice((0.2, 0.2, 1.0)),
        keepalive=random.choice((None, None, Keepalive(idle=1.0, interval=1.0, count=60))),
        send_buffer=random.choice(buffers),
        receive_buffer=random.choice(buffers),
        receive_autotuning=random.random() < 0.5,
        max_reassembly_ranges=random.choice((16, 1024)),
        max_flight_ranges=random.choice((16, 8192)),
        window_scaling=random.random() < 0.8,
        timestamps=random.random() < 0.7,
        sack=random.random() < 0.7,
    )


def draw_link(random: Random) -> Conditions:
    """A path, good or bad."""
    bad = random.random() < 0.8
    return Conditions(
        rate=random.choice((30_000, 300_000, 3e6, float("inf"))),
        queue=random.choice((1 << 17, 1 << 20)),
        delay=random.choice((0.0, 0.0001, 0.01, 0.1, 0.4)),
        jitter=random.choice((0.0, 0.001, 0.05)),
        loss=random.uniform(0, 0.3) if bad else 0.0,
        reordering=random.uniform(0, 0.3) if bad else 0.0,
        duplication=random.uniform(0, 0.3) if bad else 0.0,
        corruption=random.uniform(0, 0.05) if bad else 0.0,
        junk=random.uniform(0, 0.1) if bad else 0.0,
        late=random.choice((0.001, 0.05, 0.5)),
    )


def draw_plans(random: Random) -> tuple[Plan, Plan]:
    """Two users who will both come to an end."""
    plans = [
        Plan(
            total=random.choice((0, 1, 2000, random.randrange(60_000))),
            chunk=random.choice(((1, 100), (1, 4000), (1, 60_000))),
            write_pause=random.choice((0.0, 0.0, 0.02)),
            unsent_limit=random.choice((1000, 65_536)),
            read_size=random.choice(((1, 1000), (1, 65_536))),
            read_pause=random.choice((0.0, 0.0, 0.05)),
            read_from=random.choice((0.0, 0.0, 0.0, 5.0)),
        )
        for _ in "ab"
    ]
    # At most one waits for the other's FIN: two would wait for each other.
    waiting = random.choice((None, 0, 1))
    if waiting is not None:
        plans[waiting] = replace(plans[waiting], answer=True)
        if random.random() < 0.3:
            # The other closes for good, so what answers it may be no more than a FIN.
            plans[waiting] = replace(plans[waiting], total=0)
            plans[1 - waiting] = replace(plans[1 - waiting], full_close=True)
    return plans[0], plans[1]


def main(arguments: list[str]) -> int:
    """Run one scenario, and print all of it."""
    name, seed = arguments
    pair = SCENARIOS[name](int(seed))
    try:
        outcome = pair.run()
    except AssertionError as failure:
        print(*pair.trace, sep="\n")
        print(failure)
        return 1
    print(*pair.trace, sep="\n")
    print(f"{outcome.seconds:.3f} s, {outcome.datagrams} datagrams, {outcome.digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
