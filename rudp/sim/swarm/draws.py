"""What a scenario draws: configurations, paths, users and what befalls them.

Nothing here is like any network or any program. The draws are meant to bring together what seldom
meets: tiny buffers and large segments, slow readers and lost ACKs, late loops and short timeouts.
"""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random

from rudp.core.config import MIN_MSS, Config, Keepalive
from rudp.sim.swarm.network import Conditions
from rudp.sim.swarm.noted import NOTED
from rudp.sim.swarm.pair import Plan, Weather

_CONGESTION = tuple(NOTED.values())


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
        congestion=random.choice(_CONGESTION),
        initial_window=random.choice((1, 10, 10, 40)),
        min_rto=random.choice((0.2, 0.2, 1.0)),
        r2=400.0,
        linear_timeouts=random.choice((0, 20, 20)),
        keepalive=random.choice((None, None, Keepalive(idle=1.0, interval=1.0, count=200))),
        user_timeout=random.choice((None, None, 400.0)),
        send_buffer=random.choice(buffers),
        receive_buffer=random.choice(buffers),
        receive_autotuning=random.random() < 0.5,
        max_reassembly_ranges=random.choice((16, 1024)),
        max_flight_ranges=random.choice((16, 8192)),
        window_scaling=random.random() < 0.8,
        timestamps=random.random() < 0.7,
        sack=random.random() < 0.7,
    )


def draw_link(random: Random, narrow: bool = False) -> Conditions:
    """A path, good or bad; if `narrow`, one that swallows what is large."""
    bad = random.random() < 0.8
    return Conditions(
        rate=random.choice((30_000, 300_000, 3e6, math.inf)),
        queue=random.choice((1 << 17, 1 << 20)),
        mark=random.choice((math.inf, 3000.0, 20_000.0)),
        swallows_ect=random.random() < 0.03,
        delay=random.choice((0.0, 0.0001, 0.01, 0.1, 0.4)),
        jitter=random.choice((0.0, 0.001, 0.05)),
        largest=random.choice((548, 1000, 1250, 1300, 1472)) if narrow else 1 << 16,
        loss=random.uniform(0, 0.3) if bad else 0.0,
        loss_burst=random.choice((1.0, 1.0, 3.0, 10.0)),
        reordering=random.uniform(0, 0.3) if bad else 0.0,
        duplication=random.uniform(0, 0.3) if bad else 0.0,
        corruption=random.uniform(0, 0.05) if bad else 0.0,
        junk=random.uniform(0, 0.1) if bad else 0.0,
        late=random.choice((0.001, 0.05, 0.5)),
    )


def draw_weather(
    random: Random, until: float, forth: Conditions, back: Conditions, *, narrow: bool = False
) -> Weather:
    """What befalls a pair before the moment `until`, on a path that is `forth` and `back` now.

    Half of them are left in peace. What swallows ECT has done so from the start: a connection that
    has got through takes later losses for losses.
    """
    outages: list[tuple[float, float, str]] = []
    changes: list[tuple[float, Conditions, Conditions]] = []
    freezes: list[tuple[float, float, str]] = []
    for _ in range(random.choice((0, 0, 0, 1, 2, 3))):
        moment, seconds = random.uniform(0, until), random.choice((0.3, 2.0, 10.0))
        match random.randrange(3):
            case 0:
                outages.append((moment, seconds, random.choice(("forth", "back", "both"))))
            case 1:
                now = [
                    replace(draw_link(random, narrow), swallows_ect=before.swallows_ect)
                    for before in (forth, back)
                ]
                changes.append((moment, now[0], now[1]))
            case 2:
                freezes.append((moment, seconds, random.choice(("a", "b"))))
    return Weather(tuple(outages), tuple(changes), tuple(freezes))


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
