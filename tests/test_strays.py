"""What belongs to no connection: segments out of nowhere, garbage, and resets with a reason.

RFC 9293 sections 3.10.7.1 (CLOSED) and 3.10.7.2 (LISTEN). Whoever forges a sender's address must
not get us to send that address more than he sent us, or start two of us answering each other.
"""

from __future__ import annotations

import contextlib
import random
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest

import rudp
from rudp.core.segment import ACK, FIN, PSH, RST, SYN, URG, Segment

from . import peers
from .peers import (
    HOST,
    Accepted,
    Hand,
    RawPeer,
    channels,
    closed,
    dropped,
    encode,
    is_segment,
    kinds,
)

quiet_loop = peers.quiet_loop

CLOSED_PORT = 81
OPEN_PORT = 80
PORT = 4000


@contextlib.asynccontextmanager
async def listening(tap: Any = None) -> AsyncIterator[tuple[rudp.Endpoint, Accepted, RawPeer]]:
    """An endpoint that listens on OPEN_PORT and not on CLOSED_PORT, and a raw peer."""
    accepted = Accepted()
    endpoint = await rudp.Endpoint.open((HOST, 0), tap=tap)
    await endpoint.start_server(accepted, OPEN_PORT)
    try:
        async with RawPeer.open() as peer:
            yield endpoint, accepted, peer
    finally:
        endpoint.abort()


def at(port: int, flags: int, data: bytes = b"", seq: int = 2**32 - 2, ack: int = 777) -> Segment:
    return Segment(PORT, port, seq, ack if flags & ACK else 0, flags, 1000, data)


# -- CLOSED --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "data", "ack"),
    [
        (SYN, b"", 2**32 - 1),
        (SYN, b"fast", 3),
        (SYN | FIN, b"", 0),
        (FIN, b"", 2**32 - 1),
        (0, b"", 2**32 - 2),
        (PSH, b"12345", 3),
    ],
)
async def test_without_an_ack_the_reset_acknowledges_what_came(
    flags: int, data: bytes, ack: int
) -> None:
    # "<SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>"
    async with listening() as (endpoint, _, peer):
        (answer,) = await peer.answers(endpoint.sockname, at(CLOSED_PORT, flags, data))
        assert kinds([answer]) == ["R."]
        assert (answer.seq, answer.ack, bytes(answer.data)) == (0, ack, b"")
        assert (answer.src_port, answer.dst_port) == (CLOSED_PORT, PORT)


@pytest.mark.parametrize("flags", [ACK, SYN | ACK, FIN | ACK, PSH | ACK, URG | ACK])
async def test_with_an_ack_the_reset_has_its_number(flags: int) -> None:
    # "<SEQ=SEG.ACK><CTL=RST>"
    async with listening() as (endpoint, _, peer):
        (answer,) = await peer.answers(endpoint.sockname, at(CLOSED_PORT, flags))
        assert kinds([answer]) == ["R"]
        assert (answer.seq, answer.ack, bytes(answer.data)) == (777, 0, b"")


# -- LISTEN --------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [ACK, SYN | ACK, FIN | ACK, PSH | ACK, SYN | FIN | ACK])
async def test_a_listener_answers_an_ack_with_a_reset(flags: int) -> None:
    async with listening() as (endpoint, _, peer):
        (answer,) = await peer.answers(endpoint.sockname, at(OPEN_PORT, flags))
        assert (kinds([answer]), answer.seq) == (["R"], 777)
        assert channels(endpoint) == 0


@pytest.mark.parametrize("flags", [0, FIN, PSH, URG, SYN | FIN, SYN | FIN | PSH | URG])
async def test_a_listener_drops_what_is_neither_a_syn_nor_an_ack(flags: int) -> None:
    async with listening() as (endpoint, _, peer):
        assert await peer.answers(endpoint.sockname, at(OPEN_PORT, flags)) == []
        assert await peer.answers(endpoint.sockname, at(OPEN_PORT, flags, b"data")) == []
        assert channels(endpoint) == 0


# -- wherever it comes ---------------------------------------------------------------------------


@pytest.mark.parametrize("port", [OPEN_PORT, CLOSED_PORT])
async def test_a_reset_is_never_answered(port: int) -> None:
    async with listening() as (endpoint, _, peer):
        resets = [at(port, RST | more) for more in (0, ACK, SYN, FIN, SYN | ACK, PSH, 0x3F & ~RST)]
        resets.append(at(port, RST | ACK, b"a reason"))
        assert await peer.answers(endpoint.sockname, *resets) == []
        assert channels(endpoint) == 0


async def test_no_answer_to_a_stray_is_larger_than_the_stray() -> None:
    rng = random.Random(9)
    async with listening() as (endpoint, _, peer):
        for flags in range(64):
            for port in (OPEN_PORT, CLOSED_PORT):
                if port == OPEN_PORT and flags & (SYN | ACK | RST | FIN) == SYN:
                    continue  # not stray: it opens a connection
                stray = at(port, flags, bytes(rng.randrange(3)))
                answers = await peer.answers(endpoint.sockname, stray)
                assert len(answers) <= 1
                assert sum(peer.sizes) <= len(encode(stray))
        assert channels(endpoint) == 0


async def test_a_stray_burst_is_answered_by_no_more_than_it_had() -> None:
    async with listening() as (endpoint, _, peer):
        # Consecutive data, which arrives as one: one reset is enough for it, more would be allowed.
        burst = [at(CLOSED_PORT, ACK, b"x" * 100, seq=1000 + 100 * i) for i in range(20)]
        answers = await peer.answers(endpoint.sockname, *burst)
        assert 1 <= len(answers) <= 20
        assert set(kinds(answers)) == {"R"}


def garbage() -> list[bytes]:
    """Datagrams that are no segment."""
    rng = random.Random(11)
    header = encode(at(OPEN_PORT, SYN))
    whole = bytearray(header)
    pieces = [header[:length] for length in range(20)]
    for words in (0, 1, 4, 6, 15):  # a data offset that is too small, or beyond the end
        whole[12] = words << 4
        pieces.append(bytes(whole))
    for options in ("020005b4", "020105b4", "020805b4", "01010108"):  # a length of 0, 1, too much
        pieces.append(header[:12] + b"\x60" + header[13:] + bytes.fromhex(options))
    pieces += [rng.randbytes(rng.randrange(1, 1500)) for _ in range(300)]
    pieces += [b"\x00" * length for length in (1, 20, 60, 1400)]
    pieces.append(struct.pack("!HHI", OPEN_PORT, OPEN_PORT, 0) + b"\xff" * 12)
    return [piece for piece in pieces if not is_segment(piece)]


async def test_garbage_is_neither_answered_nor_remembered() -> None:
    seen: list[Any] = []
    async with listening(tap=lambda *told: seen.append(told)) as (endpoint, _, peer):
        pieces = garbage()
        assert len(pieces) > 300
        for start in range(0, len(pieces), 50):
            assert await peer.answers(endpoint.sockname, *pieces[start : start + 50]) == []
        assert channels(endpoint) == 0
        assert {told[1].src_port for told in seen} == {peers.FENCE}


async def test_an_empty_datagram_changes_nothing() -> None:
    async with listening() as (endpoint, accepted, peer):
        hand = await Hand.connect(peer, endpoint.sockname, OPEN_PORT)
        reader, writer = await accepted.next()
        assert await peer.answers(endpoint.sockname, b"", b"") == []
        await hand.write(b"after")
        assert await reader.readexactly(5) == b"after"
        await dropped((reader, writer))


# -- a connection that is no more ----------------------------------------------------------------


async def test_data_after_a_full_close_is_answered_with_a_reset() -> None:
    async with listening() as (endpoint, accepted, peer):
        hand = await Hand.connect(peer, endpoint.sockname, OPEN_PORT)
        stream = await accepted.next()
        stream[1].close()
        fin = await hand.next(lambda segment: segment.flags & FIN)
        hand.send(ACK)
        await stream[1].wait_closed()
        # RFC 9293 section 3.6.1, SHLD-3.
        answers = await peer.answers(endpoint.sockname, hand.segment(PSH | ACK, b"anybody there?"))
        assert kinds(answers) == ["R."]
        assert answers[0].seq == (fin.seq + 1) % 2**32
        assert channels(endpoint) == 0
        # And from then on there is no such connection.
        answers = await peer.answers(endpoint.sockname, hand.segment(PSH | ACK, b"anybody?"))
        assert (kinds(answers), answers[0].seq) == (["R"], hand.ack)


async def test_data_unread_at_close_is_answered_with_a_reset_after_our_own_has_arrived() -> None:
    async with listening() as (endpoint, accepted, peer):
        hand = await Hand.connect(peer, endpoint.sockname, OPEN_PORT)
        reader, writer = await accepted.next()
        writer.transport.pause_reading()
        await hand.write(b"never read")
        await peer.fence(endpoint.sockname)
        writer.write(b"goodbye")
        writer.close()
        data = await hand.next(lambda segment: segment.data)
        assert bytes(data.data) == b"goodbye"
        if not data.flags & FIN:
            await hand.next(lambda segment: segment.flags & FIN)
        assert not [kind for kind in kinds(peer.received) if "R" in kind]
        answers = await peer.answers(endpoint.sockname, hand.segment(ACK))
        assert kinds(answers) == ["R."]
        await closed((reader, writer))


async def test_a_segment_for_a_connection_that_was_aborted_is_stray() -> None:
    async with listening() as (endpoint, accepted, peer):
        hand = await Hand.connect(peer, endpoint.sockname, OPEN_PORT)
        stream = await accepted.next()
        await dropped(stream)
        reset = await peer.next(lambda segment: segment.flags & RST)
        assert reset.seq == hand.ack
        answers = await peer.answers(endpoint.sockname, hand.segment(ACK))
        assert kinds(answers) == ["R"]


async def test_what_another_sender_says_is_not_about_this_connection() -> None:
    async with listening() as (endpoint, accepted, peer), RawPeer.open() as stranger:
        hand = await Hand.connect(peer, endpoint.sockname, OPEN_PORT)
        reader, writer = await accepted.next()
        # Right ports, right numbers, another address: that is a stray ACK, and a RST of nobody's.
        forged = [hand.segment(RST | ACK), hand.segment(PSH | ACK, b"forged")]
        answers = await stranger.answers(endpoint.sockname, *forged)
        assert (kinds(answers), answers[0].seq) == (["R"], hand.ack)
        await hand.write(b"genuine")
        assert await reader.readexactly(7) == b"genuine"
        await dropped((reader, writer))


# -- the reason of a reset -----------------------------------------------------------------------


async def test_the_other_side_is_shown_why_it_was_reset() -> None:
    async with listening() as (endpoint, accepted, _):
        stream = await rudp.open_connection(HOST, OPEN_PORT, udp_port=endpoint.sockname[1])
        ours = await accepted.next()
        transport: Any = ours[1].transport
        transport.abort("the disk is full")
        with pytest.raises(ConnectionResetError, match=r"reset by peer: the disk is full$"):
            await stream[0].read()
        with pytest.raises(ConnectionResetError, match="the disk is full"):
            await closed(stream)
        await dropped(ours)


async def test_a_long_reason_is_cut() -> None:
    async with listening() as (endpoint, accepted, peer):
        await Hand.connect(peer, endpoint.sockname, OPEN_PORT)
        stream = await accepted.next()
        transport: Any = stream[1].transport
        transport.abort("x" * 1000)
        reset = await peer.next(lambda segment: segment.flags & RST)
        assert bytes(reset.data) == b"x" * 128
        await dropped(stream)


async def test_a_reason_cannot_write_on_the_readers_terminal() -> None:
    async with listening() as (endpoint, accepted, peer):
        hand = await Hand.connect(peer, endpoint.sockname, OPEN_PORT)
        stream = await accepted.next()
        hand.send(RST | ACK, b"\x1b[31mred\xff\r\n" + b"z" * 1000)
        with pytest.raises(ConnectionResetError) as exc:
            await stream[0].read()
        assert str(exc.value).isprintable()
        assert "red" in str(exc.value)
        assert len(str(exc.value)) < 250
        await dropped(stream)
