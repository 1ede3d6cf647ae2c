"""Lines of the notation for what is no connection: a listener, a closed port, a TIME-WAIT
record."""

from __future__ import annotations

from dataclasses import replace

from rudp.core import codec
from rudp.core.segment import Segment
from tests.notation import Origin, decode, difference, encode, parse
from tests.wire.scripted import ISS, LOCAL_PORT, PEER_ISS, PEER_PORT, peer_data

_THEIRS = Origin(seq=PEER_ISS, ack=ISS)
_OURS = _THEIRS.turned()


def datagram(line: str) -> bytes:
    """What the peer puts on the wire for `line`, as `Script.inject` does it."""
    parsed = parse(line)
    window = 65535 if parsed.window is None else parsed.window
    data = peer_data(parsed.seq - 1, parsed.length) if parsed.data is None else parsed.data
    parsed = replace(parsed, window=window, data=data)
    return encode(parsed, _THEIRS, src_port=PEER_PORT, dst_port=LOCAL_PORT)


def arriving(line: str) -> Segment:
    """The segment that `line` becomes when it arrives."""
    return codec.decode(datagram(line))


def check(answer: Segment | None, expected: str | None) -> None:
    """`answer` is on the wire what `expected` says; None is no answer."""
    if answer is None or expected is None:
        assert answer is None, f"no answer was expected, not {answer}"
        assert expected is None, f"{expected} was expected, and nothing came"
        return
    assert (answer.src_port, answer.dst_port) == (LOCAL_PORT, PEER_PORT)
    sent = decode(codec.encode(answer), ">", _OURS)
    what = difference(parse(expected), sent)
    assert what is None, f"{expected} was expected, not {sent}: {what}"
