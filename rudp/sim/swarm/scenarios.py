"""Runs drawn from a seed, by name: pairs of cores here, whole programs in `streams`.

A scenario is a function from a seed to something that can `run`. What it draws, it draws from a
`Random` of its own, so that a name and a number tell all there is to tell about a run.
`rudp.sim.swarm.command` runs many of them, or one and shows all of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Final, Protocol

from rudp.core.config import Keepalive
from rudp.core.pmtud import BASE_MSS
from rudp.sim.swarm.draws import (
    draw_config,
    draw_iss,
    draw_link,
    draw_mss,
    draw_plans,
    draw_weather,
)
from rudp.sim.swarm.network import Conditions
from rudp.sim.swarm.pair import Outcome, Pair, Plan
from rudp.sim.swarm.streams import Streams


class Run(Protocol):
    """Something that can go wrong."""

    @property
    def trace(self) -> list[str]:
        """All that has happened, a line for each."""

    def run(self) -> Outcome:
        """How it went; an AssertionError, if it went wrong, that ends in the line to replay it."""


def replay_line(name: str, seed: int) -> str:
    """The command that runs one seed again."""
    return f"python -m rudp.sim swarm --scenario {name} --seed {seed}"


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
        replay=replay_line("fifths", seed),
    )


def swarm(seed: int) -> Pair:
    """Everything drawn: configurations, users, path and faults; healed after some seconds."""
    random = Random(f"swarm {seed}")
    plan_a, plan_b = draw_plans(random)
    forth, back, heal_at = draw_link(random), draw_link(random), random.uniform(0, 15)
    return Pair(
        seed,
        draw_config(random),
        draw_config(random),
        forth,
        link_back=back,
        plan_a=plan_a,
        plan_b=plan_b,
        mss=(draw_mss(random), draw_mss(random)),
        iss=draw_iss(random),
        ecn=random.random() < 0.6,
        simultaneous=random.random() < 0.1,
        batching=random.choice((0.0, 0.0005, 0.005, 0.05)),
        lateness=random.choice((0.0, 0.001, 0.001, 0.02)),
        weather=draw_weather(random, heal_at, forth, back),
        heal_at=heal_at,
        within=600.0,
        replay=replay_line("swarm", seed),
    )


def aborted(seed: int) -> Pair:
    """As `swarm`, but one user, or each, aborts or leaves at some moment."""
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
        moment = random.uniform(0, 2)
        if random.random() < 0.5:
            plans[side] = replace(plans[side], abort_at=moment)
        else:
            plans[side] = replace(plans[side], leave_at=moment)
    # A reset is sent once. Who has nothing more to send learns of a lost one by keepalive only.
    keepalive = Keepalive(idle=1.0, interval=1.0, count=60)
    forth, back = draw_link(random), draw_link(random)
    return Pair(
        seed,
        replace(draw_config(random), keepalive=keepalive),
        replace(draw_config(random), keepalive=keepalive),
        forth,
        link_back=back,
        plan_a=plans[0],
        plan_b=plans[1],
        iss=draw_iss(random),
        ecn=random.random() < 0.6,
        simultaneous=random.random() < 0.1,
        lateness=random.choice((0.0, 0.001, 0.02)),
        weather=draw_weather(random, 2.0, forth, back),
        heal_at=5.0,
        within=600.0,
        replay=replay_line("aborted", seed),
    )


def narrow(seed: int) -> Pair:
    """As `swarm`, on paths that swallow what is larger than some size, and go on doing so."""
    random = Random(f"narrow {seed}")
    plan_a, plan_b = draw_plans(random)
    promised = random.choice((1452, 1452, 8948, 65_000))
    forth, back = draw_link(random, narrow=True), draw_link(random, narrow=True)
    heal_at = random.uniform(0, 15)
    return Pair(
        seed,
        draw_config(random),
        draw_config(random),
        forth,
        link_back=back,
        plan_a=plan_a,
        plan_b=plan_b,
        mss=(promised, promised),
        path_mss=BASE_MSS,
        iss=draw_iss(random),
        ecn=random.random() < 0.6,
        lateness=random.choice((0.0, 0.001, 0.02)),
        weather=draw_weather(random, heal_at, forth, back, narrow=True),
        heal_at=heal_at,
        within=600.0,
        replay=replay_line("narrow", seed),
    )


def forsaken(seed: int) -> Pair:
    """At some moment the link is gone for good: both sides have to notice, and to end."""
    random = Random(f"forsaken {seed}")
    plans = draw_plans(random)
    keepalive = Keepalive(idle=random.choice((1.0, 10.0)), interval=1.0, count=random.randint(1, 9))
    configs = [
        replace(
            draw_config(random),
            connect_timeout=random.choice((5.0, 30.0)),
            user_timeout=random.choice((None, 1.0, 20.0)),
            r2=random.choice((5.0, 30.0)),
            fin_wait_2_timeout=random.choice((5.0, 30.0)),
            keepalive=keepalive,
        )
        for _ in "ab"
    ]
    forth, back = draw_link(random), draw_link(random)
    end = random.uniform(0, 5)
    weather = draw_weather(random, end, forth, back)
    return Pair(
        seed,
        configs[0],
        configs[1],
        forth,
        link_back=back,
        plan_a=plans[0],
        plan_b=plans[1],
        iss=draw_iss(random),
        lateness=random.choice((0.0, 0.001, 0.02)),
        weather=replace(weather, outages=(*weather.outages, (end, math.inf, "both"))),
        may_fail=True,
        within=240.0,
        replay=replay_line("forsaken", seed),
    )


def bulk(seed: int) -> Pair:
    """A megabyte one way, and a little back, by buffers that fit a path that is worth it."""
    random = Random(f"bulk {seed}")
    large = Plan(
        total=random.randint(600_000, 1_500_000),
        chunk=(20_000, 60_000),
        unsent_limit=1 << 18,
        read_pause=random.choice((0.0, 0.001)),
    )
    small = Plan(total=random.randrange(60_000))
    roomy = [
        replace(draw_config(random), send_buffer=1 << 22, receive_buffer=1 << 22) for _ in "ab"
    ]
    links = [
        replace(
            draw_link(random),
            rate=random.choice((3e6, 10e6)),
            queue=random.choice((30_000, 1 << 18)),
            delay=random.choice((0.0001, 0.01, 0.05)),
            loss=random.choice((0.0, 0.001, 0.02)),
            late=0.01,
        )
        for _ in "ab"
    ]
    heal_at = random.uniform(0, 5)
    mss = random.choice((1220, 1452, 8948))
    return Pair(
        seed,
        roomy[0],
        roomy[1],
        links[0],
        link_back=links[1],
        plan_a=large if seed % 2 else small,
        plan_b=small if seed % 2 else large,
        mss=(mss, mss),
        path_mss=random.choice((0, BASE_MSS)),
        iss=draw_iss(random),
        ecn=random.random() < 0.6,
        lateness=random.choice((0.0, 0.001)),
        heal_at=heal_at,
        within=600.0,
        replay=replay_line("bulk", seed),
    )


SCENARIOS: Final[dict[str, Callable[[int], Run]]] = {
    "fifths": fifths,
    "swarm": swarm,
    "aborted": aborted,
    "narrow": narrow,
    "forsaken": forsaken,
    "bulk": bulk,
    "streams": Streams,
}

_MIX: Final = (
    *("swarm", "aborted", "swarm", "narrow", "swarm", "fifths", "swarm", "forsaken", "swarm"),
    *("streams", "swarm", "aborted", "swarm", "narrow", "swarm", "fifths", "swarm", "narrow"),
    *("swarm", "forsaken"),
) * 3


def of_the_mix(seed: int) -> str:
    """The scenario that `seed` stands for where none is named: half of them are `swarm`."""
    place = seed % len(_MIX)
    return _MIX[place] if place else "bulk"
