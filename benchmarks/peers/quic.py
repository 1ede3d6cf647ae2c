"""QUIC by aioquic, and by qh3, which began as a copy of it and has kept the interface.

A connection has one stream, bidirectional, with the libraries' own settings. The server's
certificate is self-signed, and the client is told not to verify it: that spares QUIC some work.
Credits (see `paced`) travel on a unidirectional stream that the reader opens when it first has one
to say. What a program waits for at the end of a connection is that CONNECTION_CLOSE is sent; the
draining period of RFC 9000 section 10.2 goes on behind it, as TIME-WAIT does for TCP.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import socket
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, cast
from weakref import WeakKeyDictionary

from peers import HOST, Handler, Order, Peer, Streams, tasks_of
from peers.paced import Channel, Reader, Writer, window_for

ALPN = ["compare"]
CREDIT_SIZE = 8


class Quic(Peer):
    encrypts = True
    most_idle = 1000
    cannot: ClassVar[Mapping[str, str]] = {
        "small": "its datagrams are small in any case, so the row `bulk` has it",
        "windows": "its windows are not among its settings",
        "crowd": "ten thousand handshakes take it minutes",
    }

    def __init__(self, library: str) -> None:
        self.name = self.module = self.distribution = library
        self._ending: set[asyncio.Task[Any]] = set()

    def missing(self) -> str | None:
        reason = super().missing()
        if reason is None and importlib.util.find_spec("cryptography") is None:
            reason = f"{self.name} needs the package cryptography, for a certificate"
        return reason

    async def serve(self, handler: Handler, order: Order) -> int:
        library = importlib.import_module(f"{self.name}.asyncio")
        configuration = self._configuration(is_client=False)
        directory = Path(order.certificate)
        configuration.load_cert_chain(directory / "cert.pem", directory / "key.pem")
        accept = Accepting(tasks_of(handler), order)
        # The port of the server's own socket is nobody's to ask for.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind((HOST, 0))
            port = int(free.getsockname()[1])
        await library.serve(HOST, port, configuration=configuration, stream_handler=accept)
        return port

    async def connect(self, order: Order) -> Streams:
        library = importlib.import_module(f"{self.name}.asyncio")
        accept = Accepting(None, order)
        context = library.connect(
            HOST,
            order.port,
            configuration=self._configuration(is_client=True),
            stream_handler=accept,
        )
        protocol = await context.__aenter__()
        reader, writer = await protocol.create_stream()

        def end() -> None:
            task = asyncio.get_running_loop().create_task(context.__aexit__(None, None, None))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

        return accept.paced(reader, writer, end)

    def _configuration(self, is_client: bool) -> Any:
        module = importlib.import_module(f"{self.name}.quic.configuration")
        configuration = module.QuicConfiguration(is_client=is_client, alpn_protocols=ALPN)
        if is_client:
            configuration.server_name = "localhost"
            configuration.verify_mode = ssl.CERT_NONE
        return configuration


class Accepting:
    """Called for each stream that the other side opens: one of data, or one of credits."""

    def __init__(self, handle: Callable[[Any, Any], None] | None, order: Order) -> None:
        self._handle = handle
        self._window = window_for(order.connections)
        self._writers: WeakKeyDictionary[Any, Writer] = WeakKeyDictionary()
        self._crediting: set[asyncio.Task[None]] = set()

    def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # RFC 9000 section 2.1: the second bit of a stream's number says unidirectional.
        if writer.get_extra_info("stream_id") & 2:
            task = asyncio.get_running_loop().create_task(self._credit(reader, writer))
            self._crediting.add(task)
            task.add_done_callback(self._crediting.discard)
        elif self._handle is not None:
            self._handle(*self.paced(reader, writer, lambda: None))

    def paced(self, reader: Any, writer: Any, end: Callable[[], None]) -> Streams:
        channel = QuicChannel(writer, end)
        paced = Writer(channel, self._window)
        self._writers[writer.transport.protocol] = paced
        return cast(Streams, (Reader(reader, channel, self._window), paced))

    async def _credit(self, reader: asyncio.StreamReader, writer: Any) -> None:
        protocol = writer.transport.protocol
        while len(data := await reader.read(CREDIT_SIZE)) == CREDIT_SIZE:
            self._writers[protocol].credit(int.from_bytes(data, "big"))


class QuicChannel(Channel):
    def __init__(self, writer: Any, end: Callable[[], None]) -> None:
        self._writer = writer
        self._end = end
        self._credits: Any = None
        self._opening: asyncio.Task[None] | None = None
        self._total = 0

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    def send_eof(self) -> None:
        self._writer.write_eof()

    def send_credit(self, total: int) -> None:
        self._total = total
        if self._credits is not None:
            self._credits.write(total.to_bytes(CREDIT_SIZE, "big"))
        elif self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._open())

    async def _open(self) -> None:
        protocol = self._writer.transport.protocol
        _reader, self._credits = await protocol.create_stream(is_unidirectional=True)
        self.send_credit(self._total)

    async def close(self) -> None:
        self._end()
