"""The command `rudp`, run as a user runs it, and the ladder that `rudp demo` draws."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rudp
from rudp.console import size
from rudp.core.segment import ACK, FIN, PSH, SYN, Segment
from rudp.core.state import State
from rudp.demo import CLOSE, HANDSHAKE, climbs
from rudp.ladder import LEFT, RIGHT, Ladder, lines

ROOT = Path(__file__).parent.parent
TIME_LIMIT = 60.0  # seconds: only something that hangs takes so long
TOP = 2**32

# On the ladders: time, the client's state, the arrow with its label, the server's state.
OPENING = [
    r"SYN-SENT ─+ SYN SEQ=(\d+) ─+▶ SYN-RECEIVED",
    r"ESTABLISHED ◀─+ SYN\+ACK SEQ=(\d+) ACK=(\d+) ─+ SYN-RECEIVED",
    r"ESTABLISHED ─+ ACK SEQ=(\d+) ACK=(\d+) ─+▶ ESTABLISHED",
]
CLOSING = [
    r"FIN-WAIT-1 ─+ FIN\+ACK SEQ=(\d+) ACK=(\d+) ─+▶ CLOSE-WAIT",
    r"FIN-WAIT-2 ◀─+ ACK SEQ=(\d+) ACK=(\d+) ─+ CLOSE-WAIT",
    r"FIN-WAIT-2 ◀─+ \d+ bytes of data ─+ CLOSE-WAIT",
    r"TIME-WAIT ◀─+ FIN\+ACK SEQ=(\d+) ACK=(\d+) ─+ LAST-ACK",
    r"TIME-WAIT ─+ ACK SEQ=(\d+) ACK=(\d+) ─+▶ CLOSED",
]
needs_checkout = pytest.mark.skipif(
    not (ROOT / "rudp").is_dir(), reason="rudp is installed, and no checkout is here"
)
MEASURED = ("Handshake", "Transfer", "Throughput", "Smoothed RTT", "Retransmissions")


def run(
    *arguments: str, python: tuple[str, ...] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    """`python3 -m rudp ...` in the checkout; `python` are options of the interpreter."""
    return subprocess.run(
        [sys.executable, *python, "-m", "rudp", *arguments],
        capture_output=True,
        encoding="utf-8",
        timeout=TIME_LIMIT,
        cwd=ROOT,
        env=os.environ | {"PYTHONUTF8": "1", "COLUMNS": "80"} | environment,
        check=False,
    )


def need(*extras: str) -> None:
    """Skip where an extra is not installed, except where that is a failure."""
    missing = [extra for extra in extras if importlib.util.find_spec(extra) is None]
    if missing and os.environ.get("RUDP_REQUIRE_UVLOOP") != "1":
        pytest.skip(f"{', '.join(missing)} not installed")
    assert not missing


def assert_all_was_shown(done: subprocess.CompletedProcess[str]) -> None:
    assert (done.stderr, done.returncode) == ("", 0), done.stdout
    found = [re.search(pattern, done.stdout) for pattern in OPENING + CLOSING]
    assert None not in found, done.stdout
    places = [match.start() for match in found if match]
    assert places == sorted(places)
    digests = re.findall(r"SHA-256 (?:sent|received) +([0-9a-f]{64})\n", done.stdout)
    assert len(digests) == 2
    assert digests[0] == digests[1]
    assert all(row in done.stdout for row in MEASURED), done.stdout
    assert done.stdout.endswith("All of it was right.\n")


def test_the_demo_with_every_extra_shows_all_of_a_connection_and_ends_with_status_0() -> None:
    need("rich", "uvloop")
    done = run("demo", "--size", "2MiB")
    assert_all_was_shown(done)
    assert "uvloop" in done.stdout
    assert "┌" in done.stdout  # the table that rich draws


@needs_checkout
def test_the_demo_in_a_bare_checkout_shows_the_same_as_plain_text() -> None:
    done = run("demo", "--size", "2MiB", python=("-S",))  # no site-packages, so no extra
    assert_all_was_shown(done)
    assert "uvloop" not in done.stdout
    assert "┌" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 83


def test_each_ack_on_the_demos_ladders_is_one_more_than_what_it_acknowledges() -> None:
    done = run("demo", "--size", "1")
    syn, syn_ack, ack = (re.search(pattern, done.stdout) for pattern in OPENING)
    assert syn is not None
    assert syn_ack is not None
    assert ack is not None
    assert int(syn_ack[2]) == (int(syn[1]) + 1) % TOP
    assert (int(ack[1]), int(ack[2])) == (int(syn_ack[2]), (int(syn_ack[1]) + 1) % TOP)
    first_fin, first_ack, _, last_fin, last_ack = (
        re.search(pattern, done.stdout) for pattern in CLOSING
    )
    assert first_fin is not None
    assert first_ack is not None
    assert last_fin is not None
    assert last_ack is not None
    assert int(first_ack[2]) == (int(first_fin[1]) + 1) % TOP
    assert int(last_ack[2]) == (int(last_fin[1]) + 1) % TOP


@needs_checkout
def test_the_demo_draws_in_ascii_where_nothing_else_can_be_printed() -> None:
    done = run("demo", "--size", "64KiB", python=("-S",), PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    assert (done.stderr, done.returncode) == ("", 0)
    assert re.search(r"SYN-SENT -+ SYN SEQ=\d+ -+> SYN-RECEIVED", done.stdout)
    assert done.stdout.isascii()


def test_the_demo_ends_with_status_1_and_says_why_where_no_socket_can_be_bound() -> None:
    program = (
        "import socket, sys\n"
        "def refuse(*_): raise OSError(13, 'Permission denied')\n"
        "socket.socket.bind = refuse\n"
        "from rudp.cli import main\n"
        "sys.exit(main(['demo']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        encoding="utf-8",
        timeout=TIME_LIMIT,
        cwd=ROOT,
        env=os.environ | {"PYTHONUTF8": "1"},
        check=False,
    )
    assert (done.stderr, done.returncode) == ("", 1)
    assert "permission denied" in done.stdout.lower()
    assert done.stdout.endswith("Not right: 1 of the checks failed.\n")


def test_the_command_says_its_version() -> None:
    done = run("--version")
    assert (done.stdout, done.returncode) == (f"rudp {rudp.__version__}\n", 0)


def test_the_command_without_a_subcommand_prints_its_help_and_ends_with_status_2() -> None:
    done = run()
    assert done.returncode == 2
    assert "demo" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demo", "--size", "big"], "'big' is not a size; write for example 65536, 512KiB or"),
        (["demo", "--size", "0"], "'0' is not between 1 byte and 1GiB"),
        (["demo", "--size", "2GiB"], "'2GiB' is not between 1 byte and 1GiB"),
        (["demo", "--colour"], "unrecognized arguments: --colour"),
        (["dance"], "invalid choice: 'dance'"),
    ],
)
def test_arguments_that_make_no_sense_are_answered_with_what_to_write_and_status_2(
    arguments: list[str], message: str
) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_demo_help_names_the_option() -> None:
    done = run("demo", "--help")
    assert done.returncode == 0
    assert "--size" in done.stdout


class Wire:
    """Two taps of one ladder, and a clock that counts segments."""

    def __init__(self) -> None:
        self.ladder = Ladder()
        self.now = 0.0
        self._taps = {LEFT: self.ladder.tap(LEFT), RIGHT: self.ladder.tap(RIGHT)}

    def carry(self, sender: str, segment: Segment, before: State, after: State) -> None:
        """`segment` leaves `sender` in state `before` and brings the other side to `after`."""
        self.now += 0.001
        self._taps[sender](">", segment, before, self.now)
        self._taps[RIGHT if sender == LEFT else LEFT]("<", segment, after, self.now)


def segment(seq: int, ack: int, flags: int, data: bytes = b"") -> Segment:
    return Segment(1, 2, seq, ack, flags, 65535, data)


def shake_hands(wire: Wire, *, final_ack: int = TOP + 1) -> None:
    wire.carry(LEFT, segment(TOP - 1, 0, SYN), State.SYN_SENT, State.SYN_RCVD)
    wire.carry(RIGHT, segment(TOP, TOP, SYN | ACK), State.SYN_RCVD, State.ESTABLISHED)
    wire.carry(LEFT, segment(TOP, final_ack, ACK), State.ESTABLISHED, State.ESTABLISHED)


def test_a_handshake_at_the_end_of_the_sequence_space_is_drawn_with_the_wires_numbers() -> None:
    wire = Wire()
    shake_hands(wire)
    rungs = wire.ladder.take()
    assert climbs(rungs, HANDSHAKE)
    assert [re.sub("-{2,}", "--", line) for line in lines(rungs, 0.001, unicode=False)] == [
        "    0.0 ms     SYN-SENT -- SYN SEQ=4294967295 --> SYN-RECEIVED",
        "    1.0 ms  ESTABLISHED <-- SYN+ACK SEQ=0 ACK=0 -- SYN-RECEIVED",
        "    2.0 ms  ESTABLISHED -- ACK SEQ=0 ACK=1 --> ESTABLISHED",
    ]


def test_a_handshake_whose_last_ack_is_missing_is_not_right() -> None:
    wire = Wire()
    shake_hands(wire)
    assert not climbs(wire.ladder.take()[:-1], HANDSHAKE)


def test_what_was_sent_again_is_drawn_as_such_and_does_not_make_it_wrong() -> None:
    wire = Wire()
    shake_hands(wire)
    wire.ladder.take()
    half, whole = State.FIN_WAIT_1, State.FIN_WAIT_2
    for _ in range(2):
        wire.carry(LEFT, segment(TOP, TOP + 1, FIN | ACK), half, State.CLOSE_WAIT)
        wire.carry(RIGHT, segment(TOP + 1, TOP + 1, ACK), State.CLOSE_WAIT, whole)
    last = segment(TOP + 1, TOP + 1, FIN | ACK)
    wire.carry(RIGHT, last, State.LAST_ACK, State.TIME_WAIT)
    wire.carry(LEFT, segment(TOP + 1, TOP + 2, ACK), State.TIME_WAIT, State.CLOSED)
    rungs = wire.ladder.take()
    assert climbs(rungs, CLOSE)
    assert [n for n, line in enumerate(lines(rungs, 0.0)) if "again" in line] == [2, 3]


def test_an_ack_of_something_else_is_no_rung_and_the_handshake_not_right() -> None:
    wire = Wire()
    shake_hands(wire, final_ack=TOP)
    rungs = wire.ladder.take()
    assert [rung.control for rung in rungs] == ["SYN", "SYN+ACK"]
    assert not climbs(rungs, HANDSHAKE)


def test_data_between_two_rungs_is_counted_as_one_rung_and_its_acks_are_left_out() -> None:
    wire = Wire()
    shake_hands(wire)
    wire.ladder.take()
    open_ = (State.ESTABLISHED, State.ESTABLISHED)
    wire.carry(RIGHT, segment(1, 0, ACK, b"abc"), *open_)
    wire.carry(LEFT, segment(0, 4, ACK), *open_)
    wire.carry(RIGHT, segment(4, 0, ACK | PSH, b"de"), *open_)
    wire.carry(LEFT, segment(0, 6, FIN | ACK), State.FIN_WAIT_1, State.CLOSE_WAIT)
    rungs = wire.ladder.take()
    assert [(rung.control, rung.sender, rung.data) for rung in rungs] == [
        ("", RIGHT, 5),
        ("FIN+ACK", LEFT, 0),
    ]


def test_a_fin_that_arrives_joined_to_data_before_it_is_still_the_one_that_was_sent() -> None:
    ladder = Ladder()
    ladder.tap(RIGHT)(">", segment(104, 9, FIN | ACK, b"45"), State.LAST_ACK, 0.0)
    ladder.tap(LEFT)("<", segment(100, 9, FIN | ACK, b"012345"), State.TIME_WAIT, 0.0)
    data, fin = ladder.take()
    assert (data.control, data.data) == ("", 2)
    assert (fin.seq, fin.left, fin.right) == (106, State.TIME_WAIT, State.LAST_ACK)


def test_a_ladder_that_does_not_watch_sees_nothing() -> None:
    wire = Wire()
    wire.ladder.watching = False
    shake_hands(wire)
    assert wire.ladder.take() == []


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        (1, "1 byte"),
        (1023, "1023 bytes"),
        (1536, "1.5 KiB"),
        (64 << 20, "64 MiB"),
        (1 << 30, "1 GiB"),
    ],
)
def test_sizes_are_written_in_the_largest_unit_that_leaves_a_whole(amount: int, words: str) -> None:
    assert size(amount) == words
