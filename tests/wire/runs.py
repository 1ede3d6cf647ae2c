"""Runs of segments in packetdrill's notation, for expectations that would fill a page."""

from __future__ import annotations

from tests.wire.scripted import Script


def run(
    start: int, end: int, *, mss: int = 1000, ack: int = 1, push: bool = False
) -> tuple[str, ...]:
    """What we send: [start, end) in full segments of `mss`; `push` if the last has PSH."""
    return tuple(
        f"> {'P' if push and at + mss >= end else ''}. "
        f"{at}:{min(at + mss, end)}({min(mss, end - at)}) ack {ack}"
        for at in range(start, end, mss)
    )


def peer_run(start: int, end: int, *, size: int = 1000, ack: int = 1) -> tuple[str, ...]:
    """What the peer sends: [start, end) in segments of `size`."""
    return tuple(
        f"< . {at}:{min(at + size, end)}({min(size, end - at)}) ack {ack}"
        for at in range(start, end, size)
    )


def sack(ack: int, *blocks: str, seq: int = 1) -> str:
    """An ACK of the peer with these SACK blocks, each as `left:right`."""
    return f"< . {seq}:{seq}(0) ack {ack} <nop,nop,sack {' '.join(blocks)}>"


def windows(script: Script) -> tuple[int, int]:
    """cwnd and ssthresh of the connection, in bytes."""
    info = script.connection.tcp_info()
    return info.snd_cwnd, info.snd_ssthresh
