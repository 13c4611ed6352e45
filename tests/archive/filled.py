"""Streams and an archive with something of several customers in all of them, some of whom are to be erased."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import orjson

from archive.events import EventLog
from features.keys import Layout
from features.ledger import Ledger
from tests.archive.streams import Events, Streams, archived, event_of, ids_of, record_of, written

GONE = ["c-é", "c-7"]
"""Those who are to be erased."""


def others(count: int) -> list[str]:
    return [f"c-{number}" for number in range(count)]


class Filled:
    """Decisions, events and messages of some customers: what is put, and what is still there."""

    def __init__(self, streams: Streams, layout: Layout, data: Path) -> None:
        self.records: dict[str, tuple[str, bytes]] = {}
        self.events: Events = {}
        self._streams = streams
        self._layout = layout
        self._data = data

    async def put(self, customer_ids: Iterable[str], each: int, at: int) -> None:
        for number, customer_id in enumerate(sorted(set(customer_ids)) * each):
            partition = self._layout.partition(customer_id)
            record = record_of(number, at + number * 1000, partition, customer_id=customer_id)
            self.records[record.id] = customer_id, written(record)
            await self._streams.add(partition, record.id, written(record))
            events = [event_of(10 * number + each, at) for each in range(2)]
            self.events.setdefault(customer_id, []).extend(events)
            await self._streams.add_events(customer_id, events)
            message = orjson.dumps({"decision_id": record.id, "customer_id": customer_id})
            await self._streams.ask("XADD", self._layout.outbox(partition), "*", "m", message)

    def without(self, customer_ids: Iterable[str]) -> tuple[dict[str, bytes], list[tuple[str, str]]]:
        gone = set(customer_ids)
        kept = {customer_id: events for customer_id, events in self.events.items() if customer_id not in gone}
        return {name: body for name, (whose, body) in self.records.items() if whose not in gone}, ids_of(kept)

    async def found(self) -> tuple[dict[str, bytes], list[tuple[str, str]]]:
        """In streams and archive: of decisions each once; of events too, as they are told by their entries."""
        records = archived(self._data)
        assert len(dict(records)) == len(records)
        log = EventLog(Ledger(self._streams.link, self._layout), self._data)
        events: Events = {}
        for partition in range(self._layout.partitions):
            async for customer_id, theirs in log.by_customer(partition):
                events[customer_id] = theirs
        return dict(records) | await self._streams.left(), ids_of(events)

    async def messages(self) -> set[str]:
        """Whose there are in the outbox."""
        entries = [await self._streams.ask("XRANGE", self._layout.outbox(each), "-", "+") for each in range(16)]
        return {orjson.loads(message)["customer_id"] for page in entries for _, (_, message) in page}
