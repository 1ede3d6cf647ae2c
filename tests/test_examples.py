"""Each example, run as a user would run it: a process of its own, spoken to through its output.

The README's usage example is one of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import rudp

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
TIME_LIMIT = 30.0  # seconds for one process: only something that hangs takes so long
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")


def environment() -> dict[str, str]:
    """The user's, with this checkout importable as if it were installed."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    settings = {"PYTHONPATH": path, "PYTHONWARNINGS": "error::ResourceWarning", "PYTHONUTF8": "1"}
    return os.environ | settings


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        encoding="utf-8",
        timeout=TIME_LIMIT,
        env=environment(),
        check=False,
    )


@contextlib.contextmanager
def running(*arguments: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that says where it listens, and that port. It is killed if it outlives its time."""
    process = subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=environment(),
    )
    timer = threading.Timer(TIME_LIMIT, process.kill)
    timer.start()
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        match = re.fullmatch(r"listening on port (\d+)\n", line)
        assert match, f"the first line was {line!r}"
        yield process, match[1]
    finally:
        timer.cancel()
        process.kill()
        process.communicate(timeout=TIME_LIMIT)


def test_the_echo_client_prints_what_the_echo_server_sends_back() -> None:
    with running(EXAMPLES / "echo_server.py") as (_, port):
        for text in ("hello", "grüße, 世界"):
            done = run(EXAMPLES / "echo_client.py", port, text)
            assert (done.stdout, done.stderr, done.returncode) == (f"{text}\n", "", 0)


def test_the_echo_server_listens_where_it_is_told() -> None:
    port = free_udp_port()
    with running(EXAMPLES / "echo_server.py", port) as (_, printed):
        assert printed == str(port)


def test_the_echo_client_without_a_port_says_how_to_call_it() -> None:
    done = run(EXAMPLES / "echo_client.py")
    assert done.returncode == 1
    assert done.stderr.startswith("usage: ")


def test_half_close_gets_its_answer_after_its_own_side_has_ended() -> None:
    done = run(EXAMPLES / "half_close.py", "b", "c", "a")
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout.splitlines()[1:] == ["a", "b", "c"]


@pytest.mark.skipif(sys.platform != "linux", reason="SO_REUSEPORT shares out datagrams on Linux")
def test_each_connection_stays_with_one_of_four_workers() -> None:
    async def ask(port: int, all_answered: asyncio.Event, missing: list[int]) -> set[bytes]:
        reader, writer = await rudp.open_connection("127.0.0.1", port)
        writer.write(b"first\n")
        answers = [await reader.readline()]
        missing.pop()
        if not missing:
            all_answered.set()
        await all_answered.wait()  # they are open at the same time
        writer.write(b"second\n")
        answers.append(await reader.readline())
        writer.close()
        await writer.wait_closed()
        assert [answer.split(b": ")[1] for answer in answers] == [b"first\n", b"second\n"]
        return {answer.split(b": ")[0] for answer in answers}

    async def ask_all(port: int) -> list[set[bytes]]:
        missing, all_answered = list(range(24)), asyncio.Event()
        return await asyncio.gather(*(ask(port, all_answered, missing) for _ in missing))

    with running(EXAMPLES / "workers.py") as (_, port):
        workers = asyncio.run(asyncio.wait_for(ask_all(int(port)), TIME_LIMIT))
    assert all(len(each) == 1 for each in workers)
    assert len(set.union(*workers)) > 1


def test_replicas_agree_after_a_partition_the_same_way_for_the_same_seed() -> None:
    first, second = (run(EXAMPLES / "replicated_counter.py", 3) for _ in "12")
    assert (first.returncode, first.stdout) == (0, second.stdout)
    assert [line.partition(" s and ")[0] for line in first.stdout.splitlines()] == [
        f"seed {seed}: agreed, after 20" for seed in range(3)
    ]


def test_a_congestion_control_of_ones_own_moves_data_and_shows_its_window() -> None:
    done = run(EXAMPLES / "congestion_control.py", 3)
    assert (done.stderr, done.returncode) == ("", 0)
    *lines, last = done.stdout.splitlines()
    windows = [int(re.findall(r"cwnd (\d+) bytes", line)[0]) for line in lines]
    assert len(windows) == 3
    assert windows[0] < windows[-1]
    assert last == "3000000 bytes arrived"


def test_file_transfer_delivers_a_file_and_both_sides_print_its_digest(tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    source, target = tmp_path / "source.bin", tmp_path / "target.bin"
    source.write_bytes(content)
    with running(EXAMPLES / "file_transfer.py", "receive", target) as (receiver, port):
        sender = run(EXAMPLES / "file_transfer.py", "send", source, "127.0.0.1", port)
        output, errors = receiver.communicate(timeout=TIME_LIMIT)
    digest = hashlib.sha256(content).hexdigest()
    assert (sender.stderr, sender.returncode) == ("", 0)
    assert (errors, receiver.returncode) == ("", 0)
    assert f"sent 3000000 bytes, SHA-256 {digest}" in sender.stdout
    assert digest in output
    assert target.read_bytes() == content
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source.bin", "target.bin"]


def test_file_transfer_delivers_an_empty_file(tmp_path: Path) -> None:
    source, target = tmp_path / "empty", tmp_path / "target"
    source.touch()
    with running(EXAMPLES / "file_transfer.py", "receive", target) as (receiver, port):
        sender = run(EXAMPLES / "file_transfer.py", "send", source, "127.0.0.1", port)
        receiver.communicate(timeout=TIME_LIMIT)
    assert (sender.returncode, receiver.returncode) == (0, 0)
    assert target.read_bytes() == b""


@ON_LINUX
def test_file_transfer_says_on_both_sides_that_the_receivers_disk_is_full(tmp_path: Path) -> None:
    source, target = tmp_path / "source.bin", tmp_path / "target.bin"
    source.write_bytes(bytes(20_000_000))
    (tmp_path / "target.bin.part").symlink_to("/dev/full")
    with running(EXAMPLES / "file_transfer.py", "receive", target) as (receiver, port):
        sender = run(EXAMPLES / "file_transfer.py", "send", source, "127.0.0.1", port)
        _, errors = receiver.communicate(timeout=TIME_LIMIT)
    reason = f"cannot write {target}: No space left on device"
    assert (sender.stderr, sender.returncode) == (
        f"file_transfer: the receiver says: {reason}\n",
        1,
    )
    assert (errors, receiver.returncode) == (f"file_transfer: {reason}\n", 1)
    assert not target.exists()


def can_mount() -> bool:
    return bool(
        shutil.which("unshare")
        and subprocess.run(
            ["unshare", "-m", "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "/mnt"],
            capture_output=True,
            check=False,
        ).returncode
        == 0
    )


@pytest.mark.skipif(not can_mount(), reason="needs root, with the right to mount a small disk")
@pytest.mark.parametrize("size", [300_000, 5_000_000])
def test_file_transfer_to_a_disk_that_gets_full_leaves_no_half_file(
    tmp_path: Path, size: int
) -> None:
    source, disk = tmp_path / "source.bin", tmp_path / "disk"
    source.write_bytes(os.urandom(size))
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], check=True)
    try:
        with running(EXAMPLES / "file_transfer.py", "receive", disk / "file") as (receiver, port):
            sender = run(EXAMPLES / "file_transfer.py", "send", source, "127.0.0.1", port)
            _, errors = receiver.communicate(timeout=TIME_LIMIT)
        left = list(disk.iterdir())
    finally:
        subprocess.run(["umount", disk], check=True)
    reason = f"cannot write {disk / 'file'}: No space left on device"
    assert (sender.returncode, sender.stderr) == (
        1,
        f"file_transfer: the receiver says: {reason}\n",
    )
    assert (receiver.returncode, errors) == (1, f"file_transfer: {reason}\n")
    assert left == []


IMPATIENT = f"""
import sys
sys.path.insert(0, {str(EXAMPLES)!r})
import file_transfer, rudp
file_transfer.CONFIG = rudp.Config(
    user_timeout=0.3, keepalive=rudp.Keepalive(idle=1.0, interval=1.0, count=1)
)
sys.exit(file_transfer.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("victim", ["sender", "receiver"])
def test_file_transfer_whose_other_side_is_killed_ends_with_a_sentence_and_no_half_file(
    tmp_path: Path, victim: str
) -> None:
    source, target = tmp_path / "source.bin", tmp_path / "target.bin"
    source.touch()
    os.truncate(source, 1 << 32)  # it takes no room, and minutes to send
    part = tmp_path / "target.bin.part"
    with running("-c", IMPATIENT, "receive", target) as (receiver, port):
        sender = subprocess.Popen(
            [sys.executable, "-c", IMPATIENT, "send", str(source), "127.0.0.1", port],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            env=environment(),
        )
        with sender:
            try:
                until = time.monotonic() + TIME_LIMIT
                while not (part.exists() and part.stat().st_size) and time.monotonic() < until:
                    time.sleep(0.01)
                killed, other = (sender, receiver) if victim == "sender" else (receiver, sender)
                killed.kill()
                _, errors = other.communicate(timeout=TIME_LIMIT)
            finally:
                sender.kill()
    assert other.returncode == 1
    assert errors.splitlines()[-1].startswith("file_transfer: Connection timed out: ")
    assert not target.exists()
    if victim == "sender":
        assert not part.exists()


def test_file_transfer_refuses_a_missing_file_with_a_sentence(tmp_path: Path) -> None:
    missing = tmp_path / "missing.bin"
    done = run(EXAMPLES / "file_transfer.py", "send", missing, "127.0.0.1", 9)
    assert done.returncode == 1
    assert done.stderr == f"file_transfer: cannot open {missing}: No such file or directory\n"


def test_file_transfer_says_so_where_nobody_listens(tmp_path: Path) -> None:
    source = tmp_path / "source.bin"
    source.write_bytes(b"x")
    port = free_udp_port()
    done = run(EXAMPLES / "file_transfer.py", "send", source, "127.0.0.1", port)
    assert done.returncode == 1
    assert done.stderr == f"file_transfer: Connect call failed ('127.0.0.1', {port})\n"


def test_the_readmes_usage_example_does_what_its_comment_says(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"```python\n(.*?)```", readme, re.DOTALL)
    assert block
    program = tmp_path / "usage.py"
    program.write_text(block[1].replace("9000", str(free_udp_port())), encoding="utf-8")
    done = run(program)
    assert (done.stdout, done.stderr, done.returncode) == ("b'HELLO, WORLD'\n", "", 0)


def free_udp_port() -> int:
    """A UDP port that nobody has at the moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
