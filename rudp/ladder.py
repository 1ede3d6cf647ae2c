"""A connection drawn as a ladder: the segments between two sides, the states left and right.

The form is that of RFC 9293, figures 6 and 12. A `Ladder` listens at the taps of both sides of one
connection (`rudp.Endpoint`, `tap=`), which must live in this process, and pairs what one side sent
with what the other received. Segments that open or close (SYN, FIN, RST) and the ACK of each are
rungs of their own; the data between them is counted and drawn as one rung.

Not for the hot path: switch `watching` off while data flows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rudp.core.segment import ACK, FIN, RST, SYN, Segment
from rudp.core.seq import wrap
from rudp.core.state import State

LEFT, RIGHT = "client", "server"

Tap = Callable[[str, Segment, State, float], None]

_ARROW = 42  # characters, head included
_STATE = 12


@dataclass
class Rung:
    """One segment between the sides, or all that passed between two such segments."""

    at: float  # seconds, when it was sent
    sender: str  # LEFT or RIGHT
    control: str  # "SYN", "SYN+ACK", "ACK", "FIN+ACK", "RST", ... or "" for what passed in between
    seq: int
    ack: int
    end: int  # SEG.SEQ + SEG.LEN, on the wire's 32 bits
    data: int  # bytes
    left: State
    right: State
    again: bool = False  # a busy machine may be late with an ACK; then something goes out twice
    arrived: bool = False  # until then, the receiver's state is the last one known


class Ladder:
    """The rungs of one connection, in the order in which they were sent."""

    def __init__(self) -> None:
        self.watching = True
        self.rungs: list[Rung] = []
        self._states = {LEFT: State.CLOSED, RIGHT: State.LISTEN}
        self._unacked: dict[str, set[int]] = {LEFT: set(), RIGHT: set()}  # ends of SYN and FIN

    def tap(self, side: str) -> Tap:
        """The function to give as `tap=` to the endpoint of this side, LEFT or RIGHT."""

        def tap(direction: str, segment: Segment, state: State, now: float) -> None:
            if self.watching:
                if direction == ">":
                    self._sent(side, segment, state, now)
                else:
                    self._received(side, segment, state)

        return tap

    def take(self) -> list[Rung]:
        """The rungs so far; what follows starts a new ladder with the states as they are."""
        rungs, self.rungs = self.rungs, []
        return rungs

    def _sent(self, side: str, segment: Segment, state: State, now: float) -> None:
        self._states[side] = state
        far = self._unacked[_other(side)]
        ack = wrap(segment.ack) if segment.flags & ACK else 0
        if segment.flags & (SYN | FIN | RST):
            control = _control(segment.flags)
            self._unacked[side].add(wrap(segment.end))
        elif ack in far:
            control = "ACK"
        else:
            self._sent_between(side, segment, now)
            return
        far.discard(ack)
        # A FIN comes after the data in its segment: its own number is the last.
        seq = segment.end - 1 if segment.flags & FIN else segment.seq
        if segment.flags & FIN:
            self._sent_between(side, segment, now)
        rung = Rung(now, side, control, wrap(seq), ack, wrap(segment.end), 0, *self._both())
        rung.again = any(_same(rung, other) for other in self.rungs)
        self.rungs.append(rung)
        if control == "ACK":
            self._sent_between(side, segment, now)

    def _sent_between(self, side: str, segment: Segment, now: float) -> None:
        """Count data that is neither the opening nor the end; its ACKs are not worth a line."""
        if not segment.data:
            return
        last = self.rungs[-1] if self.rungs else None
        if last is not None and not last.control and last.sender == side:
            last.data += len(segment.data)
            return
        self.rungs.append(Rung(now, side, "", 0, 0, 0, len(segment.data), *self._both()))

    def _both(self) -> tuple[State, State]:
        return self._states[LEFT], self._states[RIGHT]

    def _received(self, side: str, segment: Segment, state: State) -> None:
        """Note the state into which a segment brought its receiver, at the rung where it was sent.

        The codec may have joined what was sent apart, so SEG.SEQ need not match. The end does; and
        of two ACKs without data, which end alike, SEG.ACK says which is which.
        """
        self._states[side] = state
        control, end, ack = _control(segment.flags), wrap(segment.end), wrap(segment.ack)
        between = not segment.flags & (SYN | FIN | RST) and len(segment.data) > 0
        for rung in self.rungs:
            if between and not rung.control and rung.sender != side:
                self._arrive(rung, side, state)
                return
            if rung.arrived or rung.sender == side or (rung.control, rung.end) != (control, end):
                continue
            if control == "ACK" and rung.ack != ack:
                continue
            self._arrive(rung, side, state)
            return

    @staticmethod
    def _arrive(rung: Rung, side: str, state: State) -> None:
        rung.arrived = True
        if side == LEFT:
            rung.left = state
        else:
            rung.right = state


def lines(rungs: Sequence[Rung], start: float, *, unicode: bool = True) -> list[str]:
    """The rungs as text of at most 80 columns, times in milliseconds since `start`."""
    strokes = ("─", "◀", "▶") if unicode else ("-", "<", ">")
    return [_line(rung, start, strokes) for rung in rungs]


def _line(rung: Rung, start: float, strokes: tuple[str, str, str]) -> str:
    line, head_left, head_right = strokes
    text = f" {_label(rung)} ".center(_ARROW - 1, line)
    arrow = text + head_right if rung.sender == LEFT else head_left + text
    elapsed = (rung.at - start) * 1e3
    return (
        f"{elapsed:7.1f} ms {rung.left.value:>{_STATE}} {arrow} {rung.right.value:<{_STATE}}"
    ).rstrip()


def _label(rung: Rung) -> str:
    if not rung.control:
        return f"{rung.data} bytes of data"
    label = f"{rung.control} again" if rung.again else f"{rung.control} SEQ={rung.seq}"
    return f"{label} ACK={rung.ack}" if "ACK" in rung.control else label


def _control(flags: int) -> str:
    bits = ((SYN, "SYN"), (FIN, "FIN"), (RST, "RST"), (ACK, "ACK"))
    return "+".join(name for bit, name in bits if flags & bit)


def _same(rung: Rung, other: Rung) -> bool:
    """SYN and FIN have a number that is theirs; an ACK is what it acknowledges."""
    if (rung.sender, rung.control, rung.end) != (other.sender, other.control, other.end):
        return False
    return rung.control != "ACK" or rung.ack == other.ack


def _other(side: str) -> str:
    return RIGHT if side == LEFT else LEFT
