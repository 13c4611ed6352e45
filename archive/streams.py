"""The streams of records in Redis, as the archiver sees them: read on from a mark, trim what nobody needs.

Trimming asks and trims in one script, because a group that is made in between would begin with what is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from features.connection import Reply
from features.keys import Layout
from features.link import Link

EntryId = tuple[int, int]
"""Server time in milliseconds since 1970, and a number within that millisecond."""

TRIM = Path(__file__).with_name("trim.lua").read_bytes()
PAGE = 250  # entries asked for at once: a megabyte or less, so that Redis is not held up
TRIMMED_AT_ONCE = 1000
WITHIN = 30.0


class Entry(NamedTuple):
    """One entry of a partition's stream. `decision_id` is "" and `record` all there was where it is none of ours."""

    partition: int
    id: EntryId
    decision_id: str
    record: bytes


def shown(entry: EntryId) -> str:
    return f"{entry[0]}-{entry[1]}"


async def server_ms(link: Link) -> int:
    """The server's time, in milliseconds since 1970. Raises StoreError."""
    seconds, microseconds = await link.ask("TIME", within=WITHIN)
    return int(seconds) * 1000 + int(microseconds) // 1000


async def read_on(link: Link, layout: Layout, marks: Mapping[int, EntryId], until_ms: int, most: int) -> list[Entry]:
    """Entries after the marks and up to `until_ms` (server time), a page of each partition in turn until it's `most`.

    May give up to a page more. Within a partition they are in order, without a gap. Raises StoreError.
    """
    found: list[Entry] = []
    last = dict(marks)
    waiting = list(range(layout.partitions))
    while waiting and len(found) < most:
        still = []
        for partition in waiting:
            page = await _page(link, layout, partition, last.get(partition), until_ms)
            found += page
            if len(page) == PAGE:
                last[partition] = page[-1].id
                still.append(partition)
            if len(found) >= most:
                break
        waiting = still
    return found


async def _page(link: Link, layout: Layout, partition: int, mark: EntryId | None, until_ms: int) -> list[Entry]:
    start = "-" if mark is None else f"({shown(mark)}"
    if until_ms < 0 or (mark is not None and mark[0] > until_ms):
        return []
    stream = layout.decisions(partition)
    page = await link.ask("XRANGE", stream, start, str(until_ms), "COUNT", PAGE, within=WITHIN)
    return [_entry(partition, entry, fields) for entry, fields in page]


def _entry(partition: int, entry: bytes, fields: list[bytes]) -> Entry:
    ms, _, number = entry.partition(b"-")
    match fields:
        case [b"d", decision_id, b"r", record] if decision_id.isascii():
            return Entry(partition, (int(ms), int(number)), decision_id.decode(), record)
    return Entry(partition, (int(ms), int(number)), "", msgspec.msgpack.encode(fields))


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
