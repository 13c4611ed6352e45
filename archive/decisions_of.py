"""The decisions made for some customers, wherever their records are. Neither place has them by customer: all of both is
looked through, a page of a stream and a row group of a file at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from archive.folder import Folder
from archive.kinds import DECISIONS
from archive.reading import ranges
from archive.streams import every_entry
from archive.traces import whose_decision
from features.ledger import Ledger


async def decisions_of(ledger: Ledger, data: Path | None, customer_ids: Collection[str]) -> AsyncIterator[bytes]:
    """Every record of theirs, once each: those in a stream first, then those that only the archive in `data` has.

    Without what lies in the archive's quarantine. Raises StoreError, OSError.
    """
    # In this order none is missed: what leaves a stream meanwhile is in the archive by the time that is read.
    wanted, streamed = set(customer_ids), set[str]()
    for partition in sorted(set(map(ledger.layout.partition, wanted))):
        async for page in every_entry(ledger.link, ledger.layout, DECISIONS.source, partition):
            for entry in page:
                if whose_decision(entry.name, entry.body) in wanted:
                    streamed.add(entry.name)
                    yield entry.body
    if data is not None:
        groups = _archived(data, wanted)
        while (found := await asyncio.to_thread(next, groups, None)) is not None:
            for decision_id, record in found:
                if decision_id not in streamed:
                    yield record


def _archived(data: Path, customer_ids: set[str]) -> Iterator[list[tuple[str, bytes]]]:
    """Decision id and record of each row of theirs, a row group at a time."""
    wanted = pa.array(sorted(customer_ids), pa.string())
    for file in Folder(data).files(DECISIONS.name):
        try:
            parquet = pq.ParquetFile(file)
        except FileNotFoundError:
            continue  # retention has taken it away
        with parquet:
            for group, span in enumerate(ranges(parquet, "customer_id")):
                if span is None or any(span[0] <= each <= span[1] for each in customer_ids):
                    yield _rows(parquet, group, wanted)


def _rows(parquet: pq.ParquetFile, group: int, wanted: pa.Array) -> list[tuple[str, bytes]]:
    theirs = pc.is_in(parquet.read_row_group(group, columns=["customer_id"]).column(0), wanted)
    if not pc.any(theirs).as_py():
        return []
    table = parquet.read_row_group(group, columns=["decision_id", "record"]).filter(theirs)
    return list(zip(table.column("decision_id").to_pylist(), table.column("record").to_pylist(), strict=True))
