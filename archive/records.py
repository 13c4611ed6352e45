"""Records of decisions, wherever they are: in their stream until it is trimmed, in the archive from soon after."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from pathlib import Path

from archive import reading
from archive.kinds import DECISIONS
from archive.streams import PAGE, every_entry
from decision.record import RecordError, read_record
from features.keys import parse_decision_id
from features.ledger import RECORD_SLACK_MS, Ledger

WITHIN = 30.0


class Records:
    """`data` is the data directory whose archive is looked into as well; None if there is none."""

    def __init__(self, ledger: Ledger, data: Path | None) -> None:
        self._ledger = ledger
        self._data = data

    async def find(self, decision_id: str, within: float = WITHIN) -> bytes | None:
        """The record of one decision. Raises ValueError for what is no decision id, StoreError."""
        parse_decision_id(decision_id)
        found = await self._ledger.record(decision_id, within)
        if found is None and self._data is not None:
            found = await asyncio.to_thread(reading.find, self._data, decision_id)
        if found is None and self._ledger.clock_offset_us:
            found = await self._find_later(decision_id)
        return found

    async def since(self, at_us: int, until_us: int | None = None) -> AsyncIterator[bytes]:
        """Every record of decisions made from `at_us` on and before `until_us` (service time, microseconds since 1970).

        Once each: first those that are in a stream, then those that only the archive has, but for its quarantine.
        Raises StoreError.
        """
        # In this order none is missed: what leaves a stream meanwhile is in the archive by the time that is read.
        streamed: set[str] = set()
        for partition in range(self._ledger.layout.partitions):
            async for decision_id, body in self._stream(partition, self._server_ms(at_us)):
                if _is_within(body, at_us, until_us):
                    streamed.add(decision_id)
                    yield body
        if self._data is not None:
            async for body in _unhurried(reading.since(self._data, at_us, until_us)):
                if _id(body) not in streamed:
                    yield body

    def _server_ms(self, at_us: int) -> int:
        """The earliest that the entry of a decision made then may have been written, by the server's clock.

        The service's clock may have been set ahead since: then it was later.
        """
        return max(0, (at_us - self._ledger.clock_offset_us) // 1000 - RECORD_SLACK_MS)

    async def _find_later(self, decision_id: str) -> bytes | None:
        """A record that is not where today's clock puts it, as that has been set ahead since."""
        partition, at_ms = parse_decision_id(decision_id)
        if partition < self._ledger.layout.partitions:
            async for found, body in self._stream(partition, self._server_ms(at_ms * 1000)):
                if found == decision_id:
                    return body
        return None

    async def _stream(self, partition: int, from_ms: int) -> AsyncIterator[tuple[str, bytes]]:
        """Decision ids and records of a partition's stream, of entries from `from_ms` on (server time)."""
        async for page in every_entry(self._ledger.link, self._ledger.layout, DECISIONS.source, partition, from_ms):
            for entry in page:
                yield entry.name, entry.body


async def _unhurried(records: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Read in a thread, some at a time: a year of them is more than memory holds."""
    while some := await asyncio.to_thread(lambda: list(islice(records, PAGE))):
        for record in some:
            yield record


def _id(body: bytes) -> str:
    try:
        return read_record(body).id
    except RecordError:
        return ""


def _is_within(body: bytes, at_us: int, until_us: int | None) -> bool:
    """What can't be read is let through: whoever reads it is to say so."""
    try:
        at = read_record(body).at
    except RecordError:
        return True
    return at_us <= at and (until_us is None or at < until_us)
