"""`create_connection`, `create_server` and their stream forms: names become addresses, those become
endpoints.

The keywords are asyncio's, as are the order in which addresses are tried (RFC 8305 with
`happy_eyeballs_delay`) and the errors. Added are `config` and `udp_port`.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import itertools
import socket
from asyncio import staggered
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

from rudp.core.config import DEFAULT_CONFIG, Config
from rudp.datagrams import Address, bind_socket, connect_socket, take_socket
from rudp.endpoint import Endpoint
from rudp.linger import keeper
from rudp.server import Server
from rudp.streams import DEFAULT_LIMIT, ClientCallback, streams_over, streams_served_by
from rudp.transport import Transport

_P = TypeVar("_P", bound=asyncio.BaseProtocol)
Host = str | bytes | None
AddrInfo = tuple[int, int, int, str, Address]

_NUMERIC_HOST: Final = int(socket.AI_NUMERICHOST)

SAME_PORT_TRIES: Final = 16
"""How often port 0 on several addresses is tried until one port is free on all of them."""


async def open_connection(
    host: Host = None,
    port: int | str | None = None,
    *,
    limit: int = DEFAULT_LIMIT,
    **options: Any,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect and return (reader, writer), as `asyncio.open_connection` does over TCP.

    `limit` bounds the reader's buffer, in bytes. All other keywords are `create_connection`'s,
    which says what is raised and what cancelling does. When done: `writer.close()`, then `await
    writer.wait_closed()`, which returns when all that was written and the FIN are acknowledged,
    and raises `OSError` if they never are.
    """
    return await streams_over(
        functools.partial(create_connection, host=host, port=port, **options), limit
    )


async def start_server(
    client_connected_cb: ClientCallback,
    host: Host | Sequence[str] = None,
    port: int | str | None = None,
    *,
    limit: int = DEFAULT_LIMIT,
    **options: Any,
) -> Server:
    """Listen, and call `client_connected_cb(reader, writer)` for each connection.

    It may be a plain function or a coroutine function, which becomes a task. All other keywords are
    `create_server`'s, which says what is raised.
    """
    return await create_server(
        streams_served_by(client_connected_cb, limit), host, port, **options
    )


async def create_connection(
    protocol_factory: Callable[[], _P],
    host: Host = None,
    port: int | str | None = None,
    *,
    config: Config | None = None,
    udp_port: int | None = None,
    ssl: Any = None,
    family: int = 0,
    proto: int = 0,
    flags: int = 0,
    sock: socket.socket | None = None,
    local_addr: tuple[str, int] | None = None,
    server_hostname: str | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
    happy_eyeballs_delay: float | None = None,
    interleave: int | None = None,
    all_errors: bool = False,
) -> tuple[Transport, _P]:
    """Connect to TCP port `port` at `host`; returns (transport, protocol) once that is done.

    The keywords are those of `loop.create_connection`, with these differences. `udp_port` is the
    server's UDP port where it differs from `port`. `sock` is a UDP socket, connected to the
    server or bound; with a connected one, `port` is needed only if it is not the UDP port.
    `local_addr` is (host, port) for the UDP socket, and that port is the connection's TCP port
    too, unless 0.

    Raises `ConnectionRefusedError` (a RST, or ICMP), `TimeoutError` with `errno.ETIMEDOUT` after
    `config.connect_timeout` seconds, `socket.gaierror` for a name that does not resolve, or another
    `OSError`; an `ExceptionGroup` of all of them with `all_errors`. Cancelling resets what was half
    open and closes the socket.
    """
    _refuse_tls(
        ssl,
        server_hostname=server_hostname,
        ssl_handshake_timeout=ssl_handshake_timeout,
        ssl_shutdown_timeout=ssl_shutdown_timeout,
    )
    if sock is not None:
        if host is not None:
            raise ValueError("host/port and sock can not be specified at the same time")
        return await _connect_over(protocol_factory, sock, port, config)
    if host is None and port is None:
        raise ValueError("host and port was not specified and no sock specified")
    loop = asyncio.get_running_loop()
    tcp_port = await _port_number(loop, port)
    infos = await _resolve(loop, host, tcp_port if udp_port is None else udp_port, family, flags)
    local_infos = None
    if local_addr is not None:
        local_infos = await _resolve(loop, local_addr[0], local_addr[1], family, flags)
    if interleave or (happy_eyeballs_delay is not None and interleave is None):
        infos = _interleave(infos, interleave or 1)

    attempts = [
        functools.partial(_attempt, protocol_factory, info, local_infos, tcp_port, config)
        for info in infos
    ]
    if happy_eyeballs_delay is None:
        exceptions: list[Exception] = []
        for attempt in attempts:
            try:
                return await attempt()
            except OSError as exc:
                exceptions.append(exc)
    else:
        winner, _, results = await staggered.staggered_race(
            attempts, happy_eyeballs_delay, loop=loop
        )
        if winner is not None:
            won: tuple[Transport, _P] = winner
            return won
        exceptions = [exc for exc in results if isinstance(exc, Exception)]
    raise _combined(exceptions, all_errors)


async def create_server(
    protocol_factory: Callable[[], asyncio.BaseProtocol],
    host: Host | Sequence[str] = None,
    port: int | str | None = None,
    *,
    config: Config | None = None,
    udp_port: int | None = None,
    family: int = socket.AF_UNSPEC,
    flags: int = socket.AI_PASSIVE,
    sock: socket.socket | None = None,
    backlog: int | None = None,
    ssl: Any = None,
    reuse_address: bool | None = None,
    reuse_port: bool | None = None,
    keep_alive: bool | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
    start_serving: bool = True,
) -> Server:
    """Listen for connections; each gets a protocol from `protocol_factory`.

    The keywords are those of `loop.create_server`, with these differences. `port` is the TCP port,
    and the UDP port too unless `udp_port` says another. Port 0 takes one that is free, the same on
    all addresses. `sock` is a bound UDP socket. `backlog` (default `config.backlog`) limits the
    handshakes that are not complete. `reuse_address` means nothing to UDP and is ignored;
    `keep_alive` is `Config.keepalive`.

    Raises `OSError` (`EADDRINUSE`, `EADDRNOTAVAIL`) if an address cannot be bound,
    `socket.gaierror` for a name that does not resolve.
    """
    _refuse_tls(
        ssl,
        ssl_handshake_timeout=ssl_handshake_timeout,
        ssl_shutdown_timeout=ssl_shutdown_timeout,
    )
    if keep_alive:
        raise ValueError("keep_alive: use config=rudp.Config(keepalive=rudp.Keepalive())")
    config = config or DEFAULT_CONFIG
    loop = asyncio.get_running_loop()
    tcp_port: int | None = None
    if sock is not None:
        if host is not None or port is not None:
            raise ValueError("host/port and sock can not be specified at the same time")
        sockets = [take_socket(sock)]
    elif host is None and port is None:
        raise ValueError("Neither host/port nor sock were specified")
    else:
        tcp_port = await _port_number(loop, port)
        outer_port = tcp_port if udp_port is None else udp_port
        hosts = await _server_addresses(loop, host, outer_port, family, flags)
        sockets = _bind_all(loop, hosts, reuse_port)
    endpoints: list[Endpoint] = []
    try:
        for each in sockets:
            endpoints.append(await Endpoint.over(each, config))
        backlog = backlog or config.backlog
        server = Server(loop, endpoints, tcp_port, protocol_factory, backlog, owns=True)
        if start_serving:
            server.listen()
    except BaseException:
        for each in sockets[len(endpoints) :]:
            each.close()
        for endpoint in endpoints:
            endpoint.abort()
        raise
    return server


# -- connecting ----------------------------------------------------------------------------------


async def _attempt(
    protocol_factory: Callable[[], _P],
    info: AddrInfo,
    local_infos: Sequence[AddrInfo] | None,
    tcp_port: int,
    config: Config | None,
) -> tuple[Transport, _P]:
    """Try one address, over a UDP socket that no other connection uses."""
    family, _, _, _, remote = info
    kept = keeper(asyncio.get_running_loop())
    config = config or DEFAULT_CONFIG
    local = None
    if local_infos is not None:
        local = next((each[4] for each in local_infos if each[0] == family), None)
        if local is None:
            raise OSError(errno.EADDRNOTAVAIL, f"no matching local address with {family=} found")
        kept.make_way(local[0], local[1])
    engine = kept.wake(remote, config) if local is None else None
    if engine is not None:
        endpoint = Endpoint(engine)
    else:
        sock = connect_socket(family, remote, local)
        endpoint = await Endpoint.over(sock, config, connected=sock.getpeername())
        endpoint.engine.reusable = local is None
    return await _connect_with(protocol_factory, endpoint, tcp_port, local[1] if local else 0)


async def _connect_over(
    protocol_factory: Callable[[], _P],
    sock: socket.socket,
    port: int | str | None,
    config: Config | None,
) -> tuple[Transport, _P]:
    """Connect over the user's own, connected UDP socket."""
    take_socket(sock)
    try:
        remote: Address = sock.getpeername()
    except OSError:
        raise ValueError(
            f"sock= has to be a UDP socket that is connected to the server: {sock!r} is not; "
            "use rudp.Endpoint.open(sock=...) for one that is only bound"
        ) from None
    tcp_port = await _port_number(asyncio.get_running_loop(), port) or remote[1]
    endpoint = await Endpoint.over(sock, config, connected=remote)
    return await _connect_with(protocol_factory, endpoint, tcp_port, 0)


async def _connect_with(
    protocol_factory: Callable[[], _P], endpoint: Endpoint, tcp_port: int, local_port: int
) -> tuple[Transport, _P]:
    """Connect over an endpoint whose UDP socket is connected to the server's."""
    remote = endpoint.engine.connected
    assert remote is not None
    try:
        return await endpoint.connect(protocol_factory, remote, tcp_port, local_port)
    finally:
        # The endpoint is this connection's: it goes when the connection does.
        endpoint.disown()


def _combined(exceptions: list[Exception], all_errors: bool) -> Exception:
    """One exception for all attempts, as asyncio raises it."""
    if all_errors:
        return ExceptionGroup("create_connection failed", exceptions)
    if not exceptions:
        return OSError("Connecting was given up before any address answered")
    if len(exceptions) == 1 or all(str(e) == str(exceptions[0]) for e in exceptions):
        return exceptions[0]
    return OSError(f"Multiple exceptions: {', '.join(str(exc) for exc in exceptions)}")


# -- listening -----------------------------------------------------------------------------------


async def _server_addresses(
    loop: asyncio.AbstractEventLoop,
    host: Host | Sequence[str],
    port: int,
    family: int,
    flags: int,
) -> list[AddrInfo]:
    """The addresses of one host, of several, or of all interfaces ('' and None)."""
    hosts: Sequence[Host]
    if host == "" or host is None:
        hosts = [None]
    elif isinstance(host, str | bytes) or not isinstance(host, Iterable):
        hosts = [host]
    else:
        hosts = list(host)
    lists = [await _resolve(loop, each, port, family, flags) for each in hosts]
    return list(dict.fromkeys(itertools.chain.from_iterable(lists)))


def _bind_all(
    loop: asyncio.AbstractEventLoop, infos: Sequence[AddrInfo], reuse_port: bool | None
) -> list[socket.socket]:
    """A UDP socket for each address, all with the same port."""
    tries = SAME_PORT_TRIES if infos[0][4][1] == 0 and len(infos) > 1 else 1
    for remaining in reversed(range(tries)):
        sockets: list[socket.socket] = []
        try:
            for family, _, _, _, addr in infos:
                if sockets and addr[1] == 0:
                    addr = (addr[0], sockets[0].getsockname()[1], *addr[2:])
                keeper(loop).make_way(addr[0], addr[1])
                sockets.append(bind_socket(family, addr, reuse_port))
        except BaseException as exc:
            for sock in sockets:
                sock.close()
            if isinstance(exc, OSError) and exc.errno == errno.EADDRINUSE and remaining:
                continue
            if isinstance(exc, OSError) and exc.errno == errno.EAFNOSUPPORT and len(infos) > 1:
                # As asyncio: an interface without IPv6 is no reason not to serve IPv4.
                return _bind_all(loop, [i for i in infos if i[0] != family], reuse_port)
            raise
        return sockets
    raise AssertionError("unreachable")


# -- names ---------------------------------------------------------------------------------------


async def _port_number(loop: asyncio.AbstractEventLoop, port: int | str | None) -> int:
    """`port` may be a service's name."""
    if port is None or port == "":
        return 0
    if isinstance(port, str) and not port.isdigit():
        infos = await loop.getaddrinfo(None, port, type=socket.SOCK_STREAM)
        return int(infos[0][4][1])
    number = int(port)
    if not 0 <= number <= 65535:
        raise OverflowError(f"port has to be from 0 to 65535, not {number}")
    return number


async def _resolve(
    loop: asyncio.AbstractEventLoop, host: Host, port: int, family: int, flags: int
) -> list[AddrInfo]:
    infos: Any
    # An address needs no resolver, and so no thread.
    if family in (socket.AF_UNSPEC, socket.AF_INET) and _is_ipv4(host):
        return [(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDP, "", (host, port))]
    try:
        numeric = flags | _NUMERIC_HOST
        infos = socket.getaddrinfo(host, port, family, socket.SOCK_DGRAM, 0, numeric)
    except socket.gaierror:
        infos = await loop.getaddrinfo(
            host, port, family=family, type=socket.SOCK_DGRAM, flags=flags
        )
    if not infos:
        raise OSError(errno.EADDRNOTAVAIL, f"getaddrinfo({host!r}) returned empty list")
    return list(infos)


def _is_ipv4(host: Host) -> bool:
    """`host` is an IPv4 address in full, and as the system writes it."""
    try:
        return isinstance(host, str) and bool(socket.inet_pton(socket.AF_INET, host))
    except (OSError, UnicodeError):
        return False


def _interleave(infos: Sequence[AddrInfo], first: int) -> list[AddrInfo]:
    """RFC 8305 section 4: the families in turn, with `first` addresses of the first family
    ahead."""
    families: dict[int, list[AddrInfo]] = {}
    for info in infos:
        families.setdefault(info[0], []).append(info)
    lists = list(families.values())
    ahead, lists[0] = lists[0][: first - 1], lists[0][first - 1 :]
    rounds = itertools.zip_longest(*lists)
    return ahead + [info for each in rounds for info in each if info is not None]


def _refuse_tls(ssl: Any, **companions: Any) -> None:
    if ssl:
        raise NotImplementedError("rudp does not set up TLS itself yet: leave out ssl=")
    for name, value in companions.items():
        if value is not None:
            raise ValueError(f"{name} is only meaningful with ssl")
