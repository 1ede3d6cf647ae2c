"""Feeds the codec with what nobody would send: `python -m tests.fuzz.fuzz_codec --seconds 60`.

`test_one_input` has the shape that coverage-guided fuzzers (Atheris) call. Without one, `inputs`
makes random bytes, and valid segments with a few of their bytes spoilt. The same seed gives the
same inputs.
"""

import argparse
import random
import time
from collections.abc import Iterator

from rudp.core.codec import coalesce, decode, encode, split
from rudp.core.segment import FIN, RST, SYN, URG, Segment, SegmentError


def test_one_input(data: bytes) -> None:
    """Whatever `data` is, the codec keeps its promises; an AssertionError says which it did not."""
    _check_datagram(data)
    # The same bytes as a stream of datagrams, all of the size that the first two bytes give.
    size = max(1, int.from_bytes(data[:2], "big"))
    _check_datagrams([data[start : start + size] for start in range(2, len(data), size)])


def _check_datagram(datagram: bytes) -> None:
    try:
        segment = decode(datagram)
    except SegmentError:
        assert coalesce([datagram]) == ([], 1)
        return
    assert coalesce([datagram]) == ([segment], 0)
    assert datagram.endswith(bytes(segment.data))

    # Options may be packed more tightly than we write them: then the last SACK block has no room.
    again = decode(encode(segment))
    assert segment.sack_blocks[: len(again.sack_blocks)] == again.sack_blocks
    segment.sack_blocks = again.sack_blocks
    assert again == segment

    if not segment.flags & URG:
        segment.wire_len = 0  # as if it were to be sent, and not in one piece
        mss = 1 + datagram[0] % 64
        pairs = split(segment, mss)
        assert segment.flags & (SYN | RST) or all(len(data) <= mss for _, data in pairs)
        assert coalesce([head + bytes(data) for head, data in pairs]) == ([segment], 0)


def _check_datagrams(datagrams: list[bytes]) -> None:
    single: list[Segment] = []
    for datagram in datagrams:
        try:
            single.append(decode(datagram))
        except SegmentError:
            continue
    joined, undecodable = coalesce(datagrams)
    assert undecodable == len(datagrams) - len(single)
    assert len(joined) <= len(single)
    assert _data(joined) == _data(single)
    assert _fins(joined) == _fins(single)


def _data(segments: list[Segment]) -> bytes:
    return b"".join([bytes(segment.data) for segment in segments])


def _fins(segments: list[Segment]) -> int:
    return sum(segment.flags & FIN for segment in segments)


def inputs(seed: int) -> Iterator[bytes]:
    """Endless inputs: one third random bytes, the rest valid segments, spoilt here and there."""
    rng = random.Random(seed)
    while True:
        kind = rng.randrange(3)
        if kind == 0:
            yield rng.randbytes(rng.randrange(200))
        elif kind == 1:
            yield _spoil(rng, encode(_segment(rng)))
        else:
            pairs = split(_segment(rng), rng.randrange(1, 40))
            pieces = [head + bytes(data) for head, data in pairs]
            yield len(pieces[0]).to_bytes(2, "big") + _spoil(rng, b"".join(pieces))


def _segment(rng: random.Random) -> Segment:
    """A valid segment, more often of the usual kinds than of others."""
    flags = rng.choice((0x02, 0x12, 0x10, 0x10, 0x18, 0x11, 0x14, rng.randrange(256)))
    segment = Segment(
        rng.randrange(2**16),
        rng.randrange(2**16),
        rng.choice((rng.randrange(2**32), 2**32 - rng.randrange(1, 50))),
        rng.randrange(2**32),
        flags,
        rng.randrange(2**16),
        rng.randbytes(rng.choice((0, rng.randrange(300)))),
    )
    if flags & SYN:
        segment.mss = rng.choice((None, 1452, rng.randrange(2**16)))
        segment.window_scale = rng.choice((None, 7, rng.randrange(256)))
        segment.sack_permitted = rng.random() < 0.5
    if rng.random() < 0.7:
        segment.ts_val = rng.randrange(2**32)
        segment.ts_ecr = rng.randrange(2**32)
    if rng.random() < 0.3:
        edges = [rng.randrange(2**32) for _ in range(rng.randrange(9))]
        segment.sack_blocks = tuple(zip(edges[::2], edges[1::2], strict=False))
    return segment


def _spoil(rng: random.Random, data: bytes) -> bytes:
    """A few bytes changed, most of them in the header; sometimes cut or repeated."""
    spoilt = bytearray(data)
    for _ in range(rng.randrange(4)):
        reach = min(len(spoilt), rng.choice((14, 60, len(spoilt))))
        spoilt[rng.randrange(reach)] = rng.choice((0, 1, 2, 0x50, 0xFF, rng.randrange(256)))
    match rng.randrange(10):
        case 0:
            del spoilt[rng.randrange(len(spoilt)) :]
        case 1:
            at = rng.randrange(len(spoilt))
            spoilt[at:at] = spoilt[at : at + rng.randrange(1, 40)]
    return bytes(spoilt)


def main() -> None:
    parser = argparse.ArgumentParser(description="Fuzz the codec.")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long (default 10)")
    parser.add_argument("--seed", type=int, help="which inputs (default: others each time)")
    arguments = parser.parse_args()
    seed = random.randrange(2**32) if arguments.seed is None else arguments.seed
    print(f"seed {seed}", flush=True)
    stop = time.monotonic() + arguments.seconds
    count = 0
    for count, data in enumerate(inputs(seed), 1):
        try:
            test_one_input(data)
        except BaseException:
            print(f"input {count}: {data.hex()}", flush=True)
            raise
        if time.monotonic() >= stop:
            break
    print(f"{count} inputs, nothing found")


if __name__ == "__main__":
    main()
