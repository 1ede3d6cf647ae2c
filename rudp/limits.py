"""Every queue that a peer can make grow, and its cap: one table.

A *queue* is anything with a length: a list, a table, a heap. A row says what it holds, where it
is, what caps it and what stands in the way of more. A cap is a field of `Config` or a constant, by
its dotted name; the code that obeys it reads it there. What no peer can make grow is listed too,
with the reason: a test finds every container in the package, and each has to be in one of both.

What one peer can cost follows from it: in a connection the receive buffer, twice where it sends
crumbs, and what we have in flight to it, `Config.send_buffer` at most; in an endpoint that
times `Config.max_connections`. What the application has written and not yet sent is its own to
bound: that is what `pause_writing` is for.

CVE-2023-49295, CVE-2024-22189 and CVE-2024-26190 are what happens to protocols without such a
table.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Queue(NamedTuple):
    """Something that a peer can make grow."""

    what: str
    where: str
    """Module, colon, class and attribute."""
    cap: str
    """`Config.field`, or the dotted name of a constant."""
    unit: str
    """What the cap counts."""


QUEUES: Final = (
    # -- of a connection: the receive half
    Queue("data in order that nobody has read", "rudp.core.receiver: Receiver._ready",
          "Config.receive_buffer", "bytes, in pieces of half of reassembly.JOIN on average"),
    Queue("ranges out of order, left edges", "rudp.core.reassembly: Reassembly._lefts",
          "Config.max_reassembly_ranges", "ranges, and one for each reassembly.RANGE_COST bytes"),
    Queue("ranges out of order, right edges", "rudp.core.reassembly: Reassembly._ends",
          "Config.max_reassembly_ranges", "ranges, and one for each reassembly.RANGE_COST bytes"),
    Queue("ranges out of order, pieces", "rudp.core.reassembly: Reassembly._pieces",
          "Config.max_reassembly_ranges", "ranges, and one for each reassembly.RANGE_COST bytes"),
    Queue("the pieces of a range", "rudp.core.reassembly: Pieces._back",
          "Config.receive_buffer", "bytes, in pieces of half of reassembly.JOIN on average"),
    Queue("the pieces of a range, in front", "rudp.core.reassembly: Pieces._front",
          "Config.receive_buffer", "bytes, in pieces of half of reassembly.JOIN on average"),
    Queue("what SACK blocks have told", "rudp.core.reassembly: Reassembly._recent",
          "rudp.core.reassembly.MAX_RECENT", "blocks, four times as many"),
    # -- of a connection: the send half
    Queue("what is in flight", "rudp.core.scoreboard: Scoreboard._flights",
          "Config.max_flight_ranges", "ranges; only full segments may go beyond"),
    Queue("where lost data is", "rudp.core.scoreboard: Scoreboard._lost_at",
          "rudp.core.scoreboard.MAX_RUN", "places, beyond two for each range in flight"),
    Queue("what was sent and is not acknowledged", "rudp.core.send_buffer: SendBuffer._chunks",
          "Config.send_buffer", "bytes, in chunks of half of send_buffer.JOIN_BELOW on average"),
    Queue("the same, where each chunk begins", "rudp.core.send_buffer: SendBuffer._starts",
          "Config.send_buffer", "bytes, in chunks of half of send_buffer.JOIN_BELOW on average"),
    Queue("what undo waits for", "rudp.core.undo: Undo._starts",
          "rudp.core.undo.MAX_OWED", "ranges"),
    Queue("what undo waits for, ends", "rudp.core.undo: Undo._owed",
          "rudp.core.undo.MAX_OWED", "ranges"),
    Queue("segments that wait to go out", "rudp.core.connection: Connection.out",
          "rudp.core.connection.MAX_ANSWERS", "answers to what proves nothing"),
    # -- of a stream
    Queue("what a stream's reader holds", "rudp.chunks: Chunks._chunks",
          "rudp.channel.PIECE", "bytes, beyond twice the reader's own limit"),
    # -- of an endpoint
    Queue("connections", "rudp.engine: Engine._channels",
          "Config.max_connections", "connections; half open, Config.backlog for each listener"),
    Queue("connections in TIME-WAIT", "rudp.time_waits: TimeWaits._records",
          "Config.max_time_wait", "records"),
    Queue("connections to be pumped", "rudp.engine: Engine._touched",
          "Config.max_connections", "connections, each once"),
    Queue("connections that wait for the socket", "rudp.engine: Engine._stalled",
          "Config.max_connections", "connections, each once"),
    Queue("datagrams that wait for the socket", "rudp.engine: Engine._unsent",
          "Config.send_buffer", "bytes: the rest of what one connection put out"),
    Queue("deadlines", "rudp.deadlines: Deadlines._heap",
          "Config.max_connections", "entries, two for each connection"),
    Queue("the rest of one send", "rudp.datagram_layer: DatagramLayer._kept",
          "rudp.core.codec.MAX_SUPER", "bytes: the rest of one super-segment"),
    Queue("datagrams that carried a mark", "rudp.datagrams: Datagrams._marked",
          "rudp.datagrams.BYTE_BUDGET", "bytes of one wake-up"),
    Queue("errors on their way up", "rudp.datagram_layer: DatagramLayer._reports",
          "Config.max_connections", "one for each errno and peer, until the next turn of the loop"),
    Queue("peers that took no GSO", "rudp.datagrams: Datagrams._gso_refused",
          "rudp.datagrams.MAX_GSO_REFUSALS", "peers"),
    Queue("our address, by peer", "rudp.local_addresses: LocalAddresses._answers",
          "rudp.local_addresses.MAX_PEERS", "peers"),
    Queue("answers to strangers in this second", "rudp.core.answer_limit: AnswerLimit._counts",
          "rudp.core.answer_limit.BUCKETS", "counts"),
    Queue("MTUs of routes", "rudp.routes: Routes._mtus",
          "rudp.routes.MAX_HOSTS", "hosts"),
    Queue("MTUs that were found out", "rudp.routes: Routes._found",
          "rudp.routes.MAX_HOSTS", "hosts"),
    # -- of an event loop
    Queue("what asyncio's UDP transport buffers", "rudp.loop_datagrams: LoopDatagrams.transport",
          "rudp.loop_datagrams.MAX_WAITING", "bytes, and one datagram"),
    Queue("transports of a server", "rudp.server: Server._clients",
          "Config.max_connections", "connections"),
    Queue("endpoints kept for TIME-WAIT", "rudp.linger: Keeper._idle",
          "rudp.linger.MAX_IDLE", "endpoints"),
)  # fmt: skip

OURS: Final = {
    "rudp.core.congestion.ledbat: Ledbat._minutes": "a minimum for each of the last ten minutes",
    "rudp.core.connection: Connection.events": "each kind of event once, until it is taken",
    "rudp.engine: Engine._opening": "connections that we asked for",
    "rudp.engine: Engine.listeners": "ports that we listen on",
    "rudp.linger: Keeper._engines": "endpoints that we opened",
    "rudp.server: Server._listening": "addresses that we serve",
    "rudp.server: Server._waiters": "tasks of ours that wait",
    "rudp.streams: StreamProtocol._drain_waiters": "tasks of ours that wait",
}
"""Containers that no peer can make grow, and what is in them."""
