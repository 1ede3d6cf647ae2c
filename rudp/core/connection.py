"""One connection: RFC 9293's TCB, without input or output.

Bytes of the application, segments of the peer and the time go in; segments, events and the moment
of the next deadline come out. After any input, poll the three outputs in this order:

    segments_to_send(now)     next_event() until it is None     next_deadline()

`Connection` decides and its parts report: `snd` (`Sender`) and `rcv` (`Receiver`) know neither it
nor each other. What an arriving segment does stands in `arrival`, in the order of RFC 9293
section 3.10.7; what goes out is put together in `output`; here are the user's calls (3.10.1 to
3.10.6) and the timeouts (3.10.8). LISTEN is the endpoint's: `open_passive` begins with the SYN that
a listener got.

`now` is a monotonic time in seconds. Ports, ISS and offsets are arguments: the same inputs give the
same outputs, always.
"""

from __future__ import annotations

import errno
import math
from typing import Final

from rudp.core import arrival, handshake, output
from rudp.core.config import Config
from rudp.core.events import Event
from rudp.core.handshake import Handshake
from rudp.core.keepalive import KeepaliveTimer, Verdict
from rudp.core.receiver import Receiver, window_shift
from rudp.core.segment import ACK, RST, Segment
from rudp.core.sender import Sender
from rudp.core.state import (
    CLOSED,
    ESTABLISHED,
    FIN_WAIT_2,
    LAST_ACK,
    ON_FIN_ACKED,
    ON_FIN_QUEUED,
    ON_FIN_RECEIVED,
    SYN_RCVD,
    SYN_SENT,
    TIME_WAIT,
    TRANSITIONS,
    State,
)
from rudp.core.tcp_info import TcpInfo, snapshot
from rudp.core.time_wait import TimeWait, remember
from rudp.core.timestamps import Timestamps

CHALLENGE_INTERVAL: Final = 0.5
"""Seconds between ACKs that answer segments which prove nothing (RFC 5961 section 7)."""

MAX_ANSWERS: Final = 16
"""Segments that may wait to go out before what proves nothing gets no more RSTs: while the socket
takes none, a peer must not have them pile up."""

MAX_REASON: Final = 128
"""Most bytes of text in a RST (SHLD-2)."""


class Connection:
    """A connection in one of the states from SYN-SENT to CLOSED."""

    __slots__ = (
        "_fin_wait_2_begins", "_next_challenge", "config", "default_mss", "ecn", "ect",
        "end_deadline", "error", "events", "handshake", "keepalive", "last_ack_sent", "last_heard",
        "local_port", "mss", "out", "passive", "path_mss", "peer_mss", "peer_port", "rcv",
        "rcv_shift", "released", "reset_when_flushed", "sack", "segs_in", "segs_out", "snd",
        "snd_shift", "state", "timestamps", "user_closed", "window_scaling",
    )

    def __init__(
        self,
        config: Config,
        local_port: int,
        peer_port: int,
        iss: int,
        now: float,
        mss: int,
        ts_offset: int,
        default_mss: int,
        socket_buffer: int,
        path_mss: int,
        ecn: bool,
        passive: bool,
    ) -> None:
        self.config = config
        self.local_port = local_port
        self.peer_port = peer_port
        self.state: State = CLOSED
        self.passive = passive
        self.mss = mss if config.mss is None else min(mss, config.mss)  # what we announce
        self.default_mss = default_mss
        self.path_mss = path_mss  # what the path is known to carry; 0: whatever it promises
        self.peer_mss: int | None = None  # as its SYN announced it
        self.snd = Sender(config, iss)
        self.rcv = Receiver(config, self.mss, socket_buffer)
        # What the SYNs agree on. Until then: what we offer.
        self.timestamps: Timestamps | None = Timestamps(ts_offset) if config.timestamps else None
        self.sack = config.sack
        self.ecn = config.ecn and ecn
        self.ect = False  # our data may be marked on its way
        self.window_scaling = config.window_scaling
        self.snd_shift = 0
        self.rcv_shift = window_shift(config.receive_buffer) if config.window_scaling else 0
        # How it ends
        self.user_closed = False  # the application will neither read nor write
        self.reset_when_flushed = False  # data of the peer was lost: it has to hear of it
        self.released = False
        self._fin_wait_2_begins = False  # for somebody who has closed: it has a limit
        self.error: OSError | None = None
        # Output
        self.out: list[Segment] = []
        self.events: list[Event] = []
        self._next_challenge = now
        self.last_ack_sent = 0  # Last.ACK.sent of RFC 7323 section 4.3
        # Timers: moments, infinite when off
        repeats = config.syn_ack_retransmissions if passive else math.inf
        allowance = handshake.MAX_ANSWERS if passive else math.inf
        self.handshake = Handshake(now, config.connect_timeout, repeats, allowance)
        self.keepalive: KeepaliveTimer | None = None
        self.end_deadline = math.inf  # of FIN-WAIT-2 after a full close, and of TIME-WAIT
        self.last_heard = now
        self.segs_in = 0
        self.segs_out = 0

    # -- what the application asks (RFC 9293 sections 3.10.1 to 3.10.6) --------------------------

    @property
    def readable(self) -> int:
        """Bytes that `read` would give."""
        return self.rcv.readable

    @property
    def at_eof(self) -> bool:
        """The peer's FIN was received, and all data before it has been read."""
        return self.rcv.fin_received and not self.rcv.readable

    @property
    def unsent(self) -> int:
        """Bytes written that never went out."""
        return self.snd.unsent

    @property
    def ack_due(self) -> bool:
        """There is an ACK to send: reading may have opened the window."""
        return self.rcv.ack_now

    @property
    def waiting(self) -> bool:
        """`more` held something back."""
        return self.rcv.ack_soon or self.snd.held_back

    def lower_mss(self, mss: int) -> None:
        """The path turned out to be narrower: `mss` bytes of payload and options fit."""
        if self.snd.mss:
            self.snd.lower_mss(mss - handshake.option_bytes(self))

    @property
    def send_mss(self) -> int:
        """Payload of a full segment on the wire, in bytes: what `codec.split` cuts to."""
        return self.snd.mss

    def write(self, data: bytes) -> None:
        """SEND: queue `data`. It must not change afterwards.

        Raises `RuntimeError` after `write_eof`, `close` or `abort`, and once the connection ended.
        """
        if self.snd.fin_queued or self.released:
            raise RuntimeError("cannot write: this direction of the connection is closed")
        if data:
            self.snd.buffer.append(data)

    def read(self, max_bytes: int = 1 << 30) -> bytes:
        """RECEIVE: the next bytes, at most `max_bytes`; empty if none are there now."""
        return self.rcv.read(max_bytes)

    def write_eof(self) -> None:
        """Close our direction: a FIN follows what was written. Reading goes on. Idempotent."""
        if self.snd.fin_queued or self.state is CLOSED:
            return
        self.snd.fin_queued = True
        if self.state in ON_FIN_QUEUED:
            self.set_state(ON_FIN_QUEUED[self.state])

    def close(self) -> None:
        """CLOSE: send what was written and a FIN, read no more. RELEASED tells the end.

        The peer hears of data that nobody will read, there already or arriving later, by a RST
        once all of ours has reached it (RFC 9293 section 3.6.1, SHLD-3). Idempotent.
        """
        if self.user_closed:
            return
        self.user_closed = self.snd.orphaned = True
        if self.state is SYN_SENT:
            # RFC 9293 section 3.10.4: "Delete the TCB".
            self.end(None)
            return
        if self.rcv.readable:
            self.lose_data()
        if not self.reset_when_flushed or not self.rcv.fin_received:
            self.write_eof()
        elif self.snd.una == self.snd.buffer.end:
            # Both FINs exchanged, the peer would not look at a RST any more: send it instead.
            self.flushed()
        if self.snd.fin_acked or self.state is CLOSED:
            self.flushed()

    def abort(self, reason: str = "", error: OSError | None = None) -> None:
        """ABORT: drop everything and send a RST, with `reason` for the peer to show (SHLD-2).

        `error`: how RELEASED explains it, None if the user wished for it.
        """
        if self.state not in (CLOSED, TIME_WAIT):
            # RFC 9293 section 3.10.5: <SEQ=SND.NXT><CTL=RST>. Deviation: also in SYN-SENT, since
            # our socket may be gone before the SYN-ACK comes that the RST would have to answer; and
            # in CLOSING and LAST-ACK, where the peer may still wait for data that is dropped now.
            if self.state is SYN_RCVD and self.passive:
                reason = ""  # the peer's address may be forged: it gets no more than a SYN is worth
            if self.state is not SYN_RCVD or self.handshake.allowance > 0:
                self.out.append(self.reset(self.snd.nxt, reason))
        self.user_closed = True
        self.rcv.clear()
        self.end(error)
        self._release(error)  # also if both FINs had ended it before

    def tcp_info(self) -> TcpInfo:
        """STATUS (RFC 9293 section 3.10.6)."""
        return snapshot(self)

    # -- what the network brings -----------------------------------------------------------------

    def receive(self, seg: Segment, now: float) -> None:
        """SEGMENT ARRIVES (RFC 9293 section 3.10.7). Never raises, whatever the peer sent.

        Numbers in `seg` are unwrapped in place.
        """
        self.segs_in += 1
        arrival.segment_arrives(self, seg, now)

    # -- what the clock brings (RFC 9293 section 3.10.8) -----------------------------------------

    def next_deadline(self) -> float:
        """When `handle_timeout` is due; infinite if never."""
        deadline = self.snd.next_deadline()
        if self.rcv.ack_deadline < deadline:
            deadline = self.rcv.ack_deadline
        if self.handshake.deadline < deadline:
            deadline = self.handshake.deadline
        if self.end_deadline < deadline:
            deadline = self.end_deadline
        if self.keepalive is not None and self.keepalive.deadline < deadline:
            deadline = self.keepalive.deadline
        return deadline

    def handle_timeout(self, now: float) -> None:
        """Do what is due at `now`. Too early is harmless: nothing is due then."""
        snd = self.snd
        if self.rcv.ack_deadline <= now:
            self.rcv.ack_deadline = math.inf
            self.rcv.ack_now = True
        if self.handshake.deadline <= now:
            handshake.timed_out(self, now)
        if snd.give_up_deadline <= now:
            self.end(OSError(errno.ETIMEDOUT, "Connection timed out: no acknowledgment came"))
        snd.on_loss_timer(now)  # a loss probe comes before the RTO
        if snd.rto_deadline <= now:
            # Nothing has ever arrived: the path may drop what is marked ECT.
            self.ect = self.ect and snd.una > snd.iss + 1
            snd.on_rto(now)
            if snd.timeouts == max(1, self.config.r1):
                self.events.append(Event.TROUBLE)  # SHLD-9
        if snd.persist_deadline <= now:
            snd.on_persist(now)
        if self.keepalive is not None and self.keepalive.deadline <= now:
            self._on_keepalive(now)
        if self.end_deadline <= now:
            # RFC 9293 section 3.10.8, TIME-WAIT TIMEOUT; and FIN-WAIT-2 of a closed connection.
            self.end(None)

    def _on_keepalive(self, now: float) -> None:
        assert self.keepalive is not None
        verdict = self.keepalive.on_timeout(self.last_heard, self.snd.flight_size > 0, now)
        if verdict is Verdict.PROBE:
            # RFC 9293 section 3.8.4: SEG.SEQ = SND.NXT-1, without data, draws an ACK.
            self.out.append(output.segment(self, self.snd.nxt - 1, ACK, b"", now))
        elif verdict is Verdict.DEAD:
            self.end(OSError(errno.ETIMEDOUT, "Connection timed out: keepalive got no answer"))

    # -- what goes out ---------------------------------------------------------------------------

    def segments_to_send(self, now: float, more: bool = False) -> list[Segment]:
        """The segments due now, super-segments among them. They count as sent.

        `more`: the application is about to act. What does not fill a segment, and the ACK of a SYN
        or a FIN, can wait for what it writes. Ask again without it when nothing came.
        """
        out = self.out
        if self._fin_wait_2_begins:
            self._fin_wait_2_begins = False
            if self.state is FIN_WAIT_2:
                self.end_deadline = now + self.config.fin_wait_2_timeout
        if self.handshake.due:
            output.send_syn(self, now)
        due = self.rcv.ack_now or self.snd.wants_to_send or (self.rcv.ack_soon and not more)
        if due and self.state is not CLOSED:
            output.send_acknowledged(self, now, more)
        if out:
            self.out = []
            self.segs_out += len(out)
        return out

    def reset(self, seq: int, reason: str = "") -> Segment:
        text = reason.encode("ascii", "replace")[:MAX_REASON]
        flags = RST if self.state is SYN_SENT else RST | ACK
        return Segment(self.local_port, self.peer_port, seq, self.rcv.nxt, flags, 0, text)

    def answer(self, seg: Segment | None) -> None:
        """Send `seg`, which answers something that is not acceptable: there may be no end of it."""
        if seg is not None and len(self.out) < MAX_ANSWERS:
            self.out.append(seg)

    def challenge(self, now: float) -> None:
        """Answer a segment that proves nothing with an ACK, seldom (RFC 5961 sections 3 to 7)."""
        if self.may_challenge(now):
            self.rcv.ack_now = True

    def may_challenge(self, now: float) -> bool:
        """True at most once in `CHALLENGE_INTERVAL`."""
        if now < self._next_challenge:
            return False
        self._next_challenge = now + CHALLENGE_INTERVAL
        return True

    # -- events and states -----------------------------------------------------------------------

    def next_event(self) -> Event | None:
        """The oldest event not yet told, or None."""
        return self.events.pop(0) if self.events else None

    def tell_readable(self) -> None:
        """Data arrived in order. Told once until the event was taken."""
        if Event.READABLE not in self.events:
            self.events.append(Event.READABLE)

    def set_state(self, state: State) -> None:
        """The only door from one state to another."""
        assert state in TRANSITIONS[self.state], f"{self.state} to {state}"
        self.state = state

    def established(self, now: float) -> None:
        """Both SYNs are acknowledged."""
        self.set_state(ESTABLISHED)
        self.handshake.stop()
        self.ect = self.snd.loss.ecn = self.ecn
        if self.config.keepalive is not None:
            self.keepalive = KeepaliveTimer(self.config.keepalive, now)
        self.events.append(Event.ESTABLISHED)
        if self.snd.fin_queued:
            self.set_state(ON_FIN_QUEUED[self.state])

    def fin_acked(self, now: float) -> None:
        """The peer has acknowledged our FIN."""
        following = ON_FIN_ACKED.get(self.state)
        if following is None:
            return
        if self.reset_when_flushed:
            self.flushed()
            return
        if following is CLOSED:
            self.end(None)
            return
        self.set_state(following)
        if self.state is TIME_WAIT:
            self.wait_out(now)
        if self.user_closed:
            self.flushed()

    def fin_received(self, now: float) -> None:
        """The peer's FIN was received, and all data before it."""
        self.set_state(ON_FIN_RECEIVED[self.state])
        self.events.append(Event.EOF)
        if self.state is TIME_WAIT:
            self.wait_out(now)

    def flushed(self) -> None:
        """The application has closed, and all it wrote has reached the peer."""
        self._release(None)
        if self.reset_when_flushed and self.state not in (CLOSED, TIME_WAIT):
            self.out.append(self.reset(self.snd.nxt))
            self.end(None)
        self._fin_wait_2_begins = self.state is FIN_WAIT_2

    def lose_data(self) -> None:
        """Data of the peer will not be read: it has to hear of it, once ours has arrived."""
        self.reset_when_flushed = True
        self.rcv.discarding = True
        self.rcv.clear()

    def wait_out(self, now: float) -> None:
        """Start the time-wait timer, or start it again; turn off the other timers."""
        self.snd.clear()
        self.handshake.stop()
        self.keepalive = None
        self.end_deadline = now + 2 * self.config.msl

    def time_wait(self, now: float) -> TimeWait:
        """What is to be remembered in TIME-WAIT; the connection itself can go."""
        return remember(self, now)

    def end(self, error: OSError | None) -> None:
        """Enter CLOSED. `error` None: by the user's wish, or because all is done."""
        if self.state is CLOSED:
            return
        finished = self.state in (TIME_WAIT, LAST_ACK)
        self.set_state(CLOSED)
        self.handshake.stop()
        self.rcv.on_ack_sent()  # none is owed any more
        self.keepalive = None
        self.end_deadline = math.inf
        self.rcv.ack_deadline = math.inf
        self.snd.clear()
        # A connection that went through all of its states is the user's until he closes it.
        if error is not None or self.user_closed or not finished:
            self._release(error)
        self.events.append(Event.CLOSED)

    def _release(self, error: OSError | None) -> None:
        if not self.released:
            self.released = True
            self.error = error
            self.events.append(Event.RELEASED)


def open_active(
    config: Config,
    *,
    local_port: int,
    peer_port: int,
    iss: int,
    now: float,
    mss: int,
    ts_offset: int = 0,
    default_mss: int = 536,
    socket_buffer: int = 1 << 30,
    path_mss: int = 0,
    ecn: bool = False,
) -> Connection:
    """OPEN, active (RFC 9293 section 3.10.1): a connection in SYN-SENT, its SYN due.

    `mss`: bytes that the path's MTU leaves for TCP payload. `default_mss`: for a peer that tells
    none, 536 on IPv4 and 1220 on IPv6 (MUST-15). `socket_buffer`: what the UDP socket can hold.
    `path_mss`: how much of `mss` the path is known to carry, if the rest is to be found out by
    probes (`pmtud`); 0: no probes. `ecn`: it gives access to the ECN field of the IP header.
    """
    # By position: compiled, that is a call of C.
    connection = Connection(
        config, local_port, peer_port, iss, now, mss, ts_offset, default_mss, socket_buffer,
        path_mss, ecn, False,
    )  # fmt: skip
    connection.set_state(SYN_SENT)
    connection.handshake.begin(now, connection.snd.rtt.rto)
    return connection


def open_passive(
    config: Config,
    *,
    iss: int,
    syn: Segment,
    now: float,
    mss: int,
    ts_offset: int = 0,
    default_mss: int = 536,
    socket_buffer: int = 1 << 30,
    path_mss: int = 0,
    ecn: bool = False,
) -> Connection:
    """A listener got `syn`: a connection in SYN-RECEIVED, its SYN-ACK due. See `open_active`."""
    connection = Connection(
        config, syn.dst_port, syn.src_port, iss, now, mss, ts_offset, default_mss, socket_buffer,
        path_mss, ecn, True,
    )  # fmt: skip
    connection.segs_in = 1
    handshake.accept_syn(connection, syn, now)
    return connection
