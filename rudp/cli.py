"""The command `rudp`: arguments in, exit status out.

Each subcommand is a function that adds its parser and names the function to run; `COMMANDS` lists
them. What a subcommand needs is imported when it runs: `--version` and `--help` answer at once.

Exit status: 0, all was right; 1, it was not; 2, the arguments made no sense; 130, interrupted.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rudp._version import __version__

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

_DEFAULT_SIZE = 64 << 20
_MAX_SIZE = 1 << 30  # the demo holds what it sends and what comes back, both in memory
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit status."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help(sys.stderr)
        return 2
    run: Callable[[argparse.Namespace], int] = arguments.run
    try:
        return run(arguments)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read the output has seen enough (`rudp demo | head`). Python would complain again
        # when it flushes standard output at exit, so that goes nowhere from here on.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rudp", description="TCP (RFC 9293) in user space, over UDP, for asyncio."
    )
    parser.add_argument("--version", action="version", version=f"rudp {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for add in COMMANDS:
        add(subparsers)
    return parser


def _add_demo(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "demo",
        help="one connection from its SYN to TIME-WAIT, shown and checked",
        description="Open a connection to an echo server on loopback, show its handshake, send "
        "data through it and back, half-close it, close it, and say what was measured. The exit "
        "status is 0 only if every step was right.",
    )
    parser.add_argument(
        "--size",
        type=_size,
        default=_DEFAULT_SIZE,
        help="how much to send through and back, as 65536, 512KiB or 64MiB (default: 64MiB)",
    )
    parser.set_defaults(run=_run_demo)


def _run_demo(arguments: argparse.Namespace) -> int:
    from rudp.console import open_console
    from rudp.demo import run

    return 0 if run(open_console(), arguments.size) else 1


def _add_doctor(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "doctor",
        help="which rudp runs here, and what the system offers it",
        description="Say whether rudp runs compiled or as pure Python, on which Python and event "
        "loop, and what the system offers: offload, socket buffers, path MTU, IPv6.",
    )
    parser.set_defaults(run=_run_doctor)


def _run_doctor(arguments: argparse.Namespace) -> int:
    from rudp.console import open_console
    from rudp.doctor import run

    try:
        run(open_console())
    except OSError as error:
        print(f"rudp needs a UDP socket, and there is none to be had: {error}", file=sys.stderr)
        return 1
    return 0


def _size(text: str) -> int:
    """The number of bytes that a size such as `65536`, `512KiB` or `64M` stands for."""
    match = re.fullmatch(r"(\d{1,12})\s*([kmg]?)(?:i?b)?", text.strip().lower())
    if match is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a size; write for example 65536, 512KiB or 64MiB"
        )
    size = int(match[1]) * _UNITS[match[2]]
    if not 1 <= size <= _MAX_SIZE:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 1 byte and 1GiB")
    return size


COMMANDS: tuple[Callable[[Subparsers], None], ...] = (_add_demo, _add_doctor)
