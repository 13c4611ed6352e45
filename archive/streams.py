"""The streams in Redis, as the archiver sees them: read on from a mark, trim what nobody needs.

Trimming asks and trims in one script, because a group that is made in between would begin with what is gone.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from features.connection import Reply
from features.keys import Layout
from features.link import Link

EntryId = tuple[int, int]
"""Server time in milliseconds since 1970, and a number within that millisecond."""

TRIM = Path(__file__).with_name("trim.lua").read_bytes()
PAGE = 250  # entries asked for at once, at most, and at first so few that they may be large
FIRST_PAGE = 25
PAGE_BYTES = 1_000_000  # about what is asked for at once, so that Redis is not held up
MOST_BYTES = 32_000_000  # about what is read for one batch: one entry of an import may hold ten thousands of events
TRIMMED_AT_ONCE = 1000
WITHIN = 30.0


class Source(NamedTuple):
    """A kind of stream: its key in a partition, and its entries' fields, of which the last is what they hold."""

    stream: Callable[[Layout, int], str]
    fields: tuple[bytes, ...]


class Entry(NamedTuple):
    """One entry of a partition's stream: `name` is what its first field says, a decision's or a customer's id.

    `name` is "" and `body` all there was where it is none of ours.
    """

    partition: int
    id: EntryId
    name: str
    body: bytes


def shown(entry: EntryId) -> str:
    return f"{entry[0]}-{entry[1]}"


async def server_ms(link: Link) -> int:
    """The server's time, in milliseconds since 1970. Raises StoreError."""
    seconds, microseconds = await link.ask("TIME", within=WITHIN)
    return int(seconds) * 1000 + int(microseconds) // 1000


class Pages:
    """How many entries to ask for: as many as make a page of about PAGE_BYTES, by the size of those before."""

    def __init__(self) -> None:
        self.count = FIRST_PAGE

    def had(self, page: list[Entry]) -> None:
        if page:
            mean = sum(len(entry.body) for entry in page) // len(page) + 1
            self.count = max(1, min(PAGE, PAGE_BYTES // mean))


async def read_on(
    link: Link, layout: Layout, source: Source, marks: Mapping[int, EntryId], until_ms: int, most: int
) -> list[Entry]:
    """Entries after the marks and up to `until_ms` (server time), a page of each partition in turn until it's `most`.

    Or MOST_BYTES, whichever comes first; may give up to a page more. Within a partition they are in order, without a
    gap. Raises StoreError.
    """
    found: list[Entry] = []
    size, pages, last = 0, Pages(), dict(marks)
    waiting = list(range(layout.partitions))
    while waiting and len(found) < most and size < MOST_BYTES:
        still = []
        for partition in waiting:
            asked = pages.count
            page = await _page_after(link, layout, source, partition, last.get(partition), until_ms, asked)
            pages.had(page)
            found += page
            size += sum(len(entry.body) for entry in page)
            if len(page) == asked:
                last[partition] = page[-1].id
                still.append(partition)
            if len(found) >= most or size >= MOST_BYTES:
                break
        waiting = still
    return found


async def every_entry(
    link: Link, layout: Layout, source: Source, partition: int, from_ms: int = 0
) -> AsyncIterator[list[Entry]]:
    """A partition's stream from that time on (server time), in pages, up to the last entry that is there at the start.

    On a busy stream there would be no end to it. Raises StoreError.
    """
    stream = source.stream(layout, partition)
    newest = await link.ask("XREVRANGE", stream, "+", "-", "COUNT", 1, within=WITHIN)
    if not newest:
        return
    pages, start, end = Pages(), str(from_ms), newest[0][0]
    while True:
        asked = pages.count
        found = await link.ask("XRANGE", stream, start, end, "COUNT", asked, within=WITHIN)
        page = [_entry(source, partition, entry, fields) for entry, fields in found]
        yield page
        if len(page) < asked:
            return
        pages.had(page)
        start = f"({shown(page[-1].id)}"


async def _page_after(
    link: Link, layout: Layout, source: Source, partition: int, mark: EntryId | None, until_ms: int, count: int
) -> list[Entry]:
    start = "-" if mark is None else f"({shown(mark)}"
    if until_ms < 0 or (mark is not None and mark[0] > until_ms):
        return []
    stream = source.stream(layout, partition)
    page = await link.ask("XRANGE", stream, start, str(until_ms), "COUNT", count, within=WITHIN)
    return [_entry(source, partition, entry, fields) for entry, fields in page]


def _entry(source: Source, partition: int, entry: bytes, fields: list[bytes]) -> Entry:
    ms, _, number = entry.partition(b"-")
    entry_id = int(ms), int(number)
    if tuple(fields[::2]) == source.fields:
        *name, body = fields[1::2]
        with contextlib.suppress(UnicodeDecodeError):
            return Entry(partition, entry_id, b"".join(name).decode(), body)
    return Entry(partition, entry_id, "", msgspec.msgpack.encode(fields))


async def trim(link: Link, stream: str, before: EntryId) -> int:
    """Drop the entries before this one that every consumer group has read and acknowledged; how many those were.

    In small steps, so that Redis answers others in between. Raises StoreError.
    """
    trimmed = 0
    while (step := await _trim_some(link, stream, before)) > 0:
        trimmed += step
    return trimmed


async def _trim_some(link: Link, stream: str, before: EntryId) -> int:
    reply: Reply = await link.ask("EVAL", TRIM, 1, stream, shown(before), TRIMMED_AT_ONCE, within=WITHIN)
    return int(reply)
