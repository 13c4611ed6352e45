"""Running an archiver: once, or again and again until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from archive.drain import Archiver, Drained, Step, Terms
from archive.errors import ArchiveBusy, ArchiveError
from archive.folder import Folder
from features.errors import StoreError
from features.keys import PARTITIONS, Layout, open_layout
from features.link import Link

EVERY_SECONDS = 300.0
STALL_SECONDS = 30.0  # a server under load may be slow to tell a page; nobody waits for it


class Place(msgspec.Struct, frozen=True):
    """Whose records, and where they go: a Redis with its number of partitions, and a data directory."""

    url: str
    data: Path
    partitions: int = PARTITIONS


async def archive_once(
    place: Place, terms: Terms, *, take_over: bool = False, step: Step = lambda name: None
) -> Drained:
    """One drain. Raises ArchiveError, StoreError, OSError, ValueError."""
    async with _opened(place) as (link, layout):
        return await Archiver(link, layout, Folder(place.data), terms, step=step).drain(take_over=take_over)


async def keep_archiving(
    place: Place,
    terms: Terms,
    every: float,
    say: Callable[[str], None],
    stop: asyncio.Event,
    *,
    take_over: bool = False,
) -> None:
    """A drain every so many seconds, until `stop` is set; then the batch under way is finished.

    What fails is said, and tried again at the next turn.
    """
    while not stop.is_set():
        try:
            async with _opened(place) as (link, layout):
                archiver = Archiver(link, layout, Folder(place.data), terms, stopping=stop.is_set)
                drained = await archiver.drain(take_over=take_over)
        except ArchiveBusy:
            pass  # it does the same
        except (ArchiveError, StoreError, ValueError, OSError) as error:
            say(f"archiving failed, and is tried again in {every:g} s: {error}")
        else:
            take_over = False
            if drained != Drained():
                say(told(drained))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), every)


def told(drained: Drained) -> str:
    """In a sentence."""
    records, files = _counted(drained.records, "record"), _counted(drained.files, "file")
    if drained.events:
        records += f" and {_counted(drained.events, 'event')}"
    text = f"archived {records} in {files}, trimmed {drained.trimmed:,} from Redis"
    if drained.quarantined:
        text += f"; {drained.quarantined} could not be read and lie in quarantine"
    if drained.days_removed:
        text += f"; removed {_counted(drained.days_removed, 'day')} past retention"
    return text


def _counted(count: int, name: str) -> str:
    return f"{count:,} {name}" if count == 1 else f"{count:,} {name}s"


@asynccontextmanager
async def _opened(place: Place) -> AsyncIterator[tuple[Link, Layout]]:
    link = Link(place.url, stall_timeout=STALL_SECONDS)
    try:
        yield link, await open_layout(link, place.partitions)
    finally:
        await link.close()
