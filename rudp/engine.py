"""One UDP socket, many connections, one timer: where the core meets the event loop.

Datagrams come in batches. Each batch becomes segments (`codec.coalesce`), each segment goes to the
connection that its ports and its sender name, and when the batch is done each connection that got
any is *pumped*: its segments go out, its events go to its transport, its next deadline is noted.
A call of the user and a timeout end in the same pump.

    datagrams -> receive -> pump -> datagrams
                              |
                           transport

A connection is known by (address of the peer, TCP port of ours, TCP port of the peer's), so many
share one socket. What belongs to none is the business of `strangers`. TIME-WAIT is kept here, as a
small record; its connection has been let go.

RFC 9293 section 3.10.1 (OPEN), RFC 6056 (ports), RFC 5461 and 5927 (ICMP errors).
"""

from __future__ import annotations

import asyncio
import copy
import errno
import logging
import math
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from rudp.busy_poll import SHORT
from rudp.channel import Channel, Key, Listener
from rudp.complaints import Complaints, internal_error
from rudp.core import codec, isn
from rudp.core.answer_limit import AnswerLimit
from rudp.core.config import Config
from rudp.core.connection import Connection, open_active, open_passive
from rudp.core.events import Event
from rudp.core.segment import CE, Buffer, Segment
from rudp.core.state import SYN_SENT, TIME_WAIT, State
from rudp.datagrams import Address, DatagramLayer, open_datagrams
from rudp.deadlines import Deadlines
from rudp.dormancy import Dormancy
from rudp.ports import ephemeral_port
from rudp.routes import Routes, refuse_group
from rudp.strangers import stranger_arrives
from rudp.surroundings import secret
from rudp.time_waits import TimeWaits

logger = logging.getLogger("rudp")

Tap = Callable[[str, Segment, State, float], None]

CORK: Final = 0.0001
"""Small writes within this many seconds of the last go out together, a turn of the loop later."""


class Engine(asyncio.DatagramProtocol):
    """What drives a UDP socket: demultiplexing, the pump and the timer."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, config: Config, tap: Tap | None = None
    ) -> None:
        self.loop = loop
        self.config = config
        # uvloop's clock ticks in milliseconds; others do not, and a simulated one has to be asked.
        uvloop = type(loop).__module__.startswith("uvloop")  # and its timers fire a tick early
        clock, tick = (time.monotonic, 0.001) if uvloop else (loop.time, 0.0)
        self._deadlines = Deadlines(loop, clock, tick, self._on_due, lambda: self.datagrams.drain())
        self._dormancy = Dormancy(config, self._deadlines)
        self.clock = self._deadlines.now
        self.datagrams: DatagramLayer
        self.routes: Routes
        self.connected: Address | None = None  # the only peer, if the socket is connected
        self.family = socket.AF_INET
        self.listeners: dict[int, Listener] = {}
        self.closed = False
        self.owned = True  # somebody may still open something on it
        self.reusable = False  # once nobody owns it, by whoever connects to the same peer next
        self.finished_at = -math.inf  # when a connection last came to TIME-WAIT
        self.on_idle: Callable[[], None] | None = None  # nothing but TIME-WAIT is left
        self.tap = tap
        self._channels: dict[Key, Channel] = {}
        self._opening: dict[Channel, None] = {}  # in SYN-SENT: what errors are about
        self.time_waits = TimeWaits(config.max_time_wait)
        self.answers = AnswerLimit()
        self._touched: deque[Channel] = deque()
        self._stalled: dict[Channel, None] = {}  # to be pumped when the socket takes more
        self._complaints = Complaints()
        self.pumping = False  # called from the loop, not from the user
        self._flush_scheduled = False
        self._unsent: deque[tuple[list[tuple[bytes, Buffer]], Address | None, bool]] = deque()

    async def start(self, sock: socket.socket, connected: Address | None = None) -> None:
        """Put `sock` to work: one of `datagrams.bind_socket` and its kin. It is ours to close."""
        self.family = sock.family
        self.connected = connected
        self.routes = Routes(sock.family, self.config.path_mtu_discovery)
        poll = self.config.busy_poll
        self.datagrams = await open_datagrams(self.loop, sock, self, self.clock, busy_poll=poll)

    # -- connections -----------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """No listener and no connection: at most TIME-WAIT records are left."""
        return not self.listeners and not self._channels

    @property
    def full(self) -> bool:
        """There is no room for another connection."""
        return len(self._channels) >= self.config.max_connections

    @property
    def channels(self) -> list[Channel]:
        """The connections that are not yet in TIME-WAIT."""
        return list(self._channels.values())

    def connect(self, addr: Address, peer_port: int, local_port: int = 0) -> Channel:
        """Begin an active open to TCP port `peer_port` at the UDP address `addr`.

        `local_port` 0 takes a random one. Raises `OSError` if the ports are in use, or the endpoint
        has as many connections as it may have.
        """
        self._check_room()
        refuse_group(addr[0])
        if not local_port:
            local_port = ephemeral_port(lambda port: self._in_use((addr, port, peer_port)))
        key = (addr, local_port, peer_port)
        if self._in_use(key):
            raise OSError(errno.EADDRINUSE, f"TCP ports {local_port} to {peer_port} are in use")
        now = self.clock()
        iss, ts_offset = isn.initial_numbers(secret(), self.datagrams.sockname, key, now)
        connection = open_active(
            self.config,
            local_port=local_port,
            peer_port=peer_port,
            iss=iss,
            now=now,
            mss=self.routes.mss(addr, self.datagrams.sock if self.connected else None),
            ts_offset=ts_offset,
            default_mss=self.routes.default_mss,
            socket_buffer=self.datagrams.receive_buffer // 2,
            path_mss=self.routes.path_mss(addr),
            ecn=self.datagrams.ecn,
        )
        channel = Channel(connection, addr)
        channel.waiter = self.loop.create_future()
        self._channels[channel.key] = channel
        self._opening[channel] = None
        self.datagrams.hear_errors()
        self.output(channel)
        return channel

    def _check_room(self) -> None:
        if self.closed:
            raise RuntimeError("the endpoint is closed: open a new one")
        if self.full:
            raise OSError(errno.ENOBUFS, "the endpoint has Config.max_connections connections")

    def _in_use(self, key: Key) -> bool:
        return key in self._channels or key in self.time_waits

    # -- datagrams come in -----------------------------------------------------------------------

    def datagrams_received(
        self, datagrams: list[tuple[bytes, Address]], now: float, ce: bool = False
    ) -> None:
        """A batch of datagrams, in order of arrival: all its segments, then one pump.

        `ce`: routers have marked them (RFC 3168 section 5).
        """
        if len(datagrams) == 1:
            self._batch_arrives([datagrams[0][0]], datagrams[0][1], now, ce)
        else:
            peers: dict[Address, list[bytes]] = {}
            for data, addr in datagrams:
                peers.setdefault(addr, []).append(data)
            for addr, batch in peers.items():
                self._batch_arrives(batch, addr, now, ce)
        self._pump_touched(now, more=True)

    def _batch_arrives(self, batch: list[bytes], addr: Address, now: float, ce: bool) -> None:
        # What is no segment is discarded without a word: an answer could start a loop.
        for segment in codec.coalesce(batch)[0]:
            if ce:
                segment.ecn = CE
            self.receive(segment, addr, now)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """A single datagram, as a plain `asyncio.DatagramProtocol` gets it."""
        self.datagrams_received([(data, addr)], self.clock())

    def receive(self, segment: Segment, addr: Address, now: float) -> None:
        """SEGMENT ARRIVES, from `addr`. The pump comes later."""
        channel = self._channels.get((addr, segment.dst_port, segment.src_port))
        if channel is None:
            stranger_arrives(self, segment, addr, now)
            return
        seen = segment if self.tap is None else copy.copy(segment)  # before it is trimmed
        connection = channel.awake or channel.connection
        try:
            connection.receive(segment, now)
        except Exception as exc:
            self._fail(channel, exc)
        self._touch(channel)
        if self.tap is not None:
            self.tap("<", seen, connection.state, now)

    def answer(self, segment: Segment, addr: Address, state: State, now: float) -> None:
        """Send what belongs to no connection. Nobody counts on it: a full socket drops it."""
        if not self.datagrams.blocked:
            self._send(segment, 0, None if self.connected is not None else addr, state, now)

    def open_passive(
        self, syn: Segment, addr: Address, iss: int, ts_offset: int, now: float
    ) -> Connection:
        """A connection in SYN-RECEIVED for `syn`, of which nobody else knows yet."""
        return open_passive(
            self.config,
            iss=iss,
            syn=syn,
            now=now,
            mss=self.routes.mss(addr),
            ts_offset=ts_offset,
            default_mss=self.routes.default_mss,
            socket_buffer=self.datagrams.receive_buffer // 2,
            path_mss=self.routes.path_mss(addr),
            ecn=self.datagrams.ecn,
        )

    def admit(self, connection: Connection, addr: Address, listener: Listener) -> None:
        """From now on `connection`, which `listener` has begun, is one of ours."""
        channel = Channel(connection, addr)
        channel.listener = listener
        listener.half_open += 1
        self._channels[channel.key] = channel
        self._touch(channel)

    def error_received(self, exc: Exception, addr: Address | None = None) -> None:
        """The system reports an error, of a send to `addr` if that is known.

        It ends attempts to connect, and nothing else. RFC 9293 section 3.9.2.2, RFC 5461 and 5927:
        to an established connection an ICMP error says nothing that can be trusted.
        """
        assert isinstance(exc, OSError)
        addr = self.connected or addr
        if exc.errno == errno.EMSGSIZE and addr is not None:
            self._lower_mss(addr)
        if exc.errno in (errno.EMSGSIZE, errno.ENOBUFS, errno.ENOMEM):
            return
        self._complaints.note(exc, addr, self.clock())
        for channel in [each for each in self._opening if each.addr == addr]:
            if channel.connection.state is SYN_SENT:
                channel.connection.end(exc)
                self.output(channel)

    def _lower_mss(self, addr: Address) -> None:
        """The kernel has learnt that the path is narrower (RFC 1191, RFC 8201); ask it how much."""
        self.routes.forget(addr)
        mss = self.routes.mss(addr, self.datagrams.sock if self.connected else None)
        for channel in self.channels:
            if channel.addr == addr:
                channel.connection.lower_mss(mss)

    # -- the pump --------------------------------------------------------------------------------

    def output(self, channel: Channel) -> None:
        """The user did something: send what is due, at once or with what else this turn brings."""
        if self.pumping:
            self._touch(channel)
            return
        now = self._deadlines.now()
        connection = channel.awake or channel.connection
        mss = connection.send_mss
        if mss and connection.unsent >= mss:
            self._pump(channel, now, more=True)
            if connection.waiting:
                self._flush_soon(channel)
        elif now - channel.last_output > CORK:
            channel.touched = False  # nothing will be left to do
            self._pump(channel, now)
        else:
            self._flush_soon(channel)

    def _flush_soon(self, channel: Channel) -> None:
        """Pump `channel` once more when the loop has come round, and tasks have acted."""
        self._touch(channel)
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_scheduled = False
        self._pump_touched(self.clock())

    def _touch(self, channel: Channel) -> None:
        if not channel.touched:
            channel.touched = True
            self._touched.append(channel)

    def _pump_touched(self, now: float, more: bool = False) -> None:
        """Pump all that were touched; what is touched meanwhile, too."""
        self.pumping = True
        held_back: list[Channel] = []
        touched = self._touched
        try:
            while touched:
                channel = touched.popleft()
                if not channel.touched:
                    continue  # the user was faster
                channel.touched = False
                self._pump(channel, now, more)
                if more and (channel.awake or channel.connection).waiting:
                    held_back.append(channel)
        finally:
            self.pumping = False
        for channel in held_back:
            self._flush_soon(channel)

    def _pump(self, channel: Channel, now: float, more: bool = False) -> None:
        """Poll a connection's three outputs: segments, events, the deadline."""
        connection = channel.awake or channel.connection
        self._transmit(channel, now, more)
        events = connection.events
        if events:
            while events:
                self._on_event(channel, events.pop(0))
            if connection.ack_due:
                self._transmit(channel, now, more)  # reading has opened the window
        if channel.protocol_paused and channel.transport is not None:
            channel.transport.resume_protocol()
        if connection.state is TIME_WAIT:
            self._enter_time_wait(channel, now)
        deadline = connection.next_deadline()
        nothing_before = deadline < channel.armed or channel.armed == math.inf
        if nothing_before and self._channels.get(channel.key) is channel:
            self._dormancy.arm(channel, connection, deadline, now)

    def _transmit(self, channel: Channel, now: float, more: bool) -> None:
        if self.datagrams.blocked:
            self._stalled[channel] = None
            return
        connection = channel.awake or channel.connection
        try:
            segments = connection.segments_to_send(now, more)
        except Exception as exc:
            self._fail(channel, exc)
            segments = connection.segments_to_send(now)  # the RST
        if segments:
            channel.last_output = now
            addr = None if self.connected is not None else channel.addr
            for segment in segments:
                self._send(segment, connection.send_mss, addr, connection.state, now)
            if 0 < connection.snd.flight_size <= SHORT:
                self.datagrams.expect_answer(addr)

    def _send(
        self, segment: Segment, mss: int, addr: Address | None, state: State, now: float
    ) -> None:
        if self.tap is not None:
            self.tap(">", segment, state, now)
        pairs = codec.split(segment, mss or codec.MAX_SUPER)
        if self.datagrams.blocked:
            self._unsent.append((pairs, addr, segment.ecn > 0))
        else:
            self.datagrams.send(pairs, addr, segment.ecn > 0)

    def writable(self) -> None:
        """The socket takes datagrams again."""
        while self._unsent and not self.datagrams.blocked:
            self.datagrams.send(*self._unsent.popleft())
        if not self.datagrams.blocked:
            for channel in self._stalled:
                self._touch(channel)
            self._stalled.clear()
            self._pump_touched(self.clock())

    def _fail(self, channel: Channel, exc: Exception) -> None:
        """What a connection raises is a bug, of ours or of the user's congestion control. It ends
        this connection, and leaves all others alone."""
        message = "rudp: an internal error resets a connection"
        self.loop.call_exception_handler(
            {"message": message, "exception": exc, "transport": channel.transport}
        )
        channel.connection.abort("internal error", internal_error(exc))

    def _on_event(self, channel: Channel, event: Event) -> None:
        if event is Event.READABLE or event is Event.EOF:
            channel.last_output = -math.inf  # an answer shall not wait
            channel.deliver()
        elif event is Event.ESTABLISHED:
            self._on_established(channel)
        elif event is Event.RELEASED:
            self._on_released(channel)
        elif event is Event.CLOSED:
            self._forget(channel)
        elif event is Event.TROUBLE:
            logger.warning("%s:%s does not acknowledge; still trying", *channel.addr[:2])

    def _on_established(self, channel: Channel) -> None:
        listener, waiter = channel.listener, channel.waiter
        if listener is not None:
            self._leave_backlog(channel)
            listener.accept(channel)
        elif waiter is not None and not waiter.done():
            self._opening.pop(channel, None)
            waiter.set_result(None)

    def _leave_backlog(self, channel: Channel) -> None:
        if channel.listener is not None:
            channel.listener.half_open -= 1
            channel.listener = None

    def stop_listening(self, listener: Listener) -> None:
        """End LISTEN: handshakes that are not complete are refused."""
        if self.listeners.get(listener.port) is listener:
            del self.listeners[listener.port]
        for channel in self.channels:
            if channel.listener is listener:
                channel.connection.abort("the server has closed")
                self.output(channel)

    def _on_released(self, channel: Channel) -> None:
        error = self._complaints.explain(channel.connection.error, channel.addr, self.clock())
        waiter = channel.waiter
        if waiter is not None and not waiter.done():
            if error is not None:
                waiter.set_exception(error)
            else:
                waiter.set_result(None)
        if channel.transport is not None:
            channel.transport.release(error)

    def _forget(self, channel: Channel) -> None:
        self._leave_backlog(channel)
        if self._channels.get(channel.key) is channel:
            self._remove(channel)

    def _remove(self, channel: Channel) -> None:
        del self._channels[channel.key]
        self._opening.pop(channel, None)
        self._deadlines.forget(channel)
        self.routes.learn(channel.addr, channel.connection.snd.path)
        if channel.finished is not None and not channel.finished.done():
            channel.finished.set_result(None)
        self._check_idle()

    def _enter_time_wait(self, channel: Channel, now: float) -> None:
        """Keep what TIME-WAIT needs; the connection itself is its transport's alone."""
        if self._channels.get(channel.key) is not channel:
            return
        self.finished_at = now
        record = channel.connection.time_wait(now)
        self.time_waits.add(channel.key, record)
        self._deadlines.wake_up_at(record.deadline)
        self._remove(channel)

    def _check_idle(self) -> None:
        if self.idle and self.on_idle is not None:
            self.on_idle()

    # -- the timer -------------------------------------------------------------------------------

    def _on_due(self, due: list[Channel], now: float) -> None:
        """The deadlines of these have passed; and maybe those of TIME-WAIT records."""
        for channel in self._dormancy.busy(due, now):
            try:
                channel.connection.handle_timeout(now)
            except Exception as exc:
                self._fail(channel, exc)
            self._touch(channel)
        self._pump_touched(now)
        self._deadlines.wake_up_at(self.time_waits.expire(now))
        self._check_idle()

    # -- the end ---------------------------------------------------------------------------------

    def shut(self) -> None:
        """Close the socket. What is still open is reset: its transports hear `ECONNABORTED`."""
        if self.closed:
            return
        if self._channels or not self.connected:
            self.datagrams.drain()  # whoever has just sent something gets its RST
        for channel in self.channels:
            error = ConnectionAbortedError(errno.ECONNABORTED, "the endpoint was closed")
            channel.connection.abort(error=error)
            self._touch(channel)
        self._pump_touched(self.clock())  # with them, the ACKs that have waited for company
        self.closed = True
        self._deadlines.close()
        self.time_waits = TimeWaits(1)
        self._unsent.clear()
        self._stalled.clear()
        self.datagrams.close()
        self.on_idle = None  # leave the garbage collector no cycle

    def __repr__(self) -> str:
        return f"<{type(self).__name__} connections={len(self._channels)}>"
