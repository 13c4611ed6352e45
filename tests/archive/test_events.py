"""The event log: each event archived once, and found by its customer wherever it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from archive import spool
from archive.drain import EVENT_HOURS, Drained, Terms
from archive.events import EventLog
from archive.folder import Folder
from archive.running import Place, archive_once, told
from archive.streams import PAGE
from features.commit import Commit, Committed
from features.events import Event, digest, pack_events
from features.keys import META, Layout
from features.ledger import Ledger
from tests.archive import duck
from tests.archive.streams import (
    AT_ONCE,
    DAY_US,
    HOUR_US,
    KEEPING,
    NOON,
    Events,
    Streams,
    all_of,
    archived,
    archived_events,
    days,
    event_of,
    files,
    ids_of,
)

pytestmark = pytest.mark.anyio


async def everything(log: EventLog, layout: Layout) -> Events:
    found: Events = {}
    for partition in range(layout.partitions):
        async for customer_id, events in log.by_customer(partition):
            assert layout.partition(customer_id) == partition
            assert customer_id not in found
            found[customer_id] = events
    return found


def together(one: Events, other: Events) -> Events:
    return {customer_id: one.get(customer_id, []) + other.get(customer_id, []) for customer_id in {**one, **other}}


async def test_decisions_and_events_are_archived_once_and_trimmed(place: Place, streams: Streams) -> None:
    records, events = await streams.fill(100), await streams.fill_events(300)
    drained = await archive_once(place, AT_ONCE)
    assert (drained.records, drained.events, drained.files, drained.quarantined) == (100, 600, 2, 0)
    assert told(drained) == "archived 100 records and 600 events in 2 files, trimmed 400 from Redis"
    assert archived(place.data) == all_of(records)
    assert archived_events(place.data) == ids_of(events)
    assert (await streams.left(), await streams.events_left()) == ({}, {})
    assert await archive_once(place, AT_ONCE) == Drained()
    more = await streams.fill_events(10, NOON + DAY_US)
    assert (await archive_once(place, replace(AT_ONCE, most=3))).events == 19
    assert archived_events(place.data) == ids_of(events, more)


async def test_events_stay_in_redis_as_long_as_their_ids(place: Place, streams: Streams) -> None:
    await streams.fill(5)
    put = await streams.fill_events(5)
    assert (await archive_once(place, replace(KEEPING, keep_ms=-60_000))).trimmed == 5
    assert ids_of(await streams.events_left()) == ids_of(put)
    assert EVENT_HOURS >= 24 + 49  # the ids of a day expire 49 hours after the last of them was written
    assert Terms().keep_events_ms > EVENT_HOURS * 3_600_000


async def test_what_duckdb_sees(place: Place, streams: Streams, layout: Layout) -> None:
    properties = {"amount": 1.0, "big": 2**63, "names": ["á", None], "in": {"x": True}}
    first = event_of(1, properties=properties, decision_id="0" * 32)
    entry = await streams.add_events("c-é", [first, event_of(2, at=-HOUR_US)])
    await archive_once(place, AT_ONCE)
    rows = duck.asked(
        "SELECT event_id, customer_id, event_type, epoch_us(happened_at), epoch_us(received_at), decision_id,"
        f" properties, partition, entry, number, day::text FROM '{place.data}/archive/events/*/*.parquet' ORDER BY 10"
    )
    told = (layout.partition("c-é"), entry.decode())
    assert orjson.loads(rows[0][6]) == properties
    assert rows[0][:6] == ("e-1", "c-é", "purchase", NOON - HOUR_US, NOON, "0" * 32)
    assert rows[1][:6] == ("e-2", "c-é", "purchase", -HOUR_US, NOON, None)
    assert [row[7:] for row in rows] == [(*told, 0, "2017-10-01"), (*told, 1, "2017-10-01")]
    total = "SELECT sum((properties->>'amount')::double) FROM"
    assert duck.asked(f"{total} '{place.data}/archive/events/*/*.parquet'") == [(1.5,)]


async def test_what_is_no_events_is_kept_apart(place: Place, streams: Streams, layout: Layout) -> None:
    stream = layout.events(layout.partition("c-1"))
    wrong = {
        "torn": pack_events([event_of(1)])[:-3],
        "deflated, and torn": pack_events([event_of(each) for each in range(200)])[:-3],
        "none": pack_events([]),
        "out of time": pack_events([event_of(1), event_of(2, at=2**62)]),
        "stored out of time": pack_events([event_of(1, received=-1)]),
        "no JSON": pack_events([event_of(1, properties={"a": {None: 1}})]),
        "nothing": b"",
    }
    for body in wrong.values():
        await streams.ask("XADD", stream, "*", "c", "c-1", "e", body)
    await streams.ask("XADD", stream, "*", "other", "thing")
    put = {"c-1": [event_of(7)]}
    await streams.add_events("c-1", put["c-1"])
    drained = await archive_once(place, AT_ONCE)
    assert (drained.events, drained.quarantined, drained.trimmed) == (1, 8, 9)
    assert archived_events(place.data) == ids_of(put)
    kept = duck.asked(f"SELECT customer_id, record, why FROM '{place.data}/archive/quarantine_events/*/*.parquet'")
    assert {body for customer_id, body, _ in kept if customer_id == "c-1"} == set(wrong.values())
    assert all(why for _, _, why in kept)


@pytest.mark.parametrize("terms", [None, KEEPING, AT_ONCE], ids=["stream", "both", "archive"])
async def test_events_are_found_by_their_customer(
    ledger: Ledger, streams: Streams, place: Place, layout: Layout, terms: Terms | None
) -> None:
    """In the stream, the archive or both, over days; and what has come since."""
    put = await streams.fill_events(600, NOON, DAY_US // 200)
    if terms is not None:
        await archive_once(place, replace(terms, most=170))
        assert len(files(place.data, "events")) > 4
    put = together(put, await streams.fill_events(100, NOON + 4 * DAY_US, customers=70))
    log = EventLog(ledger, place.data)
    assert await log.events_of(["c-3", "c-60", "c-14", "nobody"]) == {
        "c-3": put["c-3"], "c-60": put["c-60"], "c-14": put["c-14"], "nobody": [],
    }  # fmt: skip
    assert await log.events_of([]) == {}
    assert await everything(log, layout) == put


async def test_without_an_archive_there_is_the_stream(ledger: Ledger, streams: Streams, layout: Layout) -> None:
    put = await streams.fill_events(2 * PAGE, customers=3)
    log = EventLog(ledger, None)
    assert await log.events_of(put) == put
    assert await everything(log, layout) == put


async def test_many_customers_in_many_files(
    ledger: Ledger, streams: Streams, place: Place, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many files as ever, and spread many times."""
    monkeypatch.setattr(spool, "FILE_BYTES", 100)
    monkeypatch.setattr(spool, "SPREAD_AT_ONCE", 2000)
    put = await streams.fill_events(900, customers=300)
    await archive_once(place, KEEPING)
    assert await everything(EventLog(ledger, place.data), layout) == put


async def test_an_entry_of_very_many_events(ledger: Ledger, streams: Streams, place: Place) -> None:
    """As an import makes them; its row groups are made one by one."""
    put = {"c-1": [event_of(number) for number in range(30_000)], "c-2": [event_of(7)]}
    for customer_id, events in put.items():
        await streams.add_events(customer_id, events)
    assert (await archive_once(place, AT_ONCE)).events == 30_001
    assert await EventLog(ledger, place.data).events_of(put) == put


async def test_what_a_commit_stores(ledger: Ledger, place: Place) -> None:
    _, at = await ledger.load("c-1", 10)
    event = Event("e-1", "login", at, at)
    outcome = await ledger.commit(
        Commit("c-1", b"", at, b"state", ids=[digest(event.id)], events=pack_events([event])), 10
    )
    assert isinstance(outcome, Committed)
    log = EventLog(ledger, place.data)
    assert await log.events_of(["c-1"]) == {"c-1": [event]}
    await archive_once(place, AT_ONCE)
    assert await log.events_of(["c-1"]) == {"c-1": [event]}


async def test_a_redis_with_the_past_of_a_backup_doubles_no_event(place: Place, streams: Streams) -> None:
    put = await streams.fill_events(50)
    await streams.ask("XADD", "tino:{3}:events", "*", "c", "c-1", "e", "torn")
    await archive_once(place, KEEPING)
    await streams.ask("HDEL", META, "archive")
    more = await streams.fill_events(50, NOON + 100_000)
    drained = await archive_once(place, AT_ONCE)
    assert (drained.events, drained.quarantined, drained.trimmed) == (99, 0, 101)
    assert archived_events(place.data) == ids_of(put, more)


async def test_an_archive_of_before_events_goes_on(place: Place, streams: Streams) -> None:
    records = await streams.fill(20)
    await archive_once(place, KEEPING)
    progress = Folder(place.data).progress()
    assert progress is not None
    before = {"id": progress.id, "batch": 1, "marks": progress.marks["decisions"], "format": 1}
    text = orjson.dumps(before, option=orjson.OPT_NON_STR_KEYS)
    (place.data / "archive" / "progress.json").write_bytes(text)
    records |= await streams.fill(20, NOON + 100_000)
    events = await streams.fill_events(20)
    drained = await archive_once(place, AT_ONCE)
    assert (drained.records, drained.events) == (20, 39)
    assert archived(place.data) == all_of(records)
    assert archived_events(place.data) == ids_of(events)


async def test_retention_of_events_is_their_own(place: Place, streams: Streams) -> None:
    await streams.fill(8, NOON - 3 * DAY_US, DAY_US)
    await streams.fill_events(8, NOON - 3 * DAY_US, DAY_US)
    await streams.ask("XADD", "tino:{3}:events", "*", "c", "c-1", "e", "torn")
    await streams.set_clock(NOON + 4 * DAY_US)
    await streams.put_in_force({"events": "84h"})
    assert (await archive_once(place, KEEPING)).days_removed == 4
    assert days(files(place.data, "events")) == [f"day=2017-10-0{day}" for day in (2, 3, 4, 5)]
    assert len(days(files(place.data))) == 8
    await streams.set_clock(NOON + 100 * DAY_US)
    assert (await archive_once(place, KEEPING)).days_removed == 4
    assert files(place.data, "events") == files(place.data, "quarantine_events") == []


async def test_where_there_is_no_archive_yet(ledger: Ledger, tmp_path: Path) -> None:
    log = EventLog(ledger, tmp_path / "nowhere")
    assert await log.events_of(["c-1"]) == {"c-1": []}
    assert [found async for found in log.by_customer(3)] == []
