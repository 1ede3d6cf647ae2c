"""Virtual time: it leaps, keeps order, and says when nothing can happen any more."""

from __future__ import annotations

import asyncio
import random

import pytest

from rudp import sim
from tests.simulation.programs import now


def run(scenario: object, seed: int = 0, **options: float) -> object:
    async def without_network(network: sim.Network) -> object:
        assert callable(scenario)
        return await scenario()

    return sim.run(without_network, seed, **options)  # type: ignore[arg-type]


def test_a_day_of_sleep_takes_no_time_and_the_clock_says_a_day() -> None:
    async def scenario() -> float:
        await asyncio.sleep(86_000)
        return now()

    assert run(scenario) == 86_000


def test_a_timer_stands_exactly_where_it_was_set() -> None:
    async def scenario() -> list[float]:
        times: list[float] = []
        loop = asyncio.get_running_loop()
        for moment in (0.3, 0.1, 0.7, 0.1 + 0.2):
            loop.call_at(moment, lambda: times.append(loop.time()))
        await asyncio.sleep(1)
        return times

    assert run(scenario) == [0.1, 0.3, 0.1 + 0.2, 0.7]


def test_what_is_booked_for_the_same_moment_happens_in_the_order_of_booking() -> None:
    async def scenario() -> list[int]:
        seen: list[int] = []
        for number in range(200):
            asyncio.get_running_loop().call_at(1.0, seen.append, number)
        await asyncio.sleep(2)
        return seen

    assert run(scenario) == list(range(200))


def test_many_cancelled_timers_leave_the_others_in_order() -> None:
    async def scenario() -> list[int]:
        seen: list[int] = []
        loop = asyncio.get_running_loop()
        timers = [loop.call_later(1 + number / 1000, seen.append, number) for number in range(500)]
        for number, timer in enumerate(timers):
            if number % 7:
                timer.cancel()
        await asyncio.sleep(5)
        return seen

    assert run(scenario) == list(range(0, 500, 7))


def test_a_program_that_waits_for_nothing_is_told_so() -> None:
    async def scenario() -> None:
        await asyncio.Event().wait()

    with pytest.raises(sim.SimulationError, match="never happen"):
        run(scenario)


def test_a_program_that_does_not_end_is_ended_at_the_limit() -> None:
    async def scenario() -> None:
        while True:
            await asyncio.sleep(1)

    with pytest.raises(sim.SimulationError, match="not over after 60 s"):
        run(scenario, limit=60)


def test_timeouts_are_in_virtual_time() -> None:
    async def scenario() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await asyncio.sleep(31)
        return now()

    assert run(scenario) == 30


def test_what_would_go_to_a_thread_is_done_at_once() -> None:
    async def scenario() -> tuple[int, float]:
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)
        return await asyncio.to_thread(lambda: 42), now()

    assert run(scenario) == (42, 0.0)


def test_pythons_own_random_is_seeded_inside_and_untouched_outside() -> None:
    async def scenario() -> float:
        return random.random()

    random.seed(99)
    expected = random.random()
    random.seed(99)
    assert run(scenario, 5) == run(scenario, 5) != run(scenario, 6)
    assert random.random() == expected


def test_what_the_scenario_raises_is_raised() -> None:
    async def scenario() -> None:
        await asyncio.sleep(1)
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        run(scenario)


def test_what_still_runs_at_the_end_is_cancelled() -> None:
    ended: list[str] = []

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    async def scenario(network: sim.Network) -> None:
        network.host("a").start(forever())
        await asyncio.sleep(1)

    sim.run(scenario)
    assert ended == ["cancelled"]


def test_a_simulation_runs_once() -> None:
    async def scenario(network: sim.Network) -> None:
        pass

    simulation = sim.Simulation()
    simulation.run(scenario)
    with pytest.raises(RuntimeError, match="make a new one"):
        simulation.run(scenario)


@pytest.mark.parametrize("call", ["create_connection", "create_server"])
def test_asyncios_own_tcp_is_refused_with_what_to_use(call: str) -> None:
    async def scenario() -> None:
        await getattr(asyncio.get_running_loop(), call)(asyncio.Protocol, "127.0.0.1", 1)

    with pytest.raises(sim.SimulationError, match=r"use rudp\."):
        run(scenario)
