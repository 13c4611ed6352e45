"""From the streams to files: each record once, by day, and trimmed from Redis only when nobody needs it."""

import asyncio
import os
from dataclasses import replace

import pytest

from archive.drain import Drained, Terms
from archive.errors import ArchiveBusy, BrokenArchive, ForeignArchive
from archive.folder import Folder
from archive.running import Place, archive_once
from features.keys import META
from tests.archive.duck import asked
from tests.archive.streams import (
    AT_ONCE,
    DAY_US,
    KEEPING,
    NOON,
    Streams,
    all_of,
    archived,
    days,
    files,
    record_of,
    together,
    written,
)

pytestmark = pytest.mark.anyio


async def test_records_are_archived_once_and_trimmed(place: Place, streams: Streams) -> None:
    put = await streams.fill(700)
    drained = await archive_once(place, AT_ONCE)
    assert (drained.records, drained.files, drained.quarantined) == (700, 1, 0)
    assert archived(place.data) == all_of(put)
    assert drained.trimmed == 700
    assert await streams.left() == {}
    assert await archive_once(place, AT_ONCE) == Drained()
    more = await streams.fill(5, NOON + DAY_US)
    assert (await archive_once(place, AT_ONCE)).records == 5
    assert archived(place.data) == all_of(together(put, more))


async def test_what_is_archived_is_for_no_other_user(place: Place, streams: Streams) -> None:
    await streams.fill(3)
    before = os.umask(0o022)
    try:
        await archive_once(place, AT_ONCE)
    finally:
        os.umask(before)
    archive = place.data / "archive"
    found = {path.relative_to(archive).parts[0]: path for path in archive.rglob("*")}
    assert {"lock", "progress.json", "decisions", "events", ".writing"} <= set(found)
    assert [path for path in (archive, *archive.rglob("*")) if path.stat().st_mode & 0o077] == []


async def test_more_than_a_batch_and_more_than_a_page(place: Place, streams: Streams) -> None:
    put = {}
    for number in range(900):  # all in one partition
        record = record_of(number, NOON + number, 3)
        put[record.id] = written(record)
        await streams.add(3, record.id, put[record.id])
    put |= await streams.fill(100, NOON + DAY_US)
    drained = await archive_once(place, replace(AT_ONCE, most=300))
    assert (drained.records, drained.trimmed) == (1000, 1000)
    assert drained.files > 2
    assert archived(place.data) == all_of(put)


async def test_a_days_files_are_the_days_of_decisions(place: Place, streams: Streams) -> None:
    await streams.fill(48, NOON, DAY_US // 24)
    await archive_once(place, KEEPING)
    assert days(files(place.data)) == ["day=2017-10-01", "day=2017-10-02", "day=2017-10-03"]
    assert [path.parent.name for path in files(place.data)] == days(files(place.data))  # one file a day


async def test_fresh_records_stay_where_they_are(place: Place, streams: Streams) -> None:
    put = await streams.fill(20)
    assert await archive_once(place, Terms()) == Drained()
    assert await streams.left() == put


async def test_what_is_archived_stays_in_redis_for_a_day(place: Place, streams: Streams) -> None:
    put = await streams.fill(20)
    assert (await archive_once(place, KEEPING)).trimmed == 0
    assert await streams.left() == put
    assert archived(place.data) == all_of(put)


async def test_a_group_that_lags_holds_trimming_back(place: Place, streams: Streams) -> None:
    put = []
    for number in range(10):
        record = record_of(number, NOON + number)
        put.append(await streams.add(0, record.id, written(record)))
    stream = streams.stream(0)
    await streams.ask("XGROUP", "CREATE", stream, "learn", "0")
    assert (await archive_once(place, AT_ONCE)).trimmed == 0
    await streams.ask("XREADGROUP", "GROUP", "learn", "one", "COUNT", 6, "STREAMS", stream, ">")
    assert (await archive_once(place, AT_ONCE)).trimmed == 0  # delivered, not acknowledged
    await streams.ask("XACK", stream, "learn", *put[:4])
    assert (await archive_once(place, AT_ONCE)).trimmed == 4
    await streams.ask("XACK", stream, "learn", *put[4:6])
    await archive_once(place, AT_ONCE)
    left = [entry for entry, _ in await streams.ask("XRANGE", stream, "-", "+")]
    assert left == put[5:]  # the last one it was given stays
    await streams.ask("XGROUP", "CREATE", stream, "other", "0")
    assert (await archive_once(place, AT_ONCE)).trimmed == 0
    assert len(archived(place.data)) == 10


async def test_the_stream_of_a_commit_under_way(place: Place, streams: Streams) -> None:
    """Decisions are recorded while drain follows drain."""
    put: dict[str, bytes] = {}

    async def record() -> None:
        for turn in range(20):
            put.update(await streams.fill(40, NOON + turn * 1_000_000))

    recording = asyncio.create_task(record())
    drains = 0
    while not recording.done():
        drained = await archive_once(place, replace(AT_ONCE, min_age_ms=0))
        drains += drained.records > 0
    await recording
    await archive_once(place, AT_ONCE)
    assert drains > 1
    assert archived(place.data) == all_of(put)
    assert await streams.left() == {}


async def test_a_second_archiver_of_the_folder_does_nothing(place: Place, streams: Streams) -> None:
    await streams.fill(3)
    with Folder(place.data).held(), pytest.raises(ArchiveBusy, match="another archiver is at work"):
        await archive_once(place, AT_ONCE)
    assert files(place.data) == []
    assert (await archive_once(place, AT_ONCE)).records == 3


async def test_a_second_folder_for_the_same_redis_is_refused(place: Place, streams: Streams) -> None:
    put = await streams.fill(3)
    await archive_once(place, KEEPING)
    other = Place(place.url, place.data / "elsewhere")
    other.data.mkdir()
    with pytest.raises(ForeignArchive, match="--take-over"):
        await archive_once(other, AT_ONCE)
    assert await streams.left() == put
    assert (await archive_once(other, KEEPING, take_over=True)).records == 3
    assert archived(other.data) == all_of(put)
    with pytest.raises(ForeignArchive):
        await archive_once(place, AT_ONCE)


async def test_a_redis_that_was_emptied_begins_anew(place: Place, streams: Streams) -> None:
    put = await streams.fill(50)
    await archive_once(place, KEEPING)
    await streams.ask("FLUSHALL")
    more = await streams.fill(50, NOON + DAY_US)
    assert (await archive_once(place, KEEPING)).records == 50
    assert archived(place.data) == all_of(together(put, more))


async def test_a_redis_that_was_emptied_twice_and_then_has_its_past_doubles_nothing(
    place: Place, streams: Streams
) -> None:
    """Between the two there is nothing to read, so no mark says any more that there was something."""
    put = await streams.fill(50)
    await archive_once(place, KEEPING)
    for _ in range(2):
        await streams.ask("FLUSHALL")
        await archive_once(place, KEEPING)
    await streams.ask("FLUSHALL")
    await streams.fill(50)
    await archive_once(place, KEEPING)
    assert archived(place.data) == all_of(put)


async def test_a_folder_of_somebody_elses_among_what_is_written_is_left_alone(place: Place, streams: Streams) -> None:
    put = await streams.fill(10)
    theirs = place.data / "archive" / ".writing" / "theirs"
    theirs.mkdir(parents=True)
    await archive_once(place, KEEPING)
    assert theirs.is_dir()
    assert archived(place.data) == all_of(put)


async def test_a_redis_with_the_past_of_a_backup_doubles_nothing(place: Place, streams: Streams) -> None:
    """One from before there was an archive: it has the records, and knows of no archive."""
    put = await streams.fill(50)
    bad = [await streams.add(partition, f"{partition:032}", b"torn") for partition in (1, 2)]
    await archive_once(place, KEEPING)
    await streams.ask("HDEL", META, "archive")
    more = await streams.fill(50, NOON + 100_000)
    drained = await archive_once(place, AT_ONCE)
    assert (drained.records, drained.trimmed) == (50, 102)
    assert archived(place.data) == all_of(together(put, more))
    found = f"SELECT partition, entry FROM '{place.data}/archive/quarantine/*/*.parquet'"
    rows = asked(found)
    assert sorted(rows) == [(1, bad[0].decode()), (2, bad[1].decode())]


async def test_a_server_clock_that_was_set_back_loses_nothing(place: Place, streams: Streams) -> None:
    """What is archived lies in the server's future; then that timeline is lost, and entries come before the marks."""
    put = await streams.fill(10)
    await archive_once(place, KEEPING)
    progress = Folder(place.data).root / "progress.json"
    marks = (Folder(place.data).progress() or pytest.fail("none")).marks
    ahead = 3_600_000
    text = progress.read_text()
    for ms in {mark[0] for mark in marks["decisions"].values()}:
        text = text.replace(str(ms), str(ms + ahead))
    progress.write_text(text)
    more = await streams.fill(10, NOON + DAY_US)
    drained = await archive_once(place, AT_ONCE)
    assert (drained.records, drained.trimmed) == (10, 20)
    assert archived(place.data) == all_of(together(put, more))


async def test_a_progress_that_cant_be_read_stops_it(place: Place, streams: Streams) -> None:
    put = await streams.fill(3)
    await archive_once(place, KEEPING)
    progress = place.data / "archive" / "progress.json"
    progress.write_text('{"id": 3}')
    with pytest.raises(BrokenArchive, match=r"progress\.json"):
        await archive_once(place, AT_ONCE)
    progress.write_text('{"id": "a", "format": 3}')
    with pytest.raises(BrokenArchive, match="format 3"):
        await archive_once(place, AT_ONCE)
    progress.unlink()
    with pytest.raises(ForeignArchive):
        await archive_once(place, AT_ONCE)
    assert (await archive_once(place, AT_ONCE, take_over=True)).records == 0  # it is all in the files
    assert archived(place.data) == all_of(put)
