"""What must hold on the wire at every moment, checked on every datagram that one side sends.

A `Watch` sees what its side puts on the wire and what arrives there, reads both from the bytes, and
knows nothing of the core. It raises `Violation` when its side

- takes an acknowledgment back, or (but for rounding) the right edge of its window (SHLD-14),
- acknowledges, in ACK or SACK, what was never sent to it,
- leaves a gap in what it sends, unless it says that it withholds that,
- changes a byte it sent before,
- sends past the right edge of the window it was given, or more in one segment than the peer's MSS,
- has more in flight, or offers a larger window, than its configuration allows,
- lets the network mark what may not be marked (RFC 3168 section 6.1.4 to 6.1.6).

On the way it notes in `seen` what this wire has carried. What happens between the two cores and
the user is checked in `side`.
"""

from __future__ import annotations

from typing import Final

from rudp.core.config import Config
from rudp.sim.swarm.network import Markable
from rudp.sim.swarm.notation import (
    ACK,
    CWR,
    ECE,
    FIN,
    MSS,
    RST,
    SACK,
    SYN,
    WINDOW_SCALE,
    Line,
    Origin,
    brief,
    decode,
)

_DEFAULT_MSS: Final = 536
"""RFC 9293 section 3.7.1: what is assumed when the SYN has no MSS option (MUST-15)."""


class Violation(AssertionError):
    """Something that may never happen has happened."""


class Watch:
    """Both directions of one side's wire. Numbers are relative to the ISS of each side."""

    def __init__(
        self, config: Config, origin: Origin, stream: bytes, seen: set[str] | None = None
    ) -> None:
        self.seen: set[str] = set() if seen is None else seen
        self._config = config
        self._origin = origin
        self._stream = stream
        # What this side said.
        self._ack = 0
        self._right_edge = 0
        self._sent_end = 0
        self._syns = 0
        self._shift: int | None = None
        # What arrived here.
        self._peer_ack = 0
        self._peer_right_edge = 0
        self._peer_begin = 1  # less only where it has probed the path
        self._peer_end = 0
        self._peer_mss = _DEFAULT_MSS
        self._peer_shift: int | None = None
        self._reset = False

    def ends_at(self, last: int) -> None:
        """The user will write no more than this."""
        self._stream = self._stream[:last]

    def sent(self, datagram: bytes, withheld: tuple[int, int] | None = None) -> Line:
        """This side sends `datagram`: check it. Returns what it says.

        `withheld`: the bytes that it keeps back at the moment, to find out whether the peer
        acknowledges what it cannot have (core/skip_test.py).
        """
        line = decode(datagram, ">", self._origin)
        if line.flags & RST:
            self._reset = True
            self.seen.add("a reset")
        if self._reset:
            return line
        try:
            self._check_acknowledgment(line)
            self._check_window(line)
            if isinstance(datagram, Markable):
                assert line.length, "an ACK may not be marked"
                assert line.seq >= self._sent_end, "what goes out again may not be marked"
                self.seen.add("ECT")
            self._check_gap(line, withheld)
            self._check_data(line, len(datagram))
            if line.flags & (FIN | SYN | ECE | CWR) or not line.length:
                self._note(line)
        except AssertionError as failure:
            raise Violation(f"{failure.args[0]}: {brief(line)}") from None
        return line

    def received(self, datagram: bytes) -> Line:
        """`datagram` of the peer arrives at this side. Returns what it says."""
        line = decode(datagram, "<", self._origin.turned())
        if line.flags & RST:
            return line
        self._peer_end = max(self._peer_end, _end(line))
        if line.length:
            self._peer_begin = min(self._peer_begin, line.seq)
        if line.flags & SYN:
            if (mss := line.option(MSS)) is not None:
                self._peer_mss = _value(mss.values[0])
            self._peer_shift = _shift(line)
        if line.ack is not None:
            assert line.window is not None
            scale = 0 if line.flags & SYN else self._scale_of(self._peer_shift)
            self._peer_ack = max(self._peer_ack, line.ack)
            self._peer_right_edge = max(self._peer_right_edge, line.ack + (line.window << scale))
        return line

    def _check_acknowledgment(self, line: Line) -> None:
        if line.ack is None:
            return
        assert line.ack >= self._ack, f"the acknowledgment of {self._ack} is taken back"
        assert line.ack <= self._peer_end, f"only {self._peer_end} was ever received"
        self._ack = line.ack
        if (sack := line.option(SACK)) is not None:
            edges = [_value(edge) for edge in sack.values]
            self.seen.add("DSACK" if edges[0] < line.ack else "SACK")
            for left, right in zip(edges[::2], edges[1::2], strict=True):
                had = self._peer_begin <= left < right <= self._peer_end
                assert had, f"the block {left}:{right} cannot be"

    def _check_window(self, line: Line) -> None:
        if line.flags & SYN:
            self._shift = _shift(line)
        if line.ack is None:
            return
        assert line.window is not None
        scale = 0 if line.flags & SYN else self._scale_of(self._shift)
        window = line.window << scale
        edge = line.ack + window
        # RFC 7323 section 2.4: a window that is told in units of 2**scale is rounded to one, and
        # so the edge that is told may be behind the one that holds, by less than that.
        least = self._right_edge - (1 << scale)
        assert edge > least, f"the right edge moves back from {self._right_edge}"
        most = self._config.receive_buffer + (1 << scale)
        assert window < most, f"a window of {window} is more than the receive buffer"
        self._right_edge = max(self._right_edge, edge)
        if window > 65535:
            self.seen.add("a window above 65,535 bytes")
        elif not window:
            self.seen.add("a zero window")

    def _check_gap(self, line: Line, withheld: tuple[int, int] | None) -> None:
        if line.seq > self._sent_end:
            gap = (self._sent_end, line.seq)
            assert gap == withheld, f"{gap[0]}:{gap[1]} was left out"
            self.seen.add("a segment withheld")

    def _check_data(self, line: Line, size: int) -> None:
        end = _end(line)
        start = line.seq - 1
        data = self._stream[start : start + line.length] if line.length else b""
        # A probe of the path: nothing, where the peer has everything.
        padding = end <= self._peer_ack and not any(line.data or b"")
        assert padding or line.data == data, "this is not what was written at that place"
        if line.flags & FIN:
            assert end == len(self._stream) + 2, f"the FIN belongs after {len(self._stream)} bytes"
        if line.length:
            # RFC 6691 section 2: the MSS does not count options, so what they take is missing.
            assert size - 20 <= self._peer_mss, f"{size - 20} bytes exceed {self._peer_mss}"
        if end > self._sent_end:
            self._check_new_data(line, end)
            self._sent_end = end
        elif line.length:
            self.seen.add("a retransmission" if line.data == data else "a probe of the path")
        if self._origin.seq + line.seq < 2**32 <= self._origin.seq + end:
            self.seen.add("numbers wrap within a segment")

    def _check_new_data(self, line: Line, end: int) -> None:
        if line.flags & SYN:
            return
        # RFC 9293 section 3.8.6.1: a probe may carry one byte (or the FIN) past a shut window.
        probe = end == self._peer_right_edge + 1 == line.seq + 1
        if probe:
            self.seen.add("a window probe")
        assert end <= self._peer_right_edge or probe, f"the window ends at {self._peer_right_edge}"
        flight = end - self._peer_ack
        # The FIN has a number but takes no room.
        assert flight <= self._config.send_buffer + 1, f"{flight} bytes are in flight"

    def _note(self, line: Line) -> None:
        """What is worth knowing of a segment that is more, or less, than data."""
        if line.flags & SYN:
            if line.flags & ECE and line.flags & ACK:
                self.seen.add("ECN is agreed on")
            if line.seq < self._syns:
                self.seen.add("a SYN again")
            self._syns = 1
        elif line.flags & FIN:
            self.seen.add("a FIN with data" if line.length else "a bare FIN")
        elif line.flags & ECE:
            self.seen.add("ECE")
        elif line.flags & CWR:
            self.seen.add("CWR")
        elif line.seq == self._sent_end - 1:
            self.seen.add("a keepalive probe")

    def _scale_of(self, shift: int | None) -> int:
        """The shift in force: none unless both SYNs had the option (RFC 7323 section 2.2)."""
        if shift is None or self._shift is None or self._peer_shift is None:
            return 0
        return min(shift, 14)


def _end(line: Line) -> int:
    return line.seq + line.length + bool(line.flags & SYN) + bool(line.flags & FIN)


def _shift(line: Line) -> int | None:
    option = line.option(WINDOW_SCALE)
    return None if option is None else _value(option.values[0])


def _value(number: object) -> int:
    assert isinstance(number, int)
    return number
