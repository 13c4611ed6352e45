"""The event log, wherever it is: in its stream for three days and more, in the archive from soon after, often in both.

What tells an event from all others is its partition, its entry in the stream and its number there, in either place. So
the stream is read first and then the archive, which misses none, as what leaves the stream meanwhile is archived by
then; and what was found twice is the same.

All of a partition is more than memory holds, and neither place has it by customer: files are sorted by customers, but
there may be hundreds a day. So it is spread over unnamed files on disk by a hash of the customer first (archive.spool).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

from archive.event_reading import Rows, bytes_of, rows_by_customer, tables
from archive.event_rows import SCHEMA, spelled_events
from archive.kinds import EVENTS
from archive.spool import Spool
from archive.streams import Entry, every_entry
from archive.tables import Spelled, groups_of
from features.events import Event, EventsError, unpack_events
from features.ledger import Ledger

CUSTOMERS_AT_ONCE = 100


class EventLog:
    """`data` is the data directory whose archive is read as well; None if there is none.

    What could not be read as events when it was archived is in the archive's quarantine, and left out here.
    """

    def __init__(self, ledger: Ledger, data: Path | None) -> None:
        self._ledger = ledger
        self._data = data

    async def events_of(self, customer_ids: Collection[str]) -> dict[str, list[Event]]:
        """Every event of these customers, by their id, each once, in the order in which they were stored.

        A customer without events has an empty list. Takes the memory of what is returned. Raises StoreError, OSError.
        """
        wanted = set(customer_ids)
        found: dict[str, Rows] = {customer_id: {} for customer_id in wanted}
        partitions = set(map(self._ledger.layout.partition, wanted))
        for partition in sorted(partitions):
            async for page in self._stream(partition):
                for entry in page:
                    if entry.name in wanted and _spelled(entry) is not None:
                        events = enumerate(unpack_events(entry.body))
                        found[entry.name].update({(entry.id, number): event for number, event in events})
        if self._data is not None:
            await asyncio.to_thread(self._add_archived, found, partitions)
        return {customer_id: _in_order(rows) for customer_id, rows in found.items()}

    async def by_customer(self, partition: int) -> AsyncIterator[tuple[str, list[Event]]]:
        """Every event of a partition, each once: customer after customer, in no order, each with all of theirs.

        A customer's are in the order in which they were stored. What is stored after this has begun may be missing.
        Takes some hundreds of MB of memory, however large the partition, up to 4 GB of it (before compression), and,
        while it lasts, disk space in the data directory for about as much as its archive. Raises StoreError, OSError.
        """
        with closing(await asyncio.to_thread(self._spool, partition)) as spool:
            async for page in self._stream(partition):
                spelled = [each for entry in page if (each := _spelled(entry)) is not None]
                await asyncio.to_thread(spool.add_all, groups_of(SCHEMA, spelled))
            if self._data is not None:
                await asyncio.to_thread(spool.add_all, tables(self._data, {partition}))
            customers = _customers(spool)
            while some := await asyncio.to_thread(lambda: list(islice(customers, CUSTOMERS_AT_ONCE))):
                for customer in some:
                    yield customer

    def _stream(self, partition: int) -> AsyncIterator[list[Entry]]:
        return every_entry(self._ledger.link, self._ledger.layout, EVENTS.source, partition)

    def _add_archived(self, found: dict[str, Rows], partitions: set[int]) -> None:
        if self._data is not None:
            for table in tables(self._data, partitions, found.keys()):
                for customer_id, rows in rows_by_customer(table):
                    found[customer_id].update(rows)

    def _spool(self, partition: int) -> Spool:
        if self._data is None or not self._data.is_dir():
            return Spool(SCHEMA, self._ledger.layout, None, 0)
        return Spool(SCHEMA, self._ledger.layout, self._data, bytes_of(self._data, partition))


def _customers(spool: Spool) -> Iterator[tuple[str, list[Event]]]:
    for table in spool.tables():
        for customer_id, rows in rows_by_customer(table):
            yield customer_id, _in_order(rows)


def _in_order(rows: Rows) -> list[Event]:
    return [rows[place] for place in sorted(rows)]


def _spelled(entry: Entry) -> Spelled | None:
    """None for one that can't be read."""
    try:
        return spelled_events(entry)
    except EventsError:
        return None
