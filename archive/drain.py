"""Draining: decisions and events go from their streams to Parquet, each exactly once, wherever it is interrupted.

A batch takes entries of one kind, of all partitions, and makes one file per day of them, so several files and several
streams have to change together, though a disk renames one file at a time and Redis knows nothing of the disk. What
holds them together is one small file, progress.json, which is replaced as a whole:

    1  opened       files that the last batch left under temporary names are put in place, other leavings removed
    2  written      the batch's files are written in full under temporary names, and synced to disk
    3  marked       progress.json is replaced: the new mark of every stream, and the names of the batch's files
    4  published    the files are renamed into place
    5  trimmed      entries are dropped from the streams: before the mark, read by every group, old enough
    6  expired      days that are past retention are removed

Killed before 3, the batch has not happened: its files are swept and its entries read again. Killed after it, it has:
step 1 of the next run does what is left of 4, which may be done any number of times, and reading goes on after the
marks. Trimming and expiring only ever act on what is so, and may stop anywhere. Readers see a file whole or not at all.

There is one archiver at a time: the folder's lock keeps a second one off the folder, and the archive's name in Redis
(`tino:meta`, `archive`) a second folder off the same Redis. Neither is a lease, which could run out under a slow
holder: the lock ends with its process, the name is for good.

The marks are ids of stream entries, and so rely on new entries having later ids. Redis sees to that, but not across a
restored backup, an emptied database or a server clock set back. Where one of these shows (Redis has lost the archive's
name; its time lies before a mark), the marks are given up, and of every entry up to that moment the archive itself is
asked whether it has the entry already. That only the last minute's entries are left alone (`min_age_ms`) keeps what
does not show, a failover that loses a moment of writes, from bringing forth new ids before a mark.

Given up: merging the small files of quiet hours into larger ones (readers would see records twice or not at all), and
a consumer group to keep the marks in, because the marks have to change together with the files, not with the streams.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from secrets import token_hex

import msgspec

from archive.batch import batch_of
from archive.errors import ForeignArchive
from archive.folder import Folder
from archive.kinds import EVENTS, KINDS, Kind
from archive.progress import Progress, doubted
from archive.retention import expired_days, retention_in_force
from archive.streams import WITHIN, Entry, EntryId, read_on, server_ms, trim
from features.keys import META, Layout
from features.link import Link
from features.opening import settle_clock

HOUR_MS = 3_600_000
MARGIN_MS = 60_000  # request ids are kept for 24 hours, and the records they are answered from a little longer
EVENT_HOURS = 73  # as long as an event may be looked up by its id: those of a day are kept 49 hours after the last
Step = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Terms:
    """Which entries are archived, and which stay in Redis.

    Entries younger than `min_age_ms` are left alone; archived ones stay in Redis until they are older than `keep_ms`,
    those of events `keep_events_ms`. `most` is about how many entries one batch holds in memory.
    """

    min_age_ms: int = 60_000
    keep_ms: int = 24 * HOUR_MS + MARGIN_MS
    most: int = 10_000
    keep_events_ms: int = EVENT_HOURS * HOUR_MS + MARGIN_MS

    def keep(self, kind: Kind) -> int:
        return self.keep_events_ms if kind is EVENTS else self.keep_ms


@dataclass(slots=True)
class Drained:
    """What one drain did. `records` are those of decisions, and include the entries `quarantined`, of either kind."""

    records: int = 0
    events: int = 0
    quarantined: int = 0
    files: int = 0
    trimmed: int = 0
    days_removed: int = 0


class Archiver:
    """`step` is called with the name of each step once it is done; `stopping` asks whether to end after a batch."""

    def __init__(
        self,
        link: Link,
        layout: Layout,
        folder: Folder,
        terms: Terms,
        *,
        step: Step = lambda name: None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._link = link
        self._layout = layout
        self._folder = folder
        self._terms = terms
        self._step = step
        self._stopping = stopping

    async def drain(self, *, take_over: bool = False) -> Drained:
        """Archives what there is. `take_over` makes the folder this Redis' archive, whatever was before.

        Raises ArchiveError, StoreError, OSError, ValueError; some batches may be done then, the next drain does the
        rest.
        """
        drained = Drained()
        with self._folder.held():
            now_ms = await server_ms(self._link)
            offset_us = await settle_clock(self._link, None, False)
            progress = await self._opened(now_ms, take_over)
            self._step("opened")
            until_ms = now_ms - self._terms.min_age_ms
            for kind in KINDS:
                progress = await self._drain(kind, progress, until_ms, offset_us, drained)
            await self._trim(progress, now_ms, drained)
            await self._expire(now_ms * 1000 + offset_us, drained)
        return drained

    async def _drain(self, kind: Kind, progress: Progress, until_ms: int, offset_us: int, drained: Drained) -> Progress:
        while not self._stopping():
            marks = progress.marks.get(kind.name, {})
            entries = await read_on(self._link, self._layout, kind.source, marks, until_ms, self._terms.most)
            if not entries:
                break
            self._step("read")
            progress = self._archived(kind, entries, progress, offset_us, drained)
        return progress

    async def _opened(self, now_ms: int, take_over: bool) -> Progress:
        """Finishes what the last batch left, and settles that this archive and this Redis belong together."""
        progress = self._folder.progress()
        named = await self._link.ask("HGET", META, "archive", within=WITHIN)
        name = named.decode() if named is not None else None
        if progress is None:
            progress = Progress(token_hex(4))
            anew = any(self._folder.days(kind.name) for kind in KINDS)
        else:
            self._folder.publish(progress.publishing, self._step)
            anew = name != progress.id and (bool(progress.marks) or progress.batch > 0)
        if name not in (None, progress.id) and not take_over:
            raise ForeignArchive(
                f"the records of this Redis are kept by archive {name}, not by the one in {self._folder.root}: "
                "give its --data, or --take-over if it is gone"
            )
        self._folder.sweep()
        if anew or now_ms < progress.latest_ms:
            progress = doubted(progress, now_ms)
        self._folder.advance(progress)
        await self._link.ask("HSET" if take_over else "HSETNX", META, "archive", progress.id, within=WITHIN)
        if await self._link.ask("HGET", META, "archive", within=WITHIN) != progress.id.encode():
            raise ForeignArchive("another archive of this Redis was begun at the same moment")
        return progress

    def _archived(
        self, kind: Kind, entries: list[Entry], progress: Progress, offset_us: int, drained: Drained
    ) -> Progress:
        """One batch: from the entries to files in place."""
        batch = batch_of(kind, entries, self._folder, progress, offset_us)
        for place, file in batch.files.items():
            self._folder.write(place, file.schema, file.groups, self._step)
        self._step("written")
        marks = progress.marked(kind.name, entries)
        progress = msgspec.structs.replace(progress, batch=batch.number, marks=marks, publishing=tuple(batch.files))
        self._folder.advance(progress)
        self._step("marked")
        self._folder.publish(progress.publishing, self._step)
        self._step("published")
        drained.records += batch.quarantined
        if kind is EVENTS:
            drained.events += batch.rows
        else:
            drained.records += batch.rows
        drained.quarantined += batch.quarantined
        drained.files += len(batch.files)
        return progress

    async def _trim(self, progress: Progress, now_ms: int, drained: Drained) -> None:
        for kind in KINDS:
            kept_from = max(now_ms - self._terms.keep(kind), 0)
            for partition, (ms, number) in progress.marks.get(kind.name, {}).items():
                before: EntryId = min((ms, number + 1), (kept_from, 0))
                trimmed = await trim(self._link, kind.source.stream(self._layout, partition), before)
                drained.trimmed += trimmed
                if trimmed:
                    self._step("trimming")
        self._step("trimmed")

    async def _expire(self, now_us: int, drained: Drained) -> None:
        retention = await retention_in_force(self._link)
        for kind in KINDS:
            for folder in (kind.name, kind.quarantine):
                for path in expired_days(self._folder.days(folder), now_us, kind.retention(retention)):
                    self._folder.remove(path)
                    drained.days_removed += folder == kind.name
                    self._step("expiring")
        self._step("expired")
