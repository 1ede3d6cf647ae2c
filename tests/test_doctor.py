"""`rudp doctor` says what there is, and what to do about what there is not."""

from __future__ import annotations

import errno
import os
import platform
import subprocess
import sys
from typing import Any

import pytest

import rudp
from rudp import doctor
from rudp._compiled import COMPILED
from rudp.console import Console
from rudp.loop_datagrams import LoopDatagrams

from .udp import linux_only

PROGRAM = ("rudp", "Form", "Python", "uvloop")
SYSTEM = ("GSO", "GRO", "Receive buffer", "Send buffer", "DF", "Path MTU", "IPv6", "IP_PKTINFO")
NAMES = (*PROGRAM, *SYSTEM)


def report(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """What the doctor says, by the name of the line."""
    doctor.run(Console())
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    return {name.strip(): words for name, _, words in (line[2:].partition("  ") for line in lines)}


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, encoding="utf-8", timeout=60, check=False
    )


def test_the_command_has_a_line_for_each_thing_and_ends_with_status_0() -> None:
    done = command("-W", "error", "-m", "rudp", "doctor")
    assert (done.stderr, done.returncode) == ("", 0)
    assert [name for name in NAMES if name not in done.stdout] == []


def test_every_line_has_words(capsys: pytest.CaptureFixture[str]) -> None:
    lines = report(capsys)
    assert tuple(lines) == NAMES
    assert all(lines.values())
    assert rudp.__version__ in lines["rudp"]
    assert platform.python_version() in lines["Python"]


def test_it_says_which_form_runs(capsys: pytest.CaptureFixture[str]) -> None:
    form = report(capsys)["Form"].strip()
    assert form.startswith("compiled:" if COMPILED else "pure Python:")
    assert ("RUDP_USE_MYPYC=1" in form) == (not COMPILED)


@linux_only
def test_buffers_smaller_than_asked_for_come_with_the_command_that_raises_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "SOCKET_BUFFER", 1 << 40)
    lines = report(capsys)
    for name, limit in (("Receive buffer", "rmem_max"), ("Send buffer", "wmem_max")):
        assert "1024 GiB were asked for" in lines[name]
        assert lines[name].endswith(f"sysctl -w net.core.{limit}={1 << 40}")


def test_without_offload_it_says_what_that_costs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "Datagrams", LoopDatagrams)  # which the socket's layer is not
    lines = report(capsys)
    assert "slower" in lines["Sockets"]
    assert [lines[name].strip()[:3] for name in ("GSO", "GRO")] == ["no:", "no:"]


def test_what_the_system_does_not_have_is_said_to_be_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bind_socket = doctor.bind_socket

    def without_ipv6(family: int, addr: Any) -> Any:
        if addr[0] == "::1":
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        return bind_socket(family, addr)

    monkeypatch.setattr(doctor, "bind_socket", without_ipv6)
    monkeypatch.setattr(doctor, "path_mtu", lambda family, addr: None)
    monkeypatch.setattr(doctor, "local_addresses", lambda sock: None)
    lines = report(capsys)
    assert os.strerror(errno.EAFNOSUPPORT) in lines["IPv6"]
    assert "1280" in lines["Path MTU"]
    assert lines["IP_PKTINFO"].strip().startswith("no:")


def test_without_any_udp_socket_the_status_is_1() -> None:
    done = command(
        "-c",
        "import socket, sys\n"
        "def refuse(*_): raise OSError(13, 'Permission denied')\n"
        "socket.socket.bind = refuse\n"
        "from rudp.cli import main\n"
        "sys.exit(main(['doctor']))\n",
    )
    assert done.returncode == 1
    assert "permission denied" in done.stderr.lower()
    assert "Traceback" not in done.stderr
