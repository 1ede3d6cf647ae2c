"""Every tunable and every limit of a connection and of an endpoint, in one frozen object.

Seconds are float, sizes are bytes; any other unit is said at the field. A limit on what a peer can
make grow stands here too, so that the whole of what a connection may cost can be read in one
place.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

from rudp.core.congestion import ALGORITHMS, CongestionControl, WindowBased

KIB: Final = 1024
MIB: Final = 1024 * KIB

MIN_MSS: Final = 216
"""No segment size below this is used, whatever the peer announces: smaller ones are an attack
(CVE-2019-11479), and no path that carries UDP needs them."""

MAX_WINDOW: Final = 65535 << 14
"""The largest window that RFC 7323 section 2.3 can express."""


@dataclass(frozen=True)
class Keepalive:
    """Probing of an idle connection (RFC 9293 section 3.8.4).

    `idle` seconds of silence start it, then a probe goes out every `interval` seconds, and after
    `count` unanswered ones the connection ends with `TimeoutError`.
    """

    idle: float = 7200.0  # MUST-28: the default is no less than two hours.
    interval: float = 75.0
    count: int = 9

    def __post_init__(self) -> None:
        for name in ("idle", "interval"):
            value = getattr(self, name)
            _require_number(f"keepalive.{name}", value, (int, float))
            # More often than that, the other side takes it for an attack and does not answer.
            _require(value >= 1, f"keepalive.{name}", value, "at least 1 second")
        _require_number("keepalive.count", self.count, (int,))
        _require(self.count >= 1, "keepalive.count", self.count, "at least 1 probe")


@dataclass(frozen=True)
class Config:
    """How a connection behaves and what it may cost. Immutable; `dataclasses.replace` varies it.

    Raises `ValueError` or `TypeError` on construction, naming the field, what it was and what it
    has to be.
    """

    # Segments ------------------------------------------------------------------------------
    mss: int | None = None
    """Upper limit of the segment size announced and used, in bytes of TCP payload and options
    (RFC 9293 section 3.7.1). None: what the path's MTU leaves."""
    path_mtu_discovery: bool = True
    """Begin with datagrams of 1200 bytes, which every path carries, and find out by probes how much
    more it does (RFC 8899); fall back when a path gets narrower and nobody says so. False, and
    where the system cannot be kept from fragmenting: what the route's MTU leaves, at once."""
    nodelay: bool = True
    """True sends small segments at once, as asyncio's TCP does; False applies Nagle's algorithm
    (RFC 9293 section 3.7.4)."""
    delayed_ack: float = 0.040
    """Longest wait before data is acknowledged, in seconds, below 0.5 (RFC 9293 section 3.8.6.3).
    0 acknowledges every segment at once."""

    # Congestion control and retransmission -------------------------------------------------
    congestion: str | type[CongestionControl] = "bbr"
    """Congestion control: "reno", "cubic", "bbr" or "ledbat++", or a class of your own, made from
    `rudp.CongestionControl` or `rudp.WindowBased`. See docs/congestion.md."""
    initial_window: int = 10
    """Initial congestion window in segments (RFC 6928)."""
    initial_rto: float = 1.0
    """RTO before the first round-trip sample, in seconds (RFC 6298 section 2.1)."""
    min_rto: float = 0.2
    """Least RTO in seconds. Deviation: RFC 6298 section 2.4 says 1 second; every current kernel
    uses 0.2, since clocks are finer than they were."""
    max_rto: float = 60.0
    """Greatest RTO, and greatest interval between zero-window probes, in seconds."""
    linear_timeouts: int = 20
    """Timeouts in a row for which the back-off of the RTO pauses at half a second. Deviation: RFC
    6298 section 5.5 doubles it each time. Radio links go away for seconds and come back at any
    moment, and one segment in half a second is no load; after these it is doubled on. 0: never."""
    r1: int = 3
    """Retransmissions of a segment before a warning is logged (RFC 9293 section 3.8.3)."""
    r2: float = 100.0
    """Seconds without an acknowledgment before the connection is given up (SHLD-11)."""

    # Life of a connection ------------------------------------------------------------------
    connect_timeout: float = 180.0
    """Seconds that SYNs are sent for before the attempt fails (MUST-23: at least 3 minutes by
    default)."""
    syn_ack_retransmissions: int = 5
    """How often an unanswered SYN-ACK is repeated. Each SYN of the peer is worth three datagrams
    altogether, since its address may be forged."""
    keepalive: Keepalive | None = None
    """Keepalive probes; off by default (MUST-25)."""
    user_timeout: float | None = None
    """Seconds that data may stay unacknowledged, or that a peer may keep its window shut, before
    the connection is aborted (RFC 5482). So is one whose window is so small that it takes less than
    a segment in that time. None: `r2` for lost data; and for a window that is shut or small no
    limit as long as the peer answers (MUST-37) and the application has not closed: a server for
    strangers should set one. As with every limit of time here, seconds in which this process stood
    still do not count."""
    fin_wait_2_timeout: float = 60.0
    """Seconds that a fully closed connection waits for the peer's FIN."""
    msl: float = 30.0
    """Maximum segment lifetime in seconds; TIME-WAIT lasts twice that. Deviation: RFC 9293
    section 3.4.1 says two minutes, an "engineering choice"; this one is Linux's."""
    linger: float = 1.0
    """Seconds that an ending event loop waits for closed connections to deliver what was
    written."""

    # Memory --------------------------------------------------------------------------------
    send_buffer: int = 16 * MIB
    """Most bytes in flight, sent but not yet acknowledged."""
    receive_buffer: int = 8 * MIB
    """Most bytes received and not yet read by the application; bounds the advertised window."""
    receive_autotuning: bool = True
    """Start with a small window and let it grow to `receive_buffer` as the traffic needs it."""
    dormant_after: float | None = 0.25
    """Seconds of rest, with nothing under way, unread or owed, after which a connection is packed
    into a few hundred bytes until its next use, which costs a few hundred microseconds; twice as
    many seconds each time that the use came within a minute. None: never. It never is with a
    congestion control of your own."""
    max_reassembly_ranges: int = 1024
    """Most separate ranges of out-of-order data that are held."""
    max_flight_ranges: int = 8192
    """Most separate ranges that a peer's SACKs may cut the data in flight into."""

    # Options of the handshake --------------------------------------------------------------
    window_scaling: bool = True
    """Offer and accept window scaling (RFC 7323 section 2)."""
    timestamps: bool = True
    """Offer and accept timestamps (RFC 7323 section 3)."""
    sack: bool = True
    """Offer and accept selective acknowledgments (RFC 2018)."""
    ecn: bool = True
    """Offer and accept Explicit Congestion Notification (RFC 3168), where the socket gives access
    to the ECN field of the IP header (Linux)."""

    # The endpoint --------------------------------------------------------------------------
    backlog: int = 100
    """Most connections of a listener whose handshake is not complete; further SYNs are answered by
    SYN cookies (RFC 4987), and nothing of them is kept."""
    max_connections: int = 65536
    """Most connections of an endpoint."""
    max_time_wait: int = 16384
    """Most connections of an endpoint in TIME-WAIT; the oldest makes room."""
    busy_poll: float = 0.0002
    """Seconds, 0.01 at most, that an endpoint stays awake after it has sent something short, where
    answers have been as quick as that: between two programs on one host, it spares both the price
    of sleeping and waking up. 0: never. See docs/performance.md."""

    def __post_init__(self) -> None:
        _check_types(self)
        _check_ranges(self)

    def congestion_control(self) -> type[CongestionControl]:
        """The class behind `congestion`."""
        if isinstance(self.congestion, str):
            return ALGORITHMS[self.congestion]
        return self.congestion


def _require(condition: bool, name: str, value: object, wanted: str) -> None:
    if not condition:
        raise ValueError(f"Config.{name} is {value!r}; it has to be {wanted}")


def _require_number(name: str, value: object, kinds: tuple[type, ...]) -> None:
    if isinstance(value, bool) or not isinstance(value, kinds):
        wanted = "a number" if float in kinds else "an integer"
        raise TypeError(f"Config.{name} is {value!r}; it has to be {wanted}")


_BOOLEANS: Final = (
    "path_mtu_discovery",
    "nodelay",
    "receive_autotuning",
    "window_scaling",
    "timestamps",
    "sack",
    "ecn",
)
_OTHERS: Final = ("congestion", "keepalive")


def _check_types(config: Config) -> None:
    for field in fields(config):
        name, value = field.name, getattr(config, field.name)
        if name in _OTHERS or (value is None and "None" in str(field.type)):
            continue
        if name in _BOOLEANS:
            if not isinstance(value, bool):
                raise TypeError(f"Config.{name} is {value!r}; it has to be True or False")
            continue
        whole = isinstance(field.default, int) or name == "mss"
        _require_number(name, value, (int,) if whole else (int, float))
    if config.keepalive is not None and not isinstance(config.keepalive, Keepalive):
        raise TypeError(f"Config.keepalive is {config.keepalive!r}; use rudp.Keepalive() or None")
    congestion = config.congestion
    if isinstance(congestion, str):
        known = ", ".join(sorted(ALGORITHMS))
        _require(congestion in ALGORITHMS, "congestion", congestion, f"one of {known}, or a class")
    elif not (isinstance(congestion, type) and issubclass(congestion, CongestionControl)):
        raise TypeError(
            f"Config.congestion is {congestion!r}; it has to be a name or a subclass of "
            "rudp.CongestionControl"
        )
    else:
        _check_algorithm(congestion)


def _check_algorithm(algorithm: type[CongestionControl]) -> None:
    """What a class of the user's has to override, better said now than by the first ACK."""
    base: type[CongestionControl] = CongestionControl
    required: tuple[str, ...] = ("on_ack", "on_loss", "on_timeout")
    if issubclass(algorithm, WindowBased) and algorithm.on_ack is WindowBased.on_ack:
        base, required = WindowBased, ("grow", "reduced")
    missing = [name for name in required if getattr(algorithm, name) is getattr(base, name)]
    if missing:
        raise TypeError(
            f"Config.congestion is {algorithm!r}; it has to override {' and '.join(missing)} of "
            f"rudp.{base.__name__}"
        )


def _check_ranges(c: Config) -> None:
    if c.mss is not None:
        _require(MIN_MSS <= c.mss <= 65535, "mss", c.mss, f"from {MIN_MSS} to 65535 bytes")
    _require(0 <= c.delayed_ack < 0.5, "delayed_ack", c.delayed_ack, "from 0 to below 0.5 s")
    _require(c.initial_window >= 1, "initial_window", c.initial_window, "at least 1 segment")
    _require(c.min_rto >= 0.001, "min_rto", c.min_rto, "at least 0.001 s")
    _require(c.min_rto <= c.max_rto, "max_rto", c.max_rto, "no less than min_rto")
    _require(
        c.min_rto <= c.initial_rto <= c.max_rto,
        "initial_rto",
        c.initial_rto,
        "between min_rto and max_rto",
    )
    for name in ("r2", "connect_timeout", "fin_wait_2_timeout"):
        _require(getattr(c, name) > 0, name, getattr(c, name), "a positive number of seconds")
    for name in ("msl", "linger", "r1", "syn_ack_retransmissions", "linear_timeouts"):
        _require(getattr(c, name) >= 0, name, getattr(c, name), "0 or more")
    _require(0 <= c.busy_poll <= 0.01, "busy_poll", c.busy_poll, "from 0 to 0.01 s")
    if c.user_timeout is not None:
        _require(c.user_timeout > 0, "user_timeout", c.user_timeout, "seconds above 0, or None")
    if c.dormant_after is not None:
        _require(c.dormant_after > 0, "dormant_after", c.dormant_after, "seconds above 0, or None")
    for name in ("send_buffer", "receive_buffer"):
        value = getattr(c, name)
        _require(2 * KIB <= value <= MAX_WINDOW, name, value, f"from 2048 to {MAX_WINDOW} bytes")
    for name in ("max_reassembly_ranges", "max_flight_ranges"):
        _require(getattr(c, name) >= 16, name, getattr(c, name), "at least 16 ranges")
    for name in ("backlog", "max_connections", "max_time_wait"):
        _require(getattr(c, name) >= 1, name, getattr(c, name), "at least 1")


DEFAULT_CONFIG: Final = Config()
"""What applies where nothing else is asked for."""
