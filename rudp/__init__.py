"""rudp: TCP (RFC 9293) in user space, over UDP, for asyncio.

    reader, writer = await rudp.open_connection(host, port)
    server = await rudp.start_server(callback, host, port)

are asyncio's streams. `create_connection` and `create_server` take asyncio protocols, `Endpoint`
is one UDP socket for many connections, `Config` holds every tunable and every limit.
"""

from rudp._version import __version__
from rudp.core.config import Config, Keepalive
from rudp.core.congestion import AckSample, CongestionControl, WindowBased
from rudp.core.state import State
from rudp.core.tcp_info import TcpInfo
from rudp.endpoint import Endpoint
from rudp.opening import create_connection, create_server, open_connection, start_server
from rudp.reader import StreamReader
from rudp.server import Server
from rudp.transport import Transport

__all__ = [
    "AckSample",
    "Config",
    "CongestionControl",
    "Endpoint",
    "Keepalive",
    "Server",
    "State",
    "StreamReader",
    "TcpInfo",
    "Transport",
    "WindowBased",
    "__version__",
    "create_connection",
    "create_server",
    "open_connection",
    "start_server",
]
