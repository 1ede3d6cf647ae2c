"""A connection at rest, packed into a few hundred bytes: an endpoint may hold many that are silent.

    if may_be_packed(config) and at_rest(connection):
        packed = pack(connection)       # and the connection can be let go
        ...
        connection = unpack(packed, config)

What comes back is the same connection, field by field, with the same objects shared: nobody can
tell the difference. Nothing is known here of what the fields mean; a new one needs nothing here.

`pickle` writes the values of each object, without their names, and what a connection that has just
begun has in common with most others is a dictionary for `zlib`. What is left is what tells two
connections apart: numbers, moments and measurements.

Not here: when it is time for it, and who keeps the bytes, which is the endpoint's business.
"""

from __future__ import annotations

import functools
import io
import math
import operator
import pickle
from collections.abc import Callable
from typing import Any, Final

from rudp.core import codec
from rudp.core.config import Config, Keepalive
from rudp.core.connection import Connection, open_active, open_passive
from rudp.core.delivery_rate import Stamp
from rudp.core.handshake import Handshake
from rudp.core.keepalive import KeepaliveTimer
from rudp.core.pmtud import PathMtu
from rudp.core.reassembly import Reassembly
from rudp.core.receiver import Receiver
from rudp.core.recovery import LossRecovery
from rudp.core.rtt import RttEstimator
from rudp.core.scoreboard import Scoreboard
from rudp.core.segment import Segment
from rudp.core.send_buffer import SendBuffer
from rudp.core.sender import Sender
from rudp.core.skip_test import SkipTest
from rudp.core.state import CLOSE_WAIT, ESTABLISHED, FIN_WAIT_2
from rudp.core.timestamps import Timestamps

try:
    import zlib
except ModuleNotFoundError:  # A Python can be built without it.
    zlib = None  # type: ignore[assignment]

_RESTING: Final = (ESTABLISHED, CLOSE_WAIT, FIN_WAIT_2)

_DEFAULTS: Final = Config()
_ARGUMENTS: Final[dict[type, tuple[object, ...]]] = {
    Connection: (_DEFAULTS, 0, 0, 0, 0.0, 0, 0, 0, 0, 0, False, False),
    Handshake: (0.0, 0.0, 0.0, 0.0),
    KeepaliveTimer: (Keepalive(), 0.0),
    LossRecovery: (0, RttEstimator(1.0, 1.0, 1.0), 0),
    PathMtu: (0, 0, 0),
    Reassembly: (0,),
    Receiver: (_DEFAULTS, 0, 0),
    RttEstimator: (1.0, 1.0, 1.0),
    Scoreboard: (0,),
    SendBuffer: (0,),
    Sender: (_DEFAULTS, 0),
    SkipTest: (0.0, 0),
    Stamp: (0.0, 0, 0.0, 0.0, False, 0, 0),
    Timestamps: (0,),
}
"""What `__new__` is given where `__init__` needs something. As mypyc compiles a class, the one
calls the other; Python's own makes nothing of it. All that comes of it is overwritten."""

_WINDOW_BITS: Final = -13
"""Of zlib: no header, and a window of 8 KiB, which the dictionary and what is packed fit into."""


def may_be_packed(config: Config) -> bool:
    """Whether connections with this `config` can be packed at all.

    What a congestion control of the user's holds may be anything, also what has to stay itself.
    """
    return zlib is not None and isinstance(config.congestion, str)


def at_rest(c: Connection) -> bool:
    """Nothing is to be done for `c`, nor will be, before somebody says something; or before it is
    time for a keepalive probe, or for the peer's FIN to be given up."""
    snd, rcv = c.snd, c.rcv
    return (
        c.state in _RESTING
        and snd.una == snd.nxt
        and not snd.wants_to_send
        and not snd.held_back
        and snd.next_deadline() == math.inf
        and rcv.ack_deadline == math.inf
        and c.handshake.deadline == math.inf
        and not (rcv.ack_now or rcv.ack_soon)
        and not (rcv.readable or rcv.has_sack)
        and not (c.out or c.events)
        and not c.handshake.due
        and not c._fin_wait_2_begins
    )


def pack(connection: Connection) -> bytes:
    """All of `connection` but its `Config`, which many share."""
    dictionary = _dictionary(str(connection.config.congestion))
    compressor = zlib.compressobj(level=9, wbits=_WINDOW_BITS, zdict=dictionary)
    return compressor.compress(_pickled(connection)) + compressor.flush()


def unpack(packed: bytes, config: Config) -> Connection:
    """The connection that `pack` made `packed` of; `config` was and is its own."""
    dictionary = _dictionary(str(config.congestion))
    decompressor = zlib.decompressobj(wbits=_WINDOW_BITS, zdict=dictionary)
    connection = _Unpickler(decompressor.decompress(packed), config).load()
    assert isinstance(connection, Connection)
    return connection


# -- objects become values -----------------------------------------------------------------------


class _Pickler(pickle.Pickler):
    """Writes an object as its class and its values, in the order of the fields."""

    def __init__(self, file: io.BytesIO, config: Config) -> None:
        super().__init__(file, protocol=5)
        self._config = config

    def reducer_override(self, obj: Any) -> Any:
        if obj is self._config:
            return _its_config, ()
        if obj is self._config.keepalive:
            return _its_keepalive, ()
        cls: type = type(obj)
        names, values_of = _fields(cls)
        return (_restore, (cls, *values_of(obj))) if names else NotImplemented


class _Unpickler(pickle.Unpickler):
    """Reads what `_Pickler` wrote; the configuration stays the same object."""

    def __init__(self, data: bytes, config: Config) -> None:
        super().__init__(io.BytesIO(data))
        self._config = config

    def find_class(self, module: str, name: str) -> Any:
        if name == _its_config.__name__:
            return lambda: self._config
        if name == _its_keepalive.__name__:
            return lambda: self._config.keepalive
        return super().find_class(module, name)


def _its_config() -> None:
    """Stands for the connection's `Config`."""


def _its_keepalive() -> None:
    """Stands for the `Keepalive` in it."""


def _restore(cls: Any, *values: object) -> object:
    """An object of `cls` with these values of its fields."""
    obj: object = cls.__new__(cls, *_ARGUMENTS.get(cls, ()))
    for name, value in zip(_fields(cls)[0], values, strict=True):
        setattr(obj, name, value)
    return obj


@functools.cache
def _fields(cls: type) -> tuple[tuple[str, ...], Callable[[object], tuple[object, ...]]]:
    """The names of what objects of `cls` hold, none if it is no class of the core with slots; and
    a function that gets all of it."""
    # A class that mypyc has compiled has no slots, and says here what it has instead.
    names = getattr(cls, "__mypyc_attrs__", None) or tuple(
        name for base in cls.__mro__ for name in vars(base).get("__slots__", ())
    )
    return names, operator.attrgetter(*names) if names else _nothing


def _nothing(obj: object) -> tuple[object, ...]:
    return ()


def _pickled(connection: Connection) -> bytes:
    file = io.BytesIO()
    _Pickler(file, connection.config).dump(connection)
    return file.getvalue()


# -- what most connections have in common --------------------------------------------------------


@functools.cache
def _dictionary(congestion: str) -> bytes:
    """Two connections over which a word has gone each way, as a dictionary for zlib."""
    config = Config(congestion=congestion)
    a = open_active(
        config, local_port=40_000, peer_port=9000, iss=1 << 30, now=1.0,
        mss=1452, path_mss=1152, socket_buffer=212_992, ecn=True,
    )  # fmt: skip
    (syn,) = _sent(a, 1.0)
    b = open_passive(
        config, syn=syn, iss=1 << 31, now=1.1,
        mss=1452, path_mss=1152, socket_buffer=212_992, ecn=True,
    )  # fmt: skip
    _talk(b, a, 1.2)
    for speaker, listener, now in ((a, b, 1.3), (b, a, 1.4)):
        speaker.write(bytes(64))
        _talk(speaker, listener, now)
        _talk(listener, speaker, now + 0.05)
    return _pickled(b) + _pickled(a)


def _talk(speaker: Connection, listener: Connection, now: float) -> None:
    for segment in _sent(speaker, now):
        listener.receive(segment, now)
    listener.read()
    listener.events.clear()


def _sent(connection: Connection, now: float) -> list[Segment]:
    """What `connection` sends now, as it arrives at the other side."""
    segments = connection.segments_to_send(now)
    pairs = [pair for each in segments for pair in codec.split(each, codec.MAX_SUPER)]
    return codec.coalesce([header + bytes(data) for header, data in pairs])[0]
