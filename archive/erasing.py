"""Erasing customers: what is recorded of them goes from the streams and the archive, as if it had never been there.

Their state is not touched here: whoever erases has made a tombstone of it before, so that nothing new comes of it.

    1  held        the archive's folder is held, as by an archiver: none is between reading entries and writing them
    2  settled     files that a batch left under temporary names are in place; they count, and would come back later
    3  streams     entries of theirs are taken out of the streams, and before that the marks of their events' ids
    4  files       each file of the archive that has rows of theirs is replaced by one without

Streams go before files, so that nothing can follow from the one into the other once it was erased there. Killed at any
moment, it has done a part, and doing it again does the rest: what is to go is found by whose it is, not by a list.
Readers see a file as it was or as it is. The archiver's marks are ids, before or after which there may be nothing.

What can't be read can't be told to be theirs. It stays, and how much there is of it in their partitions is said.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from archive.erased_files import erase_files
from archive.errors import ArchiveBusy
from archive.folder import Folder
from archive.streams import WITHIN, Entry, every_entry, server_ms, shown
from archive.traces import IN_DECISIONS, IN_EVENTS, IN_OUTBOX, Trace, days_of
from features.keys import META
from features.ledger import DAY_US, Ledger

ERASE = Path(__file__).with_name("erase.lua").read_bytes()
HELD_WITHIN = 60.0
ASKED_EVERY = 0.05
BUCKETS = range(-3, 2)  # days from today: ids of events are kept for two days and a little more
Step = Callable[[str], None]


@dataclass(slots=True)
class Erased:
    """How much was erased. `decisions`, `events` and `outbox` were in streams, and often in the archive as well.

    What was in the archive is None where that is on another machine: erase there, too. `quarantined` counts what lay in
    its quarantine. `unreadable` are entries, in streams and quarantine, that may be theirs and have been left.
    """

    decisions: int = 0
    events: int = 0
    outbox: int = 0
    archived_decisions: int | None = None
    archived_events: int | None = None
    quarantined: int | None = None
    unreadable: int = 0


async def erase(
    ledger: Ledger,
    data: Path | None,
    customer_ids: Collection[str],
    *,
    within: float = HELD_WITHIN,
    step: Step = lambda name: None,
) -> Erased:
    """Erases all that is recorded of these customers. Erasing again finishes what was interrupted.

    `data` is the data directory whose archive it is to go from as well; with None, or where the archive that Redis
    names is another one, it goes from the streams only. Waits `within` seconds for an archiver to finish. Raises
    ArchiveBusy before anything was done; ArchiveError, StoreError, OSError.
    """
    erased = Erased()
    if data is None or not await _is_archive_of(data, ledger):
        await _erase_streams(ledger, set(customer_ids), erased, step)
        return erased
    folder = Folder(data)
    async with _held(folder, within):
        step("held")
        progress = folder.progress()
        folder.publish(progress.publishing if progress else (), step)
        folder.sweep()
        step("settled")
        await _erase_streams(ledger, set(customer_ids), erased, step)
        step("streams")
        partitions = set(map(ledger.layout.partition, customer_ids))
        files = await asyncio.to_thread(erase_files, folder, set(customer_ids), partitions, step)
        step("files")
    erased.archived_decisions, erased.archived_events = files.decisions, files.events
    erased.quarantined = files.quarantined
    erased.unreadable += files.unreadable
    return erased


async def _is_archive_of(data: Path, ledger: Ledger) -> bool:
    """Whether the archive of this Redis is the one in this folder; one that has no name yet would be."""
    name = await ledger.link.ask("HGET", META, "archive", within=WITHIN)
    progress = Folder(data).progress()
    return name is None or (progress is not None and progress.id.encode() == name)


@asynccontextmanager
async def _held(folder: Folder, within: float) -> AsyncIterator[None]:
    deadline = monotonic() + within
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(folder.held())
                break
            except ArchiveBusy:
                if monotonic() >= deadline:
                    raise
                await asyncio.sleep(ASKED_EVERY)
        yield


async def _erase_streams(ledger: Ledger, customer_ids: set[str], erased: Erased, step: Step) -> None:
    for partition in sorted(set(map(ledger.layout.partition, customer_ids))):
        async for theirs in _theirs(ledger, IN_DECISIONS, partition, customer_ids, erased):
            erased.decisions += await _erase_entries(ledger, IN_DECISIONS, theirs, step)
        async for theirs in _theirs(ledger, IN_OUTBOX, partition, customer_ids, erased):
            erased.outbox += await _erase_entries(ledger, IN_OUTBOX, theirs, step)
        async for theirs in _theirs(ledger, IN_EVENTS, partition, customer_ids, erased):
            days = [(entry.name, days_of(entry)) for entry in theirs]
            await _forget(ledger, {(customer_id, day) for customer_id, found in days for day in found})
            step("forgotten")
            await _erase_entries(ledger, IN_EVENTS, theirs, step)
            erased.events += sum(max(len(found), 1) for _, found in days)
    today = (await server_ms(ledger.link) * 1000 + ledger.clock_offset_us) // DAY_US
    await _forget(ledger, {(customer_id, today + day) for customer_id in customer_ids for day in BUCKETS})


async def _theirs(
    ledger: Ledger, trace: Trace, partition: int, customer_ids: set[str], erased: Erased
) -> AsyncIterator[list[Entry]]:
    async for page in every_entry(ledger.link, ledger.layout, trace.source, partition):
        whose = [trace.whose(entry.name, entry.body) for entry in page]
        erased.unreadable += whose.count(None)
        theirs = [entry for entry, customer_id in zip(page, whose, strict=True) if customer_id in customer_ids]
        if theirs:
            yield theirs


async def _erase_entries(ledger: Ledger, trace: Trace, entries: list[Entry], step: Step) -> int:
    stream = trace.source.stream(ledger.layout, entries[0].partition)
    ids = [shown(entry.id) for entry in entries]
    gone = await ledger.link.ask("EVAL", ERASE, 1, stream, *ids, within=WITHIN)
    step("erasing")
    return int(gone)


async def _forget(ledger: Ledger, days: set[tuple[str, int]]) -> None:
    """The ids of a customer's events of a day: one that is sent again afterwards is a new one."""
    for customer_id, day in sorted(days):
        await ledger.link.ask("DEL", ledger.layout.event_ids(customer_id, day), within=WITHIN)
