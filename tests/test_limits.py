"""The table of queues, rudp/limits.py: complete, true, and each cap has its test."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import rudp
from rudp.limits import OURS, QUEUES

ROOT = Path(__file__).parent.parent
PROGRAMS = {"cli.py", "console.py", "demo.py", "doctor.py", "ladder.py"}  # of our own user
CONTAINERS = {"bytearray", "defaultdict", "deque", "dict", "list", "set", "Counter", "OrderedDict"}

HERE = "tests/threats/test_bad_peers_queues.py::"
REASSEMBLY = "tests/threats/test_bad_peers_reassembly.py::"
SCOREBOARD = "tests/threats/test_bad_peers_scoreboard.py::"
TWICE = REASSEMBLY + "test_threat_12_what_is_held_takes_at_most_twice_the_receive_buffer"
RANGES = REASSEMBLY + (
    "test_threat_12_there_are_never_more_ranges_than_the_receive_buffer_pays_for"
)
UNDO = SCOREBOARD + "test_threat_13_dsacks_cannot_cut_what_undo_remembers_without_end"
STALLED = HERE + "test_threat_15_a_socket_that_takes_nothing_makes_no_queue_of_datagrams"
MAX_CONNECTIONS = "tests/test_backlog.py::test_an_endpoint_serves_no_more_than_max_connections"
TESTS = {
    "Receiver._ready": TWICE,
    "Reassembly._lefts": RANGES,
    "Reassembly._ends": RANGES,
    "Reassembly._pieces": RANGES,
    "Pieces._back": TWICE,
    "Pieces._front": TWICE,
    "Reassembly._recent": HERE + "test_threat_15_what_sack_blocks_have_told_is_sixteen_at_most",
    "Scoreboard._flights": SCOREBOARD
    + "test_threat_13_sacks_cut_what_is_in_flight_into_no_more_pieces_than_the_limit",
    "Scoreboard._lost_at": SCOREBOARD + "test_threat_13_places_of_lost_data_do_not_pile_up",
    "SendBuffer._chunks": HERE + "test_threat_15_no_more_is_in_flight_than_the_send_buffer",
    "SendBuffer._starts": HERE + "test_threat_15_no_more_is_in_flight_than_the_send_buffer",
    "Undo._starts": UNDO,
    "Undo._owed": UNDO,
    "Connection.out": HERE + "test_threat_15_answers_do_not_pile_up_in_a_connection_that_opens",
    "Chunks._chunks": HERE + "test_threat_15_a_stream_that_nobody_reads_holds_what_it_may",
    "Engine._channels": MAX_CONNECTIONS,
    "Engine._touched": STALLED,
    "Engine._stalled": STALLED,
    "Engine._unsent": STALLED,
    "TimeWaits._records": "tests/test_time_wait.py::test_no_more_is_remembered_than_max_time_wait",
    "Deadlines._heap": "tests/test_hostile.py"
    "::test_a_peer_cannot_make_the_heap_of_deadlines_grow",
    "DatagramLayer._kept": "tests/test_own_datagrams.py"
    "::test_a_full_buffer_in_the_middle_of_a_send_keeps_exactly_the_rest",
    "DatagramLayer._reports": "tests/test_own_datagrams.py"
    "::test_what_the_network_refuses_is_dropped_and_reported_once",
    "Datagrams._marked": "tests/test_own_datagrams.py"
    "::test_a_flood_is_taken_in_portions_between_which_the_loop_goes_on",
    "Datagrams._gso_refused": HERE + "test_threat_15_so_many_peers_that_took_no_gso_are_known",
    "LocalAddresses._answers": HERE + "test_threat_15_our_address_is_known_for_so_many_peers",
    "AnswerLimit._counts": "tests/core/test_answer_limit.py"
    "::test_a_flood_from_everywhere_makes_it_grow_no_further_than_its_buckets",
    "Routes._mtus": HERE + "test_threat_15_routes_are_known_to_so_many_hosts",
    "Routes._found": HERE + "test_threat_15_routes_are_known_to_so_many_hosts",
    "LoopDatagrams.transport": "tests/threats/test_bad_peers_datagrams.py"
    "::test_threat_16_asyncios_buffer_holds_64_kib_and_a_datagram",
    "Server._clients": MAX_CONNECTIONS,
    "Keeper._idle": "tests/test_time_wait.py"
    "::test_no_more_sockets_are_kept_for_time_wait_than_the_limit",
}
"""Who sees to it that the cap holds."""


# -- the table -----------------------------------------------------------------------------------


def containers(path: Path) -> Iterator[str]:
    """Attributes of the classes of a file that are assigned something with a length."""
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for cls in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(cls, ast.ClassDef):
            for node in ast.walk(cls):
                if isinstance(node, ast.Assign):
                    targets, value, kind = node.targets, node.value, ""
                elif isinstance(node, ast.AnnAssign) and node.value is not None:
                    targets, value = [node.target], node.value
                    kind = ast.unparse(node.annotation).partition("[")[0]
                else:
                    continue
                if not kind and isinstance(value, ast.Call):
                    kind = ast.unparse(value.func)
                literal = isinstance(value, ast.List | ast.Dict | ast.Set | ast.ListComp)
                if literal or kind.rpartition(".")[2] in CONTAINERS:
                    for target in targets:
                        if isinstance(target, ast.Attribute):
                            yield f"{module}: {cls.name}.{target.attr}"


def test_every_container_of_the_package_is_in_the_table() -> None:
    found = {
        name
        for path in (ROOT / "rudp").rglob("*.py")
        if path.name not in PROGRAMS and "sim" not in path.parts
        for name in containers(path)
    }
    # asyncio's transport has a buffer that cannot be seen here; what is ready is made late.
    hidden = {
        "rudp.loop_datagrams: LoopDatagrams.transport",
        "rudp.core.receiver: Receiver._ready",
    }
    table = [queue.where for queue in QUEUES]
    assert len(set(table)) == len(table)
    assert found | hidden == {*table, *OURS}


@pytest.mark.parametrize("where", [*(queue.where for queue in QUEUES), *OURS])
def test_what_the_table_names_is_there(where: str) -> None:
    module, name = where.split(": ")
    cls, attribute = name.split(".")
    path = ROOT / f"{module.replace('.', '/')}.py"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    body = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == cls)
    used = {n.attr for n in ast.walk(body) if isinstance(n, ast.Attribute)}
    assert attribute in used


@pytest.mark.parametrize("cap", sorted({queue.cap for queue in QUEUES}))
def test_each_cap_is_a_number(cap: str) -> None:
    if cap.startswith("Config."):
        value = getattr(rudp.Config(), cap.removeprefix("Config."))
    else:
        module, _, name = cap.rpartition(".")
        value = getattr(importlib.import_module(module), name)
    assert isinstance(value, int)
    assert value > 0


def test_each_cap_has_its_test() -> None:
    assert set(TESTS) == {queue.where.partition(": ")[2] for queue in QUEUES}
    for node in set(TESTS.values()):
        path, _, name = node.partition("::")
        assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8"), node
