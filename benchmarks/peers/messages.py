"""A stream of bytes over a library that carries messages, which are reliable and in order.

The first byte of a message says what the rest is: data, the end of the data, or a credit.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import cast

from peers import Streams
from peers.paced import Channel, Reader, Writer

DATA, EOF, CREDIT = b"D", b"F", b"C"


class MessageChannel(Channel):
    """`streams` is what a program gets; `received` is given every message of the other side."""

    def __init__(self, window: int, largest: int) -> None:
        self._inner = asyncio.StreamReader()
        self._writer = Writer(self, window)
        self._largest = largest
        self.streams = cast(Streams, (Reader(self._inner, self, window), self._writer))

    @abstractmethod
    def send_message(self, message: bytes) -> None: ...

    def received(self, message: bytes) -> None:
        kind, rest = message[:1], message[1:]
        if kind == DATA:
            self._inner.feed_data(rest)
        elif kind == CREDIT:
            self._writer.credit(int.from_bytes(rest, "big"))
        else:
            self.ended()

    def ended(self) -> None:
        self._inner.feed_eof()

    def send(self, data: bytes) -> None:
        for start in range(0, len(data), self._largest):
            self.send_message(DATA + data[start : start + self._largest])

    def send_eof(self) -> None:
        self.send_message(EOF)

    def send_credit(self, total: int) -> None:
        self.send_message(CREDIT + total.to_bytes(8, "big"))
