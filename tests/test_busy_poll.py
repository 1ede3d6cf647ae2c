"""Busy polling: when the loop is kept awake, for how long, and when that is left out."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

import rudp
from rudp.busy_poll import MAX_LEFT_OUT, SHORT, BusyPoll
from rudp.datagrams import bind_socket, connect_socket, open_datagrams

from .udp import LOCALHOST, Recorder, open_own, until

__all__ = ["open_own"]

LONGEST = 10.0
PEER, OTHER = ("192.0.2.1", 9), ("192.0.2.2", 9)
ANSWER, REMARK = [(b"answer", PEER)], [(b"remark", OTHER)]


class Loop:
    """`call_soon`, and a clock that goes on by a second with each turn."""

    def __init__(self) -> None:
        self.now = 100.0
        self.queue: list[Callable[[], None]] = []

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.queue.append(callback)

    def turns(self, most: int = 1000) -> int:
        """How often it turns before it falls asleep."""
        for number in range(most):
            if not self.queue:
                return number
            queue, self.queue = self.queue, []
            for callback in queue:
                callback()
            self.now += 1.0
        return most


def poll(longest: float = LONGEST) -> tuple[BusyPoll, Loop]:
    loop = Loop()
    anything: Any = loop
    return BusyPoll(anything, longest, lambda: loop.now), loop


def test_the_loop_turns_until_the_time_is_up() -> None:
    polling, loop = poll()
    assert loop.turns() == 0
    polling.expect(PEER)
    assert loop.turns() == LONGEST + 2  # the first one begins to count, the last one sees the end


def test_the_loop_turns_no_more_when_the_answer_has_come() -> None:
    polling, loop = poll()
    polling.expect(PEER)
    assert loop.turns(5) == 5
    polling.heard(ANSWER)
    assert loop.turns() == 1


def test_what_others_say_is_no_answer() -> None:
    polling, loop = poll()
    polling.expect(PEER)
    assert loop.turns(5) == 5
    polling.heard(REMARK)
    assert loop.turns() == LONGEST + 2 - 5
    polling.expect(PEER)  # left out, since the first one was in vain
    assert loop.turns() == 0


def test_the_answer_may_come_with_what_others_say() -> None:
    polling, loop = poll()
    polling.expect(PEER)
    polling.heard(REMARK + ANSWER)
    assert loop.turns() == 1


def test_a_connected_socket_has_one_peer_which_needs_no_address() -> None:
    polling, loop = poll()
    polling.expect(None)
    polling.heard(ANSWER)
    assert loop.turns() == 1


def test_time_counts_from_the_first_question_not_from_the_last() -> None:
    polling, loop = poll()
    polling.expect(PEER)
    turns = 0
    while loop.turns(1):
        turns += 1
        if turns < LONGEST:
            polling.expect(PEER)
        assert turns < 2 * LONGEST
        assert len(loop.queue) <= 1
    assert turns == LONGEST + 2


def test_a_new_question_has_all_the_time_again() -> None:
    polling, loop = poll()
    polling.expect(PEER)
    loop.turns(8)
    polling.heard(ANSWER)
    polling.expect(PEER)
    assert loop.turns() == LONGEST + 2


def attempts(polling: BusyPoll, loop: Loop, questions: int, answered: bool) -> list[bool]:
    """For each question, whether the loop was kept awake for it."""
    awake = []
    for _ in range(questions):
        polling.expect(PEER)
        awake.append(loop.turns(2) == 2)
        if answered:
            polling.heard(ANSWER)
        loop.turns()
    return awake


def test_what_is_never_answered_in_time_is_waited_for_less_and_less() -> None:
    polling, loop = poll()
    awake = attempts(polling, loop, 10_000, answered=False)
    vigils = [number for number, one in enumerate(awake) if one]
    gaps = [after - before - 1 for before, after in pairwise(vigils)]
    assert gaps[:9] == [1, 3, 7, 15, 31, 63, 127, 255, 255]
    assert max(gaps) == MAX_LEFT_OUT


def test_what_is_answered_in_time_is_always_waited_for() -> None:
    polling, loop = poll()
    assert all(attempts(polling, loop, 1000, answered=True))


def test_answers_in_time_end_the_restraint() -> None:
    polling, loop = poll()
    attempts(polling, loop, 10_000, answered=False)
    awake = attempts(polling, loop, 10_000, answered=True)
    assert awake.count(False) < 3000
    assert all(awake[-1000:])


@pytest.mark.parametrize(("of", "busy"), [(2, False), (4, False), (10, True), (50, True)])
def test_it_goes_on_while_five_out_of_six_are_answered(of: int, busy: bool) -> None:
    polling, loop = poll()
    awake = 0
    vigils = 0
    for _ in range(20_000):
        polling.expect(PEER)
        if loop.turns(2) == 2:
            awake += 1
            vigils += 1
            if vigils % of:
                polling.heard(ANSWER)
        loop.turns()
    assert (awake > 10_000) is busy
    assert busy or awake < 500


def test_it_can_be_switched_off() -> None:
    polling, loop = poll(longest=0.0)
    polling.expect(PEER)
    assert loop.turns() == 0


def test_a_closed_socket_lets_the_loop_sleep() -> None:
    polling, loop = poll()
    polling.expect(PEER)
    polling.close()
    assert loop.turns() == 1
    assert not loop.queue


# In the layer, and in an endpoint


def busy(layer: Any) -> bool:
    """Whether something of it is in the loop's queue."""
    return bool(layer._busy_poll._turning)


async def test_a_socket_keeps_the_loop_awake_until_something_arrives(open_own: Any) -> None:
    receiver = Recorder()
    layer = open_own(bind_socket(socket.AF_INET, LOCALHOST), receiver, busy_poll=1e6)
    assert not busy(layer)
    layer.expect_answer(None)
    for _ in range(100):
        await asyncio.sleep(0)
        assert busy(layer)
    with connect_socket(socket.AF_INET, layer.sockname) as peer:
        peer.send(b"answer")
        await until(lambda: receiver.batches)
    await asyncio.sleep(0)
    assert not busy(layer)


async def test_time_that_stands_still_while_the_loop_is_busy_is_not_waited_for(
    open_own: Any,
) -> None:
    # So it is with loops that leap to their next timer.
    layer = open_own(
        bind_socket(socket.AF_INET, LOCALHOST), Recorder(), clock=lambda: 7.0, busy_poll=0.001
    )
    layer.expect_answer(None)
    await until(lambda: not busy(layer))


async def test_the_layer_of_other_loops_is_asked_in_vain() -> None:
    loop = asyncio.get_running_loop()

    class Bare:
        """A loop without add_reader()."""

        def __getattr__(self, name: str) -> Any:
            if name == "add_reader":
                raise NotImplementedError
            return getattr(loop, name)

    bare: Any = Bare()
    layer = await open_datagrams(
        bare, bind_socket(socket.AF_INET, LOCALHOST), Recorder(), busy_poll=0.01
    )
    layer.expect_answer(None)
    layer.abort()


def waits(writer: asyncio.StreamWriter) -> bool:
    """Whether the endpoint behind `writer` keeps its loop awake."""
    transport: Any = writer.transport
    return bool(transport._engine.datagrams._busy_poll._waiting)


async def test_an_endpoint_waits_for_the_answer_to_what_is_short() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            pass
        writer.close()

    config = rudp.Config(busy_poll=0.01)
    async with await rudp.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        _, writer = await rudp.open_connection("127.0.0.1", port, config=config)
        assert not waits(writer)
        writer.write(bytes(SHORT))
        assert waits(writer)
        await until(lambda: not waits(writer))
        await asyncio.sleep(0.1)  # all is acknowledged
        writer.write(bytes(SHORT + 1))
        assert not waits(writer)
        writer.close()
        await writer.wait_closed()
