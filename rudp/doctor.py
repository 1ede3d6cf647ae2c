"""`rudp doctor`: which rudp runs here, what the system offers it, and what that means.

Nothing is guessed from version numbers: a socket is put to work as for any connection, and asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import platform
import socket
import sys
from collections.abc import Iterator

import rudp
from rudp._compiled import COMPILED, FORM
from rudp.console import Console
from rudp.console import size as in_words
from rudp.datagrams import Datagrams
from rudp.local_addresses import local_addresses
from rudp.sockets import MTU_DISCOVER, PMTUDISC_DO, SOCKET_BUFFER, bind_socket, path_mtu

HOST = "127.0.0.1"

Row = tuple[str, str]


def run(console: Console) -> None:
    """Print what there is to say. Raises `OSError` if not even a UDP socket can be bound."""
    console.table("This rudp", list(_program()))
    console.table("This system", asyncio.run(_system()))


def _program() -> Iterator[Row]:
    yield "rudp", f"{rudp.__version__}, from {rudp.__path__[0]}"
    gain = "small messages and connections cost half as much as in pure Python"
    yield "Form", f"{FORM}: {gain if COMPILED else f'built with RUDP_USE_MYPYC=1, {gain}'}"
    yield "Python", f"{platform.python_implementation()} {platform.python_version()}"
    try:
        version = importlib.metadata.version("uvloop")
    except importlib.metadata.PackageNotFoundError:
        yield "uvloop", "not installed: rudp runs on asyncio's own loop; uvloop's is faster"
    else:
        yield "uvloop", f"{version}: used where the program runs on it, uvloop.run(main())"


async def _system() -> list[Row]:
    async with await rudp.Endpoint.open((HOST, 0)) as endpoint:
        datagrams = endpoint.engine.datagrams
        own = isinstance(datagrams, Datagrams)
        rows = [
            _offload("GSO", "leave", isinstance(datagrams, Datagrams) and datagrams.gso),
            _offload("GRO", "arrive", isinstance(datagrams, Datagrams) and datagrams.gro),
            _buffer("Receive", datagrams.sock, "what arrives while the program is busy"),
            _buffer("Send", datagrams.sock, "what is sent in one go"),
            _df(datagrams.sock),
        ]
    if not own:
        rows.insert(0, ("Sockets", "by the loop's own transport, one datagram a turn: slower"))
    return [*rows, _mtu(), _ipv6(), _pktinfo()]


def _offload(name: str, way: str, there: bool) -> Row:
    if there:
        return name, f"yes: up to 64 datagrams {way} in one system call"
    return name, f"no: datagrams {way} one by one, which makes bulk transfers slower"


def _buffer(name: str, sock: socket.socket, holds: str) -> Row:
    receive = name == "Receive"
    granted = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF if receive else socket.SO_SNDBUF)
    if sys.platform == "linux":
        granted //= 2  # socket(7): the kernel doubles what it grants, for its bookkeeping
    words = f"{in_words(granted)}: holds {holds}"
    if granted < SOCKET_BUFFER:
        words += f"; {in_words(SOCKET_BUFFER)} were asked for"
        if sys.platform == "linux":
            limit = "rmem_max" if receive else "wmem_max"
            words += f": sysctl -w net.core.{limit}={SOCKET_BUFFER}"
    return f"{name} buffer", words


def _df(sock: socket.socket) -> Row:
    with contextlib.suppress(OSError):
        if sys.platform == "linux" and (
            sock.getsockopt(*MTU_DISCOVER[socket.AF_INET]) == PMTUDISC_DO
        ):
            return "DF", "set: what is too big for a path is refused, never cut into fragments"
    return "DF", "not set: a datagram too big for a path goes in fragments; Config.mss prevents it"


def _mtu() -> Row:
    mtu = path_mtu(socket.AF_INET, (HOST, 9))
    if mtu is None:
        return "Path MTU", "unknown: segments are made for 1280 bytes, which any path carries"
    return "Path MTU", f"{mtu} bytes on loopback: the route is asked, and segments fill it"


def _ipv6() -> Row:
    try:
        bind_socket(socket.AF_INET6, ("::1", 0)).close()
    except OSError as error:
        return "IPv6", f"no: {error.strerror or error}; addresses have to be IPv4"
    return "IPv6", "yes"


def _pktinfo() -> Row:
    with bind_socket(socket.AF_INET, ("0.0.0.0", 0)) as sock:
        there = local_addresses(sock) is not None
    if there:
        return "IP_PKTINFO", "yes: on 0.0.0.0 and ::, answers leave from the address that was asked"
    return "IP_PKTINFO", "no: on a host with several addresses, bind one of them, not 0.0.0.0"
