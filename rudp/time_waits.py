"""The connections of an endpoint that are in TIME-WAIT (RFC 9293 section 3.6): their records."""

from __future__ import annotations

import math

from rudp.channel import Key
from rudp.core.segment import Segment
from rudp.core.time_wait import TimeWait


class TimeWaits:
    """Records by what identifies their connection, those that end first in front.

    There are `limit` of them at most: the oldest makes room.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._records: dict[Key, TimeWait] = {}

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, key: Key) -> bool:
        return key in self._records

    def get(self, key: Key) -> TimeWait | None:
        """The record of `key`."""
        return self._records.get(key)

    def pop(self, key: Key) -> TimeWait | None:
        """The record of `key`, which is forgotten."""
        return self._records.pop(key, None)

    def add(self, key: Key, record: TimeWait) -> None:
        """Keep `record`."""
        while len(self._records) >= self._limit:
            del self._records[next(iter(self._records))]
        self._records[key] = record

    def receive(self, key: Key, segment: Segment, now: float) -> Segment | None:
        """A late segment for the record of `key`: the answer to it, if any."""
        record = self._records[key]
        until = record.deadline
        answer = record.receive(segment, now)
        if record.deadline != until:
            self._records[key] = self._records.pop(key)
        return answer

    def expire(self, now: float) -> float:
        """Forget those whose time is up; returns when the next one's is, infinite for none."""
        while self._records:
            key = next(iter(self._records))
            deadline = self._records[key].deadline
            if deadline > now:
                return deadline
            del self._records[key]
        return math.inf
