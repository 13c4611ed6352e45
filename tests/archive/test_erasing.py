"""Erasing takes all of a customer out of streams and files, and nothing of anybody else."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from archive.drain import Drained
from archive.erasing import Erased, erase
from archive.errors import ArchiveBusy
from archive.events import EventLog
from archive.folder import Folder
from archive.running import Place, archive_once
from archive.streams import PAGE
from features.commit import Commit, Committed, Known, Repeated
from features.events import digest, pack_events
from features.keys import META, Layout
from features.ledger import Ledger
from tests.archive import duck
from tests.archive.filled import GONE, Filled, others
from tests.archive.streams import (
    AT_ONCE,
    DAY_US,
    KEEPING,
    NOON,
    Streams,
    archived,
    event_of,
    files,
    record_of,
    written,
)

pytestmark = pytest.mark.anyio
PATIENCE = 60


async def test_all_of_them_goes_and_nothing_else(
    ledger: Ledger, streams: Streams, place: Place, filled: Filled
) -> None:
    """In the archive only, in both, in the streams only; over days."""
    await filled.put(["c-é", *others(40)], 2, NOON)
    await archive_once(place, AT_ONCE)
    await filled.put(["c-é", *others(40)], 2, NOON + DAY_US)
    await archive_once(place, KEEPING)
    await filled.put(["c-é", *others(40)], 1, NOON + 2 * DAY_US)
    untouched = files(place.data)[0].stat().st_ino
    assert await erase(ledger, place.data, ["nobody"]) == Erased(0, 0, 0, 0, 0, 0, 0)
    assert files(place.data)[0].stat().st_ino == untouched
    erased = await erase(ledger, place.data, GONE)
    assert erased == Erased(6, 12, 10, archived_decisions=8, archived_events=16, quarantined=0, unreadable=0)
    assert await filled.found() == filled.without(GONE)
    assert await filled.messages() == set(others(40)) - set(GONE)
    assert await EventLog(ledger, place.data).events_of(GONE) == {"c-é": [], "c-7": []}
    assert await erase(ledger, place.data, GONE) == Erased(0, 0, 0, 0, 0, 0, 0)
    await archive_once(place, AT_ONCE)
    assert await filled.found() == filled.without(GONE)
    query = f"SELECT count(*), count(DISTINCT customer_id) FROM '{place.data}/archive/events/*/*.parquet'"
    assert duck.asked(query) == [(39 * 10, 39)]


async def test_more_than_a_page_of_them(ledger: Ledger, streams: Streams, place: Place, filled: Filled) -> None:
    await filled.put(GONE, 2 * PAGE, NOON)
    await archive_once(place, KEEPING)
    erased = await erase(ledger, place.data, GONE)
    assert (erased.decisions, erased.archived_events) == (4 * PAGE, 8 * PAGE)
    assert await filled.found() == ({}, [])
    assert files(place.data) == files(place.data, "events") == []  # nothing was left of them


async def test_without_the_archive_the_result_says_so(
    ledger: Ledger, streams: Streams, place: Place, filled: Filled, tmp_path: Path
) -> None:
    await filled.put(GONE, 1, NOON)
    await archive_once(place, KEEPING)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert await erase(ledger, None, GONE[:1]) == Erased(1, 2, 1, None, None, None, 0)
    assert await erase(ledger, elsewhere, GONE[1:]) == Erased(1, 2, 1, None, None, None, 0)
    assert list(elsewhere.iterdir()) == []
    assert len(archived(place.data)) == 2
    assert await erase(ledger, place.data, GONE) == Erased(0, 0, 0, 2, 4, 0, 0)


async def test_the_ids_of_their_events_are_forgotten(ledger: Ledger, place: Place) -> None:
    """Today's, and those of a day long ago, should the service's clock have been set ahead since."""
    _, at = await ledger.load("c-7", 10)
    event = event_of(1, at)
    stored = Commit("c-7", b"", at, None, ids=[digest(event.id)], events=pack_events([event]))
    assert isinstance(await ledger.commit(stored, 10), Committed)
    assert isinstance(await ledger.commit(stored, 10), Known)
    old = ledger.layout.event_ids("c-7", NOON // DAY_US)
    await ledger.link.ask("HSET", old, digest("e-2"), "1-1", within=10)
    await Streams(ledger.link, ledger.layout).add_events("c-7", [event_of(2, NOON)])
    assert (await erase(ledger, place.data, GONE)).events == 2
    assert await ledger.link.ask("KEYS", "tino:{*}:e:*", within=10) == []
    again = Commit("c-7", b"", (await ledger.load("c-7", 10))[1], None, ids=stored.ids, events=stored.events)
    assert isinstance(await ledger.commit(again, 10), Committed)


async def test_a_repeated_request_has_no_record_any_more(ledger: Ledger, place: Place) -> None:
    _, at = await ledger.load("c-7", 10)
    record = record_of(1, at, ledger.layout.partition("c-7"), customer_id="c-7")
    decided = Commit("c-7", b"", at, None, request=(b"digest", b"hash"), decision_id=record.id, record=written(record))
    assert isinstance(await ledger.commit(decided, 10), Committed)
    assert (await erase(ledger, place.data, GONE)).decisions == 1
    repeated = await ledger.commit(decided, 10)
    assert isinstance(repeated, Repeated)
    assert repeated.record is None


async def test_groups_that_had_their_entries_wait_for_none(
    ledger: Ledger, streams: Streams, place: Place, layout: Layout, filled: Filled
) -> None:
    stream = layout.decisions(layout.partition("c-7"))
    await filled.put(GONE, 3, NOON)
    await streams.ask("XGROUP", "CREATE", stream, "learn", "0")
    await streams.ask("XREADGROUP", "GROUP", "learn", "one", "COUNT", 2, "STREAMS", stream, ">")
    assert (await streams.ask("XPENDING", stream, "learn"))[0] == 2
    await erase(ledger, place.data, GONE)
    assert (await streams.ask("XPENDING", stream, "learn"))[0] == 0
    await filled.put(["c-7"], 1, NOON + DAY_US)
    ((_, entries),) = await streams.ask("XREADGROUP", "GROUP", "learn", "one", "STREAMS", stream, ">")
    await streams.ask("XACK", stream, "learn", *(entry for entry, _ in entries))
    assert len(entries) == 1
    drained = await archive_once(place, AT_ONCE)
    assert (drained.records, drained.events, drained.trimmed) == (1, 2, 1)  # the last that a group was given stays


async def test_what_can_not_be_read_is_told_by_its_beginning_or_stays(
    ledger: Ledger, streams: Streams, place: Place, layout: Layout
) -> None:
    partition = layout.partition("c-7")

    async def put() -> None:
        late = record_of(1, NOON, partition, customer_id="c-7", version=99)
        bodies = {late.id: written(late), record_of(2).id: b"torn", record_of(3).id: written(record_of(3))[:40]}
        for decision_id, body in bodies.items():
            await streams.add(partition, decision_id, body)
        for fields in (("c", "c-7", "e", "torn"), ("c", "c-8", "e", "torn"), ("other", "thing")):
            await streams.ask("XADD", layout.events(partition), "*", *fields)
        await streams.add((partition + 1) % layout.partitions, "", b"not theirs in any case")

    await put()
    await archive_once(place, AT_ONCE)
    await put()
    erased = await erase(ledger, place.data, ["c-7"])
    assert erased == Erased(1, 1, 0, 0, 0, quarantined=2, unreadable=6)
    kept = [row for file in files(place.data, "quarantine_events") for row in rows(file)]
    assert [row["customer_id"] for row in kept] == ["c-8", ""]


def rows(file: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(file, partitioning=None).to_pylist()
    return found


async def test_it_waits_for_an_archiver_up_to_a_time(ledger: Ledger, place: Place, filled: Filled) -> None:
    await filled.put(GONE, 1, NOON)
    with Folder(place.data).held():
        with pytest.raises(ArchiveBusy):
            await erase(ledger, place.data, GONE, within=0)
        assert len((await filled.found())[0]) == 2
        erasing = asyncio.create_task(erase(ledger, place.data, GONE))
        done, _ = await asyncio.wait((erasing,), timeout=0.01)
        assert not done
    assert (await asyncio.wait_for(erasing, PATIENCE)).decisions == 2


async def test_while_an_archiver_drains_again_and_again(ledger: Ledger, place: Place, filled: Filled) -> None:
    await filled.put(["c-é", *others(40)], 3, NOON)
    erasing = asyncio.create_task(erase(ledger, place.data, GONE))
    drained = Drained()
    while not erasing.done():
        try:
            drained = await archive_once(place, AT_ONCE)
        except ArchiveBusy:
            await asyncio.wait((erasing,), timeout=0.01)
    erased = await erasing
    assert erased.decisions + (erased.archived_decisions or 0) >= 6
    await archive_once(place, AT_ONCE)
    assert drained.quarantined == 0
    assert await filled.found() == filled.without(GONE)


async def test_a_folder_that_was_never_an_archive(ledger: Ledger, streams: Streams, place: Place) -> None:
    """Redis names none either: then this would be it, and there is nothing in it."""
    assert await streams.ask("HGET", META, "archive") is None
    assert await erase(ledger, place.data, GONE) == Erased(0, 0, 0, 0, 0, 0, 0)
