"""One connection against a scripted peer, in virtual time.

    script = Script()
    script.established(mss=1000)
    script.write(b"hello")
    script.expect('> P. 1:6(5) ack 1 "hello"')
    script.inject("< . 1:1(0) ack 6")
    script.expect_nothing()

The script plays the peer and the clock; the connection answers. What it sends is split and encoded
by the codec, and read back from the bytes by `tests.notation`, so what an expectation states is
what is on the wire. Every expectation is about all that was sent since the one before: these
segments, and nothing more. A failure shows the dialogue up to it.

The harness adds checks of its own to every segment: the codec reads the same numbers from it, the
ports are right, and data is what was written at that place in the stream. The peer's data, where a
line has no literal, is `peer_data`, so that each byte says where it belongs.

Times are seconds since the script began. Not for two cores talking to each other: see `tests.sim`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Final, NoReturn

from rudp.core import codec
from rudp.core.config import Config
from rudp.core.connection import Connection, open_active, open_passive
from rudp.core.events import Event
from rudp.core.segment import CE
from rudp.core.state import State
from tests.notation import (
    NOP,
    RST,
    TIMESTAMPS,
    Line,
    Option,
    Origin,
    brief,
    decode,
    difference,
    encode,
    parse,
)

LOCAL_PORT: Final = 40000
PEER_PORT: Final = 9000

# Both wrap within the first segments of a stream.
ISS: Final = 2**32 - 1000
PEER_ISS: Final = 2**32 - 500

# The clock does not begin at 0, which would hide a deadline that is not set; a power of two keeps
# the fractions of the seconds that a script counts.
_EPOCH: Final = 1024.0
_TOLERANCE: Final = 1e-4
_SPINS: Final = 1000

_PERIOD: Final = bytes(place * 7 % 251 for place in range(251))


def peer_data(offset: int, length: int) -> bytes:
    """The peer's stream from `offset` on; it repeats after 251 bytes, a prime, so that a slip
    shows."""
    start = offset % len(_PERIOD)
    return (_PERIOD * (length // len(_PERIOD) + 2))[start : start + length]


def by_hand(config: Config | None) -> Config:
    """With Reno in place of the default, and the RFC's back-off: both can be worked out by hand."""
    config, standard = config or Config(), Config()
    if config.congestion == standard.congestion:
        config = replace(config, congestion="reno")
    if config.linear_timeouts == standard.linear_timeouts:
        config = replace(config, linear_timeouts=0)
    return config


class Script:
    """A connection under test, the peer that talks to it, and the clock of both."""

    def __init__(
        self,
        *,
        iss: int = ISS,
        peer_iss: int = PEER_ISS,
        super_segments: bool = False,
    ) -> None:
        self._origin = Origin(seq=iss, ack=peer_iss)
        self._super_segments = super_segments
        self._now = _EPOCH
        self._connection: Connection | None = None
        self._sent: list[Line] = []
        self._marks: list[int] = []
        self._events: list[Event] = []
        self._dialogue: list[str] = []
        self._written = bytearray()
        self._read = 0
        self._timestamps = False
        self._latest_ts = 0
        self.peer_window = 65535
        """The window field of an injected segment that does not state one."""
        self.more = False
        """What the connection is told of the application: whether it is about to act."""

    # The connection, seen from outside ---------------------------------------------------

    @property
    def connection(self) -> Connection:
        """The connection under test."""
        assert self._connection is not None, "active() or passive() comes first"
        return self._connection

    @property
    def state(self) -> State:
        """The connection's state."""
        return self.connection.state

    @property
    def now(self) -> float:
        """Seconds since the script began."""
        return self._now - _EPOCH

    @property
    def deadline(self) -> float:
        """The connection's next deadline, in seconds since the script began."""
        return self.connection.next_deadline() - _EPOCH

    def events(self) -> list[Event]:
        """The events since the last call."""
        events, self._events = self._events, []
        return events

    # Opening -----------------------------------------------------------------------------

    def active(
        self,
        config: Config | None = None,
        *,
        mss: int = 1460,
        path_mss: int = 0,
        ts_offset: int = 0,
        ecn: bool = False,
    ) -> None:
        """Active OPEN. The SYN is left for an expectation."""
        self._say("active open")
        self._connection = open_active(
            by_hand(config),
            local_port=LOCAL_PORT,
            peer_port=PEER_PORT,
            iss=self._origin.seq,
            now=self._now,
            mss=mss,
            path_mss=path_mss,
            ts_offset=ts_offset,
            ecn=ecn,
        )
        self._poll()

    def passive(
        self,
        syn: str = "< S 0:0(0) win 65535 <mss 1460>",
        config: Config | None = None,
        *,
        mss: int = 1460,
        ts_offset: int = 0,
        ecn: bool = False,
    ) -> None:
        """A listener of ours receives `syn`. The SYN-ACK is left for an expectation."""
        self._connection = open_passive(
            by_hand(config),
            iss=self._origin.seq,
            syn=codec.decode(self._datagram(parse(syn))),
            now=self._now,
            mss=mss,
            ts_offset=ts_offset,
            ecn=ecn,
        )
        self._poll()

    def established(
        self,
        *,
        config: Config | None = None,
        passive: bool = False,
        mss: int = 1460,
        wscale: int | None = None,
        sack: bool = True,
        ts: bool = False,
        ecn: bool = False,
        win: int = 65535,
        local_mss: int = 1460,
    ) -> None:
        """Do the handshake with a peer that offers these options, and check each step of it.

        Once it is done, injected segments have the window field `win` unless they state another,
        and carry the timestamps that a peer would send, if both sides agreed on them.
        """
        config = by_hand(config)
        self.peer_window = win
        ours = _options(config.sack, config.timestamps, config.window_scaling)
        agreed = _options(
            config.sack and sack,
            config.timestamps and ts,
            config.window_scaling and wscale is not None,
        )
        offer = [f"mss {mss}"]
        offer += ["sackOK"] if sack else []
        offer += [f"TS val {self._peer_clock()} ecr {{ecr}}"] if ts else []
        offer += [f"nop,wscale {wscale}"] if wscale is not None else []
        options = f"<{','.join(offer)}>"
        if passive:
            syn = f"< {'SEW' if ecn else 'S'} 0:0(0) win {win} {options.format(ecr=0)}"
            self.passive(syn, config, mss=local_mss, ecn=ecn)
            accept = "S.E" if ecn else "S."
            self.expect(f"> {accept} 0:0(0) ack 1 {agreed.format(ecr=self._peer_clock())}")
            self._timestamps = ts and config.timestamps
            self.inject("< . 1:1(0) ack 1")
            self.expect_nothing()
        else:
            self.active(config, mss=local_mss, ecn=ecn)
            self.expect(f"> {'SEW' if ecn else 'S'} 0:0(0) {ours.format(ecr=0)}")
            self._timestamps = ts and config.timestamps
            accept = "S.E" if ecn else "S."
            echo = self._latest_ts
            self.inject(f"< {accept} 0:0(0) ack 1 win {win} {options.format(ecr=echo)}")
            self.expect("> . 1:1(0) ack 1")
        if self.state is not State.ESTABLISHED or self.events() != [Event.ESTABLISHED]:
            self._fail("the handshake did not establish the connection")

    # Inputs ------------------------------------------------------------------------------

    def inject(self, *lines: str, ce: bool = False) -> None:
        """The peer's segments arrive, all in one wake-up: they are coalesced and all received
        before the connection is asked for what it has to send. `ce`: routers have marked them."""
        self.inject_datagrams(*(self._datagram(parse(line)) for line in lines), ce=ce)

    def inject_datagrams(self, *datagrams: bytes, ce: bool = False) -> None:
        """As `inject`, for bytes. What does not decode goes no further, as in the endpoint."""
        segments, undecodable = codec.coalesce(datagrams)
        if undecodable:
            self._say(f"{undecodable} undecodable")
        for segment in segments:
            segment.ecn = CE if ce else 0
            self.connection.receive(segment, self._now)
        self._poll()

    def advance(self, seconds: float) -> None:
        """Let time pass, and every deadline in it."""
        self._run_to(self._now + seconds)

    def write(self, data: bytes) -> None:
        """The user writes."""
        self._written += data
        self._call(f"write({len(data)})", lambda: self.connection.write(data))

    def read(self, max_bytes: int = 1 << 30) -> bytes:
        """The user reads, in as many pieces as it takes, what there is or `max_bytes` of it."""
        pieces = []
        while max_bytes and (piece := self.connection.read(max_bytes)):
            pieces.append(piece)
            max_bytes -= len(piece)
        data = b"".join(pieces)
        self._say(f"read: {len(data)}")
        self._read += len(data)
        self._poll()
        return data

    def write_eof(self) -> None:
        """The user closes the writing half."""
        self._call("write_eof", self.connection.write_eof)

    def close(self) -> None:
        """The user closes both halves."""
        self._call("close", self.connection.close)

    def abort(self, reason: str = "") -> None:
        """The user aborts."""
        self._call("abort", lambda: self.connection.abort(reason))

    # Expectations ------------------------------------------------------------------------

    def expect(self, *lines: str) -> None:
        """Exactly these segments were sent since the last expectation."""
        __tracebackhide__ = True
        expected = [parse(line) for line in lines]
        sent, self._sent = self._sent, []
        for want, found in zip(expected, sent, strict=False):
            what = difference(want, found)
            if what is not None:
                self._fail(f"not as expected: {what}", *_versus(want, found))
        if len(sent) < len(expected):
            missing = [f"expected {line}" for line in lines[len(sent) :]]
            self._fail("a segment is missing", *missing)
        if len(sent) > len(expected):
            surplus = [f"not expected {brief(line)}" for line in sent[len(expected) :]]
            self._fail("more was sent than expected", *surplus)

    def expect_nothing(self) -> None:
        """Nothing was sent since the last expectation."""
        __tracebackhide__ = True
        self.expect()

    def expect_at(self, moment: float, *lines: str) -> None:
        """Nothing is sent before `moment`, and then exactly these segments."""
        __tracebackhide__ = True
        target = _EPOCH + moment
        assert target >= self._now, f"it is {self.now:.4f} already"
        self._run_to(target - _TOLERANCE)
        if self._sent:
            self._fail(f"nothing was to be sent before {moment:.4f}")
        self._run_to(target, slack=_TOLERANCE)
        self.expect(*lines)

    def expect_after(self, seconds: float, *lines: str) -> None:
        """As `expect_at`, counted from now."""
        __tracebackhide__ = True
        self.expect_at(self.now + seconds, *lines)

    def expect_read(self, length: int) -> None:
        """The user reads all there is, and finds the next `length` bytes of `peer_data`."""
        __tracebackhide__ = True
        start = self._read
        data = self.read()
        if data != peer_data(start, length):
            self._fail(f"{len(data)} bytes were read, {length} expected, or their content is wrong")

    def sent(self) -> list[Line]:
        """Take what was sent since the last expectation without expecting anything of it."""
        sent, self._sent = self._sent, []
        return sent

    def marks(self) -> list[int]:
        """The ECN field of each datagram sent since the last call."""
        marks, self._marks = self._marks, []
        return marks

    def dialogue(self) -> str:
        """All that happened so far, a line for each input and each segment."""
        return "\n".join(self._dialogue)

    # Within ------------------------------------------------------------------------------

    def _run_to(self, target: float, slack: float = 0.0) -> None:
        """Fire each deadline up to `target`, or as much later as `slack` allows."""
        spins = 0
        while (deadline := self.connection.next_deadline()) <= target + slack:
            spins = spins + 1 if deadline <= self._now else 0
            if spins > _SPINS:
                self._fail(f"the deadline stays at {deadline - _EPOCH:.6f}")
            self._now = max(self._now, deadline)
            self.connection.handle_timeout(self._now)
            self._poll()
        self._now = max(self._now, target)

    def _call(self, what: str, method: Callable[[], object]) -> None:
        self._say(what)
        method()
        self._poll()

    def _poll(self) -> None:
        """Ask for the outputs in the order that the contract of the core gives."""
        connection = self.connection
        for segment in connection.segments_to_send(self._now, self.more):
            # Before the handshake there is no MSS to cut to, and nothing to cut.
            mss = connection.send_mss or codec.MAX_SUPER
            mss = codec.MAX_SUPER if self._super_segments else mss
            for header, payload in codec.split(segment, mss):
                self._send(bytes(header) + bytes(payload))
                self._marks.append(segment.ecn)
        while (event := connection.next_event()) is not None:
            self._say(f"event {event.name}, {connection.state.name}")
            self._events.append(event)
        deadline = connection.next_deadline()
        if math.isnan(deadline):
            self._fail("the deadline is not a number")
        # Whoever waits for the deadline must not wait for what could be sent now.
        late = connection.segments_to_send(self._now, self.more)
        if late and deadline > self._now:
            self._fail("there was more to send, and no deadline to say so", *map(repr, late))

    def _connection_una(self) -> int:
        return self.connection.snd.una - self.connection.snd.iss

    def _send(self, datagram: bytes) -> None:
        line = decode(datagram, ">", self._origin)
        self._say(brief(line))
        segment = codec.decode(datagram)
        if (segment.src_port, segment.dst_port) != (LOCAL_PORT, PEER_PORT):
            self._fail(f"the ports are {segment.src_port} and {segment.dst_port}")
        if codec.encode(segment) != datagram:
            self._fail("the codec reads something else from its own bytes", repr(segment))
        if line.length and not line.flags & RST:
            start = line.seq - 1
            # A keepalive's octet, or those of a probe of the path: the peer has them already.
            had = start + line.length < self._connection_una()
            padding = had and not any(line.data or b"")
            if not padding and line.data != bytes(self._written[start : start + line.length]):
                self._fail("this is not what was written at that place", str(line))
        if (stamp := line.option(TIMESTAMPS)) is not None:
            value = stamp.values[0]
            assert isinstance(value, int)
            self._latest_ts = value
        self._sent.append(line)

    def _datagram(self, line: Line) -> bytes:
        """What the peer puts on the wire for `line`."""
        assert line.direction == "<", f"the peer's segments begin with <: {line}"
        if line.options is None and self._timestamps and not line.flags & RST:
            stamp = Option(TIMESTAMPS, (self._peer_clock(), self._latest_ts))
            line = replace(line, options=(Option(NOP), Option(NOP), stamp))
        if line.window is None:
            line = replace(line, window=self.peer_window)
        self._say(str(line))
        if line.data is None:
            line = replace(line, data=peer_data(line.seq - 1, line.length))
        origin = self._origin.turned()
        return encode(line, origin, src_port=PEER_PORT, dst_port=LOCAL_PORT)

    def _peer_clock(self) -> int:
        """The peer's timestamp clock, in milliseconds. It wraps ten seconds into the script."""
        return (2**32 - 10_000 + round(self.now * 1000)) % 2**32

    def _say(self, what: str) -> None:
        self._dialogue.append(f"{self.now:9.4f}  {what}")

    def _fail(self, why: str, *details: str) -> NoReturn:
        __tracebackhide__ = True
        self._sent.clear()  # One failure is enough: the end of the test need not find another.
        raise AssertionError(
            "\n".join([why, *details, "", "the dialogue so far:", self.dialogue()])
        )


def _options(sack: bool, ts: bool, wscale: bool) -> str:
    """The options that a SYN of ours has, with their own numbers left open."""
    words = ["mss ..."]
    words += ["sackOK"] if sack else []
    words += ["TS val ... ecr {ecr}"] if ts else []
    words += ["wscale ..."] if wscale else []
    return f"<{','.join(words)}>"


def _versus(want: Line, found: Line) -> tuple[str, str]:
    """Both, each with what the expectation speaks of."""
    shown = replace(
        found,
        data=found.data if want.data is not None else None,
        options=found.options if want.options is not None else found.options or None,
    )
    return f"expected {want}", f"but sent {shown}"
