"""Taking customers out of the archive's files: each that has rows of theirs is replaced by one without."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from archive.folder import Folder
from archive.kinds import DECISIONS, EVENTS, Kind
from archive.reading import ranges
from archive.traces import whose_decision, whose_events

Step = Callable[[str], None]
Theirs = Callable[[Any], Iterable[Any]]
"""Which rows of an open file are to go: for each row group, a boolean of each row."""


@dataclass(slots=True)
class ErasedFiles:
    """How many rows are gone; `unreadable` are rows in quarantine that may be theirs and have been left."""

    decisions: int = 0
    events: int = 0
    quarantined: int = 0
    unreadable: int = 0


def erase_files(folder: Folder, customer_ids: set[str], partitions: set[int], step: Step) -> ErasedFiles:
    """Whoever calls has the folder. Repeating it does no harm. Raises OSError."""
    erased = ErasedFiles()
    erased.decisions = _erase_rows(folder, DECISIONS, customer_ids, step)
    erased.events = _erase_rows(folder, EVENTS, customer_ids, step)
    for kind, whose in ((DECISIONS, whose_decision), (EVENTS, whose_events)):
        quarantined = _Quarantined(customer_ids, partitions, whose)
        for file in folder.files(kind.quarantine):
            erased.quarantined += _replace_without(folder, file, quarantined.theirs, step)
        erased.unreadable += quarantined.unreadable
    return erased


def _erase_rows(folder: Folder, kind: Kind, customer_ids: set[str], step: Step) -> int:
    wanted = pa.array(sorted(customer_ids), pa.string())

    def theirs(parquet: Any) -> Iterator[pa.Array]:
        for group, span in enumerate(ranges(parquet, "customer_id")):
            if span is None or any(span[0] <= customer_id <= span[1] for customer_id in customer_ids):
                yield pc.is_in(parquet.read_row_group(group, columns=["customer_id"]).column(0), wanted)
            else:
                yield pa.repeat(pa.scalar(False), parquet.metadata.row_group(group).num_rows)

    return sum(_replace_without(folder, file, theirs, step) for file in folder.files(kind.name))


class _Quarantined:
    """Finds rows of customers in quarantine, and counts those of their partitions of which that can't be told."""

    def __init__(self, customer_ids: set[str], partitions: set[int], whose: Callable[[str, bytes], str | None]) -> None:
        self._customer_ids = customer_ids
        self._partitions = partitions
        self._whose = whose
        self.unreadable = 0

    def theirs(self, parquet: Any) -> Iterator[pa.Array]:
        for group in range(parquet.metadata.num_row_groups):
            partition, _, name, _, record = (column.to_pylist() for column in parquet.read_row_group(group).columns)
            whose = [self._whose(*row) for row in zip(name, record, strict=True)]
            told = zip(partition, whose, strict=True)
            self.unreadable += sum(customer_id is None and place in self._partitions for place, customer_id in told)
            yield pa.array([customer_id in self._customer_ids for customer_id in whose], pa.bool_())


def _replace_without(folder: Folder, file: Path, theirs: Theirs, step: Step) -> int:
    """How many rows are gone. A file of which nothing is left is removed."""
    with pq.ParquetFile(file) as parquet:
        gone = list(theirs(parquet))
        count = sum(pc.sum(rows).as_py() or 0 for rows in gone)
        if count == 0:
            return 0
        if count < parquet.metadata.num_rows:
            folder.replace(file, parquet.schema_arrow, _left(parquet, gone), step)
        else:
            folder.remove_file(file)
    step("replaced")
    return int(count)


def _left(parquet: Any, gone: list[Any]) -> Iterator[pa.Table]:
    for group, rows in enumerate(gone):
        table = parquet.read_row_group(group).filter(pc.invert(rows))
        if table.num_rows:
            yield table
