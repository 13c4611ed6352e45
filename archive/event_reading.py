"""Reading events in the archive. Nobody needs a lock to read.

Row groups are passed over by their statistics: a file is sorted by partition and customer. A file that retention takes
away under the reader counts as gone; one that is rewritten stays as it was for whoever has it open.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from archive.event_rows import event_of
from archive.folder import Folder
from archive.kinds import EVENTS
from archive.reading import ranges
from archive.streams import EntryId
from features.events import Event

Rows = dict[tuple[EntryId, int], Event]
"""A customer's events by entry in the stream and number there: what is there twice is the same."""


def tables(data: Path, partitions: set[int], customer_ids: Collection[str] | None = None) -> Iterator[pa.Table]:
    """The rows of these partitions, and of these customers if any are given, a row group at a time; some are empty.

    What lies in the archive twice, which is only so after something went wrong, is given twice.
    """
    column = "partition" if customer_ids is None else "customer_id"
    wanted = pa.array(sorted(partitions), pa.int32()) if customer_ids is None else pa.array(sorted(customer_ids))
    for file in Folder(data).files(EVENTS.name):
        with _opened(file) as parquet:
            for group in _groups(parquet, partitions, customer_ids) if parquet else ():
                found = pc.is_in(parquet.read_row_group(group, columns=[column]).column(0), wanted)
                if pc.any(found).as_py():
                    yield parquet.read_row_group(group).filter(found)


def bytes_of(data: Path, partition: int) -> int:
    """About how large a partition is, before compression."""
    size = 0
    for file in Folder(data).files(EVENTS.name):
        with _opened(file) as parquet:
            for group in _groups(parquet, {partition}, None) if parquet else ():
                size += parquet.metadata.row_group(group).total_byte_size
    return size


def rows_by_customer(table: pa.Table) -> Iterator[tuple[str, Rows]]:
    """Each customer of the table with all their rows in it."""
    if not table.num_rows:
        return
    table = table.take(pc.sort_indices(table.column("customer_id"))).combine_chunks()
    lengths = pc.run_end_encode(table.column("customer_id").chunk(0))
    start = 0
    for customer_id, end in zip(lengths.values.to_pylist(), lengths.run_ends.to_pylist(), strict=True):
        yield customer_id, _rows(table.slice(start, end - start))
        start = end


def _rows(table: pa.Table) -> Rows:
    ids, types, decisions, properties, entries, numbers = (
        table.column(name).to_pylist()
        for name in ("event_id", "event_type", "decision_id", "properties", "entry", "number")
    )
    at, received = (table.column(name).cast(pa.int64()).to_pylist() for name in ("happened_at", "received_at"))
    events = map(event_of, ids, types, at, received, decisions, properties)
    return dict(zip(zip(map(_entry_id, entries), numbers, strict=True), events, strict=True))


def _entry_id(entry: str) -> EntryId:
    ms, _, number = entry.partition("-")
    return int(ms), int(number)


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    """None if it has gone."""
    try:
        parquet = pq.ParquetFile(file)
    except FileNotFoundError:
        yield None
        return
    with parquet:
        yield parquet


def _groups(parquet: Any, partitions: set[int], customer_ids: Collection[str] | None) -> Iterator[int]:
    """The row groups that may have rows of these, as far as their statistics tell."""
    spans = zip(ranges(parquet, "partition"), ranges(parquet, "customer_id"), strict=True)
    for group, (partition, customer) in enumerate(spans):
        if _may_have(partition, partitions) and (customer_ids is None or _may_have(customer, customer_ids)):
            yield group


def _may_have(span: tuple[Any, Any] | None, wanted: Collection[Any]) -> bool:
    return span is None or any(span[0] <= one <= span[1] for one in wanted)
