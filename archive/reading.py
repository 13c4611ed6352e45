"""Reading decisions in the archive: one record by its decision id, or all of a period. Nobody needs a lock to read.

Files are passed over by their name, then by the statistics of their row groups; of what is left only the columns asked
for are read. A file that retention takes away under the reader counts as gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from archive.folder import Folder
from archive.kinds import DECISIONS
from archive.tables import day_of
from features.customer import moment
from features.keys import parse_decision_id

SLACK_MS = 5 * 60_000
"""How far a record's `at` may lie from the time in its decision id: a request may wait for a minute."""
_NAME = re.compile(r"([0-9a-f]{12})-([0-9a-f]{12})-")
_LATEST_US = 253_402_214_400_000_000  # the last day of the year 9999


def find(data: Path, decision_id: str) -> bytes | None:
    """The record of a decision as it stood in its stream, or None. `data` is the data directory.

    Records that could not be read when they were archived are found too. Raises ValueError for what is no decision id.
    """
    _, at_ms = parse_decision_id(decision_id)
    folder = Folder(data)
    days = {_day((at_ms + slack) * 1000) for slack in (-SLACK_MS, SLACK_MS)}
    for day, path in folder.days(DECISIONS.name):
        if day in days:
            for file in _files(path, at_ms, at_ms):
                if (record := _record_in(file, decision_id)) is not None:
                    return record
    for _, path in folder.days(DECISIONS.quarantine):
        for file in sorted(path.glob("*.parquet")):
            if (record := _record_in(file, decision_id)) is not None:
                return record
    return None


def since(data: Path, at_us: int, until_us: int | None = None) -> Iterator[bytes]:
    """The records of decisions made from `at_us` on and before `until_us` (service time, microseconds since 1970).

    By day; within a file in the order of their ids, but files of one day overlap.
    """
    until_us = _LATEST_US if until_us is None else min(until_us, _LATEST_US)
    at_us = max(at_us, 0)
    first, last = _day(at_us), _day(until_us)
    for day, path in Folder(data).days(DECISIONS.name):
        if first <= day <= last:
            for file in _files(path, at_us // 1000 - SLACK_MS, until_us // 1000 + SLACK_MS):
                yield from _records_of(file, at_us, until_us)


def archived(day: Path, *columns: str) -> set[tuple[Any, ...]]:
    """All that a day's files say in these columns."""
    found: set[tuple[Any, ...]] = set()
    for file in sorted(day.glob("*.parquet")):
        table = pq.read_table(file, columns=list(columns), partitioning=None).group_by(list(columns)).aggregate([])
        found.update(zip(*(column.to_pylist() for column in table.columns), strict=True))
    return found


def _day(at_us: int) -> date:
    return day_of(min(max(at_us, 0), _LATEST_US))


def _files(day: Path, from_ms: int, to_ms: int) -> list[Path]:
    """A day's files that hold decision ids of that time, by their names."""
    found = []
    for file in sorted(day.glob("*.parquet")):
        named = _NAME.match(file.name)  # a file that somebody else put there may hold anything
        if named is None or (int(named[1], 16) <= to_ms and from_ms <= int(named[2], 16)):
            found.append(file)
    return found


def _record_in(file: Path, decision_id: str) -> bytes | None:
    try:
        with pq.ParquetFile(file) as parquet:
            for group in _groups(parquet, "decision_id", decision_id, decision_id):
                ids = parquet.read_row_group(group, columns=["decision_id"]).column(0)
                if (row := pc.index(ids, decision_id).as_py()) >= 0:
                    record: bytes = parquet.read_row_group(group, columns=["record"]).column(0)[row].as_py()
                    return record
    except FileNotFoundError:
        pass
    return None


def _records_of(file: Path, at_us: int, until_us: int) -> Iterator[bytes]:
    try:
        parquet = pq.ParquetFile(file)
    except FileNotFoundError:
        return
    with parquet:
        for group in _groups(parquet, "decided_at", moment(at_us), moment(until_us)):
            table = parquet.read_row_group(group, columns=["decided_at", "record"])
            times = table.column("decided_at").cast("int64").to_pylist()
            for at, record in zip(times, table.column("record"), strict=True):
                if at_us <= at < until_us:
                    yield record.as_py()


def ranges(parquet: Any, column: str) -> list[tuple[Any, Any] | None]:
    """By row group, the least and the greatest value of a column; None where the file does not tell."""
    metadata = parquet.metadata
    leaf = metadata.schema.to_arrow_schema().names.index(column)  # no column before it is nested
    statistics = [metadata.row_group(group).column(leaf).statistics for group in range(metadata.num_row_groups)]
    return [(each.min, each.max) if each is not None and each.has_min_max else None for each in statistics]


def _groups(parquet: Any, column: str, low: Any, high: Any) -> Iterator[int]:
    """The row groups that may have a value from `low` to `high` in `column`, as far as their statistics tell."""
    for group, span in enumerate(ranges(parquet, column)):
        if span is None or (span[0] <= high and low <= span[1]):
            yield group
