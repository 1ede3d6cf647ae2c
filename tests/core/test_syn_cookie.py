"""SYN cookies alone: what a cookie remembers, for how long, and whom it lets in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rudp.core import syn_cookie
from rudp.core.config import Config
from rudp.core.connection import open_passive
from rudp.core.isn import initial_numbers
from rudp.core.segment import ACK, CWR, ECE, SYN, Segment
from rudp.core.syn_cookie import LIFETIME, MSS_TABLE, SLOT, Key

SECRET = bytes(range(32))
LOCAL = ("10.0.0.1", 9000)
KEY: Key = (("10.0.0.2", 4000), 80, 4000)
ISN = 2**32 - 1
NOW = 10 * SLOT + 1
CONFIG = Config()


def syn(**options: object) -> Segment:
    return Segment(4000, 80, ISN, 0, SYN, 65535, **options)  # type: ignore[arg-type]


FULL = {"mss": 1452, "window_scale": 7, "sack_permitted": True, "ts_val": 77}


def bake(kept: Segment, now: float = NOW, default_mss: int = 536) -> int:
    return syn_cookie.bake(SECRET, LOCAL, KEY, kept, default_mss, now)


def ack_of(iss: int, ts_ecr: int | None = None) -> Segment:
    ack = Segment(4000, 80, (ISN + 1) % 2**32, (iss + 1) % 2**32, ACK, 500)
    if ts_ecr is not None:
        ack.ts_val, ack.ts_ecr = 78, ts_ecr
    return ack


def recall(ack: Segment, now: float = NOW, key: Key = KEY) -> Segment | None:
    return syn_cookie.recall(SECRET, LOCAL, key, ack, now)


def there_and_back(first: Segment, clock: int, config: Config = CONFIG) -> Segment | None:
    """What is recalled of a SYN when its SYN-ACK was acknowledged."""
    kept = syn_cookie.remembered(first, config.timestamps)
    syn_ack = syn_cookie.answer(config, kept, bake(kept), 1460, True, clock)
    return recall(ack_of(syn_ack.seq, None if syn_ack.ts_val is None else syn_ack.ts_val % 2**32))


@given(
    st.integers(0, 65535),
    st.none() | st.integers(0, 14),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_with_timestamps_all_options_come_back(
    mss: int, shift: int | None, sack: bool, ecn: bool, clock: int
) -> None:
    first = syn(mss=mss, window_scale=shift, sack_permitted=sack, ts_val=77)
    if ecn:
        first.flags |= ECE | CWR
    found = there_and_back(first, clock)
    assert found is not None
    assert (found.src_port, found.dst_port, found.seq) == (4000, 80, ISN)
    assert (found.window_scale, found.sack_permitted, found.flags) == (shift, sack, first.flags)
    assert found.ts_val == 78  # of the ACK
    assert found.mss == max([each for each in MSS_TABLE if each <= mss], default=MSS_TABLE[0])


@pytest.mark.parametrize("ours", [True, False])
def test_without_timestamps_only_the_mss_comes_back(ours: bool) -> None:
    first = syn(**{**FULL, "ts_val": None if ours else 77})
    first.flags |= ECE | CWR
    kept = syn_cookie.remembered(first, ours)
    assert kept == syn(mss=1452)  # and so much is offered
    assert there_and_back(first, 5, Config(timestamps=ours)) == Segment(
        4000, 80, ISN, 0, SYN, 500, mss=1452
    )


@pytest.mark.parametrize(("default", "kept"), [(536, 536), (1220, 1180)])
def test_a_peer_that_announces_no_mss_has_the_default_rounded_down(default: int, kept: int) -> None:
    bare = syn_cookie.remembered(syn(), True)
    assert bare.mss is None
    found = recall(ack_of(bake(bare, default_mss=default)))
    assert found is not None
    assert found.mss == kept


@given(st.integers(0, 2**32 - 1), st.integers(0, 63))
def test_the_timestamp_with_the_options_is_at_most_64_ticks_old(clock: int, bits: int) -> None:
    kept = syn(ts_val=1, window_scale=min(bits & 15, 14), sack_permitted=bool(bits & 16))
    syn_ack = syn_cookie.answer(CONFIG, kept, 5, 1460, True, clock)
    assert syn_ack.ts_val is not None
    # It never runs ahead: what we send next must not be older (PAWS).
    assert 0 <= clock - syn_ack.ts_val < 64


CONFIGS = [
    CONFIG,
    Config(timestamps=False),
    Config(sack=False, window_scaling=False, ecn=False, mss=1000),
    Config(receive_buffer=2048),
    Config(receive_autotuning=False, receive_buffer=2**24),
]


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("offer", range(32))
def test_the_syn_ack_says_what_a_connections_would_say(offer: int, config: Config) -> None:
    first = syn(
        mss=1460 if offer & 1 else None,
        sack_permitted=bool(offer & 2),
        ts_val=77 if offer & 4 else None,
        window_scale=7 if offer & 8 else None,
    )
    first.flags |= (ECE | CWR) if offer & 16 else 0
    kept = syn_cookie.remembered(first, config.timestamps)
    for ecn in (True, False):
        connection = open_passive(config, iss=5, syn=kept, now=NOW, mss=1460, ecn=ecn)
        (expected,) = connection.segments_to_send(NOW)
        clock = expected.ts_val or 0
        syn_ack = syn_cookie.answer(config, kept, 5, 1460, ecn, clock)
        if syn_ack.ts_val is not None:
            expected.ts_val = syn_ack.ts_val
        assert repr(syn_ack) == repr(expected)
        assert syn_ack == expected


def test_a_cookie_is_good_for_one_to_two_slots() -> None:
    cookie = ack_of(bake(syn(mss=1452)))
    assert recall(cookie, NOW + SLOT) is not None
    assert recall(cookie, NOW + LIFETIME) is None
    assert recall(cookie, NOW - SLOT) is None


@pytest.mark.parametrize(
    "key",
    [
        (("10.0.0.3", 4000), 80, 4000),
        (("10.0.0.2", 4001), 80, 4000),
        (("10.0.0.2", 4000), 81, 4000),
        (("10.0.0.2", 4000), 80, 4001),
    ],
)
def test_a_cookie_is_good_for_nobody_else(key: Key) -> None:
    assert recall(ack_of(bake(syn(mss=1452))), key=key) is None


def test_a_cookie_is_good_for_no_other_numbers_and_no_other_options() -> None:
    kept = syn_cookie.remembered(syn(**FULL), True)
    syn_ack = syn_cookie.answer(CONFIG, kept, bake(kept), 1460, True, 10_000)
    assert syn_ack.ts_val is not None
    good = ack_of(syn_ack.seq, syn_ack.ts_val)
    assert recall(good) is not None
    for bit in range(6):
        assert recall(ack_of(syn_ack.seq, syn_ack.ts_val ^ (1 << bit))) is None
    assert recall(ack_of(syn_ack.seq)) is None
    other_isn = ack_of(syn_ack.seq, syn_ack.ts_val)
    other_isn.seq += 1
    assert recall(other_isn) is None
    assert recall(ack_of(syn_ack.seq + len(MSS_TABLE), syn_ack.ts_val)) is None


def test_what_isn_makes_of_the_same_sockets_is_no_cookie() -> None:
    iss, _ = initial_numbers(SECRET, LOCAL, KEY, 0.0)
    assert recall(ack_of(iss)) is None
