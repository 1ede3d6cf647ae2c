"""How sockets are made, and what the route says."""

from __future__ import annotations

import errno
import socket

import pytest

from rudp.sockets import SOCKET_BUFFER, bind_socket, connect_socket, path_mtu, take_socket

from .udp import LINUX, LOCALHOST, linux_only, needs_ipv6


@pytest.mark.parametrize("make", ["bind", "connect", "take"])
def test_sockets_are_non_blocking_have_df_and_large_buffers(make: str) -> None:
    with bind_socket(socket.AF_INET, LOCALHOST) as other:
        if make == "bind":
            sock = bind_socket(socket.AF_INET, LOCALHOST)
        elif make == "connect":
            sock = connect_socket(socket.AF_INET, other.getsockname(), LOCALHOST)
        else:
            sock = take_socket(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        with sock, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
            assert sock.getblocking() is False
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                assert sock.getsockopt(socket.SOL_SOCKET, option) >= plain.getsockopt(
                    socket.SOL_SOCKET, option
                )
            if LINUX:
                assert sock.getsockopt(socket.IPPROTO_IP, 10) == 2  # IP_MTU_DISCOVER, DO


@linux_only
def test_a_buffer_larger_than_we_would_ask_for_is_left_alone() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2 * SOCKET_BUFFER)
        before = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        take_socket(sock)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= before


@needs_ipv6
def test_ipv6_sockets_leave_the_same_port_to_ipv4_and_have_df() -> None:
    with bind_socket(socket.AF_INET6, ("::", 0)) as six:
        port = six.getsockname()[1]
        with bind_socket(socket.AF_INET, ("0.0.0.0", port)) as four:
            assert four.getsockname()[1] == port
        assert six.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
        if LINUX:
            assert six.getsockopt(socket.IPPROTO_IPV6, 23) == 2  # IPV6_MTU_DISCOVER, DO


def test_a_port_in_use_is_refused_with_the_address_in_the_message() -> None:
    with bind_socket(socket.AF_INET, LOCALHOST) as first:
        with pytest.raises(OSError, match=r"attempting to bind on address \('127.0.0.1', ") as info:
            bind_socket(socket.AF_INET, first.getsockname())
        assert info.value.errno == errno.EADDRINUSE


@pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="no SO_REUSEPORT here")
def test_reuse_port_lets_two_sockets_have_one_port() -> None:
    with (
        bind_socket(socket.AF_INET, LOCALHOST, reuse_port=True) as first,
        bind_socket(socket.AF_INET, first.getsockname(), reuse_port=True) as second,
    ):
        assert second.getsockname() == first.getsockname()


def test_connect_socket_takes_its_local_address() -> None:
    with (
        bind_socket(socket.AF_INET, LOCALHOST) as other,
        connect_socket(socket.AF_INET, other.getsockname(), ("127.0.0.2", 0)) as sock,
    ):
        assert sock.getsockname()[0] == "127.0.0.2"
        assert sock.getpeername() == other.getsockname()


def test_a_socket_that_is_not_udp_is_refused_and_left_open() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp:
        with pytest.raises(ValueError, match="must be a UDP socket"):
            take_socket(tcp)
        assert tcp.fileno() != -1


@linux_only
@pytest.mark.parametrize(
    ("family", "host"),
    [
        (socket.AF_INET, "127.0.0.1"),
        pytest.param(socket.AF_INET6, "::1", marks=needs_ipv6),
    ],
)
def test_the_route_over_loopback_has_the_largest_mtu(family: int, host: str) -> None:
    assert path_mtu(family, (host, 9)) == 65535


def test_a_route_that_nobody_knows_has_no_mtu() -> None:
    assert path_mtu(socket.AF_INET, ("255.255.255.255", 9)) is None
