"""A batch: what the files made of some stream entries are to hold, and what they are to be called."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

import pyarrow as pa

from archive.folder import Folder, place_of
from archive.kinds import Kind
from archive.progress import Progress
from archive.reading import archived
from archive.streams import Entry, shown
from archive.tables import Bad, Spelled, day_of, groups_of, quarantine_table


class File(NamedTuple):
    """What a file is to hold: its row groups are made when they are asked for, which saves memory."""

    schema: pa.Schema
    groups: Iterator[pa.Table]


@dataclass(frozen=True, slots=True)
class Batch:
    """`files` by their places in the archive's folder. `rows` leaves out the `quarantined` entries."""

    number: int
    files: dict[str, File]
    rows: int
    quarantined: int


class Days:
    """Entries of a kind by day: those spelled out, in the order of their keys, and those that can't be.

    The day of an entry is what it says itself; of one that says nothing, that of its writing, by the service's clock
    too, which is `offset_us` ahead of the server's.
    """

    def __init__(self, kind: Kind, entries: list[Entry], offset_us: int) -> None:
        self.kind = kind
        self.spelled: dict[date, list[Spelled]] = defaultdict(list)
        self.bad: dict[date, list[Bad]] = defaultdict(list)
        for entry in entries:
            try:
                spelled = kind.spell(entry)
            except ValueError as error:
                self.bad[day_of(entry.id[0] * 1000 + offset_us)].append(Bad(entry, str(error)))
            else:
                self.spelled[day_of(spelled.at)].append(spelled)
        for day in self.spelled.values():
            day.sort(key=lambda spelled: spelled.key)

    def drop_known(self, folder: Folder) -> None:
        """Takes out what the archive has already."""
        kept = dict(folder.days(self.kind.name))
        for day in self.spelled.keys() & kept.keys():
            known = archived(kept[day], *self.kind.known)
            self.spelled[day] = [spelled for spelled in self.spelled[day] if spelled.known not in known]
        kept = dict(folder.days(self.kind.quarantine))
        for day in self.bad.keys() & kept.keys():
            known = archived(kept[day], "partition", "entry")
            self.bad[day] = [bad for bad in self.bad[day] if (bad.entry.partition, shown(bad.entry.id)) not in known]

    def files(self, batch: str) -> dict[str, File]:
        """By place; `batch` becomes part of their names."""
        kind, files = self.kind, {}
        for day, spelled in self.spelled.items():
            if spelled:
                place = place_of(kind.name, day, f"{kind.span(spelled)}{batch}")
                files[place] = File(kind.schema, groups_of(kind.schema, spelled))
        for day, bad in self.bad.items():
            if bad:
                table = quarantine_table(kind.quarantine_schema, bad)
                files[place_of(kind.quarantine, day, batch)] = File(kind.quarantine_schema, iter([table]))
        return files


def batch_of(kind: Kind, entries: list[Entry], folder: Folder, progress: Progress, offset_us: int) -> Batch:
    """The batch after the last one of `progress`."""
    days = Days(kind, entries, offset_us)
    if any(entry.id[0] <= progress.doubt_ms for entry in entries):
        days.drop_known(folder)
    number = progress.batch + 1
    files = days.files(_name(progress, number))
    while not all(map(folder.free, files)):  # a progress.json older than the files: nothing is ever overwritten
        number += 1
        files = days.files(_name(progress, number))
    rows = sum(spelled.count for day in days.spelled.values() for spelled in day)
    return Batch(number, files, rows, sum(map(len, days.bad.values())))


def _name(progress: Progress, number: int) -> str:
    return f"{progress.id}-{number:08}"
