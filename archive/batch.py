"""A batch: what the files made of some stream entries are to hold, and what they are to be called."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

import pyarrow as pa

from archive.folder import DECISIONS, QUARANTINE, Folder, place_of
from archive.progress import Progress
from archive.reading import archived
from archive.rows import QUARANTINE_SCHEMA, SCHEMA, Row, day_of, quarantine_table, row_of, table_of
from archive.streams import Entry, shown
from decision.record import RecordError

ROWS_IN_GROUP = 2000


class Bad(NamedTuple):
    """An entry that can't be spelled out, and why."""

    entry: Entry
    why: str


class File(NamedTuple):
    """What a file is to hold: its row groups are made when they are asked for, which saves memory."""

    schema: pa.Schema
    groups: Iterator[pa.Table]


@dataclass(frozen=True, slots=True)
class Batch:
    """`files` by their places in the archive's folder. `records` includes the `quarantined`."""

    number: int
    files: dict[str, File]
    records: int
    quarantined: int


class Days:
    """Entries by day: rows in the order of their decision ids, and those that are no row.

    The day of a row is that of its decision; of another entry, that of its writing, by the service's clock too, which
    is `offset_us` ahead of the server's.
    """

    def __init__(self, entries: list[Entry], offset_us: int) -> None:
        self.rows: dict[date, list[Row]] = defaultdict(list)
        self.bad: dict[date, list[Bad]] = defaultdict(list)
        for entry in entries:
            try:
                row = row_of(entry)
            except RecordError as error:
                self.bad[day_of(entry.id[0] * 1000 + offset_us)].append(Bad(entry, str(error)))
            else:
                self.rows[day_of(row.at)].append(row)
        for rows in self.rows.values():
            rows.sort(key=lambda row: row.decision_id)

    def drop_known(self, folder: Folder) -> None:
        """Takes out what the archive has already."""
        kept = dict(folder.days(DECISIONS))
        for day in self.rows.keys() & kept.keys():
            known = archived(kept[day], "decision_id")
            self.rows[day] = [row for row in self.rows[day] if (row.decision_id,) not in known]
        kept = dict(folder.days(QUARANTINE))
        for day in self.bad.keys() & kept.keys():
            known = archived(kept[day], "partition", "entry")
            self.bad[day] = [bad for bad in self.bad[day] if (bad.entry.partition, shown(bad.entry.id)) not in known]

    def files(self, batch: str) -> dict[str, File]:
        """By place; `batch` becomes part of their names."""
        files = {}
        for day, rows in self.rows.items():
            if rows:
                span = f"{rows[0].decision_id[:12]}-{rows[-1].decision_id[:12]}"
                files[place_of(DECISIONS, day, f"{span}-{batch}")] = File(SCHEMA, _groups(rows))
        for day, bad in self.bad.items():
            if bad:
                files[place_of(QUARANTINE, day, batch)] = File(QUARANTINE_SCHEMA, iter([quarantine_table(bad)]))
        return files


def batch_of(entries: list[Entry], folder: Folder, progress: Progress, offset_us: int) -> Batch:
    """The batch after the last one of `progress`."""
    days = Days(entries, offset_us)
    if any(entry.id[0] <= progress.doubt_ms for entry in entries):
        days.drop_known(folder)
    number = progress.batch + 1
    files = days.files(_name(progress, number))
    while not all(map(folder.free, files)):  # a progress.json older than the files: nothing is ever overwritten
        number += 1
        files = days.files(_name(progress, number))
    quarantined = sum(map(len, days.bad.values()))
    return Batch(number, files, quarantined + sum(map(len, days.rows.values())), quarantined)


def _groups(rows: list[Row]) -> Iterator[pa.Table]:
    for first in range(0, len(rows), ROWS_IN_GROUP):
        yield table_of(rows[first : first + ROWS_IN_GROUP])


def _name(progress: Progress, number: int) -> str:
    return f"{progress.id}-{number:08}"
