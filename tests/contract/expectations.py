"""Where asyncio's TCP itself differs between Python versions and loops, said in one place.

Everything that is not here is expected to be the same over TCP and over rudp, on both loops, on
every Python. rudp itself has one column: the best one. A test asks `net.expect` and nothing else;
none looks at a version or at the name of a loop or of a net by itself.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Expectations:
    """What one net on one loop does in the points where not all of them agree."""

    #: abort() sends RST, so that the other side sees ConnectionResetError. asyncio's abort() over
    #: TCP closes the descriptor, and the kernel sends FIN as long as nothing was left unread.
    abort_resets: bool = True
    #: write() takes its own copy of a bytearray or memoryview that it cannot send at once. The
    #: standard loop keeps a view since 3.12, uvloop always did.
    copies_mutable_buffers: bool = True
    #: write() after close() is dropped even while earlier data still waits to be sent. TCP on both
    #: loops appends to that data.
    drops_writes_after_close: bool = True
    #: write() is dropped also after connection_lost. uvloop raises RuntimeError then.
    drops_writes_after_loss: bool = True
    #: From the fifth write() after the end on, a warning is logged. uvloop says nothing.
    warns_of_dropped_writes: bool = True
    #: write(None) raises TypeError. uvloop takes it for no data.
    write_refuses_none: bool = True
    #: get_write_buffer_limits() before any were set. In uvloop's, the low one is in KiB by mistake.
    write_limits: tuple[int, int] = (2**14, 2**16)
    #: pause_reading() inside connection_made() holds. uvloop begins to read after it all the same.
    pauses_in_connection_made: bool = True
    #: An error in get_buffer() is reported as it is. uvloop reports a RuntimeError of its own.
    reports_get_buffer_errors: bool = True
    #: The transport is an instance of asyncio.Transport. uvloop's are not.
    is_asyncio_transport: bool = True
    #: Server.wait_closed() waits for the connections to end. 3.11 and uvloop return at once.
    server_waits_for_clients: bool = True
    #: Server.close_clients() and abort_clients() exist: 3.13.
    server_ends_clients: bool = True
    #: Server.close() ends a serve_forever() that runs. With uvloop that waits on.
    close_ends_serve_forever: bool = True
    #: A serve_forever() that is cancelled closes the connections, and so ends soon: since 3.14.7.
    #: Of 3.12 and 3.13 not every release does.
    cancelled_serve_forever_closes_clients: bool = True
    #: An exception in client_connected_cb is reported and closes the connection: since 3.11.7.
    reports_callback_errors: bool = True
    #: So is that in a client_connected_cb that is a plain function: since 3.14.8.
    reports_plain_callback_errors: bool = True
    #: A client_connected_cb that is cancelled is nothing to report: since 3.13.
    allows_cancelled_callbacks: bool = True
    #: create_connection(all_errors=True) raises an ExceptionGroup: 3.12.
    has_all_errors: bool = True
    #: create_connection() has happy_eyeballs_delay= and interleave=. uvloop's has not.
    has_happy_eyeballs: bool = True
    #: A host given twice to create_server() is listened on once. uvloop tries, and fails.
    merges_equal_hosts: bool = True
    #: An address that cannot be listened on raises its errno. Without one on 3.13's standard loop.
    unbindable_has_errno: bool = True
    #: Names are resolved by getaddrinfo() of the loop or of the socket module, which tests replace.
    resolves_in_python: bool = True


def expectations(net: str, loop: str) -> Expectations:
    if net == "rudp":
        return Expectations()
    uvloop = loop == "uvloop"
    return Expectations(
        abort_resets=False,
        copies_mutable_buffers=not uvloop and sys.version_info < (3, 12),
        drops_writes_after_close=False,
        drops_writes_after_loss=not uvloop,
        warns_of_dropped_writes=not uvloop,
        write_refuses_none=not uvloop,
        write_limits=(16, 2**16) if uvloop else (2**14, 2**16),
        pauses_in_connection_made=not uvloop,
        reports_get_buffer_errors=not uvloop,
        is_asyncio_transport=not uvloop,
        server_waits_for_clients=not uvloop and sys.version_info >= (3, 12),
        server_ends_clients=not uvloop and sys.version_info >= (3, 13),
        close_ends_serve_forever=not uvloop,
        cancelled_serve_forever_closes_clients=not uvloop and sys.version_info >= (3, 14, 7),
        reports_callback_errors=sys.version_info >= (3, 11, 7),
        reports_plain_callback_errors=sys.version_info >= (3, 14, 8),
        allows_cancelled_callbacks=sys.version_info >= (3, 13),
        has_all_errors=not uvloop and sys.version_info >= (3, 12),
        unbindable_has_errno=uvloop or sys.version_info < (3, 13),
        merges_equal_hosts=not uvloop,
        has_happy_eyeballs=not uvloop,
        resolves_in_python=not uvloop,
    )
