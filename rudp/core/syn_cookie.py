"""SYN cookies: a SYN is answered, and all there is to remember of it is in the answer.

RFC 4987 section 3.6. A listener whose backlog is full keeps nothing of a SYN. The ISS of its
SYN-ACK is a keyed hash of what the handshake is about, plus a number that stands for the peer's
MSS. The ACK that ends the handshake brings ISS+1 back: if the same hash leads to it, its sender has
got our SYN-ACK, and the connection begins as if the SYN had been kept.

    ISS = F(secret, addresses and ports, the peer's ISN, time slot, options) + MSS index

What the peer offered beside its MSS has no room there. It goes into the lowest bits of the
timestamp that our SYN-ACK carries, and comes back as the echo of it:

    5       4                4 bits
    ECN     SACK-permitted   window shift of the peer, 15 for none

A peer without timestamps gets neither, and the MSS is the next smaller one of eight. A guess meets
one of two time slots and eight indices of 2**32 numbers: 2**-28.

Not here: when cookies are handed out and looked for, which is the business of `strangers`.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from hashlib import blake2s
from typing import Any, Final

from rudp.core.config import MIN_MSS, Config
from rudp.core.handshake import MAX_SHIFT, offers_ecn
from rudp.core.isn import pair_name
from rudp.core.receiver import MAX_WINDOW_FIELD, window_shift
from rudp.core.segment import ACK, CWR, ECE, SYN, Segment
from rudp.core.seq import MASK

SLOT: Final = 64.0
"""Seconds of a time slot. A cookie is good in its own and in the next."""

LIFETIME: Final = 2 * SLOT

MSS_TABLE: Final = (MIN_MSS, 536, 1180, 1360, 1432, 1452, 8932, 65468)
"""What the MSS of a peer is rounded down to: the least that is used, the default of IPv4, 1200
bytes of datagram, tunnels, Ethernet with IPv6 and with IPv4, jumbo frames, loopback."""

_NO_SHIFT: Final = 15
_SACK: Final = 1 << 4
_ECN: Final = 1 << 5
_OPTION_BITS: Final = (1 << 6) - 1
_TIMESTAMPS: Final = 1 << 6  # is hashed with the others, not sent

_CONTENTS: Final = struct.Struct("!IQB")
_NUMBER: Final = struct.Struct("!I")

Key = tuple[tuple[Any, ...], int, int]


def remembered(syn: Segment, timestamps: bool) -> Segment:
    """What a cookie keeps of `syn`: offer no more than this to its sender.

    `timestamps`: we use them if the peer does.
    """
    kept = Segment(syn.src_port, syn.dst_port, syn.seq, 0, SYN, syn.wnd)
    if syn.mss is not None:
        kept.mss = MSS_TABLE[_index(syn.mss)]
    if timestamps and syn.ts_val is not None:
        kept.ts_val = syn.ts_val
        kept.window_scale = syn.window_scale
        kept.sack_permitted = syn.sack_permitted
        kept.flags |= (ECE | CWR) if offers_ecn(syn) else 0
    return kept


def bake(
    secret: bytes, local: tuple[Any, ...], key: Key, kept: Segment, default_mss: int, now: float
) -> int:
    """The ISS that answers the SYN of which this is `remembered`.

    `secret`, `local` and `key` are those of `isn.initial_numbers`; `default_mss` is that of a peer
    which announces none.
    """
    index = _index(default_mss if kept.mss is None else kept.mss)
    return (_hash(secret, local, key, kept.seq, _options(kept), int(now / SLOT)) + index) & MASK


def answer(
    config: Config, kept: Segment, iss: int, mss: int, ecn: bool, clock: int
) -> Segment:
    """The SYN-ACK for the SYN of which this is `remembered`.

    It says what a connection's would say (`handshake.syn_segment`), which takes twice as long to
    make. `mss` and `ecn` are those of `connection.open_passive`, `clock` is the timestamp clock of
    this pair of sockets.
    """
    ecn = ecn and config.ecn and offers_ecn(kept)
    flags = SYN | ACK | (ECE if ecn else 0)
    wnd = min(config.receive_buffer, MAX_WINDOW_FIELD)
    syn_ack = Segment(kept.dst_port, kept.src_port, iss, kept.seq + 1, flags, wnd)
    if kept.mss is not None:
        syn_ack.mss = mss if config.mss is None else min(mss, config.mss)
    if kept.ts_val is not None:
        # The last moment that has these bits: it must not run ahead of what we send next.
        value = (clock & ~_OPTION_BITS) | (_options(kept) & _OPTION_BITS)
        syn_ack.ts_val = value if value <= clock else value - _OPTION_BITS - 1
        syn_ack.ts_ecr = kept.ts_val
        syn_ack.sack_permitted = config.sack and kept.sack_permitted
        if config.window_scaling and kept.window_scale is not None:
            syn_ack.window_scale = window_shift(config.receive_buffer)
    return syn_ack


def _index(mss: int) -> int:
    return max(0, bisect_right(MSS_TABLE, mss) - 1)


def _options(kept: Segment) -> int:
    if kept.ts_val is None:
        return _NO_SHIFT
    shift = _NO_SHIFT if kept.window_scale is None else min(kept.window_scale, MAX_SHIFT)
    sack = _SACK if kept.sack_permitted else 0
    return _TIMESTAMPS | (_ECN if offers_ecn(kept) else 0) | sack | shift


def recall(
    secret: bytes, local: tuple[Any, ...], key: Key, ack: Segment, now: float
) -> Segment | None:
    """The SYN, as far as it is remembered, that was answered by what `ack` acknowledges, or None.

    The window of the SYN is not remembered; `ack` has a newer one.
    """
    options = _NO_SHIFT
    if ack.ts_val is not None:
        options = _TIMESTAMPS | ack.ts_ecr & _OPTION_BITS
    irs, iss = (ack.seq - 1) & MASK, (ack.ack - 1) & MASK
    slot = int(now / SLOT)
    for each in (slot, slot - 1):
        index = (iss - _hash(secret, local, key, irs, options, each)) & MASK
        if index < len(MSS_TABLE):
            return _syn(ack, irs, MSS_TABLE[index], options)
    return None


def _syn(ack: Segment, irs: int, mss: int, options: int) -> Segment:
    flags = SYN | (ECE | CWR if options & _ECN else 0)
    shift = options & 15
    return Segment(
        ack.src_port,
        ack.dst_port,
        irs,
        0,
        flags,
        ack.wnd,
        mss=mss,
        window_scale=None if shift == _NO_SHIFT else shift,
        sack_permitted=options & _SACK > 0,
        ts_val=ack.ts_val,
    )


def _hash(
    secret: bytes, local: tuple[Any, ...], key: Key, irs: int, options: int, slot: int
) -> int:
    # `person` keeps it apart from what the same secret makes of the same sockets elsewhere.
    contents = pair_name(local, key) + _CONTENTS.pack(irs, slot & 0xFFFFFFFFFFFFFFFF, options)
    digest = blake2s(contents, key=secret, digest_size=4, person=b"cookie").digest()
    number: int = _NUMBER.unpack(digest)[0]
    return number
